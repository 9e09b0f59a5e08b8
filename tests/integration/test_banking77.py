"""3,080 real customer queries, 77 labels, no id column: the demo on a file that nobody prepared for it."""

import csv
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import DESK_PYTHON, ROOT

DATA = os.environ.get("NIGHTSHIFT_DATA", "")


def test_real_data_is_here_in_ci() -> None:
    if not DATA:
        if os.environ.get("CI") == "true":
            pytest.fail("NIGHTSHIFT_DATA is not set: .ci/run sets it to the folder of large real inputs")
        pytest.skip("NIGHTSHIFT_DATA is not set")
    assert (Path(DATA) / "banking77" / "test.csv").is_file()


@pytest.mark.skipif(not DATA, reason="NIGHTSHIFT_DATA is not set")
def test_every_query_is_in_exactly_one_file_and_each_answer_on_its_ticket(tmp_path: Path) -> None:
    source = Path(DATA) / "banking77" / "test.csv"

    done = subprocess.run(
        [
            *(str(DESK_PYTHON), "-m", "local.demo", "--job", "jobs/banking-intents.yaml"),
            *("--input", str(source), "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = {name: _lines(tmp_path / f"{name}.jsonl") for name in ("output", "failed", "rejects", "tickets")}
    assert {name: len(found) for name, found in lines.items()} == {
        "output": 3080,
        "failed": 0,
        "rejects": 0,
        "tickets": 3080,
    }
    records = sorted(int(line["id"].split(":")[1]) for line in lines["output"])
    assert records == list(range(1, 3081))
    with source.open(newline="") as file:
        labels = {row["category"] for row in csv.DictReader(file)}
    assert len(labels) == 77
    assert {line["answer"] for line in lines["output"]} <= labels
    assert {t["ticket_id"]: t["intent"] for t in lines["tickets"]} == {o["id"]: o["answer"] for o in lines["output"]}
    report = json.loads((tmp_path / "report.json").read_text())
    assert Counter(report["service_tiers"]) == {"batch": 3080}


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
