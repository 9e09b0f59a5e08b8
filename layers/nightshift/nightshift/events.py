"""What nightshift tells others, as EventBridge has it: source `nightshift`, one dataclass for each `detail-type`.

The names of the classes and of their fields are a contract (docs/events.md). No event holds a row's text, an answer, or
the words of an error of the API, which may quote one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from nightshift.model import BatchId, ChunkId, HoldCode, RowClass, RunId


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run was opened: it is planned and sent from now on."""

    run_id: RunId
    job: str
    """The job's name."""
    at: datetime
    """When it happened, not when it was told: UTC, ISO 8601."""
    trigger: str
    """`upload`, `nightly`, `manifest` or `by hand`."""
    inputs: int
    """Files that the run reads."""


@dataclass(frozen=True, slots=True)
class BatchSent:
    """A batch was made at the API; one of a run's, or its only one."""

    run_id: RunId
    job: str
    at: datetime
    batch_id: BatchId
    """Anthropic's id."""
    chunk: ChunkId
    """The part of the run that it has: `g0-000001`."""
    rows: int
    """Requests in it."""
    adopted: bool
    """True where the answer to the create was lost, and the batch was found again."""


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """Every row of a run is accounted for, and its report is written."""

    run_id: RunId
    job: str
    at: datetime
    rows: int
    """Rows that were read."""
    counts: Mapping[RowClass, int]
    """Class of rows → how many; classes without a row are left out."""
    cost_usd: Decimal | None
    """What its batches cost; null where the model has no price."""
    estimate_usd: Decimal | None
    """What it was expected to cost when it was planned; null without a price."""
    files: str
    """`s3://<bucket>/runs/<run id>/`: `report.html`, `report.json`, `output/` and the others are below it."""


@dataclass(frozen=True, slots=True)
class RunHeld:
    """Nothing more is sent until a person says so. `nightshift show RUN` tells why, and what mends it."""

    run_id: RunId
    job: str
    at: datetime
    code: HoldCode
    """Why, as docs/operations.md explains it."""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """An execution of a run that is neither done nor held ended red. The audit starts the next one."""

    run_id: RunId
    job: str
    at: datetime
    execution: int
    """Number of the execution, from 1: `<run id>-c0001`."""
    status: str
    """`FAILED`, `TIMED_OUT` or `ABORTED`, as Step Functions has it."""


type Event = RunStarted | BatchSent | RunCompleted | RunHeld | RunFailed
EVENTS = (RunStarted, BatchSent, RunCompleted, RunHeld, RunFailed)
