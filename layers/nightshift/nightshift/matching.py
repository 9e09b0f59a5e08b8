"""Whose a batch is, as far as it can be told: a batch has no name and no metadata, only its size, time and results."""

from datetime import timedelta

import msgspec

from nightshift.decision import GRACE_LOST
from nightshift.model import BatchView, Intent
from nightshift.ports import BatchApi

LOOK_BACK = timedelta(minutes=5)
"""Batches are listed from this long before the moment in question: clocks differ."""


def fits(intent: Intent, batch: BatchView) -> bool:
    """Tell whether a create whose outcome is not known may have made this batch: of its size, in its time."""
    since, until = intent.created - LOOK_BACK, intent.deadline + GRACE_LOST + LOOK_BACK  # clocks differ either way
    in_time = since <= batch.created_at <= until
    return in_time and batch.rows == intent.rows and batch.id not in intent.excluded


def first_custom_id(api: BatchApi, batch: BatchView) -> str:
    """Return the custom_id of an ended batch's first result; empty where it has none.

    Raises:
        ApiError: the results cannot be had.
        msgspec.DecodeError: they are not what results are.
    """
    head = b""
    with api.results(batch) as blocks:
        for block in blocks:
            head += block
            if b"\n" in head:
                break
    line = head.split(b"\n", 1)[0]
    return _FirstLine.decode(line).custom_id if line.strip() else ""


class _Line(msgspec.Struct):
    custom_id: str = ""


_FirstLine = msgspec.json.Decoder(_Line)
