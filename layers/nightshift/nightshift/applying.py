"""Applying: from an archive to output files and tickets, block by block, resumable at each.

A block is a function of the archive's bytes: done again after a crash, it writes the same objects, and its ticket
updates are no-ops. The checkpoint and the counts move together, so nothing is counted twice. A ticket that the table
refuses costs its row the ticket, not its answer, and no other row anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

from nightshift import run_files
from nightshift.errors import Conflict, ResultsIncomplete, TicketsRefused
from nightshift.job import Job
from nightshift.job_sections import Table
from nightshift.model import Archive, Chunk, Outcome, RowClass, Run, Tally, Worker
from nightshift.money import Cost, usd
from nightshift.outcomes import costs_of, custom_id_of, outcomes, reader_of, tally
from nightshift.ports import Clock, Ledger, Outputs, Tickets, TicketUpdate, Written
from nightshift.requests import asked_digest, asking_digest
from nightshift.run_files import Part

LINES = 2000
"""Lines of a block: 20 ticket transactions, and well under a second to repeat."""

BLOCK = 8 * 1024 * 1024
"""Bytes after which a block takes no further line: long answers do not fill the memory."""

INLINE = 32 * 1024
"""Bytes of an answer's JSON that go onto the ticket; a longer one stays in S3, with a pointer in its place. An item may
have 400 KB, is billed by the KB, and belongs to somebody else."""

NOT_THERE = "not in the results"
"""Why a row is missing."""

FEW = 10
"""So many tickets may be refused with none taken beside them: each is its own row's trouble. More are the table's."""


class _Planned(msgspec.Struct):
    """A line of `plan/<chunk>.ids`: what is needed here of model.PlannedRow."""

    custom_id: str
    id: str
    file: int
    digest: str
    carry: msgspec.Raw = msgspec.Raw(b"{}")
    """Undecoded: carried numbers keep every digit."""


_PLANNED = msgspec.json.Decoder(_Planned)
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Block:
    """What becomes of one block of the archive."""

    output: list[bytes] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    retry: list[bytes] = field(default_factory=list)
    updates: list[TicketUpdate] = field(default_factory=list)
    custom_ids: dict[str, str] = field(default_factory=dict)
    """Ticket id → custom_id of the answer."""


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies the archives of one run."""

    ledger: Ledger
    outputs: Outputs
    tickets: Tickets
    clock: Clock
    run: Run
    job: Job

    def apply(self, chunk: Chunk, worker: Worker, *, stop_at: datetime) -> Chunk:
        """Apply an archived chunk from its checkpoint on.

        Returns:
            The chunk as it now is: applied to its archive's end, unless time was up.

        Raises:
            Conflict: the chunk is another worker's by now.
            TicketsRefused: the table takes no ticket of a block, which is not checkpointed.
        """
        archive = chunk.archive
        if archive is None:
            raise Conflict(f"chunk {chunk.id} has no archive")
        planned = _planned(self.outputs, chunk)
        if chunk.applied < archive.size:  # S3 has no range that starts at an object's end
            chunk = self._apply_rest(chunk, worker, archive, planned, stop_at)
        return self._apply_missing(chunk, worker, archive, planned) if chunk.applied == archive.size else chunk

    def _apply_rest(
        self, chunk: Chunk, worker: Worker, archive: Archive, planned: Mapping[str, bytes], stop_at: datetime
    ) -> Chunk:
        with self.outputs.open(archive.key, chunk.applied) as stream:
            while chunk.applied < archive.size and self.clock() < stop_at:
                lines = _next_lines(stream, archive, chunk.applied)
                counted = self._apply_lines(chunk, lines, planned)
                chunk = self.ledger.applied(chunk, worker, chunk.applied + len(lines), chunk.tally + counted)
        return chunk

    def _apply_missing(self, chunk: Chunk, worker: Worker, archive: Archive, planned: Mapping[str, bytes]) -> Chunk:
        """End the rows that the API never returned (archiving.py says when that is settled)."""
        if sum(chunk.tally.rows.values()) + chunk.tally.retryable == chunk.rows:
            return chunk  # nothing is missing, or it was counted before a crash
        with self.outputs.open(archive.key) as lines:
            present = {custom_id_of(line) for line in lines}
        missing = [
            _failed_line(_PLANNED.decode(row), Outcome(name, RowClass.MISSING, reason=NOT_THERE))
            for name, row in planned.items()
            if name not in present
        ]
        self.outputs.put(run_files.part(chunk.run_id, Part.FAILED, chunk.id, archive.size), b"".join(missing))
        counted = chunk.tally + Tally(rows={RowClass.MISSING: len(missing)}, reasons={NOT_THERE: len(missing)})
        return self.ledger.applied(chunk, worker, archive.size, counted)

    def _apply_lines(self, chunk: Chunk, lines: bytes, planned: Mapping[str, bytes]) -> Tally:
        found = list(outcomes(lines, reader_of(self.job, chunk)))
        last = chunk.generation >= self.run.max_generations
        costs = costs_of(found, self.run.prices)
        block = self._sort(chunk, found, costs, planned, last=last)
        for part, rows in ((Part.OUTPUT, block.output), (Part.FAILED, block.failed), (Part.RETRY, block.retry)):
            if rows:
                self.outputs.put(run_files.part(chunk.run_id, part, chunk.id, chunk.applied), b"".join(rows))
        done = self._write_tickets(chunk, block)
        return replace(
            tally(found, costs, last=last, labelled=self.job.output.labels is not None),
            tickets_written=done.written,
            tickets_unchanged=done.unchanged,
            tickets_refused=len(done.refused),
        )

    def _write_tickets(self, chunk: Chunk, block: _Block) -> Written:
        """Update tickets, and list those that the table refuses."""
        table = self.job.output.table
        if table is None or not block.updates:
            return Written()
        done = self.tickets.write(table.key, block.updates, numeric=table.key_type == "number")
        if len(done.refused) > FEW and not done.written + done.unchanged:
            why = next(iter(done.refused.values()))
            raise TicketsRefused(f"the table refuses all {len(done.refused)} tickets of a block; the first: {why}")
        refused = [
            _line({"id": ticket, "custom_id": block.custom_ids[ticket], "reason": reason})
            for ticket, reason in done.refused.items()
        ]
        key = run_files.part(chunk.run_id, Part.REFUSED, chunk.id, chunk.applied)
        # A worker that died between here and the checkpoint may have left tickets there that the table takes by now.
        if refused or any(self.outputs.keys(key)):
            self.outputs.put(key, b"".join(refused))
        return done

    def _sort(
        self,
        chunk: Chunk,
        found: Sequence[Outcome],
        costs: Sequence[Cost | None],
        planned: Mapping[str, bytes],
        *,
        last: bool,
    ) -> _Block:
        """Write each outcome's line for the file it belongs to, and its ticket update where it has an answer."""
        block, table = _Block(), self.job.output.table
        now = _stamp(self.clock())
        asking = asking_digest(self.job) if self.job.skip == "answered" else ""
        address = self.outputs.uri(run_files.part(chunk.run_id, Part.OUTPUT, chunk.id, chunk.applied))
        for outcome, cost in zip(found, costs, strict=True):
            row = _PLANNED.decode(planned[outcome.custom_id])
            if outcome.row_class is RowClass.ANSWERED:
                answer = _encode(outcome.answer)
                block.output.append(_answered_line(row, outcome, answer, cost))
                inline = outcome.answer if len(answer) <= INLINE else _pointer(address, outcome, answer)
                attributes = attributes_of(table, outcome.answer, inline) if table is not None else {}
                if asking:
                    attributes["nightshift_asked"] = asked_digest(asking, row.digest)
                block.updates.append(self._update(chunk, row, attributes, now))
                block.custom_ids[row.id] = row.custom_id
            elif outcome.retryable and not last:
                block.retry.append(_failed_line(row, outcome, cost))
            else:
                block.failed.append(_failed_line(row, outcome, cost))
        return block

    def _update(self, chunk: Chunk, row: _Planned, attributes: Mapping[str, Any], now: str) -> TicketUpdate:
        stamps = {"nightshift_run": chunk.run_id, "nightshift_row": row.digest, "nightshift_at": now}
        modified = _stamp(self.run.inputs[row.file].last_modified)
        order = f"{modified}|{_stamp(self.run.created)}|{chunk.run_id}|g{chunk.generation}"
        return TicketUpdate(row.id, {**attributes, **stamps}, order)


def attributes_of(table: Table, answer: Any, inline: Any) -> dict[str, Any]:
    """Return what a ticket gets of an answer: the whole, its properties, or both.

    Args:
        table: the job's.
        answer: the answer.
        inline: itself, or what stands in for a long one: then no property of it is longer than it may be, either.
    """
    whole = {table.attribute: inline} if table.attribute is not None else {}
    if not table.attributes:
        return whole
    return whole | {name: _short(answer.get(wanted), inline) for name, wanted in table.attributes.items()}


def _short(value: Any, inline: Any) -> Any:
    """Return a property of an answer, or what stands in for a long one.

    Nothing, where the answer has none, is written as such: an older answer's must not stand beside the newer one.
    """
    return value if len(_encode(value)) <= INLINE else inline


def _planned(outputs: Outputs, chunk: Chunk) -> dict[str, bytes]:
    """Return custom_id → PlannedRow line: undecoded, a hundred thousand of them take 35 MB."""
    with outputs.open(run_files.ids(chunk.run_id, chunk.id, chunk.plan)) as lines:
        return {name: line for line in lines if (name := custom_id_of(line)) is not None}


def _next_lines(stream: BinaryIO, archive: Archive, offset: int) -> bytes:
    lines: list[bytes] = []
    size = 0
    while len(lines) < LINES and size < BLOCK and (line := stream.readline()):
        lines.append(line)
        size += len(line)
    if not lines:
        raise ResultsIncomplete(f"{archive.key} ends at byte {offset} of {archive.size}")
    return b"".join(lines)


def _answered_line(row: _Planned, outcome: Outcome, answer: bytes, cost: Cost | None) -> bytes:
    line: dict[str, Any] = {
        "id": row.id,
        "class": outcome.row_class,
        "custom_id": row.custom_id,
        "answer": msgspec.Raw(answer),
        "usage": outcome.usage,
    } | _cost(cost)
    return _line(line if bytes(row.carry) == b"{}" else line | {"carry": row.carry})


def _failed_line(row: _Planned, outcome: Outcome, cost: Cost | None = None) -> bytes:
    line: dict[str, Any] = {
        "id": row.id,
        "class": outcome.row_class,
        "custom_id": row.custom_id,
        "reason": outcome.reason,
    }
    return _line(line | {"usage": outcome.usage} | _cost(cost) if outcome.usage else line)


def _cost(cost: Cost | None) -> dict[str, Any]:
    """Return what a row cost in USD, to the last digit; nothing where it has no price."""
    return {"cost_usd": msgspec.Raw(f"{usd(cost.total).normalize():f}".encode())} if cost is not None else {}


def _line(value: Mapping[str, Any]) -> bytes:
    return _encode(value) + b"\n"


def _pointer(address: str, outcome: Outcome, answer: bytes) -> dict[str, Any]:
    """Stand in for a long answer: the object that has it, the `custom_id` of its line, and its bytes as JSON."""
    return {"s3": address, "custom_id": outcome.custom_id, "bytes": len(answer)}


def _stamp(moment: datetime) -> str:
    """Write a moment so that texts sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
