"""Archiving: a batch's results, from the API into the output bucket, whole or not at all.

A results stream may end early without an error, so it counts as whole only when every planned custom_id was in it once
and nothing else was. What else three readings in a row find alike, the last an hour after the second, is settled: rows
that are absent are `missing`, and strange lines are kept aside, so that they cost no other row its answer.
Nothing is read again from the API once the archive exists: all that follows can be replayed from it for nothing.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from nightshift import run_files
from nightshift.errors import Conflict, ForeignBatch, ResultsIncomplete
from nightshift.model import Archive, BatchView, Chunk, custom_id, custom_id_prefix
from nightshift.outcomes import custom_id_of
from nightshift.ports import BatchApi, Clock, Outputs

READS = 3
"""Readings of a batch that must find the same wrong before it is settled."""

DIGITS = 6
"""Of a row's number at the end of its custom_id: a batch has 100,000 rows at most."""

READ = 1024 * 1024
"""Bytes read at once where an archive is checked."""

ASIDE_LINES, ASIDE_BYTES = 1000, 1_000_000
"""So much of the strange lines is kept for a person to look at; the others are only counted."""


def archive_results(
    api: BatchApi, outputs: Outputs, clock: Clock, chunk: Chunk, *, stop_at: datetime
) -> Archive | None:
    """Store the results of a chunk's batch, in constant memory but for 8 bytes a row.

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
    check = ResultsCheck(chunk)
    with api.results(batch) as blocks, outputs.upload(key) as upload:
        for lines in whole_lines(blocks):
            if clock() >= stop_at:
                return None
            upload.write(check.accept(lines))
        check.finish(batch)
        archive = check.archive(key) if upload.commit(once=True) else _standing(outputs, key, chunk, check)
    if archive.strange:
        _keep_aside(outputs, run_files.strange(chunk.run_id, chunk.id, batch.id), check)
    return archive


def whole_lines(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    r"""Cut a stream into lines, a list for each block, without line ends and blank lines; split on `\n` only."""
    tail = b""
    for block in blocks:
        *lines, tail = (tail + block).split(b"\n")
        yield _tidy(lines)
    yield _tidy([tail])


def _tidy(lines: list[bytes]) -> list[bytes]:
    return [text for line in lines if (text := line.strip(b" \t\r"))]


def _standing(outputs: Outputs, key: str, chunk: Chunk, reading: "ResultsCheck") -> Archive:
    """Describe an archive that stood there already, after holding it against the present reading.

    An earlier worker wrote it and died, or both were at it. The API promises no order, so its bytes may be others; and
    it has no strange lines: those that the present reading found count for it.

    Raises:
        ResultsIncomplete: it lacks rows that are in the results by now, or has lines that archives never have.
    """
    check = ResultsCheck(chunk)
    with outputs.open(key) as stream:
        for lines in whole_lines(iter(lambda: stream.read(READ), b"")):
            check.accept(lines)
    lacking = check.missing - reading.missing
    if lacking or check.aside.lines:
        what = f"{len(lacking)} of {chunk.rows} rows that are in the results are not in {key}"
        raise ResultsIncomplete(f"{what}, which stands there already, and {check.aside.lines} lines of it are strange")
    return replace(check.archive(key), strange=reading.aside.lines)


def _keep_aside(outputs: Outputs, key: str, check: "ResultsCheck") -> None:
    """Store strange lines, unless a worker that died had done so: of two results, its archive may have the other."""
    with outputs.upload(key) as upload:
        upload.write(b"".join(check.aside.kept))
        upload.commit(once=True)


@dataclass(slots=True)
class _Aside:
    """Lines that are not in the archive, as many as ASIDE_LINES and ASIDE_BYTES allow."""

    lines: int = 0
    """All of them, those that are not kept included."""
    kept: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, line: bytes) -> None:
        self.lines += 1
        if len(self.kept) < ASIDE_LINES and self.size + len(line) < ASIDE_BYTES:
            self.kept.append(line + b"\n")
            self.size += len(line) + 1


@dataclass(slots=True)
class _Seen:
    """What was read so far."""

    size: int = 0
    lines: int = 0
    foreign: int = 0
    """Lines with another chunk's or another run's custom_id."""
    strange: int = 0
    """Lines that are no result of a planned row, the foreign ones included."""


class ResultsCheck:
    """Holds a stream of result lines against a chunk's plan, whose custom_ids its rows' numbers tell."""

    def __init__(self, chunk: Chunk) -> None:
        """Expect the custom_id of each row of the chunk once."""
        self.aside = _Aside()
        self._chunk = chunk
        self._prefix = custom_id_prefix(chunk.run_id, chunk.id)
        self._hashes = array("q", bytes(8 * chunk.rows))
        """A hash for each row's line: tells a repeated line from a second result. 0: not there."""
        self._contradicted: set[str] = set()
        """Rows with two results that differ; the first stands."""
        self._seen = _Seen()
        self._sha256 = hashlib.sha256()

    @property
    def missing(self) -> AbstractSet[str]:
        """The planned custom_ids that were in no line so far."""
        chunk = self._chunk
        return {custom_id(chunk.run_id, chunk.id, row) for row, known in enumerate(self._hashes, 1) if not known}

    def accept(self, lines: Iterable[bytes]) -> bytes:
        r"""Return those lines that are a planned row's first, each with its `\n`; set aside what is strange."""
        data = b"".join(line + b"\n" for line in lines if self._is_new(line))
        self._seen.size += len(data)
        self._sha256.update(data)
        return data

    def finish(self, batch: BatchView) -> None:
        """Judge the whole stream.

        Raises:
            ResultsIncomplete: something is wrong that was not three times in a row: the API may mend it yet.
            ForeignBatch: every result of the batch is another's.
        """
        what = self._wrong()
        if not what:
            return
        reading = 1 + self._alike_before(what)
        ours = self._seen.lines > 0
        if self._seen.foreign and not ours and (self._seen.foreign >= batch.rows or reading == READS):
            raise ForeignBatch(f"no result of {batch.id} carries {self._prefix}…: it is not the batch of this chunk")
        # Where no row at all is there but other lines are, settling would save no answer, and give up every one.
        if reading < READS or (self._seen.strange and not ours):
            text = f"results of {self._chunk.batch_id}: {what}, reading {reading} of {READS}"
            raise ResultsIncomplete(text, reading=reading)

    def archive(self, key: str) -> Archive:
        """Describe the archive that the accepted lines make."""
        return Archive(key, self._seen.size, self._seen.lines, self._sha256.hexdigest(), self.aside.lines)

    def _is_new(self, line: bytes) -> bool:
        name = custom_id_of(line)
        row = self._row(name) if name is not None else None
        if name is None or row is None:
            self._seen.strange += 1
            self._seen.foreign += name is not None and not name.startswith(self._prefix)
            self.aside.add(line)
            return False
        told = hash(line) or 1
        known = self._hashes[row]
        if not known:
            self._hashes[row] = told
            self._seen.lines += 1
            return True
        if known != told:
            self._contradicted.add(name)
            self.aside.add(line)
        return False  # the same line again says nothing new

    def _row(self, name: str) -> int | None:
        """Return the planned row that has this custom_id, counted from 0."""
        prefix, number = name[:-DIGITS], name[-DIGITS:]
        if prefix != self._prefix or not (number.isascii() and number.isdigit()):
            return None
        row = int(number) - 1
        return row if 0 <= row < len(self._hashes) else None

    def _wrong(self) -> str:
        """Say what is wrong with the stream, in words that are the same wherever the same is; empty: nothing.

        Strange lines are told apart by their number only: an error of the API has another request id each time.
        """
        missing, strange = self.missing, self._seen.strange
        told = [f"{len(missing)} of {self._chunk.rows} rows are not in it"] * bool(missing)
        told += [f"{len(self._contradicted)} rows have two results"] * bool(self._contradicted)
        told += [f"{strange} lines are strange ({self._seen.foreign} with another chunk's custom_id)"] * bool(strange)
        which = "\n".join([*sorted(missing), "", *sorted(self._contradicted)])
        return f"{', '.join(told)} ({hashlib.sha256(which.encode()).hexdigest()[:8]})" if told else ""

    def _alike_before(self, what: str) -> int:
        """Return how many of the last readings in a row found the same; the chunk's last error tells."""
        found = (n for n in range(1, READS) if self._chunk.error.endswith(f": {what}, reading {n} of {READS}"))
        return next(found, 0)
