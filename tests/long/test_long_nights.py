"""Nights too long for every day: `make test-long`, about ten minutes."""

import csv
import itertools
import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from local.running import running_cloud
from tests.conftest import DESK_PYTHON, ROOT
from tests.integration.conftest import Night
from tests.integration.test_survival import ends_whole

DATA = os.environ.get("NIGHTSHIFT_DATA", "")
ROWS = 100_000


def test_a_run_of_1600_turns_hands_over_once_and_ends(tmp_path: Path) -> None:
    """With the template's own MaxTurns of 1,500; the wait is capped at its lower bound, to have so many."""
    options = ("--param", "PollMinSeconds=30", "--param", "PollMaxSeconds=30")
    with running_cloud(*options, python=str(DESK_PYTHON)) as cloud:
        night = Night(cloud, tmp_path)
        night.job()
        cloud.api("settings", "POST", {"duration_seconds": 1600 * 30, "jitter": 0})
        night.upload(night.rows(2))

        (run,) = night.settle(seconds=900)

        assert night.harvest(run).complete
        assert run["execution"] == 2
        looks = [len(_looks(night, run, number)) for number in (1, 2)]
        assert looks[0] == 1501
        assert sum(looks) >= 1600
        assert len(night.history(run, 1)) < 15_000


def test_a_batch_that_expires_after_24_hours_is_asked_again_in_one_history_of_less_than_3000_events(
    tmp_path: Path,
) -> None:
    with running_cloud(python=str(DESK_PYTHON)) as cloud:
        night = Night(cloud, tmp_path)
        night.job()
        night.fault("create", "all-expired", times=1)
        night.upload(night.rows(3))

        ends_whole(night, 3, seconds=900)

        (run,) = night.runs()
        assert night.harvest(run).report["generations"] == 2
        first, second = sorted(night.batches(run), key=lambda b: str(b["created_at"]))
        lasted = datetime.fromisoformat(first["ended_at"]) - datetime.fromisoformat(first["created_at"])
        assert lasted == timedelta(hours=24)
        assert second["counts"]["succeeded"] == 3
        assert 2_000 < len(night.history(run)) < 3_000


@pytest.mark.skipif(not DATA, reason="NIGHTSHIFT_DATA is not set")
def test_a_hundred_thousand_rows_keep_every_function_under_its_memory(tmp_path: Path) -> None:
    source = tmp_path / "queries.csv"
    _repeat(Path(DATA) / "banking77" / "test.csv", source)

    done = subprocess.run(
        [
            *(str(DESK_PYTHON), "-m", "local.demo", "--job", "jobs/banking-intents.yaml", "--dynamodb", "local"),
            *("--input", str(source), "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["rows"], report["counts"]["answered"], len(report["batches"])) == (ROWS, ROWS, 10)
    with (tmp_path / "tickets.jsonl").open() as tickets:
        assert sum(1 for _ in tickets) == ROWS
    memory = [line for line in done.stdout.splitlines() if " MB" in line and "invocations" in line]
    assert len(memory) == 4
    for line in memory:
        used, allowed = line.split("at most ")[1].removesuffix(" MB").replace(",", "").split(" of ")
        assert int(used) < int(allowed)


def _looks(night: Night, run: dict[str, object], execution: int) -> list[dict[str, object]]:
    entered = [e for e in night.history(run, execution) if e["type"] == "TaskStateEntered"]
    return [e for e in entered if e["stateEnteredEventDetails"]["name"] == "Check Status"]


def _repeat(source: Path, target: Path) -> None:
    """Make a hundred thousand different rows out of the real ones."""
    with source.open(newline="") as old, target.open("w", newline="") as new:
        rows = list(csv.DictReader(old))
        writer = csv.writer(new)
        writer.writerow(["text", "category"])
        for number, row in zip(range(ROWS), itertools.cycle(rows), strict=False):
            writer.writerow([f"{row['text']} (case {number})", row["category"]])
