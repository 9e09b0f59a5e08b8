"""What comes next for a run: one pure function over what the ledger says. Everything else is doing."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift.model import (
    Chunk,
    ChunkState,
    Hold,
    HoldCode,
    Intent,
    IntentNote,
    Run,
    RunState,
    Step,
    StepKind,
    chunk_id,
)

PILOT = chunk_id(0, 1)
"""The chunk that is the pilot, where a run has one."""

MOVING = frozenset({ChunkState.SENDING, ChunkState.SENT, ChunkState.ENDED, ChunkState.ARCHIVED})
"""States of a chunk that is, or may be, a batch, and is not collected."""

MAX_WORKERS = 8
"""Collectors side by side: the state machine's inline Map allows 40, a fresh on-demand table feeds about this many."""

GRACE_HTTP = timedelta(minutes=2)
"""After an error that the API itself answered with: it knows already what it did."""

GRACE_LOST = timedelta(minutes=15)
"""After a lost connection, a gateway's answer, or a sender that died: a batch has this long to become visible."""

FRUITLESS_LIMIT = 10
"""Steps in a row that changed nothing before the run is held, and tried no further even to collect."""

CHUNK_FAILURES = 10
"""Failures of one chunk before its run is held for it: some four hours, with pauses that double up to one."""

OVERDUE = timedelta(hours=26)
"""A batch ends 24 h after its creation at the latest (API reference, `expires_at`); two more mean a fault."""

UNSENT = timedelta(hours=30)
"""A run that can send nothing for so long is held: an API that is away, or a queue that is full, is waited out before.
A create that another run cannot settle keeps it back for 26 h at most."""

SECOND_READ = timedelta(minutes=1)
"""Between the two reads that must both find nothing before a create counts as not done."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often the loop looks, from the template's parameters."""

    poll_min_seconds: int
    poll_max_seconds: int
    poll_percent: float
    """Wait this share of the time since the run last changed."""
    max_turns: int
    """Turns of one execution before it hands over: 9 history events each, 25,000 is Step Functions' limit."""


def settles_at(intent: Intent) -> datetime:
    """Return when reconciliation may next decide about a create whose outcome is not known."""
    if intent.none_seen_at is not None:
        due = intent.none_seen_at + SECOND_READ
    elif intent.note is not None and intent.noted_at is not None:
        due = intent.noted_at + (GRACE_HTTP if intent.note is IntentNote.HTTP_ERROR else GRACE_LOST)
    else:
        due = intent.deadline + GRACE_LOST
    return max(due, intent.retry_at) if intent.retry_at is not None else due


def fingerprint(run: Run, chunks: Iterable[Chunk]) -> str:
    """Digest everything about a run that a step can change, bookkeeping of the loop left out."""
    money = (run.reserved is None, run.piloted)
    seen = [(run.state, run.planned, run.generation, run.hold and run.hold.code, run.approved, money)]
    seen += [
        (c.id, c.state, c.attempt, c.not_before, c.failures, c.applied, sorted(c.request_counts.items()))  # type: ignore[misc]
        for c in chunks
        if c.generation <= run.generation
    ]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def collectable(chunk: Chunk, now: datetime) -> bool:
    """Tell whether a worker may take the chunk now."""
    return (
        chunk.state in {ChunkState.ENDED, ChunkState.ARCHIVED}
        and chunk.failures < CHUNK_FAILURES
        and (chunk.not_before is None or chunk.not_before <= now)
        and (chunk.worker is None or chunk.worker.until <= now)
    )


def overdue(chunk: Chunk, now: datetime) -> bool:
    """Tell whether a batch should have ended long ago: it was deleted, or the key is another workspace's."""
    return chunk.state is ChunkState.SENT and chunk.sent_at is not None and chunk.sent_at + OVERDUE < now


def stuck(chunk: Chunk, now: datetime) -> Hold | None:
    """Return the hold that a chunk's state means: nothing more comes of it without a person."""
    if overdue(chunk, now):
        reason = f"batch {chunk.batch_id} of {chunk.id} has not ended, or cannot be found, 26 h after it was sent"
        return Hold(HoldCode.BATCH_OVERDUE, f"{reason}; is the key of the workspace that it was sent from?", now)
    if chunk.failures >= CHUNK_FAILURES:
        reason = f"{chunk.id} has failed {chunk.failures} times; the last time: {chunk.error}"
        return Hold(HoldCode.CHUNK_FAILS, reason, now)
    return None


def waits_to_send(run: Run, chunks: Sequence[Chunk]) -> bool:
    """Tell whether the run has rows to send, and no batch on its way."""
    states = {c.state for c in chunks if c.generation <= run.generation}
    return run.hold is None and ChunkState.PLANNED in states and states.isdisjoint(MOVING)


def unsent(run: Run, chunks: Sequence[Chunk], now: datetime) -> Hold | None:
    """Return the hold of a run that has not been able to send for too long."""
    if run.unsent_since is None or now - run.unsent_since < UNSENT:
        return None
    error = next((c.error for c in chunks if c.state is ChunkState.PLANNED and c.error), "a create is not settled")
    reason = f"nothing could be sent since {run.unsent_since:%Y-%m-%d %H:%M} UTC; the last time: {error}"
    return Hold(HoldCode.NO_PROGRESS, reason, now)


def sendable(run: Run, chunks: Sequence[Chunk], now: datetime) -> list[Chunk]:
    """Return the chunks that may be sent now, in order: none without money reserved, the pilot alone.

    One that is kept back keeps all others back: what the API refused or did not answer was not about its rows.
    """
    due = [c for c in chunks if c.state is ChunkState.PLANNED and c.generation <= run.generation]
    if run.reserved is None or any(c.not_before is not None and c.not_before > now for c in due):
        return []
    if (pilot := standing_pilot(run, chunks)) is None or pilot_lapses_at(run, pilot, now) <= now:
        return due
    return [c for c in due if c.id == pilot.id]


def standing_pilot(run: Run, chunks: Sequence[Chunk]) -> Chunk | None:
    """Return the chunk that is the run's pilot, until it is judged."""
    if not run.pilot or run.piloted:
        return None
    return next((c for c in chunks if c.id == PILOT), None)


def pilot_lapses_at(run: Run, pilot: Chunk, now: datetime) -> datetime:
    """Return when a pilot holds the others back no longer; one that is not sent, or can be judged, always does."""
    if pilot.sent_at is None or pilot.state in {ChunkState.PLANNED, ChunkState.SENDING, ChunkState.COLLECTED}:
        return now + timedelta(seconds=max(1, run.pilot_wait))
    return pilot.sent_at + timedelta(seconds=run.pilot_wait)


def judgeable(run: Run, chunks: Sequence[Chunk]) -> bool:
    """Tell whether the pilot's answers are there and nobody has judged them.

    Without money reserved there is nothing to judge for: nothing is left to send, or it is reserved first.
    """
    pilot = standing_pilot(run, chunks)
    return run.reserved is not None and pilot is not None and pilot.state is ChunkState.COLLECTED


def reservable(run: Run, chunks: Sequence[Chunk]) -> bool:
    """Tell whether there is something to send, and no money reserved for it."""
    return run.reserved is None and any(
        c.state is ChunkState.PLANNED and c.generation <= run.generation for c in chunks
    )


def next_generation_due(run: Run, chunks: Sequence[Chunk]) -> bool:
    """Tell whether the run's whole generation is collected and left rows that may be asked again."""
    current = [c for c in chunks if c.generation == run.generation]
    return (
        run.planned
        and run.generation < run.max_generations
        and all(c.state is ChunkState.COLLECTED for c in chunks if c.generation <= run.generation)
        and any(c.tally.retryable for c in current)
    )


def next_step(  # noqa: PLR0911 - one return per kind of step is what the table looks like
    run: Run, chunks: Sequence[Chunk], intent: Intent | None, now: datetime, policy: Policy
) -> Step:
    """Decide one turn of the loop.

    Args:
        run: as the ledger has it.
        chunks: all chunks of the run; those of a generation that has not begun are left alone.
        intent: the create that may be under way in this stack, whichever run's it is.
        now: the present moment.
        policy: how often to look.
    """
    if run.state is RunState.DONE and run.verify and not run.verified:
        return Step(StepKind.VERIFY, reason="the job wants a sample compared with synchronous answers")
    if run.state is RunState.DONE:
        return Step(StepKind.DONE, reason="every row is accounted for")
    chunks = [c for c in chunks if c.generation <= run.generation]
    if run.hold is not None and run.fruitless >= FRUITLESS_LIMIT:
        if any(c.state is ChunkState.SENT and not overdue(c, now) for c in chunks):
            return _wait(run, chunks, intent, now, policy)  # what is in flight is collected: its end is progress
        return Step(StepKind.HELD, reason="steps changed nothing, so nothing is tried until a person says so")
    if reason := _submit_reason(run, chunks, intent, now):
        return Step(StepKind.SUBMIT, reason=reason)
    if ready := sum(collectable(c, now) for c in chunks):
        return Step(StepKind.COLLECT, workers=min(MAX_WORKERS, ready), reason=f"{ready} batches to collect")
    if _unfinished(run, chunks, now):
        return _wait(run, chunks, intent, now, policy)
    if run.reported != fingerprint(run, chunks):
        return Step(StepKind.REPORT, reason="nothing is in flight")
    if run.hold is not None:
        return Step(StepKind.HELD, reason=run.hold.code)
    return _wait(run, chunks, intent, now, policy)


def _submit_reason(run: Run, chunks: Sequence[Chunk], intent: Intent | None, now: datetime) -> str:
    """Say why submit has something to do now; empty where it has not."""
    if run.working_until is not None and run.working_until > now:
        return ""  # a submit outside the machine is at it
    concerned = any(c.state is ChunkState.SENDING for c in chunks)
    if run.hold is None:
        if not run.planned:
            return "the plan is not finished"
        if judgeable(run, chunks):
            return "the pilot can be judged"
        if next_generation_due(run, chunks):
            return "rows that failed retryably can be asked again"
        if reservable(run, chunks):
            return "what is planned wants its money reserved"
        sending = bool(sendable(run, chunks, now))
        if sending and intent is None:
            return "chunks are planned and not sent"
        concerned = concerned or sending
    if concerned and intent is not None and settles_at(intent) <= now:
        return "a create whose outcome is not known can be settled"
    return ""


def _unfinished(run: Run, chunks: Sequence[Chunk], now: datetime) -> bool:
    """Tell whether something is still to come without a person."""
    if any(c.state in MOVING and (run.hold is None or stuck(c, now) is None) for c in chunks):
        return True
    if run.hold is not None:
        return False
    working = run.working_until is not None and run.working_until > now
    return working or not run.planned or any(c.state is ChunkState.PLANNED for c in chunks)


def _wait(run: Run, chunks: Sequence[Chunk], intent: Intent | None, now: datetime, policy: Policy) -> Step:
    """Wait a share of the time since the last change, but no longer than to the next thing that is due."""
    since = (now - (run.changed_at or run.created)).total_seconds()
    seconds = min(max(since * policy.poll_percent / 100, policy.poll_min_seconds), policy.poll_max_seconds)
    due = [c.not_before for c in chunks if c.not_before is not None and c.state is not ChunkState.COLLECTED]
    due += [c.worker.until for c in chunks if c.worker is not None]
    due += [settles_at(intent)] if intent is not None else []
    pilot = standing_pilot(run, chunks)
    due += [pilot_lapses_at(run, pilot, now)] if pilot is not None else []
    due += [run.working_until] if run.working_until is not None else []
    seconds = min([seconds, *((d - now).total_seconds() for d in due if d > now)])
    in_flight = sum(c.state is ChunkState.SENT for c in chunks)
    return Step(StepKind.WAIT, wait_seconds=max(1, math.ceil(seconds)), reason=f"{in_flight} batches in flight")
