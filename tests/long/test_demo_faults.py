"""Every fault of the demonstration, as a person calls it."""

from pathlib import Path

import pytest

from tests.integration.demo import SHOWN, shows


@pytest.mark.parametrize("fault", SHOWN)
def test_a_person_sees_the_fault_the_recovery_and_each_row_billed_once(fault: str, tmp_path: Path) -> None:
    shows(fault, tmp_path)
