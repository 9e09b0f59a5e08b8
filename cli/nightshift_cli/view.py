"""A run as a person sees it: what the ledger has, added up, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Outputs
from nightshift.adapters.stepfunctions import execution_name
from nightshift.decision import Policy, next_step
from nightshift.merging import Pointer
from nightshift.model import Chunk, ChunkState, Intent, RowClass, Run, RunId, RunState, Step, StepKind, Tally
from nightshift.money import usd
from nightshift_cli.mending import ways_out
from nightshift_cli.stack import Stack

POLICY = Policy(poll_min_seconds=30, poll_max_seconds=360, poll_percent=5, max_turns=1500)
"""The template's defaults. They only decide how long a wait is, which is not shown: the loop counts it."""

_decode = msgspec.json.Decoder(Pointer).decode

DEAD = frozenset({"ABORTED", "FAILED", "NOT_STARTED", "TIMED_OUT"})
"""How a loop can be that a person may start again; the audit does so within some 20 minutes."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run and its chunks."""

    run: Run
    chunks: Sequence[Chunk]

    @property
    def state(self) -> str:
        """`open`, `done` or `held`."""
        return state_of(self.run)

    @property
    def in_flight(self) -> int:
        """Batches that the API works on."""
        return sum(chunk.state is ChunkState.SENT for chunk in self.chunks)

    @property
    def total(self) -> Tally:
        """Every class added up."""
        parts = (part for chunk in self.chunks for part in (chunk.planned, chunk.tally))
        return reduce(Tally.__add__, parts, self.run.leftover)

    @property
    def rows(self) -> int | None:
        """Records of the inputs; None until they are counted."""
        return self.run.rows if self.run.planned else None

    @property
    def answered(self) -> int:
        """Rows with an answer."""
        return self.total.rows.get(RowClass.ANSWERED, 0)

    @property
    def priced(self) -> bool:
        """True where the model has a price, and so the run a cost."""
        return self.run.prices is not None

    @property
    def paid(self) -> int:
        """Picodollars, of all that is collected."""
        return sum(self.total.paid.values())

    @property
    def saved(self) -> int:
        """How much more the same tokens cost at the synchronous price."""
        return self.total.synchronous - self.paid

    def age(self, now: datetime) -> timedelta:
        """How long ago it was created."""
        return now - self.run.created

    @property
    def strange(self) -> int:
        """Lines of the API's results that are no result of a row."""
        return sum(chunk.archive.strange for chunk in self.chunks if chunk.archive)

    def record(self) -> Mapping[str, Any]:
        """Return what `runs --json` has of a run."""
        return {
            "run_id": self.run.run_id,
            "job": self.run.job.name,
            "state": self.state,
            "hold": self.run.hold,
            "trigger": self.run.trigger,
            "created": self.run.created,
            "rows": self.rows,
            "batches_in_flight": self.in_flight,
            "answered": self.answered,
            "cost_usd": float(usd(self.paid)) if self.priced else None,
            "synchronous_usd": float(usd(self.total.synchronous)) if self.priced else None,
            "saved_usd": float(usd(self.saved)) if self.priced else None,
        }


@dataclass(frozen=True, slots=True)
class View:
    """All there is to see of a run."""

    summary: Summary
    stack: Stack
    intent: Intent | None
    """The create that may be under way, where it is this run's."""
    step: Step
    """What the loop would do now."""
    execution: str
    execution_status: str
    """Step Functions' word; `NOT_STARTED` where there is no such execution."""
    now: datetime
    """When this was looked at, by the stack's clock."""
    merged: Sequence[str] = ()
    """The names of the files that have all answers in one."""
    latest: str = ""
    """Key of the pointer to the job's newest finished run, where it names this one."""

    @property
    def ways_out(self) -> Sequence[str]:
        """What a person can do about the run; nothing where it goes on by itself."""
        run = self.summary.run
        if run.hold is None and run.state is RunState.OPEN and self.execution_status in DEAD:
            return [self.stack.command(f"resume {run.run_id}")]
        if self.step.kind is StepKind.VERIFY and self.execution_status != "RUNNING":
            return [self.stack.command(f"verify {run.run_id} --yes")]
        return ways_out(run, self.stack)

    @property
    def home(self) -> str:
        """Where the run's files are."""
        return self.stack.results().uri(run_files.home(self.summary.run.run_id))

    @property
    def files(self) -> Sequence[str]:
        """What is there, or will be."""
        run = self.summary.run
        rejects = run_files.rejects(run.run_id, run.plan).removeprefix(run_files.home(run.run_id))
        refused = ["refused/"] * bool(self.summary.total.tickets_refused)
        written = {"report.json": run.reported, "verification.json": run.verified}
        return [
            *self.merged,
            "output/",
            "failed/",
            rejects,
            "raw/",
            *refused,
            *(name for name, is_there in written.items() if is_there),
        ]

    def record(self) -> Mapping[str, Any]:
        """Return what `show --json` has: the run, its chunks and the intent as the ledger keeps them, and more."""
        total = self.summary.total
        return {
            **self.summary.record(),
            "counts": {row_class: total.rows.get(row_class, 0) for row_class in RowClass},
            "usage": total.usage,
            "tickets": {
                "written": total.tickets_written,
                "unchanged": total.tickets_unchanged,
                "refused": total.tickets_refused,
            },
            "strange": self.summary.strange,
            "next": self.step,
            "ways_out": self.ways_out,
            "execution": {"name": self.execution, "status": self.execution_status},
            "files": {name: f"{self.home}{name}" for name in self.files},
            "latest": self.stack.results().uri(self.latest) if self.latest else None,
            "run": self.summary.run,
            "chunks": self.summary.chunks,
            "intent": self.intent,
        }


def state_of(run: Run) -> str:
    """Return `open`, `done` or `held`."""
    return "held" if run.hold is not None else run.state


def summaries(ledger: DynamoLedger, limit: int) -> Sequence[Summary]:
    """Return the newest runs, newest first."""
    return [Summary(run, ledger.chunks(run.run_id)) for run in ledger.runs(limit)]


def view(stack: Stack, run_id: RunId) -> View:
    """Look at a run.

    Raises:
        RunNotFound: no such run.
    """
    ledger = stack.ledger()
    run = ledger.run(run_id)
    chunks, intent, now = ledger.chunks(run_id), ledger.intent(), stack.clock()
    return View(
        Summary(run, chunks),
        stack,
        intent if intent is not None and intent.run_id == run_id else None,
        next_step(run, chunks, intent, now, POLICY),
        execution_name(run_id, run.execution),
        _execution_status(stack, execution_name(run_id, run.execution)),
        now,
        _merged(stack.results(), run),
        _latest(stack.results(), run),
    )


def _merged(outputs: S3Outputs, run: Run) -> Sequence[str]:
    """Return the names of the files that have all of a run's answers: one, or none yet."""
    home = run_files.home(run.run_id)
    return [key.removeprefix(home) for key in outputs.keys(f"{home}output.")] if run.state is RunState.DONE else []


def _latest(outputs: S3Outputs, run: Run) -> str:
    """Return the key of what names the job's newest finished run, where that is this one."""
    key = run_files.latest(run.job.name)
    if run.state is not RunState.DONE or not outputs.tag(key):
        return ""
    with outputs.open(key) as stream:
        return key if _decode(stream.read()).run_id == run.run_id else ""


def _execution_status(stack: Stack, name: str) -> str:
    """Ask Step Functions how an execution of the loop is: a dead one is the only thing the ledger cannot tell."""
    client = stack.clients("stepfunctions")
    arn = stack.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:") + f":{name}"
    try:
        return str(client.describe_execution(executionArn=arn)["status"])
    except client.exceptions.ExecutionDoesNotExist:
        return "NOT_STARTED"
