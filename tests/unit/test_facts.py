"""What is told of a run: each fact once, with the numbers of the ledger and nothing of its rows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nightshift.events import BatchSent, RunCompleted, RunFailed, RunHeld, RunStarted
from nightshift.facts import DONE, Execution, Fact, Metric, of_execution, of_run
from nightshift.model import BatchId, ChunkId, ChunkState, Estimate, Hold, HoldCode, RowClass, RunState, Tally
from nightshift.money import PICO
from nightshift.prices import price_sheet
from nightshift.trigger import LoopEnded
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, run

HOME = f"s3://outputs/runs/{RUN}/"
BATCH = BatchId("msgbatch_01")
STARTED = Fact("started", {Metric.RUNS_STARTED: 1}, RunStarted(RUN, "triage", START, trigger="upload", inputs=1))
ESTIMATE = Estimate(
    rows=4, input_tokens=1, input_cost=1, input_low=1, input_high=1, input_synchronous=1, sample=1, at=START,
    expected=PICO // 10,
)  # fmt: skip
COLLECTED = chunk(
    state=ChunkState.COLLECTED,
    batch_id=BATCH,
    sent_at=START + timedelta(minutes=1),
    ended_at=START + timedelta(minutes=31),
    collected_at=START + timedelta(minutes=32),
    planned=Tally(rows={RowClass.REJECTED: 1, RowClass.DUPLICATE: 2}),
    tally=Tally(
        rows={RowClass.ANSWERED: 2, RowClass.EXPIRED: 1},
        paid={"input": PICO // 20, "output": PICO // 10},
        retryable=3,
        tickets_refused=1,
        reasons={"expired": 1},
    ),
)
SENT = BatchSent(RUN, "triage", START + timedelta(minutes=1), BATCH, ChunkId("g0-000001"), rows=3, adopted=False)


def test_a_run_that_was_opened_has_started_and_nothing_else_has_happened() -> None:
    assert list(of_run(run(), [], HOME)) == [STARTED]


def test_a_plan_counts_once_a_batch_was_made_of_it_since_until_then_it_may_be_forgotten() -> None:
    planned = run(planned=True, rows=7, estimate=ESTIMATE, leftover=Tally(rows={RowClass.REJECTED: 1}))
    assert [fact.key for fact in of_run(planned, [chunk()], HOME)] == ["started"]

    adopted = replace(COLLECTED, state=ChunkState.SENT, adopted=True, tally=Tally())

    assert list(of_run(planned, [adopted], HOME)) == [
        STARTED,
        Fact("planned", {Metric.ROWS_IN: 7, Metric.ROWS_REJECTED: 4, Metric.ESTIMATED: 0.1}),
        Fact(
            "sent g0-000001 msgbatch_01",
            {Metric.BATCHES_SENT: 1, Metric.BATCHES_ADOPTED: 1},
            replace(SENT, adopted=True),
        ),
    ]


def test_a_collected_batch_tells_what_became_of_its_rows_what_they_cost_and_how_long_it_took() -> None:
    facts = {fact.key: fact for fact in of_run(run(), [COLLECTED], HOME)}

    assert facts["collected g0-000001"] == Fact(
        "collected g0-000001",
        {
            Metric.ROWS_ANSWERED: 2,
            Metric.ROWS_REFUSED: 0,
            Metric.ROWS_INVALID: 0,
            Metric.ROWS_ERRORED: 0,
            Metric.ROWS_EXPIRED: 1,
            Metric.ROWS_CANCELED: 0,
            Metric.ROWS_MISSING: 0,
            Metric.ROWS_ENDED: 3,
            Metric.ROWS_RETRIED: 3,
            Metric.TICKETS_REFUSED: 1,
            Metric.ACTUAL: 0.15,
            Metric.BATCH_SECONDS: 1800,
            Metric.COLLECT_SECONDS: 60,
        },
    )


def test_a_run_that_is_done_tells_its_counts_its_cost_and_where_its_files_are() -> None:
    prices = price_sheet("claude-haiku-4-5", START.date())
    done = run(state=RunState.DONE, planned=True, rows=6, estimate=ESTIMATE, prices=prices)

    *_, last = of_run(done, [COLLECTED], HOME)

    counts = {RowClass.REJECTED: 1, RowClass.DUPLICATE: 2, RowClass.ANSWERED: 2, RowClass.EXPIRED: 1}
    at = START + timedelta(minutes=32)
    cost, estimate = Decimal("0.15"), Decimal("0.1")
    assert last == Fact(
        DONE,
        {Metric.RUNS_DONE: 1, Metric.RUN_SECONDS: 1920, Metric.COST_PERCENT: 150},
        RunCompleted(RUN, "triage", at, 6, counts, cost_usd=cost, estimate_usd=estimate, files=HOME),
    )


def test_a_run_without_a_price_has_no_cost_rather_than_none_to_pay() -> None:
    *_, last = of_run(run(state=RunState.DONE, planned=True, rows=0), [], HOME)

    assert last == Fact(
        DONE,
        {Metric.RUNS_DONE: 1, Metric.RUN_SECONDS: 0},
        RunCompleted(RUN, "triage", START, 0, {}, cost_usd=None, estimate_usd=None, files=HOME),
    )


def test_a_hold_is_told_by_its_code_each_time_anew_and_never_by_its_words() -> None:
    def held(code: HoldCode, minutes: int) -> Fact:
        hold = Hold(code, "the API said: canary-4711", START + timedelta(minutes=minutes))
        *_, last = of_run(run(hold=hold), [], HOME)
        return last

    first, second = held(HoldCode.API_REJECTED, 1), held(HoldCode.API_REJECTED, 2)

    event = RunHeld(RUN, "triage", START + timedelta(minutes=1), HoldCode.API_REJECTED)
    assert (first.metrics, first.event) == ({Metric.RUNS_HELD: 1}, event)
    assert first.key != second.key
    assert "canary" not in str([first, second])


def test_an_execution_that_ends_red_is_a_failure_only_of_a_run_that_goes_on() -> None:
    end = START + timedelta(hours=1)

    def told(status: str, **changes: Any) -> list[Fact]:
        return list(of_execution(run(**changes), Execution(LoopEnded(RUN, 2), status, end)))

    failed = [Fact("failed 2", {Metric.RUNS_FAILED: 1}, RunFailed(RUN, "triage", end, execution=2, status="TIMED_OUT"))]
    assert told("TIMED_OUT") == failed
    assert told("SUCCEEDED") == told("RUNNING") == []
    assert told("FAILED", hold=Hold(HoldCode.BY_HAND, "why", START)) == []
    assert told("FAILED", state=RunState.DONE) == []
