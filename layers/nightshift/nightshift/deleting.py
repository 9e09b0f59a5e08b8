"""Batches that a job wants deleted at the API, which otherwise keeps them for 29 days.

Only of a run that is done: by then every result is archived, applied and counted, and retries need the plan alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from nightshift.model import BatchId, Chunk, ChunkState, RowClass, Run, RunState
from nightshift.ports import BatchApi, Clock, Ledger


@dataclass(frozen=True, slots=True)
class Deleter:
    """Deletes batches at the API."""

    ledger: Ledger
    api: BatchApi
    clock: Clock

    def delete(self, runs: Iterable[Run], deadline: datetime) -> Iterator[tuple[Run, int]]:
        """Delete the batches of those runs that want it and are done, and yield each run with how many it had.

        It can be killed anywhere and done again: a batch that is gone is deleted.

        Args:
            runs: as the ledger's index has them.
            deadline: no batch is begun with after that; the next audit goes on.

        Raises:
            ApiError: the API did not delete one.
        """
        for listed in runs:
            if not _wants(listed):
                continue
            run = self.ledger.run(listed.run_id)  # what the index has is a moment old
            batches = [batch_id for chunk in self.ledger.chunks(run.run_id) if (batch_id := _over(chunk)) is not None]
            if not _wants(run) or not self._delete(batches, deadline):
                continue
            self.ledger.batches_deleted(run.run_id)
            yield run, len(batches)

    def _delete(self, batches: Iterable[BatchId], deadline: datetime) -> bool:
        """Delete all of these; False where time ran out."""
        for batch_id in batches:
            if self.clock() >= deadline:
                return False
            self.api.delete(batch_id)
        return True


def _wants(run: Run) -> bool:
    return run.state is RunState.DONE and run.delete_batches and not run.batches_deleted


def _over(chunk: Chunk) -> BatchId | None:
    """Return a chunk's batch, where nobody has a use for it: a row that is missing may still turn up in its results."""
    whole = chunk.state is ChunkState.COLLECTED and not chunk.tally.rows.get(RowClass.MISSING)
    return chunk.batch_id if whole else None
