"""Workers side by side: tickets a second, until the table's capacity says stop, and what throttling then costs: time.

    python -m benchmarks.workers

Each worker is a process, as on AWS. The table answers slowly, so that one worker is bound by waiting, as it is where a
Lambda's processor is all its own, and takes so many write units a second; what is above that it throttles.
"""

import resource
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import made, product
from benchmarks.measure import Bench, Work, bench
from nightshift.model import chunk_id

ROWS = 10_000
"""Of each worker."""
DELAY = 0.4
"""Seconds until the table answers."""
UNITS = 5000
"""Write units a second; a ticket is 2."""
START = 4.0
"""Seconds for a worker to import what it needs; they begin together."""


def collect_at(url: str, first: int, begin: float) -> Any:
    """Collect one batch, from a moment on that all workers know."""
    name = made.batch_id("1 KB", ROWS, first)
    collect = product.collect(url, [name], ROWS, made.SMALL_BATCHES.decode(), first)

    def work() -> Any:
        time.sleep(max(0.0, begin - time.time()))
        return collect()

    return work


def collect_within(url: str, megabytes: int, names: list[str], rows: int) -> Any:
    """Collect in so much address space: more than that, and an allocation fails."""
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1024 * 1024,) * 2)
    return product.collect(url, names, rows, made.JOB.decode())


def side_by_side(here: Bench, workers: int) -> Mapping[str, float]:
    """Let so many workers collect a batch each; return what the table saw, and `speed`, in tickets a second."""
    made.results("1 KB", ROWS)
    for number in range(1, workers + 1):
        here.bucket(f"outputs/{product.ids_key(chunk_id(0, number))}", made.ids(ROWS, number))
    with urllib.request.urlopen(f"{here.url}/table?delay={DELAY}&units={UNITS}"):  # noqa: S310 - our own sink
        here.taken()
    begin = time.time() + START * workers / 2
    works = [
        Work("benchmarks.workers:collect_at", {"url": here.url, "first": number, "begin": begin})
        for number in range(1, workers + 1)
    ]
    with ThreadPoolExecutor(workers) as pool:
        samples = list(pool.map(here.sample, works))
    written = sum(sample.counts["tickets"] for sample in samples)
    return {**here.taken(), "said": written, "speed": written / (time.time() - begin)}


def main() -> None:
    """Print a line for each number of workers."""
    with bench() as here:
        for workers in (1, 2, 4, 8):
            seen = side_by_side(here, workers)
            print(f"{workers} workers: {seen['speed']:6,.0f} tickets/s of {UNITS // 2:,},", end=" ")
            print(f"{seen['throttled']:,.0f} throttled calls, {seen['distinct']:,.0f} tickets of {seen['said']:,.0f}")


if __name__ == "__main__":
    main()
