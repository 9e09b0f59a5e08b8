"""`nightshift retry`: the rows of a run that have no answer, once more: as a file of their own, and so a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from nightshift.errors import BadInput
from nightshift.input_codes import InputCode
from nightshift.intake import run_id_for
from nightshift.job_sections import ROW_NUMBER
from nightshift.model import InputRef, RowClass, RunId, StepKind
from nightshift.money import dollars, usd
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import console, put, put_json, say
from nightshift_cli.exits import Refused
from nightshift_cli.failed_rows import FailedRows, answered_since, failed_rows
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.page import OVER, put_lines
from nightshift_cli.stack import Stack, find
from nightshift_cli.submit import Now, Start, Wait, usable_job
from nightshift_cli.view import view

MOST_REASONS = 5
"""Reasons that are told; the others are counted."""

COLLECTED = OVER | {StepKind.REPORT, StepKind.VERIFY}
"""Steps of a run of which all that was sent is collected: `failed/` is whole."""

BLOCK = 1 << 20
"""Bytes that are compared at once."""


class Again(StrEnum):
    """Classes of rows that can be asked again; each is one of model.RowClass."""

    ERRORED = RowClass.ERRORED.value
    EXPIRED = RowClass.EXPIRED.value
    CANCELED = RowClass.CANCELED.value
    MISSING = RowClass.MISSING.value
    INVALID = RowClass.INVALID.value
    REFUSED = RowClass.REFUSED.value


USUAL = tuple(each for each in Again if each is not Again.REFUSED)
"""Those that are asked again where none is named: the same request is refused again, and some refusals are billed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be asked again, and what is to be known before."""

    failed: FailedRows
    ref: InputRef
    """Where the file goes; no version yet, unless it is there already."""
    newer: Mapping[str, int]
    """Runs that have answered some of the rows since → how many."""

    @property
    def bound(self) -> int | None:
        """What they cost at most, in picodollars, by the run's own estimate; None where it has none."""
        run = self.failed.run
        of = run.revised or run.estimate
        return -(-of.bound * len(self.failed.rows) // of.rows) if of is not None and of.rows else None

    @property
    def uploaded(self) -> bool:
        """True where this very file was uploaded before."""
        return bool(self.ref.version_id)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person reads, label and text."""
        rows, run = self.failed.rows, self.failed.run
        yield "run", run.run_id
        yield "again", f"{len(rows):,} rows: {', '.join(f'{n:,} {name}' for name, n in self.failed.classes.items())}"
        reasons = list(self.failed.reasons.items())
        told = [f"{count:,} {reason}" for reason, count in reasons[:MOST_REASONS]]
        others = sum(count for _, count in reasons[MOST_REASONS:])
        yield "because", "\n".join([*told, *[f"{others:,} for other reasons"] * bool(others)])
        before = ", which is there already: its run goes on" if self.uploaded else ""
        yield "file", f"s3://{self.ref.bucket}/{self.ref.key} ({self.ref.size:,} bytes){before}"
        bound = self.bound
        yield "cost", "not known" if bound is None else f"{dollars(bound)} at most, by the run's own estimate"
        if len(rows) == run.rows:
            yield "held", "as SAME_ROWS, where neither job nor rows have changed: resume it with --approve"
        for newer, count in self.newer.items():
            yield "newer", f"{count:,} of these rows are answered by {newer}: the older text would be asked, and win"

    def record(self) -> Mapping[str, Any]:
        """Return what --json has of it."""
        return {
            "retried": self.failed.run.run_id,
            "rows": len(self.failed.rows),
            "classes": self.failed.classes,
            "reasons": self.failed.reasons,
            "file": {"bucket": self.ref.bucket, "key": self.ref.key, "size": self.ref.size, "uploaded": self.uploaded},
            "bound_usd": None if self.bound is None else float(usd(self.bound)),
            "answered_since": self.newer,
        }


def retry(
    run: RunArgument,
    *,
    classes: Annotated[
        list[Again] | None,
        typer.Option(
            "--class", help="Only rows of this class; may be said again. All but refused, where none is.",
            show_default=False,
        ),
    ] = None,
    now: Now = False,
    wait: Wait = 30,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:  # fmt: skip
    """Ask the rows of a finished run again that have no answer, and only these: they become a file, and a run.

    They are read from the run's inputs, as those were, and uploaded as inbox/JOB/retry-RUN.jsonl, or whatever format
    the job's is. The run uses the newest job file. Said again, with nothing changed meanwhile, it shows the run that
    it started.
    """
    here = find(stack, local=local)
    failed = _failed(here, RunId(run), classes or USUAL)
    job = usable_job(here, failed.run.job.name)
    now_takes, was = job.input.format, failed.job.input.format
    if now_takes != was:
        raise Refused(f"the run's inputs are {was}, and job {job.job} takes {now_takes} by now")
    start = Start(here, job, now or job.schedule == "manifest", wait)  # no manifest will name the file
    with TemporaryDirectory(prefix="nightshift-") as folder:
        file = Path(folder) / f"retry-{run}.{was}"
        with console(stderr=True).status("reading the run's inputs"):
            proposal = _propose(here, failed, file, job.input.sheet)
        told = proposal.record()
        if not json:
            put_lines(proposal.lines(), say if yes else put)  # with --yes, stdout is the new run's id
        if not wanted("Ask these rows again?", yes=yes, dry_run=dry_run, told=told if json else None):
            put_json(told) if json else nothing_done()
            return
        ref = proposal.ref if proposal.uploaded else start.upload(file, proposal.ref.key)
    start.follow(ref, json=json, fresh=not proposal.uploaded, told=told)


def _failed(stack: Stack, run_id: RunId, named: Sequence[Again]) -> FailedRows:
    """Return the rows of a finished run that are to be asked again, or refuse."""
    seen = view(stack, run_id)
    if seen.step.kind not in COLLECTED:
        raise Refused(f"run {run_id} is not finished; {stack.command(f'watch {run_id}')} tells when it is")
    classes = frozenset(RowClass(each.value) for each in named)
    failed = failed_rows(seen.summary.run, stack.ledger(), stack.results(), classes)
    if failed.job.input.id == ROW_NUMBER:
        raise Refused(
            f"the rows of run {run_id} have no ids of their own: each is named for its place in its file (input.id: "
            "row_number), and would have another name in a file of the failed ones. Submit them in a file of your own."
        )
    if not failed.rows:
        look = stack.command(f"show {run_id}")
        raise Refused(f"run {run_id} has no row that is {' or '.join(named)}; {look} tells what it has")
    return failed


def _propose(stack: Stack, failed: FailedRows, file: Path, sheet: str | None) -> Proposal:
    inputs, key = stack.inputs(), f"inbox/{failed.run.job.name}/{file.name}"
    with file.open("wb") as stream:
        failed.write(inputs, stream, sheet=sheet)
    newer = answered_since(failed.run, stack.ledger(), stack.results(), failed.ids)
    if (standing := _standing(stack, key, file)) is None:
        return Proposal(failed, _planned(stack, key, file), newer)
    own = run_id_for(failed.run.job.name, standing)
    return Proposal(failed, standing, {name: count for name, count in newer.items() if name != own})


def _planned(stack: Stack, key: str, file: Path) -> InputRef:
    return InputRef(stack.outputs["InputBucketName"], key, "", file.stat().st_size, stack.clock())


def _standing(stack: Stack, key: str, file: Path) -> InputRef | None:
    """Return the version of the object where it is this very file already."""
    inputs = stack.inputs()
    try:
        ref = inputs.pin(key)
    except BadInput as error:
        if error.code == InputCode.GONE:
            return None
        raise
    if ref.size != file.stat().st_size:
        return None
    with inputs.open(ref) as there, file.open("rb") as here:
        while block := here.read(BLOCK):
            if there.read(len(block)) != block:
                return None
    return ref
