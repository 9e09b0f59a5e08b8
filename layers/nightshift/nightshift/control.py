"""What a person does to a run: hold it, cancel it, let it go on. The command line calls this with their credentials."""

from dataclasses import dataclass
from datetime import datetime

from nightshift import run_files
from nightshift.errors import Conflict
from nightshift.job import parse_job
from nightshift.model import ChunkState, Hold, HoldCode, Run, RunId, RunState
from nightshift.ports import Clock, Executions, Inputs, Ledger, Outputs


@dataclass(frozen=True, slots=True)
class Control:
    """Holds, cancels and resumes runs."""

    ledger: Ledger
    inputs: Inputs
    outputs: Outputs
    executions: Executions
    clock: Clock

    def hold(self, run_id: RunId, reason: str) -> bool:
        """Hold a run: nothing more is sent, what is in flight is collected. False where it is held or done.

        Raises:
            RunNotFound: no such run.
        """
        self.ledger.run(run_id)
        return self.ledger.hold(run_id, Hold(HoldCode.BY_HAND, reason, self.clock()))

    def cancel(self, run_id: RunId, reason: str) -> Run:
        """Hold a run for its loop to cancel its batches at the API, and start the next execution, to do so at once.

        What the batches have done by then is collected, and paid for. A hold that stands is replaced, its reason kept
        behind the new one. Again on a canceled run: its loop gets another try.

        Raises:
            RunNotFound: no such run.
            Conflict: the run is done.
        """
        run = self.ledger.run(run_id)
        if not self.ledger.cancel(run_id, _canceled(run.hold, reason, self.clock())):
            message = f"Run {run_id} is done; there is nothing to cancel."
            raise Conflict(message)
        return self._start_next(run)

    def resume(self, run_id: RunId, *, approve: bool = False) -> Run:
        """Let a run go on: lift its hold, and start the next execution of its loop.

        A run of which no batch was made takes the newest version of its job file, and is planned again where that
        changed: also after the API refused its first batch.

        Args:
            run_id: the run.
            approve: go on in spite of the reason it was held for (same rows, too many rejects, too many rows).

        Raises:
            RunNotFound: no such run.
            BadJob: the job file still cannot be used.
            Conflict: the run is done, or somebody else has held, canceled or resumed it meanwhile.
        """
        run = self.ledger.run(run_id)
        if run.state is RunState.DONE:
            message = f"Run {run_id} is done; there is nothing to resume."
            raise Conflict(message)
        if run.hold is not None:
            run = self._release(run, run.hold, approve=approve)
        return self._start_next(run)

    def _release(self, run: Run, hold: Hold, *, approve: bool) -> Run:
        """Lift the hold that was read, and no other: somebody may cancel the run meanwhile."""
        try:
            self._take_newest_job(run)
            return self.ledger.release(run, approve=hold.code if approve else None)
        except Conflict as error:
            message = f"Somebody else holds, cancels or resumes run {run.run_id} just now: look again. ({error})"
            raise Conflict(message) from None

    def _start_next(self, run: Run) -> Run:
        """Move the loop on, so that the next look is now; an execution that still lives hands over and ends."""
        self.ledger.next_execution(run.run_id, run.execution + 1)
        run = self.ledger.run(run.run_id)
        self.executions.start(run.run_id, run.execution)
        return run

    def _take_newest_job(self, run: Run) -> None:
        """Pin the newest job file and forget the plan, if no batch was made of it and the file is another one."""
        if any(c.state is not ChunkState.PLANNED for c in self.ledger.chunks(run.run_id)):
            return  # a batch was made of it, or may have been
        ref, text = self.inputs.job(run.job.name)
        parse_job(text, name=ref.name, key=ref.key, today=self.clock().date())
        if ref == run.job:
            return
        self.ledger.settle_nothing_more(run)  # it is reserved anew, for the new plan
        self.ledger.replan(self.ledger.run(run.run_id), ref, self.clock())
        for old in (run_files.plans(run.run_id, run.plan), run_files.rejects(run.run_id, run.plan)):
            self.outputs.clear(old)  # of no use; whoever still works on it may leave some more


def _canceled(standing: Hold | None, reason: str, now: datetime) -> Hold:
    if standing is None:
        return Hold(HoldCode.CANCELED, reason, now)
    if standing.code is HoldCode.CANCELED:
        return standing
    return Hold(HoldCode.CANCELED, f"{reason} (was held before, {standing.code}: {standing.reason})", now)
