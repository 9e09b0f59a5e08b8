"""`nightshift forget`: one row out of all that the stack holds, with a person's rights: no function may delete."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from nightshift import run_files
from nightshift.decision import next_step
from nightshift.errors import BadInput, BadJob
from nightshift.job import Job, parse_job
from nightshift.job_sections import Table
from nightshift.model import InputRef, Run
from nightshift.records import InputSpec
from nightshift.rows import read
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import console, put, put_json, say
from nightshift_cli.exits import Refused
from nightshift_cli.forgetting import SHOWN_ID, Change, Trace, trace
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import POLICY

OURS = frozenset({"nightshift_order", "nightshift_run", "nightshift_row", "nightshift_at", "nightshift_asked"})
"""What nightshift writes on every ticket, beside the answer."""

INBOX = "inbox/"


@dataclass(frozen=True, slots=True)
class Upload:
    """A version of an input object that holds the row."""

    ref: InputRef
    current: bool
    rows: int
    """All of them: they go with it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An item of the ticket table that nightshift has written to."""

    key: Mapping[str, Any]
    attributes: Sequence[str]
    """Of those that it has: what nightshift wrote."""
    others: bool
    """It has more than that and its key."""


@dataclass(slots=True)
class Holdings:
    """All that the stack holds of a row."""

    row: str
    traces: list[Trace] = field(default_factory=list)
    changes: list[tuple[Change, int]] = field(default_factory=list)
    """Files that hold it, with their sizes in bytes."""
    uploads: list[Upload] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Input versions that could not be looked into, and why."""

    @property
    def nothing(self) -> bool:
        """Tell whether there is nothing to forget."""
        return not (self.changes or self.uploads or self.tickets)

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        for change, size in self.changes:
            rows = "1 line" if change.lines == 1 else f"{change.lines:,} lines"
            yield f"rewrite  {change.key} ({size:,} bytes): {rows}"
        for upload in self.uploads:
            ref = upload.ref
            yield f"delete   {ref.key} version {ref.version_id} ({ref.size:,} bytes), with all its {upload.rows:,} rows"
        for ticket in self.tickets:
            verb = "remove" if ticket.others else "delete"
            yield f"{verb}   ticket {self.row}: {', '.join(ticket.attributes)}"

    def record(self, *, done: bool) -> dict[str, Any]:
        """Return what --json has."""
        return {
            "done": done,
            "row": self.row,
            "runs": [each.run.run_id for each in self.traces],
            "rewritten": [{"key": c.key, "size": size, "lines": c.lines} for c, size in self.changes],
            "deleted": [
                {"key": u.ref.key, "version_id": u.ref.version_id, "size": u.ref.size, "rows": u.rows}
                for u in self.uploads
            ],
            "tickets": [{"attributes": t.attributes, "item_deleted": not t.others} for t in self.tickets],
            "unread": self.unread,
        }


def forget(
    row: Annotated[str, typer.Argument(metavar="ID", help="The row's own id, as its input has it: a ticket's, say.")],
    *,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only what this job has of it; else every job.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Forget a row: take it out of the files of all finished runs, delete the inputs that hold it, clear its ticket.

    Refused while a run that has it is not finished, or a file with it waits for one. What it cannot reach is in
    docs/operations.md, Forget a ticket. It reads all that the stack keeps, and may take a while.
    """
    here = find(stack, local=local)
    with console(stderr=True).status("looking for the row"):
        held = _held(here, unicodedata.normalize("NFC", row.strip()), job)
    told = held.record(done=False)
    if not json:
        for line in held.lines():
            (say if yes else put)(line)
        for line in held.unread:
            say(f"not looked into: {line}")
    if held.nothing:
        put_json(told) if json else put(f"the stack holds nothing of {held.row}")
        return
    if not wanted("Forget it? It cannot be taken back.", yes=yes, dry_run=dry_run, told=told if json else None):
        put_json(told) if json else nothing_done()
        return
    with console(stderr=True).status("forgetting"):
        _forget(here, held)
    put_json(held.record(done=True)) if json else put(
        f"{held.row} is forgotten; docs/operations.md has what may still have it"
    )


def _held(stack: Stack, row: str, job: str | None) -> Holdings:
    """Look through runs, inputs and tickets.

    Raises:
        Refused: something may still come of the row.
    """
    held, ledger, outputs = Holdings(row), stack.ledger(), stack.results()
    runs = [run for run in ledger.runs_since(datetime.min.replace(tzinfo=UTC)) if job in {None, run.job.name}]
    _look_into_inputs(stack, held, runs, job)
    versions = {(upload.ref.key, upload.ref.version_id) for upload in held.uploads}
    for run in runs:
        found = trace(run, ledger, outputs, row)
        has_input = any((ref.key, ref.version_id) in versions for ref in run.inputs)
        if found is None and not has_input:
            continue
        found = found or Trace(run, row, frozenset(), ())
        _check(stack, found)
        held.traces.append(found)
        for change in found.changes(outputs):
            held.changes.append((change, _size(stack, change.key)))
    _check_waiting(held, runs)
    held.tickets.extend(_tickets(stack, held, job))
    return held


def _check(stack: Stack, found: Trace) -> None:
    run, ledger = found.run, stack.ledger()
    step = next_step(run, ledger.chunks(run.run_id), ledger.intent(), stack.clock(), POLICY).kind
    if not found.settled(step):
        look = stack.command(f"{'show' if run.hold else 'watch'} {run.run_id}")
        raise Refused(f"run {run.run_id} has the row and is not finished: once it is, say this again. {look}")


def _check_waiting(held: Holdings, runs: Sequence[Run]) -> None:
    """Refuse where a file that holds the row waits for its run: its other rows would be lost."""
    claimed = {(ref.key, ref.version_id) for run in runs for ref in run.inputs}
    for upload in held.uploads:
        if upload.current and (upload.ref.key, upload.ref.version_id) not in claimed:
            where = f"s3://{upload.ref.bucket}/{upload.ref.key}"
            raise Refused(
                f"{where} has the row and waits for a run, which would ask it: upload it without the row, or delete it"
            )


def _look_into_inputs(stack: Stack, held: Holdings, runs: Sequence[Run], job: str | None) -> None:
    """Read every version of every file in the inbox."""
    client, bucket = stack.clients("s3"), stack.outputs["InputBucketName"]
    jobs = {(ref.key, ref.version_id): run for run in runs for ref in run.inputs}
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix=f"{INBOX}{job}/" if job else INBOX
    )
    for version in (version for page in pages for version in page.get("Versions", [])):
        key, number = version["Key"], version["VersionId"]
        if key.endswith("/"):
            continue
        ref = InputRef(bucket, key, number, version["Size"], version["LastModified"])
        try:
            rows, found = _rows(stack, ref, _spec(stack, key, jobs.get((key, number))), held.row)
        except (BadInput, BadJob) as error:
            held.unread.append(f"s3://{bucket}/{key} version {number}: {error}")
            continue
        if found:
            held.uploads.append(Upload(ref, version["IsLatest"], rows))


def _spec(stack: Stack, key: str, run: Run | None) -> InputSpec:
    """Return how a file is to be read: as the job of its run says, or else the newest job of its folder."""
    return InputSpec.of(_job(stack, run) if run is not None else _newest_job(stack, key.split("/")[1]))


def _newest_job(stack: Stack, name: str) -> Job:
    ref, text = stack.inputs().job(name)
    return parse_job(text, name=name, key=ref.key)


def _job(stack: Stack, run: Run) -> Job:
    """Return a run's job as the run has kept it: the version that it has pinned may be gone after 30 days."""
    outputs, key = stack.results(), run_files.job(run.run_id, run.plan)
    if not outputs.tag(key):
        return _newest_job(stack, run.job.name)
    with outputs.open(key) as stream:
        return parse_job(stream.read(), name=run.job.name, key=key)


def _rows(stack: Stack, ref: InputRef, spec: InputSpec, row: str) -> tuple[int, bool]:
    """Return how many rows a file has, and whether this one is among them, good or bad."""
    count, found = 0, False
    with stack.inputs().open(ref, seekable=spec.seekable) as stream:
        for each in read(stream, spec, file=0, digest=ref.digest):
            count += 1
            found = found or each.id in {row, row[:SHOWN_ID]}
    return count, found


def _size(stack: Stack, key: str) -> int:
    head = stack.clients("s3").head_object(Bucket=stack.outputs["OutputBucketName"], Key=key)
    return int(head["ContentLength"])


def _tickets(stack: Stack, held: Holdings, job: str | None) -> Iterator[Ticket]:
    """Yield the row's tickets, one for each way that jobs name the table's key."""
    client, table, row = stack.clients("dynamodb"), stack.outputs["TicketTableName"], held.row
    tables = [each for each in _tables(stack, held, job) if each.takes(row)]
    for kind, key in sorted({(each.key_type, each.key) for each in tables}):
        name = {key: {"N" if kind == "number" else "S": row}}
        try:
            item = client.get_item(TableName=table, Key=name, ConsistentRead=True).get("Item", {})
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            held.unread.append(f"tickets by {key} ({kind}), as a job has it: the table's key is another")
            continue
        answers = {a for each in tables for a in (each.attribute, *each.attributes) if a is not None}
        if OURS & item.keys():
            written = sorted((OURS | answers) & item.keys())
            yield Ticket(name, written, others=bool(item.keys() - {key, *written}))


def _tables(stack: Stack, held: Holdings, job: str | None) -> Iterator[Table]:
    """Yield where the jobs of today write, and those of the runs that have the row."""
    jobs = [_job(stack, each.run) for each in held.traces]
    for name in stack.inputs().jobs() if job is None else [job]:
        try:
            jobs.append(_newest_job(stack, name))
        except BadJob as error:
            held.unread.append(str(error))
    yield from (each.output.table for each in jobs if each.output.table is not None)


def _forget(stack: Stack, held: Holdings) -> None:
    """Do it; whatever it is interrupted at, the same command does the rest."""
    client, outputs = stack.clients("dynamodb"), stack.results()
    for ticket in held.tickets:
        _clear(client, stack.outputs["TicketTableName"], ticket)
    s3, inputs = stack.clients("s3"), stack.outputs["InputBucketName"]
    for upload in held.uploads:
        if upload.current:  # else an older version would be the current one again, and might be taken for new
            s3.delete_object(Bucket=inputs, Key=upload.ref.key)
        s3.delete_object(Bucket=inputs, Key=upload.ref.key, VersionId=upload.ref.version_id)
    for each in held.traces:
        _drop_old_versions(stack, run_files.home(each.run.run_id))
    for change, _ in held.changes:
        change.apply(outputs)
        _drop_old_versions(stack, change.key)


def _clear(client: Any, table: str, ticket: Ticket) -> None:
    if not ticket.others:
        client.delete_item(TableName=table, Key=ticket.key)
        return
    names = {f"#{n}": name for n, name in enumerate(ticket.attributes)}
    client.update_item(
        TableName=table,
        Key=ticket.key,
        UpdateExpression=f"REMOVE {', '.join(names)}",
        ExpressionAttributeNames=names,
    )


def _drop_old_versions(stack: Stack, prefix: str) -> None:
    """Delete what was written over or deleted: in a run that is finished, nobody needs it."""
    client, bucket = stack.clients("s3"), stack.outputs["OutputBucketName"]
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for version in page.get("Versions", []):
            if not version["IsLatest"]:
                client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
