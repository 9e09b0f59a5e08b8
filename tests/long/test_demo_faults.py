"""Every fault of the demonstration, as a person calls it."""

from pathlib import Path

import pytest

from tests.integration.demo import SHOWN, run_demo, shows


@pytest.mark.parametrize("fault", SHOWN)
def test_a_person_sees_the_fault_the_recovery_and_each_row_billed_once(fault: str, tmp_path: Path) -> None:
    shows(fault, tmp_path)


def test_a_nightly_job_s_firing_comes_twice(tmp_path: Path) -> None:
    status, printed = run_demo("duplicate-event", tmp_path, schedule="nightly")

    assert status == 0, printed
    assert "the same firing was delivered a second time" in printed
