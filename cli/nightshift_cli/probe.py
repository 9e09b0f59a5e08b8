"""`nightshift probe`: what is not written down of the Message Batches API, asked of it for less than a cent."""

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, Any

import typer

from nightshift.errors import ApiError
from nightshift.money import dollars, usd
from nightshift_cli.columns import Column, put_columns
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import console, put, put_json, say
from nightshift_cli.exits import Exit, Refused
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.probing import BILLED_ROWS, MODEL, Finding, Probe, Verdict, bound
from nightshift_cli.stack import Stack, find


def probe(
    *,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks at a batch.")] = 5,
    wait: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long a batch may take.")] = 3600,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Ask the API what its documents leave open, with the stack's key: a few tiny batches, deleted in the end.

    Each finding stands beside what was documented; status 6 where one differs. No run is touched. An audit that looks
    meanwhile takes the batches for another program's. Ctrl-C cancels and deletes what was made.
    """
    here = find(stack, local=local)
    if (intent := here.ledger().intent()) is not None:
        raise Refused(
            f"a create of run {intent.run_id} is not settled, and a batch of this might be taken for its: later"
        )
    cost = _bound(here)
    told: dict[str, Any] = {"done": False, "bound_usd": float(usd(cost)), "findings": [], "left": []}
    if not json:
        (say if yes else put)(f"{BILLED_ROWS} requests of {MODEL} may be billed, {dollars(cost)} at most; no other can")
    if not wanted("Ask the API?", yes=yes, dry_run=dry_run, told=told if json else None):
        put_json(told) if json else nothing_done()
        return
    found, left = _asked(here, every, wait)
    if json:
        put_json(told | {"done": True, "findings": found, "left": left})
    else:
        _put(found)
    for batch_id in left:
        say(f"batch {batch_id} could not be deleted: delete it in the Claude Console")
    if any(each.verdict is Verdict.DIFFERS for each in found):
        raise typer.Exit(Exit.FOUND)


def _bound(stack: Stack) -> int:
    from nightshift.prices import price_sheet  # noqa: PLC0415 - the list of prices takes a quarter of a second

    return bound(price_sheet(MODEL, stack.clock().date()))


def _asked(stack: Stack, every: float, wait: float) -> tuple[Sequence[Finding], Sequence[str]]:
    """Ask, and clean up whatever happens; return what was found, and the batches that are left."""
    from nightshift_cli.api import Wire  # noqa: PLC0415 - the SDK takes a second

    found: list[Finding] = []
    with closing(Wire(stack)) as wire, console(stderr=True).status("asking the API") as status:
        asking = Probe(wire.ask, every, wait, stack.clock().date())
        try:
            for finding in asking.findings():
                found.append(finding)
                status.update(f"asking the API: {len(found)} findings; batches take minutes, seldom an hour")
        except ApiError as error:
            found.append(Finding("all else", Verdict.OPEN, str(error), ""))
        finally:
            status.update("deleting what was made")
            left = asking.clean()
    return found, left


def _put(found: Sequence[Finding]) -> None:
    put_columns([
        Column("verdict", [each.verdict for each in found]),
        Column("question", [each.question for each in found]),
        Column("found", [each.found + (f" (documented: {each.documented})" if each.verdict is Verdict.DIFFERS else "")
                         for each in found], folds=True),
    ])  # fmt: skip
