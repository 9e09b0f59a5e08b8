"""Where words go: results to stdout, everything else to stderr, so that `$(nightshift submit …)` is a run's id."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from textwrap import TextWrapper

import msgspec
from rich.console import Console

from nightshift_cli.exits import Exit, Refused

WIDTH = 240
"""Columns of a line, however narrow the terminal: it wraps lines better than a table folds its cells, and a pipe has
no width at all. Ids and addresses stay whole, and can be copied."""


COMMANDS = ("nightshift ", "aws ", "curl ")
"""How what is to be pasted begins."""


def console(*, stderr: bool = False) -> Console:
    """Return what prints to stdout or stderr, be it a terminal or a pipe."""
    # Keys, reasons and errors come from elsewhere: nothing in them is markup.
    return Console(stderr=stderr, width=WIDTH, markup=False, emoji=False, highlight=False)


def room() -> int:
    """Return how many characters a line of stdout has room for; a pipe has plenty."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH


@contextmanager
def interruptible(words: str) -> Iterator[None]:
    """Let Ctrl-C end what is done here, with a line that says where things stand, and its own exit status."""
    try:
        yield
    except KeyboardInterrupt:
        raise Refused(words, Exit.INTERRUPTED) from None


def folded(text: str, indent: int) -> str:
    """Break a line where stdout is a terminal that is narrower, between words: addresses and ids stay whole.

    A command to be pasted stays whole, too: a terminal wraps it, and copies it as one line.

    Args:
        text: what stands behind the first `indent` characters of its line.
        indent: blanks before what follows the break.
    """
    if room() >= WIDTH or text.removeprefix("→ ").startswith(COMMANDS):
        return text
    lines = TextWrapper(room() - indent, break_long_words=False, break_on_hyphens=False).wrap(text)
    return f"\n{'':<{indent}}".join(lines)


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


def span(time: timedelta) -> str:
    """Write how long something took, or is ago, in two units at most."""
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
