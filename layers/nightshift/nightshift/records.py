"""What the readers of all formats yield, and what they are told about a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nightshift.input_codes import RowFault
from nightshift.job import Job
from nightshift.job_sections import ROW_NUMBER, Format


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a job wants to know of a row."""

    format: Format
    id: str | None
    """The id's column; None where the row's number is its id."""
    required: frozenset[str]
    """Columns of the prompt that must not be empty."""
    optional: frozenset[str] = frozenset()
    """Columns of the prompt that may be."""
    histories: frozenset[str] = frozenset()
    """Columns that hold a whole conversation."""
    files: frozenset[str] = frozenset()
    """Columns that hold a file in base64: not held to `max_text_bytes`, but to what the API takes."""
    carry: tuple[str, ...] = ()
    max_text_bytes: int = 100_000
    truncate: bool = False
    """Longer texts are cut, not rejected."""
    strip_nul: bool = False
    """NUL characters are left out of texts, which are not rejected for them."""
    sheet: str | None = None
    """The sheet of a workbook; None: its first visible one."""

    @classmethod
    def of(cls, job: Job) -> "InputSpec":
        """Return what a job wants to know of a row."""
        return cls(
            format=job.input.format,
            id=None if job.input.id == ROW_NUMBER else job.input.id,
            required=job.required,
            optional=frozenset(job.input.optional),
            histories=job.conversation.histories,
            files=job.conversation.files,
            carry=job.output.carry,
            max_text_bytes=job.limits.max_text_bytes,
            truncate=job.limits.too_large == "truncate",
            strip_nul=job.input.nul == "strip",
            sheet=job.input.sheet,
        )

    @property
    def seekable(self) -> bool:
        """Say whether the format's reader seeks in the file."""
        return self.format in {"parquet", "xlsx"}

    @property
    def columns(self) -> frozenset[str]:
        """Every column that the job uses; a file without one of these, optional ones aside, has the wrong header."""
        return self.required | self.optional | set(self.carry) | ({self.id} if self.id else set())


class Record(msgspec.Struct, frozen=True):
    """One logical row of a file, parsed but not judged."""

    line: int
    """Physical line it starts on, from 1."""
    number: int
    """Logical row, from 1; blank lines do not count."""
    offset: int | None
    """Bytes before it in the unpacked file; None where rows are no bytes in a row."""
    raw: bytes
    """What tells it from another row: its bytes, or what was read of it."""
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    more: bool = False
    """The file has columns that are not in `values`."""
    fault: RowFault | None = None
    """Why it could not be parsed. Then `values` has what could be, and maybe faults."""
