"""What others offer for the same work, beside the product: `make bench-peers`. Nothing is promised; it is a comparison.

BatchWizard and batchlane, each in its own newest version, in an environment of their own. Sending is from a file of
requests (batchlane: from objects that are there already); results go into a file (batchlane: into objects).
pydantic-ai 2.32, which was to be a third, has no batch requests.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks import made, product
from benchmarks.measure import ROOT, Bench, Sample, Work, bench, median

PYTHON = str(ROOT / ".venvs/peers/bin/python")
KEPT = made.FOLDER / "peers.json"
"""The rows of the table, for the report."""
HEAD = ("work, 100,000 rows", "nightshift", "BatchWizard", "batchlane")
SIZE = "1 KB"


def main() -> None:
    """Measure all, and print the table."""
    with bench(rounds=1) as here:  # the differences are of orders of magnitude
        rows = [_cells(name, here.rounds_of(works)) for name, works in (("send", send(here)), ("results", read(here)))]
    KEPT.write_text(json.dumps(rows))
    print("\n".join(lines()))


def lines() -> Iterator[str]:
    """Write in Markdown what was measured last; nothing where nothing was."""
    if not KEPT.exists():
        return
    yield f"| {' | '.join(HEAD)} |"
    yield "|---|---|---|---|"
    for row in json.loads(KEPT.read_text()):
        yield f"| {' | '.join(row)} |"


def send(here: Bench) -> dict[str, Work]:
    """Return each one's way to send a file of requests."""
    plan = made.plan(SIZE, here.rows)
    here.bucket(f"outputs/{product.plan_key(made.CHUNK)}", plan)
    with plan.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "nightshift": here.work(product.send, rows=here.rows, size=plan.stat().st_size, sha256=sha256),
        "batchwizard": _peer(here, "batchwizard_send", plan=str(plan)),
        "batchlane": _peer(here, "batchlane_send", plan=str(plan)),
    }


def read(here: Bench) -> dict[str, Work]:
    """Return each one's way to bring results home."""
    made.results(SIZE, here.rows)
    batch = made.batch_id(SIZE, here.rows)
    return {
        "nightshift": here.work(product.archive, batch=batch, rows=here.rows),
        "batchwizard": _peer(here, "batchwizard_results", batch=batch),
        "batchlane": _peer(here, "batchlane_results", batch=batch),
    }


def _peer(here: Bench, function: str, **arguments: Any) -> Work:
    work = Work(f"benchmarks.peers_works:{function}", {"url": here.url, **arguments})
    return replace(work, python=PYTHON)


def _cells(name: str, rounds: list[dict[str, Sample]]) -> list[str]:
    cells = [name]
    for who in rounds[0]:
        cpu = median(rounds, lambda each, who=who: each[who].cpu)  # type: ignore[misc]
        peak = median(rounds, lambda each, who=who: each[who].peak)  # type: ignore[misc]
        cells.append(f"{cpu:.2f} s CPU, {peak:,.0f} MB")
    return cells


if __name__ == "__main__":
    main()
