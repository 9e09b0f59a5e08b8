"""Batches that no chunk has: whose they are, and what is done about each. Paid results are used where they can be.

A create is adopted or sent again when its grace has passed. A batch that shows only after that is an orphan: paid for,
and the rows are sent once more. Where the second batch has not cost anything yet, the orphan takes its place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from nightshift.errors import ApiError, Conflict
from nightshift.invariants import unclaimed
from nightshift.matching import LOOK_BACK, first_custom_id, fits
from nightshift.model import BatchId, BatchView, Chunk, ChunkState, Claim, RunId, custom_id_prefix
from nightshift.ports import BatchApi, Clock, Ledger

WATCHED = timedelta(hours=48)
"""Batches are listed so far back: one that is older had 192 audits to show itself."""

TOKEN = 8
"""Characters of a run's token, at the beginning of every custom_id."""


class Fate(StrEnum):
    """What a batch without a chunk is, or became."""

    SALVAGED = "salvaged"
    """Its chunk has taken it: nothing is lost."""
    ORPHAN = "orphan"
    """Of ours or of nobody, and not of use, or not yet."""
    PAID_TWICE = "paid twice"
    """Another batch has answered the same rows."""
    FOREIGN = "foreign"
    """Something else uses this workspace."""
    UNPAID = "unpaid"
    """Not one of its requests was answered, so nothing was paid."""
    WAITING = "waiting"
    """A create whose outcome is not known may still adopt it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A batch, and what it is."""

    batch_id: BatchId
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class Salvager:
    """Looks for batches that no chunk has."""

    ledger: Ledger
    api: BatchApi
    clock: Clock

    def look(self, runs: Mapping[str, RunId], deadline: datetime) -> Iterator[Found]:
        """Yield each batch of the last two days that no chunk has, after having used it where it can be.

        Args:
            runs: run token → run, of all runs whose batches may be found.
            deadline: no batch is begun with after that, neither to read it nor to cancel it.

        Raises:
            ApiError: the batches cannot be listed.
        """
        now = self.clock()
        batches = {batch.id: batch for batch in self.api.batches(now - WATCHED)}
        intent = self.ledger.intent()
        claims = self.ledger.claims(batches)  # last: what was claimed since the list was made is not an orphan
        for batch in batches.values():
            nobodys = unclaimed(batch, claims, now)
            if nobodys and intent is not None and fits(intent, batch):
                yield Found(batch.id, Fate.WAITING, f"the create of {intent.run_id} {intent.chunk} may have made it")
            elif nobodys or (batch.id in claims and claims[batch.id].foreign):
                yield self._judged(batch, runs) if self.clock() < deadline else _later(batch, "time was up")
        yield from self._superseded(batches.values(), claims, deadline)

    def _superseded(
        self, batches: Iterable[BatchView], claims: Mapping[BatchId, Claim], deadline: datetime
    ) -> Iterator[Found]:
        """Cancel what an orphan has taken the place of, again where that was not done, and tell what it cost."""
        for batch in batches:
            if batch.id not in claims or not claims[batch.id].superseded:
                continue
            if batch.processing_status == "in_progress" and self.clock() >= deadline:
                yield _later(batch, "time was up")
            elif batch.processing_status == "in_progress":
                if trouble := self._cancel(batch.id):
                    yield Found(batch.id, Fate.ORPHAN, f"an orphan has taken its place, {trouble}")
            elif answered := batch.request_counts.get("succeeded", 0):
                why = f"{answered} of its rows were answered before its cancel; another batch has them too"
                yield Found(batch.id, Fate.PAID_TWICE, why)

    def _judged(self, batch: BatchView, runs: Mapping[str, RunId]) -> Found:
        if not batch.ended:
            return Found(batch.id, Fate.ORPHAN, "it still runs; whose it is shows when it has ended")
        if not batch.request_counts.get("succeeded", 0):
            return Found(batch.id, Fate.UNPAID, "none of its requests was answered")
        try:
            name = first_custom_id(self.api, batch)
            run_id = runs.get(name[:TOKEN])
            if run_id is None:
                return Found(batch.id, Fate.FOREIGN, "its results carry the token of no run of this stack")
            return self._ours(batch, run_id, name)
        except ApiError as error:
            return _later(batch, type(error).__name__)
        except Conflict:
            return Found(batch.id, Fate.WAITING, "its chunk has just moved")

    def _ours(self, batch: BatchView, run_id: RunId, name: str) -> Found:
        """Use an ended batch of a run, if its chunk can."""
        chunks = self.ledger.chunks(run_id)
        run = self.ledger.run(run_id)  # behind its chunks: those of a new plan are read with the time of that plan
        chunk = next((c for c in chunks if name.startswith(custom_id_prefix(run_id, c.id))), None)
        replanned = run.replanned_at is not None and batch.created_at <= run.replanned_at + LOOK_BACK
        if chunk is None or chunk.rows != batch.rows or replanned:
            return Found(batch.id, Fate.ORPHAN, f"it was made of another plan of {run_id}")
        if chunk.batch_id == batch.id:
            return Found(batch.id, Fate.ORPHAN, f"{run_id} {chunk.id} has it, without a claim")
        return self._use(batch, chunk, f"{run_id} {chunk.id}")

    def _use(self, batch: BatchView, chunk: Chunk, where: str) -> Found:
        match chunk.state:
            case ChunkState.SENDING:
                return Found(batch.id, Fate.WAITING, f"a create of {where} is not settled")
            case ChunkState.PLANNED | ChunkState.SENT if why := _useless(batch):
                return Found(batch.id, Fate.ORPHAN, f"{where} cannot use it: {why}")
            case ChunkState.PLANNED:
                self.ledger.salvage(chunk, batch)
                return Found(batch.id, Fate.SALVAGED, f"{where} was planned, and has it now")
            case ChunkState.SENT if chunk.batch_id is not None and not self.api.batch(chunk.batch_id).ended:
                return self._swapped(batch, chunk, where, chunk.batch_id)
            case _:
                return Found(batch.id, Fate.PAID_TWICE, f"{where} has {chunk.batch_id}")

    def _swapped(self, batch: BatchView, chunk: Chunk, where: str, own: BatchId) -> Found:
        """Give the chunk this batch in place of one that has not ended, and cancel that one if it is ours for sure."""
        self.ledger.swap(chunk, batch)
        rest = "which may be another's and runs on" if chunk.adopted else self._cancel(own) or "which is canceled"
        return Found(batch.id, Fate.SALVAGED, f"{where} has it in place of {own}, {rest}")

    def _cancel(self, batch_id: BatchId) -> str:
        """Cancel what an orphan has taken the place of. Returns why that failed: the mark on its claim stands."""
        try:
            self.api.cancel(batch_id)
        except ApiError as error:
            return f"whose cancel failed ({type(error).__name__}); the next audit tries again"
        return ""


def _useless(batch: BatchView) -> str:
    """Say why a batch is worse than sending its rows again, or waiting for those that were; empty where it is not."""
    if batch.request_counts.get("canceled", 0):
        return "some of its requests were canceled"
    answered = batch.request_counts.get("succeeded", 0)
    return f"only {answered} of its {batch.rows} requests were answered" if answered <= batch.rows - answered else ""


def _later(batch: BatchView, why: str) -> Found:
    return Found(batch.id, Fate.ORPHAN, f"it could not be looked into ({why}); the next audit tries again")
