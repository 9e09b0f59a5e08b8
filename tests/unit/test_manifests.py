"""Runs over the files that a manifest names: all of them, as it says, or nothing is sent."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nightshift import manifests
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import BadInput
from nightshift.intake import Opened, Skipped
from nightshift.model import MANIFEST, HoldCode, Run, RunId
from nightshift.trigger import ByHand, Night, Tick, Uploaded
from tests.unit.conftest import MovableClock
from tests.unit.fakes import MemoryInputs
from tests.unit.test_intake import NIGHT, Desk
from tests.unit.test_planning import Desk as Planning
from tests.unit.test_planning import numbered

KEY = "inbox/triage/night/all.manifest.json"
FOLDER = "inbox/triage/night/"


def manifest(*files: Any) -> bytes:
    return json.dumps({"files": [{"file": each} if isinstance(each, str) else each for each in files]}).encode()


# --- what a manifest is


def read(text: bytes) -> Any:
    inputs = MemoryInputs({KEY: text})
    return manifests.listed(inputs, inputs.pin(KEY))


def test_it_names_files_from_its_own_folder_and_says_what_they_have() -> None:
    assert read(manifest("a.jsonl", {"file": "sub/b.jsonl", "rows": 3, "size": 99})) == [
        ("inbox/triage/night/a.jsonl", manifests.Listed("a.jsonl")),
        ("inbox/triage/night/sub/b.jsonl", manifests.Listed("sub/b.jsonl", 3, 99)),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `files`"),
        (manifest(), "length >= 1"),
        (manifest(*map(str, range(251))), "length <= 250"),
        (manifest({"file": ""}), "length >= 1"),
        (manifest({"file": "a", "rows": -1}), ">= 0"),
        (manifest({"file": "a", "md5": "x"}), "unknown field `md5`"),
        (manifest("a", "b", "a"), "it names a twice"),
        (manifest("b.manifest.json"), "it names b.manifest.json, which is a manifest"),
        (b" " * (1 << 20) + manifest("a"), "more than 1,048,576 bytes"),
    ],
    ids=str,
)
def test_anything_else_is_none_and_the_refusal_says_why(text: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=r"^MANIFEST_MISMATCH") as raised:
        read(text)
    assert why in raised.value.detail
    assert 'a manifest is {"files"' in raised.value.detail


# --- what starts a run


@pytest.fixture
def inbox(aws_endpoint: str, ledger: DynamoLedger, clock: MovableClock) -> Desk:
    desk = Desk(aws_endpoint, ledger, clock)
    desk.job("manifest")
    return desk


def put(desk: Desk, key: str, body: bytes = b"x") -> Uploaded:
    version = desk.s3.put_object(Bucket=desk.bucket, Key=key, Body=body)["VersionId"]
    return Uploaded("triage", desk.bucket, key, version)


def deliver(desk: Desk, *names: str) -> Uploaded:
    for name in names:
        put(desk, FOLDER + name)
    return put(desk, KEY, manifest(*names))


def keys(run: Run) -> list[str]:
    return [ref.key for ref in run.inputs]


def test_a_file_waits_for_a_manifest_which_starts_one_run_over_all_that_it_names(inbox: Desk) -> None:
    early = put(inbox, f"{FOLDER}a.jsonl")
    assert inbox.open(early) == [
        Skipped(early.key, "jobs/triage.yaml says manifest: the file waits for a manifest that names it")
    ]

    event = deliver(inbox, "a.jsonl", "b.jsonl")
    (first,), (second,) = inbox.opened(event), inbox.opened(event)

    assert (first.fresh, second.fresh) == (True, False)
    assert first.run.trigger == MANIFEST
    assert keys(first.run) == [KEY, f"{FOLDER}a.jsonl", f"{FOLDER}b.jsonl"]
    assert first.run.inputs[1].version_id != early.version_id, "the newest version"


def test_the_next_manifest_may_name_the_same_files(inbox: Desk) -> None:
    """It mends one that came too early."""
    (early,) = inbox.opened(put(inbox, KEY, manifest("a.jsonl", "b.jsonl")))
    (again,) = inbox.opened(deliver(inbox, "a.jsonl", "b.jsonl"))

    assert keys(early.run) == [KEY]
    assert again.fresh
    assert len(again.run.inputs) == 3


def test_one_that_cannot_be_read_has_its_run_too(inbox: Desk) -> None:
    (opened,) = inbox.opened(put(inbox, KEY, b"{"))
    assert keys(opened.run) == [KEY]


def test_a_manifest_that_a_night_took_for_a_file_starts_no_run_over_its_files(inbox: Desk) -> None:
    inbox.job("nightly")
    event = deliver(inbox, "a.jsonl")
    assert len(inbox.opened(NIGHT)[0].run.inputs) == 2
    inbox.job("manifest")

    (found,) = inbox.open(event)

    assert isinstance(found, Skipped)
    assert found.reason == "another run has its input already"


def test_other_jobs_know_no_manifests(inbox: Desk) -> None:
    inbox.job("upload")
    (opened,) = inbox.opened(deliver(inbox, "a.jsonl"))
    assert (opened.run.trigger, keys(opened.run)) == ("upload", [KEY])


def test_a_person_starts_a_file_alone_or_a_manifest_s_run(inbox: Desk) -> None:
    deliver(inbox, "a.jsonl")

    (alone,) = inbox.opened(ByHand("triage", f"{FOLDER}a.jsonl", None))
    (all_of_it,) = inbox.opened(ByHand("triage", KEY, None))

    assert (alone.run.trigger, keys(alone.run)) == ("by hand", [f"{FOLDER}a.jsonl"])
    assert (all_of_it.run.trigger, len(all_of_it.run.inputs)) == (MANIFEST, 2)


@pytest.mark.parametrize("due", [Tick(), NIGHT], ids=["audit", "night"])
def test_a_manifest_whose_event_never_came_is_found_and_files_go_on_waiting(inbox: Desk, due: Tick | Night) -> None:
    event = deliver(inbox, "a.jsonl", "b.jsonl")
    inbox.clock.moment = inbox.s3.head_object(Bucket=inbox.bucket, Key=event.key)["LastModified"]
    inbox.clock.move(minutes=16)

    found = inbox.open(due)

    assert [keys(each.run) for each in found if isinstance(each, Opened)] == [
        [KEY, f"{FOLDER}a.jsonl", f"{FOLDER}b.jsonl"]
    ]
    assert len(found) == 1


# --- what is sent


@pytest.fixture
def planning(ledger: DynamoLedger, clock: MovableClock) -> Planning:
    return Planning(ledger, clock)


def opened(desk: Planning, said: bytes, *files: str) -> Run:
    """Open a run over a manifest and files, whose keys are 1, 2, … in the manifest's folder."""
    inputs = desk.inputs
    inputs.files[KEY] = said
    for number, text in enumerate(files, 1):
        inputs.files[f"{FOLDER}{number}"] = text.encode()
    refs = (inputs.pin(KEY), *manifests.pinned(inputs, inputs.pin(KEY)))
    run = replace(desk.open("x"), run_id=RunId("triage-20261122-manifest"), inputs=refs, trigger=MANIFEST)
    desk.ledger.create_run(run)
    return run


def rows(count: int, start: int) -> str:
    return numbered(count, start)


def test_all_files_are_one_plan_and_the_manifest_has_no_rows(planning: Planning) -> None:
    said = manifest({"file": "1", "rows": 2, "size": len(rows(2, 1))}, "2")
    run = opened(planning, said, rows(2, 1), rows(3, 3))

    assert planning.plan(run)

    assert planning.ledger.run(run.run_id).rows == 5
    assert planning.prompts(run, "g0-000001") == [f"Ticket: text {n}" for n in range(1, 6)]
    assert [line["file"] for line in planning.lines(run, "plan/g0-000001.ids")] == [1, 1, 2, 2, 2]


MISMATCHES: list[tuple[str, bytes, str]] = [
    ("missing", manifest("1", "2"), f"{FOLDER}2 was not there, or could not be read, when the manifest came"),
    ("rows", manifest({"file": "1", "rows": 3}), f"{FOLDER}1 has 2 rows, and should have 3"),
    ("size", manifest({"file": "1", "size": 7}), f"{FOLDER}1 has 60 bytes, and should have 7"),
    ("no manifest", b"{}", "it is no manifest: Object missing required field `files`"),
]


@pytest.mark.parametrize(("said", "why"), [m[1:] for m in MISMATCHES], ids=[m[0] for m in MISMATCHES])
def test_what_is_not_as_it_says_holds_the_run(planning: Planning, said: bytes, why: str) -> None:
    run = opened(planning, said, rows(2, 1))

    assert not planning.plan(run)

    code, reason = planning.hold(run)
    assert code == HoldCode.MANIFEST_MISMATCH
    assert why in reason
    assert "then the manifest again" in reason
    assert not planning.chunks(run)


def test_a_file_that_is_refused_holds_it_too(planning: Planning) -> None:
    run = opened(planning, manifest("1", "2"), rows(2, 1), "[1]")
    assert not planning.plan(run)
    assert f"{FOLDER}2: NOT_JSONL: " in planning.hold(run)[1]


def test_ten_reasons_are_told_and_the_others_counted(planning: Planning) -> None:
    run = opened(planning, manifest(*map(str, range(1, 14))), rows(2, 1))
    planning.plan(run)
    assert planning.hold(run)[1].count(" was not there") == 10
    assert "\n… and 2 more\n" in planning.hold(run)[1]


def test_what_is_there_is_sent_where_a_person_says_so(planning: Planning) -> None:
    run = opened(planning, manifest("1", "2"), rows(2, 1))
    planning.plan(run)

    assert planning.plan(planning.approve(run))

    assert planning.ledger.run(run.run_id).rows == 2


def test_where_nothing_is_there_it_is_held_all_the_same(planning: Planning) -> None:
    run = opened(planning, manifest("1", "2"))
    planning.plan(run)

    assert not planning.plan(planning.approve(run))

    code, reason = planning.hold(run)
    assert code == HoldCode.MANIFEST_MISMATCH
    assert "--approve" not in reason


def test_a_plan_that_was_begun_is_not_judged_again(planning: Planning, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(planning, manifest("1"), rows(60, 1))
    job = planning.inputs.files["jobs/triage.yaml"]
    planning.inputs.files["jobs/triage.yaml"] = job + b"batch: {max_rows: 50}\n"
    assert not planning.plan(run, planning.clock())
    assert len(planning.chunks(run)) == 1
    refuse: Callable[..., Any] = pytest.fail
    monkeypatch.setattr(manifests, "listed", refuse)

    assert planning.plan(run)
