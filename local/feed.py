"""What happens in the cloud, in order, for a live display: `GET /_local/events?after=N`."""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from local.wire import Json

KEPT = 200_000
"""Events kept for readers; older ones are dropped, so that a week on the desk fits in memory."""


class Feed:
    """A numbered, bounded list of events."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Stamp every event with `now`, the virtual moment."""
        self._now = now
        self._numbers = itertools.count(1)
        self._events: deque[Json] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def add(self, kind: str, **data: object) -> None:
        """Append one event; `kind` is `<noun>.<verb>`."""
        with self._lock:
            number = next(self._numbers)
            self._events.append({"n": number, "at": self._now().isoformat(), "kind": kind, "data": data})

    def after(self, number: int) -> list[Json]:
        """Return the events with a higher number, oldest first."""
        with self._lock:
            newer = list(itertools.takewhile(lambda event: event["n"] > number, reversed(self._events)))
        return newer[::-1]
