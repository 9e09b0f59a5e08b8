"""What must be true of the ledger at any moment, as code: the audit and the fault tests hold runs against it.

I1 paid once · I2 nothing lost · I3 no batch without a claim · I4 collected in time · I5 the archive is the plan's
· I6 no run stands still · I8 states move along their edges · I9 money adds up, and is not reserved beyond a cap. I7,
that our tokens are those of the vendor's bill, needs an Admin key, which no function here has; it is checked elsewhere.

Each function yields what is broken; nothing, where all is well.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import chain

from nightshift.model import Archive, BatchId, BatchView, Budget, Chunk, ChunkState, Claim, Run, RunState, Tally

COLLECT_WITHIN = timedelta(days=25)
"""The API drops results 29 days after a batch's creation; four are left to mend what keeps them from being had."""
STILL = timedelta(minutes=45)
"""Longer than a sender's life, its grace and a look: 15 + 15 + 6 minutes."""
IN_FLIGHT = timedelta(hours=25)
"""A batch ends 24 h after its creation at the latest (API reference, `expires_at`); one more to notice."""
UNCLAIMED_AFTER = timedelta(minutes=45)
"""A create whose answer was lost is settled by then: 15 min of its sender's life, 15 of grace, two looks."""

_AT_THE_API = frozenset({ChunkState.SENT, ChunkState.ENDED, ChunkState.ARCHIVED})
_HAS_BATCH = _AT_THE_API | {ChunkState.COLLECTED}
_HAS_ARCHIVE = frozenset({ChunkState.ARCHIVED, ChunkState.COLLECTED})
_TAKEN = frozenset({ChunkState.ENDED, ChunkState.ARCHIVED})

EDGES = frozenset(
    {
        (ChunkState.PLANNED, ChunkState.SENDING),
        (ChunkState.PLANNED, ChunkState.SENT),
        (ChunkState.SENDING, ChunkState.SENT),
        (ChunkState.SENDING, ChunkState.PLANNED),
        (ChunkState.SENT, ChunkState.ENDED),
        (ChunkState.ENDED, ChunkState.SENDING),
        (ChunkState.ENDED, ChunkState.ARCHIVED),
        (ChunkState.ARCHIVED, ChunkState.COLLECTED),
    }
)
"""The edges of docs/architecture.md."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    code: str
    """I1 to I9."""
    what: str
    """Which run, chunk or batch, and how. Never holds row data."""


def of_run(run: Run, chunks: Sequence[Chunk], claims: Mapping[BatchId, Claim]) -> Iterator[Violation]:
    """Hold a run against its own records.

    Args:
        run: as the ledger has it.
        chunks: all of its chunks.
        claims: those of the chunks' batches.
    """
    yield from _batches_once(run, chunks, claims)
    yield from _generations(run, chunks)
    for chunk in chunks:
        yield from _fields(chunk)
    yield from _money(run, chunks)
    if run.state is RunState.DONE:
        yield from _done(run, chunks)


def _batches_once(run: Run, chunks: Sequence[Chunk], claims: Mapping[BatchId, Claim]) -> Iterator[Violation]:
    """I1: a batch is of one chunk, and claimed for it."""
    used = Counter(c.batch_id for c in chunks if c.batch_id is not None)
    for batch_id, times in used.items():
        if times > 1:
            yield Violation("I1", f"batch {batch_id} is the batch of {times} chunks of {run.run_id}")
    for chunk in chunks:
        if chunk.batch_id is not None and claims.get(chunk.batch_id) != Claim(run.run_id, chunk.id):
            yield Violation("I1", f"{_name(chunk)} has batch {chunk.batch_id} without a claim to it")


def _generations(run: Run, chunks: Sequence[Chunk]) -> Iterator[Violation]:
    """I1: rows are asked again only when all of the generation before have their outcome."""
    latest = max((c.generation for c in chunks), default=0)
    early = [c for c in chunks if c.generation < latest and c.state is not ChunkState.COLLECTED]
    if early:
        yield Violation("I1", f"{run.run_id} has chunks of generation {latest}, and {early[0].id} is not collected")


def _fields(chunk: Chunk) -> Iterator[Violation]:
    """Yield what a chunk must not have, or lacks, in its state."""
    name = f"{_name(chunk)}, {chunk.state},"
    if chunk.state in _HAS_BATCH and (chunk.batch_id is None or chunk.sent_at is None):
        yield Violation("I1", f"{name} has no batch, or no time of it")
    if chunk.state not in _HAS_BATCH and chunk.batch_id is not None:
        yield Violation("I1", f"{name} has a batch: it would be sent again")
    if chunk.state is ChunkState.SENDING and chunk.attempt < 1:
        yield Violation("I8", f"{name} is in no attempt")
    if chunk.worker is not None and chunk.state not in _TAKEN:
        yield Violation("I8", f"{name} has a worker")
    yield from _archive_fields(chunk, name)
    if chunk.state is ChunkState.COLLECTED and sum(chunk.tally.rows.values()) + chunk.tally.retryable != chunk.rows:
        yield Violation("I2", f"{name} has {chunk.rows} rows, and its classes are not as many")


def _archive_fields(chunk: Chunk, name: str) -> Iterator[Violation]:
    if (chunk.archive is not None) != (chunk.state in _HAS_ARCHIVE):
        yield Violation("I5", f"{name} has {'an' if chunk.archive else 'no'} archive")
    size = chunk.archive.size if chunk.archive is not None else 0
    if chunk.applied > size:
        yield Violation("I5", f"{name} is applied to byte {chunk.applied} of {size}")
    if chunk.state is ChunkState.COLLECTED and chunk.applied != size:
        yield Violation("I2", f"{name} is applied to byte {chunk.applied} of {size} only")


def _done(run: Run, chunks: Sequence[Chunk]) -> Iterator[Violation]:
    """I2: of a run that is done, every row is in a class."""
    left = [c for c in chunks if c.state is not ChunkState.COLLECTED]
    if left or not run.planned:
        yield Violation("I2", f"{run.run_id} is done, and {len(left)} chunks are not collected")
    total = reduce(Tally.__add__, chain.from_iterable((c.planned, c.tally) for c in chunks), run.leftover)
    if (counted := sum(total.rows.values())) != run.rows:
        yield Violation("I2", f"{run.run_id} is done, has {run.rows} rows, and {counted} are in a class")


def _money(run: Run, chunks: Sequence[Chunk]) -> Iterator[Violation]:
    """I9: a run has spent what its collected chunks cost, and reserves for rows that have not ended, and no others."""
    paid = sum(sum(c.tally.paid.values()) for c in chunks if c.state is ChunkState.COLLECTED)
    if run.spent != paid:
        yield Violation("I9", f"{run.run_id} has spent {run.spent}, and its collected chunks cost {paid}")
    reserved = run.reserved or 0
    if reserved < 0 or (reserved and run.state is RunState.DONE):
        yield Violation("I9", f"{run.run_id}, {run.state}, has {reserved} reserved")


def of_months(months: Mapping[str, Budget], runs: Sequence[Run]) -> Iterator[Violation]:
    """I9: months have spent what runs have, and have committed that and what runs have reserved in them.

    Args:
        months: `yyyy-mm` → its money; all months that have any.
        runs: all runs, read at the same moment.
    """
    waiting: Counter[str] = Counter()
    for run in runs:
        waiting[run.budget_month] += run.reserved or 0
        if run.verifying is not None:
            waiting[run.verifying.month] += run.verifying.said
    for month in sorted(months.keys() | (waiting.keys() - {""})):
        budget = months.get(month, Budget())
        if budget.committed != budget.spent + waiting[month]:
            have = f"has committed {budget.committed} and spent {budget.spent}"
            yield Violation("I9", f"{month} {have}, and its runs have reserved {waiting[month]}")
    paid = sum(run.spent + run.verify_spent for run in runs)
    if (spent := sum(budget.spent for budget in months.values())) != paid:
        yield Violation("I9", f"the months have spent {spent}, and the runs {paid}")


def of_commitment(before: Budget, after: Budget, cap: int) -> Iterator[Violation]:
    """I9: nothing is reserved beyond a month's cap. What rows cost in the end may pass it, and then nothing is sent."""
    if after.spent == before.spent and after.committed > max(before.committed, cap):
        yield Violation("I9", f"{after.committed} are committed, more than the cap of {cap}")


def of_pins(before: Run, after: Run) -> Iterator[Violation]:
    """I9: what a run's money follows from is settled once, unless its plan is made anew."""
    if before.replanned_at != after.replanned_at:
        return
    for name in ("prices", "caching", "estimate", "revised"):
        was, now = getattr(before, name), getattr(after, name)
        if was is not None and now != was:
            yield Violation("I9", f"{after.run_id} had its {name} settled, and has another now")
    if before.piloted and not after.piloted:
        yield Violation("I9", f"{after.run_id} had its pilot judged, and has not now")


def of_time(run: Run, chunks: Sequence[Chunk], now: datetime) -> Iterator[Violation]:
    """I4 and I6: nothing waits for ever."""
    for chunk in chunks:
        if chunk.state in _AT_THE_API and chunk.sent_at is not None and chunk.sent_at + COLLECT_WITHIN < now:
            yield Violation("I4", f"{_name(chunk)} was sent more than 25 days ago and is not collected")
    since = run.changed_at or run.created
    last = max([since, *_moved(run, chunks)])  # the next look after that is what may not come
    if run.state is RunState.OPEN and run.hold is None and now - last > STILL and not _flying(chunks, now):
        yield Violation("I6", f"{run.run_id} has not changed since {since:%Y-%m-%d %H:%M} UTC")


def _flying(chunks: Sequence[Chunk], now: datetime) -> bool:
    """Tell whether a batch is in flight: then standing still is right."""
    return any(c.state is ChunkState.SENT and c.sent_at is not None and now <= c.sent_at + IN_FLIGHT for c in chunks)


def _moved(run: Run, chunks: Sequence[Chunk]) -> Iterator[datetime]:
    """Yield when something was put off to, or was collected: no look may have seen that yet."""
    ends = (c.collected_at if c.state is ChunkState.COLLECTED else c.not_before for c in chunks)
    yield from (moment for moment in (run.retry_at, *ends) if moment is not None)


def of_batches(batches: Iterable[BatchView], claims: Mapping[BatchId, Claim], now: datetime) -> Iterator[Violation]:
    """I3: whatever is at the API, some chunk has claimed, or it was found to be another's."""
    for batch in batches:
        if unclaimed(batch, claims, now):
            yield Violation("I3", f"batch {batch.id} of {batch.rows} rows, created {batch.created_at}, is unclaimed")


def unclaimed(batch: BatchView, claims: Mapping[BatchId, Claim], now: datetime) -> bool:
    """Tell whether a batch has no claim and should have one by now."""
    return batch.id not in claims and batch.created_at + UNCLAIMED_AFTER < now


def of_change(before: Chunk | None, after: Chunk | None) -> Iterator[Violation]:
    """I8: hold one write on a chunk against the edges. None: absent."""
    if before is None or after is None:
        present = before or after
        if present is not None and present.state is not ChunkState.PLANNED:
            yield Violation("I8", f"{_name(present)}, {present.state}, came from nowhere or went there")
        return
    yield from _moves(before, after)
    if (before.rows, before.size, before.sha256) != (after.rows, after.size, after.sha256):
        yield Violation("I8", f"{_name(after)} has another plan")
    if before.batch_id == after.batch_id and after.applied < before.applied:
        yield Violation("I8", f"{_name(after)} went back from byte {before.applied} to {after.applied}")
    if before.archive is not None and after.archive != before.archive:
        yield Violation("I8", f"{_name(after)} has another archive")


def _moves(before: Chunk, after: Chunk) -> Iterator[Violation]:
    edge = (before.state, after.state)
    name = f"{_name(after)}, {before.state} → {after.state},"
    if before.state is not after.state and edge not in EDGES:
        yield Violation("I8", f"{name} is no edge")
    steps = 1 if edge == (ChunkState.PLANNED, ChunkState.SENDING) else 0
    if after.attempt != before.attempt + steps:
        yield Violation("I8", f"{name} went from attempt {before.attempt} to {after.attempt}")
    swapped = edge == (ChunkState.SENT, ChunkState.SENT) and after.adopted
    changed = before.batch_id != after.batch_id
    if changed and before.batch_id is not None and after.batch_id is not None and not swapped:
        yield Violation("I8", f"{name} has batch {after.batch_id} in place of {before.batch_id}")


def of_archive(
    planned_ids: AbstractSet[str], archived_ids: AbstractSet[str], archive: Archive, sha256: str, missing: int
) -> Iterator[Violation]:
    """I5: hold an archive against its plan.

    Args:
        planned_ids: custom_ids of the chunk's plan.
        archived_ids: custom_ids of the archive's lines.
        archive: as the ledger has it.
        sha256: hex digest of the object as it is.
        missing: rows of the chunk that were settled as `missing`.
    """
    if sha256 != archive.sha256:
        yield Violation("I5", f"{archive.key} is not what was archived")
    if unplanned := len(archived_ids - planned_ids):
        yield Violation("I5", f"{archive.key} has {unplanned} rows that were not planned")
    if (absent := len(planned_ids - archived_ids)) != missing:
        yield Violation("I5", f"{archive.key} lacks {absent} rows of the plan, and {missing} are settled as missing")
    if archive.lines != len(archived_ids):
        yield Violation("I5", f"{archive.key} has {len(archived_ids)} rows in {archive.lines} lines")


def _name(chunk: Chunk) -> str:
    return f"{chunk.run_id} {chunk.id}"
