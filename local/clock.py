"""The one virtual clock of the desk: real time plus an offset that only the cloud moves.

The offset is one little-endian float64 (seconds) in a file that every process maps. Waits are not slept: they are
due times on a heap, and when nothing runs and nothing has moved for a moment, the clock jumps to the earliest one.
Lambda time-outs stay real, because the code they bound really runs.
"""

import heapq
import itertools
import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

QUIET = 0.008
"""Real seconds without any movement before the clock jumps: longer than a state machine takes between two states."""

LONGEST_JUMP = 366 * 86400.0
"""Seconds. A longer wait is a mistake in a definition, and would break the dates of everything else."""

RECHECK = 0.25
"""Real seconds between a waiter's looks at whether anybody still wants it to wait."""


class OffsetFile:
    """The shared offset: eight bytes, written whole, so that a reader never sees half of a jump."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Map the file; `create` makes it, with offset zero, and allows writing."""
        self.path = path
        if create:
            path.write_bytes(struct.pack("<d", 0.0))
        with path.open("r+b" if create else "rb") as file:
            access = mmap.ACCESS_WRITE if create else mmap.ACCESS_READ
            self._cells = memoryview(mmap.mmap(file.fileno(), 8, access=access)).cast("d")

    @property
    def seconds(self) -> float:
        """The offset now."""
        return float(self._cells[0])

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._cells[0] = value


@dataclass(order=True, slots=True)
class Alarm:
    """Something that happens when virtual time reaches `due`."""

    due: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    wanted: bool = field(default=True, compare=False)


class VirtualClock:
    """Real time plus an offset, and the book of who waits and who works."""

    def __init__(self, path: Path, on_jump: Callable[[float], None] | None = None) -> None:
        """Start at real time; `on_jump` is told the seconds of every jump."""
        self.file = OffsetFile(path, create=True)
        self._on_jump = on_jump
        self._numbers = itertools.count()
        self._alarms: list[Alarm] = []
        self._busy = 0
        self._moved = time.monotonic()
        self._stopped = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="clock", daemon=True).start()

    def timestamp(self) -> float:
        """Seconds since the epoch, virtual."""
        return time.time() + self.file.seconds

    def now(self) -> datetime:
        """Return the virtual moment, aware, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def touch(self) -> None:
        """Note that something moved: no jump for the next moment."""
        self._moved = time.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the clock back while work is going on."""
        self.start_work()
        try:
            yield
        finally:
            self.end_work()

    def start_work(self) -> None:
        """Hold the clock back until `end_work`, which another thread may call."""
        with self._changed:
            self._busy += 1

    def end_work(self) -> None:
        """Let the clock go on, once nobody else holds it back."""
        with self._changed:
            self._busy -= 1
            self.touch()
            self._changed.notify()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call `callback` from the clock's own thread in so many virtual seconds; it must not block."""
        if seconds > LONGEST_JUMP:
            message = f"a wait of {seconds:.0f} s is longer than a year"
            raise ValueError(message)
        with self._changed:
            alarm = Alarm(self.timestamp() + max(seconds, 0.0), next(self._numbers), callback)
            heapq.heappush(self._alarms, alarm)
            self.touch()
            self._changed.notify()
        return alarm

    def wait(self, seconds: float, still_wanted: Callable[[], bool] = lambda: True) -> None:
        """Block for so many virtual seconds, or until nobody wants the wait any more."""
        over = threading.Event()
        alarm = self.call_later(seconds, over.set)
        while not over.wait(RECHECK):
            if not still_wanted():
                alarm.wanted = False
                return

    def stop(self) -> None:
        """End the clock: nothing jumps or rings any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while not self._stopped:
            with self._changed:
                due, pause = self._due(), 0.0
                if not due:
                    pause = self._until_next()
                    if pause > 0:
                        self._changed.wait(pause)
            for alarm in due:
                alarm.callback()

    def _due(self) -> list[Alarm]:
        """Take the alarms whose time has come."""
        due, now = [], self.timestamp()
        while self._alarms and (self._alarms[0].due <= now or not self._alarms[0].wanted):
            alarm = heapq.heappop(self._alarms)
            if alarm.wanted:
                due.append(alarm)
                self.touch()
        return due

    def _until_next(self) -> float:
        """Return the real seconds to sleep before looking again; jump, and return 0, when everybody waits."""
        if not self._alarms:
            return threading.TIMEOUT_MAX
        left = self._alarms[0].due - self.timestamp()
        if self._busy:
            return max(left, 0.0)
        unquiet = self._moved + QUIET - time.monotonic()
        if unquiet > 0:
            return min(unquiet, max(left, 0.0))
        if left > 0:
            self.file.seconds += left
            self.touch()
            if self._on_jump:
                self._on_jump(left)
        return 0.0
