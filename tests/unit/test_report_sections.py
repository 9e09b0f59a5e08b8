"""What a report works out: times, pilot, cache, headline, charts, and how it writes numbers."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

import pytest

from nightshift.model import Caching, ChunkState, Hold, HoldCode, RowClass, Run, Tally
from nightshift.report_charts import Bar, Interval, PairedRow, bars, interval, outcome_bars, paired_rows, phases
from nightshift.report_headline import headline
from nightshift.report_sections import cache, in_usd, pilot, timings
from nightshift.report_words import column, duration, money, octets, percent, sentence
from tests.unit import made, reports
from tests.unit.conftest import START

NBSP = "\N{NO-BREAK SPACE}"
DOLLAR = reports.DOLLAR


def at(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


class TestTimings:
    def test_what_another_clock_made_negative_took_no_time(self) -> None:
        early = replace(reports.collected(1), sent_at=START - at(1), ended_at=START - at(2))
        found = timings(made.run(), [early], START)
        assert (found.queue_seconds, found.processing_seconds, found.collecting_seconds) == (0, 0, 57 * 60)

    def test_times_span_from_the_first_to_the_last_of_the_chunks(self) -> None:
        later = replace(
            reports.collected(2), sent_at=START + at(9), ended_at=START + at(30), collected_at=START + at(99)
        )
        found = timings(made.run(), [later, reports.collected(1)], START + at(100))
        assert (found.first_sent, found.last_ended, found.last_collected) == (
            START + at(5),
            START + at(50),
            START + at(99),
        )

    def test_what_has_not_happened_took_no_known_time(self) -> None:
        found = timings(made.run(), [], START)
        assert (found.waiting_seconds, found.queue_seconds, found.processing_seconds, found.collecting_seconds) == (
            0,
            None,
            None,
            None,
        )


class TestPilot:
    RUN = made.run(pilot=20)

    def test_a_run_without_one_has_none(self) -> None:
        assert pilot(made.run(), [reports.collected(1)]) is None

    @pytest.mark.parametrize(
        ("ended", "rest_sent", "waited_out"), [(50, 51, False), (50, 49, True), (None, 60, True), (50, None, False)]
    )
    def test_it_was_waited_out_where_the_rest_was_sent_before_its_end(
        self, ended: float | None, rest_sent: float | None, *, waited_out: bool
    ) -> None:
        first = replace(reports.collected(1), ended_at=START + at(ended) if ended else None)
        rest = replace(reports.collected(2), sent_at=START + at(rest_sent) if rest_sent else None)
        found = pilot(self.RUN, [first, rest])
        assert found is not None
        assert found.waited_out is waited_out


class TestCache:
    DECIDED = Caching(1000, 512, "1h", "cache breakpoint for 1h: it pays")
    USED: ClassVar = {"cache_read_input_tokens": 3, "ephemeral_1h_input_tokens": 1, "cache_creation_input_tokens": 1}

    @pytest.mark.parametrize(
        ("uncached", "verdict"),
        [
            (4, "caching saved $1.00"),
            (3, "caching saved nothing and cost nothing"),
            (2, "caching cost $1.00 more than none; turn it off or make the prefix longer"),
        ],
    )
    def test_its_verdict_is_what_all_cost_without_it_less_what_was_paid(self, uncached: int, verdict: str) -> None:
        total = Tally(usage=self.USED, paid={"input": 3 * DOLLAR}, uncached=uncached * DOLLAR)
        run = reports.priced_run(1, caching=self.DECIDED)
        found = cache(run, total, accounted=True)
        assert (found.verdict, found.saved_usd, found.hit_rate) == (verdict, Decimal(uncached - 3), 0.75)
        assert cache(run, total, accounted=False).verdict == f"so far, {verdict}"

    def test_a_breakpoint_that_nothing_was_cached_at_is_told_of(self) -> None:
        found = cache(reports.priced_run(1, caching=self.DECIDED), Tally(usage={"input_tokens": 9}), accounted=True)
        assert found.verdict == (
            "nothing was cached, although there is a breakpoint: make the prefix longer, or turn caching off"
        )
        assert found.hit_rate is None

    def test_without_a_breakpoint_the_verdict_is_why(self) -> None:
        none = Caching(10, 512, why="no cache breakpoint: too short")
        found = cache(reports.priced_run(1, caching=none), Tally(usage={"input_tokens": 9}), accounted=True)
        assert (found.verdict, found.ttl) == ("no cache breakpoint: too short", None)


HELD = Hold(HoldCode.NO_MONEY, "pay", START)
BILLED = Tally(
    rows={RowClass.ANSWERED: 1},
    usage={"input_tokens": 1},
    paid={"input": 3_414 * DOLLAR // 1000},
    synchronous=6_828 * DOLLAR // 1000,
)
PAID = f" for $3.41; the same work would have cost $6.83 synchronously: $3.41 saved, 50{NBSP}%"


class TestHeadline:
    @pytest.mark.parametrize(
        ("run", "total", "state", "told"),
        [
            (reports.priced_run(1), BILLED, "done", f"1 row answered{PAID}"),
            (reports.priced_run(1), replace(BILLED, tickets_written=1), "done", f"1 ticket answered{PAID}"),
            (reports.priced_run(12_000), BILLED, "done", f"1 of 12,000 rows answered{PAID}"),
            (reports.priced_run(2), BILLED, "open", f"So far, 1 of 2 rows answered{PAID}"),
            (reports.priced_run(2, hold=HELD), BILLED, "held", f"Held (NO_MONEY): 1 of 2 rows answered{PAID}"),
            (
                reports.priced_run(2, hold=replace(HELD, code=HoldCode.CANCELED)),
                BILLED,
                "held",
                f"Canceled: 1 of 2 rows answered{PAID}",
            ),
            (reports.priced_run(2, hold=HELD), Tally(), "held", "Held, and nothing was billed so far: NO_MONEY"),
            (reports.priced_run(2), Tally(), "open", "Nothing is billed so far: the run goes on"),
            (
                reports.priced_run(2),
                Tally(rows={RowClass.EXPIRED: 2}),
                "done",
                "None of 2 rows was answered, and nothing was billed",
            ),
            (reports.priced_run(0), Tally(), "done", "There were no rows: nothing was asked, and nothing was paid"),
            (
                reports.priced_run(1),
                replace(BILLED, synchronous=sum(BILLED.paid.values())),
                "done",
                "1 row answered for $3.41; the same work would have cost $3.41 synchronously: nothing saved",
            ),
        ],
    )
    def test_it_says_the_run_in_one_sentence(self, run: Run, total: Tally, state: str, told: str) -> None:
        assert headline(run, total, state) == told


class TestCharts:
    def test_the_largest_comes_first_and_the_smallest_can_be_seen(self) -> None:
        assert bars({"a": 1, "c": 1_000_000, "b": 1, "d": 0}, "paid") == [
            Bar("c", 100, "1,000,000", "paid"),
            Bar("a", 0.6, "1", "paid"),
            Bar("b", 0.6, "1", "paid"),
            Bar("d", 0, "0", "paid"),
        ]

    def test_rows_in_no_class_have_a_bar(self) -> None:
        waiting = made.chunk(2, ChunkState.SENT, rows=50)
        report = reports.reported(reports.priced_run(150), [reports.collected(1), waiting], "open")
        assert [(bar.name, bar.width, bar.told) for bar in outcome_bars(report)] == [
            ("answered", 100, "100"),
            ("waiting", 50, "50"),
        ]

    def test_kinds_of_tokens_that_were_compared_are_in_one_order_and_have_as_many_digits(self) -> None:
        paid = b'"batch_tokens": 1, "sync_tokens": 1, "batch_usd": 0.000001, "sync_usd": 0, "ratio": null'
        found = reports.verification("a").replace(b'"input": {', b'"output": {%b}, "input": {' % paid)
        report = reports.reported(reports.priced_run(1), files={f"runs/{made.RUN}/verification.json": found})
        assert paired_rows(report) == [
            PairedRow("Input", "$0.100000", "$0.200000", "2.00"),
            PairedRow("Output", "$0.000001", "$0.000000", "–"),
        ]

    def test_phases_fill_the_line_from_its_left_to_its_right(self) -> None:
        run = reports.priced_run(100, inputs=(replace(made.input_ref(), last_modified=START - at(40)),))
        found = phases(reports.reported(run, [reports.collected(1)]))
        assert [(phase.name, phase.seconds, phase.left, phase.width) for phase in found] == [
            ("Waiting", 2400, 0, 42.11),
            ("Queue", 300, 42.11, 5.26),
            ("Processing", 2700, 47.37, 47.37),
            ("Collecting", 300, 94.74, 5.26),
        ]

    def test_the_estimate_s_points_lie_between_the_margins(self) -> None:
        run = reports.priced_run(300, estimate=reports.estimate(2, 1, 5))
        found = interval(reports.reported(run, [reports.collected(1, rows=300)]))
        assert found == Interval(low=8, high=92, expected=29, actual=50)

    def test_where_there_is_nothing_to_hold_against_an_estimate_there_is_no_chart(self) -> None:
        run = reports.priced_run(300, estimate=reports.estimate(2, 1, 5))
        assert interval(reports.reported(run, [reports.collected(1)])) is None
        assert interval(reports.reported(reports.priced_run(100), [reports.collected(1)])) is None
        certain = reports.priced_run(100, estimate=reports.estimate(1, 1, 1))
        assert interval(reports.reported(certain, [reports.collected(1)])) is None


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (0, "0_s"),
            (59.4, "59_s"),
            (59.5, "1_min"),
            (200, "3_min 20_s"),
            (3600, "1_h"),
            (8100, "2_h 15_min"),
            (86_400 + 7200, "1_d 2_h"),
        ],
    )
    def test_a_duration_has_its_two_largest_units(self, seconds: float, told: str) -> None:
        assert duration(seconds) == told.replace("_", NBSP)

    @pytest.mark.parametrize(
        ("ratio", "told"), [(0, "0"), (0.004, "0.4"), (0.5, "50"), (0.998, "99.8"), (1, "100"), (1.234, "123")]
    )
    def test_a_ratio_is_all_or_nothing_only_where_it_is(self, ratio: float, told: str) -> None:
        assert percent(ratio) == f"{told}{NBSP}%"

    def test_amounts_of_a_column_have_as_many_digits_as_the_largest_is_worth(self) -> None:
        assert column([Decimal("123.456789"), Decimal("0.001")]) == ["$123.46", "$0.00"]
        assert column([Decimal("1.2"), Decimal("0.00012")]) == ["$1.2000", "$0.0001"]
        assert column([Decimal("0.2"), Decimal("0.0000012")]) == ["$0.200000", "$0.000001"]
        assert column([]) == []

    def test_an_amount_by_itself_has_digits_that_tell_something(self) -> None:
        assert [money(Decimal(text)) for text in ("1234.5", "0.0123", "-2", "0")] == [
            "$1,234.50",
            "$0.012",
            "−$2.00",
            "$0.00",
        ]

    def test_an_amount_in_usd_has_every_digit_and_no_more(self) -> None:
        assert [str(in_usd(amount)) for amount in (0, 10**12, 25 * 10**13, 3_414_000_000_001)] == [
            "0",
            "1",
            "250",
            "3.414000000001",
        ]

    def test_bytes_and_sentences(self) -> None:
        assert [octets(size) for size in (999, 1500, 2 * 10**6, 3 * 10**9)] == [
            f"999{NBSP}B",
            f"1.5{NBSP}kB",
            f"2.0{NBSP}MB",
            f"3.0{NBSP}GB",
        ]
        assert [sentence(text) for text in ("a b", "A!", "")] == ["A b.", "A!", "."]
