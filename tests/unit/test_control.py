"""Canceling a run: the hold stands, the loop's next execution does the work, and a resume sends what was never sent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.control import Control
from nightshift.errors import Conflict, RunNotFound
from nightshift.model import ChunkState, Hold, HoldCode, JobRef
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryInputs, MemoryOutputs, Started
from tests.unit.made import MONTH, RUN, batch, chunk, intent, run
from tests.unit.night import JOB


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


@dataclass
class Mended(MemoryInputs):
    """The job file has been put anew; `meanwhile` happens when somebody reads it."""

    meanwhile: Callable[[], object] = lambda: None

    def job(self, name: str, version_id: str | None = None) -> tuple[JobRef, bytes]:
        self.meanwhile()
        return JobRef(name, f"jobs/{name}.yaml", version_id or "v2"), JOB


def held_unsent(ledger: DynamoLedger, outputs: MemoryOutputs) -> None:
    """Put a run that was refused by the API, with its plan's files."""
    ledger.create_run(run(reserved=None))
    ledger.plan_chunk(chunk())
    ledger.finish_plan(run(rows=3, plan_digest="d"))
    ledger.hold(RUN, Hold(HoldCode.API_REJECTED, "no", START))
    for name in ("plan/g0-000001.jsonl", "plan-2/g0-000001.jsonl", "rejects/last.jsonl", "raw/x"):
        outputs.files[f"runs/{RUN}/{name}"] = b"{}"


def test_a_resume_with_a_mended_job_clears_the_old_plan_and_no_other(
    ledger: DynamoLedger, clock: MovableClock, started: Started
) -> None:
    held_unsent(ledger, outputs := MemoryOutputs())

    resumed = Control(ledger, Mended(), outputs, started, clock).resume(RUN)

    assert (resumed.job.version_id, resumed.plan, resumed.hold) == ("v2", 2, None)
    assert sorted(outputs.files) == [f"runs/{RUN}/plan-2/g0-000001.jsonl", f"runs/{RUN}/raw/x"]


def test_a_resume_that_another_has_overtaken_touches_nothing_that_is_being_sent(
    ledger: DynamoLedger, clock: MovableClock, started: Started
) -> None:
    held_unsent(ledger, outputs := MemoryOutputs())
    files = dict(outputs.files)

    def other_resume() -> None:
        ledger.release(ledger.run(RUN), approve=None)
        ledger.reserve(ledger.run(RUN), per_row=1, rows=3, month=MONTH, cap=None)
        ledger.start_send(ledger.chunks(RUN)[0], intent())

    with pytest.raises(Conflict):
        Control(ledger, Mended(meanwhile=other_resume), outputs, started, clock).resume(RUN)

    assert ([c.state for c in ledger.chunks(RUN)], outputs.files) == ([ChunkState.SENDING], files)
    assert (ledger.run(RUN).job, started.names) == (run().job, [])


def test_a_cancel_that_lands_in_the_middle_of_a_resume_stands(
    ledger: DynamoLedger, clock: MovableClock, started: Started
) -> None:
    held_unsent(ledger, outputs := MemoryOutputs())
    inputs = Mended(meanwhile=lambda: ledger.cancel(RUN, Hold(HoldCode.CANCELED, "stop", START + timedelta(hours=1))))

    with pytest.raises(Conflict, match=rf"^Somebody else holds, cancels or resumes run {RUN} just now: look again\."):
        Control(ledger, inputs, outputs, started, clock).resume(RUN)

    hold = ledger.run(RUN).hold
    assert hold is not None
    assert (hold.code, started.names) == (HoldCode.CANCELED, [])


def test_money_that_is_still_reserved_is_released_before_a_run_is_planned_anew(
    ledger: DynamoLedger, clock: MovableClock, started: Started
) -> None:
    ledger.create_run(run(hold=Hold(HoldCode.API_REJECTED, "no", START)))

    assert Control(ledger, Mended(), MemoryOutputs(), started, clock).resume(RUN).plan == 2


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
