"""The sending protocol, over the real ledger: whatever happens to a create, its rows end in one batch."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, BinaryIO

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import (
    Ambiguous,
    ApiError,
    Conflict,
    NoMoney,
    NotAccepted,
    NotSent,
    Redirected,
    Rejected,
    Unauthorized,
)
from nightshift.matching import _doubtful, made_by
from nightshift.model import (
    Archive,
    BatchId,
    BatchView,
    Chunk,
    ChunkState,
    Claim,
    Hold,
    HoldCode,
    Intent,
    IntentNote,
    RunId,
    Worker,
    chunk_id,
    custom_id,
)
from nightshift.sending import PlanBody, Sender
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.made import RUN, chunk, intent, run

PLAN = b'{"custom_id":"a"}\n{"custom_id":"b"}\n{"custom_id":"c"}\n'
BODY = b'{"requests":[{"custom_id":"a"},{"custom_id":"b"},{"custom_id":"c"}]}'


@dataclass
class PlanOnly:
    """An output bucket that holds one plan for every chunk."""

    opened: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, key: str, start: int = 0, _size: int | None = None) -> Iterator[BinaryIO]:
        self.opened.append(key)
        yield io.BytesIO(PLAN[start:])


@dataclass
class Desk:
    """A run with two planned chunks, and a sender."""

    ledger: DynamoLedger
    api: FakeApi
    clock: MovableClock
    sender: Sender

    def send(self, owner: str = "me", minutes: float = 15) -> int:
        return self.sender.send(RUN, owner=owner, deadline=self.clock() + timedelta(minutes=minutes))

    def made_by(self, standing: Intent) -> list[BatchView] | None:
        return made_by(standing, self.ledger, self.api, self.clock())

    def states(self) -> list[ChunkState]:
        return [c.state for c in self.ledger.chunks(RUN)]

    def first(self) -> Chunk:
        return self.ledger.chunks(RUN)[0]


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    api = FakeApi(clock)
    ledger.create_run(run())
    for number in (1, 2):
        betas = "a-2026-01-01" if number == 2 else ""
        ledger.plan_chunk(chunk(number, size=len(PLAN), sha256=hashlib.sha256(PLAN).hexdigest(), betas=betas))
    ledger.finish_plan(run(rows=6, plan_digest="d"))
    return Desk(ledger, api, clock, Sender(ledger, api, PlanOnly(), clock))  # type: ignore[arg-type] # opens plans only


def test_every_planned_chunk_becomes_one_batch(desk: Desk) -> None:
    assert desk.send() == 2

    assert (desk.api.bodies, desk.api.betas) == ([BODY, BODY], ["", "a-2026-01-01"])
    assert desk.states() == [ChunkState.SENT, ChunkState.SENT]
    assert [c.batch_id for c in desk.ledger.chunks(RUN)] == ["msgbatch_01", "msgbatch_02"]
    assert desk.ledger.intent() is None
    assert desk.send() == 0


def test_a_chunk_of_a_run_that_was_planned_anew_is_sent_from_the_files_of_that_plan(desk: Desk) -> None:
    plans: Any = desk.sender.outputs
    desk.ledger.create_run(run(other := RunId("triage-20261122-zzzzzzzz"), inputs=(), plan=2))
    again = replace(chunk(size=len(PLAN), sha256=hashlib.sha256(PLAN).hexdigest(), plan=2), run_id=other)
    desk.ledger.plan_chunk(again)

    desk.sender.send(other, owner="me", deadline=desk.clock() + timedelta(minutes=15))

    assert plans.opened == [f"runs/{other}/plan-2/g0-000001.jsonl"] * 2  # looked at, and sent


def test_a_body_is_the_plan_joined_with_commas_and_can_be_read_again() -> None:
    body = PlanBody(PlanOnly(), "k", len(PLAN), 3, lambda: START, START + timedelta(minutes=1))  # type: ignore[arg-type] # opens plans only

    assert b"".join(body) == b"".join(body) == BODY
    assert body.size == len(BODY)
    assert body.whole


def test_a_sender_frozen_in_the_middle_of_a_post_keeps_its_last_bytes_back(desk: Desk) -> None:
    desk.api.before_end = lambda: desk.clock.move(minutes=30)

    assert desk.send() == 0

    assert desk.api.bodies == []
    assert desk.ledger.intent() is None
    assert desk.states() == [ChunkState.PLANNED, ChunkState.PLANNED]
    assert "last bytes were kept back" in desk.first().error


def test_a_post_that_broke_off_before_its_last_bytes_made_no_batch_and_needs_no_grace(desk: Desk) -> None:
    def breaks() -> None:
        raise Ambiguous("The answer was lost (WriteError).")

    desk.api.before_end = breaks

    assert desk.send() == 0

    assert desk.ledger.intent() is None
    assert desk.first().not_before == START + timedelta(minutes=1)
    assert "broke off before its last bytes" in desk.first().error


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (Ambiguous("?"), IntentNote.CONNECTION_LOST),
        (Ambiguous("?", status=504), IntentNote.CONNECTION_LOST),
        (Ambiguous("?", status=529, answered=True), IntentNote.HTTP_ERROR),
    ],
)
def test_an_unknown_outcome_leaves_the_intent_with_what_was_seen(desk: Desk, error: ApiError, note: IntentNote) -> None:
    desk.api.fail = [error]

    assert desk.send() == 0

    standing = desk.ledger.intent()
    assert standing is not None
    assert (standing.note, standing.noted_at, standing.chunk) == (note, START, "g0-000001")
    assert desk.states() == [ChunkState.SENDING, ChunkState.PLANNED]


def test_a_create_whose_answer_was_lost_is_adopted_after_its_grace_and_never_sent_again(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    desk.clock.move(minutes=14)
    assert desk.send() == 0  # the grace has not passed: nothing is sent in this stack meanwhile
    desk.clock.move(minutes=1)

    desk.send()

    assert len(desk.api.bodies) == 2
    assert desk.first().batch_id == "msgbatch_01"
    assert desk.first().adopted
    assert desk.states() == [ChunkState.SENT, ChunkState.SENT]


def test_a_create_that_never_arrived_is_sent_again_after_two_reads_a_minute_apart(desk: Desk) -> None:
    desk.api.fail = [Ambiguous("?", status=500, answered=True)]
    desk.send()
    desk.clock.move(minutes=2)
    assert desk.send() == 0
    desk.clock.move(seconds=59)
    assert desk.send() == 0
    assert desk.api.bodies == []
    desk.clock.move(seconds=1)

    assert desk.send() == 2

    assert desk.first().attempt == 2
    assert desk.states() == [ChunkState.SENT, ChunkState.SENT]


def test_a_batch_that_appears_five_minutes_after_a_gateway_gave_up_is_adopted_and_not_paid_again(desk: Desk) -> None:
    desk.api.fail = [Ambiguous("?", status=504)]
    desk.send()
    desk.clock.move(minutes=2)
    desk.send()
    desk.clock.move(minutes=1)
    assert (desk.send(), desk.api.bodies) == (0, [])
    desk.clock.move(minutes=2)
    late = desk.api.add(3)
    desk.clock.move(minutes=10)

    desk.send()

    assert (desk.first().batch_id, desk.first().adopted) == (late.id, True)
    assert len(desk.api.bodies) == 1  # the second chunk's


def test_a_batch_that_becomes_visible_between_the_two_reads_is_adopted(desk: Desk) -> None:
    desk.api.fail = [Ambiguous("?", status=500, answered=True)]
    desk.send()
    desk.clock.move(minutes=2)
    desk.send()
    late = desk.api.add(3, age=timedelta(minutes=1))
    desk.clock.move(minutes=1)

    desk.send()

    assert desk.first().batch_id == late.id
    assert len(desk.api.bodies) == 1  # the second chunk's


def test_a_sender_that_died_is_reconciled_only_after_its_deadline_and_the_grace(desk: Desk) -> None:
    desk.ledger.start_send(desk.first(), intent())  # and then nothing more: killed
    desk.clock.move(minutes=29, seconds=59)
    assert desk.send("heir") == 0
    assert desk.states() == [ChunkState.SENDING, ChunkState.PLANNED]
    desk.clock.move(seconds=1)
    desk.send("heir")
    desk.clock.move(minutes=1)

    assert desk.send("heir") == 2


def test_batches_of_another_size_time_or_claim_are_not_candidates(desk: Desk) -> None:
    desk.send()  # two batches of this size, both claimed
    desk.api.add(4)
    desk.api.add(3, age=timedelta(minutes=6))
    standing = intent(3)

    assert desk.made_by(standing) == []
    mine = desk.api.add(3)
    assert desk.made_by(standing) == [mine]
    assert desk.made_by(replace(standing, excluded=(mine.id,))) == []


def test_several_candidates_wait_until_the_results_of_ours_tell(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    (ours,) = desk.api.stored
    desk.api.add(3)
    desk.clock.move(minutes=15)

    assert desk.send() == 0
    desk.api.end(ours, b'{"custom_id":"' + custom_id(RUN, desk.first().id, 1).encode() + b'"}\n')
    desk.clock.move(minutes=1)
    desk.send()

    assert desk.first().batch_id == ours


def test_of_several_candidates_the_one_that_is_left_is_taken_though_it_still_runs(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    (ours,) = desk.api.stored
    other = desk.api.add(3)
    desk.clock.move(minutes=15)

    assert desk.send() == 0
    desk.api.end(other.id, b'{"custom_id":"somebody-else"}\n')
    desk.clock.move(minutes=1)
    desk.send()

    assert (desk.first().batch_id, desk.first().adopted) == (ours, True)


def test_a_full_queue_keeps_all_chunks_back_and_not_the_one_that_met_it(desk: Desk) -> None:
    desk.api.fail = [NotAccepted("the queue is full", retry_after=90, status=429)]
    assert desk.send() == 0
    desk.clock.move(seconds=89)
    assert (desk.send(), len(desk.api.bodies)) == (0, 0)
    desk.clock.move(seconds=1)
    assert desk.send() == 2


def swapped(desk: Desk) -> tuple[BatchId, BatchId]:
    """Let the first chunk adopt somebody else's batch, and the second the first one's; return both batches."""
    for chunk_ in desk.ledger.chunks(RUN):
        desk.ledger.start_send(chunk_, made := intent(int(chunk_.id[-6:])))
        batch = desk.api.add(3)
        desk.ledger.sent(made, batch, adopted=True)
    foreign, firsts = desk.api.stored
    desk.api.end(foreign, b'{"custom_id":"somebody-else"}\n')
    return foreign, firsts


def disown(desk: Desk, number: int) -> Intent:
    """Let a chunk's results prove to be another's."""
    me = Worker("me", START + timedelta(hours=1))
    chunk_ = next(c for c in desk.ledger.chunks(RUN) if c.id == chunk_id(0, number))
    assert chunk_.batch_id is not None
    if chunk_.state is ChunkState.SENT:
        desk.ledger.ended(chunk_, desk.api.batch(chunk_.batch_id))
    taken = desk.ledger.take(replace(chunk_, state=ChunkState.ENDED), me, START)
    assert taken is not None
    again = intent(number, excluded=(chunk_.batch_id,), attempt=taken.attempt)
    desk.ledger.disown(taken, me, again)
    return again


def test_a_batch_that_another_chunk_found_not_to_be_its_own_is_a_candidate_again(desk: Desk) -> None:
    _, firsts = swapped(desk)
    desk.api.end(firsts, b'{"custom_id":"' + custom_id(RUN, chunk_id(0, 1), 1).encode() + b'"}\n')
    desk.ledger.not_sent(disown(desk, 2), not_before=None, error="")
    again = disown(desk, 1)

    desk.clock.move(minutes=45)
    assert desk.sender.settle(again)

    assert (desk.first().batch_id, desk.first().state) == (firsts, ChunkState.SENT)
    assert desk.ledger.claims([firsts]) == {firsts: Claim(RUN, chunk_id(0, 1))}


def test_a_batch_that_another_chunk_adopted_and_has_not_read_is_waited_for(desk: Desk) -> None:
    _, firsts = swapped(desk)
    again = disown(desk, 1)
    desk.clock.move(minutes=45)

    assert desk.made_by(again) is None  # it runs: nobody can tell whose it is
    desk.api.end(firsts, b'{"custom_id":"' + custom_id(RUN, chunk_id(0, 1), 1).encode() + b'"}\n')
    assert desk.made_by(again) is None  # it is this one's, and the other will find out
    desk.api.end(firsts, b'{"custom_id":"' + custom_id(RUN, chunk_id(0, 2), 1).encode() + b'"}\n')
    assert desk.made_by(again) == []


def test_a_batch_that_its_chunk_created_or_has_read_is_no_candidate(desk: Desk) -> None:
    desk.send()
    assert desk.made_by(intent(3)) == []
    first = desk.first().id
    assert not _doubtful(desk.ledger, Claim(RUN, first), intent(1))
    assert not _doubtful(desk.ledger, Claim(RUN, first, foreign=True), intent(1))


def test_a_batch_whose_results_its_chunk_has_archived_is_no_candidate(desk: Desk) -> None:
    _, firsts = swapped(desk)
    desk.api.end(firsts)
    desk.ledger.not_sent(disown(desk, 1), not_before=None, error="")
    second = desk.ledger.chunks(RUN)[1]
    desk.ledger.ended(second, desk.api.batch(firsts))
    me = Worker("me", START + timedelta(hours=1))
    taken = desk.ledger.take(replace(second, state=ChunkState.ENDED), me, START)
    assert taken is not None
    assert desk.made_by(intent(3)) is None  # it may be anybody's yet

    desk.ledger.archived(taken, me, Archive("k", 10, 3, "00"))

    assert desk.made_by(intent(3)) == []


def test_reconciliation_waits_while_the_api_is_away(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    desk.clock.move(minutes=15)
    desk.api.down = Ambiguous("away", status=503)

    assert desk.send() == 0

    standing = desk.ledger.intent()
    assert standing is not None
    assert standing.retry_at == desk.clock() + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoMoney("no credit", status=402), HoldCode.NO_MONEY),
        (Unauthorized("bad key", status=401), HoldCode.API_KEY),
        (Rejected("bad body", status=400), HoldCode.API_REJECTED),
        (Redirected("elsewhere", status=307), HoldCode.API_REDIRECTED),
    ],
)
def test_a_refusal_that_waiting_cannot_mend_holds_the_run_and_frees_the_stack(
    desk: Desk, error: ApiError, code: HoldCode
) -> None:
    desk.api.fail = [error]

    assert desk.send() == 0

    hold = desk.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is code
    assert str(error) in hold.reason
    assert desk.ledger.intent() is None
    assert desk.states() == [ChunkState.PLANNED, ChunkState.PLANNED]


@pytest.mark.parametrize(
    ("error", "seconds"), [(NotAccepted("slow down", retry_after=17), 17), (NotSent("no route"), 60)]
)
def test_not_now_means_later_and_not_held(desk: Desk, error: ApiError, seconds: int) -> None:
    desk.api.fail = [error]

    assert desk.send() == 0

    assert desk.ledger.run(RUN).hold is None
    assert desk.first().not_before == START + timedelta(seconds=seconds)
    assert desk.ledger.intent() is None


def test_a_refusal_frees_the_stack_before_it_holds_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.api.fail = [Rejected("bad body", status=400)]
    monkeypatch.setattr(desk.ledger, "hold", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        desk.send()

    assert desk.ledger.intent() is None
    assert desk.states() == [ChunkState.PLANNED, ChunkState.PLANNED]


def test_a_key_that_fails_the_probe_leaves_no_intent(desk: Desk) -> None:
    desk.api.down = Unauthorized("bad key", status=401)

    assert desk.send() == 0

    hold = desk.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is HoldCode.API_KEY
    assert desk.first().attempt == 0


def test_an_api_that_is_away_before_the_intent_is_tried_again_a_minute_later(desk: Desk) -> None:
    desk.api.down = Ambiguous("away", status=503)

    assert desk.send() == 0

    assert desk.ledger.intent() is None
    assert (desk.first().not_before, desk.first().error) == (START + timedelta(minutes=1), "away")


def test_a_plan_that_is_not_what_was_planned_is_not_sent_and_leaves_no_intent(desk: Desk) -> None:
    damaged = chunk(3, size=len(PLAN))

    with pytest.raises(Conflict, match="not what was planned"):
        desk.sender._send(damaged, "me", desk.clock() + timedelta(minutes=15))

    assert desk.ledger.intent() is None
    assert desk.api.bodies == []


def two_of_a_size(desk: Desk, ours: bytes, other: bytes) -> tuple[BatchId, BatchId]:
    """Lose the answer to the first chunk's create beside a batch of the same size; both have ended with these results.

    Returns ours, and the other.
    """
    desk.api.accept_then_lose = 1
    desk.send()
    (mine,) = desk.api.stored
    desk.api.add(3)
    for batch_id, lines in zip(list(desk.api.stored), (ours, other), strict=True):
        desk.api.end(batch_id, lines)
    desk.clock.move(minutes=15)
    return mine, list(desk.api.stored)[1]


OTHERS = b'{"custom_id":"somebody-else"}\n'
OURS = b'{"custom_id":"' + custom_id(RUN, chunk_id(0, 1), 1).encode() + b'"}\n'
UNTOLD = b'\r\n{"type":"error"}\n<html>\n'


@pytest.mark.parametrize("before", [b"\r\n", b'{"type":"error"}\n'])
def test_a_batch_whose_results_begin_with_a_line_that_names_no_row_is_told_by_the_next(
    desk: Desk, before: bytes
) -> None:
    ours, _ = two_of_a_size(desk, before + OURS, before + OTHERS)

    desk.send()

    assert desk.first().batch_id == ours
    assert len(desk.api.bodies) == 2  # the second is the other chunk's


@pytest.mark.parametrize("untold", [b"", UNTOLD])
def test_results_that_name_no_row_do_not_say_that_a_batch_is_not_ours(desk: Desk, untold: bytes) -> None:
    ours, other = two_of_a_size(desk, untold, untold)
    standing = desk.ledger.intent()
    assert standing is not None

    assert desk.made_by(standing) is None
    assert desk.send() == 0
    again = desk.ledger.intent()
    assert again is not None
    assert again.retry_at == desk.clock() + timedelta(minutes=1)
    desk.api.lines[other] = OTHERS
    assert desk.made_by(standing) == [desk.api.stored[ours]]  # the only one that is left, and proved when it is read


def test_of_batches_that_never_tell_whose_they_are_one_is_taken_and_nothing_is_sent_again(desk: Desk) -> None:
    two_of_a_size(desk, b"", UNTOLD)
    desk.clock.move(minutes=104, seconds=59)
    desk.send()
    assert desk.ledger.intent() is not None
    desk.clock.move(minutes=1)

    desk.send()

    assert desk.first().state is ChunkState.SENT
    assert desk.first().adopted
    assert len(desk.api.bodies) == 2  # the stack is free again: the second is the other chunk's


def test_a_single_candidate_is_taken_unread_whatever_its_results_begin_with(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    (ours,) = desk.api.stored
    desk.api.end(ours, OTHERS + OURS)
    desk.clock.move(minutes=15)

    desk.send()

    assert desk.first().batch_id == ours


def test_a_batch_that_still_runs_is_waited_for_however_long_another_tells_nothing(desk: Desk) -> None:
    two_of_a_size(desk, b"", b"")
    desk.api.add(3)
    desk.clock.move(hours=3)
    standing = desk.ledger.intent()
    assert standing is not None

    assert desk.made_by(standing) is None


def test_results_that_cannot_be_had_keep_no_others_from_telling(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = two_of_a_size(desk, OURS, b"")
    read = desk.api.results

    def results(batch: BatchView) -> Any:
        if batch.id == other:
            raise Redirected("elsewhere")
        return read(batch)

    monkeypatch.setattr(desk.api, "results", results)

    desk.send()

    assert desk.first().batch_id == ours


def test_a_batch_that_another_chunk_disowned_and_that_tells_nothing_now_is_waited_for_and_then_taken(
    desk: Desk,
) -> None:
    _, firsts = swapped(desk)
    desk.api.end(firsts, b"")
    desk.ledger.not_sent(disown(desk, 2), not_before=None, error="")
    again = disown(desk, 1)

    assert desk.made_by(again) is None
    desk.clock.move(hours=2)
    assert desk.made_by(again) == [desk.api.stored[firsts]]


def test_a_batch_made_long_after_the_sender_was_dead_is_no_candidate(desk: Desk) -> None:
    desk.clock.move(minutes=36)
    desk.api.add(3)

    assert desk.made_by(intent(3)) == []


def test_nothing_is_sent_with_too_little_time_left(desk: Desk) -> None:
    assert desk.send(minutes=3.3) == 0

    assert desk.api.bodies == []
    assert desk.ledger.intent() is None


def test_a_sender_frozen_behind_its_intent_does_not_send(desk: Desk) -> None:
    start_send = desk.ledger.start_send

    def freeze(planned: Chunk, made: object) -> None:
        start_send(planned, made)  # type: ignore[arg-type]
        desk.clock.move(minutes=14)

    desk.ledger.start_send = freeze  # type: ignore[method-assign, assignment]

    assert desk.send() == 0

    assert desk.api.bodies == []
    assert desk.states() == [ChunkState.PLANNED, ChunkState.PLANNED]


def test_a_held_run_sends_nothing_and_still_settles_its_intent(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    desk.clock.move(minutes=15)

    assert desk.send() == 0

    assert desk.states() == [ChunkState.SENT, ChunkState.PLANNED]


def test_of_two_that_reconcile_at_once_one_wins(desk: Desk) -> None:
    desk.api.accept_then_lose = 1
    desk.send()
    standing = desk.ledger.intent()
    assert standing is not None
    desk.clock.move(minutes=15)
    listed = desk.made_by(standing) or []
    desk.ledger.not_sent(standing, not_before=None, error="the other one was faster, and saw nothing")

    with pytest.raises(Conflict):
        desk.sender._decide(standing, listed, desk.clock())
    assert not desk.sender.settle(standing)
    assert desk.states() == [ChunkState.PLANNED, ChunkState.PLANNED]
    assert desk.ledger.claims(b.id for b in listed) == {}
