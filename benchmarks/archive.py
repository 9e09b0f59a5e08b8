"""Results, from the stream into S3: memory, for a stream of 100 MB and one of 570 MB.

python -m benchmarks.archive
"""

from collections.abc import Iterator

from benchmarks import made, product, table
from benchmarks.measure import Bench, Figure, median


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure the peak of the whole process, SDK and boto3 included."""
    bench.bucket(f"outputs/{product.ids_key(made.CHUNK)}", made.ids(bench.rows))
    works = {}
    for size in made.ANSWERS:
        made.results(size, bench.rows)
        works[size] = bench.work(product.archive, batch=made.batch_id(size, bench.rows), rows=bench.rows)
    rounds = bench.rounds_of(works)
    note = ", ".join(f"{rounds[0][size].counts['bytes'] / 1e6:.0f} MB stream" for size in works)
    peaks = [[each[size].peak for size in works] for each in rounds]
    largest = median(rounds, lambda each: max(sample.peak for sample in each.values()))
    yield Figure("archive, peak memory", largest, 110, 140, "{:.0f} MB", least=False, note=note)
    spread = sorted(abs(large - small) for small, large in peaks)[len(peaks) // 2]
    yield Figure("archive, peak memory: difference", spread, 16, 24, "{:.0f} MB", least=False, note=note)


if __name__ == "__main__":
    table.main(figures)
