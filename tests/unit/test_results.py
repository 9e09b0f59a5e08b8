"""Collecting: ended batches become archives, files and tickets, and no chunk's trouble is another's."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift import results
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import (
    Ambiguous,
    Conflict,
    NoMoney,
    NotAccepted,
    Redirected,
    Rejected,
    TicketsRefused,
    Unauthorized,
)
from nightshift.model import BatchId, ChunkId, ChunkState, Claim, Intent, RowClass, Worker, chunk_id
from nightshift.ports import Written
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.night import Night, ids
from tests.unit.result_lines import expired, labelled

FIRST, SECOND = chunk_id(0, 1), chunk_id(0, 2)


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def answered(chunk: ChunkId, rows: int = 3) -> list[bytes]:
    return [labelled(name) for name in ids(chunk, rows)]


class TestCollecting:
    def test_every_ended_chunk_is_collected(self, night: Night) -> None:
        night.begin(chunks=2)
        night.answer(1, *answered(FIRST))
        night.answer(2, *answered(SECOND))
        assert night.collect() == {"collected": 2, "rows": 6}
        assert [(c.state, c.tally.rows, c.worker) for c in night.ledger.chunks(made.RUN)] == [
            (ChunkState.COLLECTED, {RowClass.ANSWERED: 3}, None)
        ] * 2
        assert (len(night.lines("output")), len(night.tickets.items)) == (6, 6)

    def test_a_run_that_was_planned_anew_is_collected_by_the_files_of_that_plan(self, night: Night) -> None:
        night.begin(plan=2)
        night.answer(1, *answered(FIRST))
        assert night.collect() == {"collected": 1, "rows": 3}

    def test_a_collected_chunk_says_when_its_last_row_was_applied(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        night.clock.move(minutes=7)
        night.collect()
        assert night.chunk(FIRST).collected_at == START + timedelta(minutes=7)

    def test_collecting_again_finds_nothing_to_do(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        night.collect()
        before = dict(night.outputs.files)
        assert night.collect() == {}
        assert night.outputs.files == before

    def test_chunks_that_are_not_sent_are_left_alone(self, night: Night) -> None:
        night.begin(chunks=2, sent=1)
        night.answer(1, *answered(FIRST))
        assert night.collect() == {"collected": 1, "rows": 3}
        assert night.chunk(SECOND).state is ChunkState.PLANNED

    def test_workers_begin_at_different_chunks(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        night.begin(chunks=3)
        for number in (1, 2, 3):
            night.answer(number, *answered(chunk_id(0, number)))
        taken: list[str] = []
        take = night.ledger.take

        def watch(chunk: Any, *args: Any) -> Any:
            taken.append(chunk.id)
            return take(chunk, *args)

        monkeypatch.setattr(night.ledger, "take", watch)
        night.collect(worker_no=2)
        assert taken[0] == SECOND
        assert sorted(taken) == [FIRST, SECOND, chunk_id(0, 3)]

    def test_a_chunk_that_another_worker_has_is_left_to_it_until_its_time_is_over(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        night.ledger.take(night.chunk(FIRST), Worker("other", night.deadline), night.clock())
        assert night.collect() == {}
        night.clock.move(minutes=16)
        assert night.collect() == {"collected": 1, "rows": 3}

    def test_a_worker_that_died_after_archiving_is_followed_from_the_archive(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        night.tickets.fail = [KeyboardInterrupt()]  # type: ignore[list-item]
        with pytest.raises(KeyboardInterrupt):
            night.collect()
        night.api.lines.clear()
        night.clock.move(minutes=16)
        assert night.collect() == {"collected": 1, "rows": 3}

    def test_retryable_rows_wait_for_the_next_generation(self, night: Night) -> None:
        night.begin(max_generations=1)
        night.answer(1, *answered(FIRST)[:2], expired(ids(FIRST, 3)[2]))
        night.collect()
        assert (night.chunk(FIRST).tally.retryable, len(night.lines("retry"))) == (1, 1)


class TestTime:
    def test_nothing_is_taken_near_the_deadline(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        monkeypatch.setattr(results, "MARGIN", timedelta(minutes=15))
        assert night.collect() == {}
        assert night.chunk(FIRST).worker is None

    @pytest.mark.parametrize("state", [ChunkState.ENDED, ChunkState.ARCHIVED])
    def test_a_chunk_whose_time_is_up_is_given_back_without_a_failure(
        self, night: Night, monkeypatch: pytest.MonkeyPatch, state: ChunkState
    ) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        if state is ChunkState.ENDED:
            slow(night, monkeypatch, night.api, "batch")
        else:
            slow(night, monkeypatch, night.ledger, "archived")
        assert night.collect() == {"unfinished": 1}
        chunk = night.chunk(FIRST)
        assert (chunk.state, chunk.worker, chunk.failures, chunk.not_before) == (state, None, 0, None)
        monkeypatch.undo()
        assert night.collect() == {"collected": 1, "rows": 3}


def slow(night: Night, monkeypatch: pytest.MonkeyPatch, thing: Any, name: str) -> None:
    """Let a call take nearly all of an invocation's time."""
    call = getattr(thing, name)

    def called(*args: Any) -> Any:
        night.clock.move(minutes=14, seconds=45)
        return call(*args)

    monkeypatch.setattr(thing, name, called)


class TestFailures:
    def test_an_incomplete_stream_keeps_its_chunk_back_and_the_others_go_on(self, night: Night) -> None:
        night.begin(chunks=2)
        night.answer(1, *answered(FIRST)[:2])
        night.answer(2, *answered(SECOND))
        assert night.collect() == {"failed": 1, "collected": 1, "rows": 3}
        chunk = night.chunk(FIRST)
        assert (chunk.state, chunk.failures, chunk.worker) == (ChunkState.ENDED, 1, None)
        assert chunk.not_before == START + timedelta(minutes=1)
        assert chunk.error.startswith(f"ResultsIncomplete: results of {chunk.batch_id}: 1 of 3 rows are not in it")

    def test_a_chunk_that_keeps_failing_waits_longer_each_time_up_to_an_hour(self, night: Night) -> None:
        night.begin()
        pauses = []
        for turn in range(8):
            night.answer(1, answered(FIRST)[turn % 3])  # another row each time
            night.collect()
            not_before = night.chunk(FIRST).not_before
            assert not_before is not None
            pauses.append((not_before - night.clock()).total_seconds() / 60)
            night.clock.moment = not_before
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
        night.answer(1, *answered(FIRST))
        assert night.collect() == {"collected": 1, "rows": 3}

    def test_the_reading_that_gives_rows_up_comes_an_hour_after_the_one_before(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(FIRST)[:2])
        pauses = []
        for _ in range(2):
            night.collect()
            not_before = night.chunk(FIRST).not_before
            assert not_before is not None
            pauses.append((not_before - night.clock()).total_seconds() / 60)
            night.clock.moment = not_before
        assert pauses == [1, 60]
        assert night.collect() == {"collected": 1, "rows": 3}

    def test_a_chunk_is_tried_once_by_an_invocation(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        night.begin(chunks=2)
        night.answer(2, *answered(SECOND))
        write = night.tickets.write

        def slow_write(*args: Any, **more: Any) -> Written:
            night.clock.move(minutes=5)  # longer than the first chunk is kept back
            return write(*args, **more)

        monkeypatch.setattr(night.tickets, "write", slow_write)
        assert night.collect() == {"failed": 1, "collected": 1, "rows": 3}

    def test_an_api_that_says_when_to_come_back_is_obeyed(self, night: Night) -> None:
        night.begin()
        night.api.down = NotAccepted("busy", retry_after=600)
        assert night.collect() == {"failed": 1}
        assert night.chunk(FIRST).not_before == START + timedelta(minutes=10)

    @pytest.mark.parametrize(
        "error",
        [
            Ambiguous("dropped"),
            Unauthorized("HTTP 401", status=401),
            NoMoney("HTTP 402", status=402),
            Rejected("HTTP 404", status=404),
            Redirected("said to be on another host"),
            TicketsRefused("table t refuses 1"),
        ],
    )
    def test_what_goes_wrong_is_written_on_the_chunk(self, night: Night, error: Any) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        if isinstance(error, TicketsRefused):
            night.tickets.fail = [error]
        else:
            night.api.down = error
        assert night.collect() == {"failed": 1}
        chunk = night.chunk(FIRST)
        assert (chunk.error, chunk.failures) == (f"{type(error).__name__}: {error}", 1)
        assert chunk.not_before == START + timedelta(minutes=1)
        assert night.run().hold is None

    def test_a_surprise_is_raised_after_the_other_chunks_had_their_turn_and_its_text_stays_out_of_the_ledger(
        self, night: Night
    ) -> None:
        night.begin(chunks=2)
        night.answer(1, *answered(FIRST))
        night.answer(2, *answered(SECOND))
        night.tickets.fail = [RuntimeError("secret ticket text")]
        with pytest.raises(RuntimeError):
            night.collect()
        failed, collected = night.chunk(FIRST), night.chunk(SECOND)
        assert (failed.failures, failed.worker, collected.state) == (1, None, ChunkState.COLLECTED)
        assert failed.error == "RuntimeError: unexpected; see the log of the results function"

    def test_a_chunk_lost_to_another_worker_is_left_to_it(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        night.begin()
        night.answer(1, *answered(FIRST))
        archived = night.ledger.archived

        def steal(*args: Any) -> Any:
            night.clock.move(minutes=16)
            night.ledger.take(night.chunk(FIRST), Worker("thief", night.deadline), night.clock())
            return archived(*args)

        monkeypatch.setattr(night.ledger, "archived", steal)
        assert night.collect() == {"lost": 1}
        chunk = night.chunk(FIRST)
        assert (chunk.worker and chunk.worker.id, chunk.failures) == ("thief", 0)


class TestMissingRows:
    @pytest.mark.parametrize("there", [2, 0])
    def test_rows_that_the_api_lost_end_as_missing_after_three_readings(self, night: Night, there: int) -> None:
        night.begin(max_generations=1)
        night.answer(1, *answered(FIRST)[:there])
        for counts in ({"failed": 1}, {"failed": 1}, {"collected": 1, "rows": 3}):
            assert night.collect() == counts
            night.clock.move(hours=1)
        expected = {RowClass.ANSWERED: there, RowClass.MISSING: 3 - there}
        assert night.chunk(FIRST).tally.rows == {name: rows for name, rows in expected.items() if rows}
        assert night.lines("failed") == [
            {"id": name[9:], "class": "missing", "custom_id": name, "reason": "not in the results"}
            for name in ids(FIRST, 3)[there:]
        ]

    def test_missing_rows_are_counted_once_whatever_crashes(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin()
        night.answer(1, *answered(FIRST)[:2])
        collected = night.ledger.collected
        crashes = [KeyboardInterrupt(), KeyboardInterrupt()]

        def crash(*args: Any) -> None:
            if crashes:
                raise crashes.pop()
            collected(*args)

        monkeypatch.setattr(night.ledger, "collected", crash)
        for _ in range(2):
            night.collect()
            night.clock.move(hours=1)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                night.collect()
            night.clock.move(hours=1)
        assert night.collect() == {"collected": 1, "rows": 3}
        assert night.chunk(FIRST).tally.rows == {RowClass.ANSWERED: 2, RowClass.MISSING: 1}


class TestForeignBatches:
    def test_a_foreign_batch_is_disowned_and_its_chunk_goes_back_to_reconciliation(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered(SECOND))
        assert night.collect() == {"failed": 1}
        chunk, intent = night.chunk(FIRST), night.ledger.intent()
        assert (chunk.state, chunk.batch_id, chunk.worker) == (ChunkState.SENDING, None, None)
        assert intent is not None
        assert intent == Intent(
            made.RUN,
            FIRST,
            attempt=1,
            rows=3,
            owner=intent.owner,
            created=START - timedelta(minutes=30),
            deadline=START + timedelta(minutes=15),
            excluded=(BatchId("msgbatch_01"),),
        )
        assert night.ledger.claims([BatchId("msgbatch_01")]) == {"msgbatch_01": Claim(made.RUN, FIRST, foreign=True)}

    def test_while_another_create_is_unresolved_the_chunk_is_kept_back(self, night: Night) -> None:
        night.begin(chunks=2, sent=1)
        night.answer(1, *answered(SECOND))
        standing = replace(made.intent(2), rows=3)
        night.ledger.start_send(night.chunk(SECOND), standing)
        assert night.collect() == {"failed": 1}
        chunk = night.chunk(FIRST)
        assert (chunk.state, chunk.failures, chunk.worker) == (ChunkState.ENDED, 1, None)
        assert night.ledger.intent() == standing


def test_a_conflict_over_the_archive_is_tried_again_later(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.begin()
    night.answer(1, *answered(FIRST))

    def refuse(_key: str) -> None:
        raise Conflict("another write is under way")

    monkeypatch.setattr(night.outputs, "before_write", refuse)
    assert night.collect() == {"lost": 1}
    assert night.chunk(FIRST).failures == 1
