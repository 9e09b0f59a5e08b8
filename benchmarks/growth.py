"""How memory grows from 10,000 rows to 1,000,000, with batches of 10,000, as they are by default.

python -m benchmarks.growth
"""

from collections.abc import Iterator

from benchmarks import made, product, table
from benchmarks.measure import Bench, Figure, Sample
from nightshift.model import chunk_id

BATCH = 10_000
"""`batch.max_rows` where a job does not say."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure the peaks of both stages at both sizes, once each."""
    most = 10 * bench.rows
    bench.bucket(f"inputs/{made.JOB_KEY}", made.SMALL_BATCHES)
    yield _figure(bench, "results", {rows: _results(bench, rows) for rows in (BATCH, most)}, 32, 64)
    yield _figure(bench, "submit", {rows: _submit(bench, rows) for rows in (BATCH, most)}, 100, 130)
    bench.bucket(f"inputs/{product.INPUT}", made.rows("1 KB", bench.rows))
    bench.told["resume, cpu"] = bench.sample(bench.work(product.resume)).cpu


def _figure(bench: Bench, stage: str, samples: dict[int, Sample], goal: int, must: int) -> Figure:
    (fewest, small), (most, large) = samples.items()
    name = f"{stage}, growth of the peak from {fewest:,} rows to {most:,}"
    for size, sample in (("few", small), ("many", large)):
        bench.told.update({f"{stage} {size}, cpu": sample.cpu, f"{stage} {size}, peak": sample.peak})
    note = f"{small.peak:.0f} MB, {large.peak:.0f} MB; {small.wall:.1f} s, {large.wall:.1f} s"
    return Figure(name, large.peak - small.peak, goal, must, "{:.0f} MB", least=False, note=note)


def _results(bench: Bench, rows: int) -> Sample:
    made.results("1 KB", BATCH)
    chunks = range(1, rows // BATCH + 1)
    for chunk in chunks:
        bench.bucket(f"outputs/{product.ids_key(chunk_id(0, chunk))}", made.ids(BATCH, chunk))
    names = [made.batch_id("1 KB", BATCH, chunk) for chunk in chunks]
    sample = bench.sample(bench.work(product.collect, names=names, rows=BATCH, job=made.SMALL_BATCHES.decode()))
    assert sample.counts["rows"] + sample.counts["retryable"] == rows
    return sample


def _submit(bench: Bench, rows: int) -> Sample:
    bench.bucket(f"inputs/{product.INPUT}", made.rows("1 KB", rows))
    sample = bench.sample(bench.work(product.submit))
    assert (sample.counts["rows"], sample.counts["batches"]) == (rows, rows // BATCH)
    return sample


if __name__ == "__main__":
    table.main(figures)
