"""Programs use every command: each takes --json, docs/cli.md says what that has, and errors are told in one way."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from nightshift_cli import stack
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from nightshift_cli.shapes import SHAPES
from tests.contract.test_commands import commands

CHANGES = {"submit", "hold", "cancel", "resume", "retry", "replay", "verify", "probe", "forget", "restore", "job put"}
"""Commands that change something: a person can see first what they would do."""
ASKS = {"cancel", "retry", "replay", "verify", "probe", "forget", "restore"}
"""Those of them that cannot be taken back, or cost money."""
WITHOUT_JSON = {"job print"}
"""It prints a job file, which is YAML: that is for programs."""


def options(name: str) -> set[str]:
    command: Any = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


def known() -> set[str]:
    return set(commands(typer.main.get_command(app)))


def test_every_command_takes_json_and_has_a_shape_for_it() -> None:
    assert {name for name in known() if "--json" in options(name)} == known() - WITHOUT_JSON
    assert SHAPES.keys() == known() - WITHOUT_JSON


def test_what_changes_something_has_a_dry_run_and_what_cannot_be_taken_back_asks() -> None:
    assert {name for name in known() if "--dry-run" in options(name)} == CHANGES
    assert {name for name in known() if "--yes" in options(name)} == ASKS


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["show", "--json"], Exit.USAGE, "Missing argument 'RUN'."),
        (["frobnicate", "--json"], Exit.USAGE, "No such command 'frobnicate'."),
        (["runs", "--json", "--limit", "0"], Exit.USAGE, "Invalid value for '--limit'"),
        (["show", "x", "--yes", "--json"], Exit.USAGE, "No such option: --yes"),
    ],
)
def test_a_wrong_command_line_is_an_object_too(words: list[str], status: Exit, reason: str) -> None:
    said = CliRunner().invoke(app, words)

    told = json.loads(said.stdout)
    assert (said.exit_code, told["status"], said.stderr) == (status, status, "")
    assert reason in told["error"]


def test_what_cannot_be_done_is_an_object_with_the_reason_and_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LOCAL_FILE", Path("/nowhere"))

    said = CliRunner().invoke(app, ["runs", "--local", "--json"])

    told = json.loads(said.stdout)
    assert (said.exit_code, told["status"]) == (Exit.FAILED, Exit.FAILED)
    assert told["error"].startswith("No local cloud runs here.")
