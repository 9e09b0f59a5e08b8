"""Scenarios do what they are for: undisturbed, runs are held for what each is about, and for nothing else."""

from collections.abc import Mapping

import pytest

from nightshift.model import HoldCode
from tests.faults import cloud, ledger_watch
from tests.faults.history import RESUMES, Plan, run
from tests.faults.wires import WIRES


@pytest.mark.parametrize(
    ("scenario", "holds"),
    [
        ("pilot", []),
        ("bad_pilot", [HoldCode.BAD_PILOT] * (1 + RESUMES)),
        ("approved_pilot", [HoldCode.BAD_PILOT]),
        ("late_pilot", []),
        ("last_dollar", [HoldCode.OVER_MONTH]),
        ("too_dear", [HoldCode.OVER_MAX_USD]),
        ("dearer", [HoldCode.OVER_MAX_USD]),
        ("no_price", [HoldCode.NO_PRICE]),
        ("verified", []),
        ("new_job", [HoldCode.BY_HAND]),
        ("new_month", [HoldCode.BY_HAND]),
        ("slow_resume", [HoldCode.BY_HAND]),
    ],
)
def test_a_scenario_about_money_holds_its_runs_for_what_it_is_about(
    handlers: Mapping[str, cloud.Handler], scenario: str, holds: list[HoldCode]
) -> None:
    found = run(Plan(0, scenario, "none", seed="told"), handlers, WIRES)

    assert (found.holds, found.problems) == (holds, [])


def test_rows_that_are_cut_off_are_asked_once_more_beside_those_that_failed_for_the_moment(
    handlers: Mapping[str, cloud.Handler],
) -> None:
    found = run(Plan(0, "cut_off", "none", seed="told"), handlers, WIRES)

    (chunks,) = ledger_watch.read().chunks.values()
    again = {(chunk.generation, chunk.raised): chunk.tally for chunk in chunks}
    assert again.keys() == {(0, False), (1, False), (1, True), (2, True)}
    assert again[1, False].retryable  # overloaded first, and then cut off
    assert (found.holds, found.problems) == ([], [])
