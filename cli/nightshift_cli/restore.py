"""`nightshift restore`: what a ledger has lost, out of the table that it was restored to, and nothing that it has."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from nightshift.adapters.dynamodb import ABSENT, OPEN
from nightshift.adapters.items import Change, Item, Items, Key, encode, from_wire
from nightshift.errors import Conflict
from nightshift.model import Hold, HoldCode
from nightshift_cli.consent import DryRun, Yes, nothing_done, wanted
from nightshift_cli.console import console, put, put_json, say
from nightshift_cli.exits import Refused
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.stack import Stack, find

AT_ONCE = 100
"""Items that the ledger is asked for at once."""


@dataclass(slots=True)
class Lost:
    """What a table has, and the ledger has not."""

    table: str
    items: int = 0
    """All of the table."""
    keys: list[Key] = field(default_factory=list)
    """Those that the ledger lacks: chunks and claims first, runs last, for whoever sees a run must see its chunks."""
    open: list[str] = field(default_factory=list)
    """Runs among them that are neither done nor held."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many there are of each kind."""
        counted = Counter(_kind(key) for key in self.keys)
        return {kind: counted[kind] for kind in ("runs", "chunks", "others")}

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        counted = ", ".join(f"{kind}: {count:,}" for kind, count in self.kinds.items() if count)
        yield f"the ledger lacks {len(self.keys):,} of the {self.items:,} items of {self.table} ({counted})"
        for run in self.open:
            yield f"held once it is back: {run}"

    def record(self, *, done: bool) -> dict[str, Any]:
        """Return what --json has."""
        return {"done": done, "table": self.table, "items": self.items, "lost": self.kinds, "open": self.open}


def restore(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table that the ledger was restored to.")],
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Put back what the ledger has lost, out of a table that a backup of it was restored to.

    What the ledger has is never changed. A run that comes back unfinished is held: what it has sent since the backup is
    not known. docs/operations.md, Restoring a table, says what to do before it is resumed.
    """
    here = find(stack, local=local)
    if table == here.outputs["RunsTableName"]:
        raise Refused(f"{table} is the ledger: name the table that its backup was restored to")
    with console(stderr=True).status("comparing"):
        try:
            lost = _lost(here, table)
        except here.clients("dynamodb").exceptions.ResourceNotFoundException:
            raise Refused(f"there is no table {table} in this account and region") from None
    told = lost.record(done=False)
    if not lost.keys:
        put_json(told) if json else put(f"the ledger has all {lost.items:,} items of {table}")
        return
    if not json:
        for line in lost.lines():
            (say if yes else put)(line)
    if not wanted("Put them back?", yes=yes, dry_run=dry_run, told=told if json else None):
        put_json(told) if json else nothing_done()
        return
    with console(stderr=True).status("putting back"):
        _put_back(here, lost)
    put_json(lost.record(done=True)) if json else put(
        f"they are back. Before anything is resumed: {here.command('orphans')}"
    )


def _lost(stack: Stack, table: str) -> Lost:
    lost, ledger, some = Lost(table), _ledger(stack), list[Item]()
    pages = stack.clients("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    for wire in (wire for page in pages for wire in page["Items"]):
        item = from_wire(wire)
        if not {"pk", "sk"} <= item.keys():
            raise Refused(f"{table} is no backup of a ledger: its items have other keys")
        lost.items += 1
        some.append(item)
        if len(some) == AT_ONCE:
            _compare(lost, ledger, some)
            some.clear()
    _compare(lost, ledger, some)
    lost.keys.sort(key=lambda key: (key["sk"] == "META", key["pk"], key["sk"]))
    return lost


def _compare(lost: Lost, ledger: Items, some: list[Item]) -> None:
    keys = [_key(item) for item in some]
    there = {tuple(_key(item).values()) for item in (ledger.get_many(keys) if keys else [])}
    for item, key in zip(some, keys, strict=True):
        if tuple(key.values()) not in there:
            lost.keys.append(key)
            if _goes_on(item):
                lost.open.append(item["run_id"])


def _put_back(stack: Stack, lost: Lost) -> None:
    """Put the items back; killed anywhere, the same command does the rest."""
    backup, ledger = Items(stack.clients("dynamodb"), lost.table), _ledger(stack)
    hold = Hold(HoldCode.BY_HAND, f"it comes from a backup, {lost.table}: see its batches first", stack.clock())
    for key in lost.keys:
        item = backup.get(key)
        if item is None:
            raise Refused(f"{lost.table} is being changed: {' '.join(key.values())} was there, and is not any more")
        if _goes_on(item):
            item["hold"] = encode(hold)
        change = Change(key, {name: value for name, value in item.items() if name not in key}, when=ABSENT, kind="Put")
        try:
            ledger.apply(change)
        except Conflict:
            raise Refused(
                f"the ledger is being changed: it has {' '.join(key.values())} by now. Stop what uses it, and say this "
                "again"
            ) from None


def _ledger(stack: Stack) -> Items:
    return Items(stack.clients("dynamodb"), stack.outputs["RunsTableName"])


def _key(item: Item) -> Key:
    return {"pk": item["pk"], "sk": item["sk"]}


def _kind(key: Key) -> str:
    return {"META": "runs", "CHUN": "chunks"}.get(key["sk"][:4], "others")


def _goes_on(item: Item) -> bool:
    return item.get("kind") == OPEN and "hold" not in item
