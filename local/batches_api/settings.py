"""What can be adjusted while the server runs: `GET` and `POST /_local/settings`."""

from datetime import datetime
from typing import Any

import msgspec


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's adjustable facts; times are virtual unless a field says otherwise."""

    duration_seconds: float = 480.0
    """How long a batch takes. Observed: 1,195 requests in about 12 minutes, 63 in about 8."""
    jitter: float = 0.25
    """The share of `duration_seconds` that is added at most; how much is fixed by the batch's id."""
    cancel_seconds: float = 25.0
    """From cancel to `ended`. Observed: 25 s for three requests."""
    progressive: bool = False
    """Whether counts move before the batch has ended. The documents say no, one recording says yes."""
    gzip: bool = False
    """Whether results are compressed for a client that accepts it."""
    cache_hit_rate: float = 0.95
    """The share of reads that find what was written. Documented: 30 % to 98 %, best effort."""
    cache_within_batch: bool = False
    """Whether requests of one batch see each other's cache writes. Measured by others: cold batches read nothing."""
    rpm: int = 1_000
    """Requests a minute over all batch endpoints. Tier Start; Build 2,000, Scale 4,000."""
    queue_limit: int = 200_000
    """Requests in batches that have not ended. Tier Start; Build 300,000, Scale 500,000."""
    queue_retry_after: int = 60
    """Seconds in `retry-after` when the queue is full. Assumed."""
    max_batch_requests: int = 100_000
    """Documented."""
    max_batch_bytes: int = 256_000_000
    """Documented as 256 MB; taken as the smaller of its two readings."""
    html_413: bool = False
    """Whether a body that is too large is refused with HTML, as Cloudflare does in front of the API."""
    usage_delay_seconds: float = 0.0
    """How long after its answer a request is in the organization's reports. About five minutes at the real service."""
    keys: list[str] | None = None
    """The keys that work; null: every one."""
    workspaces: dict[str, str] = msgspec.field(default_factory=dict)
    """Key → workspace; other keys are in the default one. Batches are visible in their workspace only."""
    retired_models: dict[str, datetime] = msgspec.field(default_factory=dict)
    """Model id → when it stops answering, on top of the catalogue's own dates."""

    def patched(self, patch: dict[str, Any]) -> "Settings":
        """Return these settings with some replaced.

        Raises:
            msgspec.ValidationError: the patch names an unknown setting, or a value of the wrong type.
        """
        return msgspec.convert({**msgspec.to_builtins(self), **patch}, Settings)
