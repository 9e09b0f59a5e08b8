"""What a batch is at a moment. Nothing happens in the background: its state follows from its record and the clock.

Requests are processed one after the other, evenly over the batch's duration, in the order of its results file. A
cancel, or the 24 h expiry, cuts that line: what lies behind ends as `canceled` or `expired`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from .clock import timestamp

EXPIRY_SECONDS = 24 * 3600.0
"""`expires_at` is `created_at` + 24 h exactly."""

ARCHIVE_SECONDS = 29 * 86_400.0
"""Results are there for 29 days from `created_at`, not from `ended_at`."""

CODES = {"succeeded": b"S", "errored": b"E", "canceled": b"C", "expired": b"X"}
"""How `Batch.outcomes` writes what each row would end as."""


class Status(StrEnum):
    """`processing_status`: there is no failed batch, and a canceled one also ends as `ended`."""

    IN_PROGRESS = "in_progress"
    CANCELING = "canceling"
    ENDED = "ended"


@dataclass(slots=True, kw_only=True)
class Batch:
    """A batch's record; times in seconds since the epoch."""

    id: str
    index: int
    """The nth batch of this server, from 0."""
    workspace: str
    created_at: float
    duration: float
    """Seconds that its requests take, were it left alone."""
    folder: Path
    rows: int
    outcomes: bytes
    """What each row would end as, one byte of `CODES`, in processing order."""
    ids_sha256: str
    first_id: str
    last_id: str
    cancel_at: float | None = None
    cancel_seconds: float = 0.0
    deleted: bool = False

    @property
    def expires_at(self) -> float:
        """When what is not processed yet expires."""
        return self.created_at + EXPIRY_SECONDS


@dataclass(frozen=True, slots=True)
class Standing:
    """What a batch is at a moment."""

    status: Status
    ended_at: float | None
    processed: int
    """Rows that have been, or were, processed: the first so many in processing order."""
    rest: str
    """What the others end as, once the batch has ended."""
    archived_at: float | None = None


def standing(batch: Batch, now: float) -> Standing:
    """Return what a batch is."""
    end, stop, rest = _end(batch)
    if now < end:
        status = Status.CANCELING if batch.cancel_at is not None and batch.cancel_at <= now else Status.IN_PROGRESS
        return Standing(status, None, _processed(batch, min(now, stop)), rest)
    archived = batch.created_at + ARCHIVE_SECONDS
    return Standing(Status.ENDED, end, _processed(batch, stop), rest, archived if now >= archived else None)


def _end(batch: Batch) -> tuple[float, float, str]:
    """Return when it ends, when processing stops, and what becomes of the rest."""
    natural = min(batch.created_at + batch.duration, batch.expires_at)
    if batch.cancel_at is not None and batch.cancel_at < natural:
        return min(batch.cancel_at + batch.cancel_seconds, natural), batch.cancel_at, "canceled"
    return natural, natural, "expired"


def _processed(batch: Batch, moment: float) -> int:
    if moment >= batch.created_at + batch.duration:
        return batch.rows
    return int(batch.rows * max(0.0, moment - batch.created_at) / batch.duration)


def counts(batch: Batch, state: Standing, *, progressive: bool) -> dict[str, int]:
    """Return `request_counts`: all in `processing` until the batch has ended, and always the batch's size in sum."""
    tally = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    ended = state.status is Status.ENDED
    if ended or progressive:
        for outcome, code in CODES.items():
            tally[outcome] = batch.outcomes.count(code, 0, state.processed)
    if ended:
        tally[state.rest] += batch.rows - state.processed
    else:
        tally["processing"] = batch.rows - sum(tally.values())
    return tally


def billed(batch: Batch, state: Standing) -> Iterator[bool]:
    """Yield for each row in processing order whether it is, or may still come to be, paid for."""
    for rank, code in enumerate(batch.outcomes):
        done = state.status is not Status.ENDED or rank < state.processed
        yield done and code == CODES["succeeded"][0]


def describe(batch: Batch, state: Standing, results_url: str, *, progressive: bool) -> dict[str, Any]:
    """Return the batch object, keys in the recorded order."""
    available = state.status is Status.ENDED and state.archived_at is None
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": state.status.value,
        "request_counts": counts(batch, state, progressive=progressive),
        "ended_at": timestamp(state.ended_at),
        "created_at": timestamp(batch.created_at),
        "expires_at": timestamp(batch.expires_at),
        "archived_at": timestamp(state.archived_at),
        "cancel_initiated_at": timestamp(batch.cancel_at if state.status is not Status.IN_PROGRESS else None),
        "results_url": results_url if available else None,
    }
