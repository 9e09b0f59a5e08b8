"""The local cloud: a small application deployed on it, seen from outside."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.desk.cloud import APP, RunningCloud, running, started, until


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running(tmp_path_factory.mktemp("cloud"), "--template", str(APP)) as cloud:
        yield cloud


def upload(cloud: RunningCloud, key: str) -> None:
    cloud.client("s3").put_object(Bucket=cloud.resource("Inbox"), Key=key, Body=b"four")


def deliveries(cloud: RunningCloud, key: str) -> list[Any]:
    found = cloud.get("deliveries")
    return [one for one in found if one["event"].get("detail", {}).get("object", {}).get("key") == key]


def history(cloud: RunningCloud, arn: str) -> list[Any]:
    pages = cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


# ---------------------------------------------------------------- what is deployed


def test_it_says_where_everything_is(cloud: RunningCloud) -> None:
    assert sorted(cloud.said) == ["batches_api", "clock", "endpoint", "outputs", "region", "resources", "warnings"]
    assert cloud.said["batches_api"] is None
    assert cloud.said["outputs"] == {"Words": "hello-b", "InboxName": cloud.resource("Inbox")}
    assert cloud.said["endpoint"].startswith("http://127.0.0.1:")


def test_a_handler_sees_what_lambda_gives_it_and_nothing_of_this_machine(cloud: RunningCloud) -> None:
    seen = set(cloud.output("environment", ["environment", None])["environment"])

    assert {"AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION", "LAMBDA_TASK_ROOT", "ANSWER"} <= seen
    assert seen & {"HOME", "USER", "PWD", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "NIGHTSHIFT_TETHER"} == set()


def test_a_function_has_the_variables_that_the_template_computes(cloud: RunningCloud) -> None:
    assert cloud.output("mapping")["answer"] == "world"


# ---------------------------------------------------------------- one clock


def test_a_wait_of_a_day_takes_a_moment_and_a_handler_sees_the_day_pass(cloud: RunningCloud) -> None:
    began = time.monotonic()

    first, second = cloud.output("day", ["wait", 86_400])["seen"]

    assert 86_400 <= second - first < 86_460
    assert time.monotonic() - began < 20


def test_a_hundred_turns_have_nine_events_each_and_lie_a_minute_apart(cloud: RunningCloud) -> None:
    arn = cloud.start("turns", ["turns", 100])
    ended = cloud.ended(arn)

    assert len(history(cloud, arn)) == 1 + 9 * 100 + 10
    assert ended["stopDate"] - ended["startDate"] >= timedelta(minutes=100)


def test_the_back_off_of_a_retry_is_virtual(cloud: RunningCloud) -> None:
    arn = cloud.start("flaky", ["flaky", "once"])
    cloud.ended(arn)
    events = history(cloud, arn)
    failed = next(event["timestamp"] for event in events if event["type"] == "TaskFailed")
    again = [event["timestamp"] for event in events if event["type"] == "TaskScheduled"][1]

    assert timedelta(seconds=100) <= again - failed < timedelta(seconds=130)


def test_objects_and_the_clock_agree_on_the_time(cloud: RunningCloud) -> None:
    cloud.run("skip", ["wait", 7200])
    upload(cloud, "elsewhere/dated")
    modified = cloud.client("s3").head_object(Bucket=cloud.resource("Inbox"), Key="elsewhere/dated")["LastModified"]

    now = datetime.fromisoformat(cloud.get("clock")["now"])
    assert abs(now - modified) < timedelta(seconds=30)
    assert cloud.get("clock")["offset"] >= 7200


# ---------------------------------------------------------------- functions


def test_a_map_runs_as_many_processes_as_it_has_work_for(cloud: RunningCloud) -> None:
    spread = cloud.output("spread", ["spread", [1, 2, 3, 4]])["spread"]

    assert [one["item"] for one in spread] == [2, 4, 6, 8]


def test_a_function_that_is_not_done_in_time_is_killed(cloud: RunningCloud) -> None:
    began = time.monotonic()

    ended = cloud.run("slow", ["sleep", 60])

    assert (ended["status"], ended["error"]) == ("FAILED", "Sandbox.Timedout")
    assert 2 <= time.monotonic() - began < 20


def test_a_process_that_exits_fails_its_invocation_and_the_next_one_works(cloud: RunningCloud) -> None:
    ended = cloud.run("exit", ["exit", 3])

    assert (ended["status"], ended["error"]) == ("FAILED", "Runtime.ExitError")
    assert cloud.run("after-exit")["status"] == "SUCCEEDED"


def test_a_process_can_be_killed_in_the_middle_of_its_work_only(cloud: RunningCloud) -> None:
    arn = cloud.start("kill", ["sleep", 1.9])
    until(lambda: cloud.post("kill?function=WorkerFunction") == 200)

    assert cloud.ended(arn)["error"] == "Runtime.ExitError"
    assert cloud.post("kill?function=WorkerFunction") == 404
    assert cloud.post("kill?function=NoFunction") == 404


def test_the_memory_of_each_invocation_is_its_own(cloud: RunningCloud) -> None:
    before = len(cloud.get("calls"))
    cloud.run("memory", ["allocate", 100])
    first, second = cloud.get("calls")[before:]

    assert first["memory_mb"] >= 100 > second["memory_mb"] > 0
    assert (first["function"], first["configured_mb"], first["error"]) == ("WorkerFunction", 256, None)


# ---------------------------------------------------------------- events


def test_an_upload_travels_through_eventbridge_and_starts_the_loop(cloud: RunningCloud) -> None:
    upload(cloud, "in/first=[]")
    loop = cloud.client("stepfunctions")
    names = until(lambda: [one["name"] for one in executions(loop, cloud) if one["name"] == "run-first"])
    (delivery,) = deliveries(cloud, "in/first=[]")

    event = delivery["event"]
    assert names == ["run-first"]
    assert (event["source"], event["detail-type"], event["detail"]["reason"]) == (
        "aws.s3",
        "Object Created",
        "PutObject",
    )
    assert sorted(event["detail"]["object"]) == ["etag", "key", "sequencer", "size", "version-id"]
    assert event["detail"]["object"]["size"] == 4


def executions(client: Any, cloud: RunningCloud) -> list[Any]:
    found: list[Any] = client.list_executions(stateMachineArn=cloud.resource("Loop"))["executions"]
    return found


def test_an_upload_beside_the_rule_s_prefix_starts_nothing(cloud: RunningCloud) -> None:
    upload(cloud, "out/nothing")
    upload(cloud, "in/marker=[]")
    until(lambda: deliveries(cloud, "in/marker=[]"))

    assert deliveries(cloud, "out/nothing") == []


def test_a_recorded_event_can_be_delivered_again(cloud: RunningCloud) -> None:
    upload(cloud, "in/again=[]")
    (first,) = until(lambda: deliveries(cloud, "in/again=[]"))

    assert cloud.post("deliver", first["event"]) == 202
    assert [one["event"] for one in deliveries(cloud, "in/again=[]")] == [first["event"], first["event"]]


def test_a_schedule_fires_by_hand_with_its_attributes_filled_in(cloud: RunningCloud) -> None:
    assert cloud.post("fire?name=StarterFunctionNightly&at=2026-03-01T02:00:00%2B00:00") == 202
    fired = cloud.get("deliveries")[-1]

    assert fired["event"] == {"scheduled": "2026-03-01T02:00:00Z"}
    assert fired["source"] == f"schedule/{cloud.resource('StarterFunctionNightly')}"
    assert cloud.post("fire?name=NoSchedule") == 404


def test_a_failing_event_is_tried_three_times_in_three_minutes_and_then_kept(cloud: RunningCloud) -> None:
    upload(cloud, "in/poison")
    queue = cloud.client("sqs")
    message = until(lambda: poisoned(queue, cloud.resource("Failures")))
    record = json.loads(message["Body"])
    retried = [one["data"]["seconds"] for one in cloud.get("events") if one["kind"] == "delivery.retried"]

    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["functionArn"] == cloud.resource("StarterFunctionAliaslive")
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"]["detail"]["object"]["key"] == "in/poison"
    assert record["responsePayload"]["errorMessage"] == "poison"
    assert {60.0, 120.0} == set(retried)


def poisoned(queue: Any, url: str) -> Any:
    messages = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return next((message for message in messages if "in/poison" in message["Body"]), None)


def test_the_feed_tells_what_happened_in_order(cloud: RunningCloud) -> None:
    last = cloud.get("events")[-1]["n"]
    cloud.run("fed", ["wait", 600])
    told = [one for one in cloud.get(f"events?after={last}") if one["kind"] != "clock.jumped"]

    assert [one["kind"] for one in told] == [
        "execution.started",
        "invocation.started",
        "invocation.ended",
        "wait.started",
        "invocation.started",
        "invocation.ended",
        "execution.ended",
    ]
    assert told[3]["data"] == {"execution": "fed", "seconds": 600}
    assert told[-1]["data"]["status"] == "SUCCEEDED"


# ---------------------------------------------------------------- Lambda's own API


def invoke(cloud: RunningCloud, event: Any, **more: Any) -> Any:
    payload = json.dumps(event).encode()
    return cloud.client("lambda").invoke(FunctionName=cloud.resource("WorkerFunction"), Payload=payload, **more)


def test_a_caller_of_lambda_gets_the_answer(cloud: RunningCloud) -> None:
    answer = invoke(cloud, {"do": "each", "item": 21})

    assert answer["StatusCode"] == 200
    assert json.load(answer["Payload"])["item"] == 42
    assert "FunctionError" not in answer


def test_a_caller_of_lambda_gets_the_error_and_the_log(cloud: RunningCloud) -> None:
    answer = invoke(cloud, {"do": "look", "state": {"plan": [["break", "for a reason"]]}}, LogType="Tail")

    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "for a reason"
    assert b"for a reason" in base64.b64decode(answer["LogResult"])


def test_a_caller_of_lambda_need_not_wait(cloud: RunningCloud) -> None:
    before = len(cloud.get("calls"))

    assert invoke(cloud, {"do": "each", "item": 1}, InvocationType="Event")["StatusCode"] == 202
    assert until(lambda: cloud.get("calls")[before:])[0]["error"] is None


def test_a_function_that_is_not_there_is_not_found(cloud: RunningCloud) -> None:
    client = cloud.client("lambda")

    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")


def test_a_function_is_reached_by_its_alias_and_its_version_and_by_no_other(cloud: RunningCloud) -> None:
    client, name = cloud.client("lambda"), cloud.resource("StarterFunction")
    before = len(cloud.get("calls"))

    for reached in (f"{name}:live", cloud.resource("StarterFunctionAliaslive"), f"{name}:1"):
        assert (
            client.invoke(FunctionName=reached, Payload=b'{"detail": {"object": {"key": "in/x=[]"}}}')["StatusCode"]
            == 200
        )
    assert {call["function"] for call in cloud.get("calls")[before:]} >= {"StarterFunction"}
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName=f"{name}:gone")


# ---------------------------------------------------------------- rights


def test_a_call_without_a_grant_is_reported_as_it_would_be_denied(cloud: RunningCloud) -> None:
    upload(cloud, "in/table=[]")
    table = f"arn:aws:dynamodb:us-east-1:123456789012:table/{cloud.resource('Items')}"
    denied = until(lambda: cloud.get("iam")["denied"])
    unused = [(one["who"], one["action"]) for one in cloud.get("iam")["unused"]]

    assert denied == [{"who": "StarterFunctionRole", "action": "dynamodb:DeleteItem", "resource": table}]
    assert ("StarterFunctionRole", "dynamodb:GetItem") in unused
    assert ("StarterFunctionRole", "dynamodb:PutItem") not in unused
    assert ("LoopRole", "lambda:InvokeFunction") not in unused


# ---------------------------------------------------------------- transactions


def test_a_refused_transaction_leaves_every_item_as_it_was(cloud: RunningCloud) -> None:
    table, client = cloud.resource("Items"), cloud.client("dynamodb")
    kept, gone, free = ({"pk": {"S": "transaction"}, "sk": {"S": name}} for name in ("kept", "gone", "free"))
    for key in (kept, gone):
        client.put_item(TableName=table, Item={**key, "value": {"N": "1"}})
    update = {"Key": kept, "UpdateExpression": "SET #v = :v", "ExpressionAttributeNames": {"#v": "value"}}
    refused = {"Key": kept | {"sk": {"S": "absent"}}, "ConditionExpression": "attribute_exists(pk)"}

    with pytest.raises(ClientError) as refusal:
        client.transact_write_items(
            TransactItems=[
                {"Update": {"TableName": table, **update, "ExpressionAttributeValues": {":v": {"N": "2"}}}},
                {"Delete": {"TableName": table, "Key": gone}},
                {"Put": {"TableName": table, "Item": free}},
                {"ConditionCheck": {"TableName": table, **refused}},
            ]
        )

    reasons = [reason["Code"] for reason in refusal.value.response["CancellationReasons"]]
    items = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "transaction"}},
    )["Items"]
    assert reasons == ["None", "None", "None", "ConditionalCheckFailed"]
    assert items == [{**gone, "value": {"N": "1"}}, {**kept, "value": {"N": "1"}}]


# ---------------------------------------------------------------- the end


def test_its_processes_die_with_it_even_if_it_is_killed_while_they_work(tmp_path: Path) -> None:
    with started(tmp_path, "--template", str(APP)) as cloud:
        cloud.start("busy", ["sleep", 1.9])
        until(lambda: any(one["kind"] == "invocation.started" for one in cloud.get("events")))
        working = cloud.processes()
        cloud.process.kill()
        cloud.process.wait()

        assert len(working) == 1
        assert until(lambda: cloud.processes() == set(), patience=1.0)
