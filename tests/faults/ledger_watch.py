"""What every write says, held against what is allowed: edges of the ledger, holds, ticket updates.

It reads the tables past every API, so that looking costs no call and is no boundary.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from local.batches_api.desk import Desk
from nightshift import invariants
from nightshift.adapters.items import decode
from nightshift.model import BatchId, Chunk, Claim, Intent, Run, RunId, run_token
from tests.faults import cloud

_value = TypeDeserializer().deserialize

OTHERS = "other-"
"""How the custom_ids begin of batches that somebody else makes."""

type Item = Mapping[str, Any]


@dataclass(slots=True)
class Ledger:
    """All that the runs table says."""

    runs: dict[RunId, Run] = field(default_factory=dict)
    chunks: dict[RunId, list[Chunk]] = field(default_factory=dict)
    claims: dict[BatchId, Claim] = field(default_factory=dict)
    intent: Intent | None = None


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
    for chunks in ledger.chunks.values():
        chunks.sort(key=lambda chunk: chunk.id)
    return ledger


@dataclass(slots=True)
class LedgerWatch:
    """Remembers what the last write left."""

    raw: dict[tuple[str, str], Item] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    """Ticket → the newest order that was written."""
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(ticket, order) → how often it was written."""
    posts: int = 0

    def changes(self, request: Any, answer: Any, now: float) -> list[str]:
        """Return what is wrong with a write that was just made."""
        if f'"{cloud.TICKETS}"'.encode() in request.body:
            accepted = answer is not None and answer.status_code == 200
            return list(self._tickets(json.loads(request.body))) if accepted else []
        return list(self._items(datetime.fromtimestamp(now, UTC)))

    def _items(self, now: datetime) -> Iterator[str]:
        items: dict[tuple[str, str], Item] = {
            (item["pk"]["S"], item["sk"]["S"]): item
            for item in cloud.items(cloud.RUNS)
            if item["pk"]["S"].startswith("RUN#")
        }
        for key in sorted(items.keys() | self.raw.keys()):
            before, after = self.raw.get(key), items.get(key)
            if before == after:
                continue
            if key[1] != "META":
                yield from _wrong(_chunk(before), _chunk(after), now)
            elif before is not None and after is not None and before["created"] != after["created"]:
                yield f"{key[0]} was put over"
        self.raw = items

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

    def posted(self, api: Desk, now: float) -> list[str]:
        """Return what is wrong with a create that just reached the API."""
        batches = list(api.store.batches.values())
        found = []
        ledger = read() if len(batches) > self.posts else Ledger()
        for batch in batches[self.posts :]:
            if batch.first_id.startswith(OTHERS):
                continue
            token = batch.first_id.split("-")[0]
            run = next((run for run in ledger.runs.values() if run_token(run.run_id) == token), None)
            if run is None:
                found.append(f"batch {batch.id} is of no run")
            elif run.hold is not None and ledger.intent is not None and run.hold.at < ledger.intent.created:
                since = datetime.fromtimestamp(now, UTC) - run.hold.at
                found.append(f"sent although held: {run.run_id} was held {since} before")
        self.posts = len(batches)
        return found


def _wrong(before: Chunk | None, after: Chunk | None, now: datetime) -> Iterator[str]:
    """Return what is wrong with a change of a chunk."""
    yield from (f"{violation.code} {violation.what}" for violation in invariants.of_change(before, after))
    had, has = before and before.worker, after and after.worker
    if after is not None and had and has and has != had and had.until > now:
        yield f"{after.run_id} {after.id} was taken from a worker that lives"


def _chunk(item: Item | None) -> Chunk | None:
    return None if item is None else decode({name: _value(value) for name, value in item.items()}, Chunk)
