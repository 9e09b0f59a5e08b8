"""The quick campaign: a few histories of each kind, the guards whose absence shows at once, and the plain script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.boundaries import READS, Sites

ROOT = Path(__file__).parents[2]


def campaign(folder: Path, *options: str) -> str:
    """Run a campaign as a person does; return what it printed."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--out", str(folder), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANTHROPIC_"))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    return campaign(tmp_path_factory.mktemp("campaign"), "--quick")


def test_no_kill_no_lost_answer_and_no_broken_stream_pays_twice_or_loses_an_answer(told: str) -> None:
    found = re.fullmatch(
        r"histories=120 boundaries=(\d+)/\d+ paid_twice=0 lost=0 applied_twice=0 ablations=(\d+)/(\d+)",
        told.splitlines()[-1],
    )

    assert found is not None, told
    assert int(found[1]) > 100  # boundaries at which somebody was hit: zeros from unreached ones prove nothing
    assert found[2] == found[3]


def test_the_same_faults_make_the_plain_script_pay_twice_and_lose(told: str) -> None:
    nights = {line.split("  ")[0].strip(): line.split()[-2:] for line in told.splitlines()}

    assert nights["create: accepted, connection lost"] == ["1", "0"]  # nights paid twice, nights with rows lost
    assert nights["results: cut at a line"] == ["0", "1"]


def test_the_same_seed_gives_the_same_histories_in_another_process(tmp_path: Path) -> None:
    digests = []
    for name, jobs in (("one", "1"), ("two", "2")):
        campaign_of(tmp_path / name, jobs)
        lines = [
            line for path in (tmp_path / name).rglob("histories-*.jsonl") for line in path.read_text().splitlines()
        ]
        digests.append(sorted((record["number"], record["digest"]) for record in map(json.loads, lines)))

    assert len(digests[0]) == 8
    assert digests[0] == digests[1]


def campaign_of(folder: Path, jobs: str) -> None:
    """Run only the probes and a few histories of the quick campaign."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--out", str(folder), "--histories", "8", "--quick"]
    for phase in ("probes", "histories"):
        folder.mkdir(exist_ok=True)
        workers = [
            subprocess.Popen([*command, "--jobs", jobs, "--worker", phase, str(share)], cwd=ROOT)
            for share in range(int(jobs))
        ]
        assert [worker.wait() for worker in workers] == [0] * len(workers)


def test_every_boundary_is_found_in_the_source_and_every_method_that_reads_is_one() -> None:
    sites = Sites().all
    methods = {site.method for site in sites}

    assert len(sites) > 100
    assert methods >= {"sent", "archived", "collected", "count_tokens", "revise", "settle_nothing_more"}
    writes = {"create", "start_send", "applied", "commit", "write", "put", "start", "cancel", "reserve", "message"}
    assert methods >= writes
    assert writes.isdisjoint(read.split(".")[1] for read in READS)
    assert {"ledger.pin"}.isdisjoint(READS)  # inputs have a method of that name, which changes nothing
