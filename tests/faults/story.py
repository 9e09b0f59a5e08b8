"""What scenarios are made of: jobs, uploads, nights, people at a terminal, other people.

Texts differ in every row of a history, so that the API's own record tells rows apart.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs, S3Outputs
from nightshift.adapters.stepfunctions import StepFunctionsExecutions
from nightshift.control import Control
from nightshift.model import HoldCode, RunId, RunState
from nightshift.money import amount_of
from tests.faults import cloud, ledger_watch
from tests.faults.world import START, World

WORDS = ("billing", "technical")

JOB = """\
job: {name}
input: {{format: jsonl, id: id}}
model: {model}
max_tokens: {max_tokens}
thinking: {thinking}
system: {system}
prompt: "{{{{ body }}}}"
output:
  {answer}
  table: {{key: ticket_id, attribute: category}}
pilot: {pilot}
verify: {verify}
cache: {{ttl: 1h, when: always}}
batch: {{max_rows: {chunk}, max_bytes: 50000000, delete_after_collect: {delete}}}
limits: {{max_rows: 1000, max_reject_ratio: 0.9, max_usd: {max_usd}}}
retry: {{generations: {generations}, cut_off: {cut_off}}}
schedule: {schedule}
"""

PLAIN: Mapping[str, Any] = {
    "model": "claude-haiku-5-5",
    "max_tokens": 64,
    "thinking": "disabled",
    "system": "Sort it.",
    "answer": f"labels: [{', '.join(WORDS)}]",
    "pilot": "none",
    "verify": "none",
    "max_usd": 25,
    "chunk": 3,
    "delete": "false",
    "generations": 1,
    "cut_off": "null",
    "schedule": "upload",
}
"""A job like any other."""

WORDY: Mapping[str, Any] = {"answer": "text: true", "max_tokens": 2000}
"""A job whose answers are expected to be far longer than they are: most of what is reserved is not spent."""

EACH = 500 * 250_000
"""Picodollars that a row of a wordy job is expected to cost, or a little more: a quarter of `max_tokens`."""


@dataclass(slots=True)
class File:
    """An input: what its rows are, and what must become of them."""

    job: str
    key: str
    texts: Mapping[str, str]
    """Ticket → text, of the rows that can be sent."""
    rejects: int
    size: int
    event: Any = None

    @property
    def records(self) -> int:
        """Rows in all."""
        return len(self.texts) + self.rejects


@dataclass(slots=True)
class Story:
    """A scenario at work."""

    world: World
    files: list[File] = field(default_factory=list)
    together: bool = False
    """All files are one run: a night's, or a manifest's."""
    mend: Callable[[], None] = lambda: None
    """What a person mends before letting held runs go on, beside key and functions."""
    pending: int = 0
    """Things that are still to happen."""
    full: str = ""
    """A ticket that takes nothing more."""
    raised: int | None = None
    """`max_tokens` of rows that are asked once more because it cut them off; None: none is."""
    deletes: bool = False
    """The job wants its batches deleted, and there is time for it."""
    foreign: int = 0
    """Batches that somebody else makes in the workspace."""
    approves: frozenset[HoldCode] = frozenset()
    """What the person who lets held runs go on waves through."""
    may_stay: frozenset[HoldCode] = frozenset({HoldCode.SAME_ROWS})
    """Where a person has only to say no. All else that holds a run here can be mended, and is."""

    @property
    def runs(self) -> int:
        """How many runs there must be at the end."""
        return min(1, len(self.files)) if self.together else len(self.files)

    # --- what scenarios are made of

    def job(self, name: str = "triage", **fields: Any) -> None:
        """Put a job file. A night or a manifest makes one run of it, an upload one of each file."""
        filled = {**PLAIN, **fields}
        self.together = filled["schedule"] != "upload"
        text = JOB.format(name=name, **filled)
        cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key=f"jobs/{name}.yaml", Body=text.encode())

    def leave(self, amount: int) -> None:
        """Have this month begin with so many picodollars left to spend."""
        self.world.watch.spend(f"{datetime.fromtimestamp(START, UTC):%Y-%m}", amount_of(cloud.CAP_USD) - amount)

    def upload(
        self, name: str, *, job: str = "triage", rows: int = 5, spoiled: int = 2, tickets: str = "", event: bool = True
    ) -> File:
        """Upload a file: good rows, a broken line, a row that comes twice; EventBridge says so once."""
        tickets = tickets or name
        texts = {f"{tickets}-{n}": f"{name} row {n} is about {WORDS[n % 2]} at {len(self.files)}" for n in range(rows)}
        lines = [json.dumps({"id": ticket, "body": text}) for ticket, text in texts.items()]
        lines[1:1] = ['{"id": "broken'][: spoiled > 0] + lines[:1][: spoiled > 1]
        key = f"inbox/{job}/{name}.jsonl"
        body = ("\n".join(lines) + "\n").encode()
        put = cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key=key, Body=body)
        file = File(job, key, texts, spoiled, len(body), _created(key, put["VersionId"], len(body)))
        self.files.append(file)
        if event:
            self.world.deliver("SubmitFunction", file.event)
        return file

    def manifest(self, *times: float) -> None:
        """Upload a manifest of all files, whose event comes in so many seconds, each time."""
        key, listed = "inbox/triage/all.manifest.json", [{"file": Path(file.key).name} for file in self.files]
        body = json.dumps({"files": listed}).encode()
        put = cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key=key, Body=body)
        event = _created(key, put["VersionId"], len(body))
        for seconds in times:
            self.later(seconds, lambda: self.world.deliver("SubmitFunction", event))

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """Have something happen in so many seconds."""
        self.pending += 1

        def happen() -> None:
            what()
            self.pending -= 1

        self.world.fibers.spawn("story", happen, after=seconds)

    def copy(self, file: File, name: str, seconds: float) -> None:
        """Upload the same bytes once more, under another name."""
        key = f"inbox/{file.job}/{name}.jsonl"

        def upload() -> None:
            source = {"Bucket": cloud.INPUTS, "Key": file.key}
            put = cloud.client("s3").copy_object(Bucket=cloud.INPUTS, Key=key, CopySource=source)
            self.files.append(File(file.job, key, file.texts, file.rejects, file.size))
            self.world.deliver("SubmitFunction", _created(key, put["VersionId"], file.size))

        self.later(seconds, upload)

    def again(self, file: File, seconds: float) -> None:
        """Deliver a file's event a second time."""
        self.later(seconds, lambda: self.world.deliver("SubmitFunction", file.event))

    def night(self, seconds: float, *, heard: bool = True, at: str = "2026-11-22T02:00:00Z") -> None:
        """Have the schedule fire; or be lost on the way to submit, when the audit alone hears of it."""
        event = {"source": "nightshift.schedule", "scheduled_time": at}
        if heard:
            self.later(seconds, lambda: self.world.deliver("SubmitFunction", event))
        if "AuditFunction" in self.world.handlers:
            self.later(seconds, lambda: self.world.deliver("AuditFunction", event))

    def by_hand(self, what: Callable[[Control, RunId], Any], seconds: float) -> None:
        """Have a person do something to every open run, and once more where the terminal died under them."""

        def work() -> None:
            for run in list(ledger_watch.read().runs.values()):
                for _ in range(2):
                    fiber = self.world.person(partial(_do, what, run.run_id))
                    self.world.fibers.join(fiber)
                    if fiber.error is None:
                        break

        self.later(seconds, work)

    def somebody_else(self, rows: int, seconds: float) -> None:
        """Have somebody else make a batch in our workspace, of as many rows as ours have."""

        def make() -> None:
            self.foreign += 1
            params = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
            requests = [
                {"custom_id": f"{ledger_watch.OTHERS}{self.foreign}-{n}", "params": params} for n in range(rows)
            ]
            self.world.create_elsewhere({"requests": requests})

        self.later(seconds, make)


def _do(what: Callable[[Control, RunId], object], run_id: RunId) -> None:
    what(control(), run_id)


def control() -> Control:
    """Return what the command line uses, put together as cli/nightshift_cli/stack.py does."""
    # Its clients are made as the functions' are, so that its calls are boundaries.
    from nightshift import clock, wiring  # noqa: PLC0415 - after the seams are in

    clients = wiring._client
    machine = f"arn:aws:states:{cloud.REGION}:{cloud.ACCOUNT}:stateMachine:{cloud.MACHINE}"
    return Control(
        DynamoLedger(clients("dynamodb"), cloud.RUNS),
        S3Inputs(clients("s3"), cloud.INPUTS),
        S3Outputs(clients("s3"), cloud.OUTPUTS),
        StepFunctionsExecutions(clients("stepfunctions"), machine),
        clock.now,
    )


def resume(control: Control, run_id: RunId) -> None:
    """Let a run go on, unless it is done."""
    if ledger_watch.read().runs[run_id].state is not RunState.DONE:
        control.resume(run_id)


def _created(key: str, version: str, size: int) -> dict[str, Any]:
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": cloud.INPUTS}, "object": {"key": key, "size": size, "version-id": version}},
    }
