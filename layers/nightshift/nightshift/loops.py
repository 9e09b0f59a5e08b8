"""Loops that died: a run for which something is left to do, and whose execution is gone, gets the next one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from nightshift.decision import Policy, fingerprint, next_step
from nightshift.model import Chunk, Hold, HoldCode, Intent, Run, StepKind
from nightshift.ports import Clock, Executions, Ledger

RESTARTS = 3
"""Executions that died one after the other, with nothing changed, before the run is held."""

SETTLING = timedelta(minutes=5)
"""An execution that was started a moment ago may not be seen yet; submit may be between a run's record and it."""

_ANY_PACE = Policy(poll_min_seconds=30, poll_max_seconds=360, poll_percent=5, max_turns=1500)
"""How long a step would wait does not matter here, only which it is."""


class LoopState(StrEnum):
    """How a run's loop was found, or what was done about it."""

    NOT_NEEDED = "not needed"
    ALIVE = "alive"
    SETTLING = "settling"
    RESTARTED = "restarted"
    HELD = "held"
    """The run is held by us: restarting does not help."""
    GIVEN_UP = "given up"
    """It is held already, and restarting did not help."""


@dataclass(frozen=True, slots=True)
class LoopKeeper:
    """Keeps loops alive."""

    ledger: Ledger
    executions: Executions
    clock: Clock

    def keep(
        self, run: Run, chunks: Sequence[Chunk], intent: Intent | None, *, seen_dead: int | None = None
    ) -> LoopState:
        """Start a run's next execution, if it wants one and has none.

        Args:
            run: as the ledger has it.
            chunks: all of its chunks.
            intent: the create that may be under way in this stack.
            seen_dead: number of an execution that is known to have ended.
        """
        now = self.clock()
        if next_step(run, chunks, intent, now, _ANY_PACE).kind in {StepKind.DONE, StepKind.HELD}:
            return LoopState.NOT_NEEDED
        if self.executions.alive(run.run_id, run.execution):
            return LoopState.ALIVE
        if run.execution != seen_dead and now - (run.changed_at or run.created) < SETTLING:
            return LoopState.SETTLING
        seen = fingerprint(replace(run, hold=None), chunks)  # holding a run is no progress of it
        if run.restarts >= RESTARTS and run.restarted_at == seen:
            return self._give_up(run)
        if self.ledger.restart(run, seen):
            self.executions.start(run.run_id, run.execution + 1)
            return LoopState.RESTARTED
        return LoopState.SETTLING  # somebody else has moved it on

    def _give_up(self, run: Run) -> LoopState:
        reason = (
            f"Executions {run.execution - RESTARTS} to {run.execution} died, and nothing had changed in between. "
            "Their errors and the functions' logs say why; mend it, then resume."
        )
        held = self.ledger.hold(run.run_id, Hold(HoldCode.LOOP_DIES, reason, self.clock()))
        return LoopState.HELD if held else LoopState.GIVEN_UP
