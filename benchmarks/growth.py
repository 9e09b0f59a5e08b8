"""How memory grows from 10,000 rows to 1,000,000, with batches of 10,000, as they are by default.

python -m benchmarks.growth
"""

from collections.abc import Iterator

from benchmarks import made, product, table
from benchmarks.measure import Bench, Figure
from nightshift.model import chunk_id

BATCH = 10_000
"""`batch.max_rows` where a job does not say."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure the peaks of both stages at both sizes, once each."""
    most = 10 * bench.rows
    bench.bucket(f"inputs/{made.JOB_KEY}", made.SMALL_BATCHES)
    yield _figure("results", [_results(bench, BATCH), _results(bench, most)], most, 32, 64)
    yield _figure("submit", [_submit(bench, BATCH), _submit(bench, most)], most, 100, 130)


def _figure(stage: str, peaks: list[float], rows: int, goal: int, must: int) -> Figure:
    name = f"{stage}, growth of the peak from {BATCH:,} rows to {rows:,}"
    note = f"{peaks[0]:.0f} MB, {peaks[1]:.0f} MB"
    return Figure(name, peaks[1] - peaks[0], goal, must, "{:.0f} MB", least=False, note=note)


def _results(bench: Bench, rows: int) -> float:
    made.results("1 KB", BATCH)
    chunks = range(1, rows // BATCH + 1)
    for chunk in chunks:
        bench.bucket(f"outputs/{product.ids_key(chunk_id(0, chunk))}", made.ids(BATCH, chunk))
    names = [made.batch_id("1 KB", BATCH, chunk) for chunk in chunks]
    sample = bench.sample(bench.work(product.collect, names=names, rows=BATCH, job=made.SMALL_BATCHES.decode()))
    assert sample.counts["rows"] + sample.counts["retryable"] == rows
    return sample.peak


def _submit(bench: Bench, rows: int) -> float:
    bench.bucket(f"inputs/{product.INPUT}", made.rows("1 KB", rows))
    sample = bench.sample(bench.work(product.submit))
    assert (sample.counts["rows"], sample.counts["batches"]) == (rows, rows // BATCH)
    return sample.peak


if __name__ == "__main__":
    table.main(figures)
