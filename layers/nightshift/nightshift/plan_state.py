"""What planning knows of the rows so far: enough to find duplicates, to count, and to name the plan.

All of it can be read again from the files of the chunks that are planned, so planning goes on where it stopped.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from nightshift.input_codes import InputCode
from nightshift.model import InputRef, PlannedRow, Reject, Row, RowClass
from nightshift.rows import reject_row

_LINE_BITS = 48
"""Of a place, for its line; the rest is for the file."""
_MODULUS = 1 << 256
_FEWEST = 1 << 16


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


class Seen:
    """The ids that came before, with their content and place: about 40 bytes a row.

    A dict would hold three objects for each row. This is what a dict is made of, without the objects: an index, where
    an id's hash tells which place to look at, and entries in the order in which they came. An id is known by its 64-bit
    hash, whose key is another in each process: of a million ids, two have the same in 3 of 10**8 runs.
    """

    def __init__(self) -> None:
        """Begin with no row."""
        self._index = array("I", bytes(4 * _FEWEST))
        """Slot → number of an entry, from 1; 0: free. Its length is a power of 2."""
        self._hashes = array("q", [0])
        self._places = array("Q", [0])
        self._digests = array("Q", [0])

    def add(self, row: Row | PlannedRow) -> None:
        """Remember a planned row."""
        number, key = len(self._hashes), hash(row.id)
        self._index[self._slot(key)] = number
        self._hashes.append(key)
        self._places.append((row.file << _LINE_BITS) | row.line)
        self._digests.append(int(row.digest, 16))
        if number * 3 > len(self._index) * 2:
            self._grow()

    def judge(self, row: Row, inputs: Sequence[InputRef]) -> Reject | None:
        """Return the reject of a row whose id came before; None where it is the first."""
        number = self._index[self._slot(hash(row.id))]
        if not number:
            return None
        file, line = divmod(self._places[number], 1 << _LINE_BITS)
        first = f"line {line}" if file == row.file else f"line {line} of {inputs[file].key}"
        if self._digests[number] == int(row.digest, 16):
            return reject_row(row, RowClass.DUPLICATE, InputCode.DUPLICATE_ROW, f"the same row as {first}")
        detail = f"the id of {first}, with other content"
        return reject_row(row, RowClass.REJECTED, InputCode.ID_CONFLICT, detail)

    def _slot(self, key: int) -> int:
        """Return the slot of this id, or the free one where it belongs."""
        index, hashes, mask = self._index, self._hashes, len(self._index) - 1
        slot = key & mask
        while (number := index[slot]) and hashes[number] != key:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        """Double the index, which is never full by more than two thirds."""
        self._index = array("I", bytes(8 * len(self._index)))
        for number, key in enumerate(self._hashes[1:], 1):
            self._index[self._slot(key)] = number
