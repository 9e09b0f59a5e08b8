"""The loop's life: it hands over before its history is full, on a stack whose turns are few."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON
from tests.integration.conftest import Night


@pytest.fixture(scope="module")
def short_winded() -> Iterator[RunningCloud]:
    """A stack whose executions live for twenty turns."""
    with running_cloud("--param", "MaxTurns=20", python=str(DESK_PYTHON)) as running:
        yield running


def test_a_loop_that_has_had_its_turns_hands_over_and_the_run_ends(short_winded: RunningCloud, tmp_path: Path) -> None:
    night = Night(short_winded, tmp_path)
    night.job()
    short_winded.api("settings", "POST", {"duration_seconds": 1800, "jitter": 0})
    night.upload(night.rows(2))

    (run,) = night.settle()

    assert night.harvest(run).complete
    assert run["execution"] == 3
    ends = [night.history(run, number)[-1]["type"] for number in (1, 2, 3)]
    assert ends == ["ExecutionSucceeded"] * 3
    assert len(night.history(run, 1)) <= 20 * 9 + 14  # 9 events a turn, and the frame around them
