"""The command line against the local cloud, as a person uses it: from a job file to tickets."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.running import Item, RunningCloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from tests.integration.conftest import JOB, Night

type Command = Callable[..., tuple[int, str]]


@pytest.fixture
def nightshift(cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`nightshift … --local`, which returns status and stdout."""
    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")
    file.write_text(json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs}))

    def run(*args: str | Path) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*map(str, args), "--local"], catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def test_a_person_puts_a_job_submits_a_file_and_sees_the_run_through(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    (job := tmp_path / f"{night.name}.yaml").write_text(JOB.format(name=night.name, more="schedule: upload"))
    file = write(tmp_path / "a.jsonl", night)

    assert nightshift("job", "put", job)[0] == Exit.DONE
    status, printed = nightshift("submit", file, "--job", night.name)
    run_id = printed.strip()
    night.settle()

    assert status == Exit.DONE
    seen = show(nightshift, run_id)
    assert (seen["state"], seen["rows"], seen["answered"], seen["ways_out"]) == ("done", 5, 5, [])
    assert seen["execution"] == {"name": f"{run_id}-c0001", "status": "SUCCEEDED"}
    assert [chunk["state"] for chunk in seen["chunks"]] == ["COLLECTED"]
    assert run_id in nightshift("runs")[1]


def test_the_same_rows_again_are_held_until_a_person_approves(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.job()
    file = write(tmp_path / "a.jsonl", night)
    nightshift("submit", file, "--job", night.name)
    night.settle()

    _, printed = nightshift("submit", file, "--job", night.name)
    again = printed.strip()
    night.settle(2)
    held, page = nightshift("show", again)
    resumed, _ = nightshift("resume", again, "--approve")
    night.settle(2)

    assert held == Exit.HELD
    assert f"→ nightshift resume {again} --local --approve" in page
    assert resumed == Exit.DONE
    seen = show(nightshift, again)
    assert (seen["state"], seen["answered"], seen["run"]["approved"]) == ("done", 5, ["SAME_ROWS"])


def test_a_run_that_the_api_refused_is_planned_and_sent_anew_with_the_mended_job(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.job()
    night.fault("create", "status:400", error_type="invalid_request_error", message="no such thing", times=1)
    night.upload([*night.rows(9), b"no json", {"id": "empty", "body": ""}])
    (held,) = night.settle()
    assert (held["hold"]["code"], held["plan"]) == ("API_REJECTED", 1)
    (job := tmp_path / f"{night.name}.yaml").write_text(
        JOB.format(name=night.name, more="schedule: upload").replace("You sort", "You carefully sort")
    )

    assert nightshift("job", "put", job)[0] == Exit.DONE
    assert nightshift("resume", held["run_id"])[0] == Exit.DONE
    (run,) = night.settle()

    got = night.harvest(run)
    assert (run["state"], run["plan"], got.complete) == ("done", 2, True)
    assert (got.lines["output"], got.lines["rejects"], night.paid_twice()) == (9, 2, 0)
    assert got.report["reject_codes"] == {"BAD_JSON": 1, "EMPTY_BODY": 1}
    home = f"runs/{run['run_id']}/"
    listed = night.cloud.client("s3").list_objects_v2(Bucket=night.cloud.outputs["OutputBucketName"], Prefix=home)
    folders = {item["Key"].removeprefix(home).split("/")[0] for item in listed["Contents"]}
    assert folders >= {"plan-2", "rejects-2", "job-2.yaml", "job.yaml"}
    assert folders.isdisjoint({"plan", "rejects"})
    assert (
        "          output.jsonl output/ failed/ rejects-2/ raw/ report.json"
        in nightshift("show", run["run_id"])[1].splitlines()
    )


def test_a_run_that_is_held_by_hand_stays_where_it_is_until_it_is_resumed(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.job()
    night.fault("create", "status:429", error_type="rate_limit_error", message="later", retry_after=60)
    _, printed = nightshift("submit", write(tmp_path / "a.jsonl", night), "--job", night.name)
    run_id = printed.strip()

    assert nightshift("hold", run_id, "--reason", "wrong file")[0] == Exit.DONE
    night.settle()
    held = show(nightshift, run_id)
    assert (held["hold"]["code"], held["hold"]["reason"], held["answered"]) == ("BY_HAND", "wrong file", 0)
    night.cloud.api("faults", "DELETE")
    nightshift("resume", run_id)
    night.settle()
    assert show(nightshift, run_id)["state"] == "done"


def test_a_run_that_is_canceled_in_mid_flight_keeps_what_is_done_and_sends_the_rest_when_resumed(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.cloud.api("settings", "POST", {"duration_seconds": 20 * 3600, "jitter": 0})
    night.job("batch: {max_rows: 20}\nschedule: upload")
    night.fault("create", "status:429", error_code="enforced_spend_limit_reached", after=2)
    run_id = nightshift("submit", write(tmp_path / "a.jsonl", night, 50), "--job", night.name)[1].strip()
    night.until(lambda: night.runs() and len(night.batches(night.runs()[0])) == 2)
    began = datetime.fromisoformat(night.batches(night.runs()[0])[0]["created_at"])
    night.until(lambda: _hours(night, began) > 5)  # a look each 6 min, in tenths of a second

    status, told = nightshift("cancel", run_id, "--reason", "wrong prompt", "--dry-run")
    assert (status, "in flight msgbatch_" in told, "not sent  10 rows in 1 chunks" in told) == (Exit.DONE, True, True)
    assert night.runs()[0]["hold"]["code"] == "NO_MONEY"
    assert nightshift("cancel", run_id, "--reason", "wrong prompt", "--yes")[0] == Exit.DONE
    (run,) = night.settle()

    assert (run["state"], run["hold"]["code"]) == ("open", "CANCELED")
    assert run["hold"]["reason"].startswith("wrong prompt (was held before, NO_MONEY: ")
    seen = show(nightshift, run_id)
    assert [chunk["state"] for chunk in seen["chunks"]] == ["COLLECTED", "COLLECTED", "PLANNED"]
    assert seen["execution"]["status"] == "FAILED"
    counts = [batch["counts"] for batch in night.batches(run)]
    done, canceled = (sum(each[name] for each in counts) for name in ("succeeded", "canceled"))
    assert min(done, canceled) > 0
    assert done + canceled == 40
    assert (seen["counts"]["answered"], seen["counts"]["canceled"]) == (done, canceled)

    night.cloud.api("faults", "DELETE")
    night.cloud.api("settings", "POST", {"duration_seconds": 60})
    assert nightshift("resume", run_id)[0] == Exit.DONE
    (run,) = night.settle()

    got = night.harvest(run)
    assert (run["state"], got.complete) == ("done", True)
    assert {name: n for name, n in got.report["counts"].items() if n} == {"answered": done + 10, "canceled": canceled}
    assert {line["class"] for line in night.lines(run, "failed")} == {"canceled"}
    assert len(night.lines(run, "failed")) == canceled
    assert len(night.tickets(run)) == done + 10
    assert [batch["rows"] for batch in night.batches(run)] == [20, 20, 10]
    assert night.paid_twice() == 0


def write(path: Path, night: Night, rows: int = 5) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in night.rows(rows)))
    return path


def show(nightshift: Command, run_id: str) -> Item:
    record: Item = json.loads(nightshift("show", run_id, "--json")[1])
    return record


def _hours(night: Night, since: datetime) -> float:
    """Return the virtual hours since then."""
    return (datetime.fromisoformat(night.cloud.ask("clock")["now"]) - since).total_seconds() / 3600


def test_the_failed_rows_of_a_run_are_asked_again_and_no_others(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.job()
    night.fault("rows", "errored", error_type="invalid_request_error", message="no", text=f"{night.name} r3:")
    night.fault("rows", "refusal", text=f"{night.name} r4:")
    nightshift("submit", write(tmp_path / "a.jsonl", night), "--job", night.name)
    (first,) = night.settle()
    night.cloud.api("faults", "DELETE")

    dry = nightshift("retry", first["run_id"], "--dry-run")
    status, printed = nightshift("retry", first["run_id"], "--yes")
    night.settle(2)
    again = nightshift("retry", first["run_id"], "--yes")
    refused = nightshift("retry", first["run_id"], "--class", "refused", "--yes")
    night.settle(3)

    assert (dry[0], status) == (Exit.DONE, Exit.DONE)
    assert again == (status, printed)
    runs = {run["run_id"]: run for run in night.runs()}
    answered = {run_id: [line["id"] for line in night.lines(run, "output")] for run_id, run in runs.items()}
    assert answered[printed.strip()] == [f"{night.name}-r3"]
    assert answered[refused[1].strip()] == [f"{night.name}-r4"]
    assert sorted(answered[first["run_id"]]) == [f"{night.name}-r{n}" for n in (0, 1, 2)]
    assert night.paid_twice() == 1  # the refused one: its refusal was billed, and it was asked for by name
