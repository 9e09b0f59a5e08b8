"""Money is reserved before it is spent, once, and never beyond a cap; a pilot is judged before the rest is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.budgeting import Budgeter, rows_left
from nightshift.decision import sendable
from nightshift.errors import Conflict
from nightshift.estimating import raised_share
from nightshift.model import (
    Budget,
    ChunkState,
    Estimate,
    Hold,
    HoldCode,
    Run,
    RunId,
    RunState,
    Tally,
    Worker,
    chunk_id,
)
from nightshift.money import PICO
from nightshift.prices import price_sheet
from nightshift.report import Reporter
from nightshift.sending import Sender
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fakes import MemoryOutputs
from tests.unit.made import MONTH, RUN, chunk, input_ref, intent, run
from tests.unit.night import JOB, Night, ids, parsed
from tests.unit.result_lines import canceled, errored, expired, labelled, succeeded

CENT = PICO // 100
HELD = Hold(HoldCode.BY_HAND, "because", START)
PENNILESS: dict[str, Any] = {"reserved": None, "row_reserve": 0, "budget_month": ""}


def estimate(expected: int, rows: int = 3, bound: int = 0) -> Estimate:
    return Estimate(
        rows, 30, expected, expected, expected, 2 * expected, rows, START, expected=expected, bound=bound or expected
    )


def open_run(ledger: DynamoLedger, expected: int, number: int = 1, **changes: Any) -> RunId:
    """Put a planned run of three rows that is expected to cost so much."""
    run_id = RunId(f"triage-20261122-aaaaaa{number // 26 + 2}{chr(ord('a') + number % 26)}")
    made = run(run_id, inputs=(input_ref(f"inbox/triage/{number}"),), **PENNILESS | changes)
    ledger.create_run(made)
    ledger.plan_chunk(replace(chunk(), run_id=run_id))
    ledger.finish_plan(replace(made, rows=3, plan_digest="d", estimate=estimate(expected)))
    return run_id


def budgeter(ledger: DynamoLedger, cap: int | None = None) -> Budgeter:
    return Budgeter(ledger, MemoryOutputs(), MovableClock(), cap)


def money(found: Run) -> tuple[int | None, int, str]:
    return found.reserved, found.spent, found.budget_month


class TestReserving:
    def test_a_run_reserves_what_it_is_expected_to_cost_once(self, ledger: DynamoLedger) -> None:
        run_id = open_run(ledger, 10 * CENT + 1)

        for _ in range(3):
            budgeter(ledger).prepare(run_id)

        per_row = (10 * CENT + 1) // 3 + 1
        assert (ledger.run(run_id).row_reserve, money(ledger.run(run_id))) == (per_row, (3 * per_row, 0, MONTH))
        assert ledger.budget(MONTH) == Budget(committed=3 * per_row)

    def test_two_submits_at_once_reserve_once(self, ledger: DynamoLedger) -> None:
        run_id = open_run(ledger, 9 * CENT)
        seen = ledger.run(run_id)
        assert ledger.reserve(seen, per_row=3 * CENT, rows=3, month=MONTH, cap=None)
        assert ledger.reserve(seen, per_row=3 * CENT, rows=3, month=MONTH, cap=None)  # the same, so it stands
        with pytest.raises(Conflict):
            ledger.reserve(seen, per_row=4 * CENT, rows=3, month=MONTH, cap=None)
        assert ledger.budget(MONTH) == Budget(committed=9 * CENT)

    @pytest.mark.parametrize("changes", [{"hold": HELD}, {"state": RunState.DONE}])
    def test_a_run_that_sends_nothing_reserves_nothing(self, ledger: DynamoLedger, changes: dict[str, Any]) -> None:
        made = run(**PENNILESS | changes, planned=True)
        ledger.create_run(made)
        with pytest.raises(Conflict):
            ledger.reserve(made, per_row=CENT, rows=3, month=MONTH, cap=None)
        assert (ledger.run(RUN).reserved, ledger.budget(MONTH)) == (None, Budget())

    def test_without_money_nothing_is_sent(self, ledger: DynamoLedger, clock: MovableClock) -> None:
        run_id, api = open_run(ledger, CENT), FakeApi(clock)
        assert sendable(ledger.run(run_id), ledger.chunks(run_id), clock()) == []
        with pytest.raises(Conflict):
            ledger.start_send(replace(chunk(), run_id=run_id), intent(run_id=run_id))
        assert (ledger.intent(), api.bodies) == (None, [])

    def test_a_model_without_a_price_is_sent_with_nothing_reserved(self, ledger: DynamoLedger) -> None:
        made = run(**PENNILESS)
        ledger.create_run(made)
        ledger.plan_chunk(chunk())
        ledger.finish_plan(replace(made, rows=3, plan_digest="d"))
        budgeter(ledger, cap=1).prepare(RUN)
        assert (ledger.run(RUN).hold, money(ledger.run(RUN))) == (None, (0, 0, MONTH))


class TestCaps:
    def test_a_run_above_its_own_cap_is_held_and_says_by_how_much(self, ledger: DynamoLedger) -> None:
        made = run(**PENNILESS)
        ledger.create_run(made)
        ledger.plan_chunk(chunk())
        ledger.finish_plan(
            replace(made, rows=3, plan_digest="d", estimate=estimate(3 * PICO, bound=9 * PICO), max_usd=2 * PICO)
        )

        budgeter(ledger).prepare(RUN)

        hold = ledger.run(RUN).hold
        assert hold == Hold(
            HoldCode.OVER_MAX_USD,
            "the run is expected to cost $3.00 (at most $9.00), $1.00 more than limits.max_usd of jobs/triage.yaml, "
            f"$2.00: raise that, or send it anyway with `nightshift resume {RUN} --approve`",
            START,
        )
        assert ledger.budget(MONTH) == Budget()
        ledger.release(ledger.run(RUN), approve=HoldCode.OVER_MAX_USD)
        budgeter(ledger).prepare(RUN)
        assert money(ledger.run(RUN)) == (3 * PICO, 0, MONTH)

    def test_a_run_that_costs_just_what_is_allowed_is_sent(self, ledger: DynamoLedger) -> None:
        run_id = open_run(ledger, 3 * PICO, max_usd=3 * PICO)
        budgeter(ledger, cap=3 * PICO).prepare(run_id)
        assert money(ledger.run(run_id)) == (3 * PICO, 0, MONTH)

    def test_of_two_runs_for_the_last_dollar_one_gets_it(self, ledger: DynamoLedger) -> None:
        first, second = open_run(ledger, PICO * 3 // 4, 1), open_run(ledger, PICO * 3 // 4, 2)

        for run_id in (first, second):
            budgeter(ledger, cap=PICO).prepare(run_id)

        assert money(ledger.run(first)) == (PICO * 3 // 4, 0, MONTH)
        assert ledger.run(second).hold == Hold(
            HoldCode.OVER_MONTH,
            f"$0.75 of {MONTH} are spent or reserved, this run wants $0.75 more, and the stack's MonthlyCapUsd is "
            f"$1.00: $0.50 too much. Raise it, wait for the next month, or send it anyway with "
            f"`nightshift resume {second} --approve`",
            START,
        )
        ledger.release(ledger.run(second), approve=HoldCode.OVER_MONTH)
        budgeter(ledger, cap=PICO).prepare(second)
        assert ledger.budget(MONTH) == Budget(committed=PICO * 3 // 2)

    def test_fifty_runs_at_once_never_pass_the_months_cap_and_none_is_lost(self, ledger: DynamoLedger) -> None:
        runs = [open_run(ledger, 3 * CENT, number) for number in range(50)]

        def prepare(run_id: RunId) -> None:
            for _ in range(20):  # an invocation that met too much traffic is followed by another
                try:
                    budgeter(ledger, cap=100 * CENT).prepare(run_id)
                except ledger._client.exceptions.TransactionCanceledException:
                    continue
                return

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(prepare, runs))

        found = [ledger.run(run_id) for run_id in runs]
        paid = [each for each in found if each.reserved == 3 * CENT]
        held = [each for each in found if each.hold is not None and each.hold.code is HoldCode.OVER_MONTH]
        assert (len(paid), len(held)) == (33, 17)
        assert ledger.budget(MONTH) == Budget(committed=99 * CENT)

    def test_sending_stops_where_rows_cost_more_than_was_expected(
        self, ledger: DynamoLedger, clock: MovableClock
    ) -> None:
        ledger.create_run(run(max_usd=2000 * 1_000_000, spent=1000 * 1_000_000 + 1))
        ledger.plan_chunk(chunk())
        assert Sender(ledger, FakeApi(clock), MemoryOutputs(), clock).send(RUN, owner="me", deadline=_later(clock)) == 0
        hold = ledger.run(RUN).hold
        assert hold is not None
        assert hold.code is HoldCode.OVER_MAX_USD

    def test_sending_stops_where_the_month_has_cost_more_than_was_expected(
        self, ledger: DynamoLedger, clock: MovableClock
    ) -> None:
        run_id = open_run(ledger, 3 * CENT)
        budgeter(ledger, cap=3 * CENT).prepare(run_id)
        sender = Sender(ledger, FakeApi(clock), MemoryOutputs(), clock, cap=3 * CENT - 1)
        assert sender.send(run_id, owner="me", deadline=_later(clock)) == 0
        hold = ledger.run(run_id).hold
        assert hold is not None
        assert hold.code is HoldCode.OVER_MONTH


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


class TestSettling:
    def test_what_ended_rows_had_reserved_becomes_what_they_cost(self, night: Night) -> None:
        night.begin(chunks=2, max_generations=1, **_priced())
        a, b, c = ids(chunk_id(0, 1), 3)
        night.answer(1, labelled(a), labelled(b), expired(c))
        night.answer(2, *map(labelled, ids(chunk_id(0, 2), 3)))

        night.collect()

        row = 16 * 50_000 + 5 * 250_000 + 2 * 62_500 + 5 * 100_000 + 3 * 5_000
        assert money(night.run()) == (
            1000 * 1_000_000 - 5 * 1_000_000,
            5 * row,
            MONTH,
        )  # the expired row may be sent again
        # the month never knew of the 1,000 rows that the test gave to its run
        assert night.ledger.budget(MONTH) == Budget(committed=5 * row - 5 * 1_000_000, spent=5 * row)
        assert sum(night.chunk(chunk_id(0, 1)).tally.paid.values()) == 2 * row

    def test_a_chunk_is_settled_once(self, night: Night) -> None:
        night.begin(**_priced())
        night.answer(1, *map(labelled, ids(chunk_id(0, 1), 3)))
        night.collect()
        before, done = night.run(), night.chunk(chunk_id(0, 1))

        worker = Worker("late", START + timedelta(hours=1))
        with_worker = replace(done, state=ChunkState.ARCHIVED, worker=worker)
        night.ledger.collected(with_worker, worker, before, MONTH)  # it stands: nothing is added

        assert (night.run(), night.ledger.budget(MONTH).spent) == (before, before.spent)

    def test_a_reserve_that_was_revised_meanwhile_is_read_again(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin(chunks=2, sent=1, pilot=3, **_priced())
        night.answer(1, *map(labelled, ids(chunk_id(0, 1), 3)))
        collected, revisions = night.ledger.collected, iter([True])

        def revise_first(*args: Any) -> None:
            if next(revisions, False):
                night.ledger.revise(night.run(), None, per_row=7, rows=6, cap=None)
            collected(*args)

        monkeypatch.setattr(night.ledger, "collected", revise_first)
        night.collect()
        assert night.run().reserved == 7 * 3

    def test_money_of_a_held_run_is_released_and_reserved_anew_when_it_goes_on(
        self, ledger: DynamoLedger, clock: MovableClock
    ) -> None:
        run_id = open_run(ledger, 9 * CENT)
        budgeter(ledger).prepare(run_id)
        ledger.hold(run_id, HELD)
        reporter = Reporter(ledger, MemoryOutputs(), clock)

        reporter.report(run_id)
        assert (ledger.run(run_id).reserved, ledger.budget(MONTH)) == (None, Budget())
        reporter.report(run_id)
        assert ledger.budget(MONTH) == Budget()
        ledger.release(ledger.run(run_id), approve=None)
        budgeter(ledger).prepare(run_id)
        assert ledger.budget(MONTH) == Budget(committed=9 * CENT)

    def test_money_that_was_reserved_anew_in_the_next_month_is_not_released_in_the_old_one(
        self, ledger: DynamoLedger
    ) -> None:
        run_id = open_run(ledger, 9 * CENT)
        budgeter(ledger).prepare(run_id)
        ledger.hold(run_id, HELD)
        seen = ledger.run(run_id)  # and then its reporter is frozen
        ledger.settle_nothing_more(seen)
        ledger.release(seen, approve=None)
        assert ledger.reserve(ledger.run(run_id), per_row=3 * CENT, rows=3, month="2026-12", cap=None)
        ledger.hold(run_id, HELD)

        ledger.settle_nothing_more(seen)

        assert money(ledger.run(run_id)) == (9 * CENT, 0, "2026-12")
        assert (ledger.budget(MONTH), ledger.budget("2026-12")) == (Budget(), Budget(committed=9 * CENT))

    def test_money_of_a_run_that_goes_on_or_has_a_batch_in_flight_is_not_released(self, night: Night) -> None:
        night.begin()
        before = night.run()
        night.ledger.settle_nothing_more(before)
        assert night.run() == before
        night.ledger.hold(RUN, HELD)
        Reporter(night.ledger, night.outputs, night.clock).report(RUN)
        assert night.run().reserved == before.reserved

    def test_what_is_collected_of_a_run_without_money_is_spent_all_the_same(self, night: Night) -> None:
        night.begin(**_priced())
        night.answer(1, *map(labelled, ids(chunk_id(0, 1), 3)))
        night.ledger.hold(RUN, HELD)
        night.ledger.settle_nothing_more(night.run())
        before = night.ledger.budget(MONTH).committed
        night.collect()
        spent = night.run().spent
        assert spent > 0
        assert (night.run().reserved, night.ledger.budget(MONTH)) == (None, Budget(before + spent, spent))

    def test_rows_are_left_until_their_chunk_is_collected_and_they_cannot_be_sent_again(self) -> None:
        done: dict[str, Any] = {"state": ChunkState.COLLECTED}
        chunks = [
            chunk(1, **done),
            chunk(2),
            chunk(3, tally=Tally(retryable=2), **done),
            chunk(1, generation=1, rows=2),
        ]
        assert rows_left(chunks) == 9 - 3 - 1
        assert rows_left([*chunks[:3], chunk(1, generation=1, rows=2, **done)]) == 3


class TestRaised:
    """Rows that were cut off are asked with more tokens: more is reserved for them, or nothing is sent."""

    @pytest.fixture
    def cut(self, night: Night) -> Night:
        """Return a night with two rows to retry, which are planned: one was cut off, one expired."""
        night.job = JOB + b"retry: {generations: 2, cut_off: 2}\n"
        night.begin(max_generations=2, max_usd=10 * PICO, **_priced())
        a, b, c = ids(chunk_id(0, 1), 3)
        night.answer(1, succeeded(a, "x", stop_reason="max_tokens"), expired(b), labelled(c))
        night.collect()
        for number, raised in ((1, False), (2, True)):
            night.ledger.plan_chunk(chunk(number, generation=1, rows=1, raised=raised))
        return night

    def share(self, night: Night) -> int:
        return raised_share(night.run(), parsed(night.job), estimate(6 * CENT, rows=6))

    def test_what_was_reserved_is_released_and_more_is_reserved_before_they_are_sent(self, cut: Night) -> None:
        before, committed = cut.run(), cut.ledger.budget(MONTH).committed
        assert cut.ledger.next_generation(before, anew=True)
        assert money(cut.run()) == (None, before.spent, MONTH)
        assert cut.ledger.budget(MONTH).committed == committed - (before.reserved or 0)
        assert sendable(cut.run(), cut.ledger.chunks(RUN), START) == []
        assert cut.ledger.next_generation(before, anew=True)  # it stands: nothing is released twice
        assert cut.ledger.budget(MONTH).committed == committed - (before.reserved or 0)

        Budgeter(cut.ledger, cut.outputs, cut.clock, None).prepare(RUN)

        each = -(-(CENT + self.share(cut)) // 2)
        assert self.share(cut) > 128 * 250_000  # an answer of 128 tokens, and its prompt
        assert (cut.run().row_reserve, cut.run().reserved) == (each, 2 * each)
        assert len(sendable(cut.run(), cut.ledger.chunks(RUN), START)) == 2

    def test_where_the_month_has_no_room_for_more_the_run_is_held(self, cut: Night) -> None:
        cut.ledger.next_generation(cut.run(), anew=True)
        room = cut.ledger.budget(MONTH).committed + CENT + self.share(cut)
        Budgeter(cut.ledger, cut.outputs, cut.clock, room - 1).prepare(RUN)
        hold = cut.run().hold
        assert hold is not None
        assert (hold.code, cut.run().reserved) == (HoldCode.OVER_MONTH, None)

    def test_when_they_are_collected_the_rest_is_reserved_as_before(self, cut: Night) -> None:
        cut.ledger.next_generation(cut.run(), anew=True)
        chunks = cut.ledger.chunks(RUN)
        done = [replace(c, state=ChunkState.COLLECTED) if c.raised else c for c in chunks]
        keeper = Budgeter(cut.ledger, cut.outputs, cut.clock, None)
        assert keeper._per_row(cut.run(), done, cut.run().estimate) == CENT

    def test_a_generation_without_such_rows_keeps_what_was_reserved(self, cut: Night) -> None:
        before, committed = cut.run(), cut.ledger.budget(MONTH)
        assert cut.ledger.next_generation(before, anew=False)
        assert (cut.run().reserved, cut.ledger.budget(MONTH)) == (before.reserved, committed)

    @pytest.mark.parametrize(("month", "more"), [("2026-12", 0), (MONTH, 7)])
    def test_money_that_was_reserved_anew_meanwhile_is_not_released(self, cut: Night, month: str, more: int) -> None:
        seen = cut.run()
        cut.ledger.hold(RUN, HELD)
        cut.ledger.settle_nothing_more(cut.run())
        cut.ledger.release(cut.run(), approve=None)
        assert cut.ledger.reserve(cut.run(), per_row=(seen.reserved or 0) + more, rows=1, month=month, cap=None)
        committed = cut.ledger.budget(month)
        assert not cut.ledger.next_generation(seen, anew=True)
        assert (cut.run().generation, cut.ledger.budget(month)) == (0, committed)


class TestPilot:
    @pytest.fixture
    def judged(self, night: Night) -> Iterator[Night]:
        night.job = JOB + b"pilot: {rows: 3, above: 3, max_bad: 0.3}\n"
        night.begin(chunks=2, sent=1, pilot=3, pilot_wait=3600, plan=2, **_priced())
        yield night
        assert night.outputs.files[run_files.job(RUN, 2)] == night.job

    def prepare(self, night: Night, *lines: bytes, cap: int | None = None) -> Run:
        night.answer(1, *lines)
        night.collect()
        Budgeter(night.ledger, night.outputs, night.clock, cap).prepare(RUN)
        return night.run()

    def test_good_answers_let_the_rest_go_and_correct_what_is_reserved(self, judged: Night) -> None:
        assert judged.run().piloted is False
        found = self.prepare(judged, *map(labelled, ids(chunk_id(0, 1), 3)))
        # too few answers to tell their length: the first estimate stands, and with it a cent for each row
        assert (found.hold, found.piloted, found.revised) == (None, True, found.estimate)
        assert (found.row_reserve, found.reserved) == (CENT, 3 * CENT)
        assert [each.id for each in sendable(found, judged.ledger.chunks(RUN), START)] == [chunk_id(0, 2)]

    def test_bad_answers_hold_the_run_and_say_what_was_wrong_with_them(self, judged: Night) -> None:
        a, b, c = ids(chunk_id(0, 1), 3)
        found = self.prepare(judged, labelled(a), succeeded(b, '{"label": "the ticket\'s own text"}'), labelled(c, "x"))
        assert found.hold is not None
        assert (found.hold.code, found.piloted) == (HoldCode.BAD_PILOT, False)
        assert found.hold.reason == (
            "2 of the 3 pilot rows got no usable answer, and pilot.max_bad of jobs/triage.yaml is 0.3: 2 x "
            f"not_a_label. The rows are in runs/{RUN}/failed/; nothing more is sent. Mend the job, put "
            f"it, and submit the input again; or send the rest with `nightshift resume {RUN} --approve`"
        )
        assert sendable(found, judged.ledger.chunks(RUN), START) == []
        judged.ledger.release(found, approve=HoldCode.BAD_PILOT)
        Budgeter(judged.ledger, judged.outputs, judged.clock, None).prepare(RUN)
        assert judged.run().piloted

    def test_rows_that_may_succeed_later_say_nothing_about_the_prompt(self, judged: Night) -> None:
        a, b, c = ids(chunk_id(0, 1), 3)
        found = self.prepare(judged, expired(a), errored(b), canceled(c))
        assert (found.hold, found.piloted) == (None, True)

    def test_a_pilot_that_shows_that_the_month_has_no_room_holds_the_rest(self, judged: Night) -> None:
        found = self.prepare(judged, *map(labelled, ids(chunk_id(0, 1), 3)), cap=CENT)
        assert found.hold is not None
        assert (found.hold.code, found.piloted) == (HoldCode.OVER_MONTH, False)

    def test_the_rest_waits_for_the_pilot_but_not_longer_than_the_job_says(self, judged: Night) -> None:
        def due(minutes: int) -> list[str]:
            now = START + timedelta(minutes=minutes)
            return [each.id for each in sendable(judged.run(), judged.ledger.chunks(RUN), now)]

        assert (due(59), due(60)) == ([], [chunk_id(0, 2)])

    def test_a_pilot_is_judged_once(self, judged: Night) -> None:
        before = self.prepare(judged, *map(labelled, ids(chunk_id(0, 1), 3)))
        with pytest.raises(Conflict):
            judged.ledger.revise(before, None, per_row=1, rows=3, cap=None)
        assert judged.run() == before


def _priced() -> dict[str, Any]:
    return {"prices": price_sheet("claude-haiku-5-5", date(2026, 11, 25)), "estimate": estimate(6 * CENT, rows=6)}


def _later(clock: MovableClock) -> Any:
    return clock() + timedelta(minutes=15)
