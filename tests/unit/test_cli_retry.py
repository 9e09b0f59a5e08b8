"""`nightshift retry`: the failed rows of a run, out of its pinned inputs, as a file of their own."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs
from nightshift.intake import run_id_for
from nightshift.job import parse_job
from nightshift.model import BatchId, ChunkState, Estimate, Hold, HoldCode, InputRef, Row, RowClass, RunId, Tally
from nightshift.records import InputSpec
from nightshift.rows import read
from nightshift.run_files import Part
from nightshift_cli import consent
from nightshift_cli.exits import Exit
from tests.unit import xlsx_cases
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, run
from tests.unit.night import ids, planned_line
from tests.unit.parquet_cases import of_bodies

PARQUET_JOB = JOB.replace(b"jsonl", b"parquet")
XLSX_JOB = JOB.replace(b"jsonl", b"xlsx")
PARQUET, XLSX = of_bodies(["one", "two", "three", "four"]), xlsx_cases.of_bodies("one", 2.5, "three", "four")
CSV_JOB = JOB.replace(b"jsonl", b"csv")
NIGHTLY = JOB.replace(b"schedule: upload", b"schedule: nightly")
TOGETHER = JOB.replace(b"schedule: upload", b"schedule: manifest")
ROWS = [b'{"id": "1", "body": "one"}', b'{"id": "2", "body": "two", "more": 1.50}', b'{"id":"3","body":"three"}',
        b'{"id": "4", "body": "four"}']  # fmt: skip
ESTIMATE = Estimate(4, 40, 1, 1, 1, 1, 4, START, bound=10**10)
FAILED = {1: "errored", 2: "expired", 4: "refused"}


@dataclass
class Night:
    """A finished run of four rows in two inputs, of which only the third is answered."""

    stack: CliStack
    inputs: tuple[InputRef, ...] = ()

    def __call__(self, *words: str) -> Said:
        return self.stack("retry", RUN, "--wait", "0", *words)

    def begin(
        self, *files: bytes, job: bytes = JOB, failed: Mapping[int, str] = FAILED, hold: Hold | None = None
    ) -> None:
        self.stack.put_job(job)
        self.inputs = tuple(self.upload(f"inbox/triage/{n}.x", text) for n, text in enumerate(files))
        self.put(run_files.job(RUN, 1), job)
        names = ids(chunk().id, 4)
        places = [(0, 1), (0, 2), (1, 1), (1, 2)] if len(files) == 2 else [(0, n) for n in range(1, 5)]
        planned = [
            planned_line(name, number, id=str(number), file=file, record=record)
            for number, (name, (file, record)) in enumerate(zip(names, places, strict=True), start=1)
        ]
        self.put(run_files.ids(RUN, chunk().id, 1), b"".join(planned))
        lines = [
            {"id": str(n), "class": word, "custom_id": names[n - 1], "reason": f"{word}!"} for n, word in failed.items()
        ]
        self.put(run_files.part(RUN, Part.FAILED, chunk().id, 0), jsonl(lines))
        begun, ledger = run(inputs=self.inputs), self.stack.ledger
        ledger.create_run(begun)
        done = chunk(state=ChunkState.COLLECTED, rows=4, batch_id=BatchId("b"), tally=Tally({RowClass.ANSWERED: 4}))
        ledger.plan_chunk(done)
        ledger.finish_plan(replace(begun, rows=4, plan_digest="d", estimate=ESTIMATE))
        if hold is None:
            ledger.reported(RUN, "f", done=True)
        else:
            ledger.hold(RUN, hold)

    def upload(self, key: str, text: bytes) -> InputRef:
        self.stack.client("s3").put_object(Bucket=self.stack.inputs, Key=key, Body=text)
        return self.pinned(key)

    def pinned(self, key: str) -> InputRef:
        return S3Inputs(self.stack.client("s3"), self.stack.inputs).pin(key)

    def put(self, key: str, data: bytes) -> None:
        self.stack.client("s3").put_object(Bucket=self.stack.outputs, Key=key, Body=data)

    @property
    def written(self) -> bytes:
        return self.stack.object(f"inbox/triage/retry-{RUN}.jsonl")


def jsonl(lines: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def night(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[Night]:
    with serving() as plane:
        yield Night(CliStack(aws_endpoint, plane, ledger, runs_table))


def test_a_dry_run_tells_how_many_rows_why_and_what_they_cost_at_most_and_uploads_nothing(night: Night) -> None:
    night.begin(b"\n".join(ROWS))

    said = night("--dry-run")

    size = len(ROWS[0]) + len(ROWS[1]) + 2
    assert said == Said(
        Exit.DONE,
        [
            f"run       {RUN}",
            "again     2 rows: 1 errored, 1 expired",
            "because   1 errored!",
            "          1 expired!",
            f"file      s3://{night.stack.inputs}/inbox/triage/retry-{RUN}.jsonl ({size} bytes)",
            "cost      $0.0050 at most, by the run's own estimate",
        ],
        ["nothing is done: this was a dry run"],
    )
    assert night.stack.keys() == ["inbox/triage/0.x", "jobs/triage.yaml"]


def test_the_failed_rows_are_uploaded_byte_for_byte_as_the_pinned_inputs_have_them_and_the_run_is_named(
    night: Night,
) -> None:
    night.begin(b"\n".join(ROWS[:2]) + b"\r\n", b"\n".join(ROWS[2:]))
    night.upload("inbox/triage/0.x", b'{"id": "1", "body": "somebody has written it over"}')

    said = night("--yes", "--class", "refused", "--class", "expired")

    assert night.written == ROWS[1] + b"\n" + ROWS[3] + b"\n"
    run_id = run_id_for("triage", night.pinned(f"inbox/triage/retry-{RUN}.jsonl"))
    assert said.status == Exit.NOT_SEEN
    assert said.err[-1] == f"run {run_id} has not appeared within 0 s. Look again with: nightshift show {run_id}"


def test_said_again_it_uploads_nothing_and_names_the_same_run(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    first = json.loads("\n".join(night("--yes", "--json").out))
    ref = night.pinned(f"inbox/triage/retry-{RUN}.jsonl")
    night.stack.ledger.create_run(run(RunId(first["run_id"]), inputs=(ref,), created=START + timedelta(days=1)))
    night.put(run_files.part(RunId(first["run_id"]), Part.OUTPUT, chunk().id, 0), jsonl([{"id": "2"}]))

    again = json.loads("\n".join(night("--yes", "--json").out))

    assert [first["file"]["uploaded"], again["file"]["uploaded"]] == [False, True]
    assert again["run_id"] == first["run_id"]
    assert again["answered_since"] == {}
    assert night("--yes").out == [first["run_id"]]
    versions = night.stack.client("s3").list_object_versions(Bucket=night.stack.inputs, Prefix="inbox/triage/retry-")
    assert len(versions["Versions"]) == 1


def test_a_nightly_job_waits_for_the_night_unless_now(night: Night) -> None:
    night.begin(b"\n".join(ROWS), job=NIGHTLY)

    waiting, now = night("--yes", "--json"), night("--yes", "--now", "--json")

    told = [json.loads("\n".join(each.out)) for each in (waiting, now)]
    assert [(waiting.status, told[0]["state"]), (now.status, told[1]["state"])] == [
        (Exit.DONE, "waits for the night"),
        (Exit.NOT_SEEN, "not seen"),
    ]
    assert [event["key"] for _, event in night.stack.plane.invoked] == [f"inbox/triage/retry-{RUN}.jsonl"]


def test_a_job_with_manifests_does_not_wait_for_one_that_nobody_will_write(night: Night) -> None:
    night.begin(b"\n".join(ROWS), job=TOGETHER)

    assert night("--yes", "--json").status == Exit.NOT_SEEN

    assert [event["key"] for _, event in night.stack.plane.invoked] == [f"inbox/triage/retry-{RUN}.jsonl"]


def test_rows_of_csv_files_become_csv_with_every_column_of_all_of_them(night: Night) -> None:
    night.begin(
        b'\xef\xbb\xbfID,Body,extra\r\n1,"one, ""and"" more",x\r\n2,two,\r\n',
        b'body,id\nthree,3\n"four\nlines",4\n',
        job=CSV_JOB,
        failed={1: "errored", 4: "missing"},
    )

    night("--yes")

    text = night.stack.object(f"inbox/triage/retry-{RUN}.csv").decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["ID", "Body", "extra", "body", "id"],
        ["1", 'one, "and" more', "x", "", ""],
        ["", "", "", "four\nlines", "4"],
    ]


@pytest.mark.parametrize(("job", "data", "ending"), [(PARQUET_JOB, PARQUET, "parquet"), (XLSX_JOB, XLSX, "xlsx")])
def test_rows_of_a_table_become_a_table_that_reads_the_same_and_is_the_same_bytes_each_time(
    night: Night, job: bytes, data: bytes, ending: str
) -> None:
    night.begin(data, job=job)
    spec = InputSpec.of(parse_job(job, name="triage", key="jobs/triage.yaml"))
    rows = list(read(io.BytesIO(data), spec, file=0, digest="d"))

    first, second = (json.loads("\n".join(night("--yes", "--json").out)) for _ in range(2))

    assert [first["file"]["uploaded"], second["file"]["uploaded"]] == [False, True]
    made = night.stack.object(f"inbox/triage/retry-{RUN}.{ending}")
    again = list(read(io.BytesIO(made), spec, file=0, digest="d"))
    assert [row.id for row in again] == ["1", "2"]
    assert [(row.id, row.digest, row.values) for row in again if isinstance(row, Row)] == [
        (row.id, row.digest, row.values) for row in rows[:2] if isinstance(row, Row)
    ]


def test_a_table_that_has_not_all_the_rows_any_more_is_refused(night: Night) -> None:
    night.begin(of_bodies(["one"]), job=PARQUET_JOB)
    said = night("--yes")
    assert said.status == Exit.FAILED
    assert said.err[0] == "only 1 of the 2 rows are in the run's inputs as they are read now"


def test_it_warns_of_rows_that_a_newer_run_has_answered(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    newer, other = RunId("triage-20261123-bbbbbbbb"), RunId("other-20261123-bbbbbbbb")
    for name, job in ((newer, "triage"), (other, "other")):
        ref = replace(night.inputs[0], key=f"inbox/{job}/b.x", version_id=f"v-{name}")
        made = run(name, inputs=(ref,), created=START + timedelta(days=1))
        night.stack.ledger.create_run(replace(made, job=replace(made.job, name=job)))
        night.put(run_files.part(name, Part.OUTPUT, chunk().id, 0), jsonl([{"id": "2"}, {"id": "3"}]))

    lines = [line for line in night("--dry-run").out if line.startswith("newer")]

    assert lines == [f"newer     1 of these rows are answered by {newer}: the older text would be asked, and win"]


def test_where_all_rows_failed_it_says_that_the_run_will_be_held(night: Night) -> None:
    night.begin(b"\n".join(ROWS), failed=dict.fromkeys(range(1, 5), "errored"))
    assert any(line.startswith("held      as SAME_ROWS") for line in night("--dry-run").out)


@pytest.mark.parametrize(
    ("job", "words", "reason"),
    [
        (JOB.replace(b"id: id", b"id: row_number"), (), "have no ids of their own"),
        (JOB, ("--class", "invalid"), "has no row that is invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_again_is_refused_with_the_reason(
    night: Night, job: bytes, words: tuple[str, ...], reason: str
) -> None:
    night.begin(b"\n".join(ROWS), job=job)

    said = night("--yes", *words)

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert reason in said.err[0]


def test_a_run_that_is_not_finished_is_refused_and_one_that_was_canceled_is_not(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    night.stack.ledger.create_run(run(open_one := RunId("triage-20261124-cccccccc"), inputs=()))
    refused = night.stack("retry", open_one, "--yes")

    assert (refused.status, refused.out) == (Exit.FAILED, [])
    assert refused.err == [f"run {open_one} is not finished; nightshift watch {open_one} tells when it is"]


def test_a_canceled_runs_rows_can_be_asked_again(night: Night) -> None:
    held = Hold(HoldCode.CANCELED, "wrong prompt", START)
    night.begin(b"\n".join(ROWS), failed={2: "canceled"}, hold=held)

    assert night("--yes").status == Exit.NOT_SEEN
    assert night.written == ROWS[1] + b"\n"


def test_a_job_that_takes_another_format_by_now_is_refused(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    night.stack.put_job(CSV_JOB)

    assert night("--yes") == Said(Exit.FAILED, [], ["the run's inputs are jsonl, and job triage takes csv by now"])


def test_where_nobody_can_be_asked_it_says_all_and_does_nothing(night: Night) -> None:
    night.begin(b"\n".join(ROWS))

    said, as_json = night(), night("--json")

    assert (said.status, said.err) == (Exit.USAGE, [consent.UNASKED])
    assert said.out[0] == f"run       {RUN}"
    told = json.loads("\n".join(as_json.out))
    assert (as_json.status, told["error"], told["rows"], told["bound_usd"]) == (Exit.USAGE, consent.UNASKED, 2, 0.005)
    assert night.stack.keys() == ["inbox/triage/0.x", "jobs/triage.yaml"]


@pytest.mark.parametrize(("answer", "status"), [("y\n", Exit.NOT_SEEN), ("n\n", Exit.FAILED), ("", Exit.INTERRUPTED)])
def test_at_a_terminal_the_person_decides(
    night: Night, monkeypatch: pytest.MonkeyPatch, answer: str, status: Exit
) -> None:
    night.begin(b"\n".join(ROWS))
    monkeypatch.setattr(consent, "somebody_is_there", lambda: True)

    said = night.stack("retry", RUN, "--wait", "0", answer=answer)

    assert said.status == status
    assert (f"inbox/triage/retry-{RUN}.jsonl" in set(night.stack.keys())) is (status is Exit.NOT_SEEN)


def test_yes_and_dry_run_together_are_wrong_usage(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    assert night("--yes", "--dry-run").status == Exit.USAGE
    assert night.stack.keys() == ["inbox/triage/0.x", "jobs/triage.yaml"]


def test_an_input_that_is_gone_is_told(night: Night) -> None:
    night.begin(b"\n".join(ROWS))
    (ref,) = night.inputs
    night.stack.client("s3").delete_object(Bucket=ref.bucket, Key=ref.key, VersionId=ref.version_id)

    said = night("--yes")

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert said.err[0].startswith("GONE: ")
