"""`nightshift forget`: after it, no version of any object and no item of any table has a word of the row."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local.running import Item, RunningCloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from tests.integration.conftest import Night

type Command = Callable[..., tuple[int, str]]

JOB = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 64
prompt: "{{{{ body }}}}"
output:
  labels: [billing, technical, account, other]
  table: {{key: ticket_id, attribute: category}}
  carry: [who]
  format: {more}
schedule: upload
limits: {{max_reject_ratio: 1}}
verify: {{sample: 20}}
"""
WHO = "Vera Canary"
BODY = "canary-4711 wants her money back"


@pytest.fixture
def nightshift(cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`nightshift … --local`, which returns status and stdout."""
    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")
    file.write_text(json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs}))

    def run(*args: str | Path) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*map(str, args), "--local"], catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def kept(cloud: RunningCloud, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield everything that the stack keeps of a job: each version of each object, and all items."""
    s3, dynamodb = cloud.client("s3"), cloud.client("dynamodb")
    for bucket in (cloud.outputs["InputBucketName"], cloud.outputs["OutputBucketName"]):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", []):
                if name in version["Key"]:
                    got = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
                    yield f"{version['Key']} {version['VersionId']}", got["Body"].read()
    for table in (cloud.outputs["RunsTableName"], cloud.outputs["TicketTableName"]):
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                yield f"{table} {item}", json.dumps(item).encode()


def test_a_row_is_gone_from_every_file_and_its_ticket_and_replay_does_not_bring_it_back(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    row_id = f"{night.name}-vera"
    row = {"id": row_id, "body": BODY, "who": WHO}
    words = (row_id.encode(), BODY.encode(), WHO.encode())
    others = [each | {"who": "somebody"} for each in night.rows(6)]

    def holders() -> list[str]:
        return [where for where, data in kept(night.cloud, night.name) if any(word in data for word in words)]

    # Once as CSV, and answered; again as JSON Lines, overwritten, twice in the file, and failed.
    night.job("csv", JOB)
    night.upload([*others, row])
    night.settle()
    night.job("jsonl", JOB)
    night.fault("rows", "errored", error_type="invalid_request_error", message="no", text=BODY)
    night.upload([row, *night.rows(3, "s"), row, {"id": row_id, "body": "other words"}, b"no json"])
    runs = night.settle(2)
    before = holders()
    assert sum("/output" in where for where in before) == 2
    kinds = {where.split(".")[-1].split()[0] for where in before if where.startswith("runs/")}
    assert kinds >= {"jsonl", "ids", "csv", "json", "html"}
    totals = {run["run_id"]: totals_of(nightshift, run, tmp_path / "before") for run in runs}

    dry = nightshift("forget", row_id, "--dry-run", "--json")
    assert (dry[0], holders()) == (Exit.DONE, before), dry[1]
    status, told = nightshift("forget", row_id, "--yes", "--json")

    assert status == Exit.DONE
    assert sorted(json.loads(told)["runs"]) == sorted(totals)
    assert holders() == []
    assert {run["run_id"]: totals_of(nightshift, run, tmp_path / "after") for run in runs} == totals
    for run in runs:
        assert nightshift("replay", run["run_id"], "--yes")[0] == Exit.DONE
        assert nightshift("verify", run["run_id"], "--dry-run")[0] in {Exit.DONE, Exit.FAILED}
    assert holders() == []
    assert nightshift("forget", row_id, "--yes") == (Exit.DONE, f"the stack holds nothing of {row_id}\n")
    others_left = [where for where, data in kept(night.cloud, night.name) if others[0]["id"].encode() in data]
    assert len(others_left) >= 4


def totals_of(nightshift: Command, run: Item, folder: Path) -> Any:
    """Return how many lines each of the run's results has."""
    status, told = nightshift("results", run["run_id"], folder / run["run_id"], "--json")
    assert status == Exit.DONE
    paths = [Path(path) for path in json.loads(told)["files"]]
    return {str(path.relative_to(folder)): len(path.read_text().splitlines()) for path in paths}


def test_a_row_that_may_still_be_asked_is_not_forgotten(nightshift: Command, night: Night) -> None:
    night.job()
    night.fault("create", "status:429", retry_after=3600)
    night.upload(night.rows(2))
    night.until(lambda: [run for run in night.runs() if run.get("planned")])
    (run,) = night.runs()
    row_id = f"{night.name}-r1"

    status, told = nightshift("forget", row_id, "--yes", "--json")

    assert status == Exit.FAILED
    assert json.loads(told)["error"].startswith(f"run {run['run_id']} has the row and is not finished")
    night.cloud.api("faults", "DELETE")
    night.settle()
    assert nightshift("forget", row_id, "--yes")[0] == Exit.DONE
