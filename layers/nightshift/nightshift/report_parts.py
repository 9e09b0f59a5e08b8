"""What the parts of a run's report.json hold; report_model.py puts them together.

Amounts are USD, exact to the last digit, and null where the model has no price. Times are ISO 8601, in UTC.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from nightshift.model import BatchId, ChunkId, ChunkState

type Kind = Literal["input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "web_search"]
"""Kinds of tokens as they are billed, and searches."""

type Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something with a name of its own in a report."""


class Input(Part, frozen=True):
    """An input file, in the version that was read."""

    uri: str
    version_id: str
    size: int
    """Bytes, as stored."""
    last_modified: Moment


class Tickets(Part, frozen=True):
    """What became of the ticket updates."""

    written: int
    unchanged: int
    """An equal or newer answer stood there."""
    refused: int
    """The table would not take them: they are listed in `refused/`, their answers are in `output/`."""


class Batch(Part, frozen=True):
    """A chunk of rows that was sent."""

    batch_id: BatchId | None
    chunk: ChunkId
    rows: int
    state: ChunkState
    request_counts: Mapping[str, int]
    created: Moment | None
    ended: Moment | None
    adopted: bool
    """The create's answer was lost, and the batch was found by looking for it."""
    strange: int
    """Lines of its results that are no result of a row."""
    cost_usd: Decimal | None
    """Of what is collected of it."""


class Prices(Part, frozen=True):
    """Where the prices are from."""

    model: str
    source: str
    on: str
    """The day they were in force."""


class Cost(Part, frozen=True):
    """What the run costs, was thought to cost, and would have cost otherwise."""

    actual_usd: Decimal | None
    """Of all that is collected."""
    synchronous_usd: Decimal | None
    """The same tokens at the synchronous price."""
    saved_usd: Decimal | None
    """How much less was paid than that."""
    saved_ratio: float | None
    """The same, as a part of the synchronous price."""
    uncached_usd: Decimal | None
    """The same tokens, had nothing been written to the cache or read from it."""
    by_kind: Mapping[Kind, Decimal] | None
    estimated_usd: Decimal | None
    """The latest estimate before the bulk was sent: the pilot's, where there was one."""
    first_estimated_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    """The actual cost is between `low_usd` and `high_usd` in 95 of 100 runs."""
    bound_usd: Decimal | None
    """Every answer as long as `max_tokens` allows, and few reads from the cache."""
    basis: str | None
    """What the answers' length was estimated from: `labels`, `a guess` or `the pilot`."""
    sample: int | None
    """Rows whose tokens were counted for the estimate."""
    estimate_error: float | None
    """How much more the run cost than estimated, as a part of the estimate; null until every row is in a class."""
    prices: Prices | None


class Cache(Part, frozen=True):
    """What the prompt cache did."""

    verdict: str
    """One sentence: what it saved or cost, or why there was none."""
    prefix_tokens: int | None
    """Of what all requests share; null until that is known."""
    minimum_tokens: int | None
    """The shortest prefix that the model caches."""
    ttl: Literal["5m", "1h"] | None
    """How long it is cached; null: there is no breakpoint."""
    why: str
    """Why there is a breakpoint, or why not."""
    read_tokens: int
    written_tokens: Mapping[Literal["5m", "1h"], int]
    hit_rate: float | None
    """Tokens read, as a part of those read or written."""
    saved_usd: Decimal | None
    """`uncached_usd` less `actual_usd`: negative where caching cost more than it saved."""


class Pilot(Part, frozen=True):
    """The rows that were sent first, alone, to prove the prompt."""

    rows: int
    judged: bool
    """Its answers were good enough for the rest to be sent."""
    waited_out: bool
    """The rest was sent before it had ended."""


class Discount(Part, frozen=True):
    """The proof that rows were billed at the batch price."""

    rows: Mapping[str, int]
    """Billed rows by the API's `service_tier`; `none`: it named none."""
    undiscounted: int
    """Those that are not `batch`."""
    warning: str
    """One sentence about them; empty where there are none."""


class Timings(Part, frozen=True):
    """From the upload to the last ticket."""

    uploaded: Moment | None
    """The last of the input files."""
    created: Moment
    planned: Moment | None
    """When the plan was estimated."""
    first_sent: Moment | None
    last_ended: Moment | None
    last_collected: Moment | None
    """When the last row that is collected so far was."""
    reported: Moment
    waiting_seconds: float | None
    """From the upload to the run."""
    queue_seconds: float | None
    """From the run to its first batch: reading, planning, estimating."""
    processing_seconds: float | None
    """From the first batch to the end of the last one."""
    collecting_seconds: float | None
    """From there to the last row's file and ticket."""
