"""The usual mistakes: each gets a message with file, line and reason, and costs nothing else."""

import json

from tests.integration.conftest import Night


def test_bad_rows_are_rejected_with_their_place_and_the_others_answered(night: Night) -> None:
    night.job("schedule: upload\nlimits: {max_reject_ratio: 0.9}")
    good = night.rows(4)
    other_body = {**good[0], "body": "something else"}
    night.upload([*good, b'{"id": "broken', other_body, {"id": "no-body"}, good[1]])

    (run,) = night.settle()

    assert night.harvest(run).complete
    assert len(night.lines(run, "output")) == 4
    rejects = [(r["line"], r["class"], r["code"]) for r in night.lines(run, "rejects")]
    assert rejects == [
        (5, "rejected", "BAD_JSON"),
        (6, "rejected", "ID_CONFLICT"),
        (7, "rejected", "EMPTY_BODY"),
        (8, "duplicate", "DUPLICATE_ROW"),
    ]
    assert {r["file"] for r in night.lines(run, "rejects")} == {f"inbox/{night.name}/a.jsonl"}
    assert [b["rows"] for b in night.batches(run)] == [4]


def test_too_many_bad_rows_hold_the_run_before_anything_is_sent(night: Night) -> None:
    night.job()
    night.upload([*night.rows(2), b"oops"])

    (run,) = night.settle()

    assert run["hold"]["code"] == "TOO_MANY_REJECTS"
    assert "1 of 3 rows are rejected" in run["hold"]["reason"]
    assert night.batches(run) == []


def test_an_empty_file_is_refused_by_name(night: Night) -> None:
    night.job()
    night.upload([])

    (run,) = night.settle()

    assert run["hold"]["code"] == "NO_USABLE_INPUT"
    assert f"inbox/{night.name}/a.jsonl: EMPTY_FILE" in run["hold"]["reason"]


def test_a_file_for_a_job_that_is_not_there_starts_nothing_and_the_log_says_why(night: Night) -> None:
    night.upload(night.rows(1))

    night.until(lambda: f"jobs/{night.name}.yaml" in json.dumps(night.cloud.ask("logs")))

    assert night.runs() == []


def test_a_job_file_with_temperature_holds_its_run_with_the_line(night: Night) -> None:
    night.job("schedule: upload\nparams: {temperature: 0}")
    night.upload(night.rows(1))

    (run,) = night.settle()

    assert run["hold"]["code"] == "BAD_JOB"
    assert f"jobs/{night.name}.yaml:8" in run["hold"]["reason"]
    assert "temperature" in run["hold"]["reason"]
    assert night.batches(run) == []


def test_the_same_rows_in_a_second_file_are_held_and_not_paid_for_again(night: Night) -> None:
    night.job()
    rows = night.rows(3)
    night.upload(rows)
    (first,) = night.settle()
    night.upload(rows, "again.jsonl")

    second = next(run for run in night.settle(2) if run["run_id"] != first["run_id"])

    assert second["hold"]["code"] == "SAME_ROWS"
    assert first["run_id"] in second["hold"]["reason"]
    assert night.batches(second) == []


def test_an_upload_outside_a_jobs_inbox_starts_nothing(night: Night) -> None:
    night.job()
    night.put("elsewhere/a.jsonl", b'{"id": "1", "body": "x"}\n')
    night.put(f"inbox/{night.name}/", b"")
    night.upload(night.rows(1))

    (run,) = night.settle()

    assert [ref["key"] for ref in run["inputs"]] == [f"inbox/{night.name}/a.jsonl"]
