"""Verifying: a sample of a finished run is asked once more, of the synchronous API, and both answers are compared.

The run is done and its tickets are written: nothing here can change that, and there is no way from here to a ticket.
It costs money, so it says first how much at most, reserves that in the month, and never spends more. A row is marked
before it is asked, and a marked row is never asked again, whoever dies: what came of it may then not be known, and
counts as what it could cost at most.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift import run_files
from nightshift.answers import answer_reader
from nightshift.budgeting import month_of
from nightshift.errors import Ambiguous, ApiError, NoMoney, Redirected, Unauthorized
from nightshift.model import Run, RunId, RunState, Verifying
from nightshift.money import PriceSheet, dollars
from nightshift.ports import BatchApi, Clock, Ledger, Outputs
from nightshift.proposing import Proposal, Wish, asked_of, propose
from nightshift.sampling import Sampled
from nightshift.verification import Verification, answered, errored, kept, mark, succeeded, words, written

ROW_SECONDS = 120.0
"""So long an answer is waited for; no row is asked that could not have all of it."""

MARGIN = timedelta(seconds=60)
"""Kept at the end of an invocation, for the comparison, the report, and the money."""

FAILURES = 3
"""So many errors of the API in a row end a sample: the next row would hardly fare better."""

HOPELESS = (Unauthorized, NoMoney, Redirected)
"""Errors that end it at once: only a person helps."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification came to, for its log line. Never holds an answer."""

    asked: int = 0
    answered: int = 0
    agree: int = 0
    spent: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies runs."""

    ledger: Ledger
    api: BatchApi
    outputs: Outputs
    report: Callable[[RunId], object]
    """Has a run's report written again."""
    clock: Clock
    cap: int | None
    """Of a month, in picodollars; None: there is none."""

    def verify(self, run_id: RunId, wish: Wish, *, owner: str, deadline: datetime) -> Verified:
        """Ask a run's sample, compare, and write both comparison and report. The API's troubles are in them.

        Args:
            run_id: a run that is done; of another, nothing is asked.
            wish: what a person wants.
            owner: uuid of this invocation.
            deadline: when this invocation must be dead.

        Raises:
            Conflict: somebody else began to verify it at the same moment.
        """
        run, now = self.ledger.run(run_id), self.clock()
        if run.state is not RunState.DONE:
            return Verified(note="the run is not done")
        if run.verifying is not None and run.verifying.until > now:
            return Verified(note="somebody verifies the run already")
        proposal = propose(self.outputs, run, self.ledger.chunks(run_id), wish)
        if run.verifying is not None:  # its verifier has died: what that spent is settled before more is reserved
            self.ledger.end_verify(run, proposal.spent, done=False)
            run = self.ledger.run(run_id)
        mine = Verifying(owner, deadline, month_of(now), proposal.said)
        note = self._reserve(run, mine) or proposal.refusal
        if not note and run.prices is not None:
            note = self._ask(run, proposal, run.prices, deadline - MARGIN)
        return self._finish(self.ledger.run(run_id), proposal, note)

    def _reserve(self, run: Run, mine: Verifying) -> str:
        """Become the run's verifier; say why there is no money for it, where there is none."""
        if self.ledger.start_verify(run, mine, self.cap):
            return ""
        self.ledger.start_verify(run, replace(mine, said=0), self.cap)
        committed = self.ledger.budget(mine.month).committed
        return (
            f"nothing was asked: {dollars(committed)} of {mine.month} are spent or reserved, the sample may cost "
            f"{dollars(mine.said)}, and the stack's MonthlyCapUsd is {dollars(self.cap or 0)}"
        )

    def _ask(self, run: Run, proposal: Proposal, prices: PriceSheet, stop_at: datetime) -> str:
        """Ask the rest of the sample, as far as money and time go; say why it ended early, where it did."""
        left, failures = proposal.said, 0
        for row in proposal.rest:
            if row.bound > left:
                return f"ended early: the next row may cost {dollars(row.bound)}, and {dollars(left)} are left"
            if self.clock() + timedelta(seconds=ROW_SECONDS) > stop_at:
                return "ended early: time was up"
            if not self.outputs.replace(run_files.asked(run.run_id, row.outcome.custom_id), mark(row.bound), ""):
                continue  # somebody has asked it after all
            if self.clock() > stop_at:  # frozen before the mark: whoever came after may have counted the marks by now
                return "ended early: time was up"
            line, error = self._answer(row, proposal.job.beta_header)
            self.outputs.put(run_files.answered(run.run_id, row.outcome.custom_id), line)
            left -= answered(row.bound, line, answer_reader(proposal.job.output, proposal.job.params), prices).spent
            failures = failures + 1 if error is not None else 0
            if isinstance(error, HOPELESS):
                return f"ended early: {words(error)}"
            if failures == FAILURES:
                return f"ended early: the API failed {FAILURES} times in a row, at last with {type(error).__name__}"
        return ""

    def _answer(self, row: Sampled, betas: str) -> tuple[bytes, ApiError | None]:
        """Ask a row; return what is to be kept of that, and the API's error."""
        begun = self.clock()
        try:
            message = self.api.message(row.params, ROW_SECONDS, betas)
        except ApiError as error:
            # An error of the API's own is not billed; where the answer was lost, nobody knows.
            perhaps = isinstance(error, Ambiguous) and not error.answered
            return kept(row.outcome.custom_id, errored(error), latency=None, billed=perhaps), error
        latency = round((self.clock() - begun).total_seconds(), 3)
        return kept(row.outcome.custom_id, succeeded(message), latency=latency, billed=True), None

    def _finish(self, run: Run, proposal: Proposal, note: str) -> Verified:
        """Compare what was kept, settle the money, and have the report written again."""
        asked = asked_of(self.outputs, run, proposal.job)
        said = proposal.spent + (run.verifying.said if run.verifying is not None else 0)
        is_text = proposal.job.output.text is not None
        record = Verification(proposal.sample, asked, is_text, said, note).record()
        self.outputs.put(run_files.verification(run.run_id), written(record))
        spent = sum(each.spent for each in asked.values())
        self.ledger.end_verify(run, spent, done=True)
        self.report(run.run_id)
        return Verified(record["asked"], record["answered"], record["agree"], dollars(spent), record["note"])
