"""Least privilege for people, too: what each command asks AWS for is what docs/operations.md says it needs."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer.main
from typer.testing import CliRunner

from local import aws_requests
from local.running import RunningCloud, running_cloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from tests.conftest import DESK_PYTHON
from tests.contract.test_commands import commands
from tests.drill.person import TELLS
from tests.drill.runbook import section
from tests.integration.conftest import JOB, Night

type Asked = dict[str, set[str]]
"""Command → `service:Action of what`."""

ON_THIS_MACHINE = {"lint", "scan", "job print"}
"""Commands that ask nobody."""

PREFIXES = {"sfn": "states", "secrets-manager": "secretsmanager"}
"""A service as botocore names it → as IAM does, where that is another word."""


class Person:
    """Types commands, and is watched at it."""

    def __init__(self, cloud: RunningCloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: Asked = defaultdict(set)
        self._command = ""
        self._things = {
            f"table/{cloud.outputs['RunsTableName']}": "ledger",
            f"table/{cloud.outputs['TicketTableName']}": "tickets",
            "table/restored": "restored",
            cloud.outputs["InputBucketName"]: "input",
            cloud.outputs["OutputBucketName"]: "output",
        }
        monkeypatch.setattr(stacks, "LOCAL_FILE", file := folder / "local.json")
        file.write_text(json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs}))
        monkeypatch.setattr(stacks, "local_session", partial(self._session, stacks.local_session))

    def types(self, *words: str | Path) -> str:
        """Type a command, which must do what it is for, and return what it printed."""
        said = [str(word) for word in words]
        self._command = " ".join(said[: 1 + (said[0] == "job")])
        done = CliRunner().invoke(app, [*said, "--local"], catch_exceptions=False)
        assert done.exit_code in TELLS, (said, done.output)
        return done.stdout.strip()

    def _session(self, make: Callable[[str], boto3.Session], region: str) -> boto3.Session:
        session = make(region)
        session.events.register("before-send", self._saw)
        session.events.register("after-call.s3", self._missed)
        return session

    def _saw(self, request: Any, event_name: str, **_: Any) -> None:
        _event, service, operation = event_name.split(".")
        if service in {"s3", "dynamodb"}:
            path, _mark, query = request.url.split("/", 3)[3].partition("?")
            headers = {
                f"HTTP_{name.upper().replace('-', '_')}": _text(value) for name, value in request.headers.items()
            }
            pairs = dict((f"{part}=".split("=")[:2]) for part in query.split("&") if part)
            body = request.body if service == "dynamodb" else b""
            sent = aws_requests.Request(request.method, f"/{path}", pairs, headers, body)
            for call in aws_requests.calls(service, sent, lambda _table: None):
                self._note(f"{call.action} {self._thing(call.resource)}")
        else:
            name = {"Invoke": "InvokeFunction"}.get(operation, operation)
            self._note(f"{PREFIXES.get(service, service)}:{name}")

    def _missed(self, http_response: Any, event_name: str, **_: Any) -> None:
        """Note what S3 wants of who asks for an object that is not there; it says 403 to others."""
        if http_response.status_code == 404 and event_name.endswith(("GetObject", "HeadObject")):
            self._note(f"s3:ListBucket {self._thing(http_response.url)}")

    def _note(self, what: str) -> None:
        self.asked[self._command].add(what)

    def _thing(self, resource: str) -> str:
        (thing,) = {thing for name, thing in self._things.items() if name in resource}
        return thing


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


def everything(person: Person, night: Night, folder: Path) -> None:
    """Type every command that asks AWS, each in the ways that ask for something else."""
    (job := folder / f"{night.name}.yaml").write_text(
        JOB.format(name=night.name, more="verify: {sample: 2}\nschedule: upload")
    )
    (file := folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in night.rows(6)))
    night.fault("rows", "errored", error_type="invalid_request_error", message="no", text=f"{night.name} r3:")
    person.types("job", "put", job)
    person.types("estimate", file, "--job", night.name)
    run = person.types("submit", file, "--job", night.name)
    person.types("watch", run)
    night.settle()
    night.cloud.api("faults", "DELETE")
    for words in (
        ("doctor",),
        ("runs",),
        ("show", run),
        ("estimate", run),
        ("results", run, folder / "results"),
        ("report", run, folder / "report", "--no-open"),
        ("replay", run, "--dry-run"),
        ("replay", run, "--yes"),
        ("verify", run, "--sample", "4", "--yes"),
        ("costs",),
        ("bill",),
        ("retry", run, "--yes"),
    ):
        person.types(*words)
    night.settle(2)
    person.types("retry", run, "--yes")
    person.types("orphans")
    tickets, ours = night.cloud.client("dynamodb"), {"ticket_id": {"S": f"{night.name}-r2"}}
    tickets.update_item(
        TableName=night.cloud.outputs["TicketTableName"],
        Key=ours,
        UpdateExpression="SET title = :t",
        ExpressionAttributeValues={":t": {"S": "theirs"}},
    )
    for row in ("r1", "r2"):
        person.types("forget", f"{night.name}-{row}", "--yes")

    nightly = Night(night.cloud, folder)
    nightly.cloud.api("settings", "POST", {"duration_seconds": 10_000})
    nightly.job("schedule: nightly")
    (file := folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in nightly.rows(3)))
    run = person.types("submit", file, "--job", nightly.name, "--now")
    nightly.until(lambda: nightly.runs() and nightly.batches(nightly.runs()[0]), pause=0.01)
    person.types("show", run)
    person.types("doctor")
    person.types("hold", run, "--reason", "a look")
    person.types("show", run)
    person.types("resume", run)
    person.types("cancel", run, "--reason", "enough", "--yes")
    nightly.settle()
    person.types("show", run)
    person.types("resume", run)
    nightly.settle()
    person.types("forget", f"{nightly.name}-r1", "--yes")
    nightly.cloud.api("settings", "POST", {"duration_seconds": 60, "jitter": 0})
    person.types("probe", "--yes", "--every", "0.5", "--wait", "20")

    person.types("restore", backup_with_one_run_more(night), "--yes")

    refused = Night(night.cloud, folder)
    refused.job()
    refused.fault("create", "status:400", error_type="invalid_request_error", message="no such thing", times=1)
    refused.upload(refused.rows(3))
    (held,) = refused.settle()
    refused.job("schedule: upload\nbatch: {max_rows: 100}")
    person.types("resume", held["run_id"])
    refused.settle()


def backup_with_one_run_more(night: Night) -> str:
    """Make a table that has a run of the ledger under another name; return the table's name."""
    client, name = night.cloud.client("dynamodb"), "restored"
    kinds = [{"AttributeName": each, "KeyType": kind} for each, kind in (("pk", "HASH"), ("sk", "RANGE"))]
    types = [{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")]
    client.create_table(TableName=name, KeySchema=kinds, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
    key = {"pk": {"S": f"RUN#{night.runs()[0]['run_id']}"}, "sk": {"S": "META"}}
    item = client.get_item(TableName=night.cloud.outputs["RunsTableName"], Key=key)["Item"]
    client.put_item(TableName=name, Item=item)
    client.put_item(TableName=name, Item=item | {"pk": {"S": "RUN#lost"}, "run_id": {"S": "lost"}})
    return name


def told() -> Asked:
    """Return what the page says that each command needs."""
    found: Asked = {}
    for line in re.findall(
        r"^\| (`[a-z].*) \|$", section("What a person may do").replace("nightshift …", "…"), re.MULTILINE
    ):
        names, *cells = (re.findall(r"`([^`]+)`", cell) for cell in line.split(" | "))
        columns = dict(zip((("dynamodb", "ledger"), ("s3", "input"), ("s3", "output")), cells[:3], strict=True))
        needed = {f"{service}:{action} {what}" for (service, what), words in columns.items() for action in words}
        needed |= set(cells[3])
        found |= dict.fromkeys(names, needed)
    return found


def test_what_each_command_asks_aws_for_is_what_the_page_says(
    cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(cloud, tmp_path, monkeypatch)

    everything(person, Night(cloud, tmp_path), tmp_path)

    assert person.asked == told()


def test_the_page_names_every_command_that_asks_aws() -> None:
    assert set(commands(typer.main.get_command(app))) - ON_THIS_MACHINE == set(told())
