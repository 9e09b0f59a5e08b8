"""Bills: what was used and what it cost, by day, model, tier and kind of tokens; and two of them held together."""

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

SEARCH = "web_search"
"""The kind of what is no token; the vendor names neither a model nor a tier for it."""

TOLERATED = 100
"""A difference is one only above the 100th part of an amount …"""
CENT = 10**10
"""… and above a cent, in picodollars."""

_DATED = re.compile(r"-20\d{6}$")


def plain(model: str) -> str:
    """Return a model's id without its date: a job may name it by its alias, a bill never does."""
    return _DATED.sub("", model)


@dataclass(frozen=True, slots=True)
class Period:
    """Days (UTC), both included."""

    since: date
    until: date

    @property
    def start(self) -> datetime:
        """The first moment."""
        return datetime.combine(self.since, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment behind it."""
        return datetime.combine(self.until, time(), UTC) + timedelta(days=1)

    def __contains__(self, moment: datetime) -> bool:
        """Tell whether a moment is in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """What is billed apart."""

    day: date
    model: str
    tier: str
    kind: str
    """A class of `money.Tokens`."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of it."""

    tokens: int = 0
    cost: int = 0
    """Picodollars."""

    def __add__(self, other: "Amount") -> "Amount":
        """Return the sum."""
        return Amount(self.tokens + other.tokens, self.cost + other.cost)


@dataclass(frozen=True, slots=True)
class Bill:
    """Amounts by item. Grows while it is added up."""

    amounts: dict[Item, Amount] = field(default_factory=dict)

    def add(self, item: Item, amount: Amount) -> None:
        """Add an amount; one of nothing is left out."""
        if amount != Amount():
            self.amounts[item] = self.amounts.get(item, Amount()) + amount

    def total(self, items: Iterable[Item]) -> Amount:
        """Add up some items."""
        return sum((self.amounts.get(item, Amount()) for item in items), Amount())


@dataclass(frozen=True, slots=True)
class Pair:
    """One amount, as both bills have it."""

    ours: Amount
    theirs: Amount

    @property
    def tokens(self) -> int:
        """How many more tokens they count."""
        return self.theirs.tokens - self.ours.tokens

    @property
    def cost(self) -> int:
        """How much more they bill, in picodollars."""
        return self.theirs.cost - self.ours.cost

    @property
    def ratio(self) -> float | None:
        """The same, as a part of what the ledger has; None where that is nothing."""
        return self.cost / self.ours.cost if self.ours.cost else None

    @property
    def differs(self) -> bool:
        """True where that is more than 1 % and more than a cent."""
        return abs(self.cost) > CENT and abs(self.cost) * TOLERATED > max(self.ours.cost, self.theirs.cost)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two bills of the same days."""

    ours: Bill
    theirs: Bill

    def by[K: Hashable](self, key: Callable[[Item], K]) -> dict[K, Pair]:
        """Return sums of both, by what `key` makes of an item, in the items' order."""
        groups: dict[K, list[Item]] = {}
        for item in sorted(self.ours.amounts.keys() | self.theirs.amounts.keys()):
            groups.setdefault(key(item), []).append(item)
        return {name: Pair(self.ours.total(items), self.theirs.total(items)) for name, items in groups.items()}

    @property
    def differs(self) -> bool:
        """True where the period's sums do, of any model and tier: what crosses a midnight makes no difference."""
        return any(pair.differs for pair in self.by(lambda item: (item.model, item.tier)).values())
