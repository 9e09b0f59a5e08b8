"""The results function's own code: a stream of 1 GB in its memory, and eight workers at a table that throttles."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import made, product, starts, workers
from benchmarks.measure import Bench, bench
from nightshift.model import custom_id
from tests.unit.result_lines import succeeded

ROWS = 100_000
ANSWER = 10_000
"""Characters: with them, a batch of the most rows has results of 1 GB."""
ANSWERED = 9_900
"""Of the 10,000 rows of a worker."""


@pytest.fixture
def here() -> Iterator[Bench]:
    with bench() as started:
        yield started


@pytest.fixture
def large() -> Iterator[Path]:
    """Results of 1 GB, where the sink looks for them."""
    path = made.FOLDER / f"results-large-{ROWS}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (succeeded(custom_id(made.RUN, made.CHUNK, row), "word " * (ANSWER // 5)) for row in range(1, ROWS + 1))
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(lines)
    yield path
    path.unlink()


def test_a_stream_of_1_gb_is_collected_in_the_function_s_memory(here: Bench, large: Path) -> None:
    memory = starts.sizes()["results"]
    here.bucket(f"outputs/{product.ids_key(made.CHUNK)}", made.ids(ROWS))
    names = [made.batch_id("large", ROWS)]

    done = here.sample(here.work(workers.collect_within, megabytes=memory, names=names, rows=ROWS))

    assert large.stat().st_size > 1_000_000_000
    assert done.counts == {"rows": ROWS, "retryable": 0, "tickets": ROWS}
    assert done.peak < memory / 4


def test_more_workers_write_more_tickets_until_the_table_throttles_and_none_is_lost(here: Bench) -> None:
    one, two, eight = (workers.side_by_side(here, count) for count in (1, 2, 8))

    assert [seen["distinct"] for seen in (one, two, eight)] == [ANSWERED, 2 * ANSWERED, 8 * ANSWERED]
    assert [seen["said"] for seen in (one, two, eight)] == [ANSWERED, 2 * ANSWERED, 8 * ANSWERED]
    assert one["throttled"] == 0
    assert two["speed"] > 1.5 * one["speed"]
    assert eight["throttled"] > 0
    assert two["speed"] < eight["speed"] < 1.1 * workers.UNITS / 2
