"""Starts the loop for an upload or a schedule, as told by the object's key."""

import contextlib
import json
import os
from typing import Any

import boto3


def lambda_handler(event: dict[str, Any], _context: object) -> None:
    """Start an execution; do what the key asks first."""
    detail = event.get("detail", {"object": {"key": f"in/{event.get('scheduled')}"}})
    key = detail["object"]["key"].removeprefix("in/")
    if key.startswith("poison"):
        raise RuntimeError(key)
    if key.startswith("table"):
        _use_table()
    state = json.dumps(
        {"event": event, "plan": [] if key.startswith("2") else json.loads(key.partition("=")[2] or "[]")}
    )
    name = f"run-{key.partition('=')[0].replace(':', '')}"
    machines = boto3.client("stepfunctions")
    with contextlib.suppress(machines.exceptions.ExecutionAlreadyExists):  # events come twice
        machines.start_execution(stateMachineArn=os.environ["STATE_MACHINE_ARN"], name=name, input=state)


def _use_table() -> None:
    """Write what the role allows, delete one item that it allows, and one that it does not."""
    table = boto3.resource("dynamodb").Table(os.environ["ITEMS"])
    for pk in ("LOCK", "ROW"):
        table.put_item(Item={"pk": pk, "sk": "a"})
        table.delete_item(Key={"pk": pk, "sk": "a"})
