"""The bill as the vendor has it: the usage and cost reports of the Admin API, for which the SDK has no methods."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from nightshift.errors import NightshiftError
from nightshift.money import amount_of
from nightshift_cli.bills import SEARCH, Amount, Bill, Item, Period, plain

USAGE, COST = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"
PAGE = 31
"""Days on a page, at most (API reference)."""
DEFAULT = "default"
"""What the default workspace is called here: in the reports it has no id."""

type Get = Callable[[str, Mapping[str, Any]], bytes]
"""Asks the Admin API: path and query → the answer's body."""

KINDS = {
    "uncached_input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
}
"""The cost report's `token_type` → class of `money.Tokens`."""


class ReportUnreadable(NightshiftError):
    """The vendor's report is not what its reference says."""


class _Creation(msgspec.Struct):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class _Searches(msgspec.Struct):
    web_search_requests: int = 0


class _Used(msgspec.Struct):
    model: str | None
    service_tier: str | None
    workspace_id: str | None
    uncached_input_tokens: int
    cache_creation: _Creation
    cache_read_input_tokens: int
    output_tokens: int
    server_tool_use: _Searches | None = None

    def amounts(self) -> Iterator[tuple[str, int]]:
        """Yield counts by class."""
        yield "input", self.uncached_input_tokens
        yield "output", self.output_tokens
        yield "cache_read", self.cache_read_input_tokens
        yield "cache_write_5m", self.cache_creation.ephemeral_5m_input_tokens
        yield "cache_write_1h", self.cache_creation.ephemeral_1h_input_tokens
        if self.server_tool_use is not None:
            yield SEARCH, self.server_tool_use.web_search_requests


class _Cost(msgspec.Struct):
    amount: str
    """Cents."""
    currency: str
    workspace_id: str | None
    model: str | None = None
    service_tier: str | None = None
    token_type: str | None = None
    cost_type: str | None = None


class _Bucket[T](msgspec.Struct):
    starting_at: datetime
    results: list[T]


class _Page[T](msgspec.Struct):
    data: list[_Bucket[T]]
    has_more: bool
    next_page: str | None = None


_USAGE, _COST = msgspec.json.Decoder(_Page[_Used]), msgspec.json.Decoder(_Page[_Cost])


@dataclass(frozen=True, slots=True)
class VendorBill:
    """What the vendor has of a period."""

    bill: Bill = field(default_factory=Bill)
    workspaces: set[str] = field(default_factory=set)
    """Those that used anything."""

    def has(self, workspace: str | None, wanted: str | None) -> bool:
        """Note whose a result is, and tell whether it is wanted."""
        name = workspace or DEFAULT
        self.workspaces.add(name)
        return wanted is None or name == wanted


def vendor_bill(get: Get, period: Period, workspace: str | None) -> VendorBill:
    """Ask for both reports of a period; `workspace` None: of the whole organization."""
    found = VendorBill()
    usage = {"bucket_width": "1d", "group_by": ["model", "service_tier", "workspace_id"]}
    for day, used in _results(get, USAGE, usage, period, _USAGE):
        if found.has(used.workspace_id, workspace):
            for kind, count in used.amounts():
                found.bill.add(_item(day, used.model, used.service_tier, kind), Amount(tokens=count))
    for day, cost in _results(get, COST, {"group_by": ["description", "workspace_id"]}, period, _COST):
        if found.has(cost.workspace_id, workspace):
            kind = KINDS.get(cost.token_type or "", cost.token_type or cost.cost_type or "")
            found.bill.add(_item(day, cost.model, cost.service_tier, kind), Amount(cost=_amount(cost)))
    return found


def _item(day: date, model: str | None, tier: str | None, kind: str) -> Item:
    return Item(day, "", "", kind) if kind == SEARCH else Item(day, plain(model or ""), tier or "", kind)


def _results[T](
    get: Get, path: str, query: Mapping[str, Any], period: Period, decoder: msgspec.json.Decoder[_Page[T]]
) -> Iterator[tuple[date, T]]:
    """Yield a report's results with their day, page by page; a page has a day at least."""
    asked = {"starting_at": _moment(period.start), "ending_at": _moment(period.end), "limit": PAGE, **query}
    for _ in range((period.end - period.start).days):
        try:
            page = decoder.decode(get(path, asked))
        except msgspec.DecodeError as error:
            raise ReportUnreadable(f"{path} answers what its reference does not know: {error}.") from None
        yield from ((bucket.starting_at.date(), result) for bucket in page.data for result in bucket.results)
        if not page.has_more or not page.next_page:
            return
        asked["page"] = page.next_page


def _amount(cost: _Cost) -> int:
    if cost.currency != "USD":
        raise ReportUnreadable(f"{COST} bills in {cost.currency}; the ledger is in USD.")
    try:
        return amount_of(Decimal(cost.amount) / 100)
    except InvalidOperation:
        raise ReportUnreadable(f"{COST} has an amount that is no number.") from None


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
