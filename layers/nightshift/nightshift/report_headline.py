"""The headline of a report: a run in one sentence, for whoever pays for it."""

from nightshift.model import HoldCode, RowClass, Run, Tally
from nightshift.money import dollars


def headline(run: Run, total: Tally, state: str) -> str:
    """Say what was answered, what it cost, and what it would have cost elsewhere."""
    answered = total.rows.get(RowClass.ANSWERED, 0)
    if not total.usage and not answered:
        return _nothing(run, total, state)
    return f"{_prefix(run, state)}{_answered(run, total, answered)}{_money(run, total)}"


def _nothing(run: Run, total: Tally, state: str) -> str:
    if state == "held" and run.hold is not None:
        return f"Held, and nothing was billed so far: {run.hold.code}"
    if state == "open":
        return "Nothing is billed so far: the run goes on"
    if not run.rows:
        return "There were no rows: nothing was asked, and nothing was paid"
    return f"None of {_rows(run.rows, total)} was answered, and nothing was billed"


def _prefix(run: Run, state: str) -> str:
    if state == "held" and run.hold is not None:
        return "Canceled: " if run.hold.code is HoldCode.CANCELED else f"Held ({run.hold.code}): "
    return "So far, " if state == "open" else ""


def _answered(run: Run, total: Tally, answered: int) -> str:
    if answered == run.rows:
        return f"{_rows(answered, total)} answered"
    return f"{answered:,} of {_rows(run.rows, total)} answered"


def _rows(count: int, total: Tally) -> str:
    noun = "ticket" if total.tickets_written + total.tickets_unchanged + total.tickets_refused else "row"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _money(run: Run, total: Tally) -> str:
    if run.prices is None:
        return "; what that cost is not known, because the model has no known price"
    paid, synchronous = sum(total.paid.values()), total.synchronous
    saved = synchronous - paid
    told = f" for {dollars(paid)}; the same work would have cost {dollars(synchronous)} synchronously: "
    if saved <= 0:
        return f"{told}nothing saved"
    return f"{told}{dollars(saved)} saved, {saved / synchronous:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
