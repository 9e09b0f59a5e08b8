"""`nightshift costs`: what the runs of a month cost, would have cost at once, and were thought to cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nightshift.budgeting import month_of
from nightshift.money import dollars
from nightshift.report_sections import in_usd
from nightshift.report_words import column
from nightshift_cli.columns import Column, put_columns
from nightshift_cli.console import put, put_json, say
from nightshift_cli.month import Costs, Month, RunCost, read_month
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.options import Month as MonthOption
from nightshift_cli.page import NONE
from nightshift_cli.stack import find


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
        _put_runs(month.costs.runs)
        put("")
        _put_sums("job", month.by_job)
        put("")
        _put_sums("model", month.by_model)
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


def _put_runs(runs: Sequence[RunCost]) -> None:
    holds = [each.run.hold for each in runs]
    states = [
        each.summary.state if hold is None else f"held: {hold.code}" for each, hold in zip(runs, holds, strict=True)
    ]
    words = [
        Column("created", [f"{each.run.created:%Y-%m-%d %H:%M}Z" for each in runs], spare=6),
        Column("run", [each.run.run_id for each in runs]),
        Column("model", [each.model or NONE for each in runs], spare=7),
        Column("state", states, spare=5),
    ]
    _put_table(words, [Costs([each]) for each in runs])


def _put_sums(name: str, sums: Mapping[str, Costs]) -> None:
    runs = [str(len(each.runs)) for each in sums.values()]
    _put_table([Column(name, [each or NONE for each in sums]), Column("runs", runs, spare=5)], list(sums.values()))


def _put_table(words: Sequence[Column], sums: Sequence[Costs]) -> None:
    """Print sums beside what names them; `error` is how much more a run cost than estimated."""
    money = [[in_usd(value) for value in (each.paid, each.synchronous, each.saved)] for each in sums]
    told = column([amount for amounts in money for amount in amounts])
    paid, synchronous, saved = (
        [amount if each.priced else NONE for each, amount in zip(sums, told[kind::3], strict=True)] for kind in range(3)
    )
    errors = [NONE if each.error is None else f"{100 * each.error:+.1f} %" for each in sums]
    put_columns([
        *words,
        Column("rows", [f"{each.rows:,}" for each in sums], number=True, spare=3),
        Column("cost", paid, number=True),
        Column("at once", synchronous, number=True, spare=4),
        Column("saved", saved, number=True, spare=2),
        Column("error", errors, number=True, spare=1),
    ])  # fmt: skip
