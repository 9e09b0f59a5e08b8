"""What was posted, and whether anything was paid for twice: `GET /_local/audit` and `GET /_local/batches`."""

from array import array
from itertools import chain, compress, pairwise
from typing import Any

from .clock import timestamp
from .lifecycle import Batch, Standing, billed, counts, standing
from .processing import DIGESTS
from .store import Store

EXAMPLES = 20
"""How many repeated rows are listed."""


class Audit:
    """The record of every POST that reached create."""

    def __init__(self) -> None:
        """Start empty."""
        self.posts: list[dict[str, Any]] = []

    def post(self, now: float, outcome: str, *, status: int | None, batch: Batch | None = None) -> None:
        """Write down a POST and how it ended; `status` is null where no answer was sent."""
        self.posts.append(
            {
                "at": timestamp(now),
                "status": status,
                "rows": batch.rows if batch is not None else None,
                "batch_id": batch.id if batch is not None else None,
                "outcome": outcome,
            }
        )


def report(store: Store, audit: Audit, now: float) -> dict[str, Any]:
    """Return the posts, and the rows that more than one batch holds.

    `billed_params` compares requests by their `params`, and only where they are, or may still come to be, billed: the
    retry of a row that failed is none. The same text in two rows of the input is one, if they lie in different batches.
    `custom_ids` compares custom_ids wherever they were sent, billed or not.
    """
    batches = list(store.batches.values())
    params = {batch.id: _billed_params(batch, now) for batch in batches}
    return {
        "posts": audit.posts,
        "batches": len(batches),
        "rows": sum(batch.rows for batch in batches),
        "billed_rows": sum(sum(billed(batch, standing(batch, now))) for batch in batches),
        "billed_params": _summary(params),
        "custom_ids": _summary({batch.id: _custom_ids(batch) for batch in batches}),
    }


def listing(store: Store, now: float) -> list[dict[str, Any]]:
    """Return every batch, also those deleted or not yet visible, oldest first."""
    ids = {batch.id: _custom_ids(batch) for batch in store.batches.values()}
    repeated = _repeated(ids)
    elsewhere = {batch_id: sum(name in repeated for name in own) for batch_id, own in ids.items()}
    return [
        {**_describe(batch, standing(batch, now)), "custom_ids_elsewhere": elsewhere[batch.id]}
        for batch in store.batches.values()
    ]


def _describe(batch: Batch, state: Standing) -> dict[str, Any]:
    return {
        "id": batch.id,
        "index": batch.index,
        "workspace": batch.workspace,
        "created_at": timestamp(batch.created_at),
        "ended_at": timestamp(state.ended_at),
        "status": state.status.value,
        "rows": batch.rows,
        "counts": counts(batch, state, progressive=False),
        "deleted": batch.deleted,
        "custom_ids": {"sha256": batch.ids_sha256, "first": batch.first_id, "last": batch.last_id},
    }


def _summary(digests: "dict[str, array[int]]") -> dict[str, Any]:
    """Return how many digests stand in more than one batch, and where the first few do."""
    repeated = _repeated(digests)
    examples = [
        {"digest": f"{digest:016x}", "batches": [batch_id for batch_id, own in digests.items() if digest in own]}
        for digest in sorted(repeated)[:EXAMPLES]
    ]
    return {"in_more_than_one_batch": len(repeated), "examples": examples}


def _repeated(digests: "dict[str, array[int]]") -> set[int]:
    """Return the digests of more than one batch: sorted and compared, because a million of them in a dict is a lot."""
    together = sorted(chain.from_iterable(digests.values()))
    return {one for one, next_one in pairwise(together) if one == next_one}


def _digests(batch: Batch) -> "array[int]":
    """Return the digests of a batch, in processing order: params, custom_id, params, custom_id and so on."""
    digests = array("Q")
    with (batch.folder / DIGESTS).open("rb") as file:
        digests.fromfile(file, 2 * batch.rows)
    return digests


def _billed_params(batch: Batch, now: float) -> "array[int]":
    """Return the billed ones, each once: two equal rows of one batch were asked for."""
    paid = compress(_digests(batch)[::2], billed(batch, standing(batch, now)))
    return array("Q", set(paid))


def _custom_ids(batch: Batch) -> "array[int]":
    return _digests(batch)[1::2]
