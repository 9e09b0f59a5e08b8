"""Many things at once in one thread, in virtual time: who runs next follows from the seed alone.

A fiber runs until it sleeps or waits; then the clock moves to whoever is due next. Nothing else moves it, so a night
takes as long as its work, and the same seed gives the same night.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

TURNS = 200_000
"""Switches of a history before it counts as one that never ends."""


class EndlessError(Exception):
    """A history that does not come to an end."""


@dataclass(slots=True, eq=False)
class Fiber:
    """One line of work. `error` is what ended it, if anything did."""

    name: str
    work: Callable[[], Any]
    owner: Any = None
    """Whose work it is: an invocation, or None for the harness itself."""
    done: bool = False
    value: Any = None
    error: BaseException | None = None
    sleeps: int = 0
    """Counts its suspensions: what was meant to wake an earlier one is stale."""
    waiters: "list[tuple[Fiber, int]]" = field(default_factory=list)
    let: greenlet = field(init=False)

    def begin_below(self, hub: greenlet) -> None:
        """Have it return to the hub when it ends, and not to whoever started it."""
        self.let = greenlet(self._run, hub)

    def _run(self) -> None:
        try:
            self.value = self.work()
        except BaseException as error:  # noqa: BLE001 - a kill is one of the things that end a fiber
            self.error = error
        self.done = True


class Fibers:
    """The clock, and who is due when."""

    def __init__(self, start: float, fatal: tuple[type[BaseException], ...] = ()) -> None:
        """Begin at `start`, in seconds since the epoch. What is `fatal` to one fiber ends them all."""
        self.fatal = fatal
        self.now = start
        self.turns = 0
        self._queue: list[tuple[float, int, Fiber, int]] = []
        self._unfinished: dict[int, Fiber] = {}
        self._number = 0
        self._hub = getcurrent()
        self._current: Fiber | None = None

    @property
    def current(self) -> Fiber | None:
        """The fiber that runs, None outside of any."""
        return self._current

    def spawn(self, name: str, work: Callable[[], Any], *, owner: Any = None, after: float = 0.0) -> Fiber:
        """Start a fiber in so many seconds. Without an owner it belongs to whoever starts it."""
        fiber = Fiber(name, work, owner if owner is not None else self._current and self._current.owner)
        fiber.begin_below(self._hub)
        self._unfinished[id(fiber)] = fiber
        self._due(self.now + after, fiber)
        return fiber

    def sleep(self, seconds: float) -> None:
        """Let time pass; outside of any fiber, at once."""
        if self._current is None:
            self.now += seconds
            return
        self._due(self.now + seconds, self._current)
        self._hub.switch()

    def join(self, fiber: Fiber, seconds: float | None = None) -> bool:
        """Wait until a fiber is done, or so many seconds have passed. Tells whether it is done."""
        me = self._current
        assert me is not None
        if not fiber.done:
            fiber.waiters.append((me, me.sleeps))
            if seconds is not None:
                self._due(self.now + seconds, me)
            self._hub.switch()
        return fiber.done

    def abandon(self, fiber: Fiber) -> None:
        """Never run a fiber again."""
        fiber.sleeps += 1
        fiber.done = True

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run until nobody is due any more, or `until` says so between two turns.

        Raises:
            EndlessError: it takes too many turns.
        """
        while self._queue and not until():
            due, _, fiber, sleeps = heapq.heappop(self._queue)
            if fiber.done or fiber.sleeps != sleeps:
                continue
            self.turns += 1
            if self.turns > TURNS:
                raise EndlessError(f"still busy after {TURNS} turns, in {fiber.name}")
            self.now = max(self.now, due)
            fiber.sleeps += 1
            self._current = fiber
            fiber.let.switch()
            self._current = None
            self._settle(fiber)

    def close(self) -> None:
        """End every fiber that is still at something, here and now rather than whenever memory is freed."""
        for fiber in list(self._unfinished.values()):
            fiber.let.throw(GreenletExit)
        self._unfinished.clear()
        self._queue.clear()

    def _settle(self, fiber: Fiber) -> None:
        """Look at how a fiber came back."""
        if fiber.error is not None and isinstance(fiber.error, self.fatal):
            raise fiber.error
        if fiber.done:
            self._wake(fiber)

    def _wake(self, fiber: Fiber) -> None:
        self._unfinished.pop(id(fiber), None)
        for waiter, sleeps in fiber.waiters:
            if waiter.sleeps == sleeps:
                self._due(self.now, waiter)
        fiber.waiters.clear()

    def _due(self, moment: float, fiber: Fiber) -> None:
        self._number += 1
        heapq.heappush(self._queue, (moment, self._number, fiber, fiber.sleeps))
