"""docs/cli.md, from the commands themselves: `python -m nightshift_cli.manual > docs/cli.md` writes it."""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import typer.main

from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from nightshift_cli.shapes import SHAPES

HEAD = """\
# The command

`nightshift` works with your own AWS credentials: `--stack NAME` where the stack has another name than `nightshift`,
`--local` for the cloud of `make local`. Results go to stdout, everything else to stderr.
`nightshift --install-completion` teaches your shell the words. This page is made by `python -m nightshift_cli.manual`.

What changes something has `--dry-run`, which only says what would be done. What cannot be taken back, or costs money,
has `--yes`, too: it says first what it will do, and asks at a terminal; with `--yes` nobody is asked, and where nobody
can be (a pipe, a script, `--json`) it is not done without. `hold`, `resume`, `submit` and `job put` are done at once:
what they do can be undone.

With `--json` a command prints JSON alone to stdout, in the shape below; amounts that end in `_usd` are US dollars,
times ISO 8601 in UTC, sizes bytes. An error is an object, too, with `error` (why) and `status` (the exit status), and
with the keys of the command where it had something to say before.
"""


def manual() -> Iterator[str]:
    """Yield the page's lines."""
    yield HEAD
    yield "| exit status | |\n|---|---|"
    yield from (f"| {code.value} | {code.meaning} |" for code in Exit)
    yield from _commands(typer.main.get_command(app), "nightshift")


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield from _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    required = [f"{p.opts[0]} {_metavar(p)}" for p in options if p.required]
    yield f"\n## {' '.join([path, *(str(p.metavar or p.name.upper()) for p in arguments), *required])}\n"
    yield f"{cleandoc(command.help or '')}\n"
    yield "| | |\n|---|---|"
    for parameter in (*arguments, *options):
        yield f"| `{_names(parameter)}` | {_help(parameter)} |"
    if shape := SHAPES.get(path.removeprefix("nightshift ")):
        yield f"\n`--json`: {shape.words}."


def _metavar(option: Any) -> str:
    return str(option.metavar or option.name.upper())


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {_metavar(parameter)}"


def _help(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    default = parameter.default
    told = isinstance(default, int | float | str) and not isinstance(default, bool) and bool(default)
    return f"{text} Default: {default}." if told else text


if __name__ == "__main__":
    sys.stdout.write("\n".join(manual()) + "\n")
