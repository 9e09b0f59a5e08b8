"""The product's own code over the sink: its adapters and use cases as they ship, and a ledger that only remembers.

Works for benchmarks/measure.py: each function sets up, and returns what is measured.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from nightshift import clock, run_files, wiring
from nightshift.model import (
    BatchId,
    BatchView,
    Budget,
    Caching,
    Chunk,
    ChunkId,
    ChunkState,
    InputRef,
    Intent,
    JobRef,
    Run,
    RunId,
    Tally,
    Worker,
    chunk_id,
)
from nightshift.money import PriceSheet

if TYPE_CHECKING:
    from nightshift.adapters.anthropic_api import AnthropicBatches
    from nightshift.adapters.s3 import S3Outputs
    from nightshift.ports import Ledger, Outputs

# ruff: noqa: PLC0415 - a work imports what its function does, and pays for no more

INPUT = "inbox/bench/rows.jsonl"
RUN = RunId("bench-20261122-abcdefgh")
START = datetime(2026, 11, 22, 2, tzinfo=UTC)
LATER = timedelta(hours=10)


def client(service: str, url: str) -> Any:
    """Return a boto3 client as a function has it."""
    os.environ["AWS_ENDPOINT_URL"] = url
    return wiring._client(service)  # noqa: SLF001 - this very one is measured


def batches(url: str) -> "AnthropicBatches":
    """Return the API's adapter."""
    from nightshift.adapters.anthropic_api import AnthropicBatches

    api = AnthropicBatches(url, lambda *, fresh: "" if fresh else "sk-ant-not-a-key")
    api.probe()  # makes its client, as the plain script has made its own
    return api


def outputs(url: str) -> "S3Outputs":
    """Return the output bucket's adapter."""
    from nightshift.adapters.s3 import S3Outputs

    return S3Outputs(client("s3", url), "outputs")


def run(**changes: Any) -> Run:
    """Return the run that all of this is about."""
    ref = InputRef("inputs", INPUT, "v1", 1, START)
    made = Run(RUN, JobRef("bench", "jobs/bench.yaml", "v1"), (ref,), START, "upload")
    return replace(made, **changes)


class Memory:
    """As much of the ledger as is needed, in memory. With a table, each checkpoint is a write to that, as it is."""

    def __init__(self, run: Run, chunks: Sequence[Chunk] = (), table: Any = None) -> None:
        """Begin with these chunks."""
        self._run = run
        self._chunks = {chunk.id: chunk for chunk in chunks}
        self._intent: Intent | None = None
        self._table = table

    def forget_last(self) -> None:
        """Be as it was before the last chunk was planned."""
        self._chunks.popitem()

    def run(self, _run_id: RunId) -> Run:
        """See `ports.Ledger`."""
        return self._run

    def chunks(self, _run_id: RunId) -> list[Chunk]:
        """See `ports.Ledger`."""
        return list(self._chunks.values())

    def pin(self, run: Run, *, prices: PriceSheet | None, caching: Caching, pilot: int) -> Run:
        """See `ports.Ledger`."""
        return replace(run, prices=prices, caching=caching, pilot=pilot)

    def plan_chunk(self, chunk: Chunk) -> bool:
        """See `ports.Ledger`."""
        self._chunks[chunk.id] = chunk
        return True

    def claim_digest(self, _job: str, _digest: str, run_id: RunId) -> RunId:
        """See `ports.Ledger`."""
        return run_id

    def finish_plan(self, run: Run) -> None:
        """See `ports.Ledger`: and reserve the money, too."""
        self._run = replace(run, reserved=10**15, row_reserve=1, budget_month="2026-11")

    def budget(self, _month: str) -> Budget:
        """See `ports.Ledger`."""
        return Budget()

    def intent(self) -> Intent | None:
        """See `ports.Ledger`."""
        return self._intent

    def start_send(self, chunk: Chunk, intent: Intent) -> None:
        """See `ports.Ledger`."""
        self._chunks[chunk.id] = replace(chunk, state=ChunkState.SENDING, attempt=intent.attempt)
        self._intent = intent

    def sent(self, intent: Intent, batch: BatchView, *, adopted: bool) -> None:
        """See `ports.Ledger`."""
        chunk = self._chunks[intent.chunk]
        self._chunks[chunk.id] = replace(chunk, state=ChunkState.SENT, batch_id=batch.id, adopted=adopted)
        self._intent = None

    def applied(self, chunk: Chunk, _worker: Worker, offset: int, tally: Tally) -> Chunk:
        """See `ports.Ledger`."""
        if self._table is not None:
            self._table.update_item(
                TableName="runs",
                Key={"pk": {"S": chunk.run_id}, "sk": {"S": chunk.id}},
                UpdateExpression="SET applied = :a",
                ExpressionAttributeValues={":a": {"N": str(offset)}},
            )
        return replace(chunk, applied=offset, tally=tally)


def decode(url: str, batch: str) -> Any:
    """Read a batch's results as collecting does, from the stream to outcomes."""
    from nightshift.answers import answer_reader
    from nightshift.archiving import whole_lines
    from nightshift.job_sections import Output
    from nightshift.model import RowClass
    from nightshift.outcomes import outcomes

    api, read = batches(url), answer_reader(Output(text=True), {})

    def work() -> dict[str, int]:
        rows = tokens = letters = 0
        with api.results(api.batch(BatchId(batch))) as blocks:
            for lines in whole_lines(blocks):
                for outcome in outcomes(b"\n".join(lines), read):
                    rows += 1
                    if outcome.row_class is RowClass.ANSWERED:
                        tokens += outcome.usage["output_tokens"]
                        letters += len(outcome.answer)
        return {"rows": rows, "tokens": tokens, "letters": letters}

    return work


def _sent(batch: str, rows: int, chunk: ChunkId) -> Chunk:
    return Chunk(RUN, chunk, ChunkState.ENDED, rows, size=1, sha256="00", batch_id=BatchId(batch))


class _Nowhere:
    """The output bucket for reading; what is written is dropped."""

    def __init__(self, outputs: "Outputs") -> None:
        self.open = outputs.open

    @contextmanager
    def upload(self, _key: str) -> Iterator["_Nowhere"]:
        yield self

    def write(self, data: bytes) -> None:
        """Drop it."""

    def commit(self, *, once: bool) -> bool:
        """Say that it stands."""
        return once


def check(url: str, batch: str, rows: int) -> Any:
    """Archive a batch's results into nothing: the stream is read, cut, and held against the plan."""
    from nightshift.archiving import archive_results

    api, nowhere = batches(url), cast("Outputs", _Nowhere(outputs(url)))
    chunk = _sent(batch, rows, chunk_id(0, 1))

    def work() -> dict[str, int]:
        archive = archive_results(api, nowhere, clock.now, chunk, stop_at=clock.now() + LATER)
        assert archive is not None
        return {"rows": archive.lines}

    return work


def archive(url: str, batch: str, rows: int) -> Any:
    """Archive a batch's results into the output bucket."""
    from nightshift.archiving import archive_results

    api, bucket, chunk = batches(url), outputs(url), _sent(batch, rows, chunk_id(0, 1))

    def work() -> dict[str, int]:
        made = archive_results(api, bucket, clock.now, chunk, stop_at=clock.now() + LATER)
        assert made is not None
        return {"rows": made.lines, "bytes": made.size}

    return work


def collect(url: str, names: Sequence[str], rows: int, job: str, first: int = 1) -> Any:
    """Archive and apply batches, one after the other, as one worker does; `first` is the number of the first chunk."""
    from nightshift.adapters.tickets import DynamoTickets
    from nightshift.applying import Applier
    from nightshift.archiving import archive_results
    from nightshift.job import parse_job
    from nightshift.prices import price_sheet

    api, bucket, dynamodb = batches(url), outputs(url), client("dynamodb", url)
    priced = run(prices=price_sheet("claude-haiku-5-5", START.date()))
    ledger = cast("Ledger", Memory(priced, table=dynamodb))
    parsed = parse_job(job.encode(), name="bench", key="jobs/bench.yaml")
    applier = Applier(ledger, bucket, DynamoTickets(dynamodb, "tickets"), clock.now, priced, parsed)

    def work() -> dict[str, int]:
        worker, total = Worker("me", clock.now() + LATER), Tally()
        for number, batch in enumerate(names, first):
            chunk = _sent(batch, rows, chunk_id(0, number))
            made = archive_results(api, bucket, clock.now, chunk, stop_at=worker.until)
            assert made is not None
            chunk = applier.apply(replace(chunk, archive=made), worker, stop_at=worker.until)
            total += chunk.tally
        done = {"rows": sum(total.rows.values()), "retryable": total.retryable}
        return done | {"tickets": total.tickets_written}

    return work


def send(url: str, rows: int, size: int, sha256: str) -> Any:
    """Send a planned chunk: the probe, the check of the plan, the POST."""
    from nightshift.sending import Sender

    chunk = Chunk(RUN, chunk_id(0, 1), ChunkState.PLANNED, rows, size, sha256)
    ledger = Memory(run(), [chunk])
    ledger.finish_plan(run(planned=True))
    sender = Sender(cast("Ledger", ledger), batches(url), outputs(url), clock.now)
    return lambda: {"sent": sender.send(RUN, owner="me", deadline=clock.now() + LATER)}


def submit(url: str) -> Any:
    """Plan a run and send it: read, check, render, plan, send."""
    from nightshift.adapters.s3 import S3Inputs
    from nightshift.estimating import Estimator
    from nightshift.planning import Planner
    from nightshift.prices import price_sheet
    from nightshift.sending import Sender

    api, bucket, inputs = batches(url), outputs(url), S3Inputs(client("s3", url), "inputs")
    memory = Memory(run())
    ledger = cast("Ledger", memory)
    planner = Planner(ledger, inputs, bucket, clock.now, Estimator(api, bucket, clock.now), price_sheet)
    sender = Sender(ledger, api, bucket, clock.now)

    def work() -> dict[str, int]:
        deadline = clock.now() + LATER
        assert planner.plan(memory.run(RUN), deadline)
        sent = sender.send(RUN, owner="me", deadline=deadline)
        return {"rows": sum(chunk.rows for chunk in memory.chunks(RUN)), "batches": sent}

    return work


def resume(url: str) -> Any:
    """Go on with a plan whose last chunk is not there: all rows are read, and those of the other chunks once more."""
    from nightshift.adapters.s3 import S3Inputs
    from nightshift.estimating import Estimator
    from nightshift.planning import Planner
    from nightshift.prices import price_sheet

    api, bucket, inputs = batches(url), outputs(url), S3Inputs(client("s3", url), "inputs")
    memory = Memory(run())
    planner = Planner(cast("Ledger", memory), inputs, bucket, clock.now, Estimator(api, bucket, clock.now), price_sheet)
    deadline = clock.now() + LATER
    assert planner.plan(memory.run(RUN), deadline)
    memory.forget_last()
    pinned = run(prices=memory.run(RUN).prices, caching=memory.run(RUN).caching)
    return lambda: {"planned": planner.plan(pinned, deadline)}


def ids_key(chunk: ChunkId) -> str:
    """Return where the ids of a chunk are."""
    return run_files.ids(RUN, chunk, 1)


def plan_key(chunk: ChunkId) -> str:
    """Return where a chunk's plan is."""
    return run_files.plan(RUN, chunk, 1)
