"""The whole results stage: stream, S3, tickets at 5 ms a call, beside the loop that updates one ticket after the other.

python -m benchmarks.collect
"""

from collections.abc import Iterator

from benchmarks import made, plain, product, table
from benchmarks.measure import Bench, Figure, Sample, median

FEW = 1500
"""Rows for the plain loop: it is the same speed for more of them."""


def figures(bench: Bench) -> Iterator[Figure]:
    """Measure tickets a second, and count what the table is billed for each."""
    made.results("1 KB", bench.rows)
    batch = made.batch_id("1 KB", bench.rows)
    bench.bucket(f"outputs/{product.ids_key(made.CHUNK)}", made.ids(bench.rows))
    whole = bench.work(product.collect, names=[batch], rows=bench.rows, job=made.JOB.decode())
    loop = bench.work(plain.apply_results, batch=batch, rows=min(FEW, bench.rows))
    rounds, billed = [], []
    for _ in range(bench.rounds):
        bench.taken()
        product_sample = bench.sample(whole)
        billed.append(bench.taken())
        rounds.append({"product": product_sample, "plain": bench.sample(loop)})
    speeds = [speed(rounds[len(rounds) // 2][name]) for name in ("product", "plain")]
    yield Figure(
        "results stage, tickets a second: times those of the plain loop",
        median(rounds, lambda each: speed(each["product"]) / speed(each["plain"])),
        40,
        25,
        note=f"{speeds[0]:,.0f}/s, {speeds[1]:,.0f}/s; {table.per_row(rounds, bench.rows, 'product')}",
    )
    bench.told["collect, cpu"] = median(rounds, lambda each: each["product"].cpu)
    units = sum(each["units"] for each in billed) / sum(each["tickets"] for each in billed)
    bench.told["units"] = units
    yield Figure("write units a ticket, counted", units, 2, 2, "{:.2f}", least=False, note="items of 1 KB and less")


def speed(sample: Sample) -> float:
    """Return rows a second."""
    return float(sample.counts["rows"] / sample.wall)


if __name__ == "__main__":
    table.main(figures)
