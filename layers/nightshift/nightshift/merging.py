"""Merging: all answers of a finished run as one file, and where the newest one of its job is.

The parts in `output/` are what counts; this is a function of them, made in constant memory once none can be added.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.model import RowClass, Run, Tally
from nightshift.ports import Outputs
from nightshift.yaml_lines import load

BLOCK = 1 << 20
"""Bytes that are passed on at once."""

_FORMULA = re.compile(r"[\t\r\0]|[\s\0\ufeff\u200b-\u200f]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet may take for a formula, also behind blanks, and in full-width characters."""


class _Line(msgspec.Struct):
    """A line of `output/`. Numbers stay as they are written, with every digit."""

    id: str
    answer: msgspec.Raw
    carry: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    cost_usd: msgspec.Raw = msgspec.Raw(b"null")


class Pointer(msgspec.Struct, frozen=True):
    """What `latest/<job>/run.json` holds: the newest finished run of a job, and where what it made is."""

    job: str
    run_id: str
    created: str
    """When the run was, ISO 8601, UTC."""
    output: str
    """All answers, in one file."""
    rows: int
    answered: int
    failed: str
    """The prefix of the rows that were sent and not answered."""
    rejects: str
    """The prefix of those that were not sent."""
    report: str


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_values = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_pointer = msgspec.json.Decoder(Pointer).decode


@dataclass(frozen=True, slots=True)
class Format:
    """How a job wants its answers."""

    name: str
    """`jsonl` or `csv`."""
    properties: Sequence[str] = ()
    """Of the answer, where it is an object that a schema describes."""
    carry: Sequence[str] = ()

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> "Format":
        """Read it from a job file that was accepted already: to check all of it again would cost more than this."""
        output = job["output"]
        tools = job["params"]["tools"] if output.get("tool") else []
        called = (tool["input_schema"] for tool in tools if tool.get("name") == output["tool"])
        schema: Mapping[str, Any] = output.get("schema") or next(called, {})
        return cls(output.get("format", "jsonl"), [*schema.get("properties", {})], output.get("carry", []))

    @property
    def header(self) -> list[str]:
        """Return the columns of a CSV file: what is the answer's, and what was carried, cannot have the same name."""
        answer = [f"answer.{name}" for name in self.properties] or ["answer"]
        return ["id", *answer, *(f"carry.{name}" for name in self.carry), "cost_usd"]

    def cells(self, line: bytes) -> list[str]:
        """Return the cells of a line of `output/`."""
        row = _decode_line(line)
        answer = [row.answer]
        if self.properties:
            values = _decode_values(row.answer)
            answer = [values.get(name, _NOTHING) for name in self.properties]
        carried = [row.carry.get(name, _NOTHING) for name in self.carry]
        return [harmless(row.id), *(_cell(value) for value in (*answer, *carried, row.cost_usd))]


_NOTHING = msgspec.Raw(b"null")


def merge(outputs: Outputs, run: Run) -> str:
    """Write all answers of a run, of which no part can be added, as one file, if nobody has; return its key."""
    with outputs.open(run_files.job(run.run_id, run.plan)) as stream:
        form = Format.of(load(stream.read()).data)
    key = run_files.merged(run.run_id, form.name)
    if outputs.tag(key):
        return key
    with outputs.upload(key) as upload:
        if form.name == "csv":
            upload.write(csv_of([form.header]))
        for part in outputs.keys(run_files.parts(run.run_id, run_files.Part.OUTPUT)):
            with outputs.open(part) as lines:
                while block := lines.readlines(BLOCK):
                    upload.write(b"".join(block) if form.name == "jsonl" else csv_of(map(form.cells, block)))
        upload.commit(once=True)
    return key


def point(outputs: Outputs, run: Run, total: Tally, key: str) -> None:
    """Let `latest/<job>/run.json` name this run and its file, unless it names a newer one."""
    home = run_files.home(run.run_id)
    pointer = Pointer(
        job=run.job.name,
        run_id=run.run_id,
        created=run.created.isoformat(timespec="microseconds"),
        output=outputs.uri(key),
        rows=run.rows,
        answered=total.rows.get(RowClass.ANSWERED, 0),
        failed=outputs.uri(f"{home}{run_files.Part.FAILED}/"),
        rejects=outputs.uri(run_files.rejects(run.run_id, run.plan)),
        report=outputs.uri(run_files.report(run.run_id)),
    )
    latest, text = run_files.latest(run.job.name), msgspec.json.format(msgspec.json.encode(pointer)) + b"\n"
    while True:
        before = outputs.tag(latest)
        if before:
            with outputs.open(latest) as stream:
                standing = _decode_pointer(stream.read())
            if (standing.created, standing.run_id) >= (pointer.created, pointer.run_id):
                return
        if outputs.replace(latest, text, before):
            return


def csv_of(rows: Any) -> bytes:
    """Return rows of cells as CSV: every cell in quotes, lines that end in CRLF (RFC 4180)."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _cell(value: msgspec.Raw) -> str:
    """Return a JSON value as a cell: a text as it is, nothing as an empty cell, all else as JSON."""
    raw = bytes(value)
    if raw.startswith(b'"'):
        return harmless(msgspec.json.decode(raw, type=str))
    return "" if raw == b"null" else raw.decode()  # a number is a number, also below zero
