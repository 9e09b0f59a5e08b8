"""The table: figure, goal, must, measured. Exits 1 where a must is missed."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

from benchmarks import made
from benchmarks.measure import Bench, Figure, Sample, bench

type Figures = Callable[[Bench], Iterator[Figure]]

HEAD = ("figure", "goal", "must", "measured", "")
QUICK_ROWS = 10_000
KEPT = made.FOLDER / "figures.json"
"""What was measured last, for the report."""


def main(*figures: Figures) -> None:
    """Measure, print, and say by the exit code whether every must is kept."""
    sys.exit(not measure(*figures))


def measure(*figures: Figures) -> bool:
    """Measure, print, keep what was measured, and tell whether every must is kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, once: to see that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows, rounds = (QUICK_ROWS, 1) if options.quick else (100_000, options.rounds)
    with bench(rows=rows, rounds=rounds) as measured:
        found = [figure for each in figures for figure in each(measured)]
    print("\n".join(lines(found)))
    if options.quick:
        print("quick: too few rows for the figures to mean anything")
    kept: dict[str, Any] = {"quick": options.quick, "figures": [asdict(each) for each in found], "told": measured.told}
    KEPT.write_text(json.dumps(kept, indent=1))
    return options.quick or all(figure.holds(figure.must) for figure in found)


def lines(figures: Iterable[Figure]) -> Iterator[str]:
    """Write the table in columns, for a terminal."""
    rows = [HEAD, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def per_row(rounds: list[dict[str, Sample]], rows: int, *names: str) -> str:
    """Say what a row costs, in microseconds of CPU."""
    medians = (statistics.median(each[name].cpu for each in rounds) for name in names)
    return ", ".join(f"{cpu / rows * 1e6:.1f} µs" for cpu in medians)
