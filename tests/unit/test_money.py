"""What tokens cost is what the list prices say, to the last digit, whatever a `usage` object looks like."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.money import MOST, PICO, Tokens, amount_of, cost_of, dollars, tokens_of, usd
from nightshift.prices import price_sheet
from tests.unit.list_prices import CLASSES, LISTED, SEARCH

US = Decimal("1.1")
GARBAGE: st.SearchStrategy[Any] = st.sampled_from([None, "12", 1.5, -1, True, [3], {}, MOST + 1])
COUNTS = st.integers(0, 60_000) | st.sampled_from([0, 1, 99_999, 100_000, 100_001, 200_000, 200_001])
SHEETS = {model: price_sheet(model, date(2026, 11, 25)) for model in LISTED}


def used_of(kind: str, count: int, **more: Any) -> Tokens:
    """Make tokens of one class."""
    return Tokens(**{kind: count} | more)


@dataclass(frozen=True)
class Used:
    """A `usage` object, and what a person who reads it sees."""

    usage: dict[str, Any]
    counts: dict[str, int]
    searches: int
    us: bool
    batch: bool

    @property
    def prompt(self) -> int:
        return sum(self.counts.values()) - self.counts["output"]


@st.composite
def used(draw: st.DrawFn) -> Used:
    usage: dict[str, Any] = {}

    def count(into: dict[str, Any], name: str) -> int:
        """Put a count into an object; or garbage, or nothing, which both count as 0."""
        how = draw(st.sampled_from(["count", "count", "garbage", "absent"]))
        if how == "absent":
            return 0
        into[name] = draw(COUNTS if how == "count" else GARBAGE)
        return into[name] if how == "count" else 0

    counts = {
        "input": count(usage, "input_tokens"),
        "output": count(usage, "output_tokens"),
        "cache_read": count(usage, "cache_read_input_tokens"),
        **draw(written(usage, count)),
    }
    tools: dict[str, Any] = {}
    searches = count(tools, "web_search_requests")
    usage["server_tool_use"] = tools
    if draw(st.booleans()):
        usage["server_tool_use"], searches = draw(GARBAGE), 0
    geo = draw(st.sampled_from(["us", "global", "not_available", None, 7]))
    tier = draw(st.sampled_from(["batch", "standard", "priority", None, 7]))
    usage |= {"inference_geo": geo, "service_tier": tier}
    for name in draw(st.sets(st.sampled_from(["inference_geo", "service_tier"]))):
        del usage[name]
    return Used(usage, counts, searches, usage.get("inference_geo") == "us", usage.get("service_tier") == "batch")


@st.composite
def written(draw: st.DrawFn, usage: dict[str, Any], count: Callable[[dict[str, Any], str], int]) -> dict[str, int]:
    """Say what was written to the cache: by TTL with the total beside it or without, or the total alone."""
    if draw(st.booleans()):
        usage["cache_creation"] = draw(GARBAGE)
        if draw(st.booleans()):
            del usage["cache_creation"]
        return {"cache_write_5m": count(usage, "cache_creation_input_tokens"), "cache_write_1h": 0}
    by_ttl: dict[str, Any] = {}
    short, long = count(by_ttl, "ephemeral_5m_input_tokens"), count(by_ttl, "ephemeral_1h_input_tokens")
    usage["cache_creation"] = by_ttl
    if draw(st.booleans()):
        usage["cache_creation_input_tokens"] = short + long
    return {"cache_write_5m": short, "cache_write_1h": long}


def priced(of: Used, model: str, *, batch: bool) -> dict[str, Decimal]:
    """Return what each class of tokens costs in dollars: tokens times the list price, and a tenth more in the US."""
    prices = LISTED[model].per_mtok(of.prompt, batch=batch)
    return {name: of.counts[name] * prices[name] / 10**6 * (US if of.us else 1) for name in CLASSES}


@given(of=used(), model=st.sampled_from(sorted(LISTED)))
def test_any_usage_costs_what_the_list_prices_say(of: Used, model: str) -> None:
    cost = cost_of(tokens_of(of.usage), SHEETS[model])

    classes = priced(of, model, batch=of.batch) | {"web_search": of.searches * SEARCH}
    assert {kind: usd(amount) for kind, amount in cost.paid.items()} == {k: v for k, v in classes.items() if v}
    assert usd(cost.total) == sum(classes.values())


@given(of=used(), model=st.sampled_from(sorted(LISTED)))
def test_the_same_tokens_at_once_cost_the_synchronous_prices_and_uncached_ones_that_of_input(
    of: Used, model: str
) -> None:
    cost = cost_of(tokens_of(of.usage), SHEETS[model])

    searches = of.searches * SEARCH
    assert usd(cost.synchronous) == sum(priced(of, model, batch=False).values()) + searches
    plain = dict.fromkeys(CLASSES, 0) | {"input": of.prompt, "output": of.counts["output"]}
    assert usd(cost.uncached) == sum(priced(replace(of, counts=plain), model, batch=of.batch).values()) + searches


@given(st.lists(used(), max_size=20), st.randoms(use_true_random=False))
def test_sums_are_exact_in_any_order(rows: list[Used], order: random.Random) -> None:
    costs = [cost_of(tokens_of(row.usage), SHEETS["claude-haiku-5-5"]) for row in rows]
    exact = sum((usd(cost.total) for cost in costs), Decimal(0))
    order.shuffle(costs)
    assert usd(sum(cost.total for cost in costs)) == exact
    assert {type(amount) for cost in costs for amount in (*cost.paid.values(), cost.synchronous, cost.uncached)} <= {
        int
    }


def rates(model: str) -> list[tuple[str, int]]:
    """Return the classes of tokens, each in a short and, where that costs more, in a long prompt."""
    long = LISTED[model].long_above
    return [(name, 1) for name in CLASSES] + [(name, long + 1) for name in CLASSES if long and name != "output"]


@pytest.mark.parametrize("model", LISTED)
def test_a_batch_costs_half_in_every_class_of_tokens(model: str) -> None:
    for name, count in rates(model):
        batch, standard = (cost_of(used_of(name, count, tier=tier), SHEETS[model]) for tier in ("batch", "standard"))
        assert 2 * batch.paid[name] == standard.paid[name] == batch.synchronous == standard.synchronous > 0


@pytest.mark.parametrize("model", LISTED)
def test_inference_in_the_us_costs_a_tenth_more_in_every_class_of_tokens(model: str) -> None:
    for name, count in rates(model):
        here, anywhere = (
            cost_of(used_of(name, count, tier="batch", surcharge=us), SHEETS[model]) for us in (True, False)
        )
        pairs = [(here.total, anywhere.total), (here.uncached, anywhere.uncached)]
        assert [10 * more for more, _ in pairs] == [11 * less for _, less in pairs]
        assert 10 * here.synchronous == 11 * anywhere.synchronous


@pytest.mark.parametrize("geo", ["global", "us"])
@pytest.mark.parametrize("tier", ["batch", "standard"])
def test_a_web_search_costs_a_cent_in_a_batch_and_in_the_us_too(tier: str, geo: str) -> None:
    cost = cost_of(Tokens(web_search=3, tier=tier, surcharge=geo == "us"), SHEETS["claude-opus-5"])
    assert (cost.paid, cost.synchronous, cost.uncached) == ({"web_search": 3 * PICO // 100}, cost.total, cost.total)


def test_what_the_total_of_writes_has_beyond_those_told_apart_is_billed_as_five_minutes() -> None:
    usage = {"cache_creation": {"ephemeral_1h_input_tokens": 30}, "cache_creation_input_tokens": 100}
    assert tokens_of(usage) == Tokens(cache_write_1h=30, cache_write_5m=70)
    assert tokens_of({"cache_creation": {}, "cache_creation_input_tokens": 100}) == Tokens(cache_write_5m=100)
    apart = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 80}
    assert tokens_of({"cache_creation": apart, "cache_creation_input_tokens": 1}) == Tokens(
        cache_write_5m=30, cache_write_1h=80
    )


@pytest.mark.parametrize("kind", ["input", "cache_read", "cache_write_5m", "cache_write_1h"])
def test_every_token_of_a_prompt_counts_towards_the_long_rates(kind: str) -> None:
    asked = (used_of(kind, count, output=1, tier="batch") for count in (100_000, 100_001))
    paid = [cost_of(tokens, SHEETS["claude-haiku-5-5"]).paid["output"] for tokens in asked]
    assert [usd(amount) * 10**6 for amount in paid] == [Decimal("0.25"), Decimal("1.25")]
    answer = cost_of(Tokens(output=100_001, tier="batch"), SHEETS["claude-haiku-5-5"])
    assert usd(answer.total) == 100_001 * Decimal("0.25") / 10**6


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "$0.00"),
        (1, "$0.0000000000010"),
        (5_000, "$0.0000000050"),
        (PICO // 1000, "$0.0010"),
        (123_456_789_000, "$0.12"),
        (12_345_678_900, "$0.012"),
        (994 * PICO // 1000, "$0.99"),
        (PICO - 1, "$1.00"),
        (PICO, "$1.00"),
        (1_234_567_891 * PICO // 1000, "$1,234,567.89"),
        (-PICO // 20, "-$0.050"),
        (-1234 * PICO, "-$1,234.00"),
    ],
)
def test_an_amount_is_written_in_cents_and_below_a_dollar_in_the_digits_that_tell_something(
    amount: int, said: str
) -> None:
    assert dollars(amount) == said


@given(st.integers(-(10**20), 10**20))
def test_dollars_and_picodollars_are_the_same_amount(amount: int) -> None:
    assert usd(amount) * PICO == amount
    assert amount_of(usd(amount)) == amount_of(str(usd(amount))) == amount


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        (0.1, PICO // 10),
        (25.0, 25 * PICO),
        (Decimal("1E-12"), 1),
        ("4E-13", 0),
        ("6E-13", 1),
        (-0.05, -PICO // 20),
        (1e9, 10**21),
    ],
)
def test_dollars_become_the_nearest_picodollars(given: Decimal | float | str, amount: int) -> None:
    assert amount_of(given) == amount
