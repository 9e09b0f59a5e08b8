"""The routes of the API."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from . import batches, control, organization, signatures, synchronous
from .betas import betas_of
from .call import Call, misbehave
from .desk import Caller, Desk
from .errors import ApiError, invalid_request
from .faults import Endpoint, Fault
from .validation import VERSIONS
from .wire import ORGANIZATION, key_of, refuse

ADMINISTRATION = frozenset({"usage_report", "cost_report"})
"""What an Admin key is for, and no other key."""

UNLIMITED = frozenset({"models", "messages", "count_tokens"}) | ADMINISTRATION
"""What the batch endpoints' requests a minute do not count."""

type Work = Callable[[Desk, Call], Awaitable[ASGIApp]]


def build(desk: Desk) -> Starlette:
    """Return the application."""

    def route(path: str, method: str, name: Endpoint, work: Work) -> Route:
        async def handle(request: Request) -> ASGIApp:
            return await _answer(desk, request, name, work)

        return Route(path, handle, methods=[method])

    one = batches.BATCHES + "/{batch_id}"
    routes = [
        route(batches.BATCHES, "POST", "create", batches.create),
        route(batches.BATCHES, "GET", "list", batches.list_batches),
        route(one, "GET", "retrieve", batches.retrieve),
        route(one + "/cancel", "POST", "cancel", batches.cancel),
        route(one, "DELETE", "delete", batches.delete),
        route(one + "/results", "GET", "results", batches.results),
        route("/v1/models", "GET", "models", synchronous.list_models),
        route("/v1/models/{model_id}", "GET", "models", synchronous.retrieve_model),
        route("/v1/messages", "POST", "messages", synchronous.messages),
        route("/v1/messages/count_tokens", "POST", "count_tokens", synchronous.count_tokens),
        route("/v1/organizations/usage_report/messages", "GET", "usage_report", organization.usage_report),
        route("/v1/organizations/cost_report", "GET", "cost_report", organization.cost_report),
        *control.routes(desk),
    ]

    async def unknown(_request: Request, _error: Exception) -> Response:
        return refuse(ApiError(404, "Not found"), _headers(desk))

    async def wrong_method(_request: Request, _error: Exception) -> Response:
        return refuse(ApiError(405, "Method Not Allowed"), _headers(desk))

    return Starlette(routes=routes, exception_handlers={404: unknown, 405: wrong_method})


async def _answer(desk: Desk, request: Request, name: Endpoint, work: Work) -> ASGIApp:
    """Do what every endpoint does around its work: identity, limits, faults, errors."""
    headers = _headers(desk)
    try:
        if signatures.is_signed(request):
            caller = await _signing_caller(desk, request, name)
        else:
            caller = _caller(desk, request, admin=name in ADMINISTRATION)
        if name == "list":
            await desk.settled()
        now = desk.clock.now()
        if name not in UNLIMITED:
            desk.budget.spend(desk.settings.rpm, now)
            headers |= desk.budget.headers(desk.settings.rpm, now)
        fault = None if name == "create" else _fault(desk, request, name, now)
        if fault is not None and fault.before_work:
            return misbehave(fault, headers)
        return await work(desk, Call(request, caller, headers, now, fault))
    except ApiError as error:
        if name == "create":
            desk.audit.post(desk.clock.now(), f"refused: {error.message}", status=error.status)
        return refuse(error, headers)


def _headers(desk: Desk) -> dict[str, str]:
    return {"request-id": desk.new_id("req"), "anthropic-organization-id": ORGANIZATION}


def _caller(desk: Desk, request: Request, *, admin: bool) -> Caller:
    """Return who calls; the two messages about missing headers are from memory, the third is assumed."""
    key = key_of(request)
    if key is None:
        raise ApiError(401, "x-api-key header is required")
    wrong_kind = key.startswith(organization.ADMIN_KEY) != admin
    if wrong_kind or (desk.settings.keys is not None and key not in desk.settings.keys):
        raise ApiError(401, "API key is invalid.")
    return _in_workspace(request, desk.settings.workspaces.get(key, "default"))


async def _signing_caller(desk: Desk, request: Request, name: Endpoint) -> Caller:
    """Return who signed, and write down what for."""
    key_id = await signatures.signer(request)
    if name not in signatures.ACTIONS:
        raise ApiError(403, "Claude Platform on AWS does not have this.")
    desk.signed.add((key_id, f"{signatures.SERVICE}:{signatures.ACTIONS[name]}"))
    return _in_workspace(request, request.headers["anthropic-workspace-id"])


def _in_workspace(request: Request, workspace: str) -> Caller:
    version = request.headers.get("anthropic-version")
    if version is None:
        raise invalid_request("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid_request(f'anthropic-version: "{version}" is not a valid version')
    return Caller(workspace, version, betas_of(request.headers.getlist("anthropic-beta")))


def _fault(desk: Desk, request: Request, name: Endpoint, now: float) -> Fault | None:
    batch = desk.store.batches.get(request.path_params.get("batch_id", ""))
    if batch is None:
        return desk.faults.take(name, index=None)
    return desk.faults.take(name, index=batch.index, batch_id=batch.id, age=now - batch.created_at)
