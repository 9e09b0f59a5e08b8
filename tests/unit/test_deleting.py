"""Batches are deleted at the API where a job wants it, and never before their run is done."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.deleting import Deleter
from nightshift.errors import Ambiguous, Rejected
from nightshift.model import Archive, BatchId, ChunkState, RowClass, Tally
from tests.unit.conftest import MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.made import RUN, chunk, run


@dataclass
class Desk:
    """A done run of two collected chunks, unless a test says otherwise, and what deletes."""

    ledger: DynamoLedger
    clock: MovableClock

    def __post_init__(self) -> None:
        self.api = FakeApi(self.clock)
        self.deleter = Deleter(self.ledger, self.api, self.clock)
        self.batches = [self.api.add(3).id for _ in range(2)]
        for each in self.batches:
            self.api.end(each)

    def run(self, *, done: bool = True, wants: bool = True, second: dict[str, Any] | None = None) -> None:
        """Put the run and its chunks; `second` changes the second one."""
        self.ledger.create_run(run(delete_batches=wants))
        for number, batch_id in enumerate(self.batches, 1):
            fields: dict[str, Any] = {
                "state": ChunkState.COLLECTED,
                "batch_id": batch_id,
                "archive": Archive(f"runs/{RUN}/raw/{number}.jsonl", size=30, lines=3, sha256="00"),
                "tally": Tally(rows={RowClass.ANSWERED: 3}),
            }
            self.ledger.plan_chunk(chunk(number, **fields | (second or {} if number == 2 else {})))
        if done:
            self.ledger.reported(RUN, "f", done=True)

    def delete(self, seconds: float = 600) -> list[int]:
        """Delete what is to be deleted; return how many batches each run had."""
        runs = self.ledger.runs(10)
        return [count for _, count in self.deleter.delete(runs, self.clock() + timedelta(seconds=seconds))]


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    return Desk(ledger, clock)


def test_a_done_run_s_batches_are_deleted_once(desk: Desk) -> None:
    desk.run()

    assert desk.delete() == [2]
    assert desk.api.deleted == desk.batches
    assert desk.delete() == []
    assert desk.api.deleted == desk.batches


def test_a_run_that_goes_on_keeps_its_batches(desk: Desk) -> None:
    desk.run(done=False)

    assert desk.delete() == []
    assert desk.api.deleted == []


def test_a_job_that_does_not_want_it_keeps_its_batches(desk: Desk) -> None:
    desk.run(wants=False)

    assert desk.delete() == []
    assert desk.api.deleted == []


def test_a_batch_in_whose_results_a_row_may_still_turn_up_is_kept(desk: Desk) -> None:
    desk.run(second={"tally": Tally(rows={RowClass.ANSWERED: 2, RowClass.MISSING: 1})})

    assert desk.delete() == [1]
    assert desk.api.deleted == desk.batches[:1]


def test_a_batch_that_is_not_collected_is_kept_whatever_the_run_says(desk: Desk) -> None:
    desk.run(second={"state": ChunkState.ARCHIVED})

    assert desk.delete() == [1]
    assert desk.api.deleted == desk.batches[:1]


def test_a_chunk_that_was_never_sent_has_nothing_to_delete(desk: Desk) -> None:
    desk.run(second={"state": ChunkState.PLANNED, "batch_id": None, "archive": None})

    assert desk.delete() == [1]


def test_without_time_nothing_is_begun_with_and_the_next_time_goes_on(desk: Desk) -> None:
    desk.run()

    assert desk.delete(seconds=0) == []
    assert desk.api.deleted == []
    assert desk.delete() == [2]


def test_after_an_error_it_is_done_again(desk: Desk) -> None:
    desk.run()
    desk.api.down = Ambiguous("HTTP 500")
    with pytest.raises(Ambiguous):
        desk.delete()
    desk.api.down = None

    assert desk.delete() == [2]


def test_what_the_index_says_of_a_run_is_looked_up_before_anything_is_deleted(desk: Desk) -> None:
    desk.run()
    (listed,) = desk.ledger.runs(10)
    desk.ledger.batches_deleted(RUN)

    assert list(desk.deleter.delete([listed], desk.clock() + timedelta(hours=1))) == []
    assert desk.api.deleted == []


def test_a_batch_that_has_not_ended_is_not_taken_for_deleted(desk: Desk) -> None:
    desk.batches[1] = BatchId(desk.api.add(3).id)
    desk.run()

    with pytest.raises(Rejected):
        desk.delete()
    assert desk.ledger.run(RUN).batches_deleted is False
