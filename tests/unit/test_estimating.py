"""What a run will cost: every part of an estimate by hand, and its interval when there is nobody to ask."""

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import run_files
from nightshift.errors import NotSent
from nightshift.estimating import Estimator, guess, measured, raised_share, revised
from nightshift.job import Job
from nightshift.model import Caching, Chunk, Estimate, chunk_id
from nightshift.plan_sample import MOST, SAMPLE
from nightshift.prices import price_sheet
from nightshift.requests import request_line
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.list_prices import LISTED
from tests.unit.made import RUN, chunk, run
from tests.unit.token_api import WordsApi

HAIKU = "claude-haiku-5-5"
LATER = START + timedelta(hours=1)
PICO_PER_MTOK = 10**6
"""Picodollars of a token whose million costs a dollar."""


def job(**changes: Any) -> Job:
    fields = {
        "job": "triage",
        "input": {"format": "jsonl"},
        "model": HAIKU,
        "max_tokens": 100,
        "prompt": "{{ body }}",
        "output": {"text": True},
    }
    return Job.model_validate(fields | changes)


def line(number: int, text: str) -> bytes:
    params = {"model": HAIKU, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    return request_line(f"a-g0-000001-{number:06d}", json.dumps(params, ensure_ascii=False).encode())


@dataclass
class Planned:
    """A plan in one chunk or two, its job, and an API that counts words."""

    texts: list[str]
    pilot: int = 0
    caching: Caching | None = None
    model: str = HAIKU

    def __post_init__(self) -> None:
        self.clock = MovableClock()
        self.api = WordsApi(self.clock)
        self.outputs = MemoryOutputs()
        lines = [line(number, text) for number, text in enumerate(self.texts, 1)]
        parts = [part for part in (lines[: self.pilot], lines[self.pilot :]) if part]
        self.chunks = [self._put(number, part) for number, part in enumerate(parts, 1)]
        prices = price_sheet(self.model, date(2026, 11, 25))
        self.run = run(prices=prices, pilot=self.pilot, caching=self.caching)

    def _put(self, number: int, lines: list[bytes]) -> Chunk:
        self.outputs.files[run_files.plan(RUN, chunk_id(0, number), 1)] = b"".join(lines)
        return chunk(number, rows=len(lines), size=sum(map(len, lines)))

    def estimate(self, **changes: Any) -> Estimate:
        made = Estimator(self.api, self.outputs, self.clock).estimate(
            self.run, job(model=self.model, **changes), self.chunks, LATER
        )
        assert made is not None
        return made


def priced(model: str, prompt: int, **counts: int) -> int:
    """Return what tokens cost in a batch by the list prices, in picodollars."""
    prices = LISTED[model].per_mtok(prompt, batch=True)
    return int(sum(count * prices[kind] * PICO_PER_MTOK for kind, count in counts.items()))


def test_an_estimate_of_rows_that_were_all_counted_is_exact_in_every_part() -> None:
    plan = Planned(["one", "two words", "and three words"])

    # By hand: 6 tokens of prompts at $0.05 a million; answers of 1, max_tokens / 4 and max_tokens at $0.25.
    prompts, answer = 6 * 50_000, 250_000
    assert plan.estimate() == Estimate(
        rows=3,
        input_tokens=6,
        input_cost=prompts,
        input_low=prompts,
        input_high=prompts,
        input_synchronous=2 * prompts,
        sample=3,
        at=START,
        output_tokens=75,
        expected=prompts + 3 * 25 * answer,
        low=prompts + 3 * answer,
        high=prompts + 300 * answer,
        bound=prompts + 300 * answer,
        synchronous=2 * (prompts + 3 * 25 * answer),
        basis="a guess",
        long_rows=0,
    )


def test_the_bound_has_rows_cut_off_and_asked_once_more_and_so_has_what_is_reserved_for_those() -> None:
    plan = Planned(["one", "two words", "and three words"])
    made, plain = plan.estimate(retry={"cut_off": 2.5}), plan.estimate()

    prompts, answer = 6 * 50_000, 250_000
    assert made == replace(plain, bound=plain.bound + prompts + 3 * 250 * answer)
    assert raised_share(plan.run, job(retry={"cut_off": 2.5}), made) == (prompts + 3 * 250 * answer) // 3
    assert raised_share(plan.run, job(), made) == 0


def test_what_is_counted_is_the_request_without_what_the_count_takes_no_notice_of() -> None:
    plan = Planned(["one"])
    plan.estimate()
    assert plan.api.counted == [{"model": HAIKU, "messages": [{"role": "user", "content": "one"}]}]


def test_labels_are_guessed_from_their_bytes() -> None:
    # By hand: {"label": "a"} has 14 bytes, {"label": "ä"} 15 and {"label": "abcdefghij"} 23; 3 bytes a token.
    made = job(output={"labels": ["a", "ä", "abcdefghij"]})
    assert guess(made).mean == pytest.approx(52 / 9)
    assert (guess(made).low, guess(made).high, guess(made).basis) == (1, 100, "labels")
    assert guess(job(output={"labels": ["a", "b"]}, max_tokens=2)).mean == 2
    thinking = job(output={"labels": ["a", "b"]}, thinking="adaptive")
    assert (guess(thinking).mean, guess(thinking).basis) == (25, "a guess")
    assert guess(job(max_tokens=1)).mean == 1


class TestWithoutTheApi:
    def test_an_attachment_is_guessed_from_what_it_is_and_not_from_its_bytes(self) -> None:
        plan = Planned([""])
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 900_000}}
        link = {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}}
        params = {"messages": [{"role": "user", "content": [image, link, {"type": "text", "text": "What?"}]}]}
        line = request_line("a-g0-000001-000001", json.dumps(params).encode())
        plan.chunks = [plan._put(1, [line])]
        plan.api.down_after = 0

        made = plan.estimate()

        text = (len(line) - 900_000) // 3
        assert made.sample == 0
        assert made.input_tokens == pytest.approx(1_600 + 10_000 + text, abs=1)

    def plan(self) -> Planned:
        return Planned([f"{n} " * 50 for n in range(SAMPLE + 100)])

    def test_an_api_that_is_away_from_the_start_leaves_a_guess_of_half_as_much_on_each_side(self) -> None:
        plan = self.plan()
        plan.api.down_after = 0
        found = plan.estimate()
        size = sum(each.size for each in plan.chunks)
        assert found.sample == 0
        assert found.input_tokens == pytest.approx(size / 3, rel=0.01)
        assert found.input_cost == pytest.approx(found.input_tokens * 50_000, abs=50_000)
        sides = (found.input_cost - found.input_low, found.input_high - found.input_cost)
        assert sides == pytest.approx((found.input_cost / 2, found.input_cost / 2))

    def test_a_single_row_that_could_not_be_counted_is_a_guess_too(self) -> None:
        plan = Planned(["one"])
        plan.api.down_after = 0
        found = plan.estimate()
        assert found.sample == 0
        assert found.input_high == pytest.approx(1.5 * found.input_cost, rel=0.01)

    @pytest.mark.parametrize(("answered", "off"), [(3, 0.501), (20, 0.08), (SAMPLE - 1, 0.03)])
    def test_an_api_that_goes_away_leaves_what_it_counted(self, answered: int, off: float) -> None:
        plan = Planned([f"{'x' * (1 + n % 9)} " * (40 + n % 20) for n in range(SAMPLE + 100)])
        plan.api.down_after = answered
        found = plan.estimate()
        assert found.sample == answered
        assert off / 2 < found.input_high / found.input_cost - 1 <= off
        assert found.input_cost - found.input_low == pytest.approx(found.input_high - found.input_cost, abs=1)

    @pytest.mark.parametrize(("seconds", "until", "counts"), [(7, 60, 9), (60, 3600, 2), (0.7, 3600, SAMPLE)])
    def test_counting_ends_when_its_time_is_up_and_after_two_minutes(
        self, seconds: float, until: int, counts: int
    ) -> None:
        plan = self.plan()
        count = plan.api.count

        def slowly(text: str) -> int:
            plan.clock.move(seconds=seconds)
            return count(text)

        plan.api.count = slowly
        estimator = Estimator(plan.api, plan.outputs, plan.clock)
        found = estimator.estimate(plan.run, job(), plan.chunks, START + timedelta(seconds=until))
        assert found is not None
        assert (found.sample, found.at) == (counts, START + timedelta(seconds=seconds) * counts)
        assert found.rows == SAMPLE + 100

    def test_every_kind_of_failure_of_the_api_is_one(self) -> None:
        plan = self.plan()

        def fails(_text: str) -> int:
            raise NotSent("no connection")

        plan.api.count = fails
        assert plan.estimate().sample == 0


def test_no_more_is_counted_than_it_takes() -> None:
    alike = Planned([f"{n:05} word word" for n in range(1000)])
    alike.estimate()
    assert len(alike.api.counted) == SAMPLE
    mixed = Planned(["word " * 300 if n % 3 else "w" * 1500 for n in range(1000)])
    mixed.estimate()
    assert len(mixed.api.counted) == MOST


def test_nothing_is_estimated_without_a_price_or_a_row_and_retries_are_no_rows() -> None:
    plan = Planned(["one", "two words"])
    estimator = Estimator(plan.api, plan.outputs, plan.clock)
    assert estimator.estimate(replace(plan.run, prices=None), job(), plan.chunks, LATER) is None
    assert estimator.estimate(plan.run, job(), [], LATER) is None
    retry = chunk(1, generation=1, rows=9, size=999)
    assert estimator.estimate(plan.run, job(), [retry], LATER) is None
    assert estimator.estimate(plan.run, job(), [*plan.chunks, retry], LATER) == plan.estimate()
    assert plan.estimate().rows == 2


class TestCaching:
    SHARED = 600
    TEXTS = ("word " * (SHARED + 10)).split("\n") * 44

    @pytest.mark.parametrize(("ttl", "write"), [("1h", "cache_write_1h"), ("5m", "cache_write_5m")])
    def test_the_pilot_writes_and_95_in_100_of_the_rest_read(self, ttl: str, write: str) -> None:
        plan = Planned(self.TEXTS, pilot=4, caching=Caching(self.SHARED, 512, ttl))

        found = plan.estimate()

        own = priced(HAIKU, 0, input=44 * 10)
        writes, reads = (priced(HAIKU, 0, **{kind: self.SHARED}) for kind in (write, "cache_read"))
        assert found.input_tokens == 44 * 610
        assert found.input_cost == pytest.approx(own + 6 * writes + 38 * reads, abs=44)  # a picodollar for each row
        assert found.input_synchronous == pytest.approx(2 * found.input_cost, abs=44)
        assert found.input_low == own + 44 * reads  # somebody has filled the cache before
        hits = 12  # of 40, as the documentation warns
        assert found.input_high == pytest.approx(own + (44 - hits) * writes + hits * reads, abs=44)

    def test_without_a_pilot_all_write(self) -> None:
        found = Planned(self.TEXTS, caching=Caching(self.SHARED, 512, "1h")).estimate()
        own = priced(HAIKU, 0, input=44 * 10)
        assert found.input_cost == found.input_high == own + priced(HAIKU, 0, cache_write_1h=44 * self.SHARED)
        assert found.input_low == own + priced(HAIKU, 0, cache_read=44 * self.SHARED)

    def test_without_a_breakpoint_all_is_input(self) -> None:
        found = Planned(self.TEXTS, pilot=4, caching=Caching(self.SHARED, 512, "")).estimate()
        assert found.input_cost == found.input_low == found.input_high == priced(HAIKU, 0, input=44 * 610)

    def test_a_prompt_that_counts_less_than_the_prefix_is_all_prefix(self) -> None:
        plan = Planned(["short"] * 3, caching=Caching(self.SHARED, 512, "1h"))
        assert plan.estimate().input_cost == priced(HAIKU, 0, cache_write_1h=3)

    def test_a_long_prompt_writes_its_prefix_at_the_long_rates(self) -> None:
        plan = Planned(["long"] * 3, caching=Caching(5_000, 512, "1h"))
        plan.api.count = lambda _text: 100_001
        found = plan.estimate()
        assert found.input_cost == 3 * priced(HAIKU, 100_001, input=95_001, cache_write_1h=5_000)


def test_inference_in_the_us_costs_a_tenth_more_in_every_part() -> None:
    plan = Planned(["word " * n for n in range(1, 30)], pilot=3, caching=Caching(20, 0, "1h"))
    plain, us = plan.estimate(), plan.estimate(params={"inference_geo": "us"})
    parts = ("input_cost", "input_low", "input_high", "input_synchronous", "expected", "low", "high", "bound")
    for part in (*parts, "synchronous"):
        assert getattr(us, part) == pytest.approx(1.1 * getattr(plain, part), abs=30)  # a picodollar for each row
    assert us.output_tokens == plain.output_tokens


def test_long_prompts_pay_the_long_rates_for_themselves_and_for_their_answers() -> None:
    plan = Planned(["long", "short", "short", "long", "long"])
    plan.api.count = lambda text: 100_001 if text == "long" else 100_000

    found = plan.estimate()

    assert found.long_rows == 3
    assert found.input_cost == priced(HAIKU, 100_001, input=300_003) + priced(HAIKU, 100_000, input=200_000)
    answers = priced(HAIKU, 100_001, output=3 * 25) + priced(HAIKU, 100_000, output=2 * 25)
    assert found.expected == found.input_cost + answers
    assert found.bound == found.input_cost + 4 * answers
    assert found.synchronous == 2 * found.expected


class TestRevising:
    def revise(self, lengths: list[int], plan: Planned | None = None, **changes: Any) -> tuple[Estimate, Estimate]:
        plan = plan or Planned(["one"] * 50)
        first = plan.estimate(**changes)
        found = revised(replace(plan.run, estimate=first), job(**changes), lengths)
        assert found is not None
        return first, found

    def test_the_pilot_s_answers_are_known_and_the_others_are_like_them(self) -> None:
        first, found = self.revise([10] * 8)

        # By hand: 8 answers of 10 tokens, and 42 of 10, give or take 2 %; at $0.25 a million.
        answer, prompts = 250_000, 50 * 50_000
        assert found == replace(
            first,
            output_tokens=500,
            expected=prompts + 500 * answer,
            low=prompts + round(80 + 42 * 9.8) * answer,
            high=prompts + round(80 + 42 * 10.2) * answer,
            bound=prompts + (80 + 42 * 100) * answer,
            synchronous=2 * (prompts + 500 * answer),
            basis="the pilot",
        )

    def test_the_fewer_rows_are_left_the_less_their_mean_is_known(self) -> None:
        lengths = [10, 12, 14, 16, 18] * 2
        _, found = self.revise(lengths, Planned(["one"] * 11))
        length = measured(lengths, 1, 100)
        assert length is not None
        assert found.high == 11 * 50_000 + round(140 + length.high) * 250_000

    def test_answers_longer_than_max_tokens_are_believed(self) -> None:
        first, found = self.revise([150] * 10)
        assert found.expected == found.high == found.bound == first.input_cost + 50 * 150 * 250_000

    def test_too_few_answers_leave_the_estimate_as_it_was(self) -> None:
        first, found = self.revise([10] * 4)
        assert found == first

    def test_without_an_estimate_or_a_price_there_is_nothing_to_revise(self) -> None:
        plan = Planned(["one"] * 50)
        assert revised(replace(plan.run, estimate=None), job(), [10] * 8) is None
        assert revised(replace(plan.run, estimate=plan.estimate(), prices=None), job(), [10] * 8) is None

    @given(lengths=st.lists(st.integers(0, 120), max_size=60), pilot=st.integers(0, 5), cached=st.booleans())
    def test_low_expected_high_and_bound_are_in_this_order(self, lengths: list[int], pilot: int, cached: bool) -> None:  # noqa: FBT001
        caching = Caching(1, 1, "1h" if cached else "")
        plan = Planned([f"{n} words" for n in range(60)], pilot=pilot, caching=caching)
        for each in self.revise(lengths, plan):
            assert each.input_low <= each.input_cost <= each.input_high
            assert each.low <= each.expected <= each.high <= each.bound
            assert each.expected <= each.synchronous


class TestMeasured:
    def test_few_answers_tell_nothing(self) -> None:
        assert measured([], 100, 64) is None
        assert measured([5, 6, 7, 8], 100, 64) is None

    def test_equal_answers_have_a_little_slack(self) -> None:
        found = measured([20] * 20, 1000, 64)
        assert found is not None
        assert (found.mean, found.low, found.high, found.basis) == (20, 19.6, 20.4, "the pilot")

    @pytest.mark.parametrize(
        ("lengths", "wider"),
        [([10] * 9 + [60], "high"), ([60] * 9 + [10], "low"), ([10] * 5 + [20] * 5, "neither")],
    )
    def test_the_interval_is_wider_on_the_side_of_the_tail(self, lengths: list[int], wider: str) -> None:
        found = measured(lengths, 1000, 1000)
        assert found is not None
        up, down = found.high - found.mean, found.mean - found.low
        assert wider == ("neither" if up == pytest.approx(down) else "high" if up > down else "low")

    def test_a_mean_of_many_rows_is_surer_than_that_of_few(self) -> None:
        few, many = (measured([10, 12, 14, 16, 18], rest, 1000) for rest in (1, 1000))
        assert few is not None
        assert many is not None
        assert few.high - few.mean > 1.5 * (many.high - many.mean)

    def test_no_answer_is_longer_than_max_tokens_or_shorter_than_nothing(self) -> None:
        found = measured([1, 64, 1, 64, 1, 64], 1000, 64)
        assert found is not None
        assert (found.low, found.high) == (0, 64)
