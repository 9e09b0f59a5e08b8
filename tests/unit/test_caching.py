"""Whether requests get a cache breakpoint is arithmetic, and its result is said in one sentence."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from nightshift.caching import LEAST_OF_UNKNOWN, Plan, decide, least_prefix, priming, why_not_at_all
from nightshift.estimating import Estimator
from nightshift.job import Job
from nightshift.model import Caching
from nightshift.money import PICO
from nightshift.prices import price_sheet
from tests.unit.conftest import MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.token_api import WordsApi

TODAY = date(2026, 11, 25)
SYSTEM = "one two three four five six"
NOTHING = "no cache breakpoint: the job has no `system` and no `examples`, so requests share nothing to cache"
NO_PILOT = "no cache breakpoint: without a pilot nothing fills the cache, and each row would pay for writing it"


def job(**changes: Any) -> Job:
    fields = {
        "job": "triage",
        "input": {"format": "jsonl"},
        "max_tokens": 64,
        "system": SYSTEM,
        "prompt": "{{ body }}",
        "output": {"text": True},
    }
    return Job.model_validate(fields | changes)


def plan(rows: int = 5000, pilot: int = 20, model: str = "claude-haiku-5-5", **changes: Any) -> Plan:
    return Plan(job(model=model, **changes), price_sheet(model, TODAY), rows, pilot)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-haiku-5-5", 512),
        ("claude-opus-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-fable-5", 512),
        ("claude-fable-5-1", 512),
        ("claude-fable-5-2", 512),
        ("claude-mythos-5", 512),
        ("claude-mythos-5-1", 512),
        ("claude-mythos-5-2", 512),
        ("claude-opus-4-8", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-6", 1024),
        ("claude-sonnet-4-5", 1024),
        ("claude-sonnet-4-5-20250929", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-haiku-4-5-20251001", 4096),
        ("claude-opus-4-6", 4096),
        ("claude-opus-4-5", 4096),
        ("claude-nova-7", LEAST_OF_UNKNOWN),
    ],
)
def test_each_model_caches_no_shorter_prefix_than_documented(model: str, tokens: int) -> None:
    assert least_prefix(model) == tokens


@pytest.mark.parametrize(
    ("cache", "system", "pilot", "why"),
    [
        ("never", SYSTEM, 20, "no cache breakpoint: the job says `cache.when: never`"),
        ("never", "", 0, "no cache breakpoint: the job says `cache.when: never`"),
        ("primed", " \n", 20, NOTHING),
        ("always", "", 20, NOTHING),
        ("primed", SYSTEM, 0, NO_PILOT),
        ("primed", SYSTEM, 1, ""),
        ("always", SYSTEM, 0, ""),
    ],
)
def test_some_jobs_have_no_breakpoint_however_long_their_prefix_is(
    cache: str, system: str, pilot: int, why: str
) -> None:
    assert why_not_at_all(plan(pilot=pilot, system=system, cache={"when": cache})) == why


@pytest.mark.parametrize("when", ["primed", "always"])
@pytest.mark.parametrize(("model", "least"), [("claude-haiku-5-5", 512), ("claude-opus-4-7", 2048)])
def test_a_prefix_below_the_minimum_gets_none_and_one_of_the_minimum_does(model: str, least: int, when: str) -> None:
    planned = plan(model=model, cache={"when": when})
    why = f"no cache breakpoint: requests share {least - 1:,} tokens, and {model} caches none below {least:,}"
    assert decide(planned, least - 1, counted=True) == Caching(least - 1, least, "", why, counted=True)
    assert decide(planned, least, counted=False).ttl == "1h"
    assert decide(planned, least, counted=False).counted is False


def why(writes: int, tokens: str, reads: int) -> str:
    return f"{writes} rows are expected to write the {tokens} tokens that all share, {reads:,} to read them"


def test_a_primed_cache_is_used_where_its_writes_cost_less_than_its_reads_save() -> None:
    # By hand, haiku-5-5, 1,000 tokens: 20 rows and each twentieth of 1,980 write at $0.10 a million, the others read
    # at $0.005; uncached they cost $0.05.
    writes, reads, plain = (20 + 99) * 1000 * 0.10, 1881 * 1000 * 0.005, 2000 * 1000 * 0.05
    assert (writes + reads, plain) == (21_305, 100_000)  # in millionths of a dollar

    found = decide(plan(rows=2000), 1000, counted=True)

    assert priming(plan(rows=2000), price_sheet("claude-haiku-5-5", TODAY), 1000) == (21_305 * 10**6, 10**11)
    said = f"{why(119, '1,000', 1881)}: $0.021 instead of $0.10 for them"
    assert found == Caching(1000, 512, "1h", f"cache breakpoint for 1h: {said}")


def test_a_pilot_that_costs_more_to_write_than_the_others_save_gets_none() -> None:
    # By hand: 18 of 37 rows and a miss write at $4 a million, 18 read at $0.10: 19 x 4 + 18 x 0.1 = 77.8 > 37 x 2.
    planned = plan(rows=37, pilot=18, model="claude-opus-5-5")

    found = decide(planned, 1000, counted=True)

    said = f"{why(19, '1,000', 18)}: $0.078 instead of $0.074 for them"
    assert found == Caching(1000, 512, "", f"no cache breakpoint: {said}")
    always = replace(planned, job=job(model="claude-opus-5-5", cache={"when": "always"}))
    assert decide(always, 1000, counted=True) == Caching(1000, 512, "1h", f"cache breakpoint for 1h: {said}")


def test_priming_that_costs_the_same_does_not_pay() -> None:
    # By hand, sonnet-5 in a batch: 8 rows and a miss at $2, and 10 x $0.10, are 19 x $1, to the cent.
    planned = plan(rows=19, pilot=8, model="claude-sonnet-5")
    cached, plain = priming(planned, price_sheet("claude-sonnet-5", TODAY), 2000)
    assert cached == plain == 19 * 2000 * PICO // 10**6
    assert decide(planned, 2000, counted=True).ttl == ""


def test_a_shorter_ttl_is_written_for_less() -> None:
    # By hand, as above with 5 minutes: 9 x $1.25 + 10 x $0.10 = $12.25 of $19.
    planned = plan(rows=19, pilot=8, model="claude-sonnet-5", cache={"ttl": "5m"})
    assert priming(planned, price_sheet("claude-sonnet-5", TODAY), 2000)[0] == 24_500 * 10**6
    said = f"{why(9, '2,000', 10)}: $0.024 instead of $0.038 for them"
    assert decide(planned, 2000, counted=True) == Caching(2000, 1024, "5m", f"cache breakpoint for 5m: {said}")


def test_without_a_pilot_always_means_that_every_row_may_write() -> None:
    planned = plan(rows=30, pilot=0, cache={"when": "always"})
    said = f"{why(30, '1,000', 0)}: $0.0030 instead of $0.0015 for them"
    assert decide(planned, 1000, counted=True) == Caching(1000, 512, "1h", f"cache breakpoint for 1h: {said}")


def test_without_a_price_a_primed_cache_is_taken_to_pay() -> None:
    planned = replace(plan(rows=37, pilot=18), prices=None)
    assert decide(planned, 1000, counted=True).why == f"cache breakpoint for 1h: {why(19, '1,000', 18)}"
    assert decide(planned, 1000, counted=True).ttl == "1h"


def test_a_long_prefix_is_written_and_read_at_the_long_rates() -> None:
    # By hand, haiku-5-5: 100,001 x (119 x $0.50 + 1,881 x $0.025) and 100,001 x 2,000 x $0.25, in $ per million.
    planned = plan(rows=2000)
    found = priming(planned, price_sheet("claude-haiku-5-5", TODAY), 100_001)
    assert found == (100_001 * 106_525_000, 100_001 * 500_000_000)


class TestCounting:
    def estimator(self, api: WordsApi) -> Estimator:
        return Estimator(api, MemoryOutputs(), MovableClock())

    def test_what_requests_share_is_counted_as_the_difference_that_it_makes(self) -> None:
        api = WordsApi()
        system = "word " * 600
        found = self.estimator(api).caching(plan(system=system, params={"inference_geo": "us"}))
        assert (found.prefix_tokens, found.ttl, found.counted) == (600, "1h", True)
        question = {"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "."}]}
        shared = {"thinking": {"type": "disabled"}, "system": [{"type": "text", "text": system}]}
        assert api.counted == [question | shared, question]

    def test_nothing_is_counted_where_it_cannot_matter(self) -> None:
        api = WordsApi()
        found = self.estimator(api).caching(plan(pilot=0))
        assert (found, api.counted) == (Caching(0, 512, "", NO_PILOT), [])

    def test_an_api_that_is_away_leaves_a_guess_that_says_so(self) -> None:
        found = self.estimator(WordsApi(down_after=0)).caching(plan(system="abc " * 750))
        assert found.counted is False
        assert 1000 <= found.prefix_tokens < 1100
        assert found.ttl == "1h"
