"""From an upload to tickets, and what may come in between."""

import json

from tests.conftest import ROOT
from tests.integration.conftest import Night


def test_an_upload_ends_as_answers_on_tickets(night: Night) -> None:
    night.job()
    night.upload(rows := night.rows(5))

    (run,) = night.settle()

    got = night.harvest(run)
    assert got.complete
    assert got.report["counts"]["answered"] == 5
    assert got.report["service_tiers"] == {"batch": 5}
    answers = {line["id"]: line["answer"] for line in night.lines(run, "output")}
    assert set(answers) == {row["id"] for row in rows}
    tickets = night.tickets(run)
    assert {name: ticket["category"] for name, ticket in tickets.items()} == answers
    assert set(answers.values()) <= {"billing", "technical", "account", "other"}


def test_a_nightly_job_runs_when_the_schedule_fires_and_once_for_two_firings_of_the_same_night(night: Night) -> None:
    night.job("schedule: nightly")
    night.upload(night.rows(3))
    night.upload(night.rows(2, "s"), "b.jsonl")
    night.until(lambda: not night.runs() and len(night.cloud.ask("calls")) > 0)

    for _ in range(2):
        night.cloud.ask("fire", post=True, name="SubmitFunctionNightly", at="2026-11-23T02:00:00Z")
    (run,) = night.settle()

    assert run["trigger"] == "nightly"
    assert len(run["inputs"]) == 2
    assert night.harvest(run).report["counts"]["answered"] == 5
    assert len(night.batches(run)) == 1


def test_the_same_upload_event_twice_is_one_run_and_one_set_of_batches(night: Night) -> None:
    night.job()
    night.upload(night.rows(4))
    night.settle()
    before = len(night.cloud.api("batches"))

    night.cloud.ask("deliver", post=True, body=_upload_event(night))
    (run,) = night.settle()
    night.until(lambda: _submits(night) >= 2)

    assert len(night.cloud.api("batches")) == before
    assert night.harvest(run).complete


def test_two_files_at_once_are_two_runs_and_no_id_collides(night: Night) -> None:
    night.job("schedule: upload", text=ROW_NUMBERS)
    for file in ("a.jsonl", "b.jsonl"):
        night.upload([{"body": f"{night.name} {file} {n}"} for n in range(4)], file)

    runs = night.settle(2)

    ids = [line["id"] for run in runs for line in night.lines(run, "output")]
    assert len(ids) == len(set(ids)) == 8
    assert all(len(name.split(":")[0]) == 12 for name in ids)


def test_rows_that_failed_for_the_moment_are_asked_again_and_the_others_are_not(night: Night) -> None:
    night.job()
    rows = night.rows(6)
    night.fault("rows", "overloaded", text=rows[1]["body"], first_times=1)
    night.fault("rows", "expired", text=rows[2]["body"], first_times=2)
    night.fault("rows", "refusal", text=rows[3]["body"])
    night.fault("rows", "api_error", text=rows[4]["body"])
    night.upload(rows)

    (run,) = night.settle()

    got = night.harvest(run)
    assert got.complete
    assert {k: v for k, v in got.report["counts"].items() if v} == {"answered": 4, "refused": 1, "errored": 1}
    assert got.report["generations"] == 3
    assert [batch["rows"] for batch in night.batches(run)] == [6, 3, 2]
    assert night.paid_twice() == 0


def test_a_job_with_several_chunks_sends_them_all(night: Night) -> None:
    night.job("batch: {max_rows: 3}\nschedule: upload")
    night.upload(night.rows(8))

    (run,) = night.settle()

    assert night.harvest(run).complete
    assert [batch["rows"] for batch in night.batches(run)] == [3, 3, 2]


def test_csv_with_text_answers_and_a_schema_both_work(night: Night) -> None:
    night.put(
        f"jobs/{night.name}.yaml",
        f"""\
job: {night.name}
input: {{format: csv, id: row_number}}
max_tokens: 200
prompt: "{{{{ text }}}}"
output:
  schema:
    type: object
    properties: {{score: {{type: integer}}, reason: {{type: string}}}}
    required: [score, reason]
    additionalProperties: false
  table: none
schedule: upload
""".encode(),
    )
    night.put(f"inbox/{night.name}/a.csv", f'text\n"{night.name} one"\n"two, with a comma"\n'.encode())

    (run,) = night.settle()

    answers = [line["answer"] for line in night.lines(run, "output")]
    assert [sorted(answer) for answer in answers] == [["reason", "score"]] * 2
    assert night.harvest(run).report["tickets"] == {"written": 0, "unchanged": 0, "refused": 0}


def test_nothing_that_was_called_would_be_denied_on_aws(night: Night) -> None:
    night.job()
    night.upload(night.rows(1))
    night.settle()

    assert night.cloud.ask("iam")["denied"] == []


ROW_NUMBERS = """\
job: {name}
input: {{format: jsonl, id: row_number}}
max_tokens: 64
prompt: "{{{{ body }}}}"
output: {{labels: [billing, other], table: {{key: ticket_id, attribute: category}}}}
{more}
"""


def _upload_event(night: Night) -> dict[str, object]:
    """Make the event that S3 sent, once more: at least once is what it promises."""
    (ref,) = night.runs()[0]["inputs"]
    event: dict[str, object] = json.loads((ROOT / "events/upload.json").read_text())
    event["detail"] = {
        **event["detail"],  # type: ignore[dict-item]
        "bucket": {"name": ref["bucket"]},
        "object": {"key": ref["key"], "version-id": ref["version_id"], "size": int(ref["size"])},
    }
    return event


def _submits(night: Night) -> int:
    """Count the submits that an upload of this test's made."""
    return sum(night.name in json.dumps(line) and "submitted" in json.dumps(line) for line in night.cloud.ask("logs"))
