"""Tokens and cache accounting.

Tokens are counted as one for every four characters begun, per block: close enough for English, and the same every
time. Real tokenizers differ by model (4.7 and later count about 30 % more than Haiku 4.5). A picture or a document
counts 1,600.

The cache holds prefixes by digest, per workspace, model and service tier (sharing between Messages and batches was
measured as zero). A prefix that is written is there from the moment the first request that wrote it ran, for its TTL,
and each read renews it. Requests of one batch do not see their own batch's writes unless the settings say so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from .content import Json, blocks

CHARACTERS_PER_TOKEN = 4
FILE_TOKENS = 1_600
TTL_SECONDS = {"5m": 300.0, "1h": 3600.0}


def tokens(text: str) -> int:
    """Return how many tokens a text counts as."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class Breakpoint(NamedTuple):
    """The end of a prefix that is to be cached."""

    tokens: int
    """Tokens from the start of the prompt up to here."""
    digest: bytes
    ttl: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The size of a prompt, and where its cached prefixes end."""

    tokens: int
    breakpoints: tuple[Breakpoint, ...]


def measure(params: Json) -> Prompt:
    """Return the size of a prompt (`params` valid), and its breakpoints in order."""
    schema = (params.get("output_config") or {}).get("format")
    total, digest = 0, blake2b(digest_size=16)
    if schema is not None:  # it becomes system text, so another format is another prefix
        encoded = msgspec.json.encode(schema)
        total += tokens(encoded.decode())
        digest.update(encoded)
    marks = []
    for block in blocks(params):
        data, count = _weigh(block.value)
        total += count
        digest.update(block.role.encode() + b"\0" + data)
        control = block.value.get("cache_control")
        if control is not None:
            marks.append(Breakpoint(total, digest.copy().digest(), control.get("ttl", "5m")))
    automatic = params.get("cache_control")
    if automatic is not None:
        marks.append(Breakpoint(total, digest.digest(), automatic.get("ttl", "5m")))
    return Prompt(total, tuple(marks))


def _weigh(value: Json) -> tuple[bytes, int]:
    """Return a block's bytes for the digest, and its tokens."""
    if value.get("type") == "text":
        return value["text"].encode(), tokens(value["text"])
    data = msgspec.json.encode({key: part for key, part in value.items() if key != "cache_control"})
    count = FILE_TOKENS if value.get("type") in {"image", "document"} else tokens(data.decode())
    return data, count


@dataclass(slots=True)
class CacheUse:
    """What the cache did for one request, in tokens."""

    read: int = 0
    written: dict[str, int] = field(default_factory=lambda: {"5m": 0, "1h": 0})

    def usage(self, prompt: Prompt, output_tokens: int, thinking_tokens: int, tier: str) -> dict[str, Any]:
        """Return the `usage` object."""
        created = sum(self.written.values())
        usage: dict[str, Any] = {
            "input_tokens": prompt.tokens - self.read - created,
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": self.read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": count for ttl, count in self.written.items()},
            "output_tokens": output_tokens,
            "service_tier": tier,
            "inference_geo": "not_available",
        }
        if thinking_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
        return usage


@dataclass(slots=True)
class Entry:
    """A prefix in the cache; times in seconds since the epoch."""

    since: float
    until: float


type Key = tuple[str, bytes]
"""Pool and prefix digest."""


class Cache:
    """The prefixes that requests have written."""

    def __init__(self) -> None:
        """Start cold."""
        self._entries: dict[Key, Entry] = {}

    def alive(self, key: Key, now: float) -> Entry | None:
        """Return the entry that a request at this moment could read."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.since <= now <= entry.until else None

    def forget(self, now: float) -> None:
        """Drop what nobody can read any more."""
        self._entries = {key: entry for key, entry in self._entries.items() if entry.until >= now}

    def merge(self, key: Key, entry: Entry) -> None:
        """Add what a batch wrote."""
        old = self._entries.get(key)
        if old is not None and old.until >= entry.since:
            entry = Entry(min(old.since, entry.since), max(old.until, entry.until))
        self._entries[key] = entry


class CacheSession:
    """The cache as the requests of one batch see it."""

    def __init__(self, cache: Cache, pool: str, *, hit_rate: float, see_own: bool) -> None:
        """Open the cache for a pool (workspace and tier) with a share of reads that hit."""
        self._cache = cache
        self._pool = pool
        self._hit_rate = hit_rate
        self._see_own = see_own
        self._written: dict[Key, Entry] = {}

    def charge(self, prompt: Prompt, model: str, least: int, now: float, roll: float) -> CacheUse:
        """Account for one request.

        Args:
            prompt: its size and breakpoints.
            model: its id; caches are not shared between models.
            least: the model's smallest prefix that is cached, in tokens.
            now: when it runs.
            roll: a number in 0..1 fixed by the request; below the hit rate, a read finds what is there.
        """
        use, past = CacheUse(), 0
        marks = [mark for mark in prompt.breakpoints if mark.tokens >= least]
        for mark, entry in reversed(list(self._lookup(marks, model, now))):
            if entry is not None and roll < self._hit_rate:
                entry.until = max(entry.until, now + TTL_SECONDS[mark.ttl])
                use.read = past = mark.tokens
                break
        for mark in marks:
            if mark.tokens > past:
                use.written[mark.ttl] += mark.tokens - past
                past = mark.tokens
                self._write((self._pool + model, mark.digest), now, TTL_SECONDS[mark.ttl])
        return use

    def _lookup(self, marks: list[Breakpoint], model: str, now: float) -> Iterator[tuple[Breakpoint, Entry | None]]:
        for mark in marks:
            key = (self._pool + model, mark.digest)
            own = self._written.get(key) if self._see_own else None
            yield mark, own or self._cache.alive(key, now)

    def _write(self, key: Key, now: float, ttl: float) -> None:
        entry = self._written.setdefault(key, Entry(now, now + ttl))
        entry.until = max(entry.until, now + ttl)

    def close(self) -> None:
        """Let the others see what was written."""
        for key, entry in self._written.items():
            self._cache.merge(key, entry)
