"""What must be true of the ledger: each rule is silent about a sound one, and speaks where one thing is wrong."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift.invariants import (
    Violation,
    of_archive,
    of_batches,
    of_change,
    of_commitment,
    of_months,
    of_pins,
    of_run,
    of_time,
)
from nightshift.model import (
    Archive,
    BatchId,
    Budget,
    Caching,
    Chunk,
    ChunkState,
    Claim,
    Estimate,
    Hold,
    HoldCode,
    RowClass,
    Run,
    RunState,
    Tally,
    Verifying,
    Worker,
)
from nightshift.money import PriceSheet, Rates
from tests.unit.conftest import START
from tests.unit.made import RUN, batch, chunk, run

ARCHIVE = Archive("runs/r/raw/g0-000001.jsonl", size=90, lines=3, sha256="aa")
WORKER = Worker("me", START)
ALL = Tally({RowClass.ANSWERED: 3})
RATES = Rates(input=1, output=5, cache_write_5m=2, cache_write_1h=3, cache_read=1)
SHEET = PriceSheet("claude-haiku-5-5", "here", "2026-11-22", batch=RATES, standard=RATES)
ESTIMATE = Estimate(3, 30, 10, 10, 10, 20, 3, START)


def of(state: ChunkState, number: int = 1, generation: int = 0, **changes: Any) -> Chunk:
    """Return a sound chunk in a state."""
    has: dict[str, Any] = {}
    if state is not ChunkState.PLANNED:
        has["attempt"] = 1
    if state not in {ChunkState.PLANNED, ChunkState.SENDING}:
        has |= {"batch_id": BatchId(f"msgbatch_g{generation}_{number}"), "sent_at": START}
    if state in {ChunkState.ARCHIVED, ChunkState.COLLECTED}:
        has |= {"archive": ARCHIVE}
    if state is ChunkState.COLLECTED:
        has |= {"applied": ARCHIVE.size, "tally": ALL}
    return chunk(number, state, generation, **(has | changes))


def claims(*chunks: Chunk) -> dict[BatchId, Claim]:
    return {c.batch_id: Claim(RUN, c.id) for c in chunks if c.batch_id is not None}


def codes(violations: Iterable[Violation]) -> list[str]:
    return [v.code for v in violations]


@pytest.mark.parametrize("state", ChunkState)
def test_a_sound_chunk_breaks_nothing(state: ChunkState) -> None:
    made = of(state)
    assert codes(of_run(run(), [made], claims(made))) == []


def test_a_run_that_is_done_and_adds_up_breaks_nothing() -> None:
    first = of(
        ChunkState.COLLECTED, tally=Tally({RowClass.ANSWERED: 2}, retryable=1), planned=Tally({RowClass.REJECTED: 4})
    )
    again = of(ChunkState.COLLECTED, generation=1, rows=1, tally=Tally({RowClass.EXPIRED: 1}))
    ended = run(
        state=RunState.DONE, planned=True, rows=8, generation=1, leftover=Tally({RowClass.DUPLICATE: 1}), reserved=0
    )

    assert codes(of_run(ended, [first, again], claims(first, again))) == []


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (of(ChunkState.SENT, batch_id=None), "I1"),
        (of(ChunkState.SENT, sent_at=None), "I1"),
        (of(ChunkState.SENDING, batch_id=BatchId("b")), "I1"),
        (of(ChunkState.SENDING, attempt=0), "I8"),
        (of(ChunkState.SENT, worker=WORKER), "I8"),
        (of(ChunkState.COLLECTED, worker=WORKER), "I8"),
        (of(ChunkState.ARCHIVED, archive=None), "I5"),
        (of(ChunkState.ENDED, archive=ARCHIVE), "I5"),
        (of(ChunkState.ARCHIVED, applied=91), "I5"),
        (of(ChunkState.COLLECTED, applied=89), "I2"),
        (of(ChunkState.COLLECTED, tally=Tally({RowClass.ANSWERED: 2})), "I2"),
    ],
    ids=[
        "sent without a batch",
        "sent without a time",
        "sending with a batch",
        "sending in no attempt",
        "a worker before the end",
        "a worker after the end",
        "archived without an archive",
        "an archive before its time",
        "applied beyond the end",
        "collected, not applied",
        "collected, a row short",
    ],
)
def test_a_chunk_that_has_what_its_state_must_not_have_or_lacks_it_is_told(broken: Chunk, code: str) -> None:
    assert codes(of_run(run(), [broken], claims(broken))) == [code]


@pytest.mark.parametrize(
    "claim",
    [None, Claim(RUN, of(ChunkState.SENT, 2).id), Claim(RUN, of(ChunkState.SENT).id, foreign=True)],
    ids=["none", "another chunk's", "foreign"],
)
def test_a_batch_without_its_chunks_claim_is_told(claim: Claim | None) -> None:
    made = of(ChunkState.SENT)
    found = {made.batch_id: claim} if claim and made.batch_id else {}
    assert codes(of_run(run(), [made], found)) == ["I1"]


def test_a_batch_of_two_chunks_is_told() -> None:
    first = of(ChunkState.SENT)
    second = of(ChunkState.SENT, 2, batch_id=first.batch_id)
    assert codes(of_run(run(), [first, second], claims(first))) == ["I1", "I1"]  # and the second has no claim


def test_rows_that_are_asked_again_before_their_generation_is_collected_are_told() -> None:
    chunks = [of(ChunkState.ARCHIVED), of(ChunkState.PLANNED, generation=1)]
    assert codes(of_run(run(), chunks, claims(*chunks))) == ["I1"]


@pytest.mark.parametrize(
    ("changes", "left"),
    [({"rows": 4}, ChunkState.COLLECTED), ({"planned": False}, ChunkState.COLLECTED), ({"rows": 0}, ChunkState.ENDED)],
    ids=["a row without a class", "an unfinished plan", "a chunk that is not collected"],
)
def test_a_run_that_is_done_and_does_not_add_up_is_told(changes: dict[str, Any], left: ChunkState) -> None:
    made = of(left)
    done: dict[str, Any] = {"state": RunState.DONE, "planned": True, "rows": 3, "reserved": None}
    ended = run(**(done | changes))
    assert codes(of_run(ended, [made], claims(made))) == ["I2"]


PAID = Tally({RowClass.ANSWERED: 3}, paid={"input": 7, "output": 4})


def test_a_run_that_has_spent_what_its_collected_chunks_cost_breaks_nothing() -> None:
    chunks = [of(ChunkState.COLLECTED, tally=PAID), of(ChunkState.COLLECTED, 2, tally=PAID)]
    chunks.append(of(ChunkState.ARCHIVED, 3, tally=PAID))  # applied, and not settled
    assert codes(of_run(run(spent=22), chunks, claims(*chunks))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"spent": 12},
        {"spent": 0},
        {"spent": 11, "reserved": -1},
        {"spent": 11, "reserved": 1, "state": RunState.DONE, "planned": True, "rows": 3},
    ],
    ids=["more than it cost", "less than it cost", "less than nothing reserved", "done, and money reserved"],
)
def test_a_run_whose_money_does_not_add_up_is_told(changes: dict[str, Any]) -> None:
    made = of(ChunkState.COLLECTED, tally=PAID)
    assert codes(of_run(run(**changes), [made], claims(made))) == ["I9"]


JULY, AUGUST = "2026-07", "2026-08"
RUNS = [
    run(spent=5, reserved=10, budget_month=JULY),
    run(spent=6, reserved=20, budget_month=AUGUST),
    run(spent=0, reserved=None, budget_month=AUGUST, verify_spent=4, verifying=Verifying("me", START, JULY, said=3)),
    run(spent=0, reserved=None, budget_month=""),
]


@pytest.mark.parametrize(
    "months",
    [
        {JULY: Budget(committed=22, spent=9), AUGUST: Budget(committed=26, spent=6)},
        {JULY: Budget(committed=28, spent=15), AUGUST: Budget(committed=20, spent=0)},
    ],
    ids=["a run to a month", "what a run spent before its money was reserved anew stays in the old month"],
)
def test_months_that_have_what_their_runs_have_break_nothing(months: dict[str, Budget]) -> None:
    assert codes(of_months(months, RUNS)) == []


@pytest.mark.parametrize(
    ("july", "august"),
    [
        (Budget(committed=21, spent=9), Budget(committed=26, spent=6)),
        (Budget(committed=19, spent=9), Budget(committed=26, spent=6)),
        (Budget(committed=22, spent=9), Budget(committed=46, spent=6)),
        (Budget(committed=23, spent=10), Budget(committed=26, spent=6)),
        (Budget(committed=18, spent=5), Budget(committed=26, spent=6)),
    ],
    ids=[
        "too little committed",
        "a verifier's money not committed",
        "a reserve twice",
        "more spent than runs have",
        "a verification not spent",
    ],
)
def test_a_month_that_does_not_add_up_is_told(july: Budget, august: Budget) -> None:
    assert codes(of_months({JULY: july, AUGUST: august}, RUNS)) == ["I9"]


def test_a_month_that_has_nothing_although_a_run_has_money_reserved_in_it_is_told() -> None:
    assert codes(of_months({}, [run(reserved=1)])) == ["I9"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Budget(80, 10), Budget(100, 10), []),
        (Budget(80, 10), Budget(101, 10), ["I9"]),
        (Budget(120, 10), Budget(110, 10), []),
        (Budget(120, 10), Budget(121, 10), ["I9"]),
        (Budget(100, 10), Budget(105, 30), []),
    ],
    ids=["up to the cap", "beyond it", "less, still beyond it", "further beyond it", "rows that cost more"],
)
def test_what_is_reserved_beyond_the_cap_is_told_and_what_was_spent_is_not(
    before: Budget, after: Budget, expected: list[str]
) -> None:
    assert codes(of_commitment(before, after, 100)) == expected


PINNED = run(caching=Caching(0, 512), piloted=True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (run(), PINNED, []),
        (PINNED, replace(PINNED, spent=9), []),
        (PINNED, replace(PINNED, caching=Caching(1, 512)), ["I9"]),
        (PINNED, replace(PINNED, caching=None), ["I9"]),
        (PINNED, replace(PINNED, piloted=False), ["I9"]),
        (PINNED, replace(PINNED, caching=None, piloted=False, replanned_at=START), []),
    ],
    ids=["settled", "as it was", "settled again", "forgotten", "its pilot forgotten", "planned anew"],
)
def test_what_money_follows_from_is_settled_once(before: Run, after: Run, expected: list[str]) -> None:
    assert codes(of_pins(before, after)) == expected


@pytest.mark.parametrize("name", ["prices", "estimate", "revised"])
def test_neither_prices_nor_estimates_change(name: str) -> None:
    before: Any = {"prices": SHEET, "estimate": ESTIMATE, "revised": ESTIMATE}[name]
    after = replace(before, **{"on": "2026-11-23"} if name == "prices" else {"rows": 4})
    assert codes(of_pins(run(**{name: before}), run(**{name: after}))) == ["I9"]


@pytest.mark.parametrize(
    ("state", "days", "expected"),
    [
        (ChunkState.SENT, 25, []),
        (ChunkState.SENT, 26, ["I4"]),
        (ChunkState.ARCHIVED, 26, ["I4"]),
        (ChunkState.COLLECTED, 26, []),
    ],
)
def test_a_batch_of_more_than_25_days_is_told_until_it_is_collected(
    state: ChunkState, days: int, expected: list[str]
) -> None:
    held = run(hold=Hold(HoldCode.BY_HAND, "because", START))
    assert codes(of_time(held, [of(state)], START + timedelta(days=days))) == expected


MINUTES_46 = START + timedelta(minutes=46)


def test_a_run_that_stands_still_is_told() -> None:
    assert codes(of_time(run(), [chunk()], START + timedelta(minutes=45))) == []
    assert codes(of_time(run(), [chunk()], MINUTES_46)) == ["I6"]
    assert codes(of_time(run(changed_at=START + timedelta(minutes=10)), [chunk()], MINUTES_46)) == []
    assert codes(of_time(run(), [of(ChunkState.SENT)], START + timedelta(hours=25, minutes=1))) == ["I6"]
    over = of(ChunkState.COLLECTED, not_before=MINUTES_46 + timedelta(minutes=1))
    assert codes(of_time(run(), [over], MINUTES_46)) == ["I6"]  # nothing is due of what is collected


def test_what_was_put_off_or_just_collected_stands_still_only_when_the_next_look_is_long_overdue() -> None:
    due = START + timedelta(hours=1)
    collected = of(ChunkState.COLLECTED, collected_at=due)
    for stands, made in ((run(), chunk(not_before=due)), (run(retry_at=due), chunk()), (run(), collected)):
        assert codes(of_time(stands, [made], due + timedelta(minutes=45))) == []
        assert codes(of_time(stands, [made], due + timedelta(minutes=46))) == ["I6"]


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({"hold": Hold(HoldCode.BY_HAND, "because", START)}, chunk()),
        ({"state": RunState.DONE}, chunk()),
        ({"retry_at": MINUTES_46 + timedelta(minutes=1)}, chunk()),
        ({}, chunk(not_before=MINUTES_46 + timedelta(minutes=1))),
        ({}, of(ChunkState.SENT)),
    ],
    ids=["held", "done", "backing off", "a chunk that is kept back", "a batch in flight"],
)
def test_a_run_that_has_a_reason_to_stand_still_is_not_told(changes: dict[str, Any], made: Chunk) -> None:
    assert codes(of_time(run(**changes), [made], MINUTES_46)) == []


def test_a_batch_without_a_claim_is_told_when_every_create_must_be_settled() -> None:
    made = batch()
    assert codes(of_batches([made], {}, START + timedelta(minutes=45))) == []
    assert codes(of_batches([made], {}, MINUTES_46)) == ["I3"]
    assert codes(of_batches([made], {made.id: Claim(RUN, chunk().id, foreign=True)}, MINUTES_46)) == []


EDGES = [
    (None, of(ChunkState.PLANNED)),
    (of(ChunkState.PLANNED), None),
    (of(ChunkState.PLANNED), of(ChunkState.SENDING)),
    (of(ChunkState.PLANNED, attempt=1), of(ChunkState.SENT, adopted=True)),
    (of(ChunkState.SENDING), of(ChunkState.PLANNED, attempt=1)),
    (of(ChunkState.SENDING), of(ChunkState.SENT)),
    (of(ChunkState.SENT), of(ChunkState.SENT, batch_id=BatchId("orphan"), adopted=True)),
    (of(ChunkState.SENT), of(ChunkState.ENDED)),
    (of(ChunkState.ENDED), of(ChunkState.ENDED, worker=WORKER)),
    (of(ChunkState.ENDED), of(ChunkState.SENDING)),
    (of(ChunkState.ENDED), of(ChunkState.ARCHIVED)),
    (of(ChunkState.ARCHIVED, applied=10), of(ChunkState.ARCHIVED, applied=90)),
    (of(ChunkState.ARCHIVED, applied=90), of(ChunkState.COLLECTED)),
]


@pytest.mark.parametrize(("before", "after"), EDGES)
def test_every_edge_may_be_passed(before: Chunk | None, after: Chunk | None) -> None:
    assert codes(of_change(before, after)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, of(ChunkState.SENT)),
        (of(ChunkState.SENDING), None),
        (of(ChunkState.PLANNED), of(ChunkState.ENDED, attempt=0)),
        (of(ChunkState.SENT), of(ChunkState.PLANNED, attempt=1)),
        (of(ChunkState.COLLECTED), of(ChunkState.ENDED, archive=ARCHIVE, applied=90)),
        (of(ChunkState.PLANNED), of(ChunkState.SENDING, attempt=2)),
        (of(ChunkState.SENDING, attempt=2), of(ChunkState.PLANNED, attempt=1)),
        (of(ChunkState.ENDED), of(ChunkState.ENDED, batch_id=BatchId("another"))),
        (of(ChunkState.SENT), of(ChunkState.SENT, batch_id=BatchId("another"))),
        (of(ChunkState.ARCHIVED, applied=10), of(ChunkState.ARCHIVED, applied=9)),
        (of(ChunkState.ARCHIVED), of(ChunkState.ARCHIVED, archive=replace(ARCHIVE, sha256="bb"))),
        (of(ChunkState.PLANNED), of(ChunkState.PLANNED, sha256="11")),
    ],
)
def test_no_other_change_may_happen(before: Chunk | None, after: Chunk | None) -> None:
    assert codes(of_change(before, after)) == ["I8"]


def test_an_archive_that_is_its_plan_breaks_nothing() -> None:
    assert codes(of_archive({"a", "b", "c"}, {"a", "b", "c"}, ARCHIVE, "aa", 0)) == []
    assert codes(of_archive({"a", "b", "c", "d"}, {"a", "b", "c"}, ARCHIVE, "aa", 1)) == []


@pytest.mark.parametrize(
    ("planned", "archived", "sha256", "missing"),
    [
        ("abc", "abc", "bb", 0),
        ("ab", "abc", "aa", 0),
        ("abcd", "abc", "aa", 0),
        ("abc", "abc", "aa", 1),
        ("ab", "ab", "aa", 0),
    ],
    ids=["other bytes", "an unplanned row", "a lost row", "a row missing and there", "fewer rows than lines"],
)
def test_an_archive_that_is_not_its_plan_is_told(planned: str, archived: str, sha256: str, missing: int) -> None:
    assert codes(of_archive(set(planned), set(archived), ARCHIVE, sha256, missing)) == ["I5"]
