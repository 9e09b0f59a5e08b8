"""A sample of a finished run beside synchronous answers, by the job's wish and by hand, on the local cloud."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local.running import Item, RunningCloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from tests.integration.conftest import Night

PROMPT = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 200
prompt: "{{{{ body }}}}"
output: {{text: true}}
{more}
"""
HAIKU = {"input": 100_000, "output": 500_000}
"""Picodollars per token of the synchronous API (pricing page)."""

type Command = Callable[..., tuple[int, str]]


@pytest.fixture
def nightshift(cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`nightshift … --local`, which returns status and stdout."""
    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")
    file.write_text(json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs}))

    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*args, "--local"], catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def test_a_job_that_wants_it_has_a_sample_of_its_answers_compared(night: Night) -> None:
    night.job("verify: {sample: 5}\nschedule: upload")
    night.upload(night.rows(12))
    committed, spent = month(night)

    (run,) = night.settle()

    record, answers = verification(night, run), {line["id"]: line["answer"] for line in night.lines(run, "output")}
    rows = {row["id"]: row for row in record["rows"]}
    assert {name: (row["batch_answer"], row["sync_answer"], row["agrees"]) for name, row in rows.items()} == {
        name: (answers[name], answers[name], True) for name in rows
    }
    assert (record["sample"], record["asked"], record["answered"], record["agree"], record["note"]) == (5, 5, 5, 5, "")
    assert {kind: each["ratio"] for kind, each in record["token_classes"].items()} == {"input": 2, "output": 2}
    tokens = {kind: each["sync_tokens"] for kind, each in record["token_classes"].items()}
    cost = sum(count * HAIKU[kind] for kind, count in tokens.items())
    assert record["cost_usd"] == Decimal(cost).scaleb(-12)
    assert {row["batch_cost_usd"] * 2 for row in rows.values()} == {row["sync_cost_usd"] for row in rows.values()}
    assert (run["verified"], run["verify_spent"]) == (True, cost)
    assert month(night) == (committed + run["spent"] + cost, spent + run["spent"] + cost)
    report = night.harvest(run).report
    assert (report["state"], report["verification"]["agree"]) == ("done", 5)
    assert {ticket["category"] for ticket in night.tickets(run).values()} == set(answers.values())
    assert night.cloud.ask("iam")["denied"] == []


def test_an_api_that_fails_every_synchronous_request_spoils_no_night(night: Night) -> None:
    night.fault("messages", "status:529", error_type="overloaded_error", message="Overloaded")
    night.job("verify: {sample: 5}\nschedule: upload")
    night.upload(night.rows(6))

    (run,) = night.settle()

    assert night.history(run)[-1]["type"] == "ExecutionSucceeded"
    assert night.harvest(run).complete
    assert (run["state"], run["verified"], run["verify_spent"]) == ("done", True, 0)
    record = verification(night, run)
    assert (record["asked"], record["answered"], record["cost_usd"]) == (3, 0, 0)
    assert record["note"] == "ended early: the API failed 3 times in a row, at last with Ambiguous"


def test_a_verifier_that_is_killed_spoils_no_night_and_a_person_goes_on_with_it(
    night: Night, nightshift: Command
) -> None:
    night.fault("messages", "hang", seconds=60, times=1)
    night.job("verify: {sample: 3}\nschedule: upload")
    night.upload(night.rows(6))
    night.until(lambda: any("hang" in str(fault) and fault["fired"] for fault in night.cloud.api("faults")))
    night.kill("VerifyFunction")
    (run,) = night.settle()
    assert night.history(run)[-1]["type"] == "ExecutionSucceeded"
    assert (run["state"], run["verified"], "verifying" in run) == ("done", False, True)
    let_its_time_pass(night, run)

    status, told = nightshift("verify", run["run_id"], "--yes")
    night.until(lambda: night.runs()[0]["verified"])

    assert (status, told.endswith(f"{run['run_id']}/verification.json\n")) == (Exit.DONE, True)
    record = verification(night, run)
    assert (record["asked"], record["answered"]) == (3, 2)
    assert [row["error"] for row in record["rows"] if row["sync_class"] is None] == [
        "not known: it was asked, and no answer was kept"
    ]


def test_a_person_has_texts_compared_that_no_job_asked_for(night: Night, nightshift: Command) -> None:
    night.job(text=PROMPT)
    night.upload(night.rows(4))
    (run,) = night.settle()
    assert "verification.json" not in files(night, run)

    status, told = nightshift("verify", run["run_id"], "--sample", "2", "--dry-run")
    assert (status, told.startswith("2 rows cost $0.0002")) == (Exit.DONE, True)
    assert nightshift("verify", run["run_id"], "--sample", "2", "--yes")[0] == Exit.DONE
    night.until(lambda: night.runs()[0]["verified"])

    record = verification(night, run)
    assert (record["asked"], record["answered"], record["compared"], record["agree"]) == (2, 2, 0, 0)
    texts = {row["sync_answer"] for row in record["rows"]}
    assert len(texts) == 2
    assert all(text.startswith("Stand-in answer") for text in texts)
    assert json.loads(files(night, run)["report.json"])["verification"]["asked"] == 2


def files(night: Night, run: Item) -> dict[str, bytes]:
    """Return what a run has written, by the names below its home."""
    s3, bucket, home = night.cloud.client("s3"), night.cloud.outputs["OutputBucketName"], f"runs/{run['run_id']}/"
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=home)["Contents"]]
    return {key.removeprefix(home): s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def verification(night: Night, run: Item) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(night, run)["verification.json"], parse_float=Decimal)
    return found


def let_its_time_pass(night: Night, run: Item) -> None:
    """Put the dead verifier's deadline back: the clock here only jumps where a machine waits."""
    night.cloud.client("dynamodb").update_item(
        TableName=night.cloud.outputs["RunsTableName"],
        Key={"pk": {"S": run["pk"]}, "sk": {"S": run["sk"]}},
        UpdateExpression="SET verifying.#until = created",
        ExpressionAttributeNames={"#until": "until"},
    )


def month(night: Night) -> tuple[int, int]:
    """Return what this month has committed and spent, in picodollars."""
    key = {"pk": {"S": f"BUDGET#{night.cloud.ask('clock')['now'][:7]}"}, "sk": {"S": "MONTH"}}
    item = night.cloud.client("dynamodb").get_item(TableName=night.cloud.outputs["RunsTableName"], Key=key)
    kept = item.get("Item", {})
    return int(kept.get("committed", {"N": "0"})["N"]), int(kept.get("spent", {"N": "0"})["N"])
