"""What the ledger says of a run that is worth telling: each fact has a key of its own, metrics, and maybe an event."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce

from nightshift.events import BatchSent, Event, RunCompleted, RunFailed, RunHeld, RunStarted
from nightshift.model import REJECT_CLASSES, Chunk, ChunkState, RowClass, Run, RunState, Tally
from nightshift.money import usd
from nightshift.trigger import LoopEnded


class Metric(StrEnum):
    """What is measured of runs; names as CloudWatch has them, and the unit is told by how they end."""

    RUNS_STARTED = "RunsStarted"
    RUNS_DONE = "RunsDone"
    RUNS_HELD = "RunsHeld"
    RUNS_FAILED = "RunsFailed"
    RUN_SECONDS = "RunSeconds"
    """From a run's record to its last collected batch."""
    COST_PERCENT = "CostOfEstimatePercent"
    """What a run cost, in percent of what it was expected to cost."""
    ROWS_IN = "RowsIn"
    ROWS_REJECTED = "RowsRejected"
    """Never sent: rejected, duplicate or skipped."""
    ESTIMATED = "EstimatedUsd"
    BATCHES_SENT = "BatchesSent"
    BATCHES_ADOPTED = "BatchesAdopted"
    ROWS_ENDED = "RowsEnded"
    """The sum of the next seven."""
    ROWS_ANSWERED = "RowsAnswered"
    ROWS_REFUSED = "RowsRefused"
    ROWS_INVALID = "RowsInvalid"
    ROWS_ERRORED = "RowsErrored"
    ROWS_EXPIRED = "RowsExpired"
    ROWS_CANCELED = "RowsCanceled"
    ROWS_MISSING = "RowsMissing"
    ROWS_RETRIED = "RowsRetried"
    TICKETS_REFUSED = "TicketsRefused"
    ACTUAL = "ActualUsd"
    BATCH_SECONDS = "BatchSeconds"
    """From a batch's creation to its end."""
    COLLECT_SECONDS = "CollectSeconds"
    """From its end to its last applied result."""
    RUNS_OPEN = "RunsOpen"
    RUNS_LATE = "RunsLate"
    """Open runs that their jobs wanted ready by now."""
    MONTH_SPENT = "MonthSpentUsd"
    MONTH_COMMITTED = "MonthCommittedUsd"
    """Spent, or reserved by runs that are not done: what the cap is held against."""
    BUDGET_USED = "BudgetUsedPercent"
    """Of the monthly cap; absent where there is none."""


OF_CLASSES: Mapping[RowClass, Metric] = {
    RowClass.ANSWERED: Metric.ROWS_ANSWERED,
    RowClass.REFUSED: Metric.ROWS_REFUSED,
    RowClass.INVALID: Metric.ROWS_INVALID,
    RowClass.ERRORED: Metric.ROWS_ERRORED,
    RowClass.EXPIRED: Metric.ROWS_EXPIRED,
    RowClass.CANCELED: Metric.ROWS_CANCELED,
    RowClass.MISSING: Metric.ROWS_MISSING,
}
DONE = "done"
"""Key of a run's last fact."""
ENDED_RED = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so, and stays so."""

    key: str
    """Names it within its run: a fact is told once under its key."""
    metrics: Mapping[Metric, float]
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """What Step Functions said of one of a run's executions."""

    loop: LoopEnded
    status: str
    at: datetime


def of_run(run: Run, chunks: Sequence[Chunk], home: str) -> Iterator[Fact]:
    """Yield what the ledger says of a run.

    Args:
        run: the run.
        chunks: all of its chunks.
        home: address of everything it writes.
    """
    name = run.job.name
    yield Fact("started", {Metric.RUNS_STARTED: 1}, _started(run))
    if run.state is RunState.DONE or any(chunk.batch_id for chunk in chunks):  # until then it may be planned anew
        yield _planned(run, chunks)
    for chunk in chunks:
        if chunk.batch_id is not None:
            at = chunk.sent_at or run.created
            event = BatchSent(run.run_id, name, at, chunk.batch_id, chunk.id, chunk.rows, chunk.adopted)
            metrics = {Metric.BATCHES_SENT: 1, Metric.BATCHES_ADOPTED: int(chunk.adopted)}
            yield Fact(f"sent {chunk.id} {chunk.batch_id}", metrics, event)
        if chunk.state is ChunkState.COLLECTED:
            yield Fact(f"collected {chunk.id}", _collected(chunk))
    if run.hold is not None:
        event_held = RunHeld(run.run_id, name, run.hold.at, run.hold.code)
        yield Fact(f"held {run.hold.code} {run.hold.at.isoformat()}", {Metric.RUNS_HELD: 1}, event_held)
    if run.state is RunState.DONE:
        yield _completed(run, chunks, home)


def of_execution(run: Run, execution: Execution) -> Iterator[Fact]:
    """Yield what the end of an execution says of its run: a held run's ends red, too, and has not failed."""
    if execution.status in ENDED_RED and run.state is RunState.OPEN and run.hold is None:
        number = execution.loop.execution
        event = RunFailed(run.run_id, run.job.name, execution.at, number, execution.status)
        yield Fact(f"failed {number}", {Metric.RUNS_FAILED: 1}, event)


def _started(run: Run) -> RunStarted:
    return RunStarted(run.run_id, run.job.name, run.created, run.trigger, len(run.inputs))


def _planned(run: Run, chunks: Sequence[Chunk]) -> Fact:
    never = reduce(Tally.__add__, (chunk.planned for chunk in chunks), run.leftover).rows
    rejected = sum(count for row_class, count in never.items() if row_class in REJECT_CLASSES)
    metrics: dict[Metric, float] = {Metric.ROWS_IN: run.rows, Metric.ROWS_REJECTED: rejected}
    if run.estimate is not None:
        metrics[Metric.ESTIMATED] = float(usd(run.estimate.expected))
    return Fact("planned", metrics)


def _collected(chunk: Chunk) -> Mapping[Metric, float]:
    rows = chunk.tally.rows
    metrics: dict[Metric, float] = {metric: rows.get(row_class, 0) for row_class, metric in OF_CLASSES.items()}
    metrics |= {
        Metric.ROWS_ENDED: sum(metrics.values()),
        Metric.ROWS_RETRIED: chunk.tally.retryable,
        Metric.TICKETS_REFUSED: chunk.tally.tickets_refused,
        Metric.ACTUAL: float(usd(sum(chunk.tally.paid.values()))),
    }
    if chunk.sent_at and chunk.ended_at:
        metrics[Metric.BATCH_SECONDS] = (chunk.ended_at - chunk.sent_at).total_seconds()
    if chunk.ended_at and chunk.collected_at:
        metrics[Metric.COLLECT_SECONDS] = (chunk.collected_at - chunk.ended_at).total_seconds()
    return metrics


def _completed(run: Run, chunks: Sequence[Chunk], home: str) -> Fact:
    at = max((chunk.collected_at for chunk in chunks if chunk.collected_at), default=run.created)
    total = reduce(Tally.__add__, (part for chunk in chunks for part in (chunk.planned, chunk.tally)), run.leftover)
    cost = None if run.prices is None else usd(sum(total.paid.values()))
    estimate = None if run.estimate is None else usd(run.estimate.expected)
    counts = {row_class: count for row_class, count in total.rows.items() if count}
    metrics: dict[Metric, float] = {Metric.RUNS_DONE: 1, Metric.RUN_SECONDS: (at - run.created).total_seconds()}
    if cost is not None and estimate:
        metrics[Metric.COST_PERCENT] = float(100 * cost / estimate)
    event = RunCompleted(run.run_id, run.job.name, at, run.rows, counts, cost, estimate, home)
    return Fact(DONE, metrics, event)
