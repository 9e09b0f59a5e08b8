"""A job beside a file of rows: the first of them go through the very readers that a run has."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from nightshift import rows
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.job import Job
from nightshift.model import Reject, Row
from nightshift.records import InputSpec
from nightshift.requests import Renderer
from nightshift_cli.lint_warnings import Severity, Warned

type InFile = tuple[int, Severity, str]
"""Line of the file, how bad, and what."""


@dataclass
class Tried:
    """What became of a file's first rows."""

    rows: int = 0
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Code, detail without its numbers) → rows."""
    first: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """The line of the first of them, and its detail."""
    carried: set[str] = field(default_factory=set)
    """Columns of `carry` that a row has had."""
    refused: BadInput | None = None

    @property
    def codes(self) -> Mapping[str, int]:
        """Return the rejected rows by code."""
        codes: dict[str, int] = defaultdict(int)
        for (code, _), count in self.rejects.items():
            codes[code] += count
        return dict(codes)

    def reject(self, line: int, code: str, detail: str) -> None:
        """Count a row that would not be sent."""
        kind = code, re.sub(r"\d+", "", detail)
        self.rejects[kind] += 1
        self.first.setdefault(kind, (line, detail))


def try_rows(job: Job, file: Path, most: int) -> Tried:
    """Read and render the first rows of a file."""
    tried, renderer, ids = Tried(), Renderer(job), dict[str, str]()
    try:
        with file.open("rb") as stream:
            for row in islice(rows.read(stream, InputSpec.of(job), file=0, digest="file"), most):
                tried.rows += 1
                if isinstance(row, Reject):
                    tried.reject(row.line, row.code, row.detail)
                else:
                    _try(row, job, renderer, ids, tried)
    except BadInput as error:
        tried.refused = error
    return tried


def _try(row: Row, job: Job, renderer: Renderer, ids: dict[str, str], tried: Tried) -> None:
    tried.carried |= set(job.output.carry) & row.values.keys()
    try:
        renderer.params(row)
    except RowFault as fault:
        tried.reject(row.line, fault.code, fault.detail)
        return
    if (before := ids.setdefault(row.id, row.digest)) is not row.digest:
        code = InputCode.DUPLICATE_ROW if before == row.digest else InputCode.ID_CONFLICT
        tried.reject(row.line, code, code.help)


def of_the_file(tried: Tried) -> Iterator[InFile]:
    """Yield what is wrong with the rows."""
    if tried.refused is not None:
        yield tried.refused.line or 1, Severity.ERROR, f"{tried.refused.code}: {tried.refused.detail}"
    for kind, count in tried.rejects.items():
        line, detail = tried.first[kind]
        yield line, Severity.WARNING, f"{kind[0]}: {detail} ({count:,} of {tried.rows:,} rows)"


def of_the_job(job: Job, tried: Tried) -> Iterator[Warned]:
    """Yield what is wrong with the job in view of the rows."""
    rejected = sum(tried.rejects.values())
    for column in sorted(job.required):
        empty = InputCode.EMPTY_BODY, re.sub(r"\d+", "", f"column {column}: missing or empty")
        if tried.rows and tried.rejects[empty] == tried.rows:
            asking = "prompt" if job.messages is None else "messages"
            yield (asking,), Severity.ERROR, f"the file has no column `{column}`, or nothing in it"
            return  # all rows are rejected for it: there is no more to say
    for index, column in enumerate(job.output.carry):
        if rejected < tried.rows and column not in tried.carried:
            yield ("output", "carry", index), Severity.WARNING, f"the file has no column `{column}`"
    if tried.rows and rejected / tried.rows > job.limits.max_reject_ratio:
        why = f"the run would be held: {rejected:,} of {tried.rows:,} rows are rejected (TOO_MANY_REJECTS)"
        yield ("limits", "max_reject_ratio"), Severity.ERROR, why
