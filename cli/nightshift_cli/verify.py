"""`nightshift verify`: a sample of a finished run beside synchronous answers. It costs money, so it says so first."""

from collections.abc import Iterator
from json import dumps
from typing import Annotated, Any

import typer

from nightshift import run_files
from nightshift.model import Run, RunId, RunState
from nightshift.money import dollars, usd
from nightshift.proposing import Proposal, Wish, propose
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import put, put_json, say
from nightshift_cli.exits import Refused
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
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
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
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
        raise Refused(f"run {run} is not done; only a finished run has all its answers")
    proposal = propose(here.results(), found, ledger.chunks(found.run_id), Wish(sample, max_usd))
    if proposal.refusal:
        raise Refused(f"run {run} cannot be verified: {proposal.refusal}")
    told = _record(here, found, proposal)
    if not json:
        for line in _lines(proposal):
            (say if yes else put)(line)
    if not wanted("Ask them?", yes=yes, dry_run=dry_run, told=told if json else None):
        put_json(told) if json else nothing_done()
        return
    _invoke(here, {"v": 1, "run_id": run, "sample": sample, "max_usd": max_usd})
    if json:
        put_json(told | {"done": True})
    else:
        say("it is being asked; in a few minutes the comparison is there, and in the report")
        put(told["verification"])


def _record(stack: Stack, run: Run, proposal: Proposal) -> dict[str, Any]:
    """Return what --json has of what is going to be asked."""
    return {
        "run_id": run.run_id,
        "done": False,
        "rows": len(proposal.rest),
        "bound_usd": float(usd(proposal.bound)),
        "max_usd": float(usd(proposal.said)),
        "asked_before": len(proposal.sample) - len(proposal.rest),
        "spent_usd": float(usd(proposal.spent)),
        "verification": stack.results().uri(run_files.verification(run.run_id)),
    }


def _lines(proposal: Proposal) -> Iterator[str]:
    yield f"{len(proposal.rest):,} rows cost {dollars(proposal.bound)} at most, at the synchronous price"
    if before := len(proposal.sample) - len(proposal.rest):
        yield f"{before:,} more of the sample were asked before, for {dollars(proposal.spent)}, and are not asked again"
    if proposal.said < proposal.bound:
        yield f"it ends before it costs more than {dollars(proposal.said)}"


def _invoke(stack: Stack, event: dict[str, Any]) -> None:
    """Invoke the verify function as the state machine does, and do not wait for it."""
    told = {name: value for name, value in event.items() if value is not None}
    stack.clients("lambda").invoke(
        FunctionName=stack.outputs["VerifyFunctionName"], InvocationType="Event", Payload=dumps(told)
    )
