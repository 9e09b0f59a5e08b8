"""Prices: a model's list prices, from the `genai-prices` package. Imported where a price sheet is made, nowhere else.

Two traps of the package are closed here. It gives the synchronous price where it has no batch price, or is not asked in
its own words (`processing`, not `service_tier`): a sheet whose batch price is no discount is refused. And it takes
the day of the request into account: the day is always given.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from genai_prices import Usage, __version__, calc_price
from genai_prices.types import ModelPrice, TieredPrices

from nightshift.errors import NoPrice
from nightshift.money import PICO, PriceSheet, Rates

SOURCE = f"genai-prices {__version__}"
PER_MTOK = PICO // 10**6
"""Picodollars per token, of a price of one dollar per million tokens."""
WRITE_1H = 2
"""Times the input price: a cache write for an hour (pricing page, Prompt caching). The package lacks it for some."""


def price_sheet(model: str, on: date) -> PriceSheet:
    """Return a model's prices on a day.

    Raises:
        NoPrice: the package does not know the model, or has no batch price for it.
    """
    standard, batch = _prices(model, on, batch=False), _prices(model, on, batch=True)
    if not _base(batch.input_mtok) < _base(standard.input_mtok):
        raise NoPrice(f"{SOURCE} has no batch price for {model} on {on}")
    above = _long_above(batch)
    return PriceSheet(
        model=model,
        source=SOURCE,
        on=on.isoformat(),
        batch=_rates(batch, 0),
        standard=_rates(standard, 0),
        long_above=above,
        long_batch=_rates(batch, above + 1) if above else None,
        long_standard=_rates(standard, above + 1) if above else None,
    )


def _prices(model: str, on: date, *, batch: bool) -> ModelPrice:
    at = datetime.combine(on, time(12), UTC)
    try:
        return calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model,
            provider_id="anthropic",
            genai_request_timestamp=at,
            price_context={"processing": "batch"} if batch else None,
        ).model_price
    except (LookupError, ValueError):
        raise NoPrice(f"{SOURCE} does not know {model}") from None


def _rates(prices: ModelPrice, prompt: int) -> Rates:
    read = _per_token(prices.input_mtok, prompt)
    return Rates(
        input=read,
        output=_per_token(prices.output_mtok, prompt),
        cache_write_5m=_per_token(prices.cache_write_mtok, prompt),
        cache_write_1h=_per_token(prices.cache_write_1h_mtok, prompt) or WRITE_1H * read,
        cache_read=_per_token(prices.cache_read_mtok, prompt),
        web_search=int(_base(prices.web_searches_kcount) * PICO / 1000),
    )


def _base(price: Decimal | TieredPrices | None) -> Decimal:
    return Decimal(price.base) if isinstance(price, TieredPrices) else price or Decimal(0)


def _per_token(price: Decimal | TieredPrices | None, prompt: int) -> int:
    """Return picodollars per token of a prompt of this size."""
    found: Decimal = _base(price)
    if isinstance(price, TieredPrices):
        found = next((Decimal(tier.price) for tier in reversed(price.tiers) if prompt > tier.start), found)
    return int(found * PER_MTOK)


def _long_above(prices: ModelPrice) -> int:
    """Return from where on a prompt is long; every price of the known models has the same one step."""
    price = prices.input_mtok
    return price.tiers[0].start if isinstance(price, TieredPrices) and price.tiers else 0
