"""Results: collect ended batches, chunk by chunk, until none is left or time is up. Several workers do it at once."""

import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift import run_files
from nightshift.applying import Applier
from nightshift.archiving import archive_results
from nightshift.budgeting import month_of
from nightshift.decision import GRACE_LOST, collectable
from nightshift.errors import Conflict, ForeignBatch, NightshiftError, NotAccepted, ResultsIncomplete
from nightshift.job import parse_job
from nightshift.model import Chunk, ChunkId, ChunkState, Intent, RunId, Worker
from nightshift.ports import BatchApi, Clock, Ledger, Outputs, Tickets

MARGIN = timedelta(seconds=30)
"""Work stops this long before the deadline: a block's writes under way must end before."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""A failing chunk is kept back for twice as long each time."""

SETTLE_TRIES = 10
"""Other chunks settle beside this one, and a pilot's judgement changes what is reserved."""

SENDER_LIFE = timedelta(minutes=15)
"""The longest a Lambda lives: a batch is created at most this long after its intent, give or take a clock."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Takes ended chunks, archives their results, and applies them."""

    ledger: Ledger
    api: BatchApi
    outputs: Outputs
    tickets: Tickets
    clock: Clock

    def collect(self, run_id: RunId, worker_no: int, deadline: datetime) -> Mapping[str, int]:
        """Collect until nothing is left to take.

        Args:
            run_id: the run.
            worker_no: which of the workers side by side, from 1: they begin at different chunks.
            deadline: when this invocation must be dead.

        Returns:
            Counts for the log, those that are not 0: `collected`, `failed`, `lost` (to another worker) and `unfinished`
            chunks; of the collected ones `rows`, `tickets_refused`, and `strange` lines in the results.

        Raises:
            Exception: what nobody expected of a chunk, after its failure was recorded and the others had their turn.
        """
        counts: Counter[str] = Counter()
        surprises: list[Exception] = []
        tried: set[ChunkId] = set()
        applier = self._applier(run_id)
        while (taken := self._take(run_id, worker_no, deadline, tried)) is not None:
            chunk, worker = taken
            try:
                counts += self._collect_chunk(applier, chunk, worker)
            except Conflict as error:
                counts["lost"] += 1
                self._fail(chunk, worker, error)
            except ForeignBatch:
                counts["failed"] += 1
                self._disown(chunk, worker)
            except NightshiftError as error:
                counts["failed"] += 1
                self._fail(chunk, worker, error)
            except Exception as error:  # noqa: BLE001 - one chunk's surprise is not the others'; raised below
                counts["failed"] += 1
                surprises.append(error)
                self._fail(chunk, worker, error)
        if surprises:
            raise surprises[0]
        return counts

    def _applier(self, run_id: RunId) -> Applier:
        run = self.ledger.run(run_id)
        key = run_files.job(
            run_id, run.plan
        )  # the job as it was planned: a change of the file since is not for this run
        with self.outputs.open(key) as stream:
            job = parse_job(stream.read(), name=run.job.name, key=key)
        return Applier(self.ledger, self.outputs, self.tickets, self.clock, run, job)

    def _take(
        self, run_id: RunId, worker_no: int, deadline: datetime, tried: set[ChunkId]
    ) -> tuple[Chunk, Worker] | None:
        """Take the next chunk that is ready and was not tried by this invocation."""
        now = self.clock()
        if now >= deadline - MARGIN:
            return None
        ready = [c for c in self.ledger.chunks(run_id) if c.id not in tried and collectable(c, now)]
        first = (worker_no - 1) % len(ready) if ready else 0
        for chunk in ready[first:] + ready[:first]:
            worker = Worker(str(uuid.uuid4()), deadline)
            if (taken := self.ledger.take(chunk, worker, now)) is not None:
                tried.add(chunk.id)
                return taken, worker
        return None

    def _collect_chunk(self, applier: Applier, chunk: Chunk, worker: Worker) -> Counter[str]:
        stop_at = worker.until - MARGIN
        if chunk.state is ChunkState.ENDED:
            archive = archive_results(self.api, self.outputs, self.clock, chunk, stop_at=stop_at)
            if archive is None:
                self.ledger.let_go(chunk, worker)
                return Counter(unfinished=1)
            chunk = self.ledger.archived(chunk, worker, archive)
        chunk = applier.apply(chunk, worker, stop_at=stop_at)
        if chunk.archive is None or chunk.applied < chunk.archive.size:
            self.ledger.let_go(chunk, worker)
            return Counter(unfinished=1)
        self._settle(chunk, worker)
        refused, strange = chunk.tally.tickets_refused, chunk.archive.strange
        return Counter(collected=1, rows=chunk.rows, tickets_refused=refused, strange=strange)

    def _settle(self, chunk: Chunk, worker: Worker) -> None:
        """End a chunk, and turn what its rows had reserved into what they cost."""
        now = self.clock()
        ended = replace(chunk, collected_at=now)
        for _ in range(SETTLE_TRIES):
            run = self.ledger.run(chunk.run_id)
            try:
                self.ledger.collected(ended, worker, run, month_of(now))
            except Conflict:
                if self.ledger.run(chunk.run_id) == run:
                    raise  # it was not the run's money that changed: the chunk is another's
            else:
                return
        message = f"The money of run {chunk.run_id} changed {SETTLE_TRIES} times while {chunk.id} was settled."
        raise Conflict(message)

    def _fail(self, chunk: Chunk, worker: Worker, error: Exception) -> None:
        """Keep the chunk back for a while, if it is still this worker's."""
        current = next((c for c in self.ledger.chunks(chunk.run_id) if c.id == chunk.id), chunk)
        if current.worker != worker:
            return
        # Only our own errors are known to hold nothing of a row.
        text = str(error) if isinstance(error, NightshiftError) else "unexpected; see the log of the results function"
        with suppress(Conflict):  # it has a new worker by now
            self.ledger.failed(
                current, not_before=self.clock() + _pause(current, error), error=f"{type(error).__name__}: {text}"
            )

    def _disown(self, chunk: Chunk, worker: Worker) -> None:
        """Let reconciliation look for the chunk's own batch, in the time in which it must have been made."""
        if chunk.batch_id is None:
            return
        sent = chunk.sent_at or self.clock()
        intent = Intent(
            chunk.run_id,
            chunk.id,
            chunk.attempt,
            chunk.rows,
            owner=worker.id,
            created=sent
            - SENDER_LIFE
            - GRACE_LOST,  # the batch looked right, so it was made within grace of the sender
            deadline=sent + SENDER_LIFE,
            excluded=(chunk.batch_id,),
        )
        try:
            self.ledger.disown(chunk, worker, intent)
        except Conflict as error:  # another create is unresolved: first things first
            self._fail(chunk, worker, error)


def _pause(chunk: Chunk, error: Exception) -> timedelta:
    """Return how long to keep a chunk back after one more failure.

    Where the same is wrong with the results a second time, an hour: the third reading settles it, and a bad quarter of
    an hour must not.
    """
    if isinstance(error, ResultsIncomplete) and error.reading > 1:
        return LONGEST_PAUSE
    asked = timedelta(seconds=error.retry_after) if isinstance(error, NotAccepted) else timedelta()
    return max(asked, min(FIRST_PAUSE * (1 << min(chunk.failures, 10)), LONGEST_PAUSE))
