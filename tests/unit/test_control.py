"""Canceling a run: the hold stands, the loop's next execution does the work, and a resume sends what was never sent."""

from dataclasses import replace

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.control import Control
from nightshift.errors import Conflict, RunNotFound
from nightshift.model import ChunkState, Hold, HoldCode
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryInputs, MemoryOutputs, Started
from tests.unit.made import RUN, batch, chunk, intent, run


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def control(ledger: DynamoLedger, clock: MovableClock, started: Started) -> Control:
    return Control(ledger, MemoryInputs(), MemoryOutputs(), started, clock)


def test_a_cancel_holds_the_run_and_starts_the_execution_whose_first_look_cancels(
    ledger: DynamoLedger, control: Control, started: Started
) -> None:
    ledger.create_run(run())

    canceled = control.cancel(RUN, "wrong prompt")

    assert canceled == ledger.run(RUN)
    assert (canceled.hold, canceled.execution) == (Hold(HoldCode.CANCELED, "wrong prompt", START), 2)
    assert started.names == [(RUN, 2)]


def test_a_held_run_is_canceled_too_and_keeps_the_old_reason_behind_the_new_one(
    ledger: DynamoLedger, control: Control
) -> None:
    ledger.create_run(run(hold=Hold(HoldCode.API_KEY, "HTTP 401", START)))

    hold = control.cancel(RUN, "wrong prompt").hold

    assert hold == Hold(HoldCode.CANCELED, "wrong prompt (was held before, API_KEY: HTTP 401)", START)


def test_a_cancel_again_keeps_the_first_reason_and_gives_the_loop_another_try(
    ledger: DynamoLedger, control: Control, started: Started
) -> None:
    ledger.create_run(run())
    first = control.cancel(RUN, "wrong prompt")
    ledger.looked(replace(first, fruitless=10, retry_at=START, dispatched=True))

    again = control.cancel(RUN, "another reason")

    assert again == replace(first, execution=3)
    assert started.names == [(RUN, 2), (RUN, 3)]


def test_a_run_that_is_done_is_not_canceled(ledger: DynamoLedger, control: Control, started: Started) -> None:
    ledger.create_run(run())
    ledger.reported(RUN, "f", done=True)

    with pytest.raises(Conflict, match=rf"Run {RUN} is done; there is nothing to cancel\."):
        control.cancel(RUN, "late")

    assert ledger.run(RUN).hold is None
    assert started.names == []


def test_a_run_that_does_not_exist_is_not_canceled(control: Control) -> None:
    with pytest.raises(RunNotFound):
        control.cancel(RUN, "which?")


def test_a_resume_after_a_cancel_keeps_what_was_sent_and_lets_the_rest_be_sent(
    ledger: DynamoLedger, control: Control
) -> None:
    ledger.create_run(run())
    for number in (1, 2):
        ledger.plan_chunk(chunk(number))
    ledger.start_send(chunk(1), intent())
    ledger.sent(intent(), batch(), adopted=False)
    control.cancel(RUN, "wrong prompt")
    with pytest.raises(Conflict):
        ledger.start_send(chunk(2), intent(2))

    assert control.resume(RUN).hold is None

    ledger.start_send(chunk(2), intent(2))
    assert [c.state for c in ledger.chunks(RUN)] == [ChunkState.SENT, ChunkState.SENDING]
