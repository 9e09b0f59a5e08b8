"""Telling: every event at least once, every metric at most once, and no run's trouble keeps another from its turn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import boto3
import pytest

from nightshift.adapters.diary import DynamoDiary
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import BadTrigger, EventsNotTaken
from nightshift.events import Event, RunFailed, RunStarted
from nightshift.facts import Metric
from nightshift.model import ChunkId, Hold, HoldCode, RunId
from nightshift.money import PICO
from nightshift.telling import LOOK_BACK, Teller, Told
from tests.unit.conftest import START, MovableClock
from tests.unit.made import MONTH, RUN, batch, chunk, input_ref, intent, run

TICK = {"source": "nightshift.tell"}
OTHER = RunId("triage-20261122-other234")


@dataclass
class MemoryBus:
    """An event bus that remembers, and may refuse."""

    events: list[Event] = field(default_factory=list)
    refuses: str = ""
    """Id of the run whose events it does not take."""

    def put(self, events: Sequence[Event]) -> None:
        if any(event.run_id == self.refuses for event in events):
            raise EventsNotTaken("the bus is full")
        self.events += events


@dataclass
class Desk:
    """A ledger and who tells of it."""

    ledger: DynamoLedger
    teller: Teller
    bus: MemoryBus
    clock: MovableClock

    def tick(self) -> Told:
        return self.teller.handle(TICK)


@pytest.fixture
def desk(aws_endpoint: str, runs_table: str, ledger: DynamoLedger, clock: MovableClock) -> Desk:
    diary = DynamoDiary(boto3.client("dynamodb", endpoint_url=aws_endpoint), runs_table)
    bus = MemoryBus()
    return Desk(ledger, Teller(ledger, diary, bus, clock, "s3://outputs/", 10 * PICO), bus, clock)


def execution(status: str, name: str = f"{RUN}-c0001") -> dict[str, Any]:
    """Return what EventBridge says of an execution."""
    return {"source": "aws.states", "time": "2026-11-22T03:00:00Z", "detail": {"name": name, "status": status}}


def counted(told: Told) -> dict[str, float]:
    """Add up what was measured."""
    total: dict[str, float] = {}
    for _, metrics in told.measured:
        for name, value in metrics.items():
            total[name] = total.get(name, 0) + value
    return total


def test_what_was_told_is_not_told_again(desk: Desk) -> None:
    desk.ledger.create_run(run())

    first, second = desk.tick(), desk.tick()

    assert (first.runs, first.measured) == ({RUN: ["started"]}, [("triage", {Metric.RUNS_STARTED: 1})])
    assert (second.runs, second.measured) == ({}, [])
    assert desk.bus.events == [RunStarted(RUN, "triage", START, trigger="upload", inputs=1)]


def test_an_execution_s_beginning_tells_of_its_run_at_once_and_of_no_other(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.ledger.create_run(run(OTHER, inputs=(input_ref("inbox/triage/b.jsonl"),)))

    told = desk.teller.handle(execution("RUNNING"))

    assert (told.runs, told.gauges) == ({RUN: ["started"]}, {})


def test_an_execution_that_fails_is_told_of_beside_what_the_ledger_says(desk: Desk) -> None:
    desk.ledger.create_run(run())

    told = desk.teller.handle(execution("FAILED"))

    assert told.runs == {RUN: ["started", "failed 1"]}
    assert desk.bus.events[1] == RunFailed(RUN, "triage", START + timedelta(hours=1), execution=1, status="FAILED")


@pytest.mark.parametrize("event", [{}, {"source": "nightshift.audit"}, execution("FAILED", "somebody-else-s")])
def test_an_event_of_something_else_is_refused(desk: Desk, event: dict[str, Any]) -> None:
    with pytest.raises(BadTrigger):
        desk.teller.handle(event)


def test_events_that_the_bus_does_not_take_are_not_written_down_and_come_with_the_next_look(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.bus.refuses = RUN

    failed = desk.tick()

    assert (failed.runs, failed.measured) == ({}, [])
    with pytest.raises(EventsNotTaken):
        failed.raise_surprise()
    desk.bus.refuses = ""
    assert desk.tick().runs == {RUN: ["started"]}


def test_one_run_s_trouble_keeps_no_other_from_its_turn_nor_the_gauges(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.ledger.create_run(run(OTHER, inputs=(input_ref("inbox/triage/b.jsonl"),)))
    desk.bus.refuses = RUN

    told = desk.tick()

    assert told.runs == {OTHER: ["started"]}
    assert told.gauges[Metric.RUNS_OPEN] == 2
    assert isinstance(told.surprise, EventsNotTaken)


def test_two_tellers_at_once_may_both_put_an_event_but_only_one_counts_it(desk: Desk) -> None:
    desk.ledger.create_run(run())
    twin, told = Teller(desk.ledger, desk.teller.diary, MemoryBus(), desk.clock, "s3://outputs/", None), Told()

    class Between(MemoryBus):
        def put(self, events: Sequence[Event]) -> None:
            super().put(events)
            nonlocal told
            told = twin.handle(TICK)

    slow = Teller(desk.ledger, desk.teller.diary, Between(), desk.clock, "s3://outputs/", None)

    assert counted(slow.handle(TICK)) == {}
    assert counted(told) == {Metric.RUNS_STARTED: 1}


def test_a_run_that_is_done_is_told_of_later_where_it_could_not_be_at_once_and_then_left_alone(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.ledger.finish_plan(run(rows=0, plan_digest="d"))
    desk.ledger.reported(RUN, "f", done=True)
    desk.clock.move(hours=47)

    assert desk.tick().runs == {RUN: ["started", "planned", "done"]}
    assert desk.teller.handle(execution("FAILED")).runs == {}


def test_a_run_that_was_done_long_ago_is_not_looked_at(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.ledger.reported(RUN, "f", done=True)
    desk.clock.move(seconds=LOOK_BACK.total_seconds() + 1)

    assert desk.tick().runs == {}


def test_each_batch_is_told_when_it_is_made(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.ledger.plan_chunk(chunk())
    desk.tick()
    desk.ledger.start_send(chunk(), intent())
    desk.ledger.sent(intent(), batch(), adopted=False)

    assert desk.tick().runs == {RUN: ["planned", "sent g0-000001 msgbatch_01"]}


def test_the_gauges_are_the_month_s_money_beside_its_cap_and_the_runs_that_are_late(desk: Desk) -> None:
    due = START + timedelta(hours=5)
    desk.ledger.create_run(run(due_at=due, reserved=None, planned=True))
    desk.ledger.create_run(run(OTHER, inputs=(input_ref("inbox/triage/b.jsonl"),)))
    desk.ledger.reserve(desk.ledger.run(RUN), per_row=PICO, rows=8, month=MONTH, cap=None)
    on_time = desk.tick().gauges
    desk.clock.move(hours=5)

    late = desk.tick().gauges

    assert on_time == {
        Metric.RUNS_OPEN: 2,
        Metric.RUNS_LATE: 0,
        Metric.MONTH_SPENT: 0,
        Metric.MONTH_COMMITTED: 8,
        Metric.BUDGET_USED: 80,
    }
    assert late == on_time | {Metric.RUNS_LATE: 1}


def test_without_a_cap_nothing_of_it_is_used(desk: Desk) -> None:
    teller = Teller(desk.ledger, desk.teller.diary, desk.bus, desk.clock, "s3://outputs/", None)
    assert Metric.BUDGET_USED not in teller.handle(TICK).gauges


def test_a_held_run_is_told_of_once_for_each_hold(desk: Desk) -> None:
    desk.ledger.create_run(run())
    desk.tick()
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "wrong file", START))

    assert counted(desk.tick()) == {Metric.RUNS_HELD: 1}
    assert counted(desk.tick()) == {}


def test_a_run_of_more_batches_than_an_item_has_room_for_is_told_of_to_its_end(desk: Desk) -> None:
    diary = desk.teller.diary
    assert isinstance(diary, DynamoDiary)
    keys = [
        f"{what} {ChunkId(f'g0-{number:06}')}{batch}"
        for number in range(1, 8_001)
        for what, batch in (("sent", f" msgbatch_{number:024}"), ("collected", ""))
    ]

    fresh = diary.tell(RUN, ["started", *keys])
    again = diary.tell(RUN, ["done", keys[0], keys[-1]])

    assert len(fresh) == 16_001
    assert again == {"done"}
    assert diary.told(RUN) == {"started", "done", *keys}
    sizes = [sum(map(len, item["facts"])) for item in diary._items.query(f"TOLD#{RUN}", "FACTS")]
    assert max(sizes) < 400_000 < sum(sizes)  # DynamoDB's limit for an item, which moto does not hold to here
