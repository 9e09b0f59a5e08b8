"""The price list that runs pin is the published one, and a model that has no batch price is refused."""

import random
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from nightshift import prices
from nightshift.errors import NoPrice
from nightshift.money import PICO, PriceSheet, Rates, Tokens, cost_of, usd
from nightshift.prices import SOURCE, price_sheet
from tests.unit.list_prices import LISTED, SEARCH

TODAY = date(2026, 11, 25)
FIRST_BATCH_DAY = date(2026, 10, 14)
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def by_hand(line: str) -> Rates:
    """Return a line of the table in picodollars per token."""
    read, output, short, long, cached = (int(Decimal(price) * PICO / 10**6) for price in line.split())
    return Rates(read, output, short, long, cached, web_search=int(SEARCH * PICO))


@pytest.mark.parametrize("model", LISTED)
def test_every_current_model_has_the_published_prices(model: str) -> None:
    listed = LISTED[model]
    assert price_sheet(model, TODAY) == PriceSheet(
        model=model,
        source=SOURCE,
        on="2026-11-25",
        batch=by_hand(listed.batch),
        standard=by_hand(listed.standard),
        long_above=listed.long_above,
        long_batch=by_hand(listed.long_batch) if listed.long_above else None,
        long_standard=by_hand(listed.long_standard) if listed.long_above else None,
    )


def test_haiku_5_5_costs_five_times_as_much_above_100_000_tokens() -> None:
    sheet = price_sheet("claude-haiku-5-5", TODAY)
    found = [usd(sheet.rates(tokens, batch=batch).input) for tokens in (100_000, 100_001) for batch in (True, False)]
    assert [price * 10**6 for price in found] == [Decimal(price) for price in ("0.05", "0.10", "0.25", "0.50")]


@pytest.mark.parametrize("model", ["claude-3-haiku", "claude-3-5-haiku-20241022", "claude-opus-4-1", "claude-2"])
def test_a_model_without_a_batch_price_is_refused(model: str) -> None:
    with pytest.raises(NoPrice, match=f"^{SOURCE} has no batch price for {model} on 2026-11-25$"):
        price_sheet(model, TODAY)


@pytest.mark.parametrize("model", ["claude-mythos-5-1", "claude-haiku-6", "gpt-5", "claude", "claude-haiku-5-5x", ""])
def test_a_model_that_the_list_does_not_know_is_refused(model: str) -> None:
    with pytest.raises(NoPrice, match=f"^{SOURCE} does not know {model}$"):
        price_sheet(model, TODAY)


@pytest.mark.parametrize("model", sorted(LISTED.keys() - {"claude-fable-5-2", "claude-mythos-5-2"}))
def test_before_there_were_batch_prices_a_model_is_refused_and_never_billed_the_standard_ones(model: str) -> None:
    with pytest.raises(NoPrice, match=f"has no batch price for {model} on 2026-10-13"):
        price_sheet(model, FIRST_BATCH_DAY - timedelta(days=1))
    sheet = price_sheet(model, FIRST_BATCH_DAY)
    assert 2 * sheet.batch.input == sheet.standard.input


def test_every_model_of_the_list_is_refused_or_half_as_dear_in_a_batch_in_every_class() -> None:
    (anthropic,) = (provider for provider in get_snapshot().providers if provider.id == "anthropic")
    refused, sold = set(), set()
    for model in anthropic.models:
        try:
            sheet = price_sheet(model.id, TODAY)
        except NoPrice:
            refused.add(model.id)
            continue
        sold.add(model.id)
        pairs = [(sheet.batch, sheet.standard)]
        if sheet.long_batch is not None and sheet.long_standard is not None:
            pairs.append((sheet.long_batch, sheet.long_standard))
        for batch, standard in pairs:
            assert 0 < batch.cache_read < batch.input < batch.cache_write_5m < batch.cache_write_1h < batch.output
            assert _without_searches(batch, 2) == _without_searches(standard, 1)
            # 1.1 times as much is a whole number of picodollars, too
            assert {amount % 10 for amount in _without_searches(batch, 1)} == {0}
    assert sold >= LISTED.keys() - {"claude-mythos-5-2"}
    assert {"claude-3-haiku", "claude-opus-4-1"} <= refused


def _without_searches(rates: Rates, times: int) -> list[int]:
    return [
        times * each
        for each in (rates.input, rates.output, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read)
    ]


@pytest.mark.parametrize("model", LISTED)
def test_whole_usages_cost_what_the_package_itself_makes_of_them(model: str) -> None:
    sheet, rng = price_sheet(model, TODAY), random.Random(model)  # noqa: S311 - a seed, not a secret
    for _ in range(40):
        plain, short, long, read, output = (rng.choice([0, rng.randrange(90_000)]) for _ in range(5))
        usage = Usage(
            input_tokens=plain + short + long + read,
            cache_write_tokens=short + long,
            cache_write_1h_tokens=long,
            cache_read_tokens=read,
            output_tokens=output,
        )
        for tier in ("batch", "standard"):
            context = {"processing": "batch"} if tier == "batch" else None
            theirs = calc_price(
                usage, model, provider_id="anthropic", genai_request_timestamp=NOON, price_context=context
            )
            assert usd(cost_of(Tokens(plain, output, short, long, read, tier=tier), sheet).total) == theirs.total_price


def test_a_write_for_an_hour_whose_price_the_list_lacks_costs_twice_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object, price_context: Mapping[str, str] | None, **__: object) -> SimpleNamespace:
        full = ModelPrice(input_mtok=Decimal(3), output_mtok=Decimal(15), cache_write_mtok=Decimal("3.75"))
        half = ModelPrice(input_mtok=Decimal("1.5"), output_mtok=Decimal("7.5"), cache_write_mtok=Decimal("1.875"))
        return SimpleNamespace(model_price=half if price_context else full)

    monkeypatch.setattr(prices, "calc_price", without)
    sheet = price_sheet("claude-new", TODAY)
    assert (sheet.batch.cache_write_1h, sheet.standard.cache_write_1h) == (3 * 10**6, 6 * 10**6)


@pytest.mark.parametrize("tier", ["standard", "priority", "", "Batch"])
def test_a_row_whose_tier_is_not_batch_costs_the_standard_price(tier: str) -> None:
    sheet = price_sheet("claude-sonnet-5-5", TODAY)
    assert usd(cost_of(Tokens(input=10**6, tier=tier), sheet).total) == 2
    assert usd(cost_of(Tokens(input=10**6, tier="batch"), sheet).total) == 1


CORE = (
    "nightshift.results, nightshift.planning, nightshift.submit, nightshift.status, nightshift.report, nightshift.audit"
)


def test_the_price_list_is_imported_where_a_run_is_planned_and_nowhere_else() -> None:
    code = f"import sys, nightshift.wiring, {CORE}; print('genai_prices' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded == "False\n"
