"""An archive becomes output files and tickets, whatever interrupts it and how often."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift import applying, run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.applying import Applier
from nightshift.errors import Conflict, ResultsIncomplete, TicketsRefused
from nightshift.model import Archive, BatchId, Chunk, RowClass, Tally, Worker, chunk_id
from nightshift.ports import Written
from tests.unit import made
from tests.unit.conftest import MovableClock
from tests.unit.night import JOB, Night, ids, parsed
from tests.unit.result_lines import USAGE, canceled, errored, expired, labelled, succeeded

FIRST = chunk_id(0, 1)
ORDER = f"2026-11-22T02:00:00.000000+00:00|2026-11-22T02:00:00.000000+00:00|{made.RUN}|g0"


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def archived(night: Night, *lines: bytes, max_generations: int = 0, carry: Any = ()) -> tuple[Chunk, Worker]:
    """Begin the night with one chunk whose archive holds these lines, taken by a worker."""
    night.rows = len(lines)
    night.begin(max_generations=max_generations)
    if carry:
        night.plan(FIRST, carry=carry)
    worker = Worker("w1", night.deadline)
    taken = night.ledger.take(night.chunk(FIRST), worker, night.clock())
    assert taken is not None
    data = b"".join(lines)
    key = run_files.raw(made.RUN, FIRST, BatchId("msgbatch_01"))
    night.outputs.files[key] = data
    return night.ledger.archived(taken, worker, Archive(key, len(data), len(lines), "00")), worker


def apply(night: Night, chunk: Chunk, worker: Worker) -> Chunk:
    applier = Applier(night.ledger, night.outputs, night.tickets, night.clock, night.run(), parsed(night.job))
    return applier.apply(chunk, worker, stop_at=night.deadline)


def names(rows: int) -> list[str]:
    return ids(FIRST, rows)


class TestFiles:
    def test_each_row_is_in_one_file_with_what_belongs_there(self, night: Night) -> None:
        a, b, c, d = names(4)
        lines = (labelled(a), succeeded(b, "secret"), expired(c), canceled(d))
        chunk = apply(night, *archived(night, *lines, max_generations=1))
        assert night.lines("output") == [
            {"id": "g0-000001-000001", "class": "answered", "custom_id": a, "answer": "billing", "usage": USAGE}
        ]
        assert night.lines("failed") == [
            {"id": "g0-000001-000002", "class": "invalid", "custom_id": b, "reason": "not_json", "usage": USAGE},
            {"id": "g0-000001-000004", "class": "canceled", "custom_id": d, "reason": "canceled"},
        ]
        assert night.lines("retry") == [
            {"custom_id": c, "id": "g0-000001-000003", "class": "expired", "reason": "expired"}
        ]
        assert (chunk.tally.rows, chunk.tally.retryable) == (
            {RowClass.ANSWERED: 1, RowClass.INVALID: 1, RowClass.CANCELED: 1},
            1,
        )

    def test_in_the_last_generation_retryable_rows_are_failed(self, night: Night) -> None:
        (a, b) = names(2)
        chunk = apply(night, *archived(night, expired(a), errored(b), max_generations=0))
        assert [line["class"] for line in night.lines("failed")] == ["expired", "errored"]
        assert (night.lines("retry"), chunk.tally.retryable) == ([], 0)

    @pytest.mark.parametrize("raised", [False, True])
    def test_a_row_that_was_cut_off_is_put_aside_with_what_it_cost_and_one_that_is_again_has_failed(
        self, night: Night, *, raised: bool
    ) -> None:
        night.job = JOB + b"retry: {cut_off: 2}\n"
        (a, b) = names(2)
        chunk, worker = archived(night, succeeded(a, "x", stop_reason="max_tokens"), expired(b), max_generations=1)
        chunk = apply(night, replace(chunk, raised=raised), worker)
        cut = {"id": "g0-000001-000001", "class": "invalid", "custom_id": a, "reason": "stopped: max_tokens"}
        late = {"id": "g0-000001-000002", "class": "expired", "custom_id": b, "reason": "expired"}
        kept = [cut | {"usage": USAGE}, late]
        assert night.lines("retry") == (kept[1:] if raised else kept)
        assert night.lines("failed") == (kept[:1] if raised else [])
        assert (chunk.tally.retryable, chunk.tally.rows) == ((1, {RowClass.INVALID: 1}) if raised else (2, {}))
        assert chunk.tally.usage["output_tokens"] == USAGE["output_tokens"]

    def test_in_the_last_generation_a_row_that_was_cut_off_has_failed(self, night: Night) -> None:
        night.job = JOB + b"retry: {cut_off: 2}\n"
        (a,) = names(1)
        chunk = apply(night, *archived(night, succeeded(a, "x", stop_reason="max_tokens"), max_generations=0))
        assert [line["class"] for line in night.lines("failed")] == ["invalid"]
        assert chunk.tally.retryable == 0

    def test_carried_columns_come_with_every_digit(self, night: Night) -> None:
        ledger_carry = [{"n": 1}]
        chunk, worker = archived(night, labelled(names(1)[0]), carry=ledger_carry)
        key = run_files.ids(made.RUN, FIRST, 1)
        exact = b"1234567890.12345678901234567890"
        night.outputs.files[key] = night.outputs.files[key].replace(b'{"n": 1}', b'{"n": ' + exact + b"}")
        apply(night, chunk, worker)
        (output,) = [data for key, data in night.outputs.files.items() if "/output/" in key]
        assert b'"carry":{"n": ' + exact + b"}" in output

    def test_a_file_is_named_for_the_archives_byte_that_its_block_starts_at(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(applying, "LINES", 2)
        lines = [labelled(name) for name in names(5)]
        apply(night, *archived(night, *lines))
        starts = [0, len(lines[0] + lines[1]), len(b"".join(lines[:4]))]
        assert list(night.outputs.keys(f"runs/{made.RUN}/output/")) == [
            f"runs/{made.RUN}/output/{FIRST}-{start:012d}.jsonl" for start in starts
        ]

    def test_long_answers_end_a_block_early(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(applying, "BLOCK", 100)
        apply(night, *archived(night, *[labelled(name) for name in names(3)]))
        assert len(list(night.outputs.keys(f"runs/{made.RUN}/output/"))) == 3

    def test_an_archive_that_is_shorter_than_recorded_is_not_taken_for_done(self, night: Night) -> None:
        chunk, worker = archived(night, labelled(names(1)[0]))
        assert chunk.archive is not None
        longer = replace(chunk, archive=replace(chunk.archive, size=chunk.archive.size + 1))
        with pytest.raises(ResultsIncomplete, match="ends at byte"):
            apply(night, longer, worker)


class TestTickets:
    def test_only_answers_touch_tickets(self, night: Night) -> None:
        a, b, c = names(3)
        chunk = apply(night, *archived(night, labelled(a, "technical"), succeeded(b, "no"), expired(c)))
        assert night.tickets.items == {
            "g0-000001-000001": {
                "ticket_id": "g0-000001-000001",
                "category": "technical",
                "nightshift_run": made.RUN,
                "nightshift_row": "d1",
                "nightshift_at": "2026-11-22T02:00:00.000000+00:00",
                "nightshift_order": ORDER,
            }
        }
        assert (chunk.tally.tickets_written, chunk.tally.tickets_unchanged) == (1, 0)

    def test_a_job_without_a_table_touches_none(self, night: Night) -> None:
        night.job = JOB.replace(b"{key: ticket_id, attribute: category}", b"none")
        apply(night, *archived(night, labelled(names(1)[0])))
        assert (night.tickets.items, len(night.lines("output"))) == ({}, 1)

    def test_a_newer_answer_stays_and_is_counted(self, night: Night) -> None:
        newer = {"category": "newer", "nightshift_order": "2027"}
        night.tickets.items["g0-000001-000001"] = dict(newer)
        chunk = apply(night, *archived(night, *[labelled(name) for name in names(2)]))
        assert night.tickets.items["g0-000001-000001"] == newer
        assert (chunk.tally.tickets_written, chunk.tally.tickets_unchanged) == (1, 1)

    def test_a_long_answer_stays_in_s3_with_a_pointer_on_the_ticket(self, night: Night) -> None:
        night.job = JOB.replace(b"labels: [billing, technical]", b"text: true")
        a, b = names(2)
        text = "é" * 40_000
        apply(night, *archived(night, succeeded(a, text), succeeded(b, "short")))
        size = len(json.dumps(text, ensure_ascii=False).encode())
        address = f"s3://outputs/runs/{made.RUN}/output/{FIRST}-000000000000.jsonl"
        assert [item["category"] for item in night.tickets.items.values()] == [
            {"s3": address, "custom_id": a, "bytes": size},
            "short",
        ]
        assert [line["answer"] for line in night.lines("output")] == [text, "short"]


class TestProperties:
    """Several attributes of one answer."""

    JOB = b"""\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output:
  schema:
    type: object
    properties: {score: {type: number}, tags: {type: array, items: {type: string}}, sure: {type: boolean}}
    required: [score]
    additionalProperties: false
  table: {key: ticket_id, attributes: {points: score, about: tags, certain: sure}}
"""

    def ticket(self, night: Night, answer: dict[str, Any], job: bytes = JOB) -> dict[str, Any]:
        night.job = job
        apply(night, *archived(night, succeeded(names(1)[0], json.dumps(answer))))
        ((ticket),) = night.tickets.items.values()
        return {name: value for name, value in ticket.items() if not name.startswith(("nightshift_", "ticket_id"))}

    def test_each_attribute_gets_its_property_as_what_it_is(self, night: Night) -> None:
        answer = {"score": 0.5, "tags": ["a", "b"], "sure": True}
        assert self.ticket(night, answer) == {"points": 0.5, "about": ["a", "b"], "certain": True}

    def test_a_property_that_is_not_there_takes_the_place_of_an_older_one(self, night: Night) -> None:
        night.tickets.items["g0-000001-000001"] = {"ticket_id": "g0-000001-000001", "certain": True, "theirs": 1}
        assert self.ticket(night, {"score": 1}) == {"points": 1, "about": None, "certain": None, "theirs": 1}

    def test_the_whole_may_stand_beside_its_parts(self, night: Night) -> None:
        job = self.JOB.replace(b"attributes:", b"attribute: all, attributes:").replace(
            b", about: tags, certain: sure", b""
        )
        assert self.ticket(night, {"score": 1}, job) == {"all": {"score": 1}, "points": 1}

    def test_a_long_property_stays_in_s3_and_the_short_ones_do_not(self, night: Night) -> None:
        answer = {"score": 1, "tags": ["x" * applying.INLINE], "sure": False}
        assert self.ticket(night, answer) == {
            "points": 1,
            "about": {
                "s3": f"s3://outputs/runs/{made.RUN}/output/{FIRST}-000000000000.jsonl",
                "custom_id": names(1)[0],
                "bytes": len(json.dumps(answer, separators=(",", ":"))),
            },
            "certain": False,
        }


class TestRefusedTickets:
    REASON = "Item size has exceeded the maximum allowed size"
    LINE = {"id": "g0-000001-000002", "custom_id": names(2)[1], "reason": REASON}  # noqa: RUF012 - nobody changes it

    def test_a_ticket_that_is_refused_costs_its_row_the_ticket_and_nothing_else(self, night: Night) -> None:
        night.tickets.refuse = {"g0-000001-000002": self.REASON}
        chunk = apply(night, *archived(night, *[labelled(name) for name in names(3)]))
        assert chunk.archive is not None
        assert (chunk.applied, chunk.tally.rows) == (chunk.archive.size, {RowClass.ANSWERED: 3})
        tally = chunk.tally
        assert (tally.tickets_written, tally.tickets_unchanged, tally.tickets_refused) == (2, 0, 1)
        assert (len(night.lines("output")), list(night.tickets.items)) == (3, ["g0-000001-000001", "g0-000001-000003"])
        assert night.lines("refused") == [self.LINE]

    def test_the_list_of_refused_tickets_is_named_for_its_block(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(applying, "LINES", 1)
        night.tickets.refuse = {"g0-000001-000002": self.REASON}
        lines = [labelled(name) for name in names(3)]
        apply(night, *archived(night, *lines))
        assert list(night.outputs.keys(f"runs/{made.RUN}/refused/")) == [
            f"runs/{made.RUN}/refused/{FIRST}-{len(lines[0]):012d}.jsonl"
        ]

    def test_a_night_without_refusals_lists_none(self, night: Night) -> None:
        apply(night, *archived(night, labelled(names(1)[0])))
        assert list(night.outputs.keys(f"runs/{made.RUN}/refused/")) == []

    @pytest.mark.parametrize("refused", [["g0-000001-000002"], []], ids=["still refused", "taken by now"])
    def test_after_a_crash_the_list_says_what_the_count_says(
        self, night: Night, monkeypatch: pytest.MonkeyPatch, refused: list[str]
    ) -> None:
        chunk, worker = archived(night, *[labelled(name) for name in names(3)])
        night.tickets.refuse = {"g0-000001-000002": self.REASON}
        with monkeypatch.context() as patch:
            patch.setattr(night.ledger, "applied", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                apply(night, chunk, worker)
        assert night.lines("refused") == [self.LINE]
        night.tickets.refuse = dict.fromkeys(refused, self.REASON)
        finished = apply(night, night.chunk(FIRST), worker)
        assert [line["id"] for line in night.lines("refused")] == refused
        assert finished.tally.tickets_refused == len(refused)

    @pytest.mark.parametrize(("rows", "fails"), [(applying.FEW, False), (applying.FEW + 1, True)])
    def test_a_table_that_takes_no_ticket_of_more_than_a_few_fails_the_block(
        self, night: Night, *, rows: int, fails: bool
    ) -> None:
        night.tickets.refuse = {name[9:]: self.REASON for name in names(rows)}
        chunk, worker = archived(night, *[labelled(name) for name in names(rows)])
        if not fails:
            assert apply(night, chunk, worker).tally.tickets_refused == rows
            return
        with pytest.raises(TicketsRefused) as error:
            apply(night, chunk, worker)
        assert str(error.value) == f"the table refuses all {rows} tickets of a block; the first: {self.REASON}"
        assert (night.chunk(FIRST).applied, night.lines("refused")) == (0, [])

    @pytest.mark.parametrize("order", ["2025", "2027"], ids=["written", "unchanged"])
    def test_one_ticket_that_is_taken_beside_them_shows_that_the_table_is_right(self, night: Night, order: str) -> None:
        rows = applying.FEW + 2
        night.tickets.refuse = {name[9:]: self.REASON for name in names(rows)[1:]}
        night.tickets.items["g0-000001-000001"] = {"nightshift_order": order}
        chunk = apply(night, *archived(night, *[labelled(name) for name in names(rows)]))
        assert (chunk.tally.tickets_refused, len(night.lines("refused"))) == (rows - 1, rows - 1)


class TestInterruptions:
    def test_it_stops_at_a_checkpoint_when_time_is_up_and_goes_on_from_there(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(applying, "LINES", 2)
        chunk, worker = archived(night, *[labelled(name) for name in names(5)])
        write = night.tickets.write

        def slow(*args: Any, **more: Any) -> Written:
            night.clock.move(minutes=8)
            return write(*args, **more)

        monkeypatch.setattr(night.tickets, "write", slow)
        applier = Applier(night.ledger, night.outputs, night.tickets, night.clock, night.run(), parsed())
        stopped = applier.apply(chunk, worker, stop_at=night.clock() + timedelta(minutes=10))
        assert stopped.archive is not None
        assert 0 < stopped.applied < stopped.archive.size
        assert stopped.tally.rows == {RowClass.ANSWERED: 4}
        finished = applier.apply(stopped, worker, stop_at=night.clock() + timedelta(minutes=10))
        assert (finished.applied, finished.tally.rows) == (stopped.archive.size, {RowClass.ANSWERED: 5})

    def test_a_crash_at_any_write_changes_nothing_in_the_end(
        self, ledger: DynamoLedger, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(applying, "LINES", 2)
        a, b, c, d, e = names(5)
        lines = (labelled(a), expired(b), succeeded(c, "x"), labelled(d), canceled(e))
        night = Night(ledger, clock)
        chunk, worker = archived(night, *lines, max_generations=1)
        crashes = 0

        class Crash(BaseException):
            pass

        def crash_once_each(key: str, seen: set[str] = set()) -> None:  # noqa: B006 - keeps what has crashed
            if key not in seen:
                seen.add(key)
                raise Crash

        night.outputs.before_write = crash_once_each
        write = night.tickets.write
        broken = iter([True, False, True, False] + [False] * 20)

        def crash_after(*args: Any, **more: Any) -> Written:
            done = write(*args, **more)
            if next(broken):
                raise Crash
            return done

        monkeypatch.setattr(night.tickets, "write", crash_after)
        finished = night.chunk(FIRST)
        for _ in range(20):
            try:
                finished = apply(night, night.chunk(FIRST), worker)
                break
            except Crash:
                crashes += 1
        assert crashes == 7  # five objects, two ticket calls
        expected = Tally(
            rows={RowClass.ANSWERED: 2, RowClass.INVALID: 1, RowClass.CANCELED: 1},
            usage={name: 3 * count for name, count in FLAT_USAGE.items()},
            service_tiers={"batch": 3},
            reasons={"not_json": 1, "canceled": 1},
            labels={"billing": 2},
            retryable=1,
            tickets_written=finished.tally.tickets_written,
            tickets_unchanged=2 - finished.tally.tickets_written,
        )
        assert finished.tally == expected
        assert [len(night.lines(folder)) for folder in ("output", "failed", "retry")] == [2, 2, 1]
        assert len(night.tickets.items) == 2
        assert chunk.applied == 0

    def test_a_block_whose_tickets_are_refused_is_not_checkpointed(self, night: Night) -> None:
        night.tickets.fail = [TicketsRefused("table t refuses 1")]
        chunk, worker = archived(night, labelled(names(1)[0]))
        with pytest.raises(TicketsRefused):
            apply(night, chunk, worker)
        assert night.chunk(FIRST).applied == 0

    def test_a_worker_that_lost_its_chunk_moves_nothing(self, night: Night) -> None:
        chunk, worker = archived(night, labelled(names(1)[0]))
        night.clock.move(minutes=16)
        assert night.ledger.take(chunk, Worker("w2", night.deadline), night.clock()) is not None
        with pytest.raises(Conflict):
            apply(night, chunk, worker)
        assert night.chunk(FIRST).applied == 0

    def test_a_chunk_without_an_archive_is_a_conflict(self, night: Night) -> None:
        night.begin()
        with pytest.raises(Conflict, match="has no archive"):
            apply(night, night.chunk(FIRST), Worker("w1", night.deadline))


FLAT_USAGE = {
    "input_tokens": 16,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 3,
    "ephemeral_5m_input_tokens": 2,
    "ephemeral_1h_input_tokens": 5,
    "output_tokens": 5,
}
