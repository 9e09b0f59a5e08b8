"""What `sam build` makes is what runs: the same night from the built functions and layers."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON, ROOT
from tests.integration.conftest import Night

BUILD_DIR = Path(".aws-sam") / "x86_64"
"""Beside the default one, so that no later `sam deploy` ships a build for this machine."""


@pytest.fixture(scope="module")
def built() -> Iterator[RunningCloud]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    made = subprocess.run(
        ["make", "--no-print-directory", "build", "ARCHITECTURE=x86_64", f"BUILD_DIR={BUILD_DIR}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with running_cloud("--template", str(BUILD_DIR / "template.yaml"), python=str(DESK_PYTHON)) as running:
        yield running


def test_the_built_artefact_takes_an_upload_to_tickets(built: RunningCloud, tmp_path: Path) -> None:
    night = Night(built, tmp_path)
    night.job()
    night.upload(night.rows(3))

    (run,) = night.settle()

    assert night.harvest(run).complete
    assert len(night.tickets(run)) == 3
