"""Two failures of the drill, so that alarms, command line and runbook stay in step; `make drill` has them all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON
from tests.drill.drill import Drill, Failure, carry_out
from tests.drill.failures import FAILURES
from tests.drill.test_drill import OPTIONS

CHEAP = [each for each in FAILURES if each.title in {"the API key is revoked", "an event starts nothing"}]


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningCloud]:
    """A stack of its own: no other test's runs ring its alarms."""
    with running_cloud(*OPTIONS, python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


@pytest.mark.parametrize("failure", CHEAP, ids=lambda failure: str(failure.title).replace(" ", "-"))
def test_an_alarm_rings_the_command_line_says_why_and_the_runbook_mends_it(
    failure: Failure, stack: RunningCloud, tmp_path: Path
) -> None:
    ended = carry_out(Drill(stack, tmp_path), failure)

    assert ended.typed
