"""Planning of retries: the rows that may succeed if they are sent again → the next generation's chunks."""

from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from itertools import islice

import msgspec

from nightshift import run_files
from nightshift.job import parse_job
from nightshift.model import Chunk, PlannedRow, Run, RunId, chunk_id
from nightshift.plan_files import Draft, planned_rows
from nightshift.ports import Clock, Ledger, Outputs
from nightshift.requests import params_of


class _RetryLine(msgspec.Struct):
    custom_id: str


_decode = msgspec.json.Decoder(_RetryLine).decode


def plan_retries(run: Run, ledger: Ledger, outputs: Outputs, clock: Clock, until: datetime) -> bool:
    """Make the next generation from the rows of a collected one that collecting put aside for it.

    Their params are those of the first time, byte for byte. It can be killed anywhere and done again: the same parts
    make the same chunks. It goes on behind those that stand, and the generation begins when all of them do.

    Args:
        run: as the ledger has it.
        ledger: where the chunks go.
        outputs: where the parts are, and the plan goes.
        clock: tells the present moment.
        until: no chunk is begun after this but the first, so that each invocation gets further.

    Returns:
        True when the generation has begun; False where time ran out.
    """
    with outputs.open(run_files.job(run.run_id, run.plan)) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=run.job.key)
    planned = [c for c in ledger.chunks(run.run_id) if c.generation == run.generation + 1]
    number = len(planned) + 1
    with closing(_failed(run, ledger, outputs, after=sum(c.rows for c in planned))) as failed:
        item = next(failed, None)
        while item is not None:
            with Draft(outputs, run, chunk_id(run.generation + 1, number), job.batch) as draft:
                while item is not None and draft.add(item[0], item[1], item[0].carry):
                    item = next(failed, None)
                ledger.plan_chunk(draft.finish((0, 0)))
            number += 1
            if item is not None and clock() > until:
                return False
    ledger.next_generation(run.run_id, run.generation + 1)
    return True


def _failed(run: Run, ledger: Ledger, outputs: Outputs, after: int) -> Generator[tuple[PlannedRow, bytes]]:
    """Yield the present generation's rows to be sent again, but for the first `after`, with their params."""
    for chunk in ledger.chunks(run.run_id):
        wanted = _wanted(outputs, run.run_id, chunk) if chunk.generation == run.generation else set()
        if len(wanted) <= after:
            after -= len(wanted)
            continue
        with outputs.open(run_files.plan(run.run_id, chunk.id, chunk.plan)) as plan:
            rows = zip(planned_rows(outputs, chunk), plan, strict=True)
            again = ((row, line) for row, line in rows if row.custom_id in wanted)
            for row, line in islice(again, after, None):
                yield row, params_of(line)
        after = 0


def _wanted(outputs: Outputs, run_id: RunId, chunk: Chunk) -> set[str]:
    """Return the custom_ids that collecting put into the chunk's retry parts."""
    wanted: set[str] = set()
    for key in outputs.keys(f"{run_files.home(run_id)}{run_files.Part.RETRY}/{chunk.id}-"):
        with outputs.open(key) as stream:
            wanted.update(_decode(line).custom_id for line in stream)
    return wanted
