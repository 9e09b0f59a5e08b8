"""The local cloud as a subprocess, and what the demo, the tests and the command line ask of it."""

import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import boto3
from boto3.dynamodb.types import TypeDeserializer

from local.wire import Json

type Item = dict[str, Any]

_value = TypeDeserializer().deserialize


class CloudDidNotStartError(Exception):
    """The local cloud ended before it was ready; the message is what it said last."""


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """A deployed stack on loopback."""

    endpoint: str
    region: str
    batches_api: str
    """URL of the local Message Batches API."""
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        """Return a boto3 client of the local cloud."""
        return _client(service, self.endpoint, self.region)

    def ask(self, what: str, *, post: bool = False, body: object = None, **query: object) -> Any:
        """Ask the desk's own interface, below /_local/."""
        return _json(f"{self.endpoint}/_local/{what}?{urllib.parse.urlencode(query)}", "POST" if post else "GET", body)

    def api(self, what: str, method: str = "GET", body: object = None) -> Any:
        """Ask the local Message Batches API about itself, or have it misbehave: see local/batches_api/."""
        return _json(f"{self.batches_api}/_local/{what}", method, body)

    def misbehave(self, who: str, action: str, **more: object) -> None:
        """Let AWS refuse or throttle a role: see local/aws_faults.py."""
        self.ask("faults", post=True, body={"who": who, "action": action, **more})

    def behave(self) -> None:
        """Let AWS do for everybody what it should."""
        _json(f"{self.endpoint}/_local/faults", "DELETE", None)

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass, and all that is due in it happen."""
        self.ask("pass", post=True, seconds=seconds)

    def upload(self, key: str, file: Path) -> None:
        """Put a file into the input bucket."""
        self.client("s3").upload_file(str(file), self.outputs["InputBucketName"], key)

    def put(self, key: str, data: bytes) -> None:
        """Put an object into the input bucket."""
        self.client("s3").put_object(Bucket=self.outputs["InputBucketName"], Key=key, Body=data)

    def events(self, after: int) -> list[Json]:
        """Return what happened since event `after`."""
        events: list[Json] = self.ask("events", after=after)
        return events

    def runs(self) -> list[Item]:
        """Return the run records, newest first."""
        found: list[Item] = []
        for kind in ("OPEN", "RUN"):  # those that are done
            answer = self.client("dynamodb").query(
                TableName=self.outputs["RunsTableName"],
                IndexName="runs",
                KeyConditionExpression="kind = :kind",
                ExpressionAttributeValues={":kind": {"S": kind}},
            )
            found += [plain(item) for item in answer["Items"]]
        return sorted(found, key=lambda run: str(run["created"]), reverse=True)

    def ledger(self, run_id: str) -> tuple[Item, list[Item]]:
        """Return a run's record and its chunks."""
        pages = (
            self.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.outputs["RunsTableName"],
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": f"RUN#{run_id}"}},
                ConsistentRead=True,
            )
        )
        items = [plain(item) for page in pages for item in page["Items"]]
        return next(i for i in items if i["sk"] == "META"), [i for i in items if i["sk"] != "META"]

    def intent(self) -> Item | None:
        """Return the create that is under way, or whose outcome is not known."""
        key = {"pk": {"S": "CREATE"}, "sk": {"S": "INTENT"}}
        answer = self.client("dynamodb").get_item(TableName=self.outputs["RunsTableName"], Key=key, ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def executions(self, status: str) -> list[Item]:
        """Return the state machine's executions in a status."""
        found: list[Item] = self.client("stepfunctions").list_executions(
            stateMachineArn=self.outputs["RunMachineArn"], statusFilter=status
        )["executions"]
        return found


@cache
def _client(service: str, endpoint: str, region: str) -> Any:
    """Return the client of a service, made once: making one takes longer than most of what is asked of it."""
    return boto3.client(
        cast("Any", service),  # the stubs want a literal
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="desk",
        aws_secret_access_key="desk",
    )


def _json(url: str, method: str, body: object) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - our own loopback
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - as above
        return json.load(answer)


def plain(item: Item) -> Item:
    """Turn DynamoDB's typed attributes into plain ones."""
    return {name: _value(value) for name, value in item.items()}


@contextmanager
def running_cloud(*options: str, python: str = sys.executable) -> Iterator[RunningCloud]:
    """Start the local cloud, and end it and all of its processes.

    Args:
        options: of `python -m local`.
        python: the desk's interpreter.

    Raises:
        CloudDidNotStartError: with what it printed.
    """
    command = [python, "-m", "local", *options]
    with tempfile.TemporaryFile("w+") as said:
        cloud = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True)
        with cloud:
            line = cloud.stdout.readline() if cloud.stdout else ""
            if not line:
                said.seek(0)
                raise CloudDidNotStartError(said.read()[-3000:])
            facts = json.loads(line)
            try:
                yield RunningCloud(facts["endpoint"], facts["region"], facts["batches_api"], facts["outputs"])
            finally:
                cloud.terminate()
