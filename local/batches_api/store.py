"""The batches and their files."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from .errors import batch_not_found, invalid_request
from .lifecycle import Batch, Status, standing

LONGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    batches: list[Batch]
    has_more: bool


class Store:
    """Every batch that was accepted; deleted ones stay on record, because they were paid for."""

    def __init__(self, folder: Path) -> None:
        """Keep files below a folder, which is made if it is not there."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.batches: dict[str, Batch] = {}

    def new_folder(self, batch_id: str) -> Path:
        """Make the place for a batch's files."""
        folder = self.folder / batch_id
        folder.mkdir()
        return folder

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove the files of a batch that was refused."""
        shutil.rmtree(folder)

    def add(self, batch: Batch) -> None:
        """Put a batch on record."""
        self.batches[batch.id] = batch

    def get(self, batch_id: str, workspace: str, now: float) -> Batch:
        """Return a batch that this workspace can see.

        Raises:
            ApiError: 404.
        """
        batch = self.batches.get(batch_id)
        if batch is None or not self._visible(batch, workspace, now):
            raise batch_not_found(batch_id)
        return batch

    def page(self, workspace: str, now: float, *, limit: int, after: str | None, before: str | None) -> Page:
        """Return a page of the list, newest first.

        Args:
            workspace: whose list.
            now: the moment.
            limit: batches on a page.
            after: start behind this batch, towards the older ones.
            before: end in front of this batch: the next newer ones.

        Raises:
            ApiError: 400 for a cursor that names no batch, or for both (assumed).
        """
        found = [batch for batch in self.batches.values() if self._visible(batch, workspace, now)]
        found.sort(key=lambda batch: (batch.created_at, batch.index), reverse=True)
        if after is not None and before is not None:
            raise invalid_request("Only one of `after_id` and `before_id` may be given.")
        if before is not None:
            newer = found[: _position(found, before, "before_id")]
            return Page(newer[-limit:], has_more=len(newer) > limit)
        older = found if after is None else found[_position(found, after, "after_id") + 1 :]
        return Page(older[:limit], has_more=len(older) > limit)

    def queued(self, workspace: str, now: float) -> int:
        """Return how many requests are in batches that have not ended."""
        return sum(
            batch.rows
            for batch in self.batches.values()
            if batch.workspace == workspace and standing(batch, now).status is not Status.ENDED
        )

    @staticmethod
    def _visible(batch: Batch, workspace: str, now: float) -> bool:
        return batch.workspace == workspace and not batch.deleted and batch.created_at <= now


def _position(batches: list[Batch], batch_id: str, parameter: str) -> int:
    for position, batch in enumerate(batches):
        if batch.id == batch_id:
            return position
    raise invalid_request(f"{parameter}: {batch_id} is not a Message Batch of this workspace.")
