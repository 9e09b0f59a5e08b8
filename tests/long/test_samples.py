"""`make demo JOB=…` for each sample job, as a person calls it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

COUNTS = {
    "eval-grading": {"answered": 64, "rejected": 4, "duplicate": 1},
    "product-descriptions": {"answered": 51, "rejected": 4, "duplicate": 1},
    "order-extraction": {"answered": 40, "rejected": 3, "duplicate": 1},
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_sample_job_runs_with_its_own_sample(name: str, tmp_path: Path) -> None:
    command = ["make", "--silent", "demo", f"JOB={name}", f"OUT={tmp_path}"]

    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "report.json").read_text())["counts"]
    assert {row_class: rows for row_class, rows in counts.items() if rows} == COUNTS[name]
