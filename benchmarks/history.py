"""How many events an execution's history gets, of the 25,000 that Step Functions allows: simulated, as in loop.py.

python -m benchmarks.history
"""

from collections.abc import Iterator
from datetime import timedelta

from benchmarks import table
from benchmarks.loop import Night
from benchmarks.measure import Bench, Figure

DAY = timedelta(hours=24)


def figures(_bench: Bench) -> Iterator[Figure]:
    """Simulate a batch that takes a day, and a run that is 25 times what the API's queue takes."""
    one = Night(rows=1, chunk_rows=1, shortest=DAY, longest=DAY, queue=1)
    one.run()
    yield _figure("24 h and 1 batch", one, 3_000, 5_000)
    large = Night(
        rows=5_000_000,
        chunk_rows=10_000,
        shortest=timedelta(minutes=20),
        longest=timedelta(hours=2),
        queue=200_000,
    )
    large.run()
    yield _figure("5,000,000 rows, a queue of 200,000", large, 16_000, 20_000)


def _figure(what: str, night: Night, goal: int, must: int) -> Figure:
    hours = (night.now - night.began).total_seconds() / 3600
    note = f"{len(night.events)} executions, {hours:.0f} h, {night.api.creates} creates, {night.api.refused} refused"
    return Figure(f"history events of one execution, {what}", max(night.events), goal, must, "{:,.0f}", False, note)  # noqa: FBT003 - `least`


if __name__ == "__main__":
    table.main(figures)
