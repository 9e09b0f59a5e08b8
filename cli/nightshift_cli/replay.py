"""`nightshift replay`: a run's answers into its tickets once more, from the archive, for nothing.

By the very code that applied them. What that writes elsewhere leads nowhere here: the ledger's counts and the output
files stay as they are. A ticket with an equal or newer answer stays as it is, so that it may be done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import batched
from typing import Any, cast

from rich.progress import track

from nightshift import run_files
from nightshift.adapters.s3 import S3Outputs
from nightshift.adapters.tickets import ORDER, DynamoTickets
from nightshift.applying import Applier
from nightshift.job import parse_job
from nightshift.model import Chunk, ChunkState, Run, RunId, Tally, Worker
from nightshift.ports import Ledger, Outputs, Tickets, TicketUpdate, Written
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import console, interruptible, put, put_json
from nightshift_cli.exits import Refused
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.stack import Stack, find

PATIENCE = timedelta(days=365)
"""Until when it may take: here nothing ends it but its own end."""

GET = 100
"""Keys of a BatchGetItem: DynamoDB's limit."""


def replay(
    run: RunArgument,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Write a run's answers into its tickets again, from the archive: the API is not asked, and nothing is spent.

    For a ticket table that was restored, or is another. A ticket that has an equal or newer answer stays as it is.
    """
    here = find(stack, local=local)
    found = here.ledger().run(RunId(run))
    with interruptible("interrupted; the same command does the rest"):
        if not yes:
            total = _replayed(here, found, done=False)
            told = _record(here, found, total, done=False)
            if not json:
                put(_line(here, total, "would be written"))
            if not wanted("Write them?", yes=yes, dry_run=dry_run, told=told if json else None):
                put_json(told) if json else nothing_done()
                return
        total = _replayed(here, found, done=True)
    if json:
        put_json(_record(here, found, total, done=True))
    else:
        put(_line(here, total, "are written"))


def _record(stack: Stack, run: Run, total: Tally, *, done: bool) -> Mapping[str, Any]:
    return {
        "run_id": run.run_id,
        "done": done,
        "table": stack.outputs["TicketTableName"],
        "written": total.tickets_written,
        "unchanged": total.tickets_unchanged,
        "refused": total.tickets_refused,
    }


def _line(stack: Stack, total: Tally, verb: str) -> str:
    refused = f", {total.tickets_refused:,} are refused" * bool(total.tickets_refused)
    unchanged = f"{total.tickets_unchanged:,} stay as they are"
    table = stack.outputs["TicketTableName"]
    return f"{total.tickets_written:,} tickets {verb} in table {table}, {unchanged}{refused}"


def _replayed(stack: Stack, run: Run, *, done: bool) -> Tally:
    """Apply a run's chunks from their archives' first line to the last; return what became of the tickets."""
    client, table = stack.clients("dynamodb"), stack.outputs["TicketTableName"]
    applier = _applier(stack, run, cast("Tickets", DynamoTickets(client, table) if done else _Compared(client, table)))
    if applier.job.output.table is None:
        raise Refused(f"run {run.run_id} writes no tickets: its job has no output.table")
    collected = [chunk for chunk in stack.ledger().chunks(run.run_id) if chunk.state is ChunkState.COLLECTED]
    stop_at, total = applier.clock() + PATIENCE, Tally()
    told = console(stderr=True)
    for chunk in track(collected, "chunks", console=told, transient=True, disable=not told.is_terminal):
        fresh = replace(chunk, applied=0, tally=Tally())
        total += applier.apply(fresh, Worker("replay", stop_at), stop_at=stop_at).tally
    return total


def _applier(stack: Stack, run: Run, tickets: Tickets) -> Applier:
    key = run_files.job(run.run_id, run.plan)
    with stack.results().open(key) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=key)
    outputs = cast("Outputs", _Reading(stack.results()))
    return Applier(cast("Ledger", _Ledger()), outputs, tickets, stack.clock, run, job)


class _Ledger:
    """As much of the ledger as applying needs; it forgets everything."""

    def applied(self, chunk: Chunk, _worker: Worker, offset: int, tally: Tally) -> Chunk:
        return replace(chunk, applied=offset, tally=tally)


@dataclass(frozen=True)
class _Reading:
    """The output bucket, for reading: what applying writes is there already."""

    results: S3Outputs

    def open(self, key: str, start: int = 0, size: int | None = None) -> Any:
        return self.results.open(key, start, size)

    def uri(self, key: str) -> str:
        return self.results.uri(key)

    def put(self, key: str, data: bytes) -> None:
        """Write nothing."""

    def keys(self, _prefix: str) -> Sequence[str]:
        return ()


@dataclass(frozen=True)
class _Compared:
    """Tells what would become of ticket updates, by what stands in the table."""

    client: Any
    table: str

    def write(self, key: str, updates: Sequence[TicketUpdate], *, numeric: bool = False) -> Written:
        newest = {update.id: update for update in sorted(updates, key=lambda update: update.order)}
        kind = "N" if numeric else "S"
        standing: dict[str, str] = {}
        for ids in batched(newest, GET, strict=False):
            standing |= self._orders([{key: {kind: ticket}} for ticket in ids], key, kind)
        written = sum(update.order > standing.get(ticket, "") for ticket, update in newest.items())
        return Written(written, len(updates) - written)

    def _orders(self, keys: Sequence[Mapping[str, Any]], key: str, kind: str) -> Mapping[str, str]:
        """Return ticket → its order, of those that have one."""
        found: dict[str, str] = {}
        names = {"#key": key, "#order": ORDER}
        columns = {"ProjectionExpression": "#key, #order", "ExpressionAttributeNames": names}
        wanted: Any = {self.table: {"Keys": keys, **columns}}
        while wanted:
            answer = self.client.batch_get_item(RequestItems=wanted)
            items = answer["Responses"].get(self.table, [])
            found |= {item[key][kind]: item[ORDER]["S"] for item in items if ORDER in item}
            wanted = answer.get("UnprocessedKeys")
        return found
