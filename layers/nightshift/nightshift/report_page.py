"""The page of a report: report.html, for people. A function of report.json, and whole in itself.

It has no script and asks the network for nothing. What came from data is text: the template escapes it, and puts none
of it into addresses, styles or scripts.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from nightshift import report_charts, report_words
from nightshift.report_model import Compared, Report

MOST_BATCHES, MOST_INPUTS, MOST_COMPARED = 200, 20, 50
"""Rows of the longest tables; report.json has all of them."""

FEW = 12
"""Answers that are in sight; the others unfold."""

MOST_WORDS = 4000
"""Characters of a hold's reason: a bad job may have a line for each of its fields."""


def page(report: Report) -> bytes:
    """Return a report's page."""
    costs = [batch.cost_usd for batch in report.batches[:MOST_BATCHES] if batch.cost_usd is not None]
    text = _template().render(
        report=report,
        prices=report_charts.price_bars(report),
        kinds=report_charts.kind_rows(report),
        outcomes=report_charts.outcome_bars(report),
        answers=report_charts.bars(report.answers, "paid"),
        reasons=report_charts.bars(report.reasons, "bad"),
        changes=[(count, report_words.CHANGES[change]) for change, count in report.changes.items()],
        reject_codes=report_charts.bars(report.reject_codes, "rest"),
        phases=report_charts.phases(report),
        interval=report_charts.interval(report),
        batches=report.batches[:MOST_BATCHES],
        batch_costs=report_words.column(costs),
        inputs=report.inputs[:MOST_INPUTS],
        paired=report_charts.paired_rows(report),
        compared=_worst_first(report),
        few=FEW,
        most_words=MOST_WORDS,
    )
    return text.encode()


def _worst_first(report: Report) -> list[Compared]:
    """Return the rows of the verification, those that a person should look at first."""
    if report.verification is None:
        return []
    return sorted(report.verification.rows, key=lambda row: (row.agrees is True, row.agrees is None))[:MOST_COMPARED]


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (
        report_words.answer,
        report_words.count,
        report_words.duration,
        report_words.moment,
        report_words.money,
        report_words.octets,
        report_words.percent,
        report_words.sentence,
    ):
        environment.filters[write.__name__] = write
    return environment.get_template("report.html.j2")
