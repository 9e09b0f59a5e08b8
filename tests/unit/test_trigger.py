"""Events: what they ask for, and why some ask for nothing."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nightshift.errors import BadTrigger
from nightshift.trigger import (
    ByHand,
    Continue,
    IgnoreCode,
    Ignored,
    LoopEnded,
    Night,
    Tick,
    Uploaded,
    parse,
    parse_audit,
)

EVENTS = Path(__file__).parents[2] / "events"
RUN_ID = "ticket-triage-20261121-k3f7q2za"


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def upload(key: str = "inbox/triage/a.jsonl", **object_: Any) -> dict[str, Any]:
    changed = copy.deepcopy(event("upload"))
    changed["detail"]["object"] |= {"key": key, **object_}
    return changed


def test_each_sample_event_is_understood() -> None:
    assert {name: parse(event(name)) for name in ("upload", "schedule", "by-hand", "machine-submit")} == {
        "upload": Uploaded(
            "ticket-triage",
            "nightshift-inputbucket-example",
            "inbox/ticket-triage/tickets.jsonl",
            "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        ),
        "schedule": Night(datetime(2026, 11, 22, 2, 0, tzinfo=UTC)),
        "by-hand": ByHand("ticket-triage", "inbox/ticket-triage/tickets.jsonl", None),
        "machine-submit": Continue(RUN_ID),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("name", ["a b+c%2Bd.jsonl", "sub/folder/x.csv", "ü\n.csv", ".gz"])
def test_a_key_is_taken_as_it_is(name: str) -> None:
    parsed = parse(upload(f"inbox/triage/{name}", **{"version-id": "v"}))
    assert parsed == Uploaded("triage", "nightshift-inputbucket-example", f"inbox/triage/{name}", "v")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("inbox/triage/", IgnoreCode.FOLDER_MARKER),
        ("inbox/", IgnoreCode.FOLDER_MARKER),
        ("inbox/file.jsonl", IgnoreCode.OUTSIDE_INBOX),
        ("inbox/Not A Job/file.jsonl", IgnoreCode.OUTSIDE_INBOX),
        (f"inbox/{'a' * 51}/file.jsonl", IgnoreCode.OUTSIDE_INBOX),
        ("jobs/triage.yaml", IgnoreCode.OUTSIDE_INBOX),
        ("xinbox/triage/a", IgnoreCode.OUTSIDE_INBOX),
        (f"runs/{RUN_ID}/output/g0-000001-000000000000.jsonl", IgnoreCode.SELF_TRIGGER),
    ],
)
def test_an_object_that_is_nobodys_input_is_ignored(key: str, code: IgnoreCode) -> None:
    parsed = parse(upload(key))
    assert isinstance(parsed, Ignored)
    assert parsed.code is code


def test_a_deletion_is_ignored() -> None:
    deleted = upload() | {"detail-type": "Object Deleted"}
    assert parse(deleted) == Ignored("an S3 event of the kind Object Deleted", IgnoreCode.DELETED)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, IgnoreCode.TEST_EVENT),
        ({"Records": []}, IgnoreCode.OTHER_EVENT),
        (upload() | {"detail-type": "Object Restore Completed"}, IgnoreCode.OTHER_EVENT),
    ],
)
def test_another_kind_of_s3_event_is_ignored(other: dict[str, Any], code: IgnoreCode) -> None:
    parsed = parse(other)
    assert isinstance(parsed, Ignored)
    assert parsed.code is code


def test_an_offset_of_the_schedule_is_turned_into_utc() -> None:
    fired = {"source": "nightshift.schedule", "scheduled_time": "2026-11-22T02:00:00+01:00"}
    assert parse(fired) == Night(datetime(2026, 11, 22, 1, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "no event that submit knows: its keys are []"),
        ({"source": "aws.ec2"}, "no event that submit knows: its keys are ['source']"),
        ({"source": "nightshift.schedule"}, "the schedule's input must hold"),
        (
            {"source": "nightshift.schedule", "scheduled_time": "<aws.scheduler.scheduled-time>"},
            "scheduled_time is not",
        ),
        ({"source": "nightshift.schedule", "scheduled_time": "2026-11-22T02:00:00"}, "scheduled_time has no time zone"),
        ({"source": "nightshift.schedule", "scheduled_time": 5}, "the schedule's input must hold"),
        ({"source": "nightshift.hand", "key": "inbox/a/b"}, "`job` must be a job's name"),
        ({"source": "nightshift.hand", "job": "../x", "key": "inbox/a/b"}, "`job` must be a job's name"),
        ({"source": "nightshift.hand", "job": "a"}, "`key` must name an object below inbox/"),
        ({"source": "nightshift.hand", "job": "a", "key": "inbox/a/"}, "`key` must name an object below inbox/"),
        ({"source": "nightshift.hand", "job": "a", "key": "runs/x/job.yaml"}, "`key` must name an object below inbox/"),
        (
            {"source": "nightshift.hand", "job": "a", "key": "inbox/a/b", "version_id": ""},
            "`version_id` must be a text",
        ),
        ({"v": 2, "run_id": RUN_ID}, "a payload of version 1 is wanted"),
        ({"v": 1, "run_id": "../other"}, "`run_id` is not a run's id"),
        (upload() | {"detail": {"bucket": {"name": "b"}}}, "an Object Created event without detail.bucket.name or"),
        (upload(**{"version-id": ""}), "an Object Created event without detail.object.version-id"),
    ],
)
def test_an_event_that_can_start_nothing_says_what_is_wrong_with_it(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(BadTrigger) as caught:
        parse(bad)
    assert str(caught.value).startswith(message)


def ended(name: str) -> dict[str, Any]:
    return {"source": "aws.states", "detail": {"name": name}}


def test_the_audit_understands_its_events() -> None:
    assert parse_audit({"source": "nightshift.audit"}) == Tick()
    assert parse_audit(event("schedule")) == Night(datetime(2026, 11, 22, 2, 0, tzinfo=UTC))
    assert parse_audit(ended(f"{RUN_ID}-c12345")) == LoopEnded(RUN_ID, 12345)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"source": "nightshift.hand"},
        {"source": "nightshift.schedule"},
        event("upload"),
        ended("by-hand"),
        ended(f"{RUN_ID}-c1"),
        ended(f"{RUN_ID}-c0001-again"),
        {"source": "aws.states", "detail": {}},
    ],
    ids=str,
)
def test_the_audit_refuses_every_other_event(bad: dict[str, Any]) -> None:
    with pytest.raises(BadTrigger):
        parse_audit(bad)
