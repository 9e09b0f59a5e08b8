"""The ledger over the real adapter: each edge moves once, from the state it leaves, and twice is as good as once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger, batch_key
from nightshift.adapters.items import to_wire
from nightshift.errors import Conflict, RunNotFound
from nightshift.model import (
    Archive,
    BatchId,
    Chunk,
    ChunkState,
    Claim,
    Hold,
    HoldCode,
    IntentNote,
    JobRef,
    RowClass,
    Run,
    RunId,
    RunState,
    Tally,
    Worker,
)
from tests.unit.conftest import START
from tests.unit.made import MONTH, RUN, batch, chunk, input_ref, intent, run

HOLD = Hold(HoldCode.BY_HAND, "because", START)
TALLY = Tally({RowClass.ANSWERED: 2}, {"input_tokens": 7}, {"batch": 2}, retryable=1, tickets_written=2)
ME = Worker("me", START + timedelta(minutes=15))
RIVAL = Worker("rival", START + timedelta(minutes=15))


def sending(ledger: DynamoLedger) -> Chunk:
    """Bring a run's first chunk to SENDING."""
    ledger.create_run(run())
    ledger.plan_chunk(chunk())
    ledger.finish_plan(run(rows=3, plan_digest="d", max_generations=1))
    ledger.start_send(chunk(), intent())
    (moved,) = ledger.chunks(RUN)
    return moved


def ended(ledger: DynamoLedger) -> Chunk:
    """Bring a run's first chunk to ENDED."""
    sending(ledger)
    ledger.sent(intent(), batch(), adopted=False)
    (sent,) = ledger.chunks(RUN)
    ledger.ended(sent, batch(status="ended", ended_at=START))
    (done,) = ledger.chunks(RUN)
    return done


def test_a_run_comes_back_as_it_was_put(ledger: DynamoLedger) -> None:
    made = run(hold=HOLD, working_until=START, changed_at=START, leftover=TALLY, approved=(HoldCode.SAME_ROWS,))

    assert ledger.create_run(made)
    assert ledger.run(RUN) == made
    assert ledger.runs(5) == [made]


def test_a_run_that_is_not_there_is_said_to_be_missing(ledger: DynamoLedger) -> None:
    with pytest.raises(RunNotFound, match="There is no run triage-20261122-abcdefgh"):
        ledger.run(RUN)


def test_a_second_create_finds_the_first_run(ledger: DynamoLedger) -> None:
    ledger.create_run(run())
    ledger.hold(RUN, HOLD)

    assert not ledger.create_run(run(trigger="by hand", created=START + timedelta(hours=1)))
    assert ledger.run(RUN).hold == HOLD


def test_an_input_belongs_to_one_run(ledger: DynamoLedger) -> None:
    ledger.create_run(run())

    with pytest.raises(Conflict):
        ledger.create_run(run(RunId("triage-20261122-zzzzzzzz")))
    assert ledger.unclaimed([input_ref(), input_ref(version="v2")]) == [input_ref(version="v2")]


def test_runs_are_listed_newest_first(ledger: DynamoLedger) -> None:
    for day in (1, 3, 2):
        ref = input_ref(version=str(day))
        ledger.create_run(run(RunId(f"r{day}"), inputs=(ref,), created=START + timedelta(days=day)))

    assert [r.run_id for r in ledger.runs(2)] == ["r3", "r2"]


def test_open_runs_are_listed_whatever_their_age_and_done_ones_are_not(ledger: DynamoLedger) -> None:
    for day in (1, 3, 2, 400):
        ref = input_ref(version=str(day))
        ledger.create_run(run(RunId(f"r{day}"), inputs=(ref,), created=START - timedelta(days=day)))
    ledger.reported(RunId("r2"), "f", done=True)
    ledger.reported(RunId("r3"), "f", done=False)

    assert [r.run_id for r in ledger.open_runs()] == ["r1", "r3", "r400"]
    assert [r.run_id for r in ledger.runs(3)] == ["r1", "r2", "r3"]
    assert [r.run_id for r in ledger.runs_since(START - timedelta(days=2))] == ["r1", "r2"]


def test_the_first_reason_for_a_hold_stands(ledger: DynamoLedger) -> None:
    ledger.create_run(run())

    assert ledger.hold(RUN, HOLD)
    assert not ledger.hold(RUN, replace(HOLD, code=HoldCode.NO_MONEY))
    assert ledger.run(RUN).hold == HOLD


def test_a_release_lifts_the_hold_and_remembers_what_was_approved(ledger: DynamoLedger) -> None:
    stuck: dict[str, Any] = {"fruitless": 10, "retry_at": START, "dispatched": True, "unsent_since": START}
    ledger.create_run(run(hold=HOLD, restarts=3, restarted_at="there", **stuck))

    released = ledger.release(ledger.run(RUN), approve=HoldCode.SAME_ROWS)

    assert released == run(approved=(HoldCode.SAME_ROWS,))
    assert ledger.release(released, approve=HoldCode.SAME_ROWS).approved == (HoldCode.SAME_ROWS,)


def test_a_release_lifts_no_hold_but_the_one_that_was_read(ledger: DynamoLedger) -> None:
    ledger.create_run(run(hold=HOLD))
    read = ledger.run(RUN)
    canceled = Hold(HoldCode.CANCELED, "wrong prompt", START + timedelta(microseconds=1))
    ledger.cancel(RUN, canceled)

    with pytest.raises(Conflict):
        ledger.release(read, approve=None)
    with pytest.raises(Conflict):
        ledger.release(run(), approve=None)  # read before there was any
    assert ledger.run(RUN).hold == canceled


def test_a_release_whose_answer_was_lost_is_found_to_stand(ledger: DynamoLedger) -> None:
    ledger.create_run(run(hold=HOLD))
    read = ledger.run(RUN)

    assert ledger.release(read, approve=HoldCode.SAME_ROWS) == ledger.release(read, approve=HoldCode.SAME_ROWS)


def test_the_loop_moves_to_the_next_execution_once(ledger: DynamoLedger) -> None:
    ledger.create_run(run())

    assert ledger.next_execution(RUN, 2)
    assert ledger.next_execution(RUN, 2)  # said twice, it stands
    assert not ledger.next_execution(RUN, 5)
    assert ledger.run(RUN).execution == 2


def test_a_report_ends_a_run_only_while_nobody_holds_it(ledger: DynamoLedger) -> None:
    ledger.create_run(run(hold=HOLD))

    ledger.reported(RUN, "f1", done=False)
    with pytest.raises(Conflict):
        ledger.reported(RUN, "f2", done=True)
    ledger.release(ledger.run(RUN), approve=None)
    ledger.reported(RUN, "f2", done=True)

    assert ledger.run(RUN) == run(reported="f2", state=RunState.DONE)


def test_a_chunk_is_planned_once_and_not_into_a_finished_plan(ledger: DynamoLedger) -> None:
    ledger.create_run(run())

    assert ledger.plan_chunk(chunk(planned=TALLY, cursor=(0, 3)))
    assert not ledger.plan_chunk(chunk(rows=99))
    ledger.finish_plan(run(rows=3, plan_digest="d"))
    with pytest.raises(Conflict):
        ledger.plan_chunk(chunk(2))
    assert ledger.chunks(RUN) == [chunk(planned=TALLY, cursor=(0, 3))]


@pytest.mark.parametrize("changes", [{"hold": HOLD}, {"plan": 2}])
def test_a_planner_that_lived_on_cannot_add_to_a_held_run_or_to_another_plan(
    ledger: DynamoLedger, changes: dict[str, Any]
) -> None:
    ledger.create_run(run(**changes))

    with pytest.raises(Conflict):
        ledger.plan_chunk(chunk())
    with pytest.raises(Conflict):
        ledger.finish_plan(run(rows=3, plan_digest="d"))
    assert ledger.chunks(RUN) == []


def test_the_next_generation_begins_once(ledger: DynamoLedger) -> None:
    ledger.create_run(run())
    ledger.plan_chunk(chunk(1, generation=1))

    assert ledger.next_generation(ledger.run(RUN), anew=False)
    assert not ledger.next_generation(run(generation=2), anew=False)
    assert not ledger.next_generation(run(generation=3), anew=True)
    assert ledger.run(RUN).generation == 1
    with pytest.raises(Conflict):
        ledger.plan_chunk(chunk(2, generation=1))


def test_a_digest_belongs_to_the_run_that_claimed_it_first(ledger: DynamoLedger) -> None:
    assert ledger.claim_digest("triage", "d", RUN) == RUN
    assert ledger.claim_digest("triage", "d", RunId("later")) == RUN
    assert ledger.claim_digest("other", "d", RunId("later")) == "later"


NEWER = JobRef("triage", "jobs/triage.yaml", "v2")


def unsent(ledger: DynamoLedger, chunks: int = 1) -> Run:
    """Hold a run of planned chunks that has no money reserved; return it as it is then."""
    ledger.create_run(run(reserved=None))
    for number in range(1, chunks + 1):
        ledger.plan_chunk(chunk(number))
    ledger.finish_plan(run(rows=3 * chunks, plan_digest="d"))
    ledger.hold(RUN, HOLD)
    return ledger.run(RUN)


def test_a_plan_that_sent_nothing_can_be_forgotten(ledger: DynamoLedger) -> None:
    held = unsent(ledger)

    ledger.replan(held, NEWER, START)
    ledger.replan(held, NEWER, START)  # said twice, it stands

    assert ledger.chunks(RUN) == []
    assert ledger.run(RUN) == replace(run(reserved=None), job=NEWER, hold=HOLD, plan=2, replanned_at=START)


def test_a_plan_whose_money_is_reserved_stands(ledger: DynamoLedger) -> None:
    ledger.create_run(run(hold=HOLD))

    with pytest.raises(Conflict, match="has money"):
        ledger.replan(ledger.run(RUN), NEWER, START)


def test_a_plan_that_sent_something_stands(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.hold(RUN, HOLD)

    with pytest.raises(Conflict, match="has sent something"):
        ledger.replan(replace(ledger.run(RUN), reserved=None), NEWER, START)


@pytest.mark.parametrize("again", [None, replace(HOLD, at=START + timedelta(minutes=1))], ids=["goes on", "held anew"])
@pytest.mark.parametrize("chunks", [0, 1])
def test_a_run_that_was_resumed_meanwhile_keeps_its_plan(ledger: DynamoLedger, chunks: int, again: Hold | None) -> None:
    held = unsent(ledger, chunks)
    ledger.release(held, approve=None)
    if again:
        ledger.hold(RUN, again)
    now = ledger.run(RUN)

    with pytest.raises(Conflict):
        ledger.replan(held, NEWER, START)

    assert (ledger.run(RUN), len(ledger.chunks(RUN))) == (now, chunks)


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_plan_that_was_replaced_meanwhile_is_not_the_one_to_forget(ledger: DynamoLedger, chunks: int) -> None:
    held = unsent(ledger, chunks)
    ledger.replan(held, replace(NEWER, version_id="v3"), START)
    now = ledger.run(RUN)

    with pytest.raises(Conflict):
        ledger.replan(held, NEWER, START)

    assert ledger.run(RUN) == now


def test_a_chunk_that_is_being_sent_is_never_deleted(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    held, planned = unsent(ledger), ledger.chunks(RUN)
    ledger.release(held, approve=None)
    ledger.reserve(ledger.run(RUN), per_row=1, rows=3, month=MONTH, cap=None)
    ledger.start_send(planned[0], intent())
    ledger.cancel(RUN, HOLD)  # the very same hold, and its money released: only the chunk tells
    ledger.settle_nothing_more(ledger.run(RUN))

    with monkeypatch.context() as before:
        before.setattr(ledger, "chunks", lambda _run_id: planned)
        with pytest.raises(Conflict):
            ledger.replan(held, NEWER, START)

    assert [c.state for c in ledger.chunks(RUN)] == [ChunkState.SENDING]
    assert ledger.run(RUN).job == run().job


def test_a_plan_of_more_chunks_than_one_transaction_takes_is_forgotten_from_its_end(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = unsent(ledger, 100)
    apply_all, lives = ledger._items.apply_all, [True]

    def one_transaction(changes: Any) -> None:
        lives.pop()
        apply_all(changes)

    with monkeypatch.context() as killed:
        killed.setattr(ledger._items, "apply_all", one_transaction)
        with pytest.raises(IndexError):
            ledger.replan(held, NEWER, START)
    assert [c.id for c in ledger.chunks(RUN)] == ["g0-000001"]
    assert ledger.run(RUN) == replace(held, planned=False)  # so the old plan can be gone on with

    ledger.replan(held, NEWER, START)

    assert (ledger.chunks(RUN), ledger.run(RUN).plan) == ([], 2)


def test_only_one_create_is_under_way_in_the_whole_stack(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.create_run(run(other := RunId("other"), inputs=()))
    ledger.plan_chunk(replace(chunk(), run_id=other))

    with pytest.raises(Conflict):
        ledger.start_send(replace(chunk(), run_id=other), replace(intent(), run_id=other, owner="rival"))
    assert ledger.intent() == intent()


def test_a_send_whose_answer_was_lost_is_found_to_stand(ledger: DynamoLedger) -> None:
    sending(ledger)

    ledger.start_send(chunk(), intent())  # what botocore does after a lost response

    assert ledger.intent() == intent()


def test_nothing_is_sent_for_a_held_run(ledger: DynamoLedger) -> None:
    ledger.create_run(run())
    ledger.plan_chunk(chunk())
    ledger.hold(RUN, HOLD)

    with pytest.raises(Conflict):
        ledger.start_send(chunk(), intent())
    assert ledger.intent() is None


def test_a_sender_that_was_frozen_over_a_new_plan_sends_nothing_of_the_old_one(ledger: DynamoLedger) -> None:
    ledger.create_run(run())
    ledger.plan_chunk(chunk(sha256="11"))

    with pytest.raises(Conflict):
        ledger.start_send(chunk(), intent())
    assert (ledger.intent(), ledger.chunks(RUN)) == (None, [chunk(sha256="11")])


def test_a_sent_chunk_has_its_batch_and_the_batch_its_claim(ledger: DynamoLedger) -> None:
    sending(ledger)

    ledger.sent(intent(), batch(), adopted=True)
    ledger.sent(intent(), batch(), adopted=True)  # said twice, it stands

    (moved,) = ledger.chunks(RUN)
    assert (moved.state, moved.batch_id, moved.adopted) == (ChunkState.SENT, "msgbatch_01", True)
    assert ledger.intent() is None
    ids = [BatchId("msgbatch_01"), BatchId("msgbatch_02")]
    assert ledger.claims(ids) == {"msgbatch_01": Claim(RUN, moved.id)}


def test_a_batch_is_claimed_by_one_chunk(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.sent(intent(), batch(), adopted=False)
    ledger.create_run(run(other := RunId("other"), inputs=()))
    ledger.plan_chunk(replace(chunk(), run_id=other))
    ledger.start_send(replace(chunk(), run_id=other), theirs := replace(intent(), run_id=other))

    with pytest.raises(Conflict):
        ledger.sent(theirs, batch(), adopted=True)
    assert ledger.intent() == theirs


def test_a_late_sender_cannot_settle_what_reconciliation_has_settled(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.not_sent(intent(), not_before=None, error="lost")
    (again,) = ledger.chunks(RUN)
    ledger.start_send(again, second := intent(attempt=2, owner="second"))

    with pytest.raises(Conflict):
        ledger.sent(intent(), batch(), adopted=False)
    assert ledger.intent() == second


def test_notes_go_on_an_intent_only_while_it_is_the_same(ledger: DynamoLedger) -> None:
    sending(ledger)

    ledger.note_intent(intent(owner="somebody else"), IntentNote.HTTP_ERROR, START)
    assert ledger.intent() == intent()
    ledger.note_intent(intent(), IntentNote.HTTP_ERROR, START)
    ledger.none_seen(intent(), START)
    ledger.look_again(intent(), START)
    assert ledger.intent() == intent(note=IntentNote.HTTP_ERROR, noted_at=START, none_seen_at=START, retry_at=START)


def test_a_chunk_has_one_worker_until_its_time_has_passed(ledger: DynamoLedger) -> None:
    mine = ended(ledger)

    taken = ledger.take(mine, ME, START)

    assert taken is not None
    assert taken.worker == ME
    assert ledger.take(mine, RIVAL, START) is None
    assert ledger.take(mine, RIVAL, ME.until) is not None


def test_a_worker_that_lost_its_chunk_can_write_nothing(ledger: DynamoLedger) -> None:
    mine = ledger.take(ended(ledger), ME, START)
    assert mine is not None
    ledger.take(mine, RIVAL, ME.until)

    with pytest.raises(Conflict):
        ledger.archived(mine, ME, Archive("k", 10, 3, "00"))


def test_a_chunk_is_collected_when_all_its_archive_is_applied(ledger: DynamoLedger) -> None:
    mine = ledger.take(ended(ledger), ME, START)
    assert mine is not None
    mine = ledger.archived(mine, ME, Archive("k", 10, 3, "00"))
    half = ledger.applied(mine, ME, 5, TALLY)

    with pytest.raises(Conflict):
        ledger.collected(half, ME, ledger.run(RUN), MONTH)
    with pytest.raises(Conflict):
        ledger.applied(mine, ME, 7, TALLY)  # from a checkpoint that has moved
    whole = ledger.applied(half, ME, 10, TALLY + TALLY)
    ledger.collected(whole, ME, ledger.run(RUN), MONTH)

    (done,) = ledger.chunks(RUN)
    assert (done.state, done.worker, done.applied, done.tally) == (ChunkState.COLLECTED, None, 10, TALLY + TALLY)


def test_a_late_look_cannot_take_a_chunk_back_to_ended(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.sent(intent(), batch(), adopted=False)
    (sent,) = ledger.chunks(RUN)
    ledger.ended(sent, batch(status="ended", ended_at=START))
    mine = ledger.take(ledger.chunks(RUN)[0], ME, START)
    assert mine is not None
    ledger.archived(mine, ME, Archive("k", 10, 3, "00"))

    with pytest.raises(Conflict):
        ledger.ended(sent, batch(status="ended", ended_at=START))
    assert ledger.chunks(RUN)[0].state is ChunkState.ARCHIVED


def test_a_release_forgets_the_failures_of_chunks(ledger: DynamoLedger) -> None:
    mine = ended(ledger)
    ledger.failed(mine, not_before=START + timedelta(minutes=1), error="broke")
    ledger.hold(RUN, HOLD)

    ledger.release(ledger.run(RUN), approve=None)

    (freed,) = ledger.chunks(RUN)
    assert (freed.state, freed.failures, freed.not_before, freed.error) == (ChunkState.ENDED, 0, None, "broke")


def test_a_failure_keeps_the_chunk_back_and_frees_it(ledger: DynamoLedger) -> None:
    mine = ledger.take(ended(ledger), ME, START)
    assert mine is not None

    ledger.failed(mine, not_before=START + timedelta(minutes=1), error="broke")

    (kept,) = ledger.chunks(RUN)
    assert (kept.state, kept.failures, kept.worker, kept.error) == (ChunkState.ENDED, 1, None, "broke")


def test_a_batch_that_is_not_ours_goes_back_to_reconciliation_and_stays_marked(ledger: DynamoLedger) -> None:
    mine = ledger.take(ended(ledger), ME, START)
    assert mine is not None
    again = intent(excluded=(BatchId("msgbatch_01"),))

    ledger.disown(mine, ME, again)

    (back,) = ledger.chunks(RUN)
    assert (back.state, back.batch_id, back.worker) == (ChunkState.SENDING, None, None)
    assert ledger.intent() == again
    assert ledger.claims([BatchId("msgbatch_01")]) == {"msgbatch_01": Claim(RUN, back.id, foreign=True)}


def test_runs_are_listed_back_to_a_moment(ledger: DynamoLedger) -> None:
    for day in (1, 3, 2):
        ref = input_ref(version=str(day))
        ledger.create_run(run(RunId(f"r{day}"), inputs=(ref,), created=START + timedelta(days=day)))

    assert [r.run_id for r in ledger.runs_since(START + timedelta(days=2))] == ["r3", "r2"]


def test_restarts_are_counted_as_long_as_nothing_changes(ledger: DynamoLedger) -> None:
    ledger.create_run(run())
    seen = []
    for fingerprint in ("a", "a", "b"):
        assert ledger.restart(now := ledger.run(RUN), fingerprint)
        assert ledger.restart(now, fingerprint)  # said twice, it stands, and counts once
        seen.append(ledger.run(RUN))

    assert [(r.execution, r.restarts, r.restarted_at) for r in seen] == [(2, 1, "a"), (3, 2, "a"), (4, 1, "b")]
    assert not ledger.restart(seen[0], "c")  # somebody has moved the loop on
    assert ledger.run(RUN) == seen[-1]


def test_a_batch_that_ended_after_another_took_its_place_ends_nothing(ledger: DynamoLedger) -> None:
    sent = sent_with(ledger, "msgbatch_01")
    ledger.swap(sent, batch("msgbatch_02", status="ended"))

    with pytest.raises(Conflict):
        ledger.ended(sent, batch("msgbatch_01", status="ended"))


def sent_with(ledger: DynamoLedger, name: str) -> Chunk:
    """Bring a run's first chunk to SENT with this batch."""
    sending(ledger)
    ledger.sent(intent(), batch(name), adopted=False)
    (sent,) = ledger.chunks(RUN)
    return sent


def test_a_planned_chunk_takes_a_batch_that_was_paid_for(ledger: DynamoLedger) -> None:
    sending(ledger)
    ledger.not_sent(intent(), not_before=START, error="lost")
    (planned,) = ledger.chunks(RUN)

    ledger.salvage(planned, batch())
    ledger.salvage(planned, batch())  # said twice, it stands

    (moved,) = ledger.chunks(RUN)
    assert (moved.state, moved.batch_id, moved.adopted) == (ChunkState.SENT, "msgbatch_01", True)
    assert (moved.attempt, moved.sent_at, moved.not_before, moved.error) == (1, START, None, "")
    assert ledger.claims([BatchId("msgbatch_01")]) == {"msgbatch_01": Claim(RUN, moved.id)}


@pytest.mark.parametrize(
    "changed", [{"attempt": 1}, {"sha256": "11"}, {"state": ChunkState.SENDING}], ids=["attempt", "plan", "state"]
)
def test_a_chunk_that_is_another_by_now_takes_no_batch(ledger: DynamoLedger, changed: dict[str, Any]) -> None:
    ledger.create_run(run())
    ledger.plan_chunk(chunk(**changed))

    with pytest.raises(Conflict):
        ledger.salvage(chunk(), batch())
    assert ledger.claims([BatchId("msgbatch_01")]) == {}


def test_a_batch_that_a_chunk_has_is_not_salvaged_and_one_that_seemed_foreign_is(ledger: DynamoLedger) -> None:
    mine = ledger.take(ended(ledger), ME, START)
    assert mine is not None
    ledger.plan_chunk(second := chunk(generation=1))

    with pytest.raises(Conflict):
        ledger.salvage(second, batch())
    ledger.disown(mine, ME, intent(excluded=(BatchId("msgbatch_01"),)))
    ledger.salvage(second, batch())

    assert ledger.claims([BatchId("msgbatch_01")]) == {"msgbatch_01": Claim(RUN, second.id)}


def test_a_sent_chunk_takes_another_batch_and_the_first_ones_claim_says_so(ledger: DynamoLedger) -> None:
    sent = sent_with(ledger, "msgbatch_01")

    ledger.swap(sent, batch("msgbatch_02", status="ended"))

    (moved,) = ledger.chunks(RUN)
    assert (moved.state, moved.batch_id, moved.adopted) == (ChunkState.SENT, "msgbatch_02", True)
    assert ledger.claims([BatchId("msgbatch_01"), BatchId("msgbatch_02")]) == {
        "msgbatch_01": Claim(RUN, moved.id, superseded=True),
        "msgbatch_02": Claim(RUN, moved.id),
    }
    with pytest.raises(Conflict):  # what was read before is no longer so
        ledger.swap(sent, batch("msgbatch_03", status="ended"))


def test_a_chunk_whose_own_batch_has_no_claim_is_not_swapped(ledger: DynamoLedger) -> None:
    sent = sent_with(ledger, "msgbatch_01")
    ledger._client.delete_item(TableName=ledger._table, Key=to_wire(batch_key(BatchId("msgbatch_01"))))

    with pytest.raises(Conflict):
        ledger.swap(sent, batch("msgbatch_02", status="ended"))
    assert ledger.claims([BatchId("msgbatch_01"), BatchId("msgbatch_02")]) == {}


def test_a_night_is_due_once_and_stays_opened(ledger: DynamoLedger) -> None:
    later = START + timedelta(days=1)
    ledger.night_due(START)
    ledger.night_due(START)
    ledger.night_opened(later)
    ledger.night_due(later)

    assert ledger.nights(START) == {START: False, later: True}
    assert ledger.nights(later) == {later: True}

    ledger.night_opened(START)

    assert ledger.nights(START) == {START: True, later: True}
