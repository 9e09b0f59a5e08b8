"""Submit: from an event to batches at the API. EventBridge and the state machine invoke it; both may do so twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightshift.budgeting import Budgeter
from nightshift.decision import next_generation_due
from nightshift.intake import Due, Intake, Opened, Skipped
from nightshift.model import RunId
from nightshift.planning import Planner
from nightshift.ports import Clock, Ledger
from nightshift.sending import Sender
from nightshift.trigger import Continue, Ignored, parse


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one invocation did, for its log line."""

    runs: tuple[RunId, ...] = ()
    known: tuple[RunId, ...] = ()
    """Runs that an earlier delivery of the same event had opened."""
    skipped: tuple[str, ...] = ()
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Submitter:
    """Opens runs, plans them, sends them: as far as the time allows. The loop does the rest."""

    ledger: Ledger
    intake: Intake
    planner: Planner
    budgeter: Budgeter
    sender: Sender
    clock: Clock

    def handle(self, event: Mapping[str, Any], *, owner: str, deadline: datetime) -> Submitted:
        """Do what an event asks for.

        Args:
            event: from EventBridge, the schedule, a person, or the state machine; see `trigger.parse`.
            owner: uuid of this invocation.
            deadline: when this invocation must be dead.

        Raises:
            BadTrigger: the event can start nothing, and trying again cannot help.
        """
        match parse(event):
            case Continue(run_id=run_id):
                return Submitted(runs=(run_id,), batches=self._work(run_id, owner, deadline))
            case Ignored(reason=reason, code=code):
                return Submitted(skipped=(f"{code}: {reason}",))
            case due:
                return self._open(due, owner, deadline)

    def _open(self, due: Due, owner: str, deadline: datetime) -> Submitted:
        opened = list(self.intake.open(due, owner=owner, working_until=deadline))
        fresh = [o.run.run_id for o in opened if isinstance(o, Opened) and o.fresh]
        return Submitted(
            runs=tuple(fresh),
            known=tuple(o.run.run_id for o in opened if isinstance(o, Opened) and not o.fresh),
            skipped=tuple(f"{o.what}: {o.reason}" for o in opened if isinstance(o, Skipped)),
            batches=self._work_all(fresh, owner, deadline),
        )

    def _work_all(self, runs: Iterable[RunId], owner: str, deadline: datetime) -> int:
        batches = 0
        for run_id in runs:
            batches += self._work(run_id, owner, deadline)
            self.ledger.work_until(run_id, None)
        return batches

    def _work(self, run_id: RunId, owner: str, deadline: datetime) -> int:
        """Plan and send one run as far as the time allows. Returns the batches created."""
        run = self.ledger.run(run_id)
        if run.hold is None and not run.planned and not self.planner.plan(run, deadline):
            return 0
        self.budgeter.prepare(run_id)
        sent = self.sender.send(run_id, owner=owner, deadline=deadline)
        run = self.ledger.run(run_id)
        due = run.hold is None and next_generation_due(run, self.ledger.chunks(run_id))
        if due and self.planner.plan_retries(run, deadline):
            self.budgeter.prepare(run_id)
            sent += self.sender.send(run_id, owner=owner, deadline=deadline)
        return sent
