"""Money: what tokens cost, to the last digit.

Amounts are whole picodollars (10**-12 USD): every list price is a whole number of them per token, so sums over millions
of rows are exact, in any order, and fit a DynamoDB number. Dollars are for people, at the edges: `usd`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

PICO = 10**12
"""Picodollars of a dollar."""

MOST = 10**12
"""More tokens than any row can use: what says more is no count."""

US_SURCHARGE = 11, 10
"""`inference_geo: us` costs 1.1 times as much, in every class of tokens (pricing page, Data residency)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a model asks, in picodollars per token."""

    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    web_search: int = 0
    """Picodollars per search; a batch pays what everybody pays."""


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """A model's prices on a day: pinned by a run before it spends anything, and used for all of it."""

    model: str
    source: str
    """Where they are from, with its version: `genai-prices 0.2.3`."""
    on: str
    """The day they were in force, ISO 8601."""
    batch: Rates
    standard: Rates
    """Of the synchronous API."""
    long_above: int = 0
    """A request whose prompt has more tokens than this pays the long rates for all of them; 0: there are none."""
    long_batch: Rates | None = None
    long_standard: Rates | None = None

    def rates(self, prompt_tokens: int, *, batch: bool) -> Rates:
        """Return what a request with so many tokens of prompt, cached ones included, is billed by."""
        if self.long_above and prompt_tokens > self.long_above:
            found = self.long_batch if batch else self.long_standard
            if found is not None:
                return found
        return self.batch if batch else self.standard


class Tokens(msgspec.Struct, frozen=True):
    """What a request used: the API's `usage`, each class once."""

    input: int = 0
    """Tokens that were neither read from the cache nor written to it."""
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    web_search: int = 0
    """Searches."""
    surcharge: bool = False
    """True where `inference_geo` is `us`."""
    tier: str = ""
    """`usage.service_tier`: only `batch` is billed at batch prices."""

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, cached or not."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


class Cost(msgspec.Struct, frozen=True):
    """What requests cost, in picodollars."""

    paid: Mapping[str, int]
    """By the class of `Tokens`; those of 0 are left out."""
    synchronous: int
    """The same tokens at the synchronous price."""
    uncached: int
    """The same tokens, had nothing been written to the cache or read from it."""

    @property
    def total(self) -> int:
        """What was paid."""
        return sum(self.paid.values())


def tokens_of(usage: Mapping[str, Any]) -> Tokens:
    """Read a `usage` object of the API; what is absent or no count is 0."""
    written, tools, tier = (usage.get(name) for name in ("cache_creation", "server_tool_use", "service_tier"))
    by_ttl = written if isinstance(written, dict) else {}
    long = _count(by_ttl.get("ephemeral_1h_input_tokens"))
    # What was written and is not said to be for an hour was for five minutes, the API's default.
    rest = _count(usage.get("cache_creation_input_tokens")) - long
    return Tokens(
        input=_count(usage.get("input_tokens")),
        output=_count(usage.get("output_tokens")),
        cache_write_5m=max(_count(by_ttl.get("ephemeral_5m_input_tokens")), rest),
        cache_write_1h=long,
        cache_read=_count(usage.get("cache_read_input_tokens")),
        web_search=_count(tools.get("web_search_requests")) if isinstance(tools, dict) else 0,
        surcharge=usage.get("inference_geo") == "us",
        tier=tier if isinstance(tier, str) else "",
    )


def cost_of(tokens: Tokens, prices: PriceSheet) -> Cost:
    """Return what one request cost."""
    discounted = tokens.tier == "batch"
    rates = prices.rates(tokens.prompt, batch=discounted)
    paid = {
        "input": tokens.input * rates.input,
        "output": tokens.output * rates.output,
        "cache_write_5m": tokens.cache_write_5m * rates.cache_write_5m,
        "cache_write_1h": tokens.cache_write_1h * rates.cache_write_1h,
        "cache_read": tokens.cache_read * rates.cache_read,
    }
    uncached = tokens.prompt * rates.input + tokens.output * rates.output
    full = prices.rates(tokens.prompt, batch=False)
    synchronous = (
        tokens.input * full.input
        + tokens.output * full.output
        + tokens.cache_write_5m * full.cache_write_5m
        + tokens.cache_write_1h * full.cache_write_1h
        + tokens.cache_read * full.cache_read
    )
    if tokens.surcharge:
        paid = {kind: more(amount) for kind, amount in paid.items()}
        uncached, synchronous = more(uncached), more(synchronous)
    searches = tokens.web_search * rates.web_search  # no surcharge on them is published
    paid["web_search"] = searches
    return Cost({kind: amount for kind, amount in paid.items() if amount}, synchronous + searches, uncached + searches)


def usd(amount: int) -> Decimal:
    """Return an amount in dollars, exactly."""
    return Decimal(amount).scaleb(-12)


def dollars(amount: int) -> str:
    """Write an amount for a person: cents, and below one dollar as many digits as tell something."""
    exact, sign = abs(usd(amount)), "-" if amount < 0 else ""
    if exact >= 1 or not amount:
        return f"{sign}${exact:,.2f}"
    return f"{sign}${exact:.{max(2, 1 - exact.adjusted())}f}"


def amount_of(dollars: Decimal | float | str) -> int:
    """Return dollars as picodollars, to the nearest."""
    return int((Decimal(str(dollars)) * PICO).to_integral_value())


def more(amount: int) -> int:
    """Return an amount with the surcharge for inference in the US."""
    times, part = US_SURCHARGE
    return amount * times // part


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MOST else 0
