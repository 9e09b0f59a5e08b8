"""The rows of a run that were sent and not answered, as its pinned inputs have them.

Which they are stands in `failed/`, where they are in the inputs in `plan/*.ids`; the rows themselves are in the inputs
alone, with every column, be it used or not.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, assert_never

import msgspec

from nightshift import content, run_files
from nightshift.content import BOM
from nightshift.job import Job, parse_job
from nightshift.model import Chunk, InputRef, Row, RowClass, Run
from nightshift.plan_files import planned_rows
from nightshift.ports import Inputs, Ledger, Outputs
from nightshift.records import InputSpec
from nightshift.rows import read
from nightshift.run_files import Part
from nightshift_cli.exits import Refused
from nightshift_cli.failed_tables import write_parquet, write_xlsx

MOST_REASON = 100
"""Characters of a reason by which reasons are told apart where they are counted."""


class _Failed(msgspec.Struct, frozen=True):
    """A line of `failed/`."""

    custom_id: str
    id: str
    row_class: RowClass = msgspec.field(name="class")
    reason: str = ""


class _Answered(msgspec.Struct, frozen=True):
    """A line of `output/`."""

    id: str


_failed = msgspec.json.Decoder(_Failed).decode
_answered = msgspec.json.Decoder(_Answered).decode


@dataclass(frozen=True, slots=True)
class FailedRows:
    """Rows of some classes."""

    run: Run
    job: Job
    """As it was for the run's plan."""
    rows: Sequence[_Failed]
    places: Mapping[int, Collection[int]]
    """Index of an input → the numbers of its records."""

    @property
    def classes(self) -> Mapping[RowClass, int]:
        """How many rows each class has."""
        return Counter(row.row_class for row in self.rows)

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why they were not answered → rows, the most frequent first."""
        return dict(Counter(row.reason[:MOST_REASON] for row in self.rows).most_common())

    @property
    def ids(self) -> frozenset[str]:
        """Their own ids."""
        return frozenset(row.id for row in self.rows)

    def write(self, inputs: Inputs, file: BinaryIO, *, sheet: str | None = None) -> None:
        """Write them as one file of the job's format, in the order of the inputs; a workbook's only sheet is `sheet`.

        Raises:
            BadInput: an input version is not there any more.
            Refused: the inputs do not have all of them, or one file cannot hold them.
        """
        refs, found = self.run.inputs, 0
        match self.job.input.format:
            case "jsonl":
                for _, raw in self._raw(inputs):
                    file.write(raw.rstrip(b"\r\n") + b"\n")
                    found += 1
            case "csv":
                found = self._write_csv(inputs, file)
            case "parquet":
                found = write_parquet(inputs, refs, self.places, file)
            case "xlsx":
                was, made = self.job.input.sheet, self.run.created
                found = write_xlsx(inputs, refs, self.places, file, sheet=was, named=sheet, made=made)
            case other:
                assert_never(other)
        if found != len(self.rows):
            raise Refused(f"only {found:,} of the {len(self.rows):,} rows are in the run's inputs as they are read now")

    def _write_csv(self, inputs: Inputs, file: BinaryIO) -> int:
        """Write one header over rows whose inputs may have each its own; return how many rows."""
        headers = {index: _header(inputs, self.run.inputs[index]) for index in self.places}
        columns = list(dict.fromkeys(name for header in headers.values() for name in header))
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
        writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        found = 0
        for index, raw in self._raw(inputs):
            found += 1
            (cells,) = csv.reader(io.StringIO(raw.removeprefix(BOM).decode(), newline=""))
            writer.writerow(dict(zip(headers[index], cells, strict=True)))
        text.flush()
        text.detach()
        return found

    def _raw(self, inputs: Inputs) -> Iterator[tuple[int, bytes]]:
        """Yield the index of each row's input, and its bytes."""
        spec = InputSpec.of(self.job)
        for index, wanted in sorted(self.places.items()):
            ref = self.run.inputs[index]
            with inputs.open(ref) as stream:
                for row in read(stream, spec, file=index, digest=ref.digest):
                    if isinstance(row, Row) and row.record in wanted:
                        yield index, row.raw


def failed_rows(run: Run, ledger: Ledger, outputs: Outputs, classes: Collection[RowClass]) -> FailedRows:
    """Read which rows of a run ended in one of these classes."""
    key = run_files.job(run.run_id, run.plan)
    with outputs.open(key) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=key)
    rows: list[_Failed] = []
    places: dict[int, set[int]] = {}
    for chunk in ledger.chunks(run.run_id):
        wanted = {row.custom_id: row for row in _of_chunk(run, chunk, outputs) if row.row_class in classes}
        if not wanted:
            continue
        rows.extend(wanted.values())
        for planned in planned_rows(outputs, chunk):
            if planned.custom_id in wanted:
                places.setdefault(planned.file, set()).add(planned.record)
    return FailedRows(run, job, rows, places)


def answered_since(run: Run, ledger: Ledger, outputs: Outputs, ids: Collection[str]) -> Mapping[str, int]:
    """Return the newer runs of the run's job that have answered some of these rows → how many."""
    found: Counter[str] = Counter()
    for newer in ledger.runs_since(run.created):
        if newer.job.name != run.job.name or newer.created <= run.created:
            continue
        for key in outputs.keys(run_files.parts(newer.run_id, Part.OUTPUT)):
            with outputs.open(key) as lines:
                found[newer.run_id] += sum(_answered(line).id in ids for line in lines)
    return +found


def _of_chunk(run: Run, chunk: Chunk, outputs: Outputs) -> Iterator[_Failed]:
    for key in outputs.keys(f"{run_files.parts(run.run_id, Part.FAILED)}{chunk.id}-"):
        with outputs.open(key) as lines:
            yield from map(_failed, lines)


def _header(inputs: Inputs, ref: InputRef) -> list[str]:
    with inputs.open(ref) as stream:
        texts = (line.data.removeprefix(BOM).decode() for line in content.lines(stream))
        return next(fields for fields in csv.reader(texts) if fields)
