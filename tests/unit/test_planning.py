"""Planning over buckets in memory and the real ledger: what is sent, what is not, and what survives a kill."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import Conflict
from nightshift.estimating import Estimator
from nightshift.model import (
    Chunk,
    ChunkId,
    Hold,
    HoldCode,
    JobRef,
    LeftOut,
    RowClass,
    Run,
    RunId,
    Tally,
    chunk_id,
    custom_id,
)
from nightshift.planning import Planner
from nightshift.prices import price_sheet
from nightshift.requests import params_of
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fake_tickets import MemoryTickets
from tests.unit.fakes import MemoryInputs, MemoryOutputs, MemoryPlanLedger

ROOT = Path(__file__).parents[2]
LATER = START + timedelta(hours=1)

JOB = """\
job: triage
input: {format: jsonl}
max_tokens: 64
prompt: "Ticket: {{ body }}"
output:
  labels: [billing, other]
  carry: [at]
limits: {max_rows: 100, max_reject_ratio: 0.5}
"""


CUT_OFF = f"{JOB}retry: {{generations: 2, cut_off: 1.5}}\n"


class Killed(BaseException):
    """The function's process ends here."""


@dataclass
class Desk:
    """A planner and all that it works with."""

    ledger: DynamoLedger
    clock: MovableClock
    inputs: MemoryInputs = field(default_factory=MemoryInputs)
    outputs: MemoryOutputs = field(default_factory=MemoryOutputs)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)

    def __post_init__(self) -> None:
        self.api = FakeApi(self.clock)

    def open(self, *files: str | bytes, job: str = JOB, run_id: str = "triage-20261122-abcdefgh") -> Run:
        """Open a run over files, given as their content."""
        self.inputs.files["jobs/triage.yaml"] = job.encode()
        refs = []
        for number, content in enumerate(files, 1):
            key = f"inbox/triage/{run_id[-2:]}{number}"
            self.inputs.files[key] = content.encode() if isinstance(content, str) else content
            refs.append(self.inputs.pin(key))
        run = Run(RunId(run_id), JobRef("triage", "jobs/triage.yaml", "v1"), tuple(refs), START, "upload")
        self.ledger.create_run(run)
        return run

    def plan(self, run: Run, deadline: Any = LATER) -> bool:
        return self.planner.plan(self.ledger.run(run.run_id), deadline)

    @property
    def planner(self) -> Planner:
        estimator = Estimator(self.api, self.outputs, self.clock)
        return Planner(self.ledger, self.inputs, self.outputs, self.clock, estimator, price_sheet, self.tickets)

    def approve(self, run: Run) -> Run:
        held = self.ledger.run(run.run_id)
        assert held.hold is not None
        return self.ledger.release(held, approve=held.hold.code)

    def hold(self, run: Run) -> tuple[HoldCode, str]:
        hold = self.ledger.run(run.run_id).hold
        assert hold is not None
        return hold.code, hold.reason

    def chunks(self, run: Run) -> list[Chunk]:
        return list(self.ledger.chunks(run.run_id))

    def lines(self, run: Run, name: str) -> list[Any]:
        return [json.loads(line) for line in self.outputs.files[f"runs/{run.run_id}/{name}"].splitlines()]

    def prompts(self, run: Run, chunk: str) -> list[str]:
        return [line["params"]["messages"][0]["content"] for line in self.lines(run, f"plan/{chunk}.jsonl")]


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    return Desk(ledger, clock)


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbered(count: int, start: int = 1) -> str:
    return jsonl(*({"id": str(n), "body": f"text {n}"} for n in range(start, start + count)))


def batches_of(rows: int, job: str = JOB) -> str:
    return f"{job}batch: {{max_rows: {rows}}}\n"


def test_a_plan_holds_each_row_as_the_request_it_becomes_and_whose_it_is(desk: Desk) -> None:
    run = desk.open(jsonl({"id": 7, "body": "héllo\n", "at": 1.50, "more": True}))

    assert desk.plan(run)

    name = custom_id(run.run_id, desk.chunks(run)[0].id, 1)
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["billing", "other"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    assert desk.lines(run, "plan/g0-000001.jsonl") == [
        {
            "custom_id": name,
            "params": {
                "model": "claude-haiku-5-5",
                "max_tokens": 64,
                "thinking": {"type": "disabled"},
                "output_config": {"format": {"type": "json_schema", "schema": schema}},
                "messages": [{"role": "user", "content": "Ticket: héllo\n"}],
            },
        }
    ]
    (row,) = desk.lines(run, "plan/g0-000001.ids")
    assert len(row.pop("digest")) == 16
    assert row == {"custom_id": name, "id": "7", "file": 0, "line": 1, "record": 1, "carry": {"at": 1.5}}
    assert desk.outputs.files[f"runs/{run.run_id}/job.yaml"] == JOB.encode()


def test_the_betas_of_the_job_are_pinned_with_each_chunk_and_used_where_tokens_are_counted(desk: Desk) -> None:
    run = desk.open(numbered(2), job=f"{batches_of(1)}betas: [a-2026-01-01, b-2026-02-02]\n")

    assert desk.plan(run)

    assert [chunk.betas for chunk in desk.chunks(run)] == ["a-2026-01-01,b-2026-02-02"] * 2
    assert desk.api.betas == ["a-2026-01-01,b-2026-02-02"] * 2


def test_a_finished_plan_is_counted_in_the_ledger(desk: Desk) -> None:
    run = desk.open(numbered(5), job=batches_of(2))

    assert desk.plan(run)

    planned = desk.ledger.run(run.run_id)
    assert (planned.planned, planned.rows, planned.max_generations, planned.hold) == (True, 5, 2, None)
    assert [(c.id, c.rows, c.cursor) for c in desk.chunks(run)] == [
        ("g0-000001", 2, (0, 2)),
        ("g0-000002", 2, (0, 4)),
        ("g0-000003", 1, (0, 5)),
    ]
    assert all(c.size == len(desk.outputs.files[f"runs/{run.run_id}/plan/{c.id}.jsonl"]) for c in desk.chunks(run))


def test_chunks_are_cut_before_a_batch_grows_too_large(desk: Desk) -> None:
    job = f"{JOB.replace('}}', '}} {{ body }}')}batch: {{max_bytes: 1000000}}\n"
    run = desk.open(jsonl(*({"id": n, "body": "x" * 90_000} for n in range(7))), job=job)

    assert desk.plan(run)

    assert [c.rows for c in desk.chunks(run)] == [5, 2]
    assert max(c.size for c in desk.chunks(run)) <= 1_000_000


def test_rejected_and_duplicate_rows_are_written_with_file_line_and_reason(desk: Desk) -> None:
    rows = jsonl(
        {"id": "1", "body": "one"},
        {"id": "1", "body": "one"},
        {"id": "1", "body": "secret"},
        {"id": "2", "body": " "},
        {"id": "3", "body": "three"},
    )
    run = desk.open(rows)

    assert desk.plan(run)

    shown = [
        (line["id"], line["class"], line["file"], line["line"], line["record"], line["code"], line["detail"])
        for line in desk.lines(run, "rejects/g0-000001.jsonl")
    ]
    key = run.inputs[0].key
    assert shown == [
        ("1", "duplicate", key, 2, 2, "DUPLICATE_ROW", "the same row as line 1"),
        ("1", "rejected", key, 3, 3, "ID_CONFLICT", "the id of line 1, with other content"),
        ("2", "rejected", key, 4, 4, "EMPTY_BODY", "column body: missing or empty"),
    ]
    assert b"secret" not in desk.outputs.files[f"runs/{run.run_id}/rejects/g0-000001.jsonl"]
    (chunk,) = desk.chunks(run)
    assert (chunk.rows, chunk.planned.rows) == (2, {RowClass.DUPLICATE: 1, RowClass.REJECTED: 2})
    assert desk.ledger.run(run.run_id).rows == 5


def test_a_row_that_came_in_another_file_is_found_across_chunks(desk: Desk) -> None:
    run = desk.open(numbered(2), numbered(2), job=batches_of(1))

    assert desk.plan(run)

    assert [c.rows for c in desk.chunks(run)] == [1, 1]
    assert [line["detail"] for line in desk.lines(run, "rejects/g0-000002.jsonl")] == [
        f"the same row as line 1 of {run.inputs[0].key}",
        f"the same row as line 2 of {run.inputs[0].key}",
    ]


def test_an_id_that_is_no_number_is_rejected_where_the_tables_key_is_one(desk: Desk) -> None:
    job = JOB.replace("  carry: [at]", "  table: {attribute: a, key_type: number}")
    ids: list[Any] = ["7", 8, "-9", "07", "1.5", "x", "٣"]
    run = desk.open(jsonl(*({"id": row_id, "body": "text"} for row_id in ids)), job=job)
    assert not desk.plan(run)  # more than half is rejected
    desk.approve(run)
    assert desk.plan(run)
    assert [row["id"] for row in desk.lines(run, "plan/g0-000001.ids")] == ["7", "8", "-9"]
    assert [(line["code"], line["id"]) for line in desk.lines(run, "rejects/g0-000001.jsonl")] == [
        ("BAD_ID", row_id) for row_id in ids[3:]
    ]


def test_rows_without_ids_are_named_after_their_file_and_never_collide(desk: Desk) -> None:
    job = JOB.replace("{format: jsonl}", "{format: csv, id: row_number}").replace("carry: [at]", "table: none")
    run = desk.open("body\nsame\nsame\n", "body\nsame\n", job=job)

    assert desk.plan(run)

    first, second = (ref.digest for ref in run.inputs)
    assert [row["id"] for row in desk.lines(run, "plan/g0-000001.ids")] == [f"{first}:1", f"{first}:2", f"{second}:1"]


def test_a_refused_file_is_one_reject_and_the_others_go_on(desk: Desk) -> None:
    run = desk.open(numbered(2), b"\x1f\x8b\x08", b"", numbered(1, start=9), job=JOB.replace("0.5", "0.6"))

    assert desk.plan(run)

    rejects = desk.lines(run, "rejects/g0-000001.jsonl")
    assert [(r["file"], r["line"], r["record"], r["code"]) for r in rejects] == [
        (run.inputs[1].key, 0, 0, "GZIP_TRUNCATED"),
        (run.inputs[2].key, 0, 0, "EMPTY_FILE"),
    ]
    assert desk.prompts(run, "g0-000001") == ["Ticket: text 1", "Ticket: text 2", "Ticket: text 9"]
    assert desk.ledger.run(run.run_id).rows == 5


def test_a_run_without_a_usable_file_is_held_and_says_why_for_each(desk: Desk) -> None:
    run = desk.open("", "[1,\n2]\n")

    assert not desk.plan(run)

    code, reason = desk.hold(run)
    assert code is HoldCode.NO_USABLE_INPUT
    assert reason.splitlines() == [
        "no input can be used:",
        "inbox/triage/gh1: EMPTY_FILE: the file is empty",
        "inbox/triage/gh2: NOT_JSONL: line 1: the file is one JSON document, not one object per line",
    ]
    assert not list(desk.outputs.keys(f"runs/{run.run_id}/rejects/"))


def test_a_bad_job_holds_the_run_and_names_the_line(desk: Desk) -> None:
    run = desk.open(numbered(1), job=JOB + "temperature: 0\n")

    assert not desk.plan(run)

    assert desk.hold(run) == (
        HoldCode.BAD_JOB,
        "jobs/triage.yaml:9: temperature: the API refuses it since version 2026-10-21, at any value: delete the line",
    )
    assert not desk.chunks(run)


def test_too_many_rows_hold_the_run_before_a_chunk_is_planned_until_a_person_approves(desk: Desk) -> None:
    run = desk.open(numbered(101))

    assert not desk.plan(run)

    code, reason = desk.hold(run)
    assert code is HoldCode.TOO_MANY_ROWS
    assert reason.startswith("101 rows up to inbox/triage/gh1, and limits.max_rows of jobs/triage.yaml is 100")
    assert not desk.chunks(run)
    desk.approve(run)
    assert desk.plan(run)
    assert desk.ledger.run(run.run_id).rows == 101


def test_too_many_rejects_hold_the_run_until_a_person_approves(desk: Desk) -> None:
    run = desk.open(numbered(2) + "{}\n{}\n{}\n")

    assert not desk.plan(run)

    code, reason = desk.hold(run)
    assert code is HoldCode.TOO_MANY_REJECTS
    assert reason.startswith("3 of 5 rows are rejected, and limits.max_reject_ratio of jobs/triage.yaml is 0.5")
    desk.approve(run)
    assert desk.plan(run)
    assert [c.rows for c in desk.chunks(run)] == [2]


def test_as_many_rejects_as_the_limit_allows_hold_nothing(desk: Desk) -> None:
    assert desk.plan(desk.open(numbered(2) + "{}\n{}\n"))


def test_rejects_without_any_row_are_the_leftover(desk: Desk) -> None:
    run = desk.open("{}\n{}\n")
    assert not desk.plan(run)
    desk.approve(run)

    assert desk.plan(run)

    planned = desk.ledger.run(run.run_id)
    assert (planned.rows, planned.leftover.rows, desk.chunks(run)) == (2, {RowClass.REJECTED: 2}, [])
    assert [line["code"] for line in desk.lines(run, "rejects/last.jsonl")] == ["MISSING_ID", "MISSING_ID"]


@pytest.mark.parametrize(
    "second", [numbered(3), numbered(3).replace('"id": "1"', '"id":1'), "\n".join(reversed(numbered(3).splitlines()))]
)
def test_the_same_rows_again_hold_the_second_run_until_a_person_approves(desk: Desk, second: str) -> None:
    first = desk.open(numbered(3))
    assert desk.plan(first)
    run = desk.open(second, run_id="triage-20261122-zzzzzzzz", job=batches_of(2))

    assert not desk.plan(run)

    assert desk.hold(run) == (
        HoldCode.SAME_ROWS,
        f"same rows as run {first.run_id}; `nightshift resume {run.run_id} --approve` sends them anyway",
    )
    desk.approve(run)
    assert desk.plan(run)


@pytest.mark.parametrize(
    ("content", "job"),
    [
        (numbered(4), JOB),
        (numbered(3).replace("text 3", "text three"), JOB),
        (numbered(3).replace('"3"', '"drei"'), JOB),
        (numbered(3), JOB.replace("Ticket:", "A ticket:")),
        (numbered(3), JOB.replace("max_tokens: 64", "max_tokens: 65")),
    ],
)
def test_other_rows_or_another_question_are_another_plan(desk: Desk, content: str, job: str) -> None:
    assert desk.plan(desk.open(numbered(3)))

    assert desk.plan(desk.open(content, run_id="triage-20261122-zzzzzzzz", job=job))


def test_two_runs_without_any_row_are_not_the_same_rows(desk: Desk) -> None:
    for run_id in ("triage-20261122-abcdefgh", "triage-20261122-zzzzzzzz"):
        run = desk.open("{}\n", run_id=run_id, job=JOB.replace("0.5", "1.0"))
        assert desk.plan(run)


def test_planning_stops_between_chunks_when_its_time_is_up_and_goes_on_later(desk: Desk) -> None:
    run = desk.open(numbered(5), job=batches_of(2))
    soon = START + timedelta(seconds=100)

    assert not desk.plan(run, soon)
    assert [c.rows for c in desk.chunks(run)] == [2]
    assert not desk.plan(run, soon)
    assert [c.rows for c in desk.chunks(run)] == [2, 2]
    assert desk.plan(run, soon)

    assert [c.rows for c in desk.chunks(run)] == [2, 2, 1]
    assert desk.ledger.run(run.run_id).hold is None


def test_what_was_left_out_of_rows_is_counted_once_with_those_that_are_asked(desk: Desk) -> None:
    job = (
        batches_of(2)
        .replace("jsonl}", "jsonl, nul: strip}")
        .replace("max_rows: 100,", "max_rows: 100, max_text_bytes: 100, too_large: truncate,")
    )
    long: dict[str, Any] = {"id": "1", "body": "x" * 200, "spam": 1}
    rows = [long, long, {"id": "2", "body": "a\0b", "spam": 2}, {"id": "3", "body": "\0"}, {"id": "4", "body": "four"}]
    run = desk.open(jsonl(*rows), job=job)
    soon = START + timedelta(seconds=100)

    assert [desk.plan(run, soon) for _ in range(2)] == [False, True]

    tallies = [chunk.planned for chunk in desk.chunks(run)]
    assert [tally.changes for tally in tallies] == [
        {LeftOut.TRUNCATED: 1, LeftOut.NUL_STRIPPED: 1, LeftOut.UNUSED_COLUMNS: 2}, {}
    ]  # fmt: skip
    assert sum(tallies, Tally()).rows == {RowClass.DUPLICATE: 1, RowClass.REJECTED: 1}


MIXED = (
    numbered(3) + "{}\n" + numbered(2),
    "",
    jsonl({"id": "2", "body": "other"}) + numbered(3, start=3) + "nonsense\n",
)


@dataclass
class World:
    """A planner that can be killed before any of its writes."""

    run: Run
    inputs: MemoryInputs
    outputs: MemoryOutputs = field(default_factory=MemoryOutputs)
    ledger: MemoryPlanLedger = field(default_factory=MemoryPlanLedger)
    tickets: MemoryTickets | None = None

    def kill_before(self, write: int | None) -> list[str]:
        """Let the process end before its write number `write`, from 0; return where its writes are listed."""
        seen: list[str] = []

        def before_write(what: str) -> None:
            if len(seen) == write:
                raise Killed
            seen.append(what)

        self.outputs.before_write = self.ledger.before_write = before_write
        return seen

    @property
    def planner(self) -> Planner:
        clock = MovableClock()
        estimator = Estimator(FakeApi(clock), self.outputs, clock)
        return Planner(self.ledger, self.inputs, self.outputs, clock, estimator, price_sheet, self.tickets)  # type: ignore[arg-type]

    def retries(self, generation: int) -> list[Chunk]:
        return [c for c in self.ledger.planned.values() if c.generation == generation]

    def params(self, chunk: str) -> list[bytes]:
        """Return the params of a chunk's requests, as they are sent."""
        return [
            params_of(line)
            for line in self.outputs.files[f"runs/{self.run.run_id}/plan/{chunk}.jsonl"].splitlines(keepends=True)
        ]

    @property
    def state(self) -> Any:
        ledger = self.ledger
        began = ledger.generation, ledger.reserved_anew
        return self.outputs.files, ledger.planned, ledger.digests, ledger.finished, began


def test_a_kill_before_any_write_changes_nothing_about_the_plan(desk: Desk) -> None:
    run = desk.open(*MIXED, job=batches_of(2, JOB.replace("0.5", "1.0")))
    calm = World(run, desk.inputs)
    writes = calm.kill_before(None)
    assert calm.planner.plan(run, LATER)
    assert [chunk.rows for chunk in calm.ledger.chunks(run.run_id)] == [2, 2, 1]
    assert calm.ledger.finished is not None
    assert calm.ledger.finished.rows == 12

    for write in range(len(writes)):
        world = World(run, desk.inputs)
        world.kill_before(write)
        with pytest.raises(Killed):
            world.planner.plan(run, LATER)
        world.kill_before(None)
        assert world.planner.plan(run, LATER)
        assert world.state == calm.state, writes[write]


def test_a_plan_that_stands_there_with_other_content_is_a_conflict(desk: Desk) -> None:
    run = desk.open(numbered(1))
    desk.outputs.files[f"runs/{run.run_id}/plan/g0-000001.jsonl"] = b"{}\n"

    with pytest.raises(Conflict, match=r"plan/g0-000001\.jsonl was written before, with other content"):
        desk.plan(run)


@pytest.mark.parametrize("late", ["job.yaml", "plan/g0-000001.jsonl", "plan/g0-000001.ids", "rejects/g0-000001.jsonl"])
def test_a_planner_of_an_earlier_plan_that_lives_on_neither_breaks_nor_changes_the_new_one(
    desk: Desk, late: str
) -> None:
    run = desk.open(numbered(2) + "{}\n" + numbered(1, start=3), job=batches_of(3))
    home = f"runs/{run.run_id}"

    def replaced_meanwhile(key: str) -> None:
        if key == f"{home}/{late}":
            desk.outputs.before_write = lambda _key: None
            desk.ledger.hold(run.run_id, Hold(HoldCode.BY_HAND, "wrong prompt", START))
            desk.ledger.replan(desk.ledger.run(run.run_id), run.job, START)
            desk.ledger.release(desk.ledger.run(run.run_id), approve=None)
            desk.inputs.files["jobs/triage.yaml"] = batches_of(2).replace("Ticket", "Mended").encode()
            assert desk.plan(run)

    desk.outputs.before_write = replaced_meanwhile
    with pytest.raises(Conflict):
        desk.plan(run)

    assert f"{home}/{late}" in desk.outputs.files  # it came late, and is of the old plan
    assert desk.ledger.run(run.run_id).planned
    assert [(c.plan, c.rows) for c in desk.chunks(run)] == [(2, 2), (2, 1)]
    prompts = [line["params"]["messages"][0]["content"] for line in desk.lines(run, "plan-2/g0-000001.jsonl")]
    assert prompts == ["Mended: text 1", "Mended: text 2"]
    assert b"Mended" in desk.outputs.files[f"{home}/job-2.yaml"]
    assert [line["line"] for line in desk.lines(run, "rejects-2/g0-000001.jsonl")] == [3]


def put_aside(world: World, chunk: str, *rows: int, row_class: str = "expired") -> None:
    """Let collecting put rows of a chunk aside for the next generation, in two parts."""
    for offset, number in enumerate(rows, 10 if row_class == "invalid" else 0):
        name = custom_id(world.run.run_id, ChunkId(chunk), number)
        line = {"custom_id": name, "id": "?", "class": row_class, "reason": "why"}
        world.outputs.files[f"runs/{world.run.run_id}/retry/{chunk}-{offset:012d}.jsonl"] = jsonl(line).encode()


@pytest.mark.parametrize(("number", "folder"), [(1, "plan"), (2, "plan-2")])
def test_retries_are_the_same_requests_under_new_names(desk: Desk, number: int, folder: str) -> None:
    run = replace(desk.open(numbered(7), job=f"{batches_of(3)}betas: [a-2026-01-01]\n"), plan=number)
    world = World(run, desk.inputs)
    assert world.planner.plan(run, LATER)
    put_aside(world, "g0-000001", 1, 3)
    put_aside(world, "g0-000003", 1)
    home = f"runs/{run.run_id}/{folder}"
    old = {name: world.outputs.files[f"{home}/{name}.jsonl"].splitlines() for name in ("g0-000001", "g0-000003")}

    world.planner.plan_retries(run, LATER)

    new = world.outputs.files[f"{home}/g1-000001.jsonl"].splitlines()
    sent_before = [old["g0-000001"][0], old["g0-000001"][2], old["g0-000003"][0]]
    assert [line.split(b',"params":')[1] for line in new] == [line.split(b',"params":')[1] for line in sent_before]
    ids = [json.loads(line) for line in world.outputs.files[f"{home}/g1-000001.ids"].splitlines()]
    names = [custom_id(run.run_id, chunk_id(1, 1), row) for row in (1, 2, 3)]
    assert [(row["custom_id"], row["id"], row["line"]) for row in ids] == list(
        zip(names, ["1", "3", "7"], [1, 3, 7], strict=True)
    )
    assert [json.loads(line)["custom_id"] for line in new] == names
    assert world.ledger.generation == 1
    assert (world.ledger.planned["g1-000001"].rows, world.ledger.planned["g1-000001"].betas) == (3, "a-2026-01-01")


def test_rows_that_were_cut_off_get_more_tokens_in_chunks_of_their_own_and_the_others_what_they_had(
    desk: Desk,
) -> None:
    run = desk.open(numbered(6), job=batches_of(3, CUT_OFF))
    world = World(run, desk.inputs)
    assert world.planner.plan(run, LATER)
    put_aside(world, "g0-000001", 1)
    put_aside(world, "g0-000001", 2, 3, row_class="invalid")
    put_aside(world, "g0-000002", 1, 2, row_class="invalid")
    assert world.planner.plan_retries(run, LATER)

    assert [(c.id, c.rows, c.raised) for c in world.retries(1)] == [
        ("g1-000001", 1, False),
        ("g1-000002", 3, True),
        ("g1-000003", 1, True),
    ]
    first, second = world.params("g0-000001"), world.params("g0-000002")
    assert world.params("g1-000001") == first[:1]
    raised = [each.replace(b'"max_tokens":64', b'"max_tokens":96') for each in (*first[1:], *second[:2])]
    assert [*world.params("g1-000002"), *world.params("g1-000003")] == raised
    assert (world.ledger.generation, world.ledger.reserved_anew) == (1, True)

    # One of them was overloaded, and one of the others cut off: both get the larger one, once.
    put_aside(world, "g1-000001", 1, row_class="invalid")
    put_aside(world, "g1-000002", 2)
    assert world.planner.plan_retries(replace(run, generation=1), LATER)
    assert [(c.id, c.rows, c.raised) for c in world.retries(2)] == [("g2-000001", 2, True)]
    assert world.params("g2-000001") == [
        first[0].replace(b'"max_tokens":64', b'"max_tokens":96'),
        world.params("g1-000002")[1],
    ]


def test_where_none_was_cut_off_what_is_reserved_stays(desk: Desk) -> None:
    run = desk.open(numbered(3), job=CUT_OFF)
    world = World(run, desk.inputs)
    assert world.planner.plan(run, LATER)
    put_aside(world, "g0-000001", 1)
    assert world.planner.plan_retries(run, LATER)
    assert (world.ledger.generation, world.ledger.reserved_anew) == (1, False)


def test_a_planner_that_was_frozen_until_there_are_retries_lists_no_row_as_a_duplicate(desk: Desk) -> None:
    run = desk.open(numbered(3))
    frozen = desk.ledger.run(run.run_id)
    desk.plan(run)
    first = desk.chunks(run)[0]
    desk.ledger.plan_chunk(replace(first, id=chunk_id(1, 1), cursor=(0, 0)))
    desk.outputs.files[f"runs/{run.run_id}/plan/g1-000001.ids"] = desk.outputs.files[
        f"runs/{run.run_id}/plan/g0-000001.ids"
    ]

    desk.planner.plan(frozen, LATER)

    assert list(desk.outputs.keys(f"runs/{run.run_id}/rejects/")) == []


def test_a_generation_too_large_for_one_invocation_begins_when_the_last_of_them_has_planned_it(desk: Desk) -> None:
    run = desk.open(numbered(7), job=batches_of(2, CUT_OFF))

    def failed() -> World:
        world = World(run, desk.inputs)
        assert world.planner.plan(run, LATER)
        for chunk, rows in (("g0-000001", (1, 2)), ("g0-000002", (1,)), ("g0-000003", (1, 2)), ("g0-000004", (1,))):
            put_aside(world, chunk, *rows)
        put_aside(world, "g0-000002", 2, row_class="invalid")
        return world

    (calm := failed()).planner.plan_retries(run, LATER)
    world = failed()
    read: list[set[str]] = []
    done: list[tuple[bool, int, int]] = []
    opened = world.outputs.open

    def watch(key: str, start: int = 0, size: int | None = None) -> Any:
        read[-1].add(key.rsplit("/", 1)[-1])
        return opened(key, start, size)

    world.outputs.open = watch  # type: ignore[method-assign]
    while not done or not done[-1][0]:
        read.append(set())
        began = world.planner.plan_retries(run, START)  # no time: one chunk, and no more
        retries = sum(c.generation == 1 for c in world.ledger.planned.values())
        done.append((began, retries, world.ledger.generation))

    assert done == [(False, 1, 0), (False, 2, 0), (False, 3, 0), (True, 4, 1)]
    assert ["g0-000001.jsonl" in names for names in read] == [True, *[False] * 3]  # it goes on, not over it again
    assert world.state == calm.state


def test_a_kill_before_any_write_changes_nothing_about_the_retries(desk: Desk) -> None:
    run = desk.open(numbered(7), job=batches_of(2, CUT_OFF))

    def failed(write: int | None) -> tuple[World, list[str]]:
        world = World(run, desk.inputs)
        assert world.planner.plan(run, LATER)
        put_aside(world, "g0-000001", 1, 2)
        put_aside(world, "g0-000002", 1, 2, row_class="invalid")
        put_aside(world, "g0-000003", 2)
        put_aside(world, "g0-000004", 1, row_class="invalid")
        return world, world.kill_before(write)

    calm, writes = failed(None)
    calm.planner.plan_retries(run, LATER)
    assert [c.rows for c in calm.ledger.planned.values()] == [2, 2, 2, 1, 2, 1, 2, 1]

    for write in range(len(writes)):
        world, _ = failed(write)
        with pytest.raises(Killed):
            world.planner.plan_retries(run, LATER)
        world.kill_before(None)
        world.planner.plan_retries(run, LATER)
        assert world.state == calm.state, writes[write]


def test_the_sample_of_tickets_shows_each_usual_mistake_once() -> None:
    job = (ROOT / "jobs" / "ticket-triage.yaml").read_bytes()
    tickets = (ROOT / "samples" / "tickets.jsonl").read_bytes()
    key = "inbox/ticket-triage/tickets.jsonl"
    inputs = MemoryInputs({"jobs/ticket-triage.yaml": job, key: tickets})
    job_ref = JobRef("ticket-triage", "jobs/ticket-triage.yaml", "v1")
    world = World(Run(RunId("ticket-triage-20261122-abcdefgh"), job_ref, (inputs.pin(key),), START, "upload"), inputs)

    assert world.planner.plan(world.run, LATER)

    (chunk,) = world.ledger.planned.values()
    rejects = world.outputs.files[f"runs/{world.run.run_id}/rejects/g0-000001.jsonl"].splitlines()
    assert (chunk.rows, chunk.planned.rows) == (294, {RowClass.REJECTED: 3, RowClass.DUPLICATE: 1})
    assert [(line["line"], line["code"]) for line in map(json.loads, rejects)] == [
        (57, "BAD_JSON"),
        (121, "ID_CONFLICT"),
        (171, "EMPTY_BODY"),
        (216, "DUPLICATE_ROW"),
    ]
