"""`nightshift estimate`: what a file would cost, before it is uploaded; or what a run was thought to cost, and has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from nightshift.budgeting import month_of
from nightshift.errors import ApiError
from nightshift.job import Job, parse_job
from nightshift.job_files import with_files
from nightshift.model import Budget, Estimate, Hold, JobRef, Run, RunId
from nightshift.money import dollars, usd
from nightshift.report_sections import cost, tokens
from nightshift_cli.console import put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.page import NONE, put_lines
from nightshift_cli.rehearsal import Rehearsal, Rehearsed, money_holds
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import Summary

FILES = frozenset({".yaml", ".yml"})
"""How a job file's name ends; whatever ends otherwise is a job of the stack."""


def estimate(
    what: Annotated[str, typer.Argument(metavar="FILE|RUN", help="A file of rows, with --job; or a run's id.")],
    *,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="The job, as in jobs/JOB.yaml; or a job file.")
    ] = None,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Say what a file would cost, before anything is uploaded or spent; or how a run's estimate turned out.

    The file is planned here as a run would plan it, and the API counts the tokens of a sample, free of charge.
    """
    here = find(stack, local=local)
    if job is None:
        ledger = here.ledger()
        _show(Stored(Summary(ledger.run(RunId(what)), ledger.chunks(RunId(what)))), json=json)
        return
    file = Path(what)
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {what}")
    preview = _preview(here, file, job)
    _show(preview, json=json)
    if preview.holds:
        raise typer.Exit(Exit.HELD)


def _show(what: "Preview | Stored", *, json: bool) -> None:
    if json:
        put_json(what.record())
    else:
        put_lines(what.lines())


def _preview(stack: Stack, file: Path, name: str) -> "Preview":
    from nightshift_cli.api import batches  # noqa: PLC0415 - the SDK takes a second

    ref, text = _job_file(stack, name)
    job = parse_job(text, name=ref.name, key=ref.key, today=stack.clock().date())
    with closing(batches(stack)) as api, TemporaryDirectory(prefix="nightshift-") as folder:
        try:
            api.probe()
        except ApiError as error:
            say(f"tokens are guessed from bytes, for the API does not count them: {error}")
        rehearsed = Rehearsal(file, ref, text, Path(folder), api, stack.clock).plan()
    month = month_of(stack.clock())
    budget, cap = stack.ledger().budget(month), stack.monthly_cap
    holds = [*rehearsed.holds, *money_holds(rehearsed, budget, cap, stack.clock)]
    return Preview(file, job, rehearsed, holds, month, budget, cap)


def _job_file(stack: Stack, name: str) -> tuple[JobRef, bytes]:
    path = Path(name)
    if path.suffix not in FILES:
        return stack.inputs().job(name)
    if not path.is_file():
        raise typer.BadParameter(f"there is no job file {name}")
    return JobRef(path.stem, str(path), "this machine's"), with_files(path)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would cost."""

    file: Path
    job: Job
    rehearsed: Rehearsed
    holds: Sequence[Hold]
    month: str
    budget: Budget
    cap: int | None
    """Of the month, in picodollars."""

    @property
    def rows(self) -> int:
        """Rows that would be sent."""
        return sum(chunk.rows for chunk in self.rehearsed.chunks)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person reads, label and text."""
        run, pilot = self.rehearsed.run, self.job.pilot
        yield "file", f"{self.file}, for job {run.job.name} ({run.job.key})"
        if not run.planned:
            yield "held", _held(self.holds)
            return
        yield "rows", self._rows()
        if run.estimate is not None:
            yield from _estimate_lines(run.estimate)
        else:
            yield "expected", "not known: the model has no price" if run.prices is None else "nothing would be sent"
        if run.caching is not None:
            yield "cache", run.caching.why
        above = f"none: a run has one above {pilot.above:,} rows" if pilot is not None else "none: the job wants none"
        yield "pilot", f"{run.pilot:,} rows, alone, before the rest is sent" if run.pilot else above
        if run.prices is not None:
            yield "prices", f"of {run.prices.model}, by {run.prices.source}, {run.prices.on}"
        yield "caps", self._caps()
        yield "held", _held(self.holds) if self.holds else "no"

    def _rows(self) -> str:
        others = ", ".join(f"{count:,} {code}" for code, count in sorted(self.rehearsed.rejects.items()))
        sent = f"{self.rows:,} would be sent, in {len(self.rehearsed.chunks):,} batches"
        return f"{self.rehearsed.run.rows:,}: {sent}" + f"; not: {others}" * bool(others)

    def _caps(self) -> str:
        limit, committed = self.rehearsed.run.max_usd, dollars(self.budget.committed)
        run = f"{dollars(limit)} for a run (limits.max_usd)" if limit else "none for a run (limits.max_usd)"
        if self.cap is None:
            return f"{run}\nnone for the month; {committed} of {self.month} are spent or reserved"
        return f"{run}\n{dollars(self.cap)} for the month; {committed} of {self.month} are spent or reserved"

    def record(self) -> Mapping[str, Any]:
        """Return what `estimate --json` has of a file."""
        run = self.rehearsed.run
        return {
            "file": str(self.file),
            "job": run.job,
            "rows": run.rows,
            "sent": self.rows,
            "batches": len(self.rehearsed.chunks),
            "reject_codes": self.rehearsed.rejects,
            "estimate": _record(run.estimate),
            "cache": run.caching,
            "pilot": run.pilot,
            "prices": run.prices and {"model": run.prices.model, "source": run.prices.source, "on": run.prices.on},
            "max_usd": float(usd(run.max_usd)) if run.max_usd else None,
            "month": self.month,
            "month_committed_usd": float(usd(self.budget.committed)),
            "monthly_cap_usd": None if self.cap is None else float(usd(self.cap)),
            "holds": [{"code": hold.code, "reason": hold.reason} for hold in self.holds],
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run was thought to cost, and what it has cost."""

    summary: Summary

    @property
    def run(self) -> Run:
        """The run."""
        return self.summary.run

    @property
    def accounted(self) -> bool:
        """True when every row is in a class."""
        return self.run.planned and sum(self.summary.total.rows.values()) == self.run.rows

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person reads, label and text."""
        yield "run", self.run.run_id
        if self.run.estimate is None:
            yield "expected", "not known: the model has no price" if self.run.planned else "not estimated yet"
        else:
            yield from _estimate_lines(self.run.estimate)
        if self.run.revised is not None and self.run.revised != self.run.estimate:
            yield "then", "by its pilot:"
            yield from _estimate_lines(self.run.revised)
        total, rest = self.summary.total, "" if self.accounted else " so far"
        paid, used = sum(total.paid.values()), tokens(total)
        prompt = sum(count for kind, count in used.items() if kind not in {"output", "web_search"})
        error = cost(self.run, total, accounted=self.accounted).estimate_error
        off = "" if error is None else f": {100 * abs(error):.1f} % {'more' if error > 0 else 'less'} than expected"
        yield "actual", f"{dollars(paid)}{rest}{off}"
        yield "", f"{prompt:,} tokens of prompts, {used['output']:,} of answers"

    def record(self) -> Mapping[str, Any]:
        """Return what `estimate --json` has of a run."""
        money = cost(self.run, self.summary.total, accounted=self.accounted)
        return {
            "run_id": self.run.run_id,
            "estimate": _record(self.run.estimate),
            "revised": _record(self.run.revised),
            "actual_usd": None if money.actual_usd is None else float(money.actual_usd),
            "tokens": tokens(self.summary.total),
            "accounted": self.accounted,
            "estimate_error": money.estimate_error,
        }


def _held(holds: Sequence[Hold]) -> str:
    return "\n".join(f"{hold.code}: {hold.reason}" for hold in holds) or NONE


def _estimate_lines(of: Estimate) -> Iterator[tuple[str, str]]:
    saved = of.synchronous - of.expected
    ratio = f" ({100 * saved / of.synchronous:.0f} %)" if of.synchronous else ""
    interval = f"from {dollars(of.low)} to {dollars(of.high)}"
    yield "expected", f"{dollars(of.expected)}, {interval}; {dollars(of.bound)} at most"
    yield "at once", f"{dollars(of.synchronous)} by the synchronous API; {dollars(saved)} saved{ratio}"
    counted = f"counted on {of.sample:,} rows" if of.sample else "guessed from bytes"
    yield "tokens", f"{of.input_tokens:,} of prompts, {counted}; {of.output_tokens:,} of answers, from {of.basis}"


def _record(of: Estimate | None) -> Mapping[str, Any] | None:
    if of is None:
        return None
    return {
        **{
            f"{name}_usd": float(usd(getattr(of, name)))
            for name in ("expected", "low", "high", "bound", "synchronous", "input_cost")
        },
        "rows": of.rows,
        "input_tokens": of.input_tokens,
        "output_tokens": of.output_tokens,
        "sample": of.sample,
        "basis": of.basis,
        "at": of.at,
    }
