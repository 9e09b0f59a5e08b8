"""What a run's report.json holds. Its JSON Schema: docs/report.schema.json, by `python -m nightshift.report_schema`.

Amounts are USD, exact to the last digit, and null where the model has no price. Times are ISO 8601, in UTC.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from nightshift.model import BatchId, ChunkId, ChunkState, Hold, JobRef, RowClass, RunId

type Kind = Literal["input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "web_search"]
"""Kinds of tokens as they are billed, and searches."""

type Moment = Annotated[datetime, msgspec.Meta(tz=True)]

LONGEST_ANSWER = 200
"""Characters of an answer of the verification that a report repeats."""


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


class Compared(Part, frozen=True):
    """A row's two answers."""

    id: str
    custom_id: str
    batch_class: RowClass
    batch_answer: Any
    """What is longer than 200 characters is cut."""
    sync_class: RowClass | None
    """Null where no answer was kept."""
    sync_answer: Any
    agrees: bool | None
    """Null where the answers cannot be told equal or not: texts, for a person to judge, and errors."""
    batch_cost_usd: Decimal | None
    sync_cost_usd: Decimal | None
    latency_seconds: float | None
    error: str
    """Why there is no synchronous answer, or none that is usable."""


class Latency(Part, frozen=True):
    """Seconds until a synchronous answer was there; null without one."""

    median: float | None
    max: float | None


class Paired(Part, frozen=True):
    """One kind of tokens, over the rows of the sample that were billed both times."""

    batch_tokens: int
    sync_tokens: int
    batch_usd: Decimal
    sync_usd: Decimal
    ratio: float | None
    """`sync_usd` / `batch_usd`."""


class Verification(Part, frozen=True):
    """A sample of the run's rows, asked of the synchronous API as well: `verification.json`."""

    sample: int
    """Rows that were to be asked."""
    asked: int
    answered: int
    compared: int
    """Rows whose answers can be told equal or not."""
    agree: int
    rows: Sequence[Compared]
    cost_usd: Decimal
    said_usd: Decimal
    """What it was allowed to cost."""
    latency: Latency
    token_classes: Mapping[Kind, Paired]
    note: str
    """Why it ended early, or nothing was asked."""


class Report(Part, frozen=True):
    """What became of every row of a run, and of the money."""

    run_id: RunId
    headline: str
    """The run in one sentence."""
    job: JobRef
    trigger: str
    state: Literal["open", "held", "done"]
    """`open`: more is to come."""
    hold: Hold | None
    home: str
    """Below it are all files of the run."""
    inputs: Sequence[Input]
    created: Moment
    first_sent: Moment | None
    last_ended: Moment | None
    reported: Moment
    rows: int
    """Records read from the inputs; 0 until the plan is finished."""
    counts: Mapping[RowClass, int]
    waiting: int
    """Rows in no class yet: in flight, planned, or to be asked again."""
    accounted: bool
    """The plan is finished, and `counts` sum to `rows`."""
    reject_codes: Mapping[str, int]
    """Why rows were never sent → rows."""
    reasons: Mapping[str, int]
    """Why rows that were sent were not answered → rows; the rarest of many are one."""
    answers: Mapping[str, int]
    """Answers of a job with `labels` → rows; the rarest of many are one."""
    usage: Mapping[str, int]
    """Token counts by the API's own names."""
    tokens: Mapping[Kind, int]
    """Token counts by kind, each token once; and searches."""
    service_tiers: Mapping[str, int]
    """Billed rows by tier: only `batch` is discounted."""
    discount: Discount
    cost: Cost
    cache: Cache
    pilot: Pilot | None
    timings: Timings
    tickets: Tickets
    strange: int
    """Lines of the API's results that are no result of a row: kept beside the archive, in `raw/`."""
    generations: int
    """How often rows were asked: 1 without retries."""
    batches: Sequence[Batch]
    files: Mapping[Literal["output", "failed", "rejects", "refused", "raw"], Sequence[str]]
    verification: Verification | None
    """Null until a sample has been compared with synchronous answers."""


_VERIFICATION = msgspec.json.Decoder(Verification)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def written(report: Report) -> bytes:
    """Return the report as the text of report.json."""
    return msgspec.json.format(_encode(report), indent=2) + b"\n"


def verification(text: bytes) -> Verification:
    """Read verification.json; long answers are cut."""
    whole = _VERIFICATION.decode(text)
    rows = [
        msgspec.structs.replace(row, batch_answer=_cut(row.batch_answer), sync_answer=_cut(row.sync_answer))
        for row in whole.rows
    ]
    return msgspec.structs.replace(whole, rows=rows)


def _cut(answer: Any) -> Any:
    text = answer if isinstance(answer, str) else _encode(answer).decode()
    return answer if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}…"
