"""How long after its end a batch is seen to have ended: simulated, with the product's own decision.

python -m benchmarks.polling
"""

import math
import random
from collections.abc import Iterator
from datetime import timedelta

from benchmarks import table
from benchmarks.loop import Night
from benchmarks.measure import Bench, Figure

BATCHES = 2000
SHORTEST, LONGEST = 600, 86_400
"""Seconds: 10 min to 24 h, each order of magnitude as likely as the other."""


def figures(_bench: Bench) -> Iterator[Figure]:
    """Simulate runs of one batch."""
    dice = random.Random(7)
    delays = sorted(_delay(math.exp(dice.uniform(math.log(SHORTEST), math.log(LONGEST)))) for _ in range(BATCHES))
    note = f"mean {100 * sum(delays) / BATCHES:.1f} %, {BATCHES:,} batches of 10 min to 24 h"
    p95 = 100 * delays[int(0.95 * BATCHES)]
    yield Figure("poll detection delay, p95, of a batch's duration", p95, 5.5, 7, "{:.1f} %", least=False, note=note)


def _delay(seconds: float) -> float:
    duration = timedelta(seconds=seconds)
    night = Night(rows=1, chunk_rows=1, shortest=duration, longest=duration, queue=1)
    night.run()
    (delay,) = night.delays
    return delay


if __name__ == "__main__":
    table.main(figures)
