"""`nightshift runs`, `show`, `hold`, `cancel` and `resume`: look at runs, and stop them or let them go on."""

from typing import Annotated, Any

import typer

from nightshift.adapters.stepfunctions import execution_name
from nightshift.model import Run, RunId, RunState
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import put_json, say
from nightshift_cli.exits import Exit, Refused
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.page import put_page, put_runs, put_stopping, stopping
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import Summary, state_of, summaries, view

Reason = Annotated[str, typer.Option(help="Why, for whoever looks at the run.")]


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
    reason: Reason,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Hold a run: nothing more is sent; what is in flight is still collected."""
    here = find(stack, local=local)
    found = _unfinished(here, RunId(run), "hold")
    if dry_run:
        _dry(here, found, json=json)
        return
    fresh = here.control().hold(found.run_id, reason)
    held = here.ledger().run(found.run_id)
    if held.hold is None:
        raise Refused(f"run {run} is done; there is nothing to hold")
    if json:
        put_json(_record(held, done=fresh))
    elif fresh:
        say(f"held; {here.command(f'resume {run}')} lets it go on")
    else:
        say(f"run {run} is held already, {held.hold.code}: {held.hold.reason}")


def cancel(
    run: RunArgument,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Cancel a run: nothing more is sent, and its batches in flight are canceled.

    What they have done by then is paid for, collected and applied. Rows that were canceled are not billed, and not
    sent again.
    """
    here = find(stack, local=local)
    found = _unfinished(here, RunId(run), "cancel")
    if not yes:
        seen = Summary(found, here.ledger().chunks(found.run_id))
        told = _record(found, done=False) | stopping(seen)
        if not json:
            put_stopping(seen)
        if not wanted("Cancel it?", yes=yes, dry_run=dry_run, told=told if json else None):
            put_json(told) if json else nothing_done()
            return
    canceled = here.control().cancel(found.run_id, reason)
    if json:
        put_json(_record(canceled, done=True))
    else:
        say(f"held; execution {canceled.execution} cancels its batches; {here.command(f'show {run}')}")


def resume(
    run: RunArgument,
    *,
    approve: Annotated[bool, typer.Option("--approve", help="Go on in spite of the reason it was held for.")] = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Let a run go on. Where no batch was made of it yet, it takes the newest version of its job file.

    It also starts the loop of a run again that is not held, should it have died.
    """
    here = find(stack, local=local)
    if dry_run:
        _dry(here, _unfinished(here, RunId(run), "resume"), json=json)
        return
    resumed = here.control().resume(RunId(run), approve=approve)
    if json:
        put_json(_record(resumed, done=True))
    else:
        say(f"goes on, in execution {resumed.execution}; {here.command(f'show {run}')}")


def _unfinished(stack: Stack, run_id: RunId, verb: str) -> Run:
    """Return a run that something can be done to."""
    found = stack.ledger().run(run_id)
    if found.state is RunState.DONE:
        raise Refused(f"run {run_id} is done; there is nothing to {verb}")
    return found


def _dry(stack: Stack, run: Run, *, json: bool) -> None:
    """Say what there is to be held or to go on with."""
    seen = Summary(run, stack.ledger().chunks(run.run_id))
    if json:
        put_json(_record(run, done=False) | stopping(seen))
    else:
        put_stopping(seen)
        nothing_done()


def _record(run: Run, *, done: bool) -> dict[str, Any]:
    """Return what --json has of a run that something was done to, or would be."""
    return {
        "run_id": run.run_id,
        "done": done,
        "state": state_of(run),
        "hold": run.hold,
        "execution": execution_name(run.run_id, run.execution),
    }
