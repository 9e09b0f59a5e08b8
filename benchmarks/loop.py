"""The loop in virtual time: the product's own look and its own decision, over a ledger and an API that only remember.

Submitting and collecting are not done but counted: they take as long as the measured figures say, and what a run may
have in the API's queue is limited.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from benchmarks import product
from nightshift.decision import Policy, collectable, sendable
from nightshift.model import BatchId, BatchView, Chunk, ChunkState, Run, Step, StepKind, chunk_id
from nightshift.ports import BatchApi, Executions, Ledger
from nightshift.status import Watcher

POLICY = Policy(poll_min_seconds=30, poll_max_seconds=360, poll_percent=5, max_turns=1500)
"""As template.yaml has it."""
LOOK_SECONDS = 0.5
"""Of a look, its start included."""
RETRY_AFTER = timedelta(seconds=60)
"""What a 429 without `retry-after` is taken to say."""

TASK, CHOICE, WAIT, MAP, ITERATION = 5, 2, 2, 4, 7
"""Events of a history: a task, a choice, a wait, a map and each of its iterations with one task in it."""
ENDS = 4
"""Started, entered and left its last state, and succeeded."""


@dataclass
class Night:
    """A run whose batches take so long, each, and of which so many rows fit into the API's queue."""

    rows: int
    chunk_rows: int
    longest: timedelta
    shortest: timedelta
    queue: int
    create_seconds: float = 3
    collect_seconds: float = 3
    now: datetime = product.START
    began: datetime = product.START
    events: list[int] = field(default_factory=lambda: [ENDS])
    """Of each execution."""
    turns: int = 0
    delays: list[float] = field(default_factory=list)
    """From a batch's end until a look saw it, as a share of how long the batch took."""

    def __post_init__(self) -> None:
        """Plan the run."""
        count = -(-self.rows // self.chunk_rows)
        chunks = [
            Chunk(product.RUN, chunk_id(0, number), ChunkState.PLANNED, self.chunk_rows, 1, "00")
            for number in range(1, count + 1)
        ]
        ready = product.run(planned=True, rows=self.rows, reserved=10**15, changed_at=self.now)
        self.ledger = LoopLedger(ready, chunks)
        self.api = Queue(self)
        self.watcher = Watcher(
            cast("Ledger", self.ledger), cast("BatchApi", self.api), cast("Executions", self), self.clock, POLICY
        )

    def clock(self) -> datetime:
        """Return the virtual time."""
        return self.now

    def start(self, _run_id: str, _number: int) -> None:
        """See `ports.Executions`: the next execution begins."""
        self.events.append(ENDS)
        self.turns = 0

    def run(self) -> None:
        """Turn until every chunk is collected."""
        while any(chunk.state is not ChunkState.COLLECTED for chunk in self.ledger.chunks(product.RUN)):
            self.turn()

    def turn(self) -> None:
        """Look once, and do what that says."""
        self.now += timedelta(seconds=LOOK_SECONDS)
        name = f"{product.RUN}-c{len(self.events):04d}"
        step = self.watcher.look(product.RUN, execution=name, turn=self.turns).step
        if step.kind is StepKind.HANDED_OVER:
            self.events[-2] += TASK + CHOICE
            return
        self.turns += 1 + step.workers  # as functions/status/app.py counts
        self.events[-1] += TASK + CHOICE + self._do(step)

    def _do(self, step: Step) -> int:
        """Do a step; return its events."""
        match step.kind:
            case StepKind.WAIT:
                self.now += timedelta(seconds=step.wait_seconds)
                return WAIT
            case StepKind.SUBMIT:
                self._submit()
                return TASK
            case StepKind.COLLECT:
                self._collect(step.workers)
                return MAP + ITERATION * step.workers
            case _:
                raise AssertionError(step)

    def _submit(self) -> None:
        """Send what is due, as `Sender.send` does: until all is sent, or the queue is full."""
        while due := sendable(self.ledger.run(product.RUN), self.ledger.chunks(product.RUN), self.now):
            self.now += timedelta(seconds=self.create_seconds)
            batch = self.api.create(due[0].rows)
            if batch is None:
                self.ledger.change(due[0], not_before=self.now + RETRY_AFTER)
                return
            self.ledger.change(due[0], state=ChunkState.SENT, batch_id=batch, sent_at=self.now, not_before=None)

    def _collect(self, workers: int) -> None:
        ready = [chunk for chunk in self.ledger.chunks(product.RUN) if collectable(chunk, self.now)]
        for chunk in ready:
            self.ledger.change(chunk, state=ChunkState.COLLECTED)
        self.now += timedelta(seconds=self.collect_seconds * -(-len(ready) // workers))


class LoopLedger(product.Memory):
    """What a look reads and writes beside."""

    def change(self, chunk: Chunk, **changes: Any) -> None:
        """Store a chunk as it now is."""
        self._chunks[chunk.id] = replace(chunk, **changes)

    def ended(self, chunk: Chunk, batch: BatchView) -> None:
        """See `ports.Ledger`."""
        self.change(chunk, state=ChunkState.ENDED, ended_at=batch.ended_at)

    def looked(self, run: Run) -> None:
        """See `ports.Ledger`."""
        self._run = run

    def next_execution(self, _run_id: str, number: int) -> bool:
        """See `ports.Ledger`."""
        self._run = replace(self._run, execution=number)
        return True


class Queue:
    """The API: batches that end when their time has come."""

    def __init__(self, night: Night) -> None:
        """Take batches of this night."""
        self._night = night
        self._ends: dict[BatchId, tuple[datetime, datetime]] = {}
        self._open: list[tuple[datetime, int]] = []
        self._dice = random.Random(7)
        self.creates = self.refused = 0

    def create(self, rows: int) -> BatchId | None:
        """Take a batch; None where the queue is full."""
        now = self._night.now
        while self._open and self._open[0][0] <= now:
            heapq.heappop(self._open)
        if sum(rows for _, rows in self._open) + rows > self._night.queue:
            self.refused += 1
            return None
        self.creates += 1
        name = BatchId(f"msgbatch_{self.creates}")
        end = now + self._dice.uniform(0, 1) * (self._night.longest - self._night.shortest) + self._night.shortest
        self._ends[name] = now, end
        heapq.heappush(self._open, (end, rows))
        return name

    def batch(self, name: BatchId) -> BatchView:
        """See `ports.BatchApi`."""
        begin, end = self._ends[name]
        ended = end <= self._night.now
        if ended:
            self._night.delays.append((self._night.now - end) / (end - begin))
        return BatchView(name, "ended" if ended else "in_progress", {}, begin, end if ended else None, None)

    def batches(self, since: datetime) -> Iterator[BatchView]:
        """See `ports.BatchApi`: none that is collected is of interest."""
        sent = {chunk.batch_id for chunk in self._night.ledger.chunks(product.RUN) if chunk.state is ChunkState.SENT}
        for name, (begin, _) in reversed(self._ends.items()):
            if begin < since:
                return
            if name in sent:
                yield self.batch(name)
