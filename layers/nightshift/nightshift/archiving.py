"""Archiving: a batch's results, from the API into the output bucket, whole or not at all.

A results stream may end early without an error, so it counts as complete only when every planned custom_id was in it
(or three readings ended with the same ones absent: then the API has lost them, and they are `missing`).
Nothing is read again from the API once the archive exists: all that follows can be replayed from it for nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from nightshift import run_files
from nightshift.errors import Conflict, ForeignBatch, ResultsIncomplete
from nightshift.model import Archive, BatchView, Chunk, custom_id_prefix
from nightshift.outcomes import custom_id_of
from nightshift.ports import BatchApi, Clock, Outputs

READS = 3
"""Readings of a batch that must end alike before the rows that are absent from them count as missing."""

READ = 1024 * 1024
"""Bytes read at once where an archive is checked."""


def archive_results(
    api: BatchApi, outputs: Outputs, clock: Clock, chunk: Chunk, *, stop_at: datetime
) -> Archive | None:
    """Store the results of a chunk's batch, in constant memory but for the custom_ids.

    Returns:
        The archive; None where time was up before it was whole, and nothing of it exists.

    Raises:
        ResultsIncomplete: rows are missing, or lines are not what results are. Reading again may help.
        ForeignBatch: the results are all another chunk's or another run's.
    """
    if chunk.batch_id is None:
        raise Conflict(f"chunk {chunk.id} has no batch")
    batch = api.batch(chunk.batch_id)
    key = run_files.raw(chunk.run_id, chunk.id, batch.id)
    check = ResultsCheck(chunk, planned_ids(outputs, chunk))
    with api.results(batch) as blocks, outputs.upload(key) as upload:
        for lines in whole_lines(blocks):
            if clock() >= stop_at:
                return None
            upload.write(check.accept(lines))
        check.finish(batch)
        if upload.commit(once=True):
            return check.archive(key)
    return _standing(outputs, key, chunk, batch)


def planned_ids(outputs: Outputs, chunk: Chunk) -> set[str]:
    """Return the custom_ids of a chunk's plan."""
    with outputs.open(run_files.ids(chunk.run_id, chunk.id)) as lines:
        return {name for line in lines if (name := custom_id_of(line)) is not None}


def whole_lines(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    r"""Cut a stream into lines, a list for each block, without line ends and blank lines; split on `\n` only."""
    tail = b""
    for block in blocks:
        *lines, tail = (tail + block).split(b"\n")
        yield _tidy(lines)
    yield _tidy([tail])


def _tidy(lines: list[bytes]) -> list[bytes]:
    return [text for line in lines if (text := line.strip(b" \t\r"))]


def _standing(outputs: Outputs, key: str, chunk: Chunk, batch: BatchView) -> Archive:
    """Describe an archive that stood there already, after checking it as if it came from the API.

    An earlier worker wrote it and died, or both were at it. The API promises no order, so its bytes may be others.
    """
    check = ResultsCheck(chunk, planned_ids(outputs, chunk))
    with outputs.open(key) as stream:
        for lines in whole_lines(iter(lambda: stream.read(READ), b"")):
            check.accept(lines)
    check.finish(batch)
    return check.archive(key)


@dataclass(slots=True)
class _Seen:
    """What was read so far."""

    size: int = 0
    lines: int = 0
    foreign: int = 0


class ResultsCheck:
    """Holds a stream of result lines against a chunk's plan."""

    def __init__(self, chunk: Chunk, planned: AbstractSet[str]) -> None:
        """Expect each of the `planned` custom_ids once."""
        self._chunk = chunk
        self._prefix = custom_id_prefix(chunk.run_id, chunk.id)
        self._planned = planned
        self._hashes: dict[str, int] = {}
        """custom_id → 64-bit hash of its line: tells a repeated line from a second result."""
        self._seen = _Seen()
        self._sha256 = hashlib.sha256()

    def accept(self, lines: Iterable[bytes]) -> bytes:
        r"""Return those lines that are new, each with its `\n`.

        Raises:
            ResultsIncomplete: a line is broken, has no custom_id or an unknown one, or contradicts an earlier one.
        """
        data = b"".join(line + b"\n" for line in lines if self._is_new(line))
        self._seen.size += len(data)
        self._sha256.update(data)
        return data

    def finish(self, batch: BatchView) -> None:
        """Judge the whole stream.

        Raises:
            ResultsIncomplete: planned rows are absent, and were not three times in a row: the API may find them yet.
            ForeignBatch: every result of the batch is another's.
        """
        if self._seen.foreign and not self._seen.lines and self._seen.foreign >= batch.rows:
            raise ForeignBatch(f"no result of {batch.id} carries {self._prefix}…: it is not the batch of this chunk")
        if self._seen.foreign:
            raise self._incomplete(f"{self._seen.foreign} lines carry another chunk's custom_id")
        if missing := self._planned - self._hashes.keys():
            self._judge_missing(missing)

    def archive(self, key: str) -> Archive:
        """Describe the archive that the accepted lines make."""
        return Archive(key, self._seen.size, self._seen.lines, self._sha256.hexdigest())

    def _is_new(self, line: bytes) -> bool:
        name = custom_id_of(line)
        if name is None:
            raise self._incomplete(f"the line after {self._seen.lines} rows is broken or has no custom_id")
        if not name.startswith(self._prefix):
            self._seen.foreign += 1
            return False
        if name not in self._planned:
            raise self._incomplete("a line carries a custom_id of this chunk that was never sent")
        known = self._hashes.get(name)
        if known is None:
            self._hashes[name] = hash(line)
            self._seen.lines += 1
            return True
        if known != hash(line):
            raise self._incomplete(f"two different results for {name}")
        return False  # the same line again says nothing new

    def _judge_missing(self, missing: AbstractSet[str]) -> None:
        """Raise, unless the last readings found the very same rows absent; the chunk's last error tells."""
        which = hashlib.sha256("".join(sorted(missing)).encode()).hexdigest()[:8]
        what = f"{len(missing)} of {len(self._planned)} rows are not in it ({which}), reading"
        before = next((n for n in range(READS - 1, 0, -1) if self._chunk.error.endswith(f"{what} {n} of {READS}")), 0)
        if before < READS - 1:
            raise self._incomplete(f"{what} {before + 1} of {READS}", reading=before + 1)

    def _incomplete(self, what: str, *, reading: int = 0) -> ResultsIncomplete:
        return ResultsIncomplete(f"results of {self._chunk.batch_id}: {what}", reading=reading)
