"""`nightshift job …`: job files."""

import re
import sys
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nightshift import clock
from nightshift.errors import NoPrice
from nightshift.intake import waits_for
from nightshift.job import Job, parse_job
from nightshift.job_files import with_files
from nightshift.model import JOB_NAME
from nightshift.schema_rules import Problem
from nightshift_cli import console
from nightshift_cli.consent import DryRun, nothing_done
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.stack import find

app = typer.Typer(help="Job files: what to ask for each row.", no_args_is_help=True)


def _named_for_its_job(file: Path) -> Path:
    if file.suffix not in {".yaml", ".yml"} or not re.fullmatch(JOB_NAME, file.stem):
        raise typer.BadParameter("a job file is named JOB.yaml; JOB is a-z, 0-9 and -, at most 50 characters")
    return file


def price_problems(today: date, job: Job) -> Iterator[Problem]:
    """Yield why runs of a job would be held for want of a price."""
    from nightshift.prices import price_sheet  # noqa: PLC0415 - no other command waits for the price list

    if job.limits.unpriced == "send":
        return
    try:
        price_sheet(job.model, today)
    except NoPrice as error:
        yield ("model",), f"{error}: choose another model, or say `limits: {{unpriced: send}}`"


JobFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", exists=True, dir_okay=False, readable=True, callback=_named_for_its_job, help="JOB.yaml"
    ),
]


def _checked(file: Path, today: date) -> tuple[bytes, Job]:
    """Return a job file as it is stored, and the job."""
    text = with_files(file)
    return text, parse_job(text, name=file.stem, key=str(file), today=today, lint=partial(price_problems, today))


@app.command("put")
def put(
    file: JobFile,
    *,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Check a job file, and put it where runs find it; runs that have started keep the version they have.

    A file that cannot be used is not put: each reason is a line, FILE:LINE: REASON. What the job has in files beside it
    (`system: {file: NAME}`) is stored with it.
    """
    name, here = file.stem, find(stack, local=local)
    text, job = _checked(file, here.clock().date())
    bucket, key = here.outputs["InputBucketName"], f"jobs/{name}.yaml"
    if not dry_run:
        here.clients("s3").put_object(Bucket=bucket, Key=key, Body=text)
    if json:
        record = {"done": not dry_run, "job": name, "bucket": bucket, "key": key, "schedule": job.schedule}
        console.put_json(record)
        return
    console.put(f"s3://{bucket}/{key}")
    if dry_run:
        nothing_done()
        return
    event = waits_for(job, "FILE")
    when = f"waits for {event}" if event else "starts a run of its own"
    console.say(
        f"a file in s3://{bucket}/inbox/{name}/ {when}; {here.command(f'submit FILE --job {name}')} puts one there"
    )


@app.command("print")
def print_(file: JobFile) -> None:
    """Check a job file, and print it as `put` stores it: for whoever brings it to the bucket in another way.

    What the job has in files beside it stands in their place. Needs no AWS.
    """
    text, _ = _checked(file, clock.now().date())
    sys.stdout.buffer.write(text)
