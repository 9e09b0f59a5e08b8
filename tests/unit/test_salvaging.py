"""Batches that no chunk has: paid results are used where they can be, and nothing else is touched."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger, batch_key
from nightshift.adapters.items import to_wire
from nightshift.errors import Ambiguous
from nightshift.model import (
    BatchId,
    BatchView,
    Chunk,
    ChunkState,
    Claim,
    Hold,
    HoldCode,
    JobRef,
    RunId,
    custom_id,
    run_token,
)
from nightshift.salvaging import Fate, Found, Salvager
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.made import RUN, chunk, intent, run

HOUR = timedelta(hours=1)
FIRST = chunk().id


@dataclass
class Desk:
    """A run of one planned chunk, and an API with batches of who knows whom."""

    ledger: DynamoLedger
    api: FakeApi
    clock: MovableClock

    def look(self, minutes: float = 10) -> list[Found]:
        salvager = Salvager(self.ledger, self.api, self.clock)
        return list(salvager.look({run_token(RUN): RUN}, self.clock() + timedelta(minutes=minutes)))

    def fates(self) -> list[Fate]:
        return [found.fate for found in self.look()]

    def orphan(self, *, age: timedelta = HOUR, rows: int = 3, run_id: RunId = RUN, **counts: int) -> BatchView:
        """Put an ended batch there that nobody has claimed, with results of the run's first chunk."""
        made = self.api.add(rows, age=age)
        self.api.end(made.id, f'{{"custom_id": "{custom_id(run_id, FIRST, 1)}"}}\n'.encode())
        if counts:
            self.api.stored[made.id] = replace(self.api.stored[made.id], request_counts=counts)
        return self.api.stored[made.id]

    def send(self, *, adopted: bool = False) -> BatchId:
        """Let the chunk be sent, as submit does."""
        made = self.api.add(3)
        self.ledger.start_send(self.chunk(), replace(intent(), attempt=self.chunk().attempt + 1))
        self.ledger.sent(replace(intent(), attempt=self.chunk().attempt), made, adopted=adopted)
        return made.id

    def chunk(self) -> Chunk:
        (only,) = self.ledger.chunks(RUN)
        return only

    def claim(self, batch_id: BatchId) -> Claim | None:
        return self.ledger.claims([batch_id]).get(batch_id)


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Iterator[Desk]:
    ledger.create_run(run())
    ledger.plan_chunk(chunk())
    ledger.finish_plan(run(rows=3, plan_digest="d"))
    clock.move(hours=3)
    yield Desk(ledger, FakeApi(clock), clock)
    assert ledger.run(RUN).state == "open"


def test_a_planned_chunk_takes_its_orphan_and_is_not_sent_again(desk: Desk) -> None:
    orphan = desk.orphan()

    (found,) = desk.look()

    assert found == Found(orphan.id, Fate.SALVAGED, f"{RUN} {FIRST} was planned, and has it now")
    now = desk.chunk()
    assert (now.state, now.batch_id, now.adopted, now.attempt) == (ChunkState.SENT, orphan.id, True, 0)
    assert desk.claim(orphan.id) == Claim(RUN, FIRST)
    assert desk.look() == []


def test_a_held_run_takes_its_orphan_too_because_that_sends_nothing(desk: Desk) -> None:
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    desk.orphan()

    assert desk.fates() == [Fate.SALVAGED]


def test_a_batch_of_which_a_create_may_still_be_told_is_no_orphan_yet(desk: Desk) -> None:
    desk.orphan(age=timedelta(minutes=45))
    assert desk.look() == []

    desk.clock.move(seconds=1)
    assert desk.fates() == [Fate.SALVAGED]


def test_a_batch_that_a_standing_intent_may_adopt_is_left_to_it(desk: Desk) -> None:
    ours = desk.orphan()
    created = desk.clock() - HOUR - timedelta(minutes=1)
    standing = replace(intent(), created=created, deadline=created + timedelta(minutes=15))
    desk.ledger.start_send(desk.chunk(), standing)

    (found,) = desk.look()

    assert (found.fate, found.why) == (Fate.WAITING, f"the create of {RUN} {FIRST} may have made it")
    assert desk.claim(ours.id) is None


def test_a_chunk_whose_create_is_not_settled_takes_no_orphan(desk: Desk) -> None:
    ours = desk.orphan(age=2 * HOUR)
    desk.ledger.start_send(desk.chunk(), replace(intent(), created=desk.clock()))

    (found,) = desk.look()

    assert (found.fate, found.why) == (Fate.WAITING, f"a create of {RUN} {FIRST} is not settled")
    assert desk.claim(ours.id) is None


def test_an_orphan_takes_the_place_of_a_batch_that_still_runs_which_is_canceled(desk: Desk) -> None:
    orphan = desk.orphan()
    second = desk.send()

    assert desk.fates() == [Fate.SALVAGED]

    assert (desk.chunk().state, desk.chunk().batch_id) == (ChunkState.SENT, orphan.id)
    assert desk.api.cancels == [second]
    assert desk.claim(second) == Claim(RUN, FIRST, superseded=True)
    assert desk.look() == []  # it is canceling: nothing is to be done, and nothing to be told


def test_what_a_chunk_had_adopted_and_not_read_is_not_canceled_when_its_own_batch_shows(desk: Desk) -> None:
    orphan = desk.orphan()
    adopted = desk.send(adopted=True)

    (found,) = desk.look()

    where = f"{RUN} {FIRST} has it in place of {adopted}, which may be another's and runs on"
    assert found == Found(orphan.id, Fate.SALVAGED, where)
    assert (desk.chunk().batch_id, desk.api.cancels) == (orphan.id, [])
    assert desk.claim(adopted) == Claim(RUN, FIRST, foreign=True)
    assert desk.fates() == [Fate.ORPHAN]  # whose it is shows when it has ended

    desk.api.end(adopted, b'{"custom_id": "somebody-else"}\n')
    assert desk.fates() == [Fate.FOREIGN]
    desk.api.lines[adopted] = f'{{"custom_id": "{custom_id(RUN, FIRST, 1)}"}}\n'.encode()
    assert desk.fates() == [Fate.PAID_TWICE]
    assert desk.api.cancels == []


def test_a_cancel_that_was_lost_is_asked_for_again(desk: Desk) -> None:
    orphan = desk.orphan()
    second = desk.send()
    desk.ledger.swap(desk.chunk(), orphan)  # and killed, before the cancel

    desk.look()

    assert desk.api.cancels == [second]


@pytest.mark.parametrize("answered", [1, 2])
def test_a_healthy_batch_is_not_given_up_for_one_half_of_which_has_expired(
    ledger: DynamoLedger, clock: MovableClock, answered: int
) -> None:
    ledger.create_run(run())
    ledger.plan_chunk(chunk(rows=4))
    clock.move(hours=3)
    desk = Desk(ledger, FakeApi(clock), clock)
    orphan = desk.orphan(rows=4, succeeded=answered, expired=1, errored=3 - answered)
    second = desk.send()

    (found,) = desk.look()

    why = f"{RUN} {FIRST} cannot use it: only {answered} of its 4 requests were answered"
    assert found == Found(orphan.id, Fate.ORPHAN, why)
    assert (desk.chunk().batch_id, desk.api.cancels) == (second, [])


def test_an_orphan_most_of_which_was_answered_is_used(desk: Desk) -> None:
    desk.orphan(succeeded=2, expired=1)
    desk.send()

    assert desk.fates() == [Fate.SALVAGED]


def no_cancel(batch_id: BatchId) -> BatchView:
    raise Ambiguous(f"{batch_id}: away")


def test_a_cancel_that_fails_after_a_swap_is_told_with_what_was_salvaged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = desk.orphan()
    second = desk.send()
    with monkeypatch.context() as away:
        away.setattr(desk.api, "cancel", no_cancel)
        (found,) = desk.look()

    rest = "whose cancel failed (Ambiguous); the next audit tries again"
    assert found == Found(orphan.id, Fate.SALVAGED, f"{RUN} {FIRST} has it in place of {second}, {rest}")
    assert desk.look() == []
    assert desk.api.cancels == [second]


def test_a_cancel_that_fails_keeps_no_other_from_its_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    second = desk.send()
    desk.ledger.swap(desk.chunk(), desk.orphan())
    desk.ledger.plan_chunk(other := chunk(generation=1))
    desk.ledger.start_send(other, replace(intent(), chunk=other.id))
    desk.ledger.sent(replace(intent(), chunk=other.id), third := desk.api.add(3, age=HOUR), adopted=False)
    superseded: Any = {"pk": f"BATCH#{third.id}", "sk": "CLAIM", "run_id": RUN, "chunk": other.id, "superseded": True}
    desk.ledger._client.put_item(TableName=desk.ledger._table, Item=to_wire(superseded))
    tried: list[BatchId] = []

    def cancel(batch_id: BatchId) -> BatchView:
        tried.append(batch_id)
        return no_cancel(batch_id)

    monkeypatch.setattr(desk.api, "cancel", cancel)

    found = [(f.batch_id, f.why) for f in desk.look() if f.batch_id in {second, third.id}]

    why = "an orphan has taken its place, whose cancel failed (Ambiguous); the next audit tries again"
    assert found == [(second, why), (third.id, why)]
    assert tried == [second, third.id]


def test_what_a_superseded_batch_had_answered_before_its_cancel_is_paid_twice(desk: Desk) -> None:
    orphan = desk.orphan()
    second = desk.send()
    desk.ledger.swap(desk.chunk(), orphan)
    desk.api.end(second)

    (found,) = desk.look()

    assert (found.batch_id, found.fate) == (second, Fate.PAID_TWICE)
    assert desk.api.cancels == []


def test_an_orphan_of_a_chunk_whose_own_batch_has_ended_is_paid_twice(desk: Desk) -> None:
    orphan = desk.orphan()
    own = desk.send()
    desk.api.end(own)

    (found,) = desk.look()
    assert found == Found(orphan.id, Fate.PAID_TWICE, f"{RUN} {FIRST} has {own}")

    desk.ledger.ended(desk.chunk(), desk.api.stored[own])
    assert desk.fates() == [Fate.PAID_TWICE]
    assert desk.claim(orphan.id) is None
    assert desk.api.cancels == []


def test_an_orphan_that_still_runs_is_told_and_left_alone(desk: Desk) -> None:
    desk.api.add(3, age=HOUR)

    assert desk.fates() == [Fate.ORPHAN]
    assert desk.chunk().state is ChunkState.PLANNED


@pytest.mark.parametrize(
    "changes",
    [{"rows": 4}, {"succeeded": 2, "canceled": 1}, {"succeeded": 1, "expired": 2}],
    ids=["of another size", "partly canceled", "mostly expired"],
)
def test_an_orphan_that_does_not_hold_the_chunk_s_rows_is_not_used(desk: Desk, changes: dict[str, Any]) -> None:
    orphan = desk.orphan(**changes)

    assert desk.fates() == [Fate.ORPHAN]
    assert desk.claim(orphan.id) is None
    assert desk.chunk().state is ChunkState.PLANNED


def test_a_batch_of_an_earlier_plan_is_not_used(desk: Desk) -> None:
    desk.orphan(age=HOUR)
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    desk.ledger.settle_nothing_more(desk.ledger.run(RUN))
    newer = JobRef("triage", "jobs/triage.yaml", "v2")
    desk.ledger.replan(desk.ledger.run(RUN), newer, desk.clock() - timedelta(minutes=64))  # clocks differ, by up to 5
    desk.ledger.release(desk.ledger.run(RUN), approve=None)
    desk.ledger.plan_chunk(chunk(plan=2))

    (found,) = desk.look()

    assert (found.fate, found.why) == (Fate.ORPHAN, f"it was made of another plan of {RUN}")
    assert desk.chunk().state is ChunkState.PLANNED


def test_a_batch_of_the_plan_that_followed_is_used(desk: Desk) -> None:
    desk.orphan(age=HOUR)
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    desk.ledger.settle_nothing_more(desk.ledger.run(RUN))
    newer = JobRef("triage", "jobs/triage.yaml", "v2")
    desk.ledger.replan(desk.ledger.run(RUN), newer, desk.clock() - timedelta(minutes=66))
    desk.ledger.release(desk.ledger.run(RUN), approve=None)
    desk.ledger.plan_chunk(chunk(plan=2))

    assert desk.fates() == [Fate.SALVAGED]


def test_a_batch_of_no_run_of_ours_is_foreign(desk: Desk) -> None:
    other = desk.orphan(run_id=RunId("other-20261122-zzzzzzzz"))

    assert [(f.batch_id, f.fate) for f in desk.look()] == [(other.id, Fate.FOREIGN)]


def test_a_batch_that_seemed_foreign_and_is_ours_after_all_is_used(desk: Desk) -> None:
    orphan = desk.orphan()
    claim: Any = {"pk": f"BATCH#{orphan.id}", "sk": "CLAIM", "run_id": "other", "chunk": "g0-000009", "foreign": True}
    desk.ledger._client.put_item(TableName=desk.ledger._table, Item=to_wire(claim))

    assert desk.fates() == [Fate.SALVAGED]
    assert desk.claim(orphan.id) == Claim(RUN, FIRST)


def test_a_batch_without_an_answer_cost_nothing(desk: Desk) -> None:
    desk.orphan(canceled=3)

    assert desk.fates() == [Fate.UNPAID]
    assert desk.chunk().state is ChunkState.PLANNED


def test_a_claimed_batch_is_nobodys_business(desk: Desk) -> None:
    desk.send()
    desk.clock.move(hours=2)

    assert desk.look() == []


def test_a_batch_whose_claim_alone_was_lost_is_told_and_not_taken_for_a_second_one(desk: Desk) -> None:
    own = desk.send()
    desk.api.end(own, f'{{"custom_id": "{custom_id(RUN, FIRST, 1)}"}}\n'.encode())
    desk.ledger._client.delete_item(TableName=desk.ledger._table, Key=to_wire(batch_key(own)))
    desk.clock.move(hours=1)

    assert [(f.fate, f.why) for f in desk.look()] == [(Fate.ORPHAN, f"{RUN} {FIRST} has it, without a claim")]
    assert desk.api.cancels == []


def test_a_batch_that_cannot_be_read_keeps_no_other_from_its_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = desk.orphan(age=timedelta(minutes=50))
    desk.orphan()
    read = desk.api.results

    def results(batch: BatchView) -> Any:
        if batch.id == bad.id:
            raise Ambiguous("away")
        return read(batch)

    monkeypatch.setattr(desk.api, "results", results)

    assert desk.fates() == [Fate.ORPHAN, Fate.SALVAGED]


@pytest.mark.parametrize(("lines", "fate"), [(b'{"type":"error"}\r\n\n', Fate.SALVAGED), (b"", Fate.ORPHAN)])
def test_results_that_do_not_begin_with_a_row_are_not_foreign(desk: Desk, lines: bytes, fate: Fate) -> None:
    orphan = desk.orphan()
    desk.api.lines[orphan.id] = lines + desk.api.lines[orphan.id] if lines else b""

    assert desk.fates() == [fate]


def test_when_time_is_up_the_next_audit_goes_on(desk: Desk) -> None:
    desk.orphan()

    assert [f.fate for f in desk.look(minutes=0)] == [Fate.ORPHAN]
    assert desk.fates() == [Fate.SALVAGED]


def test_a_cancel_is_left_to_the_next_audit_too_when_time_is_up(desk: Desk) -> None:
    second = desk.send()
    desk.ledger.swap(desk.chunk(), desk.orphan())

    why = "it could not be looked into (time was up); the next audit tries again"
    assert desk.look(minutes=0) == [Found(second, Fate.ORPHAN, why)]
    assert desk.api.cancels == []
    assert desk.look() == []
    assert desk.api.cancels == [second]
