"""Ctrl-C, with a real signal to a real process: a line that says where things stand, status 130, no traceback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import CliStack, serving
from tests.unit.made import RUN, chunk, run

WHILE_LOADING = """\
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "nightshift_cli.app":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from nightshift_cli.__main__ import main
main()
"""


pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def interrupted(nightshift: CliStack, *words: str | Path, on_stderr: bool) -> tuple[int, str]:
    """Run a command, press Ctrl-C once it has said something, and return its status and what else it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "nightshift_cli", *map(str, words)],
        env=os.environ | nightshift.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        (child.stderr if on_stderr else child.stdout).readline()
        child.send_signal(signal.SIGINT)
        try:
            _, said = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        return child.returncode, said


def test_watch_stops_watching(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.plan_chunk(chunk())
    nightshift.start_loop(RUN)

    status, said = interrupted(nightshift, "watch", RUN, "--every", "30", on_stderr=False)

    assert (status, said) == (Exit.INTERRUPTED, f"no longer watched; the run goes on. nightshift show {RUN}\n")


def test_submit_stops_waiting_and_says_that_the_file_is_uploaded(nightshift: CliStack, tmp_path: Path) -> None:
    nightshift.put_job()
    (file := tmp_path / "a.jsonl").write_text('{"id": "1", "body": "x"}\n')

    status, said = interrupted(nightshift, "submit", file, "--job", "triage", "--wait", "60", on_stderr=True)

    assert status == Exit.INTERRUPTED
    assert said.startswith("no longer waited for; its file is uploaded, and run triage-")
    assert said.count("\n") == 1
    assert "inbox/triage/a.jsonl" in nightshift.keys()  # noqa: SIM118 - no mapping


def test_while_the_command_still_loads() -> None:
    done = subprocess.run([sys.executable, "-c", WHILE_LOADING], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (Exit.INTERRUPTED, "", "interrupted\n")
