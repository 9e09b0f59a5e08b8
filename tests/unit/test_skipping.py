"""Rows whose ticket has this job's answer to this text already are not asked again."""

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import pytest

from nightshift import skipping
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.applying import Applier
from nightshift.job import parse_job
from nightshift.model import Run, chunk_id, custom_id
from nightshift.requests import asked_digest, asking_digest
from tests.unit.conftest import START, MovableClock
from tests.unit.result_lines import labelled
from tests.unit.test_planning import Desk, jsonl, numbered

JOB = """\
job: triage
input: {format: jsonl}
max_tokens: 64
prompt: "Ticket: {{ body }}"
output: {labels: [billing, other], table: {key: ticket_id, attribute: category}}
skip: answered
pilot: none
"""
FIRST = chunk_id(0, 1)


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    return Desk(ledger, clock)


def planned(desk: Desk, content: str, job: str = JOB, run: str = "b") -> tuple[Run, list[str], list[Any]]:
    """Plan a run; return it, the ids of its rows, and (id, class, code) of its rejects."""
    begun = desk.open(content, job=job, run_id=f"triage-20261122-{run * 8}")
    assert desk.plan(begun)
    ids = [row["id"] for chunk in desk.chunks(begun) for row in desk.lines(begun, f"plan/{chunk.id}.ids")]
    keys = desk.outputs.keys(f"runs/{begun.run_id}/rejects/")
    lines = [json.loads(line) for key in keys for line in desk.outputs.files[key].splitlines()]
    return begun, ids, [(line["id"], line["class"], line["code"]) for line in lines]


def answer(desk: Desk, run: Run, rows: int) -> None:
    """Apply a run's results, one answer for each of its rows."""
    lines = b"".join(labelled(custom_id(run.run_id, FIRST, n)) for n in range(1, rows + 1))
    chunk = desk.chunks(run)[0]
    job = parse_job(desk.outputs.files[f"runs/{run.run_id}/job.yaml"], name="triage", key="")
    applier = Applier(desk.ledger, desk.outputs, desk.tickets, desk.clock, desk.ledger.run(run.run_id), job)
    planned_lines = {
        json.loads(line)["custom_id"]: line
        for line in desk.outputs.files[f"runs/{run.run_id}/plan/{FIRST}.ids"].splitlines()
    }
    assert len(planned_lines) == rows
    applier._apply_lines(chunk, lines, planned_lines)


def skipped(*ids: str) -> list[Any]:
    return [(row_id, "skipped", "ALREADY_ANSWERED") for row_id in ids]


def test_what_one_run_has_answered_the_next_one_does_not_ask(desk: Desk) -> None:
    first, ids, _ = planned(desk, numbered(2), run="a")
    answer(desk, first, 2)
    assert ids == ["1", "2"]
    changed = jsonl({"id": "2", "body": "another text"})
    second, asked, rejects = planned(desk, numbered(1) + changed + numbered(1, 3))
    assert (asked, rejects) == (["2", "3"], skipped("1"))
    run = desk.ledger.run(second.run_id)
    assert (run.rows, run.planned) == (3, True)


def test_a_run_of_which_all_is_answered_has_no_chunk_and_is_planned(desk: Desk) -> None:
    first, _, _ = planned(desk, numbered(2), run="a")
    answer(desk, first, 2)
    second, asked, rejects = planned(desk, numbered(2))
    assert (asked, rejects, desk.chunks(second)) == ([], skipped("1", "2"), [])
    assert desk.ledger.run(second.run_id).planned


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Ticket:", "Text:"),
        ("max_tokens: 64", "max_tokens: 65"),
        ("[billing, other]", "[billing, technical]"),
        ("attribute: category", "attribute: kind"),
        ("max_tokens: 64", "max_tokens: 64\nmodel: claude-sonnet-5"),
    ],
)
def test_another_question_or_another_place_for_the_answer_is_asked(desk: Desk, old: str, new: str) -> None:
    first, _, _ = planned(desk, numbered(2), run="a")
    answer(desk, first, 2)
    assert planned(desk, numbered(3), JOB.replace(old, new))[1] == ["1", "2", "3"]


def test_what_a_job_has_for_its_batches_and_money_changes_no_question(desk: Desk) -> None:
    first, _, _ = planned(desk, numbered(2), run="a")
    answer(desk, first, 2)
    job = JOB.replace("pilot: none", "pilot: none\nbatch: {max_rows: 7}\nlimits: {max_usd: 3}\ncache: {ttl: 5m}")
    assert planned(desk, numbered(2), job)[1] == []


def test_a_job_that_skips_nothing_neither_looks_nor_leaves_a_trace(desk: Desk) -> None:
    first, _, _ = planned(desk, numbered(2), JOB.replace("skip: answered\n", ""), run="a")
    answer(desk, first, 2)
    assert [name for item in desk.tickets.items.values() for name in item if name == "nightshift_asked"] == []
    desk.tickets.asked = None  # type: ignore[method-assign, assignment]
    run, ids, rejects = planned(desk, numbered(3), JOB.replace("skip: answered\n", ""))
    assert (ids, rejects) == (["1", "2", "3"], [])
    assert [key for key in desk.outputs.files if "skips" in key] == []
    assert run.run_id in str(desk.outputs.files.keys())


def test_a_ticket_that_was_never_asked_is_asked(desk: Desk) -> None:
    desk.tickets.items["1"] = {"ticket_id": "1", "category": "billing", "nightshift_row": "d1"}
    assert planned(desk, numbered(1))[1] == ["1"]


def test_a_block_is_looked_up_once_in_reads_of_a_hundred(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    asked = desk.tickets.asked

    def counted(key: str, ids: Collection[str], *, numeric: bool = False) -> Mapping[str, str]:
        reads.append(len(ids))
        return asked(key, ids, numeric=numeric)

    monkeypatch.setattr(desk.tickets, "asked", counted)
    rows = numbered(503) + "no json\n" + jsonl({"id": "7", "body": "again"}, {"id": "7", "body": "again"})
    job = JOB + "limits: {max_rows: 1000}\n"
    run, ids, _ = planned(desk, rows, job)
    assert len(ids) == 503
    assert reads == [100] * 5 + [4]  # three rows, and two of an id that came before
    assert [key.rpartition("/")[2] for key in desk.outputs.keys(f"runs/{run.run_id}/plan/skips")] == [
        "skips-000-00000000.json",
        "skips-000-00000001.json",
    ]


def test_an_id_that_cannot_be_a_number_is_not_looked_up(desk: Desk) -> None:
    job = JOB.replace("key: ticket_id", "key: ticket_id, key_type: number")
    _, ids, rejects = planned(desk, numbered(9) + jsonl({"id": "x", "body": "b"}), job)
    assert (len(ids), rejects) == (9, [("x", "rejected", "BAD_ID")])


class TestAgain:
    """A plan that was begun before comes to the same bytes, whatever the tickets say by now."""

    def test_what_was_found_first_counts(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(skipping, "BLOCK", 4)
        job = JOB + "batch: {max_rows: 2}\n"
        asking = asking_digest(parse_job(job.encode(), name="triage", key=""))

        def answered(row: int, digest: str) -> None:
            desk.tickets.items[str(row)] = {"ticket_id": str(row), "nightshift_asked": asked_digest(asking, digest)}

        probe, _, _ = planned(desk, numbered(8), job, run="p")
        digests = [line["digest"] for chunk in desk.chunks(probe) for line in desk.lines(probe, f"plan/{chunk.id}.ids")]
        answered(2, digests[1])
        run = desk.open(numbered(8), job=job + "# another\n", run_id="triage-20261122-cccccccc")
        soon = START + timedelta(seconds=1)
        assert not desk.plan(run, soon)  # rows 1 and 3
        for row in range(1, 9):
            answered(row, digests[row - 1])
        assert desk.plan(run, soon)  # row 4 of the block that was looked up; all of the other one are answered
        rows = [line["id"] for chunk in desk.chunks(run) for line in desk.lines(run, f"plan/{chunk.id}.ids")]
        assert rows == ["1", "3", "4"]

    def test_of_two_planners_the_first_to_look_counts_for_both(self, desk: Desk) -> None:
        run = desk.open(numbered(2), job=JOB)
        key = f"runs/{run.run_id}/plan/skips-000-00000000.json"
        tag = desk.outputs.tag

        def late(name: str) -> str:
            seen = tag(name)
            if name == key:
                desk.outputs.files[key] = b"[2]"  # another planner's, just behind the look
            return seen

        desk.outputs.tag = late  # type: ignore[assignment, method-assign]
        assert desk.plan(run)
        assert [line["id"] for line in desk.lines(run, f"plan/{FIRST}.ids")] == ["1"]
