"""What planning knows of the rows so far: enough to find duplicates, to count, and to name the plan.

All of it can be read again from the files of the chunks that are planned, so planning goes on where it stopped.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from nightshift.input_codes import InputCode
from nightshift.model import InputRef, PlannedRow, Reject, Row, RowClass
from nightshift.rows import reject_row

_DIGEST_BITS = 64
_LINE_BITS = 48
_MODULUS = 1 << 256


@dataclass(slots=True)
class PlanDigest:
    """Names the content of a plan, whatever the run, the order of the rows and the cuts between chunks.

    A sum over the rows' hashes (id, unless it is a row number, and content), together with what the job adds to every
    row: a row's params are a function of these.
    """

    job_digest: str
    with_ids: bool
    rows: int = 0
    _sum: int = 0

    def add(self, row: Row | PlannedRow) -> None:
        """Count a planned row in."""
        name = f"{row.id if self.with_ids else ''}\0{row.digest}"
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(name.encode()).digest())) % _MODULUS
        self.rows += 1

    def hex(self) -> str:
        """Return the digest of the rows so far."""
        return hashlib.sha256(f"{self.job_digest}/{self.rows}/{self._sum:x}".encode()).hexdigest()


@dataclass(slots=True)
class Seen:
    """The ids that came before, with their content and place: about 170 bytes a row, as hashes and packed numbers."""

    _rows: dict[bytes, int] = field(default_factory=dict)

    def add(self, row: Row | PlannedRow) -> None:
        """Remember a planned row."""
        place = (row.file << _LINE_BITS) | row.line
        self._rows[_key(row)] = (place << _DIGEST_BITS) | int(row.digest, 16)

    def judge(self, row: Row, inputs: Sequence[InputRef]) -> Reject | None:
        """Return the reject of a row whose id came before; None where it is the first."""
        packed = self._rows.get(_key(row))
        if packed is None:
            return None
        place, digest = divmod(packed, 1 << _DIGEST_BITS)
        file, line = divmod(place, 1 << _LINE_BITS)
        first = f"line {line}" if file == row.file else f"line {line} of {inputs[file].key}"
        if digest == int(row.digest, 16):
            return reject_row(row, RowClass.DUPLICATE, InputCode.DUPLICATE_ROW, f"the same row as {first}")
        detail = f"the id of {first}, with other content"
        return reject_row(row, RowClass.REJECTED, InputCode.ID_CONFLICT, detail)


def _key(row: Row | PlannedRow) -> bytes:
    return hashlib.blake2b(row.id.encode(), digest_size=16).digest()
