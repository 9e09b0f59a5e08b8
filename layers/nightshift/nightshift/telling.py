"""Telling: facts of the ledger become metrics and events, once they are durable there and from nowhere else.

No run waits for this, and none fails with it: it reads the ledger after the fact, and writes only what it has told.
An event goes out before that is written down, so it comes at least once; a metric after it, so it counts at most once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nightshift import facts
from nightshift.errors import BadTrigger
from nightshift.facts import Execution, Fact, Metric
from nightshift.model import Run, RunId, RunState
from nightshift.money import usd
from nightshift.ports import Bus, Clock, Diary, Ledger
from nightshift.run_files import home
from nightshift.trigger import LoopEnded, parse_audit

LOOK_BACK = timedelta(days=2)
"""Runs that are done are looked at for so long: what could not be told at once is told then."""

SCHEDULE = "nightshift.tell"
"""Source of the schedule's event."""


@dataclass(slots=True)
class Told:
    """What one invocation told, for its log line and its metrics."""

    runs: dict[RunId, Sequence[str]] = field(default_factory=dict)
    """Run → keys of the facts that were told of it."""
    measured: list[tuple[str, Mapping[Metric, float]]] = field(default_factory=list)
    """(job, metrics) of each fact."""
    gauges: dict[Metric, float] = field(default_factory=dict)
    """How things stand in the whole stack."""
    surprise: Exception | None = None
    """The first thing that went wrong: the other runs had their turn, and the next invocation tells the rest."""

    def raise_surprise(self) -> None:
        """Raise what went wrong, once all else is told."""
        if self.surprise is not None:
            raise self.surprise


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells what the ledger says."""

    book: Ledger
    """The ledger, after the fact."""
    diary: Diary
    bus: Bus
    clock: Clock
    bucket: str
    """Address of the output bucket: `s3://<bucket>/`."""
    cap: int | None
    """Of a month, in picodollars; None: there is none."""

    def handle(self, event: Mapping[str, Any]) -> Told:
        """Tell of the run whose execution began or ended, or of all of them.

        Raises:
            BadTrigger: the event is neither of an execution nor the schedule's.
        """
        told = Told()
        if event.get("source") == SCHEDULE:
            self._all(told)
            return told
        execution = _execution(event)
        self._one(told, execution.loop.run_id, execution)
        return told

    def _all(self, told: Told) -> None:
        now = self.clock()
        still_open = self.book.open_runs()
        recent = [run for run in self.book.runs_since(now - LOOK_BACK) if run.state is RunState.DONE]
        for run in (*still_open, *recent):
            self._one(told, run.run_id, None)
        told.gauges = self._gauges(still_open, now)

    def _one(self, told: Told, run_id: RunId, execution: Execution | None) -> None:
        try:
            job, new = self._tell(run_id, execution)
        except Exception as error:  # noqa: BLE001 - raised by whoever has written down what was told
            told.surprise = told.surprise or error
            return
        if new:
            told.runs[run_id] = [fact.key for fact in new]
            told.measured += [(job, fact.metrics) for fact in new]

    def _tell(self, run_id: RunId, execution: Execution | None) -> tuple[str, Sequence[Fact]]:
        """Tell of a run what was not told yet; return its job, and what nobody else has told meanwhile."""
        known = self.diary.told(run_id)
        if facts.DONE in known:  # nothing comes after it, and all before it was told with it
            return "", ()
        run, chunks = self.book.run(run_id), self.book.chunks(run_id)
        found = list(facts.of_run(run, chunks, self.bucket + home(run_id)))
        if execution is not None:
            found += facts.of_execution(run, execution)
        new = [fact for fact in found if fact.key not in known]
        if not new:
            return "", ()
        self.bus.put([fact.event for fact in new if fact.event is not None])
        mine = self.diary.tell(run_id, [fact.key for fact in new])
        return run.job.name, [fact for fact in new if fact.key in mine]

    def _gauges(self, still_open: Sequence[Run], now: datetime) -> dict[Metric, float]:
        month = self.book.budget(f"{now:%Y-%m}")
        gauges: dict[Metric, float] = {
            Metric.RUNS_OPEN: len(still_open),
            Metric.RUNS_LATE: sum(run.due_at is not None and run.due_at <= now for run in still_open),
            Metric.MONTH_SPENT: float(usd(month.spent)),
            Metric.MONTH_COMMITTED: float(usd(month.committed)),
        }
        if self.cap is not None:
            gauges[Metric.BUDGET_USED] = float(100 * usd(month.committed) / usd(self.cap))
        return gauges


def _execution(event: Mapping[str, Any]) -> Execution:
    match parse_audit(event), event:
        case LoopEnded() as loop, {"detail": {"status": str(status)}, "time": str(time)}:
            return Execution(loop, status, datetime.fromisoformat(time))
    raise BadTrigger(f"no event that tell knows: its keys are {sorted(event)[:10]}")
