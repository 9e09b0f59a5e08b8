"""What a run's files hold of one row, and the same files without it.

The row's line stays, so that every count still adds up, and so does its custom_id, which says nothing; what it was
asked, what it was answered and its own id are gone. An archive keeps its size: the ledger has offsets into it.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.content import MAX_LINE
from nightshift.merging import csv_of, harmless
from nightshift.model import Chunk, ChunkState, Run, RunState, StepKind
from nightshift.ports import Ledger, Outputs
from nightshift.report_model import Report
from nightshift.report_page import page
from nightshift_cli.page import OVER

FORGOTTEN = "forgotten"

SHOWN_ID = 64
"""Characters of an id that `rejects` has (rows.py)."""

_PLANS, _REJECTS = re.compile(r"plan(-\d+)?"), re.compile(r"rejects(-\d+)?")
_PARTS = frozenset(part.value for part in run_files.Part)
_DOCUMENTS = ("verification.json", "report.json")
_PAGE = "report.html"
_KEPT = frozenset({"class", "custom_id", "usage", "cost_usd"})
"""What stays of a line of `output/`, `failed/` and the like."""

type Fields = dict[str, msgspec.Raw]
"""An object whose values stay as they are written, with every digit."""

_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.encode


class _Id(msgspec.Struct):
    """As much of a line as tells whose it is."""

    custom_id: str = ""
    id: str | None = None


_id = msgspec.json.Decoder(_Id).decode


@dataclass(frozen=True, slots=True)
class Trace:
    """A run that has the row."""

    run: Run
    row: str
    """Its own id."""
    custom_ids: frozenset[str]
    """Empty where it was never sent."""
    chunks: Sequence[Chunk]
    """Those that it is in."""

    def settled(self, step: StepKind) -> bool:
        """Tell whether nothing more comes of the row here; `step`: what the run's loop would do next."""
        if self.run.state is RunState.DONE:
            return step is not StepKind.VERIFY  # which would write the answer down once more
        collected = all(c.state is ChunkState.COLLECTED and not c.tally.retryable for c in self.chunks)
        return self.run.planned and collected and step in OVER | {StepKind.REPORT}

    def changes(self, outputs: Outputs) -> Iterator["Change"]:
        """Yield the run's files that hold the row; those last by which it is found again after an interruption."""
        home = run_files.home(self.run.run_id)
        for key in sorted(outputs.keys(home), key=lambda key: (key.endswith(".ids"), key)):
            change = Change(self, key, key.removeprefix(home))
            if lines := change.count(outputs):
                yield replace(change, lines=lines)
                if change.name == "report.json" and outputs.tag(f"{home}{_PAGE}"):  # a function of it
                    yield Change(self, f"{home}{_PAGE}", _PAGE, lines)


@dataclass(frozen=True, slots=True)
class Change:
    """A file of a run that holds the row."""

    trace: Trace
    key: str
    name: str
    """Below the run's own prefix."""
    lines: int = 0
    """How many of its lines, or rows, are about it."""

    def count(self, outputs: Outputs) -> int:
        """Return how many lines are about the row."""
        return sum(about for about, _ in self._lines(outputs)) if self._redact is not None else 0

    def apply(self, outputs: Outputs) -> None:
        """Write the file without the row."""
        if self.name == _PAGE:
            with outputs.open(run_files.report(self.trace.run.run_id)) as stream:
                report = msgspec.json.decode(stream.read(), type=Report)
            outputs.replace(self.key, page(report), outputs.tag(self.key))
        elif (redact := self._redact) is not None and self.name in _DOCUMENTS:
            ((_, text),) = self._lines(outputs)
            outputs.replace(self.key, redact(text), outputs.tag(self.key))
        elif redact is not None:
            with outputs.upload(self.key) as upload:
                for about, line in self._lines(outputs):
                    upload.write(redact(line) if about else line)
                upload.commit(once=False)

    @property
    def _redact(self) -> Callable[[bytes], bytes] | None:
        """Return what takes the row out of a line of the file; None where the file never has anything of a row."""
        folder, _, rest = self.name.partition("/")
        if not rest:
            documents = dict.fromkeys(_DOCUMENTS, self._document)
            return {"output.jsonl": _spoken, "output.csv": _cells, **documents}.get(folder)
        if _PLANS.fullmatch(folder):
            return {"ids": _planned, "jsonl": _request}.get(rest.rpartition(".")[2])
        if _REJECTS.fullmatch(folder):
            return _rejected
        return _spoken if folder in _PARTS else {"raw": _result, "verify": _asked}.get(folder)

    def _lines(self, outputs: Outputs) -> Iterator[tuple[bool, bytes]]:
        """Yield the file's lines, and whether each is about the row; a row of CSV may have several."""
        with outputs.open(self.key) as stream:
            if self.name in _DOCUMENTS:
                text = stream.read()
                yield self._names(text), text
            elif self.name.endswith(".csv"):
                csv.field_size_limit(MAX_LINE)
                for number, cells in enumerate(csv.reader(io.TextIOWrapper(stream, "utf-8", newline=""))):
                    yield bool(number) and cells[0] == harmless(self.trace.row), csv_of([cells])
            else:
                yield from ((self._is_it(line), line) for line in stream)

    def _is_it(self, line: bytes) -> bool:
        if self._redact is _rejected:
            return _id(line).id == self.trace.row[:SHOWN_ID]
        if not self._names(line):
            return False
        try:
            return _id(line).custom_id in self.trace.custom_ids
        except msgspec.DecodeError:  # a strange line that names it
            return True

    def _names(self, text: bytes) -> bool:
        return any(name.encode() in text for name in self.trace.custom_ids)

    def _document(self, text: bytes) -> bytes:
        """Take the row out of a document's comparison with synchronous answers."""
        fields = _fields(text)
        if bytes(fields.get("verification", b"")).startswith(b"{"):  # of the report
            fields["verification"] = msgspec.Raw(self._document(bytes(fields["verification"])))
        if bytes(fields["rows"]).startswith(b"["):  # the report's own are a number
            rows = msgspec.json.decode(fields["rows"], type=list[Fields])
            fields["rows"] = _raw([self._compared(row) for row in rows])
        return msgspec.json.format(_encode(fields), indent=2) + b"\n"

    def _compared(self, row: Fields) -> Fields:
        if msgspec.json.decode(row["custom_id"], type=str) not in self.trace.custom_ids:
            return row
        gone = {"id": FORGOTTEN, "batch_answer": None, "sync_answer": None, "error": FORGOTTEN}
        return row | {name: _raw(value) for name, value in gone.items()}


def trace(run: Run, ledger: Ledger, outputs: Outputs, row: str) -> Trace | None:
    """Find a row in a run; None where it never had it."""
    names: set[str] = set()
    chunks: list[Chunk] = []
    needle = _encode(row)
    there = set(outputs.keys(run_files.plans(run.run_id, run.plan)))
    for chunk in ledger.chunks(run.run_id):
        if (key := run_files.ids(run.run_id, chunk.id, chunk.plan)) not in there:
            continue  # somebody has deleted the run's files
        with outputs.open(key) as lines:
            found = [each.custom_id for line in lines if needle in line and (each := _id(line)).id == row]
        if found:
            names.update(found)
            chunks.append(chunk)
    if not names and not _is_rejected(run, outputs, row):
        return None
    return Trace(run, row, frozenset(names), chunks)


def _is_rejected(run: Run, outputs: Outputs, row: str) -> bool:
    for key in outputs.keys(run_files.rejects(run.run_id, run.plan)):
        with outputs.open(key) as lines:
            if any(_id(line).id == row[:SHOWN_ID] for line in lines):
                return True
    return False


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _line(fields: Fields, **changes: Any) -> bytes:
    return _encode(fields | {name: _raw(value) for name, value in changes.items()}) + b"\n"


def _planned(line: bytes) -> bytes:
    return _line(_fields(line), id=FORGOTTEN, digest="", carry={})


def _request(line: bytes) -> bytes:
    fields = _fields(line)
    params = _fields(fields["params"])
    kept: dict[str, Any] = {name: params[name] for name in ("model", "max_tokens") if name in params}
    return _line(fields, params=kept | {"messages": [{"role": "user", "content": FORGOTTEN}]})


def _rejected(line: bytes) -> bytes:
    return _line(_fields(line), id=FORGOTTEN, detail="", row_sha256="")


def _spoken(line: bytes) -> bytes:
    fields = _fields(line)
    gone = {"answer": None, "reason": FORGOTTEN}
    kept = {name: value for name, value in fields.items() if name in _KEPT}
    return _line(kept, id=FORGOTTEN, **{name: value for name, value in gone.items() if name in fields})


def _result(line: bytes) -> bytes:
    """Keep the size of a line; one that is too short for that (`canceled`, `expired`) says nothing of the row."""
    body = line.rstrip(b"\n")
    try:
        short = _encode({"custom_id": _id(line).custom_id, "result": {"type": FORGOTTEN}})
    except msgspec.DecodeError:
        short = b"{}"
    return line if len(short) > len(body) else short.ljust(len(body)) + line[len(body) :]


def _asked(line: bytes) -> bytes:
    return _line(_fields(line), result={"type": FORGOTTEN})


def _cells(line: bytes) -> bytes:
    (cells,) = csv.reader(io.StringIO(line.decode(), newline=""))
    return csv_of([[FORGOTTEN, *[""] * (len(cells) - 2), cells[-1]]])  # the last one is what it cost
