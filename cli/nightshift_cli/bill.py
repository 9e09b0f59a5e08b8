"""`nightshift bill`: the ledger held against the vendor's own usage and cost reports."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import typer

from nightshift.money import dollars, usd
from nightshift_cli.bills import Amount, Bill, Comparison, Item, Pair, Period
from nightshift_cli.columns import Column, put_columns
from nightshift_cli.console import put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.ledger_bill import BATCH, LedgerBill, ledger_bill
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, Month, StackName
from nightshift_cli.organization import VendorBill, vendor_bill
from nightshift_cli.stack import find

ALL = "all"
"""In place of a day or a kind: the sum."""

Day = typer.Option(formats=["%Y-%m-%d"], metavar="DATE")


def bill(
    *,
    month: Month = None,
    since: Annotated[datetime | None, Day] = None,
    until: Annotated[datetime | None, Day] = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="ID", help="The API workspace of the stack's key; `default` is one, too.")
    ] = None,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Compare what runs cost by the ledger with what Anthropic's usage and cost reports say, day by day (UTC).

    It needs an Admin key in the secret AdminKeySecretArn. --since and --until are days, both included.
    """
    here = find(stack, local=local)
    today = here.clock().date()
    period = _period(month, since, until, today)
    from nightshift_cli.api import Organization  # noqa: PLC0415 - the SDK takes a second

    with closing(Organization(here)) as api:
        vendor = vendor_bill(api.get, period, workspace)
    ledger = ledger_bill(here, period)
    found = Reconciled(period, workspace, ledger, vendor, today)
    if json:
        put_json(found.record())
    else:
        _put(found.comparison)
        for note in found.notes:
            say(f"· {note}")
    if found.comparison.differs:
        raise typer.Exit(Exit.DIFFERS)


def _period(month: str | None, since: datetime | None, until: datetime | None, today: date) -> Period:
    """Return the days that are meant, none of them in the future."""
    if month is not None and (since or until):
        raise typer.BadParameter("--month says all: leave --since and --until out")
    if until is not None and since is None:
        raise typer.BadParameter("--until wants a --since")
    first = date.fromisoformat(f"{month}-01") if month else since.date() if since else today.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1) if month else today
    period = Period(first, min(until.date() if until else last, today))
    if period.until < period.since:
        raise typer.BadParameter("there is no day in it yet")
    return period


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Both bills of a period, and what explains that they differ."""

    period: Period
    workspace: str | None
    ledger: LedgerBill
    vendor: VendorBill
    today: date

    @property
    def comparison(self) -> Comparison:
        """Both, but for what the vendor bills others: tiers that this stack used nothing of."""
        mine = {item.tier for item in self.ledger.bill.amounts} | {BATCH}
        kept = {item: amount for item, amount in self.vendor.bill.amounts.items() if item.tier in mine}
        return Comparison(self.ledger.bill, Bill(kept))

    @property
    def left_out(self) -> Amount:
        """What the vendor bills others."""
        amounts = self.vendor.bill.amounts
        return self.vendor.bill.total(amounts.keys() - self.comparison.theirs.amounts.keys())

    @property
    def notes(self) -> Sequence[str]:
        """What of both bills cannot agree, or need not, in sentences."""
        return [*self._notes(), *self.ledger.notes]

    def _notes(self) -> Iterator[str]:
        workspaces = sorted(self.vendor.workspaces)
        if self.comparison.differs:
            yield "they differ: by what else uses the workspace (other programs or stacks, the Console), or as below"
        if self.workspace is None and len(workspaces) > 1:
            yield f"this is of all workspaces ({', '.join(workspaces)}): name the stack's with --workspace"
        if self.workspace is not None and self.workspace not in workspaces:
            yield f"workspace {self.workspace} used nothing; those that did: {', '.join(workspaces) or 'none'}"
        if self.period.until >= self.today:
            yield "the vendor's reports are about five minutes behind, at times more"
        if self.left_out.cost:
            yield f"{dollars(self.left_out.cost)} of tiers that this stack used nothing of are left out"

    def record(self) -> Mapping[str, Any]:
        """Return what `bill --json` has."""
        comparison = self.comparison
        totals = comparison.by(lambda item: (ALL, item.model, item.tier, item.kind))
        return {
            "since": self.period.since,
            "until": self.period.until,
            "workspace": self.workspace,
            "differs": comparison.differs,
            "days": [_line(i.day.isoformat(), i.model, i.tier, i.kind, p) for i, p in comparison.by(_itself).items()],
            "totals": [_line(*key, pair) for key, pair in totals.items()],
            "notes": self.notes,
        }


def _itself(item: Item) -> Item:
    return item


def _line(day: str, model: str, tier: str, kind: str, pair: Pair) -> Mapping[str, Any]:
    return {
        "day": day,
        "model": model,
        "tier": tier,
        "kind": kind,
        "ledger": {"tokens": pair.ours.tokens, "usd": float(usd(pair.ours.cost))},
        "vendor": {"tokens": pair.theirs.tokens, "usd": float(usd(pair.theirs.cost))},
        "difference": {"tokens": pair.tokens, "usd": float(usd(pair.cost)), "ratio": pair.ratio},
    }


def _lines(comparison: Comparison) -> Iterator[tuple[str, str, str, str, Pair]]:
    """Yield the days with their kinds where those differ, and then the sums of all."""
    kinds = comparison.by(_itself)
    for (day, model, tier), pair in comparison.by(lambda item: (item.day, item.model, item.tier)).items():
        yield day.isoformat(), model, tier, ALL, pair
        for item, each in kinds.items():
            if (item.day, item.model, item.tier) == (day, model, tier) and (each.tokens or each.cost):
                yield "", "", "", item.kind, each
    sums = comparison.by(lambda item: (item.model, item.tier, item.kind))
    for (model, tier), pair in comparison.by(lambda item: (item.model, item.tier)).items():
        for key, each in sums.items():
            if key[:2] == (model, tier):
                yield ALL, *key, each
        yield ALL, model, tier, ALL, pair


def _put(comparison: Comparison) -> None:
    lines = list(_lines(comparison))
    days, models, tiers, kinds, pairs = zip(*lines, strict=True) if lines else ((),) * 5
    columns = [
        Column("day", days),
        Column("model", models),
        Column("tier", tiers, spare=6),
        Column("kind", kinds),
        Column("ledger", [f"{p.ours.tokens:,}" for p in pairs], number=True, spare=2),
        Column("vendor", [f"{p.theirs.tokens:,}" for p in pairs], number=True, spare=3),
        Column("difference", [f"{p.tokens:+,}" if p.tokens else "=" for p in pairs], number=True, spare=5),
        Column("ledger USD", [f"{usd(p.ours.cost):,.4f}" for p in pairs], number=True),
        Column("vendor USD", [f"{usd(p.theirs.cost):,.4f}" for p in pairs], number=True),
        Column("difference", [f"{usd(p.cost):+,.4f}" if p.cost else "=" for p in pairs], number=True, spare=4),
        Column("%", [_percent(p) for p in pairs], number=True, spare=1),
    ]
    put_columns(columns, [_style(*line) for line in lines])


def _percent(pair: Pair) -> str:
    if pair.ratio is None:
        return ""
    return f"{100 * pair.ratio:+.2f} %" if pair.cost else "="


def _style(day: str, _model: str, _tier: str, kind: str, pair: Pair) -> str | None:
    return "bold red" if pair.differs and day == ALL and kind == ALL else None
