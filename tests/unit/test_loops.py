"""Loops that died: a run that wants one and has none gets the next, three times over, and then waits for a person."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.decision import fingerprint
from nightshift.loops import LoopKeeper, LoopState
from nightshift.model import Hold, HoldCode
from tests.unit.conftest import MovableClock
from tests.unit.fakes import Started
from tests.unit.made import RUN, batch, chunk, intent, run

HELD = Hold(HoldCode.BY_HAND, "because", run().created)


@dataclass
class Desk:
    """A run, and a keeper of its loop."""

    ledger: DynamoLedger
    clock: MovableClock
    executions: Started

    def keep(self, *, seen_dead: int | None = None) -> LoopState:
        keeper = LoopKeeper(self.ledger, self.executions, self.clock)
        now = self.ledger.run(RUN)
        return keeper.keep(now, self.ledger.chunks(RUN), self.ledger.intent(), seen_dead=seen_dead)

    def die(self) -> None:
        """Let every execution so far be dead."""
        self.executions.dead |= set(self.executions.names)


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    ledger.create_run(run())
    ledger.plan_chunk(chunk())
    ledger.finish_plan(run(rows=3, plan_digest="d"))
    clock.move(minutes=6)
    return Desk(ledger, clock, Started([(RUN, 1)]))


def test_a_loop_that_lives_is_left_alone(desk: Desk) -> None:
    assert desk.keep() is LoopState.ALIVE
    assert desk.executions.names == [(RUN, 1)]


def test_a_loop_that_died_is_started_again_with_its_next_execution(desk: Desk) -> None:
    desk.die()

    assert desk.keep() is LoopState.RESTARTED
    assert desk.executions.names == [(RUN, 1), (RUN, 2)]
    assert desk.ledger.run(RUN).execution == 2
    assert desk.keep() is LoopState.ALIVE


def test_a_run_whose_execution_was_never_started_gets_one(desk: Desk) -> None:
    desk.executions.names.clear()

    assert desk.keep() is LoopState.RESTARTED


def test_an_execution_that_was_started_a_moment_ago_may_not_be_seen_yet(desk: Desk) -> None:
    desk.die()
    desk.clock.move(minutes=-2)

    assert desk.keep() is LoopState.SETTLING
    assert desk.keep(seen_dead=2) is LoopState.SETTLING  # another one's end tells nothing of this one
    assert desk.keep(seen_dead=1) is LoopState.RESTARTED  # and where its end was told, it need not be waited for


def test_a_run_that_changed_a_moment_ago_is_left_to_settle(desk: Desk) -> None:
    desk.die()
    desk.ledger.looked(run(changed_at=desk.clock() - timedelta(minutes=4)))

    assert desk.keep() is LoopState.SETTLING


def test_a_run_that_is_held_with_nothing_left_to_do_wants_no_loop(desk: Desk) -> None:
    desk.die()
    desk.ledger.hold(RUN, HELD)
    assert desk.keep() is LoopState.RESTARTED  # its report is not written yet
    desk.die()
    desk.ledger.reported(RUN, _fingerprint(desk), done=False)

    assert desk.keep() is LoopState.NOT_NEEDED


def test_a_run_that_is_held_with_a_batch_in_flight_wants_its_loop(desk: Desk) -> None:
    desk.ledger.start_send(chunk(), intent())
    desk.ledger.sent(intent(), batch(), adopted=False)
    desk.ledger.hold(RUN, HELD)
    desk.ledger.reported(RUN, _fingerprint(desk), done=False)
    desk.die()

    assert desk.keep() is LoopState.RESTARTED


def test_three_restarts_without_progress_hold_the_run_and_no_fourth_is_made(desk: Desk) -> None:
    for _ in range(3):
        desk.die()
        assert desk.keep() is LoopState.RESTARTED
    desk.die()

    assert desk.keep() is LoopState.HELD
    hold = desk.ledger.run(RUN).hold
    assert hold is not None
    assert (hold.code, hold.reason.split(",")[0]) == (HoldCode.LOOP_DIES, "Executions 1 to 4 died")
    assert desk.executions.names == [(RUN, number) for number in (1, 2, 3, 4)]
    desk.clock.move(minutes=15)
    assert desk.keep() is LoopState.GIVEN_UP


def test_progress_begins_the_count_anew(desk: Desk) -> None:
    for _ in range(3):
        desk.die()
        desk.keep()
    desk.die()
    desk.ledger.start_send(chunk(), intent())

    assert desk.keep() is LoopState.RESTARTED
    assert desk.ledger.run(RUN).restarts == 1


def test_a_person_who_resumes_begins_the_count_anew(desk: Desk) -> None:
    for _ in range(4):
        desk.die()
        desk.keep()
    desk.ledger.release(desk.ledger.run(RUN), approve=None)

    assert desk.keep() is LoopState.RESTARTED


def test_a_run_that_somebody_else_has_moved_on_is_left_to_them(desk: Desk) -> None:
    desk.die()
    before = desk.ledger.run(RUN)
    desk.ledger.next_execution(RUN, 2)
    keeper = LoopKeeper(desk.ledger, desk.executions, desk.clock)

    assert keeper.keep(before, desk.ledger.chunks(RUN), None) is LoopState.SETTLING
    assert desk.executions.names == [(RUN, 1)]


def test_a_run_that_is_done_wants_no_loop(desk: Desk) -> None:
    desk.die()
    desk.ledger.reported(RUN, "f", done=True)

    assert desk.keep() is LoopState.NOT_NEEDED


def _fingerprint(desk: Desk) -> str:
    return fingerprint(desk.ledger.run(RUN), desk.ledger.chunks(RUN))
