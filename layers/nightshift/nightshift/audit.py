"""Audit: what nobody else would notice. Every quarter of an hour, and at once when an execution ends red.

Loops that died get their next execution, a create whose outcome is not known is settled, uploads and nights whose
events were lost are opened, batches that no chunk has are used or reported, and the ages of what waits are measured.
It starts nothing that was not asked for: each run that it opens or restarts is one that an event stands for.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, assert_never

from nightshift.decision import settles_at
from nightshift.deleting import Deleter
from nightshift.errors import ApiError
from nightshift.intake import REMEMBERED, Due, Intake, Opened
from nightshift.invariants import Violation, of_run, of_time
from nightshift.loops import LoopKeeper, LoopState
from nightshift.model import Chunk, ChunkState, Run, RunId, run_token
from nightshift.ports import Clock, Ledger
from nightshift.salvaging import Fate, Salvager
from nightshift.sending import Sender
from nightshift.trigger import LoopEnded, Night, Tick, parse_audit

MISSED_AFTER = timedelta(minutes=60)
"""A night that nobody has opened so long after it was due is opened here."""

SAME_NIGHT = timedelta(minutes=15)
"""Two schedules of the same rate(…) were made moments apart, and so are their nights."""

NIGHTS_BACK = timedelta(days=2)
"""An older night is not opened late: the next one has taken its files."""

MARGIN = timedelta(seconds=200)
"""Kept back from the deadline: a batch begun just before may take two tries of 70 s; the line in the log comes last."""


class Metric(StrEnum):
    """What an audit measures; names as CloudWatch has them. Those that end in `Seconds` are ages, the others counts."""

    HEARTBEAT = "AuditHeartbeat"
    LOOPS_ENDED = "LoopsEnded"
    LOOPS_RESTARTED = "LoopsRestarted"
    LOOPS_GIVEN_UP = "LoopsGivenUp"
    INTENT_AGE = "IntentAgeSeconds"
    ORPHANS = "OrphanBatches"
    DUPLICATES = "DuplicatePaid"
    FOREIGN = "ForeignBatches"
    SALVAGED = "BatchesSalvaged"
    LOST_UPLOADS = "LostUploads"
    NIGHTS_DUE = "NightsDue"
    MISSED_NIGHTS = "MissedRun"
    OLDEST_UNCOLLECTED = "OldestUncollectedSeconds"
    OLDEST_IN_FLIGHT = "OldestInFlightSeconds"
    OLDEST_UNSENT = "OldestUnsentSeconds"
    VIOLATIONS = "InvariantViolations"
    FAILED = "ChecksFailed"


OF_BATCHES = (Metric.ORPHANS, Metric.DUPLICATES)
OF_RUNS = (Metric.OLDEST_UNCOLLECTED, Metric.OLDEST_IN_FLIGHT, Metric.OLDEST_UNSENT, Metric.VIOLATIONS)
"""An alarm that stands on one of these must see the zero as well, when it was looked for and not found."""

_BATCHES: Mapping[Fate, Metric] = {
    Fate.ORPHAN: Metric.ORPHANS,
    Fate.PAID_TWICE: Metric.DUPLICATES,
    Fate.FOREIGN: Metric.FOREIGN,
    Fate.SALVAGED: Metric.SALVAGED,
}
_LOOPS: Mapping[LoopState, Metric] = {
    LoopState.RESTARTED: Metric.LOOPS_RESTARTED,
    LoopState.HELD: Metric.LOOPS_GIVEN_UP,
}


@dataclass(slots=True)
class Audited:
    """What one audit found and did, for its log line and its metrics."""

    metrics: Counter[Metric] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    """Sentences with ids and counts; never row data."""
    surprise: Exception | None = None
    """The first thing that a check did not expect: the other checks had their turn."""

    def note(self, metric: Metric | None, finding: str) -> None:
        """Count something, and say it."""
        if metric is not None:
            self.metrics[metric] += 1
        self.findings.append(finding)

    def oldest(self, metric: Metric, since: datetime | None, now: datetime) -> None:
        """Keep the greatest age, in seconds."""
        if since is not None:
            self.metrics[metric] = max(self.metrics[metric], int((now - since).total_seconds()))

    def check(self, what: str, look: Callable[[], None], *measured: Metric) -> None:
        """Let one check look, and count nothing as zero only where it could; what it did not expect is for the end."""
        before = self.metrics[Metric.FAILED]
        try:
            look()
        except ApiError as error:  # the API is away, or the key: the next audit looks again
            self.note(Metric.FAILED, f"{what}: {error}")
        except Exception as error:  # noqa: BLE001 - raised by whoever has written the audit down
            self.surprise = self.surprise or error
            self.note(Metric.FAILED, f"{what}: unexpected {type(error).__name__}")
        if self.metrics[Metric.FAILED] == before:
            self.metrics.update(dict.fromkeys(measured, 0))

    def raise_surprise(self) -> None:
        """Raise what a check did not expect, once all else is written down."""
        if self.surprise is not None:
            raise self.surprise


@dataclass(frozen=True, slots=True)
class Auditor:
    """Looks after what nobody else looks after."""

    ledger: Ledger
    intake: Intake
    sender: Sender
    salvager: Salvager
    deleter: Deleter
    keeper: LoopKeeper
    clock: Clock

    def handle(self, event: Mapping[str, Any], *, owner: str, deadline: datetime) -> Audited:
        """Do what an event asks for.

        Args:
            event: from the schedules, or Step Functions' about an execution; see `trigger.parse_audit`.
            owner: uuid of this invocation.
            deadline: when this invocation must be dead.

        Raises:
            BadTrigger: the event is none of these.
        """
        audited = Audited()
        match parse_audit(event):
            case Tick():
                return self.audit(owner=owner, deadline=deadline)
            case Night(scheduled_at=at):
                self.ledger.night_due(at)
                audited.note(Metric.NIGHTS_DUE, f"a night is due: {at.isoformat()}")
                return audited
            case LoopEnded(run_id=run_id, execution=number):
                audited.note(Metric.LOOPS_ENDED, f"execution {number} of {run_id} has ended red")
                audited.check(run_id, partial(self._loop, run_id, audited, seen_dead=number))
                return audited
            case other:
                assert_never(other)

    def audit(self, *, owner: str, deadline: datetime) -> Audited:
        """Check everything. A check that fails does not stop the others; whoever calls raises what it met."""
        audited = Audited(Counter({Metric.HEARTBEAT: 1, Metric.FAILED: 0}))
        audited.check("intent", partial(self._intent, audited), Metric.INTENT_AGE)
        audited.check("nights", partial(self._nights, audited, owner), Metric.MISSED_NIGHTS)
        audited.check("uploads", partial(self._open, Tick(), Metric.LOST_UPLOADS, audited, owner))
        audited.check("runs", partial(self._runs, audited, self._loop, self._hold_against), *OF_RUNS)
        # Behind the runs, since results that hang may use up the time.
        audited.check("batches", partial(self._batches, audited, deadline), *OF_BATCHES)
        audited.check("deletions", partial(self._delete, audited, deadline))
        if audited.metrics[Metric.SALVAGED]:  # a held run may want its loop for what it has now
            audited.check("loops", partial(self._runs, audited, self._loop))
        return audited

    def _intent(self, audited: Audited) -> None:
        """Settle a create whose outcome is not known, whoever's it is, when it is time."""
        intent, now = self.ledger.intent(), self.clock()
        if intent is None:
            return
        audited.oldest(Metric.INTENT_AGE, intent.created, now)
        if settles_at(intent) <= now:
            state = "settled" if self.sender.settle(intent) else "not settled yet"
            audited.note(None, f"the create of {intent.run_id} {intent.chunk}: {state}")

    def _nights(self, audited: Audited, owner: str) -> None:
        """Open nights that were due and that nobody has opened."""
        now = self.clock()
        nights = self.ledger.nights(now - NIGHTS_BACK)
        opened = [at for at, is_open in nights.items() if is_open]
        for at in nights:
            if now - at >= MISSED_AFTER and not any(abs(at - other) <= SAME_NIGHT for other in opened):
                audited.note(Metric.MISSED_NIGHTS, f"the night of {at.isoformat()} was missed")
                self._open(Night(at), None, audited, owner)

    def _open(self, due: Due, metric: Metric | None, audited: Audited, owner: str) -> None:
        for opened in self.intake.open(due, owner=owner, working_until=None):
            if isinstance(opened, Opened) and opened.fresh:
                audited.note(metric, f"{opened.run.run_id} is opened")

    def _batches(self, audited: Audited, deadline: datetime) -> None:
        """Use or report batches that no chunk has."""
        known = [*self.ledger.open_runs(), *self.ledger.runs_since(self.clock() - REMEMBERED)]
        runs = {run_token(run.run_id): run.run_id for run in known}
        for found in self.salvager.look(runs, deadline - MARGIN):
            audited.note(_BATCHES.get(found.fate), f"batch {found.batch_id}: {found.fate}: {found.why}")

    def _delete(self, audited: Audited, deadline: datetime) -> None:
        """Delete what the API keeps of runs that are done, where their jobs want it."""
        for run, batches in self.deleter.delete(self.ledger.runs_since(self.clock() - REMEMBERED), deadline - MARGIN):
            audited.note(None, f"{run.run_id}: its {batches} batches are deleted at the API")

    def _runs(self, audited: Audited, *looks: Callable[[RunId, Audited], None]) -> None:
        """Look at every open run, in each of these ways."""
        for run in self.ledger.open_runs():
            for look in looks:
                audited.check(run.run_id, partial(look, run.run_id, audited))

    def _loop(self, run_id: RunId, audited: Audited, *, seen_dead: int | None = None) -> None:
        run, chunks = self.ledger.run(run_id), self.ledger.chunks(run_id)
        state = self.keeper.keep(run, chunks, self.ledger.intent(), seen_dead=seen_dead)
        if state in _LOOPS or state is LoopState.GIVEN_UP:
            audited.note(_LOOPS.get(state), f"loop of {run_id}, execution {run.execution}: {state}")

    def _hold_against(self, run_id: RunId, audited: Audited) -> None:
        """Measure a run's ages and hold it against the invariants; only what a second reading finds too is broken."""
        run, chunks = self.ledger.run(run_id), self.ledger.chunks(run_id)
        _ages(run, chunks, audited, self.clock())
        broken = set(self._violations(run, chunks))
        if broken:
            broken &= set(self._violations(self.ledger.run(run_id), self.ledger.chunks(run_id)))
        for violation in sorted(broken, key=lambda v: (v.code, v.what)):
            audited.note(Metric.VIOLATIONS, f"{violation.code}: {violation.what}")

    def _violations(self, run: Run, chunks: Sequence[Chunk]) -> Iterable[Violation]:
        claims = self.ledger.claims(c.batch_id for c in chunks if c.batch_id is not None)
        return [*of_run(run, chunks, claims), *of_time(run, chunks, self.clock())]


def _ages(run: Run, chunks: Sequence[Chunk], audited: Audited, now: datetime) -> None:
    """How long rows have waited to be sent, batches have been in flight, and ended ones have waited to be collected."""
    if run.hold is None:
        audited.oldest(Metric.OLDEST_UNSENT, run.unsent_since, now)
    for chunk in chunks:
        if chunk.state is ChunkState.SENT:
            audited.oldest(Metric.OLDEST_IN_FLIGHT, chunk.sent_at, now)
        elif chunk.state in {ChunkState.ENDED, ChunkState.ARCHIVED}:
            audited.oldest(Metric.OLDEST_UNCOLLECTED, chunk.ended_at, now)
