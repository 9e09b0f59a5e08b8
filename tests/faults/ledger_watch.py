"""What every write says, held against what is allowed: edges of the ledger, holds, ticket updates.

It reads the tables past every API, so that looking costs no call and is no boundary.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from local.batches_api.desk import Desk
from nightshift import invariants
from nightshift.adapters.dynamodb import budget_key
from nightshift.adapters.items import decode, to_wire
from nightshift.decision import PILOT
from nightshift.model import BatchId, Budget, Chunk, ChunkState, Claim, HoldCode, Intent, Run, RunId, run_token
from nightshift.money import amount_of
from tests.faults import cloud

_value = TypeDeserializer().deserialize

OTHERS = "other-"
"""How the custom_ids begin of batches that somebody else makes."""

type Item = Mapping[str, Any]
type Key = tuple[str, str]

PINNED = ("prices", "caching", "estimate", "revised", "piloted")
"""Attributes of a run that `invariants.of_pins` is about."""


@dataclass(slots=True)
class Ledger:
    """All that the runs table says."""

    runs: dict[RunId, Run] = field(default_factory=dict)
    chunks: dict[RunId, list[Chunk]] = field(default_factory=dict)
    claims: dict[BatchId, Claim] = field(default_factory=dict)
    intent: Intent | None = None
    months: dict[str, Budget] = field(default_factory=dict)

    def violations(self, spent_before: Mapping[str, int]) -> Iterator[str]:
        """Hold it against the invariants.

        Args:
            spent_before: month → picodollars that no run of this ledger spent.
        """
        found = [each for run in self.runs.values() for each in self._of_run(run)]
        months = {month: _without(budget, spent_before.get(month, 0)) for month, budget in self.months.items()}
        found += invariants.of_months(months, list(self.runs.values()))
        yield from _told(found)

    def _of_run(self, run: Run) -> Iterator[invariants.Violation]:
        return invariants.of_run(run, self.chunks.get(run.run_id, []), self.claims)


def _without(budget: Budget, spent: int) -> Budget:
    return Budget(budget.committed - spent, budget.spent - spent)


def read() -> Ledger:
    """Return the ledger as it is."""
    ledger = Ledger()
    for typed in cloud.items(cloud.RUNS):
        item = {name: _value(value) for name, value in typed.items()}
        kind, _, name = item["pk"].partition("#")
        if item["sk"] == "META":
            ledger.runs[RunId(name)] = decode(item, Run)
        elif item["sk"].startswith("CHUNK#"):
            ledger.chunks.setdefault(RunId(name), []).append(decode(item, Chunk))
        elif kind == "BATCH":
            ledger.claims[BatchId(name)] = decode(item, Claim)
        elif kind == "CREATE":
            ledger.intent = decode(item, Intent)
        elif kind == "BUDGET":
            ledger.months[name] = decode(item, Budget)
    for chunks in ledger.chunks.values():
        chunks.sort(key=lambda chunk: chunk.id)
    return ledger


@dataclass(slots=True)
class LedgerWatch:
    """Remembers what the last write left."""

    raw: dict[Key, Item | None] = field(default_factory=dict)
    """Items of runs and of months."""
    spent_before: dict[str, int] = field(default_factory=dict)
    """Month → picodollars that no run of this history spent."""
    holds: list[HoldCode] = field(default_factory=list)
    """Why runs were held, in order."""
    orders: dict[str, str] = field(default_factory=dict)
    """Ticket → the newest order that was written."""
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(ticket, order) → how often it was written."""
    posts: int = 0

    def spend(self, month: str, amount: int) -> None:
        """Have a month begin with money spent, in picodollars: by runs of which nothing else is known here."""
        self.spent_before[month] = amount
        key = budget_key(month)
        item = to_wire({**key, "committed": amount, "spent": amount})
        self.raw[key["pk"], key["sk"]] = item
        cloud.client("dynamodb").put_item(TableName=cloud.RUNS, Item=item)

    def changes(self, request: Any, answer: Any, now: float) -> list[str]:
        """Return what is wrong with a write that was just made."""
        body = json.loads(request.body)
        if f'"{cloud.TICKETS}"'.encode() in request.body:
            accepted = answer is not None and answer.status_code == 200
            return list(self._tickets(body)) if accepted else []
        return list(self._items(_touched(body), datetime.fromtimestamp(now, UTC)))

    def _items(self, touched: Sequence[Key], now: datetime) -> Iterator[str]:
        changed: dict[Key, tuple[Item | None, Item | None]] = {}
        for key in touched:
            before: Item | None = self.raw.get(key)
            after: Item | None = cloud.item(cloud.RUNS, *key)
            if before != after:
                changed[key] = before, after
                self.raw[key] = after
        for key, (before, after) in changed.items():
            if key[0].startswith("BUDGET#"):
                yield from self._money(before, after, [self.raw[other] for other in touched])
            elif key[1] == "META":
                yield from self._run(key, before, after)
            else:
                yield from _wrong(_chunk(before), _chunk(after), now)
                yield from self._sending(before, after, now)

    def _run(self, key: Key, before: Item | None, after: Item | None) -> Iterator[str]:
        if before is None or after is None:
            return
        if before["created"] != after["created"]:
            yield f"{key[0]} was put over"
        if "hold" not in before and "hold" in after:
            self.holds.append(HoldCode(after["hold"]["M"]["code"]["S"]))
        if "reserved" not in before and "reserved" in after and "hold" in after:
            yield f"{key[0]} has money reserved although it is held"
        if any(before.get(name) != after.get(name) for name in PINNED):
            yield from _told(invariants.of_pins(_decoded(before, Run), _decoded(after, Run)))

    def _money(self, before: Item | None, after: Item | None, beside: Sequence[Item | None]) -> Iterator[str]:
        """Hold a month against all runs, and what was just reserved in it against its cap."""
        yield from read().violations(self.spent_before)
        if not any(
            {"S": HoldCode.OVER_MONTH} in item["approved"]["L"] for item in beside if item and "approved" in item
        ):
            was, now = (_decoded(item, Budget) if item else Budget() for item in (before, after))
            yield from _told(invariants.of_commitment(was, now, amount_of(cloud.CAP_USD)))

    def _sending(self, before: Item | None, after: Item | None, now: datetime) -> Iterator[str]:
        """Hold a send that has just begun against what its run may send: not held, with its money, its pilot first."""
        if before is None or after is None or before["state"] == after["state"]:
            return
        if after["state"]["S"] != ChunkState.SENDING or before["state"]["S"] != ChunkState.PLANNED:
            return
        chunk, run = _decoded(after, Chunk), _decoded(self._item(after, "META"), Run)
        if run.hold is not None:
            yield f"{run.run_id} {chunk.id} is sent although held since {run.hold.at}"
        if run.reserved is None:
            yield f"{run.run_id} {chunk.id} is sent, and no money is reserved for it"
        if run.pilot and not run.piloted and chunk.id != PILOT:
            pilot = _decoded(self._item(after, f"CHUNK#{PILOT}"), Chunk)
            if pilot.sent_at is None or pilot.sent_at + timedelta(seconds=run.pilot_wait) > now:
                yield f"{run.run_id} {chunk.id} is sent before its pilot was judged"

    def _item(self, beside: Item, sk: str) -> Item:
        """Return an item of the run that another one is of."""
        return self.raw[beside["pk"]["S"], sk] or {}

    def _tickets(self, body: Any) -> Iterator[str]:
        for part in body["TransactItems"]:
            update = part["Update"]
            ticket, order = update["Key"]["ticket_id"]["S"], update["ExpressionAttributeValues"][":order"]["S"]
            self.writes[ticket, order] += 1
            if self.writes[ticket, order] > 1:
                yield f"applied twice: {ticket} by {order}"
            if order < self.orders.get(ticket, ""):
                yield f"applied out of order: {ticket} by {order} after {self.orders[ticket]}"
            self.orders[ticket] = max(order, self.orders.get(ticket, ""))

    def posted(self, api: Desk) -> list[str]:
        """Return what is wrong with a create that just reached the API."""
        batches = list(api.store.batches.values())
        found = []
        ledger = read() if len(batches) > self.posts else Ledger()
        for batch in batches[self.posts :]:
            if batch.first_id.startswith(OTHERS):
                continue
            token = batch.first_id.split("-")[0]
            if not any(run_token(run_id) == token for run_id in ledger.runs):
                found.append(f"batch {batch.id} is of no run")
        self.posts = len(batches)
        return found


def _touched(body: Any) -> list[Key]:
    """Return the keys that a write is about, of runs and months."""
    parts = [part for item in body.get("TransactItems", [{"": body}]) for part in item.values()]
    keys = [part.get("Key") or part["Item"] for part in parts]
    touched = [(key["pk"]["S"], key["sk"]["S"]) for key in keys]
    return [key for key in dict.fromkeys(touched) if key[0].startswith(("RUN#", "BUDGET#"))]


def _wrong(before: Chunk | None, after: Chunk | None, now: datetime) -> Iterator[str]:
    """Return what is wrong with a change of a chunk."""
    yield from _told(invariants.of_change(before, after))
    had, has = before and before.worker, after and after.worker
    if after is not None and had and has and has != had and had.until > now:
        yield f"{after.run_id} {after.id} was taken from a worker that lives"


def _told(found: Iterable[invariants.Violation]) -> Iterator[str]:
    return (f"{violation.code} {violation.what}" for violation in found)


def _chunk(item: Item | None) -> Chunk | None:
    return None if item is None else _decoded(item, Chunk)


def _decoded[T](item: Item, kind: type[T]) -> T:
    return decode({name: _value(value) for name, value in item.items()}, kind)
