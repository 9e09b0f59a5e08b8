"""`nightshift doctor`: each thing that it looks at, well and amiss."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import NotSent, Unauthorized
from nightshift.model import Hold, HoldCode, RunId
from nightshift_cli import api
from nightshift_cli.doctor import CHECKS
from nightshift_cli.exits import Exit
from nightshift_cli.stack import Stack, find
from tests.unit.cli_stack import JOB, CliStack, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, input_ref, run

PRICED = JOB.replace(b"max_tokens", b"model: claude-haiku-5-5\nmax_tokens")
OTHER = RunId("triage-20261122-bbbbbbbb")
PUT_KEY = "aws secretsmanager put-secret-value …"


class Api:
    """An API that takes the key, or fails in one way."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def probe(self) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Have nothing to close."""


def with_api(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    monkeypatch.setattr(api, "batches", lambda _stack: Api(error))


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    """A stack that lacks nothing."""
    monkeypatch.setattr(clock, "now", lambda: START)
    with_api(monkeypatch)
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        topic = stack.client("sns").create_topic(Name=stack.name)["TopicArn"]
        stack.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")
        queue = stack.client("sqs").create_queue(QueueName=stack.name)["QueueUrl"]
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{stack.name}"
        outputs = {"AlarmTopicArn": topic, "DeadLetterQueueUrl": queue, "SubmitFunctionName": stack.name}
        plane.stacks[stack.name] = {**plane.stacks[stack.name], **outputs}
        schedule(stack, arn, "ENABLED", new=True)
        stack.client("cloudwatch").put_metric_data(
            Namespace="nightshift",
            MetricData=[
                {
                    "MetricName": "AuditHeartbeat",
                    "Dimensions": [{"Name": "service", "Value": stack.name}],
                    "Timestamp": START - timedelta(minutes=7),
                    "Value": 1,
                }
            ],
        )
        # The machine of a stack is `<stack>-run`.
        machine = stack.client("stepfunctions").create_state_machine(
            name=f"{stack.name}-run",
            definition=json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}}),
            roleArn="arn:aws:iam::123456789012:role/machine",
        )["stateMachineArn"]
        stack.machine = machine
        plane.stacks[stack.name] = {**plane.stacks[stack.name], "RunMachineArn": machine}
        stack.put_job(PRICED)
        yield stack


def schedule(stack: CliStack, arn: str, state: str, *, new: bool = False) -> None:
    client = stack.client("scheduler")
    (client.create_schedule if new else client.update_schedule)(
        Name=stack.name,
        ScheduleExpression="rate(1 day)",
        State=state,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": arn, "RoleArn": "arn:aws:iam::123456789012:role/schedule"},
    )


def found(nightshift: CliStack, status: Exit, what: str) -> list[tuple[str, str, str]]:
    said = nightshift("doctor", "--json")
    assert said.status == status
    record: list[dict[str, Any]] = json.loads("\n".join(said.out))
    return [(each["level"], each["told"], each["todo"]) for each in record if each["what"] == what]


def test_where_nothing_is_amiss_each_thing_is_a_line_that_says_ok(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.start_loop(RUN)

    said = nightshift("doctor")

    assert said.status == Exit.DONE
    assert [line[:18].rstrip() for line in said.out] == [f"ok    {what}" for what in CHECKS]
    assert said.out[1:] == [
        "ok    API key      http://127.0.0.1:9 takes the stack's key",
        "ok    jobs         triage asks claude-haiku-5-5, whose price is known",
        "ok    money        $0.00 of 2026-11 are spent or reserved, of $500.00",
        "ok    schedule     it is on: nightly jobs start by themselves",
        "ok    alarms       subscriptions that are told of alarms: 1",
        "ok    dead letters every event has started what it is for",
        "ok    runs         1 at work, and their loops run",
        "ok    audit        the last one was at 01:53Z",
    ]


def test_a_key_that_the_api_does_not_take_is_bad_and_so_is_an_api_that_does_not_answer(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_api(monkeypatch, Unauthorized("HTTP 401"))
    assert found(nightshift, Exit.FOUND, "API key") == [
        ("bad", "http://127.0.0.1:9 does not take the stack's key: HTTP 401", PUT_KEY)
    ]
    with_api(monkeypatch, NotSent("no connection"))
    assert found(nightshift, Exit.FOUND, "API key") == [
        (
            "bad",
            "http://127.0.0.1:9 does not answer as it should: no connection",
            "look again; https://status.claude.com",
        )
    ]


def test_a_job_that_cannot_be_used_is_bad_and_one_without_a_price_a_warning(nightshift: CliStack) -> None:
    nightshift.put_job(PRICED.replace(b"labels", b"lables"))
    ((level, told, todo),) = found(nightshift, Exit.FOUND, "jobs")
    assert (level, todo) == ("bad", "mend it; nightshift job put jobs/triage.yaml")
    assert told.startswith("triage cannot be used: jobs/triage.yaml:")

    nightshift.put_job(PRICED.replace(b"claude-haiku-5-5", b"claude-nobody-knows"))
    ((level, told, _),) = found(nightshift, Exit.DONE, "jobs")
    assert (level, told.split(": ")[0]) == ("warn", "triage")

    nightshift.client("s3").delete_object(Bucket=nightshift.inputs, Key="jobs/triage.yaml")
    assert found(nightshift, Exit.DONE, "jobs") == [("warn", "no job is stored yet", "nightshift job put JOB.yaml")]


def test_a_month_without_room_is_bad_and_one_without_a_cap_a_warning(nightshift: CliStack) -> None:
    outputs = nightshift.plane.stacks[nightshift.name]
    nightshift.ledger.create_run(run(reserved=None, planned=True))
    nightshift.ledger.reserve(nightshift.ledger.run(RUN), per_row=10**12, rows=2, month="2026-11", cap=None)
    nightshift.start_loop(RUN)
    nightshift.plane.stacks[nightshift.name] = {**outputs, "MonthlyCapUsd": "2"}
    assert found(nightshift, Exit.FOUND, "money") == [
        (
            "bad",
            "$2.00 of 2026-11 are spent or reserved, of $2.00: every run is held",
            "deploy with a higher MonthlyCapUsd",
        )
    ]
    nightshift.plane.stacks[nightshift.name] = {**outputs, "MonthlyCapUsd": "0"}
    ((level, _, todo),) = found(nightshift, Exit.DONE, "money")
    assert (level, todo) == ("warn", "deploy with a MonthlyCapUsd")


def test_a_schedule_that_is_off_is_a_warning_and_one_that_is_gone_is_bad(nightshift: CliStack) -> None:
    schedule(nightshift, f"arn:aws:lambda:us-east-1:123456789012:function:{nightshift.name}", "DISABLED")
    ((level, _, todo),) = found(nightshift, Exit.DONE, "schedule")
    assert (level, todo) == ("warn", "deploy with ScheduleState=ENABLED")

    nightshift.client("scheduler").delete_schedule(Name=nightshift.name)
    ((level, _, todo),) = found(nightshift, Exit.FOUND, "schedule")
    assert (level, todo) == ("bad", "deploy the stack again")


def test_an_alarm_of_this_stack_that_rings_is_bad_and_nobody_to_tell_a_warning(nightshift: CliStack) -> None:
    topic = nightshift.client("sns").create_topic(Name=f"{nightshift.name}-2")["TopicArn"]
    outputs = nightshift.plane.stacks[nightshift.name]
    nightshift.plane.stacks[nightshift.name] = {**outputs, "AlarmTopicArn": topic}
    for name, actions in (("ours", [topic]), ("others", [])):
        nightshift.client("cloudwatch").put_metric_alarm(
            AlarmName=f"{nightshift.name}-{name}",
            AlarmDescription="Something\nhappened.",
            AlarmActions=actions,
            Namespace="n",
            MetricName="m",
            Period=60,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=1,
            Statistic="Sum",
        )
        nightshift.client("cloudwatch").set_alarm_state(
            AlarmName=f"{nightshift.name}-{name}", StateValue="ALARM", StateReason="r"
        )

    assert found(nightshift, Exit.FOUND, "alarms") == [
        ("warn", "nobody is told of alarms", "deploy with an AlarmEmail"),
        ("bad", f"{nightshift.name}-ours rings", "Something happened."),
    ]


def test_dead_letters_are_bad(nightshift: CliStack) -> None:
    url = nightshift.plane.stacks[nightshift.name]["DeadLetterQueueUrl"]
    nightshift.client("sqs").send_message(QueueUrl=url, MessageBody="{}")

    ((level, told, todo),) = found(nightshift, Exit.FOUND, "dead letters")
    assert (level, told) == ("bad", "1 events started nothing, after all their tries")
    assert url in todo


def test_a_run_that_is_held_and_a_loop_that_is_dead_are_bad(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(hold=Hold(HoldCode.API_KEY, "401", START)))
    nightshift.ledger.create_run(run(OTHER, inputs=(input_ref("inbox/triage/b.jsonl"),)))

    assert sorted(found(nightshift, Exit.FOUND, "runs")) == [
        ("bad", f"the loop of {OTHER} does not run", f"the audit starts it again; or nightshift resume {OTHER}"),
        ("bad", f"{RUN} is held: API_KEY", f"nightshift show {RUN}"),
        ("ok", "0 at work, and their loops run", ""),
    ]


def test_an_audit_that_is_silent_is_a_warning(nightshift: CliStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(hours=1))
    ((level, _, todo),) = found(nightshift, Exit.DONE, "audit")
    assert (level, todo) == ("warn", "nobody notices a loop that died: docs/operations.md, AuditSilent")


def test_of_the_local_cloud_it_says_how_its_audit_is_asked_to_look(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(hours=1))

    def local_one(name: str, *, local: bool) -> Stack:
        return replace(find(name, local=local), flag="--local")

    monkeypatch.setattr("nightshift_cli.doctor.find", local_one)

    ((level, told, todo),) = found(nightshift, Exit.DONE, "audit")

    assert (level, told) == ("warn", "no audit in the last 45 minutes: the local cloud's looks when it is asked")
    assert todo == f"curl -X POST '{nightshift.endpoint}/_local/fire?name=AuditFunctionRegularly'"


def test_what_cannot_be_looked_at_is_a_warning_and_the_rest_is_looked_at(nightshift: CliStack) -> None:
    outputs = nightshift.plane.stacks[nightshift.name]
    nightshift.plane.stacks[nightshift.name] = {**outputs, "DeadLetterQueueUrl": outputs["DeadLetterQueueUrl"] + "-no"}

    ((level, told, _),) = found(nightshift, Exit.DONE, "dead letters")
    assert (level, told.split(":")[0]) == ("warn", "it could not be looked at")
    assert found(nightshift, Exit.DONE, "audit")[0][0] == "ok"
