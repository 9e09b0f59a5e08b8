"""The bill as the ledger has it: what batches cost on the day they ended, and verifications when they were answered."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.job import parse_job
from nightshift.model import Chunk, ChunkState, Run
from nightshift.money import cost_of, tokens_of
from nightshift.report_sections import KINDS, tokens
from nightshift_cli.bills import SEARCH, Amount, Bill, Item, Period, plain
from nightshift_cli.stack import Stack

EARLIER = timedelta(days=35)
"""The batches of a run end within so many days of its creation: its state machine lives 30."""

BATCH = "batch"


@dataclass(slots=True)
class LedgerBill:
    """What the ledger has of a period, and what of it others may count otherwise."""

    period: Period
    bill: Bill = field(default_factory=Bill)
    unpriced: set[str] = field(default_factory=set)
    """Models whose batches had no price."""
    crossed: int = 0
    """Batches that ended on another day than they were sent on."""
    uncollected: int = 0
    """Batches that have ended, and are not collected yet."""
    in_flight: int = 0
    """Batches that have not ended, in whatever period."""
    tiers: Counter[str] = field(default_factory=Counter)
    """Rows of batches by service tier."""

    def count(self, run: Run, chunk: Chunk, model: str) -> None:
        """Count a chunk."""
        self.in_flight += chunk.state is ChunkState.SENT
        if chunk.ended_at is None or chunk.ended_at not in self.period:
            return
        self.uncollected += chunk.state is not ChunkState.COLLECTED
        self.crossed += chunk.sent_at is not None and chunk.sent_at.date() != chunk.ended_at.date()
        self.tiers.update(chunk.tally.service_tiers)
        if run.prices is None:
            self.unpriced.add(model)
        self._add(chunk.ended_at.date(), model, BATCH, tokens(chunk.tally), chunk.tally.paid)

    def count_at_once(self, run: Run, at: datetime, usage: Mapping[str, Any]) -> None:
        """Count an answer of the synchronous API; without a price nothing is verified."""
        if at not in self.period or run.prices is None:
            return
        used = tokens_of(usage)
        kinds = {kind: getattr(used, kind) for kind in KINDS}
        self._add(at.date(), plain(run.prices.model), used.tier, kinds, cost_of(used, run.prices).paid)

    @property
    def notes(self) -> Iterator[str]:
        """What of it others count otherwise, in sentences."""
        if self.crossed:
            yield (
                f"{self.crossed:,} batches ran across a midnight (UTC): the vendor bills each row on the day it was "
                "answered, the ledger all of them on the day their batch ended"
            )
        if self.uncollected:
            yield f"{self.uncollected:,} batches have ended, and are not collected: the ledger lacks their cost"
        if self.in_flight:
            yield f"{self.in_flight:,} batches have not ended: the vendor bills what they have done, the ledger not"
        if self.unpriced:
            yield f"the ledger has tokens and no cost of {', '.join(sorted(self.unpriced))}: there was no price"
        if others := {tier: rows for tier, rows in self.tiers.items() if tier != BATCH}:
            told = ", ".join(f"{tier}: {rows:,}" for tier, rows in sorted(others.items()))
            yield f"the API billed rows of batches by another tier ({told}); here they are among the batches"

    def _add(self, day: date, model: str, tier: str, used: Mapping[Any, int], paid: Mapping[str, int]) -> None:
        for kind, count in used.items():
            where = ("", "") if kind == SEARCH else (model, tier)
            self.bill.add(Item(day, *where, kind), Amount(count, paid.get(kind, 0)))


def ledger_bill(stack: Stack, period: Period) -> LedgerBill:
    """Add up what the ledger has of a period."""
    found, ledger = LedgerBill(period), stack.ledger()
    for run in ledger.runs_since(period.start - EARLIER):
        if run.created >= period.end:
            continue
        chunks = [chunk for chunk in ledger.chunks(run.run_id) if chunk.batch_id is not None]
        model = _model(stack, run) if chunks else ""
        for chunk in chunks:
            found.count(run, chunk, model)
        if run.verified or run.verifying is not None:
            for at, usage in _asked_at_once(stack, run):
                found.count_at_once(run, at, usage)
    return found


def _model(stack: Stack, run: Run) -> str:
    if run.prices is not None:
        return plain(run.prices.model)
    with stack.results().open(run_files.job(run.run_id, run.plan)) as stream:
        return plain(parse_job(stream.read(), name=run.job.name, key=run.job.key).model)


class _Message(msgspec.Struct):
    usage: dict[str, Any] | None = None


class _Result(msgspec.Struct):
    message: _Message | None = None


class _Kept(msgspec.Struct):
    result: _Result


_KEPT = msgspec.json.Decoder(_Kept)


def _asked_at_once(stack: Stack, run: Run) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
    """Yield when each answer of a verification was stored, which is when it came, and its usage."""
    client, bucket = stack.clients("s3"), stack.outputs["OutputBucketName"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=run_files.verify(run.run_id))
    for item in (item for page in pages for item in page.get("Contents", []) if item["Key"].endswith(".json")):
        with stack.results().open(item["Key"]) as stream:
            message = _KEPT.decode(stream.read()).result.message
        if message is not None and message.usage:
            yield item["LastModified"], message.usage
