"""The nouns of nightshift, each in one sense (docs/architecture.md), as frozen values.

Those of which there is one for each row are msgspec structs, which are made in a tenth of a dataclass's time.

Times are aware UTC datetimes. Sizes are bytes. Money is whole picodollars (10**-12 USD); see money.py.
"""

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

import msgspec

from nightshift.money import PriceSheet

RunId = NewType("RunId", str)
"""`<job>-<yyyymmdd>-<8 of [a-z2-7]>`: at most 68 characters; with `-c0001` an execution's name (at most 80)."""

ChunkId = NewType("ChunkId", str)
"""`g0-000001`: the generation, then the chunk's number in it, from 1."""

BatchId = NewType("BatchId", str)
"""Anthropic's id of a Message Batch, `msgbatch_…`."""

JOB_NAME = r"[a-z0-9][a-z0-9-]{0,49}"
"""A job's name, for `re.fullmatch`: it becomes part of run ids, S3 keys and execution names."""

MANIFEST = "manifest"
"""The trigger of a run over the files that a manifest names."""


def chunk_id(generation: int, number: int) -> ChunkId:
    """Name the `number`-th chunk, from 1, of a generation, from 0."""
    return ChunkId(f"g{generation}-{number:06d}")


def generation_of(chunk: ChunkId) -> int:
    """Return the generation that a chunk's id names."""
    return int(chunk[1:].split("-", 1)[0])


def run_token(run_id: RunId) -> str:
    """Return the 8 characters of [a-z2-7] that mark every custom_id of a run."""
    return b32encode(hashlib.sha256(run_id.encode()).digest()[:5]).decode().lower()


def custom_id(run_id: RunId, chunk: ChunkId, row: int) -> str:
    """Name a request: `<run token>-<chunk>-<row>`. Rows count from 1 within a chunk. Never holds a row's own id."""
    return f"{run_token(run_id)}-{chunk}-{row:06d}"


def custom_id_prefix(run_id: RunId, chunk: ChunkId) -> str:
    """Return what every custom_id of this chunk starts with; results are checked against it."""
    return f"{run_token(run_id)}-{chunk}-"


class RunState(StrEnum):
    """Where a run stands. A hold is a flag beside it, not a state."""

    OPEN = "open"
    DONE = "done"


class ChunkState(StrEnum):
    """Where a chunk stands; it moves left to right, and back only as docs/architecture.md says."""

    PLANNED = "PLANNED"
    SENDING = "SENDING"
    SENT = "SENT"
    ENDED = "ENDED"
    ARCHIVED = "ARCHIVED"
    COLLECTED = "COLLECTED"


class RowClass(StrEnum):
    """What became of a row. Every row ends in exactly one."""

    ANSWERED = "answered"
    REFUSED = "refused"
    INVALID = "invalid"
    ERRORED = "errored"
    EXPIRED = "expired"
    CANCELED = "canceled"
    MISSING = "missing"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"


REJECT_CLASSES = frozenset({RowClass.REJECTED, RowClass.DUPLICATE, RowClass.SKIPPED})
"""The classes of rows that were never sent: they are in `rejects`, all the others in `output` or `failed`."""


class StepKind(StrEnum):
    """What the state machine does next."""

    SUBMIT = "submit"
    WAIT = "wait"
    COLLECT = "collect"
    REPORT = "report"
    VERIFY = "verify"
    DONE = "done"
    HELD = "held"
    HANDED_OVER = "handed-over"


@dataclass(frozen=True, slots=True)
class Step:
    """One turn's decision."""

    kind: StepKind
    wait_seconds: int = 0
    """Seconds to wait; only for `wait`."""
    workers: int = 0
    """How many collectors to start side by side, 1 to 8; only for `collect`."""
    reason: str = ""
    """For a person who reads the log: why this step. Never holds row data."""


@dataclass(frozen=True, slots=True)
class InputRef:
    """One pinned version of one input object."""

    bucket: str
    key: str
    version_id: str
    size: int
    """Bytes, as stored."""
    last_modified: datetime

    @property
    def digest(self) -> str:
        """12 hex characters that name this object version; the file part of a row-number id."""
        return hashlib.sha256(f"{self.bucket}/{self.key}#{self.version_id}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class JobRef:
    """The version of the job file that a run uses."""

    name: str
    key: str
    version_id: str


class HoldCode(StrEnum):
    """Why a run is held. Each has its paragraph in docs/operations.md."""

    BY_HAND = "BY_HAND"
    CANCELED = "CANCELED"
    BAD_JOB = "BAD_JOB"
    NO_USABLE_INPUT = "NO_USABLE_INPUT"
    TOO_MANY_REJECTS = "TOO_MANY_REJECTS"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    NO_PRICE = "NO_PRICE"
    OVER_MAX_USD = "OVER_MAX_USD"
    OVER_MONTH = "OVER_MONTH"
    BAD_PILOT = "BAD_PILOT"
    SAME_ROWS = "SAME_ROWS"
    MANIFEST_MISMATCH = "MANIFEST_MISMATCH"
    API_REJECTED = "API_REJECTED"
    API_KEY = "API_KEY"
    NO_MONEY = "NO_MONEY"
    API_REDIRECTED = "API_REDIRECTED"
    BATCH_OVERDUE = "BATCH_OVERDUE"
    CHUNK_FAILS = "CHUNK_FAILS"
    NO_PROGRESS = "NO_PROGRESS"
    LOOP_DIES = "LOOP_DIES"
    ROWS_ASTRAY = "ROWS_ASTRAY"


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing more is sent until a person says so; what is in flight is still collected."""

    code: HoldCode
    reason: str
    """What happened, where, and what to do. Never holds row data."""
    at: datetime


class LeftOut(StrEnum):
    """What was left out of a row that is asked all the same."""

    UNUSED_COLUMNS = "unused_columns"
    """Columns that the job does not use."""
    NUL_STRIPPED = "nul_stripped"
    """NUL characters, as `input.nul` wants."""
    TRUNCATED = "truncated"
    """The end of a long text, as `limits.too_large` wants."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of rows by class, the tokens they used, and what those cost. Adds up over chunks."""

    rows: Mapping[RowClass, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    """Token counts by the API's own names (`input_tokens`, `output_tokens`, `cache_read_input_tokens`,
    `ephemeral_5m_input_tokens`, `ephemeral_1h_input_tokens`, …)."""
    service_tiers: Mapping[str, int] = field(default_factory=dict)
    """Billed rows by `usage.service_tier`: anything but `batch` was not discounted. `none`: the API named no tier."""
    paid: Mapping[str, int] = field(default_factory=dict)
    """Picodollars by class of tokens (`money.Tokens`); empty where the model has no price."""
    synchronous: int = 0
    """Picodollars that the same tokens cost at the synchronous price."""
    uncached: int = 0
    """Picodollars that the same tokens cost, had nothing been written to the cache or read from it."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why rows were not answered → rows: the `MOST_REASONS` most frequent reasons, the rest under `OTHER_REASONS`."""
    changes: Mapping[LeftOut, int] = field(default_factory=dict)
    """What was left out of rows that are asked → rows."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Answers of a job with `labels` → rows: the `MOST_LABELS` most frequent, the rest under `OTHER_LABELS`."""
    retryable: int = 0
    """Rows that wait for the next generation; in no class yet."""
    tickets_written: int = 0
    tickets_unchanged: int = 0
    """Ticket updates that were no-ops: an equal or newer answer stood there."""
    tickets_refused: int = 0
    """Ticket updates that the table would not take; the answers are in `output` all the same."""

    def __add__(self, other: "Tally") -> "Tally":
        """Return the sum of both, class by class and token by token."""
        return Tally(
            rows=_add(self.rows, other.rows),
            usage=_add(self.usage, other.usage),
            service_tiers=_add(self.service_tiers, other.service_tiers),
            paid=_add(self.paid, other.paid),
            synchronous=self.synchronous + other.synchronous,
            uncached=self.uncached + other.uncached,
            reasons=most_frequent(_add(self.reasons, other.reasons)),
            changes=_add(self.changes, other.changes),
            labels=most_frequent(_add(self.labels, other.labels), MOST_LABELS, OTHER_LABELS),
            retryable=self.retryable + other.retryable,
            tickets_written=self.tickets_written + other.tickets_written,
            tickets_unchanged=self.tickets_unchanged + other.tickets_unchanged,
            tickets_refused=self.tickets_refused + other.tickets_refused,
        )


def _add[K](a: Mapping[K, int], b: Mapping[K, int]) -> dict[K, int]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in (*a, *(k for k in b if k not in a))}


MOST_REASONS, OTHER_REASONS = 12, "other reasons"
MOST_LABELS, OTHER_LABELS = 100, "other labels"
"""A chunk's item has them all, and DynamoDB takes 400 KB; a label has up to 255 characters."""


def most_frequent(counts: Mapping[str, int], most: int = MOST_REASONS, others: str = OTHER_REASONS) -> dict[str, int]:
    """Keep the most frequent of what is counted; the others become one, so that a tally stays small and its sum right.

    Args:
        counts: what is counted → how often.
        most: how many are kept, the one of all others included.
        others: what all others become.
    """
    if len(counts) <= most:
        return dict(counts)
    kept = sorted((item for item in counts.items() if item[0] != others), key=lambda item: (-item[1], item[0]))
    kept = kept[: most - 1]
    return {**dict(kept), others: sum(counts.values()) - sum(count for _, count in kept)}


@dataclass(frozen=True, slots=True)
class Worker:
    """Who is collecting a chunk, and until when it may."""

    id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Archive:
    """The raw results of a chunk's batch, verified complete, in the output bucket."""

    key: str
    size: int
    lines: int
    sha256: str
    strange: int = 0
    """Lines of the stream that are not in it: no result of a row of the chunk, or a row's second. Kept aside."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to `batch.max_rows` requests of a run, and what became of them."""

    run_id: RunId
    id: ChunkId
    state: ChunkState
    rows: int
    size: int
    """Bytes of the plan object."""
    sha256: str
    """Hex digest of the plan object: a resend is byte-identical."""
    plan: int = 1
    """Number of the plan that it is of: no other planner's chunk may go into the same plan."""
    raised: bool = False
    """Its rows were cut off by `max_tokens`, and are asked with a larger one."""
    betas: str = ""
    """Value of the `anthropic-beta` header that it is sent with, pinned as its bytes are; empty: none."""
    planned: Tally = field(default_factory=Tally)
    """Rejected, duplicate and skipped rows that were met while this chunk was filled."""
    cursor: tuple[int, int] = (0, 0)
    """(index of the input file, last record consumed): planning goes on behind it."""
    attempt: int = 0
    batch_id: BatchId | None = None
    adopted: bool = False
    """True where reconciliation found the batch: the create's answer was lost."""
    not_before: datetime | None = None
    failures: int = 0
    error: str = ""
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    request_counts: Mapping[str, int] = field(default_factory=dict)
    worker: Worker | None = None
    archive: Archive | None = None
    applied: int = 0
    """Bytes of the archive that are applied: the checkpoint."""
    collected_at: datetime | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def generation(self) -> int:
        """0 for first sends, 1 and more for retries."""
        return generation_of(self.id)


class IntentNote(StrEnum):
    """What a living sender saw of a create whose outcome is not known."""

    HTTP_ERROR = "http-error"
    """The API itself answered with an error."""
    CONNECTION_LOST = "connection-lost"
    """No answer, or that of a gateway which gave up waiting for one."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The one create that may be under way in this stack. It never expires: only reconciliation moves it."""

    run_id: RunId
    chunk: ChunkId
    attempt: int
    rows: int
    owner: str
    """uuid of the invocation that sends."""
    created: datetime
    deadline: datetime
    """When the sender must be dead."""
    note: IntentNote | None = None
    noted_at: datetime | None = None
    none_seen_at: datetime | None = None
    """When reconciliation last found no candidate; a second read, a minute later, settles it."""
    retry_at: datetime | None = None
    """Reconciliation could not decide (candidates still run, or the API was away): it looks again then."""
    excluded: tuple[BatchId, ...] = ()
    """Batches that looked like it and were not: their results carried another token."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a batch is."""

    run_id: RunId
    chunk: ChunkId
    foreign: bool = False
    """True where its results proved to be another's, or the chunk that had adopted it found its own."""
    superseded: bool = False
    """True where the chunk has taken another batch of its rows in its place."""


@dataclass(frozen=True, slots=True)
class Caching:
    """What a run does about the prompt cache. Pinned before its first request is rendered: it is in the bytes."""

    prefix_tokens: int
    """Of what all requests share: tools, the answer's format, `system`."""
    least: int
    """The shortest prefix that the model caches, in tokens."""
    ttl: str = ""
    """`5m` or `1h`: there is a breakpoint at the prefix's end. Empty: there is none."""
    why: str = ""
    """One sentence for a person: why there is a breakpoint, or why not."""
    counted: bool = True
    """False where the API could not be asked: the tokens are guessed from the bytes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is going to cost, in picodollars at batch prices, before it has."""

    rows: int
    input_tokens: int
    """Of all prompts, cached or not."""
    input_cost: int
    input_low: int
    input_high: int
    input_synchronous: int
    """The prompts' parts of `expected`, `low`, `high` and `synchronous`."""
    sample: int
    """Rows whose tokens the API counted; 0: it could not be asked, and they are guessed from the bytes."""
    at: datetime
    output_tokens: int = 0
    """Of all answers, thinking included."""
    expected: int = 0
    low: int = 0
    high: int = 0
    """The actual cost is between `low` and `high` in 95 of 100 runs."""
    bound: int = 0
    """Every answer as long as `max_tokens` allows, and few reads from the cache; and with `retry.cut_off` all of that
    once more, with the larger one."""
    synchronous: int = 0
    """`expected`, at the synchronous price."""
    basis: str = ""
    """What the answers' length is from: `labels`, `a guess` or `the pilot`."""
    long_rows: int = 0
    """Rows whose prompt is so long that they pay the long rates."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A calendar month's money (UTC), in picodollars."""

    committed: int = 0
    """Spent, or reserved by runs that are not done: what the monthly cap is held against."""
    spent: int = 0
    """What collected batches cost."""


@dataclass(frozen=True, slots=True)
class Verifying:
    """Who asks a sample of a run of the synchronous API, until when it may, and the money that waits for it."""

    id: str
    until: datetime
    month: str
    """`yyyy-mm`, in which the money is reserved."""
    said: int
    """Picodollars that it may cost at most."""


@dataclass(frozen=True, slots=True)
class Run:
    """One trigger of one job over pinned inputs."""

    run_id: RunId
    job: JobRef
    inputs: tuple[InputRef, ...]
    created: datetime
    trigger: str
    """`upload`, `nightly`, `manifest` or `by hand`."""
    due_at: datetime | None = None
    """When its job wants it ready (`ready_by`); None: whenever."""
    opened_by: str = ""
    """uuid of the invocation that put this record: tells the first delivery of an event from the others."""
    state: RunState = RunState.OPEN
    hold: Hold | None = None
    approved: tuple[HoldCode, ...] = ()
    """Holds that a person has waved through for this run."""
    execution: int = 1
    """Number of the state machine execution that owns the loop, from 1."""
    working_until: datetime | None = None
    """A submit outside the machine is at work until then; the loop waits. No promise depends on it."""
    plan: int = 1
    """Number of the plan: each that was forgotten counts it up, so that whoever still works on that one writes nothing
    into this one."""
    planned: bool = False
    rows: int = 0
    """Records read from all inputs; known once `planned`. The sum of all classes must equal it."""
    plan_digest: str = ""
    leftover: Tally = field(default_factory=Tally)
    """Rejected, duplicate and skipped rows behind the last chunk."""
    prices: PriceSheet | None = None
    """Pinned with `caching`; None where the model has no price, and the job or a person wants it sent all the same."""
    caching: Caching | None = None
    pilot: int = 0
    """Rows of the first chunk, where that is sent alone to prove the prompt; 0: there is no pilot."""
    pilot_wait: int = 0
    """Seconds after which a pilot that has not ended holds the rest back no longer."""
    piloted: bool = False
    """The pilot is judged, and `revised` is what it said."""
    estimate: Estimate | None = None
    revised: Estimate | None = None
    """The estimate after the pilot."""
    max_usd: int = 0
    """`limits.max_usd` of the job, in picodollars; 0: no cap."""
    delete_batches: bool = False
    """Its batches are to be deleted at the API once it is done."""
    batches_deleted: bool = False
    """They are, but for those with rows that were missing."""
    verify: int = 0
    """Rows that are to be asked of the synchronous API once the run is done."""
    verified: bool = False
    """That was done, or found impossible; the verification says which."""
    verifying: Verifying | None = None
    verify_spent: int = 0
    """Picodollars that its samples have cost, beside `spent`; at most so much, where an answer was lost."""
    budget_month: str = ""
    """`yyyy-mm` of the month that the run's money is reserved in."""
    row_reserve: int = 0
    """Picodollars reserved for each row that has not ended."""
    reserved: int | None = None
    """Picodollars reserved and not settled yet; None: nothing may be sent."""
    spent: int = 0
    """Picodollars that the run's collected batches cost."""
    generation: int = 0
    max_generations: int = 0
    """Retry generations that the job allows; set with `planned`."""
    changed_at: datetime | None = None
    """When the loop last saw something change: the polling interval grows from here."""
    progress: str = ""
    """Fingerprint of what the loop saw at its last step that was not a wait."""
    dispatched: bool = False
    """True where the last look sent the machine to work rather than to wait."""
    fruitless: int = 0
    """Steps in a row that changed nothing."""
    retry_at: datetime | None = None
    """After a fruitless step: not before then."""
    unsent_since: datetime | None = None
    """Since when the loop has seen rows to send and no batch of the run on its way."""
    reported: str = ""
    """Fingerprint that the last report was written at."""
    restarts: int = 0
    """Executions in a row that the audit started for a loop that had died without changing anything."""
    restarted_at: str = ""
    """Fingerprint that the last of them was started at."""
    replanned_at: datetime | None = None
    """When an earlier plan was forgotten: a batch of before is of that one."""

    @property
    def manifest(self) -> InputRef | None:
        """The first input, where that has no rows but names the others."""
        return self.inputs[0] if self.trigger == MANIFEST else None

    @property
    def files(self) -> tuple[InputRef, ...]:
        """The inputs that have rows."""
        return self.inputs[1:] if self.manifest else self.inputs

    @property
    def claimed(self) -> tuple[InputRef, ...]:
        """The inputs that no other run may have: a manifest's files may stand in the next one, which mends it."""
        return self.inputs[:1] if self.manifest else self.inputs


class Row(msgspec.Struct, frozen=True):
    """One input record, read and normalised."""

    id: str
    values: Mapping[str, Any]
    file: int
    """Index into the run's inputs."""
    line: int
    """Physical line of the file, from 1."""
    record: int
    """Logical row of the file, from 1: differs from `line` where quoted fields hold newlines."""
    digest: str
    """16 hex characters over the row's own content."""
    byte_offset: int | None = 0
    """Bytes before it in the (unpacked) file."""
    raw: bytes = b""
    """It, as it was read: for a reject that comes after reading, a duplicate, for one."""
    changes: frozenset[LeftOut] = frozenset()
    """What of it was left out."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is never sent, and why. Never holds the row's text."""

    file: int
    line: int
    record: int
    byte_offset: int | None
    id: str | None
    """The row's own id where it could be read, at most 64 characters."""
    row_class: RowClass
    code: str
    detail: str
    row_sha256: str


class PlannedRow(msgspec.Struct, frozen=True):
    """What the plan keeps of a row beside its request: one line of `plan/<chunk>.ids`."""

    custom_id: str
    id: str
    file: int
    line: int
    record: int
    digest: str
    carry: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Outcome(msgspec.Struct, frozen=True):
    """A result line, classified."""

    custom_id: str
    row_class: RowClass
    answer: Any = None
    """The validated answer: a str for labels and text, a JSON value for a schema. Only where `answered`."""
    reason: str = ""
    """Why it is not answered; the API's words or ours. Never holds the model's text."""
    retryable: bool = False
    """It may be asked again: as it was; where it is invalid, because `max_tokens` cut it off, with a larger one."""
    usage: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The API's `usage` object where the row was billed."""


@dataclass(frozen=True, slots=True)
class BatchView:
    """A Message Batch as the API shows it."""

    id: BatchId
    processing_status: str
    """`in_progress`, `canceling` or `ended`."""
    request_counts: Mapping[str, int]
    created_at: datetime
    ended_at: datetime | None
    results_url: str | None

    @property
    def ended(self) -> bool:
        """True when every request has its result."""
        return self.processing_status == "ended"

    @property
    def rows(self) -> int:
        """Requests in the batch: the counts always sum to it, also right after create."""
        return sum(self.request_counts.values())
