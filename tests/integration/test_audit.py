"""The audit on the local cloud: what died or was lost goes on, without a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tests.integration.conftest import Night
from tests.integration.test_survival import ends_whole


def execution(night: Night, number: int) -> str:
    """Return the ARN of an execution of the job's only run."""
    (run,) = night.runs()
    machine: str = night.cloud.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:")
    return f"{machine}:{run['run_id']}-c{number:04d}"


def status(night: Night, number: int) -> str:
    found: str = night.cloud.client("stepfunctions").describe_execution(executionArn=execution(night, number))["status"]
    return found


def into(night: Night, age: timedelta) -> bool:
    """Tell whether the job's run is older than that."""
    runs = night.runs()
    now = datetime.fromisoformat(night.cloud.ask("clock")["now"])
    return bool(runs) and now - datetime.fromisoformat(runs[0]["created"]) > age


def stop(night: Night) -> None:
    """Stop the first execution in the middle of a batch of four hours."""
    night.job()
    night.cloud.api("settings", "POST", {"duration_seconds": 15_000, "jitter": 0})
    night.upload(night.rows(3))
    night.until(lambda: into(night, timedelta(minutes=30)), pause=0.05)
    night.cloud.client("stepfunctions").stop_execution(executionArn=execution(night, 1), error="ByHand")
    night.until(lambda: status(night, 1) == "ABORTED")


@contextmanager
def nobody_told(night: Night) -> Iterator[None]:
    """Let no rule tell the audit that an execution has ended."""
    events = night.cloud.client("events")
    (rule,) = [r["Name"] for r in events.list_rules()["Rules"] if "LoopEnded" in r["Name"]]
    events.disable_rule(Name=rule)
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


def test_a_loop_that_is_stopped_is_started_again_at_once(night: Night) -> None:
    stop(night)

    ends_whole(night, 3)

    assert status(night, 2) == "SUCCEEDED"
    told = [d["event"]["detail"] for d in night.cloud.ask("deliveries") if d["event"].get("source") == "aws.states"]
    assert (execution(night, 1), "ABORTED") in {(d["executionArn"], d["status"]) for d in told}


def test_a_loop_of_whose_end_nobody_was_told_is_started_again_by_the_next_audit(night: Night) -> None:
    with nobody_told(night):
        stop(night)

        night.cloud.ask("fire", post=True, name="AuditFunctionRegularly")

        ends_whole(night, 3)

    assert status(night, 2) == "SUCCEEDED"


def test_a_night_that_submit_never_heard_of_is_opened_by_the_audit(night: Night) -> None:
    night.job("schedule: nightly")
    night.upload(night.rows(3))
    due = datetime.fromisoformat(night.cloud.ask("clock")["now"]).replace(microsecond=0) - timedelta(hours=2)
    night.cloud.ask("fire", post=True, name="AuditFunctionNightDue", at=due.isoformat())
    night.until(lambda: any(f"a night is due: {due.isoformat()}" in str(line) for line in night.cloud.ask("logs")))

    night.cloud.ask("fire", post=True, name="AuditFunctionRegularly")

    ends_whole(night, 3)


def test_a_batch_that_shows_an_hour_late_takes_the_place_of_the_second_one_which_is_canceled(night: Night) -> None:
    night.job()
    night.fault("create", "accept-late", seconds=3600, times=1)
    night.upload(night.rows(3))
    night.until(lambda: night.cloud.api("faults")[0]["fired"], pause=0.01)
    night.cloud.api("settings", "POST", {"duration_seconds": 80_000, "jitter": 0})  # of the batch that is sent again
    night.until(lambda: night.batches(night.runs()[0]), pause=0.05)
    (second,) = night.batches(night.runs()[0])
    night.until(lambda: into(night, timedelta(hours=3)), pause=0.05)

    night.cloud.ask("fire", post=True, name="AuditFunctionRegularly")

    ends_whole(night, 3)
    (late,) = night.batches(night.runs()[0])
    assert late["id"] != second["id"]
    (canceled,) = [b for b in night.cloud.api("batches") if b["id"] == second["id"]]
    assert (canceled["counts"]["succeeded"], canceled["counts"]["canceled"]) == (0, 3)


def test_the_audit_does_nothing_that_aws_would_refuse(night: Night) -> None:
    night.cloud.ask("fire", post=True, name="AuditFunctionRegularly")
    night.until(lambda: any("AuditHeartbeat" in str(line) for line in night.cloud.ask("logs")))

    denied = [call for call in night.cloud.ask("iam")["denied"] if "Audit" in call["who"]]
    assert denied == []
