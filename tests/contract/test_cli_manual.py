"""docs/cli.md is what the commands say of themselves, and shells can complete their words."""

import os
import subprocess
import sys

from nightshift_cli.manual import manual
from tests.contract import sources


def test_the_page_of_the_command_is_what_the_commands_say_of_themselves() -> None:
    page = (sources.ROOT / "docs" / "cli.md").read_text()
    assert page == "\n".join(manual()) + "\n", "python -m nightshift_cli.manual > docs/cli.md"


def test_a_shell_can_complete_the_words_of_the_command() -> None:
    asked = {"_NIGHTSHIFT_COMPLETE": "complete_bash", "COMP_WORDS": "nightshift re", "COMP_CWORD": "1"}

    completed = subprocess.run(
        [sys.executable, "-m", "nightshift_cli"], env=os.environ | asked, capture_output=True, text=True, check=True
    )

    assert {"resume", "results", "report"} <= set(completed.stdout.split())
    assert "submit" not in completed.stdout.split()
