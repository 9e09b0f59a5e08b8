"""The command's family against the README's list of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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


# ---------------------------------------------------------------- what is typed in the documents

DOCUMENTS = [sources.ROOT / "README.md", *sorted((sources.ROOT / "docs").rglob("*.md"))]
GROUP = typer.main.get_command(app)


def typed(text: str, program: str) -> Iterator[list[str]]:
    """Yield the words behind a program's name, of each line of code and of each piece of code in a sentence."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    pieces = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*lines, *pieces]:
        said = re.match(rf"\s*(?:\S*/)?{program} +(.*?)(?:\s+#.*)?$", line)
        if said and "…" not in said[1]:
            yield said[1].split()


def unknown(words: list[str]) -> list[str]:
    """Return what of a command the command line does not know: its name, or options."""
    group: Any = GROUP
    command = group
    for word in words:
        if not hasattr(command, "commands"):
            break
        if word.startswith("-"):
            return [] if word in {"--help", "--version", "--install-completion", "--show-completion"} else [word]
        if word not in command.commands:
            return [word]
        command = command.commands[word]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.split("=")[0].rstrip(".,;:") for word in words if word.startswith("--")}
    return sorted(given - options - {"--help"})


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(sources.ROOT)))
def test_what_a_page_says_to_type_the_command_line_takes(page: Path) -> None:
    wrong = {" ".join(words): what for words in typed(page.read_text(), "nightshift") if (what := unknown(words))}
    assert wrong == {}


def test_there_is_much_to_type_and_a_mistake_in_it_is_seen() -> None:
    said = [words for page in DOCUMENTS for words in typed(page.read_text(), "nightshift")]
    assert len(said) > 100
    assert unknown(["resume", "RUN", "--aprove"]) == ["--aprove"]
    assert unknown(["resum", "RUN"]) == ["resum"]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(sources.ROOT)))
def test_every_word_of_make_that_a_page_types_is_there(page: Path) -> None:
    makefile = (sources.ROOT / "Makefile").read_text()
    words = {word for said in typed(page.read_text(), "make") for word in said if re.fullmatch("[a-z][a-z-]+", word)}
    assert words - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()


def test_what_the_readme_types_to_deploy_is_what_the_stack_prints() -> None:
    text = (sources.ROOT / "README.md").read_text()
    lines = dict(re.findall(r"^(aws .*?) +# (\w+Command)$", text, re.MULTILINE))
    outputs = sources.template()["Outputs"]
    assert set(lines.values()) == {"PutKeyCommand", "PutJobCommand", "UploadCommand"}
    for line, output in lines.items():
        printed = str(outputs[output]["Value"])
        assert " ".join(line.split()[:3]) in printed
