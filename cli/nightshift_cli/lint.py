"""`nightshift lint`: what the API would refuse or waste of a job, before anything is stored or sent. Needs no AWS."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from nightshift import clock
from nightshift.errors import BadJob
from nightshift.job import Job, parse_job
from nightshift.job_files import with_files
from nightshift.yaml_lines import load
from nightshift_cli.console import put, put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.lint_input import Tried, of_the_file, of_the_job, try_rows
from nightshift_cli.lint_warnings import Severity, Warned, warnings
from nightshift_cli.options import AsJson

ROWS = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of what is wrong."""

    file: str
    line: int
    severity: Severity
    reason: str


def lint(
    job: Annotated[
        Path, typer.Argument(metavar="JOB", exists=True, dir_okay=False, readable=True, help="A job file, JOB.yaml.")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", exists=True, dir_okay=False, readable=True, help="Rows for it.")
    ] = None,
    *,
    rows: Annotated[int, typer.Option(min=1, help="How many of them are tried.")] = ROWS,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    json: AsJson = False,
) -> None:
    """Say what the API would refuse of a job, or waste: FILE:LINE: SEVERITY: REASON.

    With INPUT, the first rows are read and rendered as a run would; those that it would reject are counted by their
    reasons.
    """
    try:
        text = with_files(job)
        parsed = parse_job(text, name=job.stem, key=str(job), today=clock.now().date())
    except BadJob as error:
        found, tried = [*_refused(error, str(job))], None
    else:
        tried = try_rows(parsed, file, rows) if file is not None else None
        found = [*_found(parsed, text, job, file, tried)]
    if json:
        put_json({"problems": [asdict(each) for each in found], "input": tried and _counts(tried)})
    else:
        for each in found:
            put(f"{each.file}:{each.line}: {each.severity}: {each.reason}")
        _sum_up(found, tried)
    if {each.severity for each in found} & ({Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}):
        raise typer.Exit(Exit.FOUND)


def _refused(error: BadJob, key: str) -> Iterator[Problem]:
    """Yield the lines of a file that is no job."""
    for text in str(error).splitlines():
        line, reason = text.removeprefix(f"{key}:").split(":", 1)
        yield Problem(key, int(line), Severity.ERROR, reason.strip())


def _found(parsed: Job, text: bytes, job: Path, file: Path | None, tried: Tried | None) -> Iterator[Problem]:
    """Yield what is wrong with a job, by line, and then with its rows."""
    document = load(text)
    told: list[Warned] = [*warnings(parsed, clock.now().date()), *(of_the_job(parsed, tried) if tried else ())]
    for path, severity, reason in sorted(told, key=lambda each: document.line(each[0])):
        yield Problem(str(job), document.line(path), severity, f"{'.'.join(map(str, path))}: {reason}")
    for line, severity, reason in of_the_file(tried) if tried else ():
        yield Problem(str(file), line, severity, reason)


def _counts(tried: Tried) -> dict[str, object]:
    return {"rows": tried.rows, "rejected": tried.codes}


def _sum_up(found: list[Problem], tried: Tried | None) -> None:
    counted = ", ".join(f"{n} {s}s" for s in Severity if (n := sum(each.severity is s for each in found)))
    say(re.sub(r"\b(1 \w+)s\b", r"\1", counted) or "nothing to mend")
    if tried is not None:
        say(f"tried the first {tried.rows:,} rows: {sum(tried.rejects.values()):,} would be rejected")
