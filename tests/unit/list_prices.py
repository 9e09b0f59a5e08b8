"""Anthropic's list prices in $ per million tokens, typed off the pricing page: what our price list is held against.

Nothing here is computed from the package that the product reads its prices from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
SEARCH = Decimal(10) / 1000
"""Dollars for a web search; it has no batch price."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model's prices, each a line of five: input, output, cache write (5 m, 1 h), cache read."""

    standard: str
    batch: str
    long_above: int = 0
    """Tokens of the prompt above which each token costs what the next two lines say."""
    long_standard: str = ""
    long_batch: str = ""

    def per_mtok(self, prompt: int, *, batch: bool) -> Mapping[str, Decimal]:
        """Return what a million tokens of each class cost in a request with so long a prompt."""
        if self.long_above and prompt > self.long_above:
            line = self.long_batch if batch else self.long_standard
        else:
            line = self.batch if batch else self.standard
        return dict(zip(CLASSES, map(Decimal, line.split()), strict=True))


_OPUS_5 = Listed("5 25 6.25 10 0.50", "2.5 12.5 3.125 5 0.25")
_FABLE_5_2 = Listed("8 40 10 16 0.20", "4 20 5 8 0.10")

LISTED: Mapping[str, Listed] = {
    "claude-fable-5-2": _FABLE_5_2,
    "claude-mythos-5-2": _FABLE_5_2,
    "claude-fable-5-1": Listed("10 50 12.5 20 0.25", "5 25 6.25 10 0.125"),
    "claude-fable-5": Listed("10 50 12.5 20 1", "5 25 6.25 10 0.5"),
    "claude-opus-5-5": Listed("4 20 5 8 0.20", "2 10 2.5 4 0.10"),
    "claude-opus-5": _OPUS_5,
    "claude-opus-4-8": _OPUS_5,
    "claude-opus-4-7": _OPUS_5,
    "claude-opus-4-6": _OPUS_5,
    "claude-opus-4-5": _OPUS_5,
    "claude-sonnet-5-5": Listed("2 10 2.5 4 0.10", "1 5 1.25 2 0.05"),
    "claude-sonnet-5": Listed("2 10 2.5 4 0.20", "1 5 1.25 2 0.10"),
    "claude-sonnet-4-6": Listed("3 15 3.75 6 0.30", "1.5 7.5 1.875 3 0.15"),
    "claude-sonnet-4-5": Listed(
        "3 15 3.75 6 0.30",
        "1.5 7.5 1.875 3 0.15",
        long_above=200_000,
        long_standard="6 22.5 7.5 12 0.60",
        long_batch="3 11.25 3.75 6 0.30",
    ),
    "claude-haiku-5-5": Listed(
        "0.10 0.50 0.125 0.20 0.01",
        "0.05 0.25 0.0625 0.10 0.005",
        long_above=100_000,
        long_standard="0.50 2.50 0.625 1.00 0.05",
        long_batch="0.25 1.25 0.3125 0.50 0.025",
    ),
    "claude-haiku-4-5": Listed("1 5 1.25 2 0.10", "0.5 2.5 0.625 1 0.05"),
}
"""November 2026."""
