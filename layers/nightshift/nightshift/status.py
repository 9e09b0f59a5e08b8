"""Status: the loop's look at a run. It writes down what it saw, and says what comes next."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift.decision import FRUITLESS_LIMIT, Policy, fingerprint, next_step, stuck, unsent, waits_to_send
from nightshift.errors import ApiError
from nightshift.model import BatchId, BatchView, Chunk, ChunkState, Hold, HoldCode, Intent, Run, RunId, Step, StepKind
from nightshift.ports import BatchApi, Clock, Executions, Ledger

ASK_EACH = 3
"""Up to so many batches are asked for one by one; more cost one list call per 1,000."""
LOOK_BACK = timedelta(minutes=5)
BACK_OFF_SECONDS, BACK_OFF_MAX_SECONDS = 30, 900
"""After a step that changed nothing: 30 s * 2^n, at most 15 min."""
POLLING = timedelta(seconds=30)
"""A look begins questions about batches for so long; what an API that says nothing leaves open is the next look's."""
CANCELING = timedelta(seconds=30)
"""A look goes on asking for cancels so long, of the 120 s that its function has; the next look does the others."""
ACTIVE = frozenset({StepKind.SUBMIT, StepKind.COLLECT, StepKind.REPORT})


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw and decided."""

    step: Step
    polled: int = 0
    """Batches that were asked about."""
    ended: int = 0
    """Batches that had ended since the last look."""
    canceled: int = 0
    """Batches whose cancel was asked for."""
    trouble: str = ""
    """Why the API could not be asked, where it could not: the next look tries again."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Looks at runs."""

    ledger: Ledger
    api: BatchApi
    executions: Executions
    clock: Clock
    policy: Policy

    def look(self, run_id: RunId, *, execution: str, turn: int) -> Look:
        """Look once.

        Args:
            run_id: the run.
            execution: name of the state machine execution that asks, `<run_id>-c0001`.
            turn: looks of this execution so far.

        Raises:
            RunNotFound: no such run.
        """
        run = self.ledger.run(run_id)
        number = int(re.sub(r".*-c", "", execution))
        if number < run.execution:
            self.executions.start(run_id, run.execution)  # in case whoever moved the loop died before starting it
            return Look(Step(StepKind.HANDED_OVER, reason=f"execution {run.execution} has the loop"))
        look = self._decide(run)
        if turn >= self.policy.max_turns and look.step.kind not in {StepKind.DONE, StepKind.HELD}:
            self.ledger.next_execution(run_id, number + 1)
            self.executions.start(run_id, number + 1)
            return replace(look, step=Step(StepKind.HANDED_OVER, reason=f"{turn} turns"))
        return look

    def _decide(self, run: Run) -> Look:
        chunks = self.ledger.chunks(run.run_id)
        polled = [c for c in chunks if c.state is ChunkState.SENT]
        troubles: list[str] = []
        seen = self._poll(polled, troubles)
        ended = self._write_down(seen)
        canceled = self._cancel(run, seen, troubles)
        if ended:
            chunks = self.ledger.chunks(run.run_id)
        now, intent = self.clock(), self.ledger.intent()
        run = replace(run, unsent_since=(run.unsent_since or now) if waits_to_send(run, chunks) else None)
        hold = next((h for c in chunks if (h := stuck(c, now))), None) or unsent(run, chunks, now)
        if run.hold is None and hold is not None:
            self.ledger.hold(run.run_id, hold)
            run = replace(run, hold=hold)
        if canceled:
            run = replace(run, changed_at=now)  # their end is near: look again soon
        run = self._progress(run, chunks, intent, now)
        step = next_step(run, chunks, intent, now, self.policy)
        if step.kind in ACTIVE and run.retry_at is not None and run.retry_at > now:
            seconds = max(1, int((run.retry_at - now).total_seconds()))
            step = Step(
                StepKind.WAIT, wait_seconds=seconds, reason=f"{step.kind} changed nothing, {run.fruitless} times"
            )
        self.ledger.looked(replace(run, dispatched=step.kind in ACTIVE))
        return Look(step, polled=len(polled), ended=ended, canceled=canceled, trouble="; ".join(troubles))

    def _progress(self, run: Run, chunks: Sequence[Chunk], intent: Intent | None, now: datetime) -> Run:
        """Note whether anything changed since the last look; hold a run whose steps do not change anything."""
        # The fingerprint leaves out chunks of a generation that has not begun; planning them is progress all the same.
        seen = f"{fingerprint(run, chunks)} {len(chunks)} {run.reported} {intent}"
        seen = hashlib.sha256(seen.encode()).hexdigest()[:16]
        if seen != run.progress:
            return replace(run, progress=seen, changed_at=now, fruitless=0, retry_at=None)
        if not run.dispatched:
            return run
        fruitless = run.fruitless + 1
        if fruitless >= FRUITLESS_LIMIT:
            reason = f"{fruitless} steps in a row changed nothing. The functions' logs say why; mend it, then resume."
            hold = Hold(HoldCode.NO_PROGRESS, reason, now)
            self.ledger.hold(run.run_id, hold)
            run = replace(run, hold=run.hold or hold)
        back_off = min(BACK_OFF_SECONDS * 2 ** (fruitless - 1), BACK_OFF_MAX_SECONDS)
        return replace(run, fruitless=fruitless, retry_at=now + timedelta(seconds=back_off))

    def _poll(self, sent: Sequence[Chunk], troubles: list[str]) -> list[tuple[Chunk, BatchView]]:
        """Ask the API about batches in flight. Trouble is no news, never an error."""
        if not sent:
            return []
        seen: dict[BatchId | None, BatchView] = {}
        try:
            seen.update((batch.id, batch) for batch in self._ask(sent, troubles))
        except ApiError as error:
            troubles.append(str(error))
        return [(chunk, seen[chunk.batch_id]) for chunk in sent if chunk.batch_id in seen]

    def _write_down(self, seen: Sequence[tuple[Chunk, BatchView]]) -> int:
        """Write down which batches have ended; return how many."""
        ended = [(chunk, batch) for chunk, batch in seen if batch.ended]
        for chunk, batch in ended:
            self.ledger.ended(chunk, batch)
        return len(ended)

    def _cancel(self, run: Run, seen: Sequence[tuple[Chunk, BatchView]], troubles: list[str]) -> int:
        """Cancel what a canceled run still has in progress; return how many. The next look tries again what failed.

        A batch that was found again may be another's, until its results are read: it is left to run.
        """
        if run.hold is None or run.hold.code is not HoldCode.CANCELED:
            return 0
        canceled, until = 0, self.clock() + CANCELING
        running = [(chunk, batch.id) for chunk, batch in seen if batch.processing_status == "in_progress"]
        for chunk, batch_id in running:
            if chunk.adopted:
                troubles.append(f"{batch_id} was adopted, and may be another's: it is not canceled")
            elif self.clock() < until:
                try:
                    self.api.cancel(batch_id)
                    canceled += 1
                except ApiError as error:
                    troubles.append(str(error))
        return canceled

    def _ask(self, sent: Sequence[Chunk], troubles: list[str]) -> Iterator[BatchView]:
        """Yield the batches of chunks, as many as the API tells of in time."""
        until = self.clock() + POLLING
        ids = [c.batch_id for c in sent if c.batch_id is not None]
        if len(ids) > ASK_EACH:
            since = min(c.sent_at for c in sent if c.sent_at is not None) - LOOK_BACK
            for batch in self.api.batches(since):
                yield batch
                if self._too_late(until, troubles):
                    return
            return
        for batch_id in ids:
            try:
                yield self.api.batch(batch_id)
            except ApiError as error:  # one that cannot be had is no reason not to ask for the others
                troubles.append(str(error))
            if self._too_late(until, troubles):
                return

    def _too_late(self, until: datetime, troubles: list[str]) -> bool:
        if self.clock() < until:
            return False
        troubles.append("the API is too slow to tell of more batches now")
        return True
