"""Requests a minute, over all batch endpoints together."""

import math
from dataclasses import dataclass

from .clock import timestamp
from .errors import ApiError

MINUTE = 60.0


@dataclass(slots=True)
class RequestBudget:
    """A token bucket: `rpm` requests at once, refilled evenly over a virtual minute."""

    spent: float = 0.0
    """Requests not yet refilled."""
    seen: float = 0.0
    """When `spent` was true, in seconds since the epoch."""

    def spend(self, rpm: int, now: float) -> None:
        """Take one request from the budget.

        Raises:
            ApiError: 429 with `retry-after`. The message is assumed.
        """
        self._refill(rpm, now)
        if self.spent + 1 > rpm:
            wait = math.ceil((self.spent + 1 - rpm) * MINUTE / rpm) if rpm else int(MINUTE)
            message = f"This request would exceed your organization's rate limit of {rpm} requests per minute."
            raise ApiError(429, message, headers={"retry-after": str(wait)})
        self.spent += 1

    def headers(self, rpm: int, now: float) -> dict[str, str]:
        """Return the `anthropic-ratelimit-requests-*` headers."""
        self._refill(rpm, now)
        refilled = now + (self.spent * MINUTE / rpm if rpm else MINUTE)
        return {
            "anthropic-ratelimit-requests-limit": str(rpm),
            "anthropic-ratelimit-requests-remaining": str(max(0, math.floor(rpm - self.spent))),
            "anthropic-ratelimit-requests-reset": timestamp(math.ceil(refilled)) or "",
        }

    def _refill(self, rpm: int, now: float) -> None:
        self.spent = max(0.0, self.spent - max(0.0, now - self.seen) * rpm / MINUTE)
        self.seen = now
