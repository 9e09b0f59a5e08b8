"""`nightshift verify`: a sample of a finished run beside synchronous answers. It costs money, so it says so first."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from nightshift import run_files
from nightshift.model import RunId, RunState
from nightshift.money import dollars
from nightshift.proposing import Proposal, Wish, propose
from nightshift_cli.console import put, say
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, Local, RunArgument, StackName
from nightshift_cli.stack import Stack, find


def verify(
    run: RunArgument,
    *,
    sample: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Rows; else verify.sample of the job, or 20.", show_default=False),
    ] = None,
    max_usd: Annotated[
        float | None,
        typer.Option(min=0, help="What it may cost, in USD; else verify.max_usd of the job, or 1.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only say what it costs at most.")] = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Ask a sample of a finished run's rows once more, at once and at the full price, and compare the answers.

    Tickets and output stay as they are. A row is never asked twice: a larger sample costs its additional rows only.
    """
    here = find(stack, local=local)
    ledger = here.ledger()
    found = ledger.run(RunId(run))
    if found.state is not RunState.DONE:
        say(f"run {run} is not done; only a finished run has all its answers")
        raise typer.Exit(Exit.FAILED)
    proposal = propose(here.results(), found, ledger.chunks(found.run_id), Wish(sample, max_usd))
    if proposal.refusal:
        say(f"run {run} cannot be verified: {proposal.refusal}")
        raise typer.Exit(Exit.FAILED)
    for line in _lines(proposal):
        (say if yes else put)(line)
    if yes:
        _invoke(here, {"v": 1, "run_id": run, "sample": sample, "max_usd": max_usd})
        say("it is being asked; in a few minutes the comparison is there, and in the report")
        put(here.results().uri(run_files.verification(found.run_id)))
    else:
        say("nothing is asked yet: add --yes")


def _lines(proposal: Proposal) -> Iterator[str]:
    yield f"{len(proposal.rest):,} rows cost {dollars(proposal.bound)} at most, at the synchronous price"
    if before := len(proposal.sample) - len(proposal.rest):
        yield f"{before:,} more of the sample were asked before, for {dollars(proposal.spent)}, and are not asked again"
    if proposal.said < proposal.bound:
        yield f"it ends before it costs more than {dollars(proposal.said)}"


def _invoke(stack: Stack, event: dict[str, Any]) -> None:
    """Invoke the verify function as the state machine does, and do not wait for it."""
    wanted = {name: value for name, value in event.items() if value is not None}
    stack.clients("lambda").invoke(
        FunctionName=stack.outputs["VerifyFunctionName"], InvocationType="Event", Payload=json.dumps(wanted)
    )
