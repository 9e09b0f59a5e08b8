"""The virtual clock: when it jumps, and when it must not."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local.clock import OffsetFile, VirtualClock


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[VirtualClock]:
    clock = VirtualClock(tmp_path / "clock")
    yield clock
    clock.stop()


def test_time_is_real_while_nobody_waits(clock: VirtualClock) -> None:
    time.sleep(0.05)

    assert clock.file.seconds == 0.0
    assert abs(clock.timestamp() - time.time()) < 0.01


def test_a_wait_ends_when_it_is_due_and_not_before(clock: VirtualClock) -> None:
    began = clock.timestamp()

    clock.wait(86_400)

    assert 86_400 <= clock.timestamp() - began < 86_430


def test_the_clock_stands_by_while_work_is_going_on(clock: VirtualClock) -> None:
    rang = threading.Event()
    with clock.busy():
        clock.call_later(3600, rang.set)
        assert not rang.wait(0.2)
        assert clock.file.seconds == 0.0

    assert rang.wait(5)


def test_alarms_ring_in_the_order_of_their_times(clock: VirtualClock) -> None:
    rung: list[int] = []
    last = threading.Event()
    with clock.busy():
        clock.call_later(300, last.set)
        for seconds in (200, 100):
            clock.call_later(seconds, partial(rung.append, seconds))

    assert last.wait(5)
    assert rung == [100, 200]


def test_a_jump_goes_to_the_earliest_wait_only(clock: VirtualClock) -> None:
    first, second = threading.Event(), threading.Event()

    def ring_and_work() -> None:
        clock.start_work()
        first.set()

    with clock.busy():
        clock.call_later(100, ring_and_work)
        clock.call_later(5000, second.set)

    assert first.wait(5)
    assert not second.wait(0.2)
    assert 99 <= clock.file.seconds <= 100
    clock.end_work()
    assert second.wait(5)


def test_movement_puts_a_jump_off(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.clock.QUIET", 0.3)
    rung: list[float] = []
    clock.call_later(3600, lambda: rung.append(time.monotonic()))
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        clock.touch()
        time.sleep(0.01)
    while not rung and time.monotonic() < until + 5:
        time.sleep(0.01)

    assert rung[0] >= until


def test_a_wait_that_nobody_wants_any_more_ends_without_a_jump(clock: VirtualClock) -> None:
    with clock.busy():
        clock.wait(3600, still_wanted=lambda: False)

    time.sleep(0.05)
    assert clock.file.seconds == 0.0


def test_a_wait_of_more_than_a_year_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="longer than a year"):
        clock.wait(400 * 86_400)


def test_a_reader_of_the_file_sees_every_jump(clock: VirtualClock) -> None:
    reader = OffsetFile(clock.file.path)
    clock.wait(1000)

    assert reader.seconds == clock.file.seconds > 999
