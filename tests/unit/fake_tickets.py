"""The ticket table, in memory: for use cases. The adapter has tests of its own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nightshift.ports import TicketUpdate, Written


@dataclass
class MemoryTickets:
    """`ports.Tickets` in memory: strictly newer wins."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail: list[Exception] = field(default_factory=list)
    """What the next writes raise, after they have written."""
    refuse: dict[str, str] = field(default_factory=dict)
    """Tickets that are never taken, and why."""

    def write(self, key: str, updates: Sequence[TicketUpdate], *, numeric: bool = False) -> Written:
        assert not numeric or all(update.id.isdecimal() for update in updates)
        written = 0
        refused = {update.id: self.refuse[update.id] for update in updates if update.id in self.refuse}
        for update in updates:
            if update.id in refused:
                continue
            item = self.items.setdefault(update.id, {key: update.id})
            if item.get("nightshift_order", "") < update.order:
                item |= {**update.attributes, "nightshift_order": update.order}
                written += 1
        if self.fail:
            raise self.fail.pop(0)
        return Written(written, len(updates) - written - len(refused), refused)

    def asked(self, key: str, ids: Collection[str], *, numeric: bool = False) -> Mapping[str, str]:
        assert len(ids) <= 100
        assert not numeric or all(each.isdecimal() for each in ids)
        there = {each: item for each, item in self.items.items() if each in ids and item[key] == each}
        return {each: item["nightshift_asked"] for each, item in there.items() if "nightshift_asked" in item}
