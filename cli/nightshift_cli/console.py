"""Where words go: results to stdout, everything else to stderr, so that `$(nightshift submit …)` is a run's id."""

import sys

import msgspec
from rich.console import Console

WIDTH = 240
"""Columns of a line, however narrow the terminal: it wraps lines better than a table folds its cells, and a pipe has
no width at all. Ids and addresses stay whole, and can be copied."""


def console(*, stderr: bool = False) -> Console:
    """Return what prints to stdout or stderr, be it a terminal or a pipe."""
    # Keys, reasons and errors come from elsewhere: nothing in them is markup.
    return Console(stderr=stderr, width=WIDTH, markup=False, emoji=False, highlight=False)


def put(text: str) -> None:
    """Print a line of the result."""
    console().print(printable(text), soft_wrap=True)


def say(text: str) -> None:
    """Tell the person something that is not the result."""
    console(stderr=True).print(printable(text), soft_wrap=True)


def put_json(value: object) -> None:
    """Print a result for a program."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def printable(text: str) -> str:
    """Replace what could drive a terminal: a file's name is whatever its uploader chose."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
