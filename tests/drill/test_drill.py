"""The drill: each failure happens to a stack on this machine, and the runbook mends it; `make drill` prints a table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON, ROOT
from tests.drill import dashboard
from tests.drill.drill import Drill, Ended, Failure, carry_out
from tests.drill.failures import FAILURES

PAGE = ROOT / ".cache" / "dashboard.html"
COLUMNS_OF_RUNS = ("run_id", "job", "state", "hold", "rows", "answered", "usd")
TABLE = ROOT / ".cache" / "drill.md"
COLUMNS = ("failure", "alarms", "what the command line said", "typed, from the runbook", "how it ended")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
OPTIONS = (
    "--param",
    "PollMinSeconds=300",
    "--param",
    "PollMaxSeconds=900",
    "--param",
    "PollPercent=50",
    "--param",
    "AlarmEmail=on-call@example.com",
)
"""Days pass here, and each look takes real time."""


@pytest.fixture(scope="session")
def cloud() -> Iterator[RunningCloud]:
    """A stack of its own: its alarms are those of the drill."""
    with running_cloud(*OPTIONS, python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


@pytest.fixture(scope="session")
def ended() -> Iterator[list[Ended]]:
    """What is told at the end, also of a drill that went wrong on its way."""
    rows: list[Ended] = []
    yield rows
    TABLE.write_text(HEAD + "".join(f"{each.row()}\n" for each in rows))


NO_DATA = {
    "BatchesSalvaged": "no batch of the drill shows late",
    "Errors": "verify is asked for by no job of the drill, and report may not fail",
    "ForeignBatches": "nothing else uses the workspace",
    "LostUploads": "the one event that is lost is delivered again before the audit opens its upload",
    "ExecutionsTimedOut": "an execution lives for 30 days",
    "Throttles": "no function of the drill is at its limit",
    "ReadThrottleEvents": "the table that is throttled is that of tickets",
    "WriteThrottleEvents": "as above",
}
"""Metrics of the dashboard that have no data after the drill → why."""


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: str(failure.title).replace(" ", "-"))
def test_an_alarm_rings_the_command_line_says_why_and_the_runbook_mends_it(
    failure: Failure, cloud: RunningCloud, tmp_path: Path, ended: list[Ended]
) -> None:
    before = cloud.api("settings")
    drill = Drill(cloud, tmp_path)
    try:
        ended.append(carry_out(drill, failure))
    finally:
        cloud.api("faults", "DELETE")
        cloud.api("settings", "POST", before)
        cloud.behave()


def test_every_widget_of_the_dashboard_has_data_and_the_table_of_runs_its_columns(
    cloud: RunningCloud, ended: list[Ended]
) -> None:
    if len(ended) < len(FAILURES):
        pytest.skip("not all of the drill was carried out")
    shown = dashboard.body(cloud)
    drawn = list(dashboard.lines(shown, cloud.ask("metrics")))
    runs = dashboard.last_runs(shown, cloud.ask("logs"))
    PAGE.write_text(dashboard.page(drawn, runs, cloud.ask("alarms")["states"]))

    assert {line.name for line in drawn if not line.points} <= set(NO_DATA)
    assert len(runs) >= len(FAILURES)
    assert {tuple(run) for run in runs if run["state"] == "done"} == {COLUMNS_OF_RUNS}
