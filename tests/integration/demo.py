"""`make demo FAULTS=…`, as a person calls it, and what must be on the terminal then."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

ROWS = 12
SECONDS = 120


@dataclass(frozen=True)
class Shown:
    """What a fault's night must show."""

    sentences: tuple[str, ...]
    """In this order; regular expressions."""
    batches: int = 1
    counts: dict[str, int] = field(default_factory=lambda: {"answered": ROWS})


ADOPTED = (
    r"the intent stands: nothing is sent until \d\d:\d\d:\d\d",
    rf"g0-000001 found in the API's list and adopted: msgbatch_\w+, {ROWS} rows",
)
SHOWN = {
    "lost-response": Shown((rf"the API made msgbatch_\w+ of {ROWS} rows, and its answer was lost", *ADOPTED)),
    "kill-submit": Shown(
        (rf"the API made msgbatch_\w+ of {ROWS} rows; SubmitFunction is in the POST", "was killed", *ADOPTED)
    ),
    "cut-results": Shown(
        (
            rf"the results stream of msgbatch_\w+ ended after {ROWS // 3} of {ROWS} rows",
            "results counted: it is not whole, and nothing of it is kept; it is read again",
            f"g0-000001 collected: {ROWS} answered",
        )
    ),
    "duplicate-event": Shown(
        ("the same upload event was delivered a second time", r"submit knows triage-\d{8}-\w+ already")
    ),
    "expired": Shown(
        (
            rf"24 hours are over: msgbatch_\w+ ended with {ROWS} of {ROWS} rows expired",
            f"retry generation 1 with {ROWS} rows",
        ),
        batches=2,
    ),
    "overloaded": Shown(
        (rf"ended with (\d+) of {ROWS} rows overloaded", r"retry generation 1 with \1 rows"),
        batches=2,
    ),
}


def run_demo(fault: str, folder: Path, *, schedule: str = "upload") -> tuple[int, str]:
    """Run it over a few rows; return make's status, and all that it printed."""
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": n, "body": f"my invoice {n}"}) + "\n" for n in range(ROWS)))
    (job := folder / "triage.yaml").write_text(JOB + f"schedule: {schedule}\n")
    command = ["make", "--silent", "demo", f"FAULTS={fault}", f"JOB={job}", f"INPUT={rows}", f"OUT={folder / 'out'}"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout + done.stderr


def shows(fault: str, folder: Path) -> None:
    """Hold a fault's night against what it must show."""
    status, printed = run_demo(fault, folder)
    expected = SHOWN[fault]
    assert status == 0, printed
    assert re.search(".*".join(expected.sentences), printed, re.DOTALL), printed
    assert f"POSTs that reached the API: {expected.batches} · batches made: {expected.batches}\n" in printed
    assert f"rows billed: {ROWS} · billed twice: 0\n" in printed
    assert "every row is in exactly one file, once\n" in printed
    report = json.loads((folder / "out" / "report.json").read_text())
    assert {name: count for name, count in report["counts"].items() if count} == expected.counts


JOB = """\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output: {labels: [billing, other], table: none}
"""
