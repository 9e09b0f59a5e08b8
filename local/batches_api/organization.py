"""The organization's reports: usage and cost, for whoever has an Admin key.

By the Admin API's reference: buckets of time, snapped to the width in UTC; a bucket without use has no results; pages
are of buckets. What is not served (grouping by API key, account or speed) is refused, so that nobody relies on it.
"""

import asyncio
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from starlette.datastructures import QueryParams
from starlette.types import ASGIApp

from .billing import Use, billed
from .call import Call
from .catalog import Catalog
from .desk import Desk
from .errors import invalid_request
from .wire import respond

ADMIN_KEY = "sk-ant-admin"
"""How an Admin key begins; no other key has any right here, and an Admin key has none elsewhere."""

WIDTHS = {"1m": (60, 60, 1440), "1h": (3600, 24, 168), "1d": (86_400, 7, 31)}
"""Width → its seconds; buckets on a page, by default and at most."""

WIDE = 200_000
"""Tokens of a prompt, above which it is in the wider context window."""

DIMENSIONS: Mapping[str, Callable[[Use], str | None]] = {
    "context_window": lambda use: "200k-1M" if use.prompt > WIDE else "0-200k",
    "inference_geo": lambda use: use.geo,
    "model": lambda use: use.model,
    "service_tier": lambda use: use.tier,
    "workspace_id": lambda use: None if use.workspace == "default" else use.workspace,  # the default one has no id
}
"""What usage can be grouped by."""

FILTERS = {"models[]": "model", "service_tiers[]": "service_tier", "workspace_ids[]": "workspace_id"}

CLASSES = {
    "input_tokens": ("uncached_input_tokens", "Input Tokens"),
    "cache_read_input_tokens": ("cache_read_input_tokens", "Input Tokens, Cache Read"),
    "ephemeral_1h_input_tokens": ("cache_creation.ephemeral_1h_input_tokens", "Input Tokens, Cache Write 1h"),
    "ephemeral_5m_input_tokens": ("cache_creation.ephemeral_5m_input_tokens", "Input Tokens, Cache Write 5m"),
    "output_tokens": ("output_tokens", "Output Tokens"),
}
"""Class of tokens in `usage` → `token_type`, and how it is described (the words are assumed)."""

type Key = tuple[str | None, ...]
type Work = Callable[[list[Use]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked for."""

    starts: range
    """The buckets' beginnings, of this page, in seconds since the epoch."""
    width: int
    groups: frozenset[str]
    filters: Mapping[str, frozenset[str]]
    more: bool

    def takes(self, use: Use) -> bool:
        """Tell whether a use is what was asked for."""
        return all(DIMENSIONS[name](use) in values for name, values in self.filters.items())


async def usage_report(desk: Desk, call: Call) -> ASGIApp:
    """Answer `GET /v1/organizations/usage_report/messages`."""
    query = call.request.query_params
    asked = _asked(query, call.now, frozenset(WIDTHS), frozenset(DIMENSIONS), FILTERS)
    return await _report(desk, call, asked, lambda uses: _usage(uses, asked.groups))


async def cost_report(desk: Desk, call: Call) -> ASGIApp:
    """Answer `GET /v1/organizations/cost_report`."""
    query = call.request.query_params
    asked = _asked(query, call.now, frozenset({"1d"}), frozenset({"description", "workspace_id"}), {})
    names = Catalog(desk.settings.retired_models)
    return await _report(desk, call, asked, lambda uses: _costs(uses, asked.groups, names))


async def _report(desk: Desk, call: Call, asked: Asked, results: Work) -> ASGIApp:
    """Answer the buckets of a page; the uses are read beside the loop, for there may be a million."""
    batches, answered = list(desk.store.batches.values()), list(desk.answered)
    found = await asyncio.to_thread(
        lambda: _buckets(billed(batches, answered, call.now - desk.settings.usage_delay_seconds), asked)
    )
    data = [
        {"starting_at": _moment(start), "ending_at": _moment(start + asked.width), "results": results(found[start])}
        for start in asked.starts
    ]
    page = f"page_{b64encode(_moment(asked.starts.stop).encode()).decode()}" if asked.more else None
    return respond({"data": data, "has_more": asked.more, "next_page": page}, call.headers)


def _buckets(uses: Iterable[Use], asked: Asked) -> Mapping[int, list[Use]]:
    found: dict[int, list[Use]] = defaultdict(list)
    for use in uses:
        start = int(use.at) // asked.width * asked.width
        if start in asked.starts and asked.takes(use):
            found[start].append(use)
    return found


def _usage(uses: list[Use], groups: frozenset[str]) -> list[dict[str, Any]]:
    """Return the results of a bucket: tokens by class, one for each group."""
    found: dict[Key, Counter[str]] = defaultdict(Counter)
    for use in uses:
        found[tuple(of(use) if name in groups else None for name, of in DIMENSIONS.items())].update(use.tokens)
    return [
        {
            **dict.fromkeys(("account_id", "api_key_id", "service_account_id")),
            **dict(zip(DIMENSIONS, key, strict=True)),
            "uncached_input_tokens": tokens["input_tokens"],
            "cache_creation": {name: tokens[name] for name in CLASSES if name.startswith("ephemeral")},
            "cache_read_input_tokens": tokens["cache_read_input_tokens"],
            "output_tokens": tokens["output_tokens"],
            "server_tool_use": {"web_search_requests": 0},
        }
        for key, tokens in sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
    ]


def _costs(uses: list[Use], groups: frozenset[str], names: Catalog) -> list[dict[str, Any]]:
    """Return the results of a bucket: cents as a decimal string, one for each group."""
    found: Counter[Key] = Counter()
    for use in uses:
        workspace = DIMENSIONS["workspace_id"](use) if "workspace_id" in groups else None
        for name, amount in use.costs.items():
            if amount:
                found[(workspace, *(_description(use, name) if "description" in groups else (None,) * 4))] += amount
    ordered = sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
    return [{**_described(key, names), "amount": _cents(amount), "currency": "USD"} for key, amount in ordered]


def _description(use: Use, kind: str) -> Key:
    return use.model, use.tier, kind, DIMENSIONS["context_window"](use)


def _described(key: Key, names: Catalog) -> dict[str, Any]:
    workspace, model, tier, kind, window = key
    empty = dict.fromkeys(
        ("context_window", "cost_type", "description", "inference_geo", "model", "service_tier", "token_type")
    )
    if model is None or tier is None or kind is None:
        return {**empty, "workspace_id": workspace}
    token_type, words = CLASSES[kind]
    known = names.known(model)
    assert known is not None
    described = f"{known.name} Usage - {words}{', Batch' if tier == 'batch' else ''}"
    more = {"description": described, "model": model, "service_tier": tier, "token_type": token_type}
    return {**empty, "context_window": window, "cost_type": "tokens", "workspace_id": workspace, **more}


def _cents(amount: int) -> str:
    """Write picodollars in cents."""
    exact = Decimal(amount).scaleb(-10).normalize()
    return f"{exact:f}"


def _asked(
    query: QueryParams, now: float, widths: frozenset[str], groups: frozenset[str], filters: Mapping[str, str]
) -> Asked:
    """Read a query; the messages are assumed, in pydantic's words."""
    known = {"starting_at", "ending_at", "bucket_width", "group_by[]", "limit", "page", *filters}
    for name in query.keys() - known:
        raise invalid_request(f"{name}: Extra inputs are not permitted")
    width = _one_of("bucket_width", query.get("bucket_width", "1d"), widths)
    seconds, usual, most = WIDTHS[width]
    if "starting_at" not in query:
        raise invalid_request("starting_at: Field required")
    first = int(_seconds("starting_at", query["starting_at"])) // seconds * seconds
    end = _seconds("ending_at", query["ending_at"]) if "ending_at" in query else now // seconds * seconds + seconds
    start = _page(query["page"]) if "page" in query else first
    limit = _limit(query.get("limit", str(usual)), most)
    starts = range(start, int(end) // seconds * seconds, seconds)
    return Asked(
        starts=starts[:limit],
        width=seconds,
        groups=frozenset(_one_of("group_by", name, groups) for name in query.getlist("group_by[]")),
        filters={field: frozenset(query.getlist(name)) for name, field in filters.items() if name in query},
        more=len(starts) > limit,
    )


def _one_of(name: str, value: str, allowed: frozenset[str]) -> str:
    if value not in allowed:
        raise invalid_request(f"{name}: Input should be {' or '.join(map(repr, sorted(allowed)))}")
    return value


def _limit(value: str, most: int) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise invalid_request(f"limit: Input should be a valid integer from 1 to {most}")
    return int(value)


def _seconds(name: str, value: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid_request(f"{name}: Input should be a valid datetime with a time zone")
    return moment.timestamp()


def _page(value: str) -> int:
    try:
        return int(_seconds("page", b64decode(value.removeprefix("page_"), validate=True).decode()))
    except ValueError:
        raise invalid_request("page: Invalid page token") from None


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
