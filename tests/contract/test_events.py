"""The sample events against the template's rule and schedule, and against what submit takes an event for."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nightshift import telling, trigger
from tests.contract import sources
from tests.contract.event_pattern import matches

type Json = dict[str, Any]

WAYS_IN = sources.functions()["SubmitFunction"]["Events"]
AUDITED = sources.functions()["AuditFunction"]["Events"]
TOLD = sources.functions()["TellFunction"]["Events"]
UPLOAD = sources.event("upload")
BUCKET = UPLOAD["detail"]["bucket"]["name"]
KEY = "inbox/ticket-triage/tickets.jsonl"


def rule() -> Json:
    """Return the upload rule's pattern, as it is in a stack whose input bucket is the sample event's."""
    pattern: Json = WAYS_IN["Uploaded"]["Properties"]["Pattern"]
    assert pattern["detail"]["bucket"] == {"name": [{"Ref": "InputBucket"}]}
    return {**pattern, "detail": {**pattern["detail"], "bucket": {"name": [BUCKET]}}}


def upload(**changes: Any) -> Json:
    """Return the sample upload with another bucket, key or type."""
    event = sources.event("upload")
    event["detail-type"] = changes.get("detail_type", event["detail-type"])
    event["detail"]["bucket"]["name"] = changes.get("bucket", BUCKET)
    event["detail"]["object"]["key"] = changes.get("key", KEY)
    return event


def test_an_upload_to_the_inbox_starts_submit() -> None:
    assert matches(rule(), UPLOAD)


@pytest.mark.parametrize(
    "other",
    [
        upload(key="jobs/ticket-triage.yaml"),
        upload(key="runs/ticket-triage-20261121-k3f7q2za/output/g0-000001-000000000000.jsonl"),
        upload(key="old/inbox/ticket-triage/tickets.jsonl"),
        upload(key="inbox-of-others/tickets.jsonl"),
        upload(bucket="another-bucket"),
        upload(detail_type="Object Deleted"),
    ],
    ids=["a job file", "an output", "an inner inbox", "another inbox", "another bucket", "a deletion"],
)
def test_nothing_else_starts_submit(other: Json) -> None:
    assert not matches(rule(), other)


def test_the_sample_of_the_schedule_is_what_the_schedule_sends() -> None:
    sent = json.loads(WAYS_IN["Nightly"]["Properties"]["Input"])
    sample = sources.event("schedule")
    assert sent == {**sample, "scheduled_time": "<aws.scheduler.scheduled-time>"}
    assert datetime.fromisoformat(sample["scheduled_time"]) == datetime(2026, 11, 22, 2, tzinfo=UTC)


def test_there_is_a_sample_of_every_way_in_and_of_every_task() -> None:
    samples = {path.stem for path in sources.EVENTS.glob("*.json")}
    steps = {name.removesuffix("Function").lower() for name in sources.functions()} - {"audit", "tell"}
    tasks = {f"machine-{step}" for step in steps}
    assert samples == {"upload", "schedule", "by-hand", "audit", "tell", "loop-ended", *tasks}


def test_submit_takes_every_sample_that_it_is_sent_for_what_it_is() -> None:
    names = ("upload", "schedule", "by-hand", "machine-submit")
    assert {name: trigger.parse(sources.event(name)) for name in names} == {
        "upload": trigger.Uploaded("ticket-triage", BUCKET, KEY, UPLOAD["detail"]["object"]["version-id"]),
        "schedule": trigger.Night(scheduled_at=datetime(2026, 11, 22, 2, tzinfo=UTC)),
        "by-hand": trigger.ByHand(job="ticket-triage", key=KEY, version_id=None),
        "machine-submit": trigger.Continue(run_id=sources.event("machine-submit")["run_id"]),
    }


def ended(**detail: Any) -> Json:
    """Return the sample of an execution's end with other details."""
    event = sources.event("loop-ended")
    return {**event, "detail": {**event["detail"], **detail}}


def end_rule() -> Json:
    """Return the pattern for ended loops, as it is in a stack whose machine is the sample event's."""
    pattern: Json = AUDITED["LoopEnded"]["Properties"]["Pattern"]
    assert pattern["detail"]["stateMachineArn"] == [{"Ref": "RunMachine"}]
    return {**pattern, "detail": {**pattern["detail"], "stateMachineArn": [ended()["detail"]["stateMachineArn"]]}}


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_loop_that_ends_red_wakes_the_audit(status: str) -> None:
    assert matches(end_rule(), ended(status=status))


@pytest.mark.parametrize(
    "other", [ended(status="SUCCEEDED"), ended(status="RUNNING"), ended(stateMachineArn="another")], ids=str
)
def test_no_other_execution_wakes_the_audit(other: Json) -> None:
    assert not matches(end_rule(), other)


def test_the_audit_takes_every_sample_that_it_is_sent_for_what_it_is() -> None:
    assert json.loads(AUDITED["Regularly"]["Properties"]["Input"]) == sources.event("audit")
    names = ("audit", "schedule", "loop-ended")
    assert {name: trigger.parse_audit(sources.event(name)) for name in names} == {
        "audit": trigger.Tick(),
        "schedule": trigger.Night(scheduled_at=datetime(2026, 11, 22, 2, tzinfo=UTC)),
        "loop-ended": trigger.LoopEnded(run_id=sources.event("machine-submit")["run_id"], execution=1),
    }


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_every_execution_of_the_machine_is_told_of_when_it_begins_and_when_it_ends(status: str) -> None:
    pattern: Json = TOLD["LoopMoved"]["Properties"]["Pattern"]
    assert pattern["detail"] == {"stateMachineArn": [{"Ref": "RunMachine"}]}
    ours = {**pattern, "detail": {"stateMachineArn": [ended()["detail"]["stateMachineArn"]]}}
    assert matches(ours, ended(status=status))
    assert not matches(ours, ended(stateMachineArn="another"))


def test_the_schedule_of_what_is_told_sends_what_it_is_taken_for() -> None:
    assert json.loads(TOLD["Soon"]["Properties"]["Input"]) == sources.event("tell") == {"source": telling.SCHEDULE}
