"""Results, from the stream to outcomes: CPU, beside the SDK's own loop and beside reading and counting.

python -m benchmarks.decode
"""

from collections.abc import Iterator

from benchmarks import made, plain, product, table
from benchmarks.measure import Bench, Figure, median

GOALS = {"1 KB": ((12, 8), (3.0, 4.0)), "6 KB": ((6, 4), (2.2, 3.0))}
"""Size of a line → (goal, must) beside the SDK, and beside the floor."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure both, for short answers and for long ones."""
    for size, (loop, floor) in GOALS.items():
        made.results(size, bench.rows)
        batch = made.batch_id(size, bench.rows)
        works = {
            "product": bench.work(product.decode, batch=batch),
            "sdk": bench.work(plain.read_results, batch=batch),
            "floor": bench.work(plain.count_lines, batch=batch),
        }
        rounds = bench.rounds_of(works)
        for each in rounds:
            assert each["product"].counts == each["sdk"].counts, "both must have read the same"
        yield Figure(
            f"decode, CPU a row, {size}: times less than the SDK's `results()` loop",
            median(rounds, lambda each: each["sdk"].cpu / each["product"].cpu),
            *loop,
            note=table.per_row(rounds, bench.rows, "product", "sdk"),
        )
        yield Figure(
            f"decode, CPU a row, {size}: times that of reading and counting",
            median(rounds, lambda each: each["product"].cpu / each["floor"].cpu),
            *floor,
            least=False,
            note=table.per_row(rounds, bench.rows, "product", "floor"),
        )


if __name__ == "__main__":
    table.main(figures)
