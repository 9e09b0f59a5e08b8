"""Virtual time: the machine's, plus the offset that the local cloud keeps in a file."""

import time
from datetime import UTC, datetime
from pathlib import Path

from local.clock import OffsetFile


class Clock:
    """The server's only source of time."""

    def __init__(self, path: Path | None) -> None:
        """Follow the offset in a file of the local cloud, or without one real time."""
        self._offset = OffsetFile(path) if path is not None and path.exists() else None

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + (self._offset.seconds if self._offset is not None else 0.0)


def timestamp(seconds: float | None) -> str | None:
    """Return a moment as recordings show it: microseconds and `+00:00`, where the documents print `Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
