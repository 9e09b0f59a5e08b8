"""Whether a person wants it done: what a command is about to do is said first, and then asked."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from nightshift_cli.console import printable, say
from nightshift_cli.exits import Exit, Refused

Yes = Annotated[bool, typer.Option("--yes", help="Do it; nobody is asked.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

UNASKED = "nothing is done: nobody can be asked here. Add --yes to do it, or --dry-run to only see what it would be"


def wanted(question: str, *, yes: bool, dry_run: bool, told: Mapping[str, Any] | None) -> bool:
    """Tell whether to do what was just said: yes with --yes, no with --dry-run; else a person at the terminal decides.

    Args:
        question: what a person is asked.
        yes: they have said so already.
        dry_run: they only want to see.
        told: with --json, what has to be said; a program is never asked.

    Raises:
        Refused: nobody can be asked, or the person says no.
    """
    if yes and dry_run:
        raise typer.BadParameter("--yes does it and --dry-run does not: say one of them")
    if yes or dry_run:
        return yes
    if told is not None or not somebody_is_there():
        raise Refused(UNASKED, Exit.USAGE, told)
    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if not agreed:
        raise Refused("nothing is done")
    return True


def somebody_is_there() -> bool:
    """Tell whether a person sees the question and can answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def nothing_done() -> None:
    """Say that it was a dry run."""
    say("nothing is done: this was a dry run")
