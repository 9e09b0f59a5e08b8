"""What an ablation is, and how a guard is taken out of the running code."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from nightshift.adapters.items import Change, Items

type Remove = Callable[[ExitStack], None]

PAUSES = frozenset({"pause"})


@dataclass(frozen=True, slots=True)
class Ablation:
    """A guard, and where it is needed."""

    name: str
    remove: Remove
    symptom: str
    """What a history must show, as a regular expression: another reason to fail does not count."""
    pairs: Sequence[tuple[str, str]]
    sites: str = ""
    """Only upsets at sites that begin so; all where it is empty."""
    kinds: frozenset[str] = frozenset({"kill", "lose", "pause", "refuse"})

    @contextmanager
    def removed(self) -> Iterator[None]:
        """Work without the guard."""
        with ExitStack() as stack:
            self.remove(stack)
            yield


def put(target: Any, name: str, value: Any) -> Remove:
    """Put something else in the place of what a module or class has under a name."""
    return lambda stack: stack.enter_context(patch.object(target, name, value)) and None


def without(condition: str, *, pk: str, kind: str = "", sets: str = "") -> Remove:
    """Take a piece out of the condition of those writes of the ledger that it names.

    Args:
        condition: the piece of the condition, as adapters/dynamodb.py writes it.
        pk: how the item's partition key begins.
        kind: of the write; any where it is empty.
        sets: an attribute that the write sets; any where it is empty.
    """

    def unguarded(change: Change) -> Change:
        fits = (
            change.key["pk"].startswith(pk) and (not kind or change.kind == kind) and (not sets or sets in change.sets)
        )
        if not fits or condition not in change.when:
            return change
        when = re.sub(r"AND\s+AND", "AND", change.when.replace(condition, ""))
        when = re.sub(r"^\s*AND\s|\sAND\s*$", "", when).strip()
        values = {name: value for name, value in change.values.items() if f":{name}" in when}
        return replace(change, when=when, values=values)

    def remove(stack: ExitStack) -> None:
        one, many = Items.apply, Items.apply_all
        stack.enter_context(patch.object(Items, "apply", lambda self, change: one(self, unguarded(change))))
        stack.enter_context(
            patch.object(Items, "apply_all", lambda self, changes: many(self, _effective(map(unguarded, changes))))
        )

    return remove


def _effective(changes: Any) -> list[Change]:
    """Leave out checks that check nothing any more: DynamoDB refuses them."""
    return [change for change in changes if change.when or change.kind != "ConditionCheck"]
