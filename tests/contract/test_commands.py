"""The command's family against the README's list of it."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from nightshift_cli.app import app
from tests.contract import sources


def commands(group: Any, before: str = "") -> Iterator[str]:
    """Yield the names of all commands, those of sub-families with their family's."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield f"{before}{name}"


def test_the_readme_lists_every_command_and_no_other() -> None:
    text = (sources.ROOT / "README.md").read_text()
    (section,) = re.findall(r"^## The command\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (`.+?`) \| ", section, re.MULTILINE)[1:]
    told = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]
    known = set(commands(typer.main.get_command(app)))

    assert {next(name for name in known if f"{code} ".startswith(f"{name} ")) for code in told} == known
