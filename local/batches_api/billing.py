"""What the local API bills: every request that was answered, at the moment it was, be it in a batch or at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from .lifecycle import Batch, standing
from .prices import costs
from .processing import RESULTS


@dataclass(frozen=True, slots=True)
class Use:
    """One answered request, as it is billed."""

    at: float
    """When it was answered: what a batch's requests are reported by, not when the batch ended."""
    workspace: str
    model: str
    tier: str
    """`batch` or `standard`."""
    geo: str
    tokens: dict[str, int]
    """By the classes of `usage`."""

    @classmethod
    def of(cls, at: float, workspace: str, message: dict[str, Any]) -> "Use":
        """Read an answer."""
        usage = message["usage"]
        tokens = {name: usage[name] for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")}
        tokens |= usage["cache_creation"]
        return cls(at, workspace, message["model"], usage["service_tier"], usage["inference_geo"], tokens)

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, cached or not."""
        return sum(self.tokens.values()) - self.tokens["output_tokens"]

    @property
    def costs(self) -> dict[str, int]:
        """Picodollars by class of tokens."""
        return dict(costs(self.model, self.tokens, batch=self.tier == "batch"))


class _Result(msgspec.Struct):
    message: dict[str, Any] | None = None


class _Line(msgspec.Struct):
    result: _Result


_decode = msgspec.json.Decoder(_Line).decode


def billed(batches: Iterable[Batch], answered: Iterable[Use], now: float) -> Iterator[Use]:
    """Yield what was billed up to a moment.

    Args:
        batches: all there are: those that were deleted were paid for, too.
        answered: what was answered at once.
        now: the moment.
    """
    for batch in batches:
        yield from _of_batch(batch, now)
    yield from (use for use in answered if use.at <= now)


def _of_batch(batch: Batch, now: float) -> Iterator[Use]:
    """Yield the answers among the rows that were processed; what errored, expired or was canceled costs nothing."""
    with (batch.folder / RESULTS).open("rb") as file:
        for rank, line in enumerate(islice(file, standing(batch, now).processed)):
            if (message := _decode(line).result.message) is not None:
                yield Use.of(batch.created_at + (rank + 1) / batch.rows * batch.duration, batch.workspace, message)
