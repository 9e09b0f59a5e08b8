"""The vendor's two reports on loopback, with whatever a test has it bill."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USAGE, COST = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"
TOKEN_TYPES = {
    "input": "uncached_input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write_5m": "cache_creation.ephemeral_5m_input_tokens",
    "cache_write_1h": "cache_creation.ephemeral_1h_input_tokens",
}


@dataclass
class Vendor:
    """What is billed, and what was asked."""

    url: str = ""
    used: dict[date, list[dict[str, Any]]] = field(default_factory=dict)
    billed: dict[date, list[dict[str, Any]]] = field(default_factory=dict)
    page: int = 31
    """Days on a page."""
    asked: list[tuple[str, dict[str, list[str]], tuple[str | None, str | None]]] = field(default_factory=list)
    """Path, query, and both headers that can hold a key, of each request."""
    answer: tuple[int, dict[str, str], bytes] | None = None
    """What is answered instead: status, headers, body."""

    def bill(
        self,
        day: date,
        model: str,
        tier: str = "batch",
        workspace: str | None = None,
        **kinds: tuple[int, str],
    ) -> None:
        """Bill use of a model: kind → tokens and USD."""
        count = {kind: tokens for kind, (tokens, _) in kinds.items()}
        who = {"model": model, "service_tier": tier, "workspace_id": workspace}
        self.used.setdefault(day, []).append(
            who
            | {
                "uncached_input_tokens": count.get("input", 0),
                "cache_creation": {
                    "ephemeral_5m_input_tokens": count.get("cache_write_5m", 0),
                    "ephemeral_1h_input_tokens": count.get("cache_write_1h", 0),
                },
                "cache_read_input_tokens": count.get("cache_read", 0),
                "output_tokens": count.get("output", 0),
                "server_tool_use": {"web_search_requests": 0},
                "inference_geo": None,
            }
        )
        self.billed.setdefault(day, []).extend(
            who | {"amount": str(Decimal(usd) * 100), "currency": "USD", "token_type": TOKEN_TYPES[kind]}
            for kind, (_, usd) in kinds.items()
        )

    def search(self, day: date, count: int, usd: str) -> None:
        """Bill web searches: of no model, and of no tier."""
        nobody = {"model": None, "service_tier": None, "workspace_id": None}
        self.bill(day, "claude-haiku-5-5")
        self.used[day][-1]["server_tool_use"]["web_search_requests"] = count
        self.billed[day].append(
            nobody | {"amount": str(Decimal(usd) * 100), "currency": "USD", "cost_type": "web_search"}
        )

    def report(self, path: str, query: dict[str, list[str]]) -> bytes:
        """Return a page of a report."""
        found = self.used if path == USAGE else self.billed
        start = date.fromisoformat(query.get("page", query["starting_at"])[0][:10])
        end = date.fromisoformat(query["ending_at"][0][:10])
        days = [start + timedelta(days=index) for index in range((end - start).days)]
        data = [{"starting_at": f"{day}T00:00:00Z", "results": found.get(day, [])} for day in days[: self.page]]
        more = len(days) > self.page
        next_page = f"{days[self.page]}T00:00:00Z" if more else None
        return json.dumps({"data": data, "has_more": more, "next_page": next_page}).encode()


@contextmanager
def billing() -> Iterator[Vendor]:
    """Serve a vendor."""
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            vendor.asked.append((url.path, query, (self.headers["x-api-key"], self.headers["authorization"])))
            status, headers, body = vendor.answer or (200, {}, vendor.report(url.path, query))
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield vendor
        finally:
            server.shutdown()
            thread.join()
