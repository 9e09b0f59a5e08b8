"""The write-once files of a plan: what a chunk sends, whose rows those are, and what was rejected on the way."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

import msgspec

from nightshift import run_files
from nightshift.errors import Conflict
from nightshift.job import Batch
from nightshift.model import (
    Chunk,
    ChunkId,
    ChunkState,
    LeftOut,
    PlannedRow,
    Reject,
    Row,
    RowClass,
    Run,
    Tally,
    custom_id_prefix,
)
from nightshift.ports import Outputs, Upload
from nightshift.requests import request_line

_BLOCK = 1 << 20
_BUNDLE = 1 << 16
"""Bytes of lines that are hashed and passed on at once."""
_SPOOL = 1 << 20
"""Bytes of rejects kept in memory; more go to a temporary file."""
_BRACKETS = len(b'{"requests":[]}')
"""Bytes of a batch's body beside its requests; the commas take the place of the newlines."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_row = msgspec.json.Decoder(PlannedRow).decode


def planned_rows(outputs: Outputs, chunk: Chunk) -> Iterator[PlannedRow]:
    """Yield the rows of a chunk, in the order of its requests."""
    with outputs.open(run_files.ids(chunk.run_id, chunk.id, chunk.plan)) as stream:
        for line in stream:
            yield _decode_row(line)


class _Once:
    """An object that is written once: whoever comes second must bring the same bytes."""

    def __init__(self, outputs: Outputs, key: str, upload: Upload) -> None:
        self._outputs = outputs
        self._key = key
        self._upload = upload
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._full = _BUNDLE
        self.size = 0

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self.size += len(data)
        if self.size >= self._full:
            self._pass_on()

    def _pass_on(self) -> None:
        block = b"".join(self._waiting)
        self._waiting.clear()
        self._full = self.size + _BUNDLE
        self._hash.update(block)
        self._upload.write(block)

    def commit(self) -> str:
        """Make it exist, and return its hex SHA-256.

        Raises:
            Conflict: it exists with other content.
        """
        self._pass_on()
        sha256 = self._hash.hexdigest()
        if not self._upload.commit(once=True) and self._stored() != sha256:
            raise Conflict(f"{self._key} was written before, with other content: has the job or the code changed?")
        return sha256

    def _stored(self) -> str:
        with self._outputs.open(self._key) as stream:
            digest = hashlib.sha256()
            while block := stream.read(_BLOCK):
                digest.update(block)
            return digest.hexdigest()


class Draft:
    """A chunk that is being filled. Nothing of it exists before `finish`."""

    def __init__(self, outputs: Outputs, run: Run, chunk: ChunkId, batch: Batch, betas: str) -> None:
        """Start a chunk of a run, within the limits of the job's `batch`, to be sent with these betas."""
        self.rows = 0
        self.counts: Counter[RowClass] = Counter()
        self.changes: Counter[LeftOut] = Counter()
        self._outputs = outputs
        self._run = run
        self._chunk = chunk
        self._prefix = custom_id_prefix(run.run_id, chunk)
        self._batch = batch
        self._betas = betas
        self._stack = ExitStack()
        self._plan = self._once(run_files.plan(run.run_id, chunk, run.plan))
        self._ids = self._once(run_files.ids(run.run_id, chunk, run.plan))
        self._rejects = self._stack.enter_context(SpooledTemporaryFile(_SPOOL))  # noqa: SIM115 - the stack closes it

    def __enter__(self) -> Self:
        """Return the draft."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was not finished."""
        self._stack.__exit__(kind, error, trace)

    def add(self, row: Row | PlannedRow, params: bytes, carry: Mapping[str, Any]) -> bool:
        """Add a row with its params, and what of it goes to the output; False where the chunk is full.

        The first row always fits: a chunk is never empty.
        """
        name = f"{self._prefix}{self.rows + 1:06d}"
        line = request_line(name, params)
        size = _BRACKETS + self._plan.size + len(line)
        if self.rows and (self.rows == self._batch.max_rows or size > self._batch.max_bytes):
            return False
        self.rows += 1
        if isinstance(row, Row):  # of another generation, it is counted already
            self.changes.update(row.changes)
        self._plan.write(line)
        self._ids.write(_encode(PlannedRow(name, row.id, row.file, row.line, row.record, row.digest, carry)) + b"\n")
        return True

    def reject(self, reject: Reject) -> None:
        """Add a row that is never sent."""
        ref = self._run.inputs[reject.file]
        line = {
            "id": reject.id,
            "class": reject.row_class,
            "file": ref.key,
            "version_id": ref.version_id,
            "line": reject.line,
            "record": reject.record,
            "byte_offset": reject.byte_offset,
            "code": reject.code,
            "detail": reject.detail,
            "row_sha256": reject.row_sha256,
        }
        self.counts[reject.row_class] += 1
        self._rejects.write(_encode(line) + b"\n")

    @property
    def tally(self) -> Tally:
        """The rejects so far, by class, and what was left out of the other rows."""
        return Tally(rows=dict(self.counts), changes=dict(self.changes))

    def finish(self, cursor: tuple[int, int]) -> Chunk:
        """Make the files exist, and return the chunk as the ledger is to have it."""
        sha256 = self._plan.commit()
        self._ids.commit()
        self.finish_rejects(self._chunk)
        return Chunk(
            run_id=self._run.run_id,
            id=self._chunk,
            state=ChunkState.PLANNED,
            rows=self.rows,
            size=self._plan.size,
            sha256=sha256,
            plan=self._run.plan,
            betas=self._betas,
            planned=self.tally,
            cursor=cursor,
        )

    def finish_rejects(self, name: str) -> None:
        """Make the part of the rejects exist, where there are any."""
        if not self.counts:
            return
        part = self._once(f"{run_files.rejects(self._run.run_id, self._run.plan)}{name}.jsonl")
        self._rejects.seek(0)
        while block := self._rejects.read(_BLOCK):
            part.write(block)
        part.commit()

    def _once(self, key: str) -> _Once:
        return _Once(self._outputs, key, self._stack.enter_context(self._outputs.upload(key)))
