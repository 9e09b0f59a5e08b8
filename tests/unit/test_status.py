"""The loop's look: it polls, writes down, decides, and notices when nothing helps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.decision import Policy
from nightshift.errors import Ambiguous, ApiError, NoMoney, Redirected, Rejected, RunNotFound, Unauthorized
from nightshift.model import BatchId, BatchView, ChunkState, Hold, HoldCode, RunId, RunState, Step, StepKind
from nightshift.status import Look, Watcher
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fakes import Started
from tests.unit.made import RUN, chunk, intent, run

POLICY = Policy(poll_min_seconds=30, poll_max_seconds=360, poll_percent=5, max_turns=1500)


@dataclass
class Loop:
    """A run with chunks at the API, and a watcher."""

    ledger: DynamoLedger
    api: FakeApi
    clock: MovableClock
    started: Started
    watcher: Watcher

    def look(self, turn: int = 0, execution: str = f"{RUN}-c0001") -> Look:
        return self.watcher.look(RUN, execution=execution, turn=turn)

    def send(self, chunks: int) -> None:
        for number in range(1, chunks + 1):
            self.ledger.plan_chunk(planned := chunk(number))
            self.ledger.start_send(planned, sent := intent(number))
            self.ledger.sent(sent, self.api.add(3), adopted=False)
        self.ledger.finish_plan(run(rows=3 * chunks, plan_digest="d"))


@pytest.fixture
def loop(ledger: DynamoLedger, clock: MovableClock) -> Loop:
    api, started = FakeApi(clock), Started()
    ledger.create_run(run())
    return Loop(ledger, api, clock, started, Watcher(ledger, api, started, clock, POLICY))


@pytest.mark.parametrize("chunks", [2, 5])  # asked one by one, and by list
def test_batches_that_have_ended_are_written_down_and_collected(loop: Loop, chunks: int) -> None:
    loop.send(chunks)
    assert loop.look() == Look(Step(StepKind.WAIT, 30, reason=f"{chunks} batches in flight"), polled=chunks)

    for batch_id in list(loop.api.stored)[:2]:
        loop.api.end(batch_id)
    look = loop.look()

    assert look == Look(Step(StepKind.COLLECT, workers=2, reason="2 batches to collect"), polled=chunks, ended=2)
    states = [c.state for c in loop.ledger.chunks(RUN)]
    assert states == [ChunkState.ENDED] * 2 + [ChunkState.SENT] * (chunks - 2)
    assert loop.ledger.chunks(RUN)[0].request_counts == {"processing": 0, "succeeded": 3}


def test_an_api_that_is_away_is_no_news(loop: Loop) -> None:
    loop.send(1)
    loop.api.down = Ambiguous("away", status=503)

    look = loop.look()

    assert (look.step.kind, look.trouble) == (StepKind.WAIT, "away")
    assert loop.ledger.chunks(RUN)[0].state is ChunkState.SENT


@pytest.mark.parametrize("chunks", [1, 5])
@pytest.mark.parametrize(
    "error", [Unauthorized("HTTP 401", status=401), NoMoney("HTTP 402", status=402), Redirected("HTTP 302", status=302)]
)
def test_a_key_that_is_wrong_in_mid_run_is_no_news_and_the_batches_stay_in_flight(
    loop: Loop, error: ApiError, chunks: int
) -> None:
    loop.send(chunks)
    loop.api.down = error

    look = loop.look()

    assert (look.step.kind, look.ended, look.trouble) == (StepKind.WAIT, 0, str(error))
    assert {c.state for c in loop.ledger.chunks(RUN)} == {ChunkState.SENT}
    assert loop.ledger.run(RUN).hold is None


def test_one_batch_that_cannot_be_found_does_not_hide_the_others_and_holds_the_run_when_overdue(loop: Loop) -> None:
    loop.send(2)
    lost, found = loop.api.stored
    loop.api.missing = {lost}
    loop.api.end(found)

    look = loop.look()
    assert (look.step.kind, look.ended, look.trouble) == (StepKind.COLLECT, 1, f"no {lost}")

    loop.clock.move(hours=26, minutes=1)
    loop.look()
    hold = loop.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is HoldCode.BATCH_OVERDUE
    assert lost in hold.reason


def test_a_chunk_that_keeps_failing_holds_its_run_and_says_why(loop: Loop) -> None:
    loop.send(1)
    loop.api.end(next(iter(loop.api.stored)))
    loop.look()
    for _ in range(10):
        loop.ledger.failed(loop.ledger.chunks(RUN)[0], not_before=loop.clock(), error="the table refuses it")

    assert loop.look().step.kind is StepKind.REPORT

    hold = loop.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is HoldCode.CHUNK_FAILS
    assert "the table refuses it" in hold.reason


SLOW = "the API is too slow to tell of more batches now"


def test_an_api_that_says_nothing_is_asked_no_longer_than_a_look_may_take(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.send(3)

    def silent(_batch_id: BatchId) -> BatchView:
        loop.clock.move(seconds=15)
        raise Ambiguous("silence")

    monkeypatch.setattr(loop.api, "batch", silent)

    look = loop.look()

    assert (look.step.kind, look.trouble) == (StepKind.WAIT, f"silence; silence; {SLOW}")


def test_what_a_slow_list_has_told_in_time_is_written_down(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.send(5)
    for batch_id in loop.api.stored:
        loop.api.end(batch_id)
    batches = loop.api.batches

    def slowly(since: datetime) -> Iterator[BatchView]:
        for batch in batches(since):
            loop.clock.move(seconds=15)
            yield batch

    monkeypatch.setattr(loop.api, "batches", slowly)

    look = loop.look()

    assert (look.step.kind, look.ended, look.trouble) == (StepKind.COLLECT, 2, SLOW)


CANCELED = Hold(HoldCode.CANCELED, "wrong prompt", START)


@pytest.mark.parametrize("chunks", [2, 5])  # asked one by one, and by list
def test_what_a_canceled_run_has_in_progress_is_canceled_once(loop: Loop, chunks: int) -> None:
    loop.send(chunks)
    ended, *others = loop.api.stored
    loop.api.end(ended)
    loop.ledger.hold(RUN, CANCELED)

    look = loop.look()

    assert loop.api.cancels == others
    assert (look.canceled, look.ended, look.trouble) == (chunks - 1, 1, "")
    assert loop.look().canceled == 0  # they are canceling: not asked for again
    assert loop.api.cancels == others


def test_after_a_cancel_the_next_look_comes_soon(loop: Loop) -> None:
    loop.send(1)
    loop.ledger.hold(RUN, CANCELED)
    loop.api.down = Ambiguous("away", status=503)
    loop.look()
    loop.clock.move(minutes=40)
    loop.api.down = None

    look = loop.look()

    assert look == Look(Step(StepKind.WAIT, 30, reason="1 batches in flight"), polled=1, canceled=1)
    assert loop.ledger.run(RUN).changed_at == loop.clock()


@pytest.mark.parametrize("code", [code for code in HoldCode if code is not HoldCode.CANCELED])
def test_no_other_hold_cancels_anything(loop: Loop, code: HoldCode) -> None:
    loop.send(1)
    loop.ledger.hold(RUN, Hold(code, "because", START))

    assert loop.look().canceled == 0
    assert loop.api.cancels == []


def test_trouble_with_one_cancel_does_not_spare_the_others_and_is_tried_again(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.send(3)
    first, *others = loop.api.stored
    loop.ledger.hold(RUN, CANCELED)
    cancel = loop.api.cancel

    def refuse_first(batch_id: BatchId) -> BatchView:
        if batch_id == first:
            raise Rejected("it has just ended", status=400)
        return cancel(batch_id)

    with monkeypatch.context() as refusing:
        refusing.setattr(loop.api, "cancel", refuse_first)
        look = loop.look()

    assert (look.canceled, look.trouble, look.step.kind) == (2, "it has just ended", StepKind.WAIT)
    assert loop.look().canceled == 1
    assert loop.api.cancels == [*others, first]


def test_cancels_that_take_long_are_left_to_the_next_look(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.send(4)
    loop.ledger.hold(RUN, CANCELED)
    cancel = loop.api.cancel

    def slowly(batch_id: BatchId) -> BatchView:
        loop.clock.move(seconds=10)
        return cancel(batch_id)

    monkeypatch.setattr(loop.api, "cancel", slowly)

    assert [loop.look().canceled, loop.look().canceled] == [3, 1]


def test_a_create_that_was_not_known_when_its_run_was_canceled_is_settled_and_its_batch_runs_on(loop: Loop) -> None:
    loop.ledger.plan_chunk(chunk(2))
    loop.send(1)
    (own,) = loop.api.stored
    loop.ledger.start_send(chunk(2), sending := intent(2))
    found = loop.api.add(3)
    loop.ledger.cancel(RUN, CANCELED)
    assert loop.look().canceled == 1
    loop.clock.move(minutes=30)
    assert loop.look().step.kind is StepKind.SUBMIT

    loop.ledger.sent(sending, found, adopted=True)

    look = loop.look()
    assert (look.canceled, look.trouble) == (0, f"{found.id} was adopted, and may be another's: it is not canceled")
    assert loop.api.cancels == [own]


def test_the_wait_grows_with_the_time_since_the_last_change(loop: Loop) -> None:
    loop.send(2)
    loop.look()
    loop.clock.move(minutes=40)
    assert loop.look().step.wait_seconds == 120
    loop.api.end(next(iter(loop.api.stored)))
    assert loop.look().step.kind is StepKind.COLLECT
    loop.ledger.failed(loop.ledger.chunks(RUN)[0], not_before=loop.clock() + timedelta(hours=1), error="broke")
    assert loop.look().step.wait_seconds == 30


def test_a_step_that_changes_nothing_is_backed_off_and_ten_hold_the_run(loop: Loop) -> None:
    waits, steps = [], []
    while (look := loop.look()).step.kind is not StepKind.HELD:
        steps.append(look.step.kind)
        if look.step.kind is StepKind.WAIT:
            waits.append(look.step.wait_seconds)
            loop.clock.move(seconds=look.step.wait_seconds)

    assert steps == [StepKind.SUBMIT, StepKind.WAIT] * 9 + [StepKind.SUBMIT]
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900, 900]
    hold = loop.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is HoldCode.NO_PROGRESS


def test_a_run_that_can_send_nothing_for_thirty_hours_is_held_and_says_why(loop: Loop) -> None:
    loop.ledger.plan_chunk(chunk())
    loop.ledger.finish_plan(run(rows=3, plan_digest="d"))
    loop.clock.move(minutes=7)
    now = loop.ledger.run(RUN)
    for _ in range(91):
        now = loop.ledger.run(RUN)
        assert now.hold is None
        loop.look()
        loop.clock.move(minutes=20)
        loop.ledger.postpone(loop.ledger.chunks(RUN)[0], not_before=loop.clock(), error="HTTP 429: the queue is full")

    assert now.fruitless == 0  # each try moved something
    assert loop.ledger.run(RUN).hold == Hold(
        HoldCode.NO_PROGRESS,
        "nothing could be sent since 2026-11-22 02:07 UTC; the last time: HTTP 429: the queue is full",
        START + timedelta(hours=30, minutes=7),
    )


@pytest.mark.parametrize("moving", [ChunkState.SENDING, ChunkState.SENT])
def test_while_a_batch_is_on_its_way_a_run_does_not_count_as_unsent(loop: Loop, moving: ChunkState) -> None:
    for number in (1, 2):
        loop.ledger.plan_chunk(chunk(number))
    loop.ledger.finish_plan(run(rows=6, plan_digest="d"))
    loop.look()
    assert loop.ledger.run(RUN).unsent_since == START
    loop.ledger.start_send(chunk(), sent := intent())
    if moving is ChunkState.SENT:
        loop.ledger.sent(sent, loop.api.add(3), adopted=False)
    loop.look()
    assert loop.ledger.run(RUN).unsent_since is None


def test_a_held_run_does_not_count_as_unsent(loop: Loop) -> None:
    loop.ledger.plan_chunk(chunk())
    loop.look()
    loop.ledger.hold(RUN, CANCELED)
    loop.look()
    assert loop.ledger.run(RUN).unsent_since is None


def test_chunks_of_a_generation_that_has_not_begun_are_not_unsent(loop: Loop) -> None:
    loop.ledger.plan_chunk(chunk(generation=1))
    loop.look()
    assert loop.ledger.run(RUN).unsent_since is None


def test_progress_forgets_the_fruitless_steps(loop: Loop) -> None:
    for _ in range(3):
        loop.look()
        loop.clock.move(minutes=20)
    assert loop.ledger.run(RUN).fruitless > 0
    loop.ledger.plan_chunk(chunk())

    assert loop.look().step.kind is StepKind.SUBMIT

    assert loop.ledger.run(RUN).fruitless == 0


def test_chunks_planned_for_a_generation_that_has_not_begun_are_progress(loop: Loop) -> None:
    for number in range(1, 13):
        assert loop.look().step.kind is StepKind.SUBMIT
        loop.ledger.plan_chunk(chunk(number, generation=1))

    assert loop.ledger.run(RUN).fruitless == 0


def test_after_its_turns_the_loop_hands_over_to_the_next_execution(loop: Loop) -> None:
    loop.send(1)
    assert loop.look(turn=1499).step.kind is StepKind.WAIT

    assert loop.look(turn=1500).step == Step(StepKind.HANDED_OVER, reason="1500 turns")

    assert loop.ledger.run(RUN).execution == 2
    assert loop.started.names == [(RUN, 2)]
    assert loop.look(execution=f"{RUN}-c0002").step.kind is StepKind.WAIT


def test_an_execution_that_lost_the_loop_makes_sure_its_heir_lives_and_ends(loop: Loop) -> None:
    loop.ledger.next_execution(RUN, 2)  # and then killed, before the next execution was started

    assert loop.look().step.kind is StepKind.HANDED_OVER

    assert loop.started.names == [(RUN, 2)]


def test_a_run_that_is_done_ends_even_at_its_last_turn(loop: Loop) -> None:
    loop.ledger.reported(RUN, "f", done=True)

    assert loop.look(turn=1500).step.kind is StepKind.DONE
    assert loop.ledger.run(RUN).state is RunState.DONE


def test_a_run_that_does_not_exist_fails_the_look(loop: Loop) -> None:
    stranger = replace(run(), run_id=RunId("nobody-20261122-aaaaaaaa")).run_id

    with pytest.raises(RunNotFound):
        loop.watcher.look(stranger, execution=f"{stranger}-c0001", turn=0)
