"""A Message Batches API for the use cases: it keeps what it was sent, and fails as told."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nightshift.errors import Ambiguous, ApiError, Rejected
from nightshift.model import BatchId, BatchView
from nightshift.ports import Clock, RequestBody


@dataclass
class FakeApi:
    """`ports.BatchApi` in memory."""

    clock: Clock
    fail: list[ApiError | None] = field(default_factory=list)
    """What the next creates raise; None or an empty list: nothing."""
    accept_then_lose: int = 0
    """So many creates are carried out, and their answers lost."""
    down: ApiError | None = None
    """What every call but create raises."""
    missing: set[BatchId] = field(default_factory=set)
    """Batches that are said not to be there."""
    cancels: list[BatchId] = field(default_factory=list)
    """Batches that somebody asked to cancel, in order."""
    deleted: list[BatchId] = field(default_factory=list)
    """Batches that somebody asked to delete, in order."""
    before_end: Callable[[], None] = lambda: None
    """Happens in the middle of each create's body."""
    counted: list[Mapping[str, Any]] = field(default_factory=list)
    """The requests whose tokens somebody wanted counted."""
    asked: list[bytes] = field(default_factory=list)
    """The requests that somebody wanted answered at once."""
    speak: Callable[[bytes], Mapping[str, Any]] = lambda _params: {}
    """Answers them, or raises."""
    betas: list[str] = field(default_factory=list)
    """What the `anthropic-beta` header of each of these was, in turn."""
    bodies: list[bytes] = field(default_factory=list)
    stored: dict[BatchId, BatchView] = field(default_factory=dict)
    lines: dict[BatchId, bytes] = field(default_factory=dict)

    def probe(self) -> None:
        self._up()

    def create(self, body: RequestBody, timeout: float, betas: str) -> BatchView:
        assert timeout > 0
        self.betas.append(betas)
        sent = self._read(body)
        assert len(sent) == body.size
        if self.fail and (error := self.fail.pop(0)) is not None:
            raise error
        self.bodies.append(sent)
        made = self.add(body.rows)
        if self.accept_then_lose:
            self.accept_then_lose -= 1
            raise Ambiguous("the answer was lost")
        return made

    def _read(self, body: RequestBody) -> bytes:
        sent = b""
        for block in body:
            if len(sent) == len(b'{"requests":['):
                self.before_end()
            sent += block
        return sent

    def add(self, rows: int, *, age: timedelta = timedelta()) -> BatchView:
        """Put a batch there, as somebody's create does."""
        name = BatchId(f"msgbatch_{len(self.stored) + 1:02d}")
        made = BatchView(name, "in_progress", {"processing": rows}, self.clock() - age, None, None)
        self.stored[name] = made
        return made

    def end(self, batch_id: BatchId, lines: bytes = b"", counts: Mapping[str, int] | None = None) -> None:
        """End a batch with these results; all succeeded, where `counts` does not say otherwise."""
        old = self.stored[batch_id]
        counts = {"processing": 0, "succeeded": old.rows} if counts is None else counts
        self.stored[batch_id] = replace(old, processing_status="ended", request_counts=counts, ended_at=self.clock())
        self.lines[batch_id] = lines

    def delete(self, batch_id: BatchId) -> None:
        self._up()
        if (there := self.stored.get(batch_id)) is not None and there.processing_status != "ended":
            raise Rejected("In progress batches cannot be deleted.", status=400)
        self.deleted.append(batch_id)
        self.stored.pop(batch_id, None)

    def batch(self, batch_id: BatchId) -> BatchView:
        self._up()
        if batch_id in self.missing:
            raise Rejected(f"no {batch_id}", status=404)
        return self.stored[batch_id]

    def batches(self, since: datetime) -> Iterator[BatchView]:
        self._up()
        newest_first = sorted(self.stored.values(), key=lambda b: b.created_at, reverse=True)
        yield from (b for b in newest_first if b.created_at >= since)

    def cancel(self, batch_id: BatchId) -> BatchView:
        self._up()
        if batch_id in self.missing:
            raise Rejected(f"no {batch_id}", status=404)
        self.cancels.append(batch_id)
        batch = self.stored[batch_id]
        if not batch.ended:
            self.stored[batch_id] = batch = replace(batch, processing_status="canceling")
        return batch

    def count_tokens(self, params: Mapping[str, Any], betas: str) -> int:
        self._up()
        self.betas.append(betas)
        self.counted.append(params)
        return len(json.dumps(params)) // 4

    def message(self, params: bytes, timeout: float, betas: str) -> Mapping[str, Any]:
        assert timeout > 0
        self.betas.append(betas)
        self._up()
        self.asked.append(params)
        return self.speak(params)

    @contextmanager
    def results(self, batch: BatchView) -> Iterator[Iterator[bytes]]:
        self._up()
        data = self.lines[batch.id]
        yield (data[i : i + 7] for i in range(0, len(data), 7))

    def _up(self) -> None:
        if self.down is not None:
            raise self.down
