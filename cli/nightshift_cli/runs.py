"""`nightshift runs`, `show`, `hold`, `cancel` and `resume`: look at runs, and stop them or let them go on."""

from typing import Annotated

import typer

from nightshift.model import Run, RunId, RunState
from nightshift_cli.console import put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.page import put_cancel, put_page, put_runs
from nightshift_cli.stack import find
from nightshift_cli.view import Summary, summaries, view


def list_runs(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """List the newest runs, newest first."""
    here = find(stack, local=local)
    found = summaries(here.ledger(), limit)
    if json:
        put_json([each.record() for each in found])
    elif found:
        put_runs(found, here.clock())
    else:
        say(f"no runs yet; {here.command('submit FILE --job JOB')} starts one")


def show(run: RunArgument, *, json: AsJson = False, stack: StackName = DEFAULT_STACK, local: Local = False) -> None:
    """Show a run: where it stands, why it is held and what mends that, its batches, its files."""
    seen = view(find(stack, local=local), RunId(run))
    if json:
        put_json(seen.record())
    else:
        put_page(seen)
    if seen.summary.run.hold is not None:
        raise typer.Exit(Exit.HELD)


def hold(
    run: RunArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at the run.")],
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Hold a run: nothing more is sent; what is in flight is still collected."""
    here = find(stack, local=local)
    if here.control().hold(RunId(run), reason):
        say(f"held; {here.command(f'resume {run}')} lets it go on")
        return
    found = here.ledger().run(RunId(run))
    if found.state is RunState.DONE:
        say(f"run {run} is done; there is nothing to hold")
        raise typer.Exit(Exit.FAILED)
    say(f"run {run} is held already{_reason(found)}")


def cancel(
    run: RunArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at the run.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only say what would be canceled.")] = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Cancel a run: nothing more is sent, and its batches in flight are canceled.

    What they have done by then is paid for, collected and applied. Rows that were canceled are not billed, and not
    sent again.
    """
    here = find(stack, local=local)
    if yes:
        canceled = here.control().cancel(RunId(run), reason)
        say(f"held; execution {canceled.execution} cancels its batches; {here.command(f'show {run}')}")
        return
    ledger = here.ledger()
    found = ledger.run(RunId(run))
    if found.state is RunState.DONE:
        say(f"run {run} is done; there is nothing to cancel")
        raise typer.Exit(Exit.FAILED)
    put_cancel(Summary(found, ledger.chunks(found.run_id)))
    say("nothing is canceled yet: add --yes")


def resume(
    run: RunArgument,
    *,
    approve: Annotated[bool, typer.Option("--approve", help="Go on in spite of the reason it was held for.")] = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Let a run go on. Where no batch was made of it yet, it takes the newest version of its job file.

    It also starts the loop of a run again that is not held, should it have died.
    """
    here = find(stack, local=local)
    resumed = here.control().resume(RunId(run), approve=approve)
    say(f"goes on, in execution {resumed.execution}; {here.command(f'show {run}')}")


def _reason(run: Run) -> str:
    return f", {run.hold.code}: {run.hold.reason}" if run.hold else ""
