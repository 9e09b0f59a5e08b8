"""`nightshift submit`: a file into a job's inbox, and the run that it starts."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import RunNotFound
from nightshift.intake import run_id_for, waits_for
from nightshift.job import Job, parse_job
from nightshift.model import InputRef, Run, RunId
from nightshift.trigger import HAND
from nightshift_cli.consent import DryRun, nothing_done
from nightshift_cli.console import console, interruptible, put, put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.mending import ways_out
from nightshift_cli.options import DEFAULT_STACK, AsJson, JobOption, Local, StackName
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import state_of

GLANCE = 0.5
"""Seconds between two looks for the run."""

Now = Annotated[bool, typer.Option("--now", help="Do not wait for the night, or for a manifest.")]
Wait = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="To wait for the run to appear.")]


@dataclass(frozen=True, slots=True)
class Start:
    """A file that is to start a run, and how."""

    stack: Stack
    job: Job
    now: bool
    """It shall not wait for what the job's files wait for."""
    wait: float
    """Seconds to wait for the run to appear."""

    def upload(self, file: Path, key: str) -> InputRef:
        """Upload the file."""
        self.stack.clients("s3").upload_file(str(file), self.stack.outputs["InputBucketName"], key)
        # An upload in parts does not tell its version. Should somebody else have written the same key since, theirs is
        # the version that is followed here, and both have their runs.
        return self.stack.inputs().pin(key)

    def follow(self, ref: InputRef, *, json: bool, fresh: bool = True, told: Mapping[str, Any] | None = None) -> None:
        """Start the run of an uploaded file where its upload does not, and tell of it.

        Args:
            ref: the file.
            json: as an object.
            fresh: it was uploaded just now.
            told: what the object has besides.

        Raises:
            typer.Exit: HELD, where the run is; NOT_SEEN, where it has not appeared.
        """
        run_id = run_id_for(self.job.job, ref)
        look = self.stack.command(f"show {run_id}")
        with interruptible(f"no longer waited for; its file is uploaded, and run {run_id} goes on. {look}"):
            if fresh and not json:
                say(f"uploaded s3://{ref.bucket}/{ref.key}")
            if (event := waits_for(self.job, ref.key)) and not self.now:
                self._leave(ref, event, json=json, told=told or {})
                return
            if event:
                self._start_by_hand(ref)
            self._show(ref, run_id, json=json, told=told or {})

    def _leave(self, ref: InputRef, event: str, *, json: bool, told: Mapping[str, Any]) -> None:
        """Tell of a file that waits."""
        if json:
            put_json({**told, **_record(ref, None, f"waits for {event}")})
        else:
            what = f"job {self.job.job} is {self.job.schedule}"
            say(f"{what}: the file waits for {event}. To run it now: submit it with --now.")

    def tell(self, file: Path, key: str, *, json: bool) -> None:
        """Say what would come of a file."""
        ref = InputRef(self.stack.outputs["InputBucketName"], key, "", file.stat().st_size, self.stack.clock())
        event = waits_for(self.job, key)
        state = f"waits for {event}" if event and not self.now else "starts a run"
        if json:
            put_json(_record(ref, None, state))
            return
        put(f"s3://{ref.bucket}/{ref.key}")
        estimate = self.stack.command(f"estimate {file} --job {self.job.job}")
        say(f"a file of {ref.size:,} bytes that {state}; {estimate} says what that costs")
        nothing_done()

    def _start_by_hand(self, ref: InputRef) -> None:
        """Invoke the submit function as the schedule would, for one file."""
        event = {"source": HAND, "job": self.job.job, "key": ref.key, "version_id": ref.version_id}
        self.stack.clients("lambda").invoke(
            FunctionName=self.stack.outputs["SubmitFunctionName"], InvocationType="Event", Payload=_json(event)
        )

    def _show(self, ref: InputRef, run_id: RunId, *, json: bool, told: Mapping[str, Any]) -> None:
        """Print the run's id once the ledger has it."""
        with console(stderr=True).status("waiting for the run"):
            run = _appeared(self.stack.ledger(), run_id, self.wait)
        if json:
            state = "not seen" if run is None else state_of(run)
            put_json({**told, **_record(ref, run_id, state, run, self.stack)})
        elif run is None:
            look = self.stack.command(f"show {run_id}")
            say(f"run {run_id} has not appeared within {self.wait:g} s. Look again with: {look}")
        else:
            put(run_id)
            _say_more(run, self.stack)
        if run is None:
            raise typer.Exit(Exit.NOT_SEEN)
        if run.hold is not None:
            raise typer.Exit(Exit.HELD)


def submit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="JSON Lines or CSV.")
    ],
    job: JobOption,
    *,
    now: Now = False,
    wait: Wait = 30,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Upload a file for a job, and print the id of the run that it starts.

    The job file is checked before anything is uploaded. A nightly job's file waits for the night, that of a job with
    `schedule: manifest` for a manifest, unless --now.
    """
    here = find(stack, local=local)
    start = Start(here, usable_job(here, job), now, wait)
    key = f"inbox/{job}/{file.name}"
    if dry_run:
        start.tell(file, key, json=json)
    else:
        start.follow(start.upload(file, key), json=json)


def usable_job(stack: Stack, name: str) -> Job:
    """Return the newest version of a job, as a run of today would take it.

    Raises:
        BadJob: there is none, or it cannot be used.
    """
    ref, text = stack.inputs().job(name)
    return parse_job(text, name=name, key=ref.key, today=stack.clock().date())


def _record(
    ref: InputRef, run_id: RunId | None, state: str, run: Run | None = None, stack: Stack | None = None
) -> Mapping[str, Any]:
    """Return what --json has of a file and of the run that it starts."""
    return {
        "run_id": run_id,
        "state": state,
        "hold": run.hold if run is not None else None,
        "ways_out": ways_out(run, stack) if run is not None and stack is not None else [],
        "input": {"bucket": ref.bucket, "key": ref.key, "version_id": ref.version_id, "size": ref.size},
    }


def _say_more(run: Run, stack: Stack) -> None:
    if run.hold is None:
        say(f"see {stack.command(f'show {run.run_id}')}")
        return
    say(f"held, {run.hold.code}: {run.hold.reason}")
    for way in ways_out(run, stack):
        say(f"  → {way}")


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps(event)


def _appeared(ledger: DynamoLedger, run_id: RunId, wait: float) -> Run | None:
    """Wait for a run to be in the ledger, up to `wait` seconds."""
    until = time.monotonic() + wait
    while True:
        try:
            return ledger.run(run_id)
        except RunNotFound:
            if time.monotonic() >= until:
                return None
        time.sleep(GLANCE)
