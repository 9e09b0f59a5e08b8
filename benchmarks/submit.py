"""The whole submit, read, check, render, plan and send, beside a script that reads, renders and `create(list)`s.

python -m benchmarks.submit
"""

from collections.abc import Iterator

from benchmarks import made, plain, product, table
from benchmarks.measure import Bench, Figure, median

LESS = {"1 KB": (6, 5), "2.5 KB": (12, 8)}
"""Size of a request → how many times less memory: goal and must."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure CPU and peak memory, for short requests and for long ones."""
    bench.bucket(f"inputs/{made.JOB_KEY}", made.JOB)
    for size, less in LESS.items():
        bench.bucket(f"inputs/{product.INPUT}", made.rows(size, bench.rows))
        works = {
            "product": bench.work(product.submit),
            "script": bench.work(plain.submit, bucket="inputs", key=product.INPUT),
        }
        rounds = bench.rounds_of(works)
        assert all(each["product"].counts["rows"] == each["script"].counts["rows"] for each in rounds)
        yield Figure(
            f"submit, CPU, requests of {size}: times less than the script",
            median(rounds, lambda each: each["script"].cpu / each["product"].cpu),
            2.5,
            1.5,
            note=table.per_row(rounds, bench.rows, "product", "script"),
        )
        bench.told[f"submit {size}, cpu"] = median(rounds, lambda each: each["product"].cpu)
        peaks = [rounds[len(rounds) // 2][name].peak for name in works]
        yield Figure(
            f"submit, peak memory, requests of {size}: times less than the script",
            median(rounds, lambda each: each["script"].peak / each["product"].peak),
            *less,
            note=f"{peaks[0]:.0f} MB, {peaks[1]:,.0f} MB",
        )


if __name__ == "__main__":
    table.main(figures)
