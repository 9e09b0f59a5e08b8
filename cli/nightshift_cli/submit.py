"""`nightshift submit`: a file into a job's inbox, and the run that it starts."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import RunNotFound
from nightshift.intake import run_id_for
from nightshift.job import parse_job
from nightshift.model import InputRef, Run, RunId
from nightshift.trigger import HAND
from nightshift_cli.console import console, put, say
from nightshift_cli.exits import Exit
from nightshift_cli.mending import ways_out
from nightshift_cli.options import DEFAULT_STACK, JobOption, Local, StackName
from nightshift_cli.stack import Stack, find

GLANCE = 0.5
"""Seconds between two looks for the run."""


def submit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="JSON Lines or CSV.")
    ],
    job: JobOption,
    *,
    now: Annotated[bool, typer.Option("--now", help="A nightly job, too: do not wait for the night.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the run to appear.")] = 30,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Upload a file for a job, and print the id of the run that it starts.

    The job file is checked before anything is uploaded. A nightly job's file waits for the night, unless --now.
    """
    here = find(stack, local=local)
    inputs = here.inputs()
    job_ref, text = inputs.job(job)
    nightly = parse_job(text, name=job, key=job_ref.key, today=here.clock().date()).schedule == "nightly"
    ref = _upload(here, file, f"inbox/{job}/{file.name}")
    say(f"uploaded s3://{ref.bucket}/{ref.key}")
    if nightly and not now:
        say(f"job {job} is nightly: the file waits for the night. To run it now: submit it with --now.")
        return
    if nightly:
        _start_by_hand(here, job, ref)
    _show(here, run_id_for(job, ref), wait)


def _upload(stack: Stack, file: Path, key: str) -> InputRef:
    stack.clients("s3").upload_file(str(file), stack.outputs["InputBucketName"], key)
    # An upload in parts does not tell its version. Should somebody else have written the same key since, theirs is
    # the version that is followed here, and both have their runs.
    return stack.inputs().pin(key)


def _start_by_hand(stack: Stack, job: str, ref: InputRef) -> None:
    """Invoke the submit function as the schedule would, for one file."""
    event = {"source": HAND, "job": job, "key": ref.key, "version_id": ref.version_id}
    stack.clients("lambda").invoke(
        FunctionName=stack.outputs["SubmitFunctionName"], InvocationType="Event", Payload=json.dumps(event)
    )


def _show(stack: Stack, run_id: RunId, wait: float) -> None:
    """Print the run's id once the ledger has it."""
    with console(stderr=True).status("waiting for the run"):
        run = _appeared(stack.ledger(), run_id, wait)
    if run is None:
        say(f"run {run_id} has not appeared within {wait:g} s. Look again with: {stack.command(f'show {run_id}')}")
        raise typer.Exit(Exit.NOT_SEEN)
    put(run_id)
    if run.hold is not None:
        say(f"held, {run.hold.code}: {run.hold.reason}")
        for way in ways_out(run, stack):
            say(f"  → {way}")
        raise typer.Exit(Exit.HELD)
    say(f"see {stack.command(f'show {run_id}')}")


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
