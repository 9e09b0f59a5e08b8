"""A night up to where its batches have ended: the real ledger over a local AWS, buckets and tickets in memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nightshift import run_files
from nightshift.job import Job, parse_job
from nightshift.model import BatchId, Chunk, ChunkId, ChunkState, Run, Tally, chunk_id, custom_id
from nightshift.ports import Ledger
from nightshift.results import Collector
from tests.unit import made
from tests.unit.conftest import MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fake_tickets import MemoryTickets
from tests.unit.fakes import MemoryOutputs

JOB = b"""\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output:
  labels: [billing, technical]
  table: {key: ticket_id, attribute: category}
"""

DEADLINE = timedelta(minutes=15)


def parsed(job: bytes = JOB) -> Job:
    return parse_job(job, name="triage", key="job.yaml")


def ids(chunk: ChunkId, rows: int) -> list[str]:
    return [custom_id(made.RUN, chunk, row) for row in range(1, rows + 1)]


def planned_line(name: str, number: int, **changes: Any) -> bytes:
    row = {"custom_id": name, "id": f"{name[9:]}", "file": 0, "line": number, "record": number, "digest": f"d{number}"}
    return json.dumps(row | {"carry": {}} | changes).encode() + b"\n"


@dataclass
class Night:
    """One run and its chunks."""

    ledger: Ledger
    clock: MovableClock
    outputs: MemoryOutputs = field(default_factory=MemoryOutputs)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)
    job: bytes = JOB
    rows: int = 3
    counts: Mapping[str, int] | None = None
    """What the batches say of their requests when they have ended; None: all succeeded."""

    def __post_init__(self) -> None:
        self.api = FakeApi(self.clock)

    def begin(
        self,
        *,
        chunks: int = 1,
        sent: int | None = None,
        max_generations: int = 0,
        leftover: Tally | None = None,
        **run: Any,
    ) -> None:
        """Create the run, plan its chunks, send them (or the first `sent`), and let their batches end."""
        begun = made.run(**run)
        self.outputs.files[run_files.job(made.RUN, begun.plan)] = self.job
        self.ledger.create_run(begun)
        for number in range(1, chunks + 1):
            self.plan(chunk_id(0, number))
        rest = leftover or Tally()
        total = chunks * self.rows + sum(rest.rows.values())
        self.ledger.finish_plan(
            replace(begun, planned=True, rows=total, max_generations=max_generations, leftover=rest)
        )
        for number in range(1, (chunks if sent is None else sent) + 1):
            self.send(chunk_id(0, number))

    def plan(self, name: ChunkId, *, carry: Sequence[dict[str, Any]] = (), raised: bool = False) -> None:
        lines = [
            planned_line(each, number, carry=carry[number - 1] if carry else {})
            for number, each in enumerate(ids(name, self.rows), start=1)
        ]
        number = self.run().plan
        self.outputs.files[run_files.ids(made.RUN, name, number)] = b"".join(lines)
        self.ledger.plan_chunk(
            Chunk(made.RUN, name, ChunkState.PLANNED, rows=self.rows, size=9, sha256="00", plan=number, raised=raised)
        )

    def send(self, name: ChunkId) -> BatchId:
        """Send a planned chunk and end its batch."""
        batch = self.api.add(self.rows)
        intent = replace(made.intent(), chunk=name, rows=self.rows, attempt=self.chunk(name).attempt + 1)
        self.ledger.start_send(self.chunk(name), intent)
        self.ledger.sent(intent, batch, adopted=False)
        self.api.end(batch.id, counts=self.counts)
        self.ledger.ended(self.chunk(name), self.api.batch(batch.id))
        return batch.id

    def answer(self, number: int, *lines: bytes, generation: int = 0) -> None:
        """Let a chunk's batch have these results."""
        batch_id = self.chunk(chunk_id(generation, number)).batch_id
        assert batch_id is not None
        self.api.lines[batch_id] = b"".join(lines)

    def chunk(self, name: ChunkId) -> Chunk:
        return next(c for c in self.ledger.chunks(made.RUN) if c.id == name)

    def run(self) -> Run:
        return self.ledger.run(made.RUN)

    @property
    def deadline(self) -> datetime:
        return self.clock() + DEADLINE

    def collect(self, worker_no: int = 1) -> dict[str, int]:
        collector = Collector(self.ledger, self.api, self.outputs, self.tickets, self.clock)
        return dict(collector.collect(made.RUN, worker_no, self.deadline))

    def lines(self, folder: str) -> list[dict[str, Any]]:
        """Return the lines of all objects in a folder of the run."""
        return list(self._lines(folder))

    def _lines(self, folder: str) -> Iterator[dict[str, Any]]:
        for key in self.outputs.keys(f"runs/{made.RUN}/{folder}/"):
            yield from map(json.loads, self.outputs.files[key].splitlines())
