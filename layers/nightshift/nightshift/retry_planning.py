"""Planning of retries: the rows that may succeed if they are sent again → the next generation's chunks."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import islice

import msgspec

from nightshift import run_files
from nightshift.job import Job, parse_job
from nightshift.model import Chunk, PlannedRow, RowClass, Run, chunk_id
from nightshift.plan_files import Draft, planned_rows
from nightshift.ports import Clock, Ledger, Outputs
from nightshift.requests import params_of, with_max_tokens


class _RetryLine(msgspec.Struct):
    custom_id: str
    row_class: RowClass = msgspec.field(name="class")


_decode = msgspec.json.Decoder(_RetryLine).decode


def plan_retries(run: Run, ledger: Ledger, outputs: Outputs, clock: Clock, until: datetime) -> bool:
    """Make the next generation from the rows of a collected one that collecting put aside for it.

    Their params are those of the first time, byte for byte; but rows that `max_tokens` cut off get the job's larger
    one, in chunks of their own, behind the others. It can be killed anywhere and done again: the same parts make the
    same chunks. It goes on behind those that stand, and the generation begins when all of them do.

    Args:
        run: as the ledger has it.
        ledger: where the chunks go.
        outputs: where the parts are, and the plan goes.
        clock: tells the present moment.
        until: no chunk is begun after this but the first, so that each invocation gets further.

    Returns:
        True when the generation has begun; False where time ran out, or somebody else has changed the run.
    """
    with outputs.open(run_files.job(run.run_id, run.plan)) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=run.job.key)
    planned = [c for c in ledger.chunks(run.run_id) if c.generation == run.generation + 1]
    number, raises = len(planned) + 1, any(c.raised for c in planned)
    for raised in (False, True):
        done = sum(c.rows for c in planned if c.raised is raised)
        with closing(_failed(run, job, ledger, outputs, done, raised=raised)) as failed:
            item = next(failed, None)
            while item is not None:
                if number > len(planned) + 1 and clock() > until:
                    return False
                with Draft(outputs, run, chunk_id(run.generation + 1, number), job.batch, job.beta_header) as draft:
                    while item is not None and draft.add(item[0], item[1], item[0].carry):
                        item = next(failed, None)
                    ledger.plan_chunk(replace(draft.finish((0, 0)), raised=raised))
                number, raises = number + 1, raises or raised
    return ledger.next_generation(run, anew=raises)


def _failed(
    run: Run, job: Job, ledger: Ledger, outputs: Outputs, after: int, *, raised: bool
) -> Generator[tuple[PlannedRow, bytes]]:
    """Yield the present generation's rows to be sent again, but for the first `after`, with their params.

    Args:
        run: the run.
        job: the run's.
        ledger: has the chunks.
        outputs: has their files.
        after: so many rows are planned already.
        raised: those that get a larger `max_tokens`, or have it already; or else the others.
    """
    for chunk in ledger.chunks(run.run_id):
        wanted = _wanted(outputs, chunk, raised=raised) if chunk.generation == run.generation else set()
        if len(wanted) <= after:
            after -= len(wanted)
            continue
        with outputs.open(run_files.plan(run.run_id, chunk.id, chunk.plan)) as plan:
            rows = zip(planned_rows(outputs, chunk), plan, strict=True)
            again = ((row, line) for row, line in rows if row.custom_id in wanted)
            for row, line in islice(again, after, None):
                larger = job.raised_max_tokens if raised else None
                yield row, params_of(line) if larger is None else with_max_tokens(params_of(line), larger)
        after = 0


def _wanted(outputs: Outputs, chunk: Chunk, *, raised: bool) -> set[str]:
    """Return the custom_ids that collecting put into the chunk's retry parts.

    Those of rows that are asked with a larger `max_tokens`, or the others: an invalid row is there only because it was
    cut off, and one that has the larger one keeps it.
    """
    wanted: set[str] = set()
    for key in outputs.keys(f"{run_files.home(chunk.run_id)}{run_files.Part.RETRY}/{chunk.id}-"):
        with outputs.open(key) as stream:
            lines = map(_decode, stream)
            wanted.update(
                line.custom_id for line in lines if (chunk.raised or line.row_class is RowClass.INVALID) is raised
            )
    return wanted
