"""Responses as the service sends them, and connections dropped on purpose."""

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import ApiError

ORGANIZATION = "00000000-0000-4000-8000-00000000desk"
HTML_413 = (
    # As nginx words it and Cloudflare serves it.
    "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    "<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
    "</body>\r\n</html>\r\n"
)


class DroppableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the connection within reach: as `transport` in the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        """Remember the connection."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the connection that a request came by."""
    transport = scope["state"]["transport"]
    assert isinstance(transport, asyncio.Transport)
    return transport


async def drained(scope: Scope) -> None:
    """Wait until everything written has left this process."""
    while transport_of(scope).get_write_buffer_size():  # noqa: ASYNC110 - nothing announces an empty buffer
        await asyncio.sleep(0.005)


async def left(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Dropped:
    """An ASGI response that is none: the connection is closed without a byte."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Drop it."""
        transport_of(scope).abort()
        await left(receive)


class Silence:
    """An ASGI response that never comes."""

    def __init__(self, seconds: float | None) -> None:
        """Say nothing for so many real seconds, or until the client leaves; then drop the connection."""
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait."""
        try:
            await asyncio.wait_for(left(receive), self._seconds)
        except TimeoutError:
            await Dropped()(scope, receive, send)


def respond(body: Any, headers: dict[str, str], status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def refuse(error: ApiError, headers: dict[str, str]) -> Response:
    """Return an error in its envelope."""
    return respond(error.envelope(headers["request-id"]), {**headers, **error.headers}, error.status)


def too_large(headers: dict[str, str], *, html: bool) -> Response:
    """Return the 413, as the API or as Cloudflare in front of it says it."""
    if html:
        return Response(HTML_413, 413, {"server": "cloudflare"}, "text/html")
    return refuse(ApiError(413, "Request exceeds the maximum size"), headers)


def key_of(request: Request) -> str | None:
    """Return the API key; where both headers are there, the service uses `x-api-key`."""
    bearer = request.headers.get("authorization", "")
    token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else None
    return request.headers.get("x-api-key") or token or None
