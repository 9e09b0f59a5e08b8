"""All figures, the scale model and the functions' starts, written to docs/performance.md: `make bench-report`.

python -m benchmarks.report [--last]
"""

import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import peers, scale, starts, table
from benchmarks.__main__ import ALL
from benchmarks.measure import ROOT, Figure
from benchmarks.million import KEPT

PAGE = ROOT / "docs" / "performance.md"
PEERS = """\
`make bench-peers`: BatchWizard 0.5.0 and batchlane 0.2.0, each with its own versions of the SDK, in an environment of
their own. They send the same file of requests (batchlane: objects that are there already), and bring the same results
home (into a file; batchlane: as objects). pydantic-ai 2.32 was tried too, and has no batch requests for Anthropic."""
MILLION = """\
`make bench-million`: from the upload to the last ticket, in the local cloud, on AWS's own engine for the tables and on
this machine's clock. Most of it is the local API, which has to make the answers up."""
CONCLUSION = """\
So the API's queue is what a large run waits for, then the table's capacity; the state machine's history binds nowhere,
as an execution hands over to the next. Whoever has more rows than one run may have gives them to several."""
LIBRARIES = ("anthropic", "boto3", "msgspec")


def main() -> None:
    """Measure all of it, or take what `make bench` has measured last, and write the page."""
    last = "--last" in sys.argv
    if last:
        sys.argv.remove("--last")
    kept = last or table.measure(*(each.figures for each in ALL))
    measured = json.loads(table.KEPT.read_text())
    if measured["quick"]:
        sys.exit("Measured with QUICK=1: too few rows for a report.")
    figures = [Figure(**each) for each in measured["figures"]]
    PAGE.write_text("\n".join(page(figures, measured["told"])) + "\n")
    print(f"{PAGE.relative_to(ROOT)} is written")
    sys.exit(not kept)


def page(figures: Sequence[Figure], told: scale.Told) -> Iterator[str]:
    """Write the page."""
    yield from (ROOT / "benchmarks" / "performance.head.md").read_text().replace("{machine}", machine()).splitlines()
    yield from figure_lines(figures)
    yield from (ROOT / "benchmarks" / "performance.scale.md").read_text().splitlines()
    yield from scale.lines(told)
    yield from _limits(told)
    yield from _kept("## Beside others", PEERS, list(peers.lines()))
    yield from _kept("## A million rows", MILLION, KEPT.read_text().splitlines() if KEPT.exists() else [])
    yield from (ROOT / "benchmarks" / "performance.starts.md").read_text().splitlines()
    yield from starts.lines(list(starts.starts()))


def figure_lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Write the figures in Markdown."""
    yield "| figure | goal | must | measured | | of what |"
    yield "|---|---|---|---|---|---|"
    for figure in figures:
        yield f"| {' | '.join(figure.cells())} | {figure.note} |"


def _limits(told: scale.Told) -> Iterator[str]:
    memory, life = scale.submit_limits(told)
    yield ""
    yield f"One run may have {memory / 1e6:.0f} million rows until the submit function's memory is full, and"
    yield f"{life / 1e6:.0f} million until an invocation spends its whole life reading again what was planned before."
    yield ""
    yield from CONCLUSION.splitlines()


def _kept(title: str, words: str, lines: Sequence[str]) -> Iterator[str]:
    """Write a section of what was measured apart; nothing where it was not."""
    if lines:
        yield from ("", title, "", *words.splitlines(), "", *lines)


def machine() -> str:
    """Say on what this was measured."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    (memory,) = re.findall(r"MemTotal: *(\d+)", Path("/proc/meminfo").read_text())
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {int(memory) / 1e6:.0f} GB, "
        f"Python {platform.python_version()}, {libraries}; load {os.getloadavg()[2]:.1f} at the end"
    )


if __name__ == "__main__":
    main()
