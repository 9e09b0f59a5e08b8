"""Arguments and options that several commands take."""

import os
import re
from typing import Annotated

import typer

from nightshift.model import JOB_NAME

DEFAULT_STACK = "nightshift"
STACK_VARIABLE = "NIGHTSHIFT_STACK"


def default_stack() -> str:
    """Return the stack that is meant where none is named."""
    return os.environ.get(STACK_VARIABLE) or DEFAULT_STACK


def _job_name(name: str) -> str:
    if not re.fullmatch(JOB_NAME, name):
        raise typer.BadParameter("a job's name is a-z, 0-9 and -, at most 50 characters")
    return name


def _month(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", name):
        raise typer.BadParameter("a month is YYYY-MM")
    return name


StackName = Annotated[
    str,
    typer.Option(
        "--stack",
        metavar="NAME",
        envvar=STACK_VARIABLE,
        help="The CloudFormation stack; account and region are those of your AWS settings.",
    ),
]
Local = Annotated[bool, typer.Option("--local", help="The local cloud that `make local` runs, instead of AWS.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, from `nightshift runs`.")]
JobOption = Annotated[
    str, typer.Option("--job", metavar="JOB", callback=_job_name, help="The job, as in jobs/JOB.yaml.")
]
Month = Annotated[
    str | None,
    typer.Option(
        "--month", metavar="YYYY-MM", callback=_month, help="A calendar month (UTC); the present one by default."
    ),
]
