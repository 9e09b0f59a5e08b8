"""From events to runs, over the real bucket and ledger: the same event finds the same run."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from nightshift import intake
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs, S3Outputs
from nightshift.control import Control
from nightshift.errors import BadJob, Conflict
from nightshift.intake import Due, Intake, Opened, Skipped
from nightshift.model import ChunkState, Hold, HoldCode, Run, RunId
from nightshift.trigger import ByHand, Night, Tick, Uploaded
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import Started
from tests.unit.made import chunk

JOB = """\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output: {labels: [a, b], table: none}
schedule: %s
"""
BAD_JOB = JOB % "upload" + "params: {temperature: 0}\n"
NIGHT = Night(datetime(2026, 11, 23, 2, 0, tzinfo=UTC))


class Desk:
    """A pair of buckets, a ledger, and what works on them."""

    def __init__(self, endpoint: str, ledger: DynamoLedger, clock: MovableClock) -> None:
        self.s3 = boto3.client("s3", endpoint_url=endpoint)
        self.bucket = f"in-{uuid.uuid4().hex[:12]}"
        self.out = f"out-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.create_bucket(Bucket=self.out)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.ledger, self.clock, self.started = ledger, clock, Started()
        inputs, outputs = S3Inputs(self.s3, self.bucket), S3Outputs(self.s3, self.out)
        self.intake = Intake(ledger, inputs, self.started, clock)
        self.control = Control(ledger, inputs, outputs, self.started, clock)

    def job(self, schedule: str = "upload", text: str = JOB) -> None:
        self.s3.put_object(
            Bucket=self.bucket, Key="jobs/triage.yaml", Body=(text % schedule if "%" in text else text).encode()
        )

    def upload(self, name: str = "a.jsonl") -> Uploaded:
        key = f"inbox/triage/{name}"
        version = self.s3.put_object(Bucket=self.bucket, Key=key, Body=b'{"id":1,"body":"x"}\n')["VersionId"]
        return Uploaded("triage", self.bucket, key, version)

    def open(self, due: Due) -> list[Opened | Skipped]:
        return list(self.intake.open(due, owner=uuid.uuid4().hex, working_until=self.clock() + timedelta(minutes=15)))

    def opened(self, due: Due) -> list[Opened]:
        return [o for o in self.open(due) if isinstance(o, Opened)]


@pytest.fixture
def desk(aws_endpoint: str, ledger: DynamoLedger, clock: MovableClock) -> Desk:
    return Desk(aws_endpoint, ledger, clock)


def test_an_upload_opens_one_run_however_often_its_event_comes(desk: Desk) -> None:
    desk.job()
    event = desk.upload()

    (first,) = desk.opened(event)
    (second,) = desk.opened(event)

    assert (first.fresh, second.fresh) == (True, False)
    assert first.run.run_id == second.run.run_id
    assert first.run.run_id.startswith("triage-")
    assert desk.started.names == [(first.run.run_id, 1)] * 2
    assert desk.ledger.run(first.run.run_id).working_until == START + timedelta(minutes=15)


def test_two_uploads_are_two_runs(desk: Desk) -> None:
    desk.job()

    runs = [desk.opened(desk.upload(name))[0].run for name in ("a.jsonl", "b.jsonl", "a.jsonl")]

    assert len({r.run_id for r in runs}) == 3


def test_an_upload_of_a_nightly_job_waits_for_the_night(desk: Desk) -> None:
    desk.job("nightly")
    event = desk.upload()

    assert desk.open(event) == [
        Skipped("inbox/triage/a.jsonl", "jobs/triage.yaml says nightly: the file waits for the night")
    ]
    (night,) = desk.opened(NIGHT)
    assert night.run.inputs[0].version_id == event.version_id


def test_a_person_can_start_a_nightly_job_by_hand(desk: Desk) -> None:
    desk.job("nightly")
    desk.upload()

    (opened,) = desk.opened(ByHand("triage", "inbox/triage/a.jsonl", None))

    assert opened.run.trigger == "by hand"


def test_a_night_is_one_run_over_all_that_lies_there_newest_first(desk: Desk) -> None:
    desk.job("nightly")
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        desk.upload(name)

    (night,) = desk.opened(NIGHT)
    again = desk.opened(NIGHT)

    assert sorted(r.key for r in night.run.inputs) == [f"inbox/triage/{n}.jsonl" for n in "abc"]
    moments = [r.last_modified for r in night.run.inputs]
    assert moments == sorted(moments, reverse=True)
    assert [(o.run.run_id, o.fresh) for o in again] == [(night.run.run_id, False)]
    assert desk.started.names == [(night.run.run_id, 1)] * 2


def take_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a person start a file by hand just before the next run is put."""
    put = desk.ledger.create_run

    def overtaken(run: Run) -> bool:
        monkeypatch.setattr(desk.ledger, "create_run", put)
        desk.opened(ByHand("triage", f"inbox/triage/{name}", None))
        return put(run)

    monkeypatch.setattr(desk.ledger, "create_run", overtaken)


def test_a_file_that_another_run_takes_meanwhile_keeps_no_other_from_its_night(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.job("nightly")
    for name in "abc":
        desk.upload(name)
    take_meanwhile(desk, monkeypatch, "b")

    (night,) = desk.opened(NIGHT)

    assert sorted(ref.key for ref in night.run.inputs) == ["inbox/triage/a", "inbox/triage/c"]
    assert night.fresh
    assert desk.ledger.run(night.run.run_id) == night.run


def test_a_night_whose_only_file_another_run_takes_meanwhile_makes_no_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.job("nightly")
    desk.upload("b")
    take_meanwhile(desk, monkeypatch, "b")

    (skipped,) = desk.open(NIGHT)

    assert isinstance(skipped, Skipped)
    assert skipped.reason == "another run has its input already"
    assert [run.trigger for run in desk.ledger.runs(5)] == ["by hand"]


def test_a_night_whose_submit_died_before_it_started_the_execution_is_started_by_the_next_delivery(desk: Desk) -> None:
    desk.job("nightly")
    desk.upload()
    start, desk.started.start = desk.started.start, _die  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError, match="killed"):
        desk.open(NIGHT)
    desk.started.start = start  # type: ignore[method-assign]

    (late,) = desk.opened(NIGHT)

    assert not late.fresh
    assert desk.started.names == [(late.run.run_id, 1)]


def test_more_files_than_a_run_takes_make_more_runs_of_the_same_night(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "INPUTS_PER_RUN", 2)
    desk.job("nightly")
    for name in "abc":
        desk.upload(name)
    first = desk.opened(NIGHT)
    desk.upload("d")

    second = desk.opened(NIGHT)

    assert [len(o.run.inputs) for o in first] == [2, 1]
    assert [(len(o.run.inputs), o.fresh) for o in second] == [(2, False), (1, False), (1, True)]
    assert len({o.run.run_id for o in second}) == 3


def test_an_upload_whose_submit_died_is_started_by_the_night(desk: Desk) -> None:
    desk.job("upload")
    event = desk.upload()
    start, desk.started.start = desk.started.start, _die  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError, match="killed"):
        desk.open(event)
    desk.started.start = start  # type: ignore[method-assign]
    desk.clock.moment = desk.s3.head_object(Bucket=desk.bucket, Key=event.key)["LastModified"]

    (late,) = desk.opened(NIGHT)

    assert desk.started.names == [(late.run.run_id, 1)]


def _die(_run_id: RunId, _number: int) -> None:
    raise RuntimeError("killed")


def test_a_night_also_finds_an_upload_whose_event_was_lost(desk: Desk) -> None:
    desk.job("upload")
    event = desk.upload()

    (found,) = desk.opened(NIGHT)
    (late,) = desk.opened(event)

    assert found.fresh
    assert (late.fresh, late.run.run_id) == (False, found.run.run_id)


def test_a_file_without_a_job_starts_nothing_and_says_why(desk: Desk) -> None:
    (skipped,) = desk.open(desk.upload())

    assert isinstance(skipped, Skipped)
    assert skipped.reason.startswith("UNKNOWN_JOB: no job file s3://")
    assert "jobs/triage.yaml" in skipped.reason


def test_a_file_of_a_bad_job_gets_its_run_held_and_goes_on_with_the_mended_job(desk: Desk) -> None:
    desk.job(text=BAD_JOB)
    (opened,) = desk.opened(desk.upload())
    run_id = opened.run.run_id
    assert opened.run.hold is not None
    assert opened.run.hold.code is HoldCode.BAD_JOB
    assert "jobs/triage.yaml:7" in opened.run.hold.reason

    with pytest.raises(BadJob):
        desk.control.resume(run_id)
    desk.job()
    resumed = desk.control.resume(run_id)

    assert (resumed.hold, resumed.execution) == (None, 2)
    assert resumed.job.version_id != opened.run.job.version_id
    assert desk.started.names == [(run_id, 1), (run_id, 2)]


def test_a_run_that_sent_something_keeps_its_job_when_it_goes_on(desk: Desk) -> None:
    desk.job()
    (opened,) = desk.opened(desk.upload())
    run_id = opened.run.run_id
    desk.ledger.plan_chunk(replace(chunk(state=ChunkState.SENT, attempt=1), run_id=run_id))
    assert desk.control.hold(run_id, "wait")
    assert not desk.control.hold(run_id, "wait again")
    desk.job(text=JOB % "upload" + "cache: {ttl: 5m}\n")

    assert desk.control.resume(run_id).job == opened.run.job


def test_a_run_whose_first_batch_the_api_refused_is_planned_again_with_the_mended_job(desk: Desk) -> None:
    desk.job()
    run = desk.opened(desk.upload())[0].run
    run_id = run.run_id
    desk.ledger.plan_chunk(replace(chunk(attempt=1), run_id=run_id))  # sent once, refused, PLANNED again
    desk.ledger.hold(run_id, Hold(HoldCode.API_REJECTED, "no such thing", START))
    desk.s3.put_object(Bucket=desk.out, Key=f"runs/{run_id}/plan/g0-000001.jsonl", Body=b"old")
    desk.job(text=JOB % "upload" + "cache: {ttl: 5m}\n")
    newest = desk.s3.head_object(Bucket=desk.bucket, Key="jobs/triage.yaml")["VersionId"]

    resumed = desk.control.resume(run_id)

    assert (resumed.hold, resumed.job.version_id, resumed.planned, resumed.plan) == (None, newest, False, 2)
    assert desk.ledger.chunks(run_id) == []
    assert "Contents" not in desk.s3.list_objects_v2(Bucket=desk.out, Prefix=f"runs/{run_id}/plan/")


def test_a_person_approves_of_what_a_run_was_held_for(desk: Desk) -> None:
    desk.job()
    run_id = desk.opened(desk.upload())[0].run.run_id
    desk.ledger.hold(run_id, Hold(HoldCode.SAME_ROWS, "same", START))

    assert desk.control.resume(run_id, approve=True).approved == (HoldCode.SAME_ROWS,)


def test_a_run_that_is_done_is_not_resumed(desk: Desk) -> None:
    desk.job()
    run_id = desk.opened(desk.upload())[0].run.run_id
    desk.ledger.reported(run_id, "f", done=True)

    with pytest.raises(Conflict, match="is done"):
        desk.control.resume(run_id)


class TestTick:
    """The audit's look for uploads whose event was lost."""

    @pytest.fixture
    def event(self, desk: Desk) -> Uploaded:
        desk.job("upload")
        event = desk.upload()
        desk.clock.moment = desk.s3.head_object(Bucket=desk.bucket, Key=event.key)["LastModified"]
        return event

    def test_an_upload_has_a_quarter_of_an_hour_for_its_event_to_come(self, desk: Desk, event: Uploaded) -> None:
        desk.clock.move(minutes=15)
        assert desk.open(Tick()) == []

        desk.clock.move(seconds=1)
        (found,) = desk.opened(Tick())
        (late,) = desk.opened(event)

        assert (found.fresh, late.fresh, late.run.run_id) == (True, False, found.run.run_id)
        assert found.run.trigger == "upload"

    def test_an_upload_that_has_its_run_is_left_alone(self, desk: Desk, event: Uploaded) -> None:
        desk.open(event)
        desk.clock.move(minutes=16)

        assert desk.open(Tick()) == []
        assert len(desk.started.names) == 1

    def test_an_upload_of_long_ago_is_the_nights(self, desk: Desk, event: Uploaded) -> None:
        desk.clock.move(days=35)

        assert desk.open(Tick()) == []
        assert [o.run.inputs[0].version_id for o in desk.opened(NIGHT)] == [event.version_id]

    @pytest.mark.parametrize("text", [JOB % "nightly", BAD_JOB], ids=["nightly", "unreadable"])
    def test_a_file_whose_job_is_nightly_or_may_be_waits_for_the_night(
        self, desk: Desk, event: Uploaded, text: str
    ) -> None:
        desk.job(text=text)
        desk.clock.move(minutes=16)

        assert desk.open(Tick()) == []
        assert [o.run.inputs[0].version_id for o in desk.opened(NIGHT)] == [event.version_id]


def test_a_night_is_noted_as_opened_only_when_all_of_it_is(desk: Desk) -> None:
    desk.job("nightly")
    desk.upload()
    start, desk.started.start = desk.started.start, _die  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError, match="killed"):
        desk.open(NIGHT)
    assert desk.ledger.nights(NIGHT.scheduled_at) == {}
    desk.started.start = start  # type: ignore[method-assign]

    desk.open(NIGHT)

    assert desk.ledger.nights(NIGHT.scheduled_at) == {NIGHT.scheduled_at: True}


@pytest.mark.parametrize(
    ("ready_by", "due"),
    [
        ('"07:00"', datetime(2026, 11, 22, 7, tzinfo=UTC)),
        ('"02:00"', datetime(2026, 11, 23, 2, tzinfo=UTC)),  # it is two o'clock: the next one is meant
        ('"01:30"', datetime(2026, 11, 23, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_run_is_due_at_the_next_such_time_of_day(desk: Desk, ready_by: str, due: datetime) -> None:
    desk.job(text=JOB % "upload" + f"ready_by: {ready_by}\n")

    (opened,) = desk.opened(desk.upload())

    assert desk.ledger.run(opened.run.run_id).due_at == due


def test_a_run_of_a_job_that_says_nothing_of_it_is_due_at_no_time(desk: Desk) -> None:
    desk.job()
    (opened,) = desk.opened(desk.upload())
    assert opened.run.due_at is None
