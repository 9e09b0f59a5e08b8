"""List prices, by hand: what the reports of the organization are billed at.

Source: the pricing page (platform.claude.com, November 2026). A batch is half of the synchronous price in every class
of tokens; a cache write costs 1.25 times the input for five minutes, twice for an hour. Amounts are whole picodollars.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

MTOK = 10**6
"""Picodollars per token, of a price of one dollar per million tokens."""
WRITES = {"ephemeral_5m_input_tokens": Fraction(5, 4), "ephemeral_1h_input_tokens": Fraction(2)}
"""Times the price of input."""
LONG = 100_000
"""Tokens of a prompt, above which `Price.long` applies to all tokens of the request."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model asks at the synchronous price, in USD per million tokens."""

    input: Fraction
    output: Fraction
    read: Fraction
    """Of the cache."""
    long: int = 1
    """Times as much for a long prompt."""


def _price(read_input_output: str, *, long: int = 1) -> Price:
    read, given, output = map(Fraction, read_input_output.split())
    return Price(given, output, read, long)


_FABLE_5_2, _FABLE_5_1, _FABLE_5 = _price("0.2 8 40"), _price("0.25 10 50"), _price("1 10 50")
_OPUS_5, _SONNET_4 = _price("0.5 5 25"), _price("0.3 3 15")

PRICES: Mapping[str, Price] = {
    "claude-fable-5-2": _FABLE_5_2,
    "claude-mythos-5-2": _FABLE_5_2,
    "claude-fable-5-1": _FABLE_5_1,
    "claude-mythos-5-1": _FABLE_5_1,  # assumed: as Fable
    "claude-fable-5": _FABLE_5,
    "claude-mythos-5": _FABLE_5,  # assumed: as Fable
    "claude-opus-5-5": _price("0.2 4 20"),
    "claude-opus-5": _OPUS_5,
    "claude-opus-4-8": _OPUS_5,
    "claude-opus-4-7": _OPUS_5,
    "claude-opus-4-6": _OPUS_5,
    "claude-opus-4-5-20251101": _OPUS_5,
    "claude-sonnet-5-5": _price("0.1 2 10"),
    "claude-sonnet-5": _price("0.2 2 10"),
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5-20250929": _SONNET_4,
    "claude-haiku-5-5": _price("0.01 0.10 0.50", long=5),
    "claude-haiku-4-5-20251001": _price("0.1 1 5"),
}
"""Every model of the catalog."""


def costs(model: str, tokens: Mapping[str, int], *, batch: bool) -> Mapping[str, int]:
    """Return what the tokens of one request cost, in picodollars by class.

    Args:
        model: its id.
        tokens: by the classes of `usage`: `input_tokens`, `cache_read_input_tokens`, `ephemeral_…`, `output_tokens`.
        batch: whether it was in a batch.
    """
    price = PRICES[model]
    rates = {
        "input_tokens": price.input,
        "output_tokens": price.output,
        "cache_read_input_tokens": price.read,
        **{name: price.input * times for name, times in WRITES.items()},
    }
    prompt = sum(tokens.values()) - tokens.get("output_tokens", 0)
    factor = Fraction(MTOK) * (price.long if prompt > LONG else 1) / (2 if batch else 1)
    return {name: int(rates[name] * factor * count) for name, count in tokens.items()}
