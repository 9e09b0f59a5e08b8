"""Batches that ended otherwise than hoped, and results nobody expects, through all of collecting."""

import json
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import ChunkState, RowClass, RunState, Tally, chunk_id
from nightshift.report import Reporter
from tests.unit import made
from tests.unit.conftest import MovableClock
from tests.unit.night import Night, ids
from tests.unit.result_lines import canceled, errored, expired, labelled, line

FIRST = chunk_id(0, 1)
A, B, C = ids(FIRST, 3)
COLLECTED = {"collected": 1, "rows": 3}
ERROR_LINE = b'{"type":"error","error":{"type":"api_error","message":"secret"},"request_id":"req_1"}\n'


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def collect(night: Night, *lines: bytes, max_generations: int = 1, **counts: int) -> Tally:
    """Collect one chunk of three rows whose batch ended with these lines and counts; returns its tally."""
    night.counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0} | counts
    night.begin(max_generations=max_generations)
    night.answer(1, *lines)
    assert night.collect() == COLLECTED
    chunk = night.chunk(FIRST)
    assert (chunk.state, chunk.request_counts) == (ChunkState.COLLECTED, night.counts)
    return chunk.tally


def classes(night: Night, folder: str) -> dict[str, str]:
    """Return custom_id → class of a folder's lines, each of which is there once."""
    lines = night.lines(folder)
    found = {each["custom_id"]: each["class"] for each in lines}
    assert len(found) == len(lines)
    return found


def files(night: Night) -> dict[str, dict[str, str]]:
    return {folder: found for folder in ("output", "failed", "retry") if (found := classes(night, folder))}


def report(night: Night) -> Any:
    Reporter(night.ledger, night.outputs, night.clock).report(made.RUN)
    return json.loads(night.outputs.files[f"runs/{made.RUN}/report.json"])


class TestEnds:
    def test_a_canceled_batch_gives_the_answers_it_has_and_asks_for_no_row_again(self, night: Night) -> None:
        tally = collect(night, canceled(A), labelled(B), canceled(C), succeeded=1, canceled=2)
        assert files(night) == {"output": {B: "answered"}, "failed": {A: "canceled", C: "canceled"}}
        assert (tally.rows, tally.retryable) == ({RowClass.ANSWERED: 1, RowClass.CANCELED: 2}, 0)
        assert list(night.tickets.items) == [B[9:]]
        assert report(night)["state"] == "done"

    def test_a_batch_canceled_before_its_first_row_ends_with_no_answer(self, night: Night) -> None:
        tally = collect(night, canceled(A), canceled(B), canceled(C), canceled=3)
        assert files(night) == {"failed": dict.fromkeys((A, B, C), "canceled")}
        assert (tally, night.tickets.items) == (Tally(rows={RowClass.CANCELED: 3}, reasons={"canceled": 3}), {})
        assert night.chunk(FIRST).failures == 0

    def test_an_expired_batch_is_asked_again_as_a_whole(self, night: Night) -> None:
        tally = collect(night, expired(A), expired(B), expired(C), expired=3)
        assert files(night) == {"retry": dict.fromkeys((A, B, C), "expired")}
        assert (tally, night.tickets.items) == (Tally(retryable=3), {})
        assert (report(night)["state"], report(night)["waiting"]) == ("open", 3)

    def test_an_expired_batch_of_the_last_generation_fails_as_a_whole(self, night: Night) -> None:
        tally = collect(night, expired(A), expired(B), expired(C), max_generations=0, expired=3)
        assert files(night) == {"failed": dict.fromkeys((A, B, C), "expired")}
        assert tally == Tally(rows={RowClass.EXPIRED: 3}, reasons={"expired": 3})
        assert (report(night)["state"], night.run().state) == ("done", RunState.DONE)

    def test_of_a_batch_of_errors_those_that_may_pass_are_asked_again(self, night: Night) -> None:
        tally = collect(
            night, errored(A), errored(B, "invalid_request_error", "no"), errored(C, "api_error"), errored=3
        )
        assert files(night) == {"failed": {B: "errored"}, "retry": {A: "errored", C: "errored"}}
        assert (tally.rows, tally.retryable, night.tickets.items) == ({RowClass.ERRORED: 1}, 2, {})

    def test_a_type_of_result_that_nobody_knows_costs_its_row_and_is_named(self, night: Night) -> None:
        tally = collect(night, labelled(A), line(B, {"type": "paused", "message": {"secret": 1}}), labelled(C))
        assert files(night) == {"output": {A: "answered", C: "answered"}, "failed": {B: "errored"}}
        assert [each["reason"] for each in night.lines("failed")] == ["unknown_type: paused"]
        assert (tally.rows, tally.retryable) == ({RowClass.ANSWERED: 2, RowClass.ERRORED: 1}, 0)
        assert len(night.tickets.items) == 2

    def test_counts_of_zero_do_not_matter_where_the_results_are_there(self, night: Night) -> None:
        assert collect(night, labelled(A), labelled(B), labelled(C)).rows == {RowClass.ANSWERED: 3}


class TestSettled:
    @pytest.mark.parametrize("succeeded", [0, 3])
    def test_an_ended_batch_without_a_single_result_loses_its_rows_at_the_third_reading(
        self, night: Night, succeeded: int
    ) -> None:
        night.counts = {"processing": 0, "succeeded": succeeded}
        assert read_thrice(night) == [{"failed": 1}, {"failed": 1}, COLLECTED]
        assert files(night) == {"failed": dict.fromkeys((A, B, C), "missing")}
        assert night.chunk(FIRST).tally == Tally(rows={RowClass.MISSING: 3}, reasons={"not in the results": 3})
        assert (night.tickets.items, report(night)["state"]) == ({}, "done")

    def test_strange_lines_cost_no_row_and_are_reported(self, night: Night) -> None:
        lines = (ERROR_LINE, labelled(A), labelled(B), b"<html>\n", labelled(C), labelled(A, "technical"))
        assert read_thrice(night, *lines) == [{"failed": 1}, {"failed": 1}, COLLECTED | {"strange": 3}]
        assert files(night) == {"output": dict.fromkeys((A, B, C), "answered")}
        assert night.tickets.items[A[9:]]["category"] == "billing"
        aside = f"runs/{made.RUN}/raw/{FIRST}-msgbatch_01.strange.jsonl"
        assert night.outputs.files[aside] == ERROR_LINE + b"<html>\n" + labelled(A, "technical")
        written = report(night)
        assert (written["state"], written["strange"], written["batches"][0]["strange"]) == ("done", 3, 3)
        assert written["files"]["raw"] == [f"s3://outputs/{key}" for key in night.outputs.keys(f"runs/{made.RUN}/raw/")]

    def test_a_row_whose_only_line_is_broken_is_missing_and_not_asked_again(self, night: Night) -> None:
        lines = (labelled(A), labelled(B)[:-20] + b"\n", expired(C))
        assert read_thrice(night, *lines) == [{"failed": 1}, {"failed": 1}, COLLECTED | {"strange": 1}]
        assert files(night) == {"output": {A: "answered"}, "failed": {B: "missing"}, "retry": {C: "expired"}}

    def test_results_that_get_well_cost_nothing(self, night: Night) -> None:
        night.begin()
        night.answer(1, labelled(A), ERROR_LINE)
        for _ in range(2):
            night.collect()
            night.clock.move(hours=1)
        night.answer(1, labelled(A), labelled(B), labelled(C))
        assert night.collect() == COLLECTED
        assert files(night) == {"output": dict.fromkeys((A, B, C), "answered")}

    def test_no_error_of_a_chunk_quotes_a_line(self, night: Night) -> None:
        night.begin()
        night.answer(1, labelled(A), ERROR_LINE, b"secret\n")
        night.collect()
        assert "2 of 3 rows are not in it, 2 lines are strange" in night.chunk(FIRST).error
        assert "secret" not in night.chunk(FIRST).error

    def test_what_was_settled_stays_settled_where_the_worker_dies_behind_its_archive(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin()
        night.answer(1, labelled(A), labelled(B), ERROR_LINE)
        for _ in range(2):
            night.collect()
            night.clock.move(hours=1)
        with monkeypatch.context() as patch:
            patch.setattr(night.ledger, "archived", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                night.collect()
        night.clock.move(hours=1)
        assert night.collect() == COLLECTED | {"strange": 1}
        assert files(night) == {"output": {A: "answered", B: "answered"}, "failed": {C: "missing"}}


def read_thrice(night: Night, *lines: bytes) -> list[dict[str, int]]:
    """Begin the night with these results, and read them three times, an hour apart."""
    night.begin(max_generations=1)
    night.answer(1, *lines)
    counts = []
    for _ in range(3):
        counts.append(night.collect())
        night.clock.move(hours=1)
    return counts


def test_a_refused_ticket_is_in_the_log_line_and_in_the_report(night: Night) -> None:
    night.tickets.refuse = {B[9:]: "Item size has exceeded the maximum allowed size"}
    night.begin()
    night.answer(1, labelled(A), labelled(B), labelled(C))
    assert night.collect() == COLLECTED | {"tickets_refused": 1}
    written = report(night)
    assert (written["state"], written["counts"]["answered"]) == ("done", 3)
    assert written["tickets"] == {"written": 2, "unchanged": 0, "refused": 1}
    assert written["files"]["refused"] == [f"s3://outputs/runs/{made.RUN}/refused/{FIRST}-000000000000.jsonl"]
