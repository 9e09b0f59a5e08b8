"""Events on the account's default bus, where anybody may put a rule on them."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import batched
from typing import TYPE_CHECKING

import msgspec

from nightshift.errors import EventsNotTaken
from nightshift.events import Event

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE = "nightshift"
AT_ONCE = 10
"""Entries that PutEvents takes; each of ours has some 500 bytes of the 256 KB that they may have together."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")


class EventBridgeBus:
    """`ports.Bus` over EventBridge."""

    def __init__(self, client: "EventBridgeClient", stack: str) -> None:
        """Put events with a boto3 client; `stack` tells its events from those of another one in the account."""
        self._client = client
        self._stack = stack

    def put(self, events: Sequence[Event]) -> None:
        """See `ports.Bus`."""
        for some in batched(events, AT_ONCE, strict=False):
            answer = self._client.put_events(Entries=[self._entry(event) for event in some])
            if refused := answer["FailedEntryCount"]:
                codes = sorted({entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry})
                message = f"EventBridge did not take {refused} of {len(some)} events: {', '.join(codes)}"
                raise EventsNotTaken(message)

    def _entry(self, event: Event) -> "PutEventsRequestEntryTypeDef":
        detail = {"v": 1, "stack": self._stack, **{field.name: getattr(event, field.name) for field in fields(event)}}
        return {
            "Source": SOURCE,
            "DetailType": type(event).__name__,
            "Time": event.at,
            "Detail": _ENCODER.encode(detail).decode(),
        }
