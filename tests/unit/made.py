"""Values for tests, made with as few words as possible."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from nightshift.model import BatchId, BatchView, Chunk, ChunkState, InputRef, Intent, JobRef, Run, RunId, chunk_id
from tests.unit.conftest import START

RUN = RunId("triage-20261122-abcdefgh")
JOB = JobRef("triage", "jobs/triage.yaml", "v1")

PER_ROW = 1_000_000
"""Picodollars reserved for each row of a run."""
MONTH = f"{START:%Y-%m}"


def input_ref(key: str = "inbox/triage/a.jsonl", version: str = "v1") -> InputRef:
    return InputRef("inputs", key, version, size=100, last_modified=START)


def run(run_id: RunId = RUN, **changes: Any) -> Run:
    """Make a run that may send: its money is reserved."""
    money = {"reserved": 1000 * PER_ROW, "row_reserve": PER_ROW, "budget_month": MONTH}
    return replace(Run(run_id, JOB, (input_ref(),), created=START, trigger="upload"), **money | changes)  # type: ignore[arg-type]


def chunk(number: int = 1, state: ChunkState = ChunkState.PLANNED, generation: int = 0, **changes: Any) -> Chunk:
    return replace(
        Chunk(RUN, chunk_id(generation, number), state, rows=3, size=30, sha256="00"),
        **changes,
    )


def intent(number: int = 1, **changes: Any) -> Intent:
    made = Intent(RUN, chunk_id(0, number), 1, 3, "me", created=START, deadline=START + timedelta(minutes=15))
    return replace(made, **changes)


def batch(name: str = "msgbatch_01", *, rows: int = 3, status: str = "in_progress", **changes: Any) -> BatchView:
    counts = {"processing": rows} if status != "ended" else {"processing": 0, "succeeded": rows}
    return replace(
        BatchView(BatchId(name), status, counts, created_at=START, ended_at=None, results_url=None), **changes
    )
