"""Whose a batch is, as far as it can be told: a batch has no name and no metadata, only its size, time and results."""

from datetime import datetime, timedelta

from nightshift.archiving import whole_lines
from nightshift.decision import GRACE_LOST
from nightshift.errors import Ambiguous, ApiError
from nightshift.model import BatchView, ChunkState, Claim, Intent, custom_id_prefix
from nightshift.outcomes import custom_id_of
from nightshift.ports import BatchApi, Ledger

LOOK_BACK = timedelta(minutes=5)
"""Batches are listed from this long before the moment in question: clocks differ."""

SILENT = timedelta(hours=2)
"""Results that name no row so long after their batch has ended are not waited for: collecting gives up after less."""


def fits(intent: Intent, batch: BatchView) -> bool:
    """Tell whether a create whose outcome is not known may have made this batch: of its size, in its time."""
    since, until = intent.created - LOOK_BACK, intent.deadline + GRACE_LOST + LOOK_BACK  # clocks differ either way
    in_time = since <= batch.created_at <= until
    return in_time and batch.rows == intent.rows and batch.id not in intent.excluded


def made_by(intent: Intent, ledger: Ledger, api: BatchApi, now: datetime) -> list[BatchView] | None:
    """Return the batch that a create made, or nothing; None while that cannot be told.

    Candidates are of its size and in its time. One that nobody has claimed is taken, and proved when its results are
    read. Several are told apart by the custom_ids in their results, and so is one that another chunk took for its own,
    and has found to be another's, or has not read yet. Results that name no row do not say "not ours": where they stay
    so, their batch is taken, because collecting can end with results that never come, and sending again pays twice.

    Raises:
        ApiError: the batches cannot be listed.
    """
    listed = [b for b in api.batches(intent.created - LOOK_BACK) if fits(intent, b)]
    claims = ledger.claims(b.id for b in listed)
    free = [b for b in listed if b.id not in claims]
    doubted = [b for b in listed if b.id in claims and _doubtful(ledger, claims[b.id], intent)]
    names = {b.id: _told(api, b) for b in ([*doubted, *free] if len(free) > 1 else doubted)}
    to_have = [*free, *(b for b in doubted if claims[b.id].foreign)]
    for batch in listed:
        if names.get(batch.id, "").startswith(custom_id_prefix(intent.run_id, intent.chunk)):
            # Whoever has it without having read it lets go of it when it does.
            return [batch] if batch in to_have else None
    left = [b for b in to_have if not names.get(b.id)]
    if len(left) == 1 and left[0] in free:
        return left
    if left and all(_silent(b, now) for b in left):
        return left[:1]
    return None if left or any(not names[b.id] for b in doubted) else []


def _told(api: BatchApi, batch: BatchView) -> str:
    """Return what a batch's results say whose it is; empty while they do not."""
    if not batch.ended:
        return ""
    try:
        return first_custom_id(api, batch)
    except ApiError:
        return ""  # it may tell another time, and keeps no other from telling now


def _silent(batch: BatchView, now: datetime) -> bool:
    return batch.ended_at is not None and now - batch.ended_at >= SILENT


def _doubtful(ledger: Ledger, claim: Claim, intent: Intent) -> bool:
    """Tell whether a claimed batch may be an intent's all the same: its chunk adopted it, and has no proof."""
    if (claim.run_id, claim.chunk) == (intent.run_id, intent.chunk):
        return False
    if claim.foreign:
        return True
    owner = next((c for c in ledger.chunks(claim.run_id) if c.id == claim.chunk), None)
    return owner is not None and owner.adopted and owner.state in {ChunkState.SENT, ChunkState.ENDED}


def first_custom_id(api: BatchApi, batch: BatchView) -> str:
    """Return the first custom_id in an ended batch's results; a line without one is passed over, as archiving does.

    Raises:
        ApiError: the results cannot be had, or name no row.
    """
    with api.results(batch) as blocks:
        for lines in whole_lines(blocks):
            if name := next(filter(None, map(custom_id_of, lines)), ""):
                return name
    raise Ambiguous(f"No line of the results of {batch.id} has a custom_id.")
