"""`nightshift orphans`: batches of the workspace that no run has, as the audit finds them. It only looks."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from nightshift.errors import ApiError
from nightshift.intake import REMEMBERED
from nightshift.invariants import unclaimed
from nightshift.matching import first_custom_id, fits
from nightshift.model import BatchView, RunId, run_token
from nightshift.ports import BatchApi
from nightshift.salvaging import TOKEN
from nightshift_cli.columns import Column, put_columns
from nightshift_cli.console import console, put_json, say, span
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.stack import Stack, find


@dataclass(frozen=True, slots=True)
class Orphan:
    """A batch that no chunk has."""

    batch_id: str
    created: datetime
    status: str
    rows: int
    answered: int
    run_id: RunId | None
    """Whose rows they are; None: that cannot be told, or they are another program's."""
    told: str


def orphans(
    *,
    days: Annotated[int, typer.Option(min=1, max=29, help="How far back; the API keeps results for 29 days.")] = 2,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """List batches of the API's workspace that no run of this stack has. Where it can, the audit uses them by itself.

    Whose a batch is shows in its results, once it has ended.
    """
    from nightshift_cli.api import batches  # noqa: PLC0415 - the SDK takes a second

    here = find(stack, local=local)
    with closing(batches(here)) as api, console(stderr=True).status("looking at the API's batches"):
        found = list(_orphans(here, api, here.clock() - timedelta(days=days)))
    if json:
        put_json(found)
    elif found:
        _put(found, here.clock())
    else:
        say("every batch is a run's")
    if any(each.run_id is not None for each in found):
        say("an audit, every 15 minutes, uses what can be used; docs/operations.md, OrphanBatches, has what else to do")
        raise typer.Exit(Exit.FOUND)


def _orphans(stack: Stack, api: BatchApi, since: datetime) -> Iterator[Orphan]:
    ledger, now = stack.ledger(), stack.clock()
    known = [*ledger.open_runs(), *ledger.runs_since(now - REMEMBERED)]
    runs = {run_token(run.run_id): run.run_id for run in known}
    listed = {batch.id: batch for batch in api.batches(since)}
    intent, claims = (
        ledger.intent(),
        ledger.claims(listed),
    )  # last: what was claimed since the list was made is nobody's
    for batch in listed.values():
        if intent is not None and unclaimed(batch, claims, now) and fits(intent, batch):
            yield _orphan(batch, None, f"the create of {intent.run_id} {intent.chunk} may have made it")
        elif unclaimed(batch, claims, now) or (batch.id in claims and claims[batch.id].foreign):
            yield _judged(api, batch, runs)


def _judged(api: BatchApi, batch: BatchView, runs: Mapping[str, RunId]) -> Orphan:
    if not batch.ended:
        return _orphan(batch, None, "it still runs; whose it is shows when it has ended")
    try:
        name = first_custom_id(api, batch)
    except ApiError as error:
        return _orphan(batch, None, f"its results cannot be read ({type(error).__name__})")
    run_id = runs.get(name[:TOKEN])
    return _orphan(batch, run_id, f"rows of {run_id}" if run_id else "another program's, or another stack's")


def _orphan(batch: BatchView, run_id: RunId | None, told: str) -> Orphan:
    answered = batch.request_counts.get("succeeded", 0)
    return Orphan(batch.id, batch.created_at, batch.processing_status, batch.rows, answered, run_id, told)


def _put(found: list[Orphan], now: datetime) -> None:
    put_columns([
        Column("batch", [each.batch_id for each in found]),
        Column("age", [span(now - each.created) for each in found], number=True, spare=1),
        Column("status", [each.status for each in found], spare=2),
        Column("rows", [f"{each.rows:,}" for each in found], number=True),
        Column("answered", [f"{each.answered:,}" for each in found], number=True, spare=3),
        Column("what it is", [each.told for each in found], folds=True),
    ])  # fmt: skip
