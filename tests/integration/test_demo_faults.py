"""The demonstration of faults, by hand: its two dearest here, the others in tests/long."""

from pathlib import Path

import pytest

from local.demo.faults import FAULTS
from tests.integration.demo import SHOWN, run_demo, shows


@pytest.mark.parametrize("fault", ["lost-response", "kill-submit"])
def test_a_person_sees_the_fault_the_recovery_and_one_batch_billed(fault: str, tmp_path: Path) -> None:
    shows(fault, tmp_path)


def test_each_fault_is_shown_by_a_test() -> None:
    assert list(SHOWN) == list(FAULTS)


def test_an_unknown_fault_lists_those_that_are_there_with_a_sentence_each(tmp_path: Path) -> None:
    status, printed = run_demo("nonsense", tmp_path)

    assert status == 2
    assert "there is no fault nonsense" in printed
    assert "starting" not in printed
    for name, fault in FAULTS.items():
        assert f"  {name:<16} {fault.warning}\n" in printed
