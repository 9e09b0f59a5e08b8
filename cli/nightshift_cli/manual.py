"""docs/cli.md, from the commands themselves: `python -m nightshift_cli.manual > docs/cli.md` writes it."""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import typer.main

from nightshift_cli.app import app
from nightshift_cli.exits import Exit

HEAD = """\
# The command

`nightshift` works with your own AWS credentials: `--stack NAME` where the stack has another name than `nightshift`,
`--local` for the cloud of `make local`. Results go to stdout, everything else to stderr. `cancel`, `replay` and
`verify` say first what they would do, and do it with `--yes`; `retry` also asks a person at a terminal. With `--json`,
an error is an object on stdout, too, with `error` and `status`. `nightshift --install-completion` teaches your
shell the words. This page is made by `python -m nightshift_cli.manual`.
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
