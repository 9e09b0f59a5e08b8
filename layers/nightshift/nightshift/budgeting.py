"""Budgeting: money is reserved before anything is sent, on the run and on its month, once, and never beyond their caps.

What is reserved is the expectation, row by row. A row that ends gives back what was reserved for it and takes what it
cost (`Ledger.collected`); the rest is released when nothing more will be sent (`Ledger.settle_nothing_more`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nightshift import pilot, run_files
from nightshift.decision import PILOT, judgeable, reservable
from nightshift.errors import Conflict
from nightshift.estimating import raised_share, revised
from nightshift.job import Job, parse_job
from nightshift.model import Budget, Chunk, ChunkState, Estimate, Hold, HoldCode, Run, RunId
from nightshift.money import dollars
from nightshift.ports import Clock, Ledger, Outputs


@dataclass(frozen=True, slots=True)
class Budgeter:
    """Reserves a run's money, and corrects that when its pilot has answered."""

    ledger: Ledger
    outputs: Outputs
    clock: Clock
    cap: int | None
    """Of a month, in picodollars; None: there is none."""

    def prepare(self, run_id: RunId) -> None:
        """Do what must be done before a run may send: reserve, and judge its pilot. Holds the run where it may not."""
        run, chunks = self.ledger.run(run_id), self.ledger.chunks(run_id)
        if run.hold is not None or not run.planned:
            return
        if reservable(run, chunks) and not self._reserve(run, chunks):
            return
        run = self.ledger.run(run_id)
        if run.hold is None and judgeable(run, chunks):
            self._judge(run, chunks)

    def _reserve(self, run: Run, chunks: Sequence[Chunk]) -> bool:
        estimate = run.revised or run.estimate
        per_row, rows, now = self._per_row(run, chunks, estimate), rows_left(chunks), self.clock()
        if hold := over_run(run, per_row * rows, now):
            self.ledger.hold(run.run_id, hold)
            return False
        month = month_of(now)
        try:
            reserved = self.ledger.reserve(run, per_row=per_row, rows=rows, month=month, cap=self._cap(run))
        except Conflict:
            return False  # somebody else has done it, or the run is held: the next look sees
        if not reserved:
            self._hold_for_month(run, per_row * rows, month)
        return reserved

    def _judge(self, run: Run, chunks: Sequence[Chunk]) -> None:
        job = self._job(run)
        verdict = pilot.judge(self.outputs, job, next(chunk for chunk in chunks if chunk.id == PILOT))
        now = self.clock()
        if HoldCode.BAD_PILOT not in run.approved and (reason := verdict.bad(run, job)):
            self.ledger.hold(run.run_id, Hold(HoldCode.BAD_PILOT, reason, now))
            return
        estimate = revised(run, job, verdict.lengths)
        per_row, rows = self._per_row(run, chunks, estimate), rows_left(chunks)
        if hold := over_run(run, per_row * rows, now):
            self.ledger.hold(run.run_id, hold)
            return
        try:
            if not self.ledger.revise(run, estimate, per_row=per_row, rows=rows, cap=self._cap(run)):
                self._hold_for_month(run, per_row * rows - (run.reserved or 0), run.budget_month)
        except Conflict:
            return  # somebody else has judged it, or collected a chunk meanwhile: the next look sees

    def _per_row(self, run: Run, chunks: Sequence[Chunk], estimate: Estimate | None) -> int:
        """Return what is reserved for each row that has not ended: more, where some have a larger `max_tokens`."""
        share, rows = row_share(estimate), rows_left(chunks)
        here = [chunk for chunk in chunks if chunk.generation == run.generation]
        raised = sum(chunk.rows for chunk in here if chunk.raised and chunk.state is not ChunkState.COLLECTED)
        if not raised or estimate is None:
            return share
        return -(-((rows - raised) * share + raised * raised_share(run, self._job(run), estimate)) // rows)

    def _job(self, run: Run) -> Job:
        with self.outputs.open(run_files.job(run.run_id, run.plan)) as stream:
            return parse_job(stream.read(), name=run.job.name, key=run.job.key)

    def _cap(self, run: Run) -> int | None:
        return None if HoldCode.OVER_MONTH in run.approved else self.cap

    def _hold_for_month(self, run: Run, amount: int, month: str) -> None:
        if self.cap is not None:
            budget, now = self.ledger.budget(month), self.clock()
            self.ledger.hold(run.run_id, month_hold(run, budget, self.cap, amount, month, now))


def over(run: Run, budget: Budget, cap: int | None, now: datetime) -> Hold | None:
    """Return the hold of a run that has money reserved, where it or its month costs more than was expected."""
    if run.reserved is None:
        return None
    if hold := over_run(run, run.reserved, now):
        return hold
    if cap is not None and budget.committed > cap and HoldCode.OVER_MONTH not in run.approved:
        return month_hold(run, budget, cap, 0, run.budget_month, now)
    return None


def over_run(run: Run, more: int, now: datetime) -> Hold | None:
    """Return the hold of a run that would cost more than its job allows."""
    total = run.spent + more
    if not run.max_usd or total <= run.max_usd or HoldCode.OVER_MAX_USD in run.approved:
        return None
    estimate = run.revised or run.estimate
    bound = f" (at most {dollars(estimate.bound)})" if estimate is not None else ""
    reason = (
        f"the run is expected to cost {dollars(total)}{bound}, {dollars(total - run.max_usd)} more than limits.max_usd "
        f"of {run.job.key}, {dollars(run.max_usd)}: raise that, or send it anyway with "
        f"`nightshift resume {run.run_id} --approve`"
    )
    return Hold(HoldCode.OVER_MAX_USD, reason, now)


def month_hold(run: Run, budget: Budget, cap: int, amount: int, month: str, now: datetime) -> Hold:
    """Return the hold of a run for which its month has no room."""
    reason = (
        f"{dollars(budget.committed)} of {month} are spent or reserved, this run wants {dollars(amount)} more, and the "
        f"stack's MonthlyCapUsd is {dollars(cap)}: {dollars(budget.committed + amount - cap)} too much. Raise it, wait "
        f"for the next month, or send it anyway with `nightshift resume {run.run_id} --approve`"
    )
    return Hold(HoldCode.OVER_MONTH, reason, now)


def row_share(estimate: Estimate | None) -> int:
    """Return what is reserved for a row, in picodollars; nothing where there is no price."""
    return -(-estimate.expected // estimate.rows) if estimate is not None else 0


def rows_left(chunks: Sequence[Chunk]) -> int:
    """Return the rows of a plan that have not ended, as far as whole chunks are collected."""
    ended = sum(chunk.rows - chunk.tally.retryable for chunk in chunks if chunk.state is ChunkState.COLLECTED)
    return sum(chunk.rows for chunk in chunks if chunk.generation == 0) - ended


def month_of(now: datetime) -> str:
    """Return the calendar month (UTC) that a moment's money belongs to."""
    return f"{now:%Y-%m}"
