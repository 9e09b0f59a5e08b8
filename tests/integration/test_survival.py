"""Whatever is killed, lost or cut: the run ends with every row accounted for, and nothing is paid for twice."""

import pytest

from tests.integration.conftest import PATIENCE, Night


def ends_whole(night: Night, rows: int, seconds: float = PATIENCE) -> None:
    """Wait for the run's end, and hold it against what was promised."""
    (run,) = night.settle(seconds=seconds)
    got = night.harvest(run)
    assert run["state"] == "done"
    assert got.complete
    assert got.report["counts"]["answered"] == rows
    assert len(night.tickets(run)) == rows
    assert night.paid_twice() == 0


@pytest.mark.parametrize(("kind", "accepted"), [("accept-then-hang", True), ("hang", False)])
def test_submit_killed_in_the_middle_of_a_post(night: Night, kind: str, accepted: bool) -> None:  # noqa: FBT001
    night.job()
    night.fault("create", kind, times=1)
    before = len(night.cloud.api("batches"))
    night.upload(night.rows(4))
    night.until(lambda: night.cloud.api("faults")[0]["fired"] and _intent(night))  # the POST is under way
    night.until(lambda: len(night.cloud.api("batches")) == before + accepted)

    night.kill("SubmitFunction")

    ends_whole(night, 4)
    _, chunks = night.cloud.ledger(night.runs()[0]["run_id"])
    assert [(chunk["adopted"], chunk["attempt"]) for chunk in chunks] == [(True, 1) if accepted else (False, 2)]
    assert len(night.cloud.api("batches")) == before + 1


@pytest.mark.parametrize("function", ["SubmitFunction", "StatusFunction", "ResultsFunction", "ReportFunction"])
def test_a_function_killed_at_work(night: Night, function: str) -> None:
    night.job("batch: {max_rows: 100}\nschedule: upload")
    night.fault("results", "slow", seconds=0.01, times=1)
    night.upload(night.rows(300))

    night.kill(function)

    ends_whole(night, 300)


def test_a_create_whose_answer_is_lost_is_adopted_and_not_repeated(night: Night) -> None:
    night.job()
    night.fault("create", "accept-then-close", times=1)
    night.upload(night.rows(4))

    ends_whole(night, 4)

    (run,) = night.runs()
    assert len(night.batches(run)) == 1
    _, chunks = night.cloud.ledger(run["run_id"])
    assert [(chunk["adopted"], chunk["attempt"]) for chunk in chunks] == [(True, 1)]


@pytest.mark.parametrize("kind", ["close", "status:529", "status:500", "status:429"])
def test_a_create_that_was_refused_or_lost_is_sent_again(night: Night, kind: str) -> None:
    night.job()
    night.fault("create", kind, times=1)
    night.upload(night.rows(2))

    ends_whole(night, 2)


@pytest.mark.parametrize(
    "kind", ["cut-line", "cut-mid-line", "clean-early-close", "drop", "blank-line", "duplicate-line", "crlf"]
)
def test_a_results_stream_that_breaks_is_read_again(night: Night, kind: str) -> None:
    night.job()
    night.fault("results", kind, times=1, lines=2)
    night.upload(night.rows(6))

    ends_whole(night, 6)


def test_no_money_holds_the_run_and_what_is_in_flight_is_still_collected(night: Night) -> None:
    night.job("batch: {max_rows: 3}\nschedule: upload")
    night.fault("create", "status:429", error_code="enforced_spend_limit_reached", after=1)
    night.upload(night.rows(6))

    (run,) = night.settle()

    assert run["hold"]["code"] == "NO_MONEY"
    assert night.harvest(run).report["counts"]["answered"] == 3
    assert night.harvest(run).report["waiting"] == 3
    assert len(night.tickets(run)) == 3


def _intent(night: Night) -> bool:
    key = {"pk": {"S": "CREATE"}, "sk": {"S": "INTENT"}}
    answer = night.cloud.client("dynamodb").get_item(TableName=night.cloud.outputs["RunsTableName"], Key=key)
    return "Item" in answer
