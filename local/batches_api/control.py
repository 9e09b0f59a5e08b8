"""What the desk itself asks and sets, below `/_local`: no key, no version, no limits."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import audit
from .desk import Desk
from .faults import Fault
from .wire import respond


def routes(desk: Desk) -> Sequence[Route]:
    """Return the routes."""

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            desk.faults.faults.clear()
        elif request.method == "POST":
            try:
                desk.faults.faults.append(msgspec.json.decode(await request.body(), type=Fault))
            except msgspec.DecodeError as error:
                return _no(error)
        return respond(desk.faults.faults, {})

    async def settings(request: Request) -> Response:
        if request.method == "POST":
            try:
                desk.settings = desk.settings.patched(msgspec.json.decode(await request.body(), type=dict))
            except msgspec.DecodeError as error:
                return _no(error)
        return respond(desk.settings, {})

    async def batches(_request: Request) -> Response:
        await desk.settled()
        return respond(audit.listing(desk.store, desk.clock.now()), {})

    async def report(_request: Request) -> Response:
        await desk.settled()
        return respond(audit.report(desk.store, desk.audit, desk.clock.now()), {})

    return [
        Route("/_local/signed", _signed(desk)),
        Route("/_local/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_local/settings", settings, methods=["GET", "POST"]),
        Route("/_local/batches", batches),
        Route("/_local/audit", report),
    ]


def _signed(desk: Desk) -> Callable[[Request], Awaitable[Response]]:
    async def signed(_request: Request) -> Response:
        return respond(sorted(desk.signed), {})

    return signed


def _no(error: msgspec.DecodeError) -> Response:
    return respond({"error": str(error)}, {}, 400)
