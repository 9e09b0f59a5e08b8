"""A job whose answers do not fit, on the desk: its rows are asked once more, and each request is billed once."""

import json
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.demo import JOB, ROWS, SECONDS


def test_rows_that_were_cut_off_are_asked_once_more_with_more_tokens(tmp_path: Path) -> None:
    rows, job, out = tmp_path / "rows.jsonl", tmp_path / "triage.yaml", tmp_path / "out"
    rows.write_text("".join(json.dumps({"id": n, "body": f"my invoice {n}"}) + "\n" for n in range(ROWS)))
    small = JOB.replace("max_tokens: 64", "max_tokens: 4")  # `{"label":"billing"}` takes five
    job.write_text(f"{small}retry: {{cut_off: 3}}\nschedule: upload\n")
    command = ["make", "--silent", "demo", f"JOB={job}", f"INPUT={rows}", f"OUT={out}"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"g0-000001 collected: nothing, {ROWS} to be asked again\n" in done.stdout
    assert f"rows billed: {2 * ROWS} · billed twice: 0\n" in done.stdout
    assert "every row is in exactly one file, once\n" in done.stdout
    report = json.loads((out / "report.json").read_text())
    assert {name: count for name, count in report["counts"].items() if count} == {"answered": ROWS}
