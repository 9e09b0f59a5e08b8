"""Planning of retries: the rows that may succeed if they are sent again → the next generation's chunks."""

from collections.abc import Generator
from contextlib import closing

import msgspec

from nightshift import run_files
from nightshift.job import parse_job
from nightshift.model import Chunk, PlannedRow, Run, RunId, chunk_id
from nightshift.plan_files import Draft, planned_rows
from nightshift.ports import Ledger, Outputs
from nightshift.requests import params_of


class _RetryLine(msgspec.Struct):
    custom_id: str


_decode = msgspec.json.Decoder(_RetryLine).decode


def plan_retries(run: Run, ledger: Ledger, outputs: Outputs) -> None:
    """Make the next generation from the rows of a collected one that collecting put aside for it.

    Their params are those of the first time, byte for byte. It can be killed anywhere and done again: the same parts
    make the same chunks.
    """
    with outputs.open(run_files.job(run.run_id)) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=run.job.key)
    number = 1
    with closing(_failed(run, ledger, outputs)) as failed:
        item = next(failed, None)
        while item is not None:
            with Draft(outputs, run, chunk_id(run.generation + 1, number), job.batch) as draft:
                while item is not None and draft.add(item[0], item[1], item[0].carry):
                    item = next(failed, None)
                ledger.plan_chunk(draft.finish((0, 0)))
            number += 1
    ledger.next_generation(run.run_id, run.generation + 1)


def _failed(run: Run, ledger: Ledger, outputs: Outputs) -> Generator[tuple[PlannedRow, bytes]]:
    """Yield the rows of the present generation that are to be sent again, with their params."""
    for chunk in ledger.chunks(run.run_id):
        wanted = _wanted(outputs, run.run_id, chunk) if chunk.generation == run.generation else set()
        if not wanted:
            continue
        with outputs.open(run_files.plan(run.run_id, chunk.id)) as plan:
            for row, line in zip(planned_rows(outputs, run.run_id, chunk.id), plan, strict=True):
                if row.custom_id in wanted:
                    yield row, params_of(line)


def _wanted(outputs: Outputs, run_id: RunId, chunk: Chunk) -> set[str]:
    """Return the custom_ids that collecting put into the chunk's retry parts."""
    wanted: set[str] = set()
    for key in outputs.keys(f"{run_files.home(run_id)}{run_files.Part.RETRY}/{chunk.id}-"):
        with outputs.open(key) as stream:
            wanted.update(_decode(line).custom_id for line in stream)
    return wanted
