"""`nightshift submit` and `nightshift job put`, into buckets of a local AWS."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs
from nightshift.intake import Intake, Opened, run_id_for
from nightshift.model import HoldCode, RunId
from nightshift.prices import SOURCE
from nightshift.trigger import ByHand, Uploaded, parse
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.fakes import Started

NIGHTLY = JOB.replace(b"schedule: upload", b"schedule: nightly")
TOGETHER = JOB.replace(b"schedule: upload", b"schedule: manifest")
BAD = JOB.replace(b"max_tokens: 64\n", b"temperature: 1\n")
UNPRICED = JOB + b"model: claude-mythos-5-1\nthinking: adaptive\n"
"""The API has it, and it always thinks; the price list does not have it."""


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.jsonl"
    path.write_text('{"id": "1", "body": "my invoice"}\n')
    return path


def open_run(stack: CliStack, event: Any) -> Opened:
    """Open a run as the submit function does."""
    due = parse(event)
    assert isinstance(due, ByHand | Uploaded)
    now = datetime.now(UTC)
    intake = Intake(stack.ledger, S3Inputs(stack.client("s3"), stack.inputs), Started(), lambda: now)
    (opened,) = intake.open(due, owner="function", working_until=now + timedelta(minutes=1))
    assert isinstance(opened, Opened)
    return opened


def run_of(stack: CliStack, file: Path) -> RunId:
    """Return the id of the run that stands for the newest upload of a file."""
    return run_id_for("triage", S3Inputs(stack.client("s3"), stack.inputs).pin(f"inbox/triage/{file.name}"))


def test_a_file_for_an_upload_job_is_uploaded_and_its_run_is_named_before_it_is_there(
    nightshift: CliStack, file: Path
) -> None:
    nightshift.put_job()

    said = nightshift("submit", file, "--job", "triage", "--wait", "0")

    run_id = run_of(nightshift, file)
    assert said == Said(
        Exit.NOT_SEEN,
        [],
        [
            f"uploaded s3://{nightshift.inputs}/inbox/triage/tickets.jsonl",
            f"run {run_id} has not appeared within 0 s. Look again with: nightshift show {run_id}",
        ],
    )
    assert nightshift.object("inbox/triage/tickets.jsonl") == file.read_bytes()
    assert nightshift.plane.invoked == []


def test_the_run_that_an_upload_starts_has_the_name_that_was_told(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job()
    nightshift("submit", file, "--job", "triage", "--wait", "0")
    key = f"inbox/triage/{file.name}"
    version = nightshift.client("s3").head_object(Bucket=nightshift.inputs, Key=key)["VersionId"]
    detail = {"bucket": {"name": nightshift.inputs}, "object": {"key": key, "version-id": version}}

    opened = open_run(nightshift, {"source": "aws.s3", "detail-type": "Object Created", "detail": detail})

    assert opened.run.run_id == run_of(nightshift, file)


def test_a_nightly_file_waits_for_the_night(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(NIGHTLY)

    assert nightshift("submit", file, "--job", "triage") == Said(
        Exit.DONE,
        [],
        [
            f"uploaded s3://{nightshift.inputs}/inbox/triage/tickets.jsonl",
            "job triage is nightly: the file waits for the night. To run it now: submit it with --now.",
        ],
    )
    assert nightshift.plane.invoked == []


def test_a_nightly_file_runs_now_where_that_is_asked_for_and_stdout_is_the_runs_id(
    nightshift: CliStack, file: Path
) -> None:
    nightshift.put_job(NIGHTLY)
    nightshift.plane.on_invoke = lambda event: open_run(nightshift, event)

    said = nightshift("submit", file, "--job", "triage", "--now")

    run_id = run_of(nightshift, file)
    assert said == Said(
        Exit.DONE,
        [run_id],
        [f"uploaded s3://{nightshift.inputs}/inbox/triage/tickets.jsonl", f"see nightshift show {run_id}"],
    )
    run = nightshift.ledger.run(run_id)
    assert run.trigger == "by hand"
    event = {
        "source": "nightshift.hand",
        "job": "triage",
        "key": "inbox/triage/tickets.jsonl",
        "version_id": run.inputs[0].version_id,
    }
    assert nightshift.plane.invoked == [("Event", event)]


def test_a_run_that_is_held_at_once_is_told_with_what_mends_it(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(NIGHTLY)

    def open_with_a_bad_job(event: Any) -> None:  # somebody puts it between our look and the function's
        nightshift.put_job(BAD)
        open_run(nightshift, event)

    nightshift.plane.on_invoke = open_with_a_bad_job

    said = nightshift("submit", file, "--job", "triage", "--now")

    run_id = run_of(nightshift, file)
    assert (said.status, said.out) == (Exit.HELD, [run_id])
    assert said.err[1].startswith(f"held, {HoldCode.BAD_JOB}: jobs/triage.yaml:1: max_tokens: is missing")
    assert said.err[-3:] == [
        "  → mend jobs/triage.yaml",
        "  → nightshift job put jobs/triage.yaml",
        f"  → nightshift resume {run_id}",
    ]


def test_a_dry_run_checks_the_job_and_uploads_nothing(nightshift: CliStack, file: Path, tmp_path: Path) -> None:
    nightshift.put_job(NIGHTLY)
    (job := tmp_path / "triage.yaml").write_bytes(JOB)
    address = f"s3://{nightshift.inputs}/inbox/triage/tickets.jsonl"
    estimate = f"nightshift estimate {file} --job triage says what that costs"

    waits = nightshift("submit", file, "--job", "triage", "--dry-run")
    starts = nightshift("submit", file, "--job", "triage", "--now", "--dry-run")
    put = nightshift("job", "put", job, "--dry-run")

    told = "a file of {} bytes that {}; {}"
    size, dry = file.stat().st_size, "nothing is done: this was a dry run"
    assert waits == Said(Exit.DONE, [address], [told.format(size, "waits for the night", estimate), dry])
    assert starts == Said(Exit.DONE, [address], [told.format(size, "starts a run", estimate), dry])
    assert put == Said(Exit.DONE, [f"s3://{nightshift.inputs}/jobs/triage.yaml"], [dry])
    assert nightshift.keys() == ["jobs/triage.yaml"]
    assert nightshift.object("jobs/triage.yaml") == NIGHTLY
    assert nightshift.plane.invoked == []


def test_as_json_submit_and_job_put_tell_what_they_did(nightshift: CliStack, file: Path, tmp_path: Path) -> None:
    nightshift.put_job(NIGHTLY)
    (job := tmp_path / "triage.yaml").write_bytes(JOB)
    nightshift.plane.on_invoke = lambda event: open_run(nightshift, event)

    dry = nightshift("submit", file, "--job", "triage", "--dry-run", "--json")
    waits = nightshift("submit", file, "--job", "triage", "--json")
    starts = nightshift("submit", file, "--job", "triage", "--now", "--json")
    put = nightshift("job", "put", job, "--json")

    told = [json.loads("\n".join(each.out)) for each in (dry, waits, starts)]
    assert [each["state"] for each in told] == ["waits for the night", "waits for the night", "open"]
    assert [each["run_id"] for each in told] == [None, None, run_of(nightshift, file)]
    assert told[1]["input"]["key"] == "inbox/triage/tickets.jsonl"
    assert [bool(each["input"]["version_id"]) for each in told] == [False, True, True]
    assert json.loads("\n".join(put.out)) == {
        "done": True, "job": "triage", "bucket": nightshift.inputs, "key": "jobs/triage.yaml", "schedule": "upload",
    }  # fmt: skip
    assert [each.err for each in (dry, waits, starts, put)] == [[], [], [], []]


def test_a_job_that_is_not_there_costs_no_upload(nightshift: CliStack, file: Path) -> None:
    said = nightshift("submit", file, "--job", "triage")

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert said.err == [
        f"no job file s3://{nightshift.inputs}/jobs/triage.yaml that may be read: NoSuchKey. Put it there."
    ]
    assert nightshift.keys() == []


def test_a_job_that_cannot_be_used_costs_no_upload_and_each_reason_is_a_line(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(BAD)

    said = nightshift("submit", file, "--job", "triage")

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert [line.split(": ")[:2] for line in said.err] == [
        ["jobs/triage.yaml:1", "max_tokens"],
        ["jobs/triage.yaml:3", "temperature"],
    ]
    assert nightshift.keys() == ["jobs/triage.yaml"]


def test_a_file_that_is_not_there_and_a_job_that_is_none_are_wrong_usage(nightshift: CliStack, file: Path) -> None:
    assert nightshift("submit", file.parent / "none.jsonl", "--job", "triage").status == Exit.USAGE
    assert nightshift("submit", file.parent, "--job", "triage").status == Exit.USAGE
    assert nightshift("submit", file, "--job", "No Job").status == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "when"),
    [
        (JOB, "starts a run of its own"),
        (NIGHTLY, "waits for the night"),
        (TOGETHER, "waits for a manifest that names it"),
    ],
    ids=["upload", "nightly", "manifest"],
)
def test_job_put_stores_a_job_file_and_says_what_starts_it(
    nightshift: CliStack, tmp_path: Path, text: bytes, when: str
) -> None:
    (file := tmp_path / "triage.yaml").write_bytes(text)

    said = nightshift("job", "put", file)

    bucket = f"s3://{nightshift.inputs}"
    assert said == Said(
        Exit.DONE,
        [f"{bucket}/jobs/triage.yaml"],
        [f"a file in {bucket}/inbox/triage/ {when}; nightshift submit FILE --job triage puts one there"],
    )
    assert nightshift.object("jobs/triage.yaml") == text


def test_job_put_stores_what_job_print_prints_with_the_files_beside_it(nightshift: CliStack, tmp_path: Path) -> None:
    (file := tmp_path / "triage.yaml").write_bytes(JOB + b"system: {file: rubric.md}\n")
    (tmp_path / "rubric.md").write_text("Be brief.")

    assert nightshift("job", "put", file).status == Exit.DONE
    printed = nightshift("job", "print", file)

    assert nightshift.object("jobs/triage.yaml") == JOB + b'system: "Be brief."\n'
    assert printed.out == nightshift.object("jobs/triage.yaml").decode().splitlines()
    (tmp_path / "rubric.md").unlink()
    assert nightshift("job", "put", file).status == nightshift("job", "print", file).status == Exit.FAILED


def test_job_put_refuses_a_file_that_cannot_be_used_and_names_file_line_and_reason(
    nightshift: CliStack, tmp_path: Path
) -> None:
    (file := tmp_path / "triage.yaml").write_bytes(BAD)

    said = nightshift("job", "put", file)

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert [line.split(": ")[:2] for line in said.err] == [[f"{file}:1", "max_tokens"], [f"{file}:3", "temperature"]]
    assert nightshift.keys() == []


@pytest.mark.parametrize("name", ["triage.txt", "Triage Job.yaml"])
def test_job_put_refuses_a_file_that_is_not_named_for_its_job(nightshift: CliStack, tmp_path: Path, name: str) -> None:
    (file := tmp_path / name).write_bytes(JOB)

    assert nightshift("job", "put", file).status == Exit.USAGE
    assert nightshift.keys() == []


def test_job_put_refuses_a_model_without_a_batch_price(nightshift: CliStack, tmp_path: Path) -> None:
    (file := tmp_path / "triage.yaml").write_bytes(UNPRICED)

    said = nightshift("job", "put", file)

    reason = (
        f"model: {SOURCE} does not know claude-mythos-5-1: choose another model, or say `limits: {{unpriced: send}}`"
    )
    assert said == Said(Exit.FAILED, [], [f"{file}:7: {reason}"])
    assert nightshift.keys() == []


def test_job_put_stores_a_job_that_wants_a_model_without_a_batch_price_sent(
    nightshift: CliStack, tmp_path: Path
) -> None:
    (file := tmp_path / "triage.yaml").write_bytes(UNPRICED + b"limits: {unpriced: send}\n")

    assert nightshift("job", "put", file).status == Exit.DONE
    assert nightshift.keys() == ["jobs/triage.yaml"]


def test_job_put_tells_of_a_price_beside_the_other_reasons(nightshift: CliStack, tmp_path: Path) -> None:
    text = UNPRICED.replace(b"job: triage", b"job: other")
    (file := tmp_path / "triage.yaml").write_bytes(text)

    said = nightshift("job", "put", file)

    assert [line.split(": ")[:2] for line in said.err] == [[f"{file}:1", "job"], [f"{file}:7", "model"]]
