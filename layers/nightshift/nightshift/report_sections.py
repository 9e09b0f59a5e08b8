"""The sections of a report that are worked out: money, tokens, cache, pilot, discount, times."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from nightshift.decision import PILOT
from nightshift.model import Chunk, Run, Tally
from nightshift.money import dollars, usd
from nightshift.report_parts import Cache, Cost, Discount, Kind, Pilot, Prices, Timings

KINDS: Mapping[Kind, str] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_write_5m": "ephemeral_5m_input_tokens",
    "cache_write_1h": "ephemeral_1h_input_tokens",
    "cache_read": "cache_read_input_tokens",
    "web_search": "web_search_requests",
}
"""Kind of tokens → what the API's `usage` calls them."""

TTLS: Mapping[str, Literal["5m", "1h"]] = {"5m": "5m", "1h": "1h"}


def in_usd(amount: int) -> Decimal:
    """Return an amount in USD, exactly, without zeros at its end."""
    return Decimal(f"{usd(amount).normalize():f}")


def tokens(total: Tally) -> dict[Kind, int]:
    """Count tokens by kind, each once."""
    counted = {kind: total.usage.get(name, 0) for kind, name in KINDS.items()}
    written = counted["cache_write_5m"] + counted["cache_write_1h"]
    # An API that does not tell writes apart knows five minutes only: see `money.tokens_of`.
    counted["cache_write_5m"] += max(0, total.usage.get("cache_creation_input_tokens", 0) - written)
    return counted


def cost(run: Run, total: Tally, *, accounted: bool) -> Cost:
    """Say what the run costs, and what was expected; `accounted`: every row is in a class."""
    priced, paid = run.prices is not None, sum(total.paid.values())
    first, latest = run.estimate, run.revised or run.estimate
    error = _ratio(paid - latest.expected, latest.expected) if accounted and latest else None
    return Cost(
        actual_usd=in_usd(paid) if priced else None,
        synchronous_usd=in_usd(total.synchronous) if priced else None,
        saved_usd=in_usd(total.synchronous - paid) if priced else None,
        saved_ratio=_ratio(total.synchronous - paid, total.synchronous) if priced else None,
        uncached_usd=in_usd(total.uncached) if priced else None,
        by_kind={kind: in_usd(total.paid.get(kind, 0)) for kind in KINDS} if priced else None,
        estimated_usd=in_usd(latest.expected) if latest else None,
        first_estimated_usd=in_usd(first.expected) if first else None,
        low_usd=in_usd(latest.low) if latest else None,
        high_usd=in_usd(latest.high) if latest else None,
        bound_usd=in_usd(latest.bound) if latest else None,
        basis=latest.basis if latest else None,
        sample=latest.sample if latest else None,
        estimate_error=error,
        prices=Prices(model=run.prices.model, source=run.prices.source, on=run.prices.on) if run.prices else None,
    )


def cache(run: Run, total: Tally, *, accounted: bool) -> Cache:
    """Say what the cache did; `accounted`: every row is in a class."""
    decided, counted = run.caching, tokens(total)
    read, short, long = counted["cache_read"], counted["cache_write_5m"], counted["cache_write_1h"]
    return Cache(
        verdict=_verdict(run, total, used=read + short + long, so_far="" if accounted else "so far, "),
        prefix_tokens=decided.prefix_tokens if decided else None,
        minimum_tokens=decided.least if decided else None,
        ttl=TTLS.get(decided.ttl) if decided else None,
        why=decided.why if decided else "",
        read_tokens=read,
        written_tokens={"5m": short, "1h": long},
        hit_rate=_ratio(read, read + short + long),
        saved_usd=in_usd(total.uncached - sum(total.paid.values())) if run.prices else None,
    )


def _verdict(run: Run, total: Tally, *, used: int, so_far: str) -> str:
    saved, caching = total.uncached - sum(total.paid.values()), run.caching
    if not used and caching is not None and caching.ttl and total.usage:
        return (
            f"{so_far}nothing was cached, although there is a breakpoint: make the prefix longer, or turn caching off"
        )
    if not used:
        return caching.why if caching is not None and not caching.ttl else "nothing is cached yet"
    if run.prices is None:
        return "the cache was used; without a price nobody can say what that saved"
    if saved > 0:
        return f"{so_far}caching saved {dollars(saved)}"
    if saved < 0:
        return f"{so_far}caching cost {dollars(-saved)} more than none; turn it off or make the prefix longer"
    return f"{so_far}caching saved nothing and cost nothing"


def pilot(run: Run, chunks: Sequence[Chunk]) -> Pilot | None:
    """Tell of the run's pilot; None where it has none."""
    if not run.pilot:
        return None
    ended = next((chunk.ended_at for chunk in chunks if chunk.id == PILOT), None)
    rest = [chunk.sent_at for chunk in chunks if chunk.id != PILOT and chunk.sent_at is not None]
    waited_out = any(ended is None or sent < ended for sent in rest)
    return Pilot(rows=run.pilot, judged=run.piloted, waited_out=waited_out)


def discount(total: Tally) -> Discount:
    """Hold the tiers that rows were billed at against the one that is discounted."""
    billed = sum(total.service_tiers.values())
    others = {tier: rows for tier, rows in total.service_tiers.items() if tier != "batch"}
    undiscounted = sum(others.values())
    warning = ""
    if undiscounted:
        named = ", ".join(f"{tier}: {rows:,}" for tier, rows in sorted(others.items()))
        warning = (
            f"{undiscounted:,} of {billed:,} billed rows were NOT billed at the batch price (service tier {named}): "
            "ask Anthropic why, with the ids of the batches"
        )
    return Discount(rows=total.service_tiers, undiscounted=undiscounted, warning=warning)


def timings(run: Run, chunks: Sequence[Chunk], now: datetime) -> Timings:
    """Tell the times from the upload to the last ticket."""
    uploaded = max((ref.last_modified for ref in run.inputs), default=None)
    first_sent = min((chunk.sent_at for chunk in chunks if chunk.sent_at), default=None)
    last_ended = max((chunk.ended_at for chunk in chunks if chunk.ended_at), default=None)
    collected = max((chunk.collected_at for chunk in chunks if chunk.collected_at), default=None)
    return Timings(
        uploaded=uploaded,
        created=run.created,
        planned=run.estimate.at if run.estimate else None,
        first_sent=first_sent,
        last_ended=last_ended,
        last_collected=collected,
        reported=now,
        waiting_seconds=_between(uploaded, run.created),
        queue_seconds=_between(run.created, first_sent),
        processing_seconds=_between(first_sent, last_ended),
        collecting_seconds=_between(last_ended, collected),
    )


def _between(start: datetime | None, end: datetime | None) -> float | None:
    """Return seconds; never less than none, whatever different clocks say."""
    return round(max(0.0, (end - start).total_seconds()), 3) if start and end else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
