"""`nightshift costs`: what the runs of a month cost, would have cost at once, and were thought to cost."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nightshift.budgeting import month_of
from nightshift.money import dollars
from nightshift.report_sections import in_usd
from nightshift.report_words import column
from nightshift_cli.console import console, put, put_json, say
from nightshift_cli.month import Costs, Month, RunCost, read_month
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.options import Month as MonthOption
from nightshift_cli.page import NONE, plain_table
from nightshift_cli.stack import find

NUMBERS = ("rows", "cost", "at once", "saved", "error")
"""The columns that every table has: the last says how much more a run cost than estimated."""


def costs(
    *,
    month: MonthOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write a page for people.")
    ] = None,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Say what the runs of a month cost, and what they saved, run by run, by job and by model."""
    here = find(stack, local=local)
    found = read_month(here, month or month_of(here.clock()))
    if html is not None:
        from nightshift_cli.costs_page import page  # noqa: PLC0415 - Jinja is for those who want a page

        html.write_bytes(page(found, here.clock()))
        say(f"written {html}")
    if json:
        put_json(found.record())
    elif html is None:
        _put(found)


def _put(month: Month) -> None:
    if month.costs.runs:
        _put_table(("created", "run", "model", "state"), _run_rows(month.costs.runs))
        put("")
        _put_table(("job", "runs"), [(name, str(len(sums.runs)), sums) for name, sums in month.by_job.items()])
        put("")
        _put_table(("model", "runs"), [(name or NONE, str(len(s.runs)), s) for name, s in month.by_model.items()])
        put("")
        ratio = f" ({100 * month.costs.saved_ratio:.0f} %)" if month.costs.saved_ratio is not None else ""
        saved = f"{dollars(month.costs.saved)} saved{ratio}"
        put(f"{dollars(month.costs.paid)} for {month.costs.rows:,} rows in {len(month.costs.runs):,} runs; {saved}")
        if month.unpriced.runs:
            put(f"{month.unpriced.rows:,} rows of {len(month.unpriced.runs):,} runs have no price: they are in no sum")
        if month.verified:
            put(f"{dollars(month.verified)} for verifications, beside that")
    else:
        say(f"no runs were created in {month.name}")
    put(month.budget_line)


def _run_rows(runs: Sequence[RunCost]) -> Iterator[tuple[str, str, str, str, Costs]]:
    for each in runs:
        hold = each.run.hold
        state = f"held: {hold.code}" if hold is not None else each.summary.state
        yield f"{each.run.created:%Y-%m-%d %H:%M}Z", each.run.run_id, each.model or NONE, state, Costs([each])


def _put_table(words: Sequence[str], rows: Iterator[Any] | Sequence[Any]) -> None:
    table, found = plain_table(words, NUMBERS), list(rows)
    money = [[in_usd(value) for value in (s.paid, s.synchronous, s.saved)] for *_, s in found]
    told = column([amount for amounts in money for amount in amounts])
    for index, (*names, sums) in enumerate(found):
        amounts = told[3 * index : 3 * index + 3] if sums.priced else [NONE] * 3
        table.add_row(*names, f"{sums.rows:,}", *amounts, NONE if sums.error is None else f"{100 * sums.error:+.1f} %")
    console().print(table)
