"""The page of a month: costs.html. It looks as a run's report does, has no script, and asks the network for nothing.

What came from data is text: the template escapes it, and puts none of it into addresses, styles or scripts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from nightshift import report_words
from nightshift.money import usd
from nightshift.report_sections import in_usd
from nightshift_cli.month import Costs, Month

FOLDERS = (Path(__file__).parent, Path(report_words.__file__).parent)
"""Of the page, and of the style sheet that it shares with the report."""

THIN = 0.6
"""The least height of what is there at all, in percent."""

LABELLED = 5
"""Every so many days the chart names one."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of the chart: what its runs cost, before what they would have cost at once. In percent."""

    day: date
    costs: Costs
    left: float
    width: float
    paid: float
    synchronous: float

    @property
    def labelled(self) -> bool:
        """Whether the chart names the day."""
        return self.day.day == 1 or self.day.day % LABELLED == 0


def page(month: Month, now: datetime) -> bytes:
    """Return a month's page, as it is now."""
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in FOLDERS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (report_words.count, report_words.moment, report_words.money, report_words.percent):
        environment.filters[write.__name__] = write
    environment.filters["usd"] = in_usd
    committed = float(usd(month.budget.committed))
    template = environment.get_template("costs.html.j2")
    return template.render(
        month=month,
        title=f"{datetime.strptime(month.name, '%Y-%m'):%B %Y}",  # noqa: DTZ007 - a month has no zone
        now=now,
        bars=(bars := day_bars(month)),
        most=max(bar.costs.synchronous for bar in bars),
        single=Costs,
        used=min(100.0, 100 * committed / float(usd(month.cap))) if month.cap else 0.0,
    ).encode()


def day_bars(month: Month) -> Sequence[Bar]:
    """Return a bar for each day of the month."""
    first = date.fromisoformat(f"{month.name}-01")
    days = ((first + timedelta(days=31)).replace(day=1) - first).days
    groups = month.costs.by(lambda each: each.run.created.date().isoformat())
    most = max((each.synchronous for each in groups.values()), default=0)
    found = []
    for index in range(days):
        day = first + timedelta(days=index)
        costs, step = groups.get(day.isoformat(), Costs([])), 100 / days
        paid, synchronous = (_height(amount, most) for amount in (costs.paid, costs.synchronous))
        found.append(Bar(day, costs, round(index * step, 3), round(step * 0.8, 3), paid, synchronous))
    return found


def _height(part: int, whole: int) -> float:
    return round(max(THIN, 100 * part / whole), 2) if part and whole else 0.0
