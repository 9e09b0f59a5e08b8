"""Sending, from the plan to the wire: CPU, beside the SDK's `create(requests=[…])`.

python -m benchmarks.send
"""

import hashlib
from collections.abc import Iterator

from benchmarks import made, plain, product, table
from benchmarks.measure import Bench, Figure, median


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure both, for short requests and for long ones."""
    for size in made.BODIES:
        plan = made.plan(size, bench.rows)
        with plan.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        bench.bucket(f"outputs/{product.plan_key(made.CHUNK)}", plan)
        works = {
            "product": bench.work(product.send, rows=bench.rows, size=plan.stat().st_size, sha256=sha256),
            "create": bench.work(plain.create, rows=str(made.rows(size, bench.rows))),
        }
        rounds = bench.rounds_of(works)
        assert all(each["product"].counts["sent"] for each in rounds)
        yield Figure(
            f"send, CPU, requests of {size}: times less than `create(list)`",
            median(rounds, lambda each: each["create"].cpu / each["product"].cpu),
            10,
            6,
            note=table.per_row(rounds, bench.rows, "product", "create"),
        )


if __name__ == "__main__":
    table.main(figures)
