"""Caching: whether a run's requests get a cache breakpoint, and why. Decided once, by arithmetic, before rendering.

Requests of one batch hardly see each other's cache writes, so without something that writes first, each pays for a
write that nobody reads. A pilot is that something.
"""

from dataclasses import dataclass

from nightshift.job import Job
from nightshift.model import Caching
from nightshift.money import PriceSheet, dollars

LEAST = {
    "claude-haiku-5": 512,
    "claude-opus-5": 512,
    "claude-sonnet-5-5": 512,
    "claude-fable-5": 512,
    "claude-mythos-5": 512,
    "claude-opus-4-8": 1024,
    "claude-sonnet-5": 1024,
    "claude-sonnet-4": 1024,
    "claude-opus-4-7": 2048,
    "claude-haiku-4-5": 4096,
    "claude-opus-4": 4096,
}
"""What a model's name starts with, the first that fits → the shortest prefix that it caches, in tokens. A shorter one
is silently not cached. (Documentation of prompt caching, and litellm's `prompt_cache_min_tokens`.)"""

LEAST_OF_UNKNOWN = 4096

HITS, WORST_HITS = 0.95, 0.3
"""The part of cache reads that is expected to hit where a pilot has filled the cache, and the smallest there is: best
effort, 30 % to 98 % (documentation of batch processing). A read that misses is a write."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the decision is made of."""

    job: Job
    prices: PriceSheet | None
    rows: int
    """Rows of the run, as far as is known before they are read."""
    pilot: int
    """Rows of the pilot; 0: there is none."""

    @property
    def reads(self) -> int:
        """Rows that are expected to read what all share from the cache; the others write it."""
        return round((self.rows - self.pilot) * HITS) if self.pilot else 0


def least_prefix(model: str) -> int:
    """Return the shortest prefix that a model caches, in tokens."""
    return next((tokens for name, tokens in LEAST.items() if model.startswith(name)), LEAST_OF_UNKNOWN)


def why_not_at_all(plan: Plan) -> str:
    """Say why there is no breakpoint however long the prefix is, or return an empty text."""
    if plan.job.cache.when == "never":
        return "no cache breakpoint: the job says `cache.when: never`"
    if not plan.job.system.strip() and not plan.job.examples:
        return "no cache breakpoint: the job has no `system` and no `examples`, so requests share nothing to cache"
    if plan.job.cache.when == "primed" and not plan.pilot:
        return "no cache breakpoint: without a pilot nothing fills the cache, and each row would pay for writing it"
    return ""


def decide(plan: Plan, prefix_tokens: int, *, counted: bool) -> Caching:
    """Decide about the breakpoint of a run whose requests share so many tokens."""
    least, model = least_prefix(plan.job.model), plan.job.model
    if prefix_tokens < least:
        why = f"requests share {prefix_tokens:,} tokens, and {model} caches none below {least:,}"
        return Caching(prefix_tokens, least, why=f"no cache breakpoint: {why}", counted=counted)
    ttl, writes = plan.job.cache.ttl, f"{plan.rows - plan.reads:,} rows are expected to write"
    why = f"{writes} the {prefix_tokens:,} tokens that all share, {plan.reads:,} to read them"
    if plan.prices is not None:
        cached, plain = priming(plan, plan.prices, prefix_tokens)
        why = f"{why}: {dollars(cached)} instead of {dollars(plain)} for them"
        if cached >= plain and plan.job.cache.when == "primed":
            return Caching(prefix_tokens, least, why=f"no cache breakpoint: {why}", counted=counted)
    return Caching(prefix_tokens, least, ttl, f"cache breakpoint for {ttl}: {why}", counted=counted)


def priming(plan: Plan, prices: PriceSheet, prefix_tokens: int) -> tuple[int, int]:
    """Return what the shared tokens are expected to cost with a breakpoint, and without one, in picodollars."""
    rates = prices.rates(prefix_tokens, batch=True)
    write = rates.cache_write_1h if plan.job.cache.ttl == "1h" else rates.cache_write_5m
    cached = prefix_tokens * ((plan.rows - plan.reads) * write + plan.reads * rates.cache_read)
    return cached, prefix_tokens * plan.rows * rates.input
