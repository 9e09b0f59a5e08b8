"""The routes of the API."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from . import control, synchronous
from .catalog import MODELS
from .desk import Caller, Desk
from .errors import ApiError, invalid_request, no_results
from .faults import Endpoint, Fault
from .lifecycle import Batch, Status, describe, standing
from .results import ResultsResponse
from .store import LONGEST_PAGE
from .validation import VERSIONS
from .wire import ORGANIZATION, Dropped, Silence, key_of, refuse, respond, too_large

BATCHES = "/v1/messages/batches"
POLL_SECONDS = 10
"""`retry-after` of a batch that has not ended, on a 200."""

DEFAULT_PAGE = 20
UNLIMITED = frozenset({"models", "messages", "count_tokens"})
"""What the batch endpoints' requests a minute do not count."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a client."""

    request: Request
    caller: Caller
    headers: dict[str, str]
    """What every answer carries."""
    now: float
    fault: Fault | None = None

    @property
    def batch_id(self) -> str:
        """The batch it is about."""
        return str(self.request.path_params["batch_id"])


type Work = Callable[[Desk, Call], Awaitable[ASGIApp]]


def build(desk: Desk) -> Starlette:
    """Return the application."""

    def route(path: str, method: str, name: Endpoint, work: Work) -> Route:
        async def handle(request: Request) -> ASGIApp:
            return await _answer(desk, request, name, work)

        return Route(path, handle, methods=[method])

    one = BATCHES + "/{batch_id}"
    routes = [
        route(BATCHES, "POST", "create", create),
        route(BATCHES, "GET", "list", list_batches),
        route(one, "GET", "retrieve", retrieve),
        route(one + "/cancel", "POST", "cancel", cancel),
        route(one, "DELETE", "delete", delete),
        route(one + "/results", "GET", "results", results),
        route("/v1/models", "GET", "models", list_models),
        route("/v1/models/{model_id}", "GET", "models", retrieve_model),
        route("/v1/messages", "POST", "messages", messages),
        route("/v1/messages/count_tokens", "POST", "count_tokens", count_tokens),
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
        caller = _caller(desk, request)
        if name != "create":
            await desk.settled()
        now = desk.clock.now()
        if name not in UNLIMITED:
            desk.budget.spend(desk.settings.rpm, now)
            headers |= desk.budget.headers(desk.settings.rpm, now)
        fault = None if name == "create" else _fault(desk, request, name, now)
        if fault is not None and fault.before_work:
            return _misbehave(fault, headers)
        return await work(desk, Call(request, caller, headers, now, fault))
    except ApiError as error:
        return refuse(error, headers)


def _headers(desk: Desk) -> dict[str, str]:
    return {"request-id": desk.new_id("req"), "anthropic-organization-id": ORGANIZATION}


def _caller(desk: Desk, request: Request) -> Caller:
    """Return who calls; the two messages about missing headers are from memory, the third is assumed."""
    key = key_of(request)
    if key is None:
        raise ApiError(401, "x-api-key header is required")
    if desk.settings.keys is not None and key not in desk.settings.keys:
        raise ApiError(401, "API key is invalid.")
    version = request.headers.get("anthropic-version")
    if version is None:
        raise invalid_request("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid_request(f'anthropic-version: "{version}" is not a valid version')
    betas = ",".join(request.headers.getlist("anthropic-beta"))
    workspace = desk.settings.workspaces.get(key, "default")
    return Caller(workspace, version, frozenset(beta.strip() for beta in betas.split(",") if beta.strip()))


def _fault(desk: Desk, request: Request, name: Endpoint, now: float) -> Fault | None:
    batch = desk.store.batches.get(request.path_params.get("batch_id", ""))
    if batch is None:
        return desk.faults.take(name, index=None)
    return desk.faults.take(name, index=batch.index, batch_id=batch.id, age=now - batch.created_at)


def _misbehave(fault: Fault, headers: dict[str, str]) -> ASGIApp:
    """Return what is answered instead."""
    if fault.kind == "html-413":
        return too_large(headers, html=True)
    if fault.status is None:
        return Silence(fault.seconds) if fault.kind.endswith("hang") else Dropped()
    extra = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.x_should_retry is not None:
        extra["x-should-retry"] = str(fault.x_should_retry).lower()
    message = fault.message or f"Fault on request: {fault.status}"
    error = ApiError(fault.status, message, kind=fault.error_type, error_code=fault.error_code, headers=extra)
    return refuse(error, headers)


async def create(desk: Desk, call: Call) -> ASGIApp:
    """Make a batch, and write down how that ended."""
    body = desk.store.folder / f"body-{uuid4().hex}"
    try:
        try:
            complete = await _receive(call.request, body, desk.settings.max_batch_bytes)
        except ClientDisconnect:
            desk.audit.post(call.now, "not accepted: the client left before the body was complete", status=None)
            return Dropped()
        if not complete:
            desk.audit.post(call.now, "refused: the body is too large", status=413)
            return too_large(call.headers, html=desk.settings.html_413)
        return await _create(desk, call, body)
    finally:
        body.unlink(missing_ok=True)


async def _receive(request: Request, body: Path, limit: int) -> bool:
    """Spool the body; False if it is larger than the limit (it is read to its end, so that the answer is heard)."""
    size = 0
    with body.open("wb") as out:
        async for block in request.stream():
            size += len(block)
            if size <= limit:
                out.write(block)
    return size <= limit


async def _create(desk: Desk, call: Call, body: Path) -> ASGIApp:
    fault = desk.faults.take("create", index=desk.next_index)
    if fault is not None and fault.before_work:
        desk.audit.post(call.now, f"not accepted: {fault.kind}", status=fault.status)
        return _misbehave(fault, call.headers)
    try:
        batch = await desk.accept(body, call.caller, fault)
    except ApiError as error:
        desk.audit.post(call.now, f"refused: {error.message}", status=error.status)
        raise
    if fault is None or fault.kind in {"all-expired", "canceled"}:
        desk.audit.post(call.now, "accepted", status=200, batch=batch)
        return respond(_describe(desk, call, batch), call.headers)
    silent = "no answer" if fault.kind == "accept-then-hang" else "connection closed"
    what = silent if fault.status is None else f"answered {fault.status}"
    desk.audit.post(call.now, f"accepted, {what}", status=fault.status, batch=batch)
    return _misbehave(fault, call.headers)


def _describe(desk: Desk, call: Call, batch: Batch) -> dict[str, Any]:
    url = f"{str(call.request.base_url).rstrip('/')}{BATCHES}/{batch.id}/results"
    if call.fault is not None and call.fault.kind == "foreign-results-url":
        url = call.fault.url
    return describe(batch, standing(batch, desk.clock.now()), url, progressive=desk.settings.progressive)


def _find(desk: Desk, call: Call) -> Batch:
    """Return the batch a call is about; with a fault, the 404 of a batch that is not visible yet."""
    hidden = call.fault is not None and call.fault.kind == "not-found"
    return desk.store.get(call.batch_id, call.caller.workspace, float("-inf") if hidden else call.now)


async def list_batches(desk: Desk, call: Call) -> ASGIApp:
    """Answer a page of the list."""
    query = call.request.query_params
    limit = _limit(query.get("limit"))
    page = desk.store.page(
        call.caller.workspace, call.now, limit=limit, after=query.get("after_id"), before=query.get("before_id")
    )
    data = [_describe(desk, call, batch) for batch in page.batches]
    return respond(_page(data, has_more=page.has_more), call.headers)


def _limit(value: str | None) -> int:
    """Return the page size; the messages are assumed, in pydantic's words."""
    if value is None:
        return DEFAULT_PAGE
    if not value.isdecimal():
        raise invalid_request("limit: Input should be a valid integer, unable to parse string as an integer")
    if int(value) < 1:
        raise invalid_request("limit: Input should be greater than or equal to 1")
    if int(value) > LONGEST_PAGE:
        raise invalid_request(f"limit: Input should be less than or equal to {LONGEST_PAGE}")
    return int(value)


def _page(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": has_more, "first_id": ends[0], "last_id": ends[1]}


async def retrieve(desk: Desk, call: Call) -> ASGIApp:
    """Answer a batch, and when to ask again."""
    batch = _find(desk, call)
    headers = dict(call.headers)
    if standing(batch, call.now).status is not Status.ENDED:
        headers["retry-after"] = str(POLL_SECONDS)
    return respond(_describe(desk, call, batch), headers)


async def cancel(desk: Desk, call: Call) -> ASGIApp:
    """Start canceling a batch; one that is canceling or has ended stays as it is (assumed for the latter)."""
    batch = _find(desk, call)
    if batch.cancel_at is None and standing(batch, call.now).status is Status.IN_PROGRESS:
        batch.cancel_at = call.now
    return respond(_describe(desk, call, batch), call.headers)


async def delete(desk: Desk, call: Call) -> ASGIApp:
    """Delete a batch that has ended."""
    batch = _find(desk, call)
    if standing(batch, call.now).status is not Status.ENDED:
        raise invalid_request("In progress batches cannot be deleted. Consider canceling the batch instead.")
    batch.deleted = True
    return respond({"id": batch.id, "type": "message_batch_deleted"}, call.headers)


async def results(desk: Desk, call: Call) -> ASGIApp:
    """Stream a batch's results."""
    batch = _find(desk, call)
    state = standing(batch, call.now)
    if state.status is not Status.ENDED or state.archived_at is not None:
        raise no_results(batch.id)
    gzip = desk.settings.gzip and "gzip" in call.request.headers.get("accept-encoding", "")
    return ResultsResponse(batch, state, call.headers, call.fault, gzip)


async def list_models(desk: Desk, call: Call) -> ASGIApp:
    """Answer the models, all on one page unless a smaller one is asked for."""
    catalog, query = synchronous.catalog_of(desk), call.request.query_params
    models = [catalog.describe(model, call.now) for model in MODELS]
    after = next((i + 1 for i, model in enumerate(MODELS) if model.id == query.get("after_id")), 0)
    limit = _limit(query.get("limit"))
    return respond(_page(models[after : after + limit], has_more=after + limit < len(models)), call.headers)


async def retrieve_model(desk: Desk, call: Call) -> ASGIApp:
    """Answer a model, by id or alias."""
    catalog, name = synchronous.catalog_of(desk), str(call.request.path_params["model_id"])
    model = catalog.known(name)
    if model is None:
        raise ApiError(404, f"model: {name}")
    return respond(catalog.describe(model, call.now), call.headers)


async def messages(desk: Desk, call: Call) -> ASGIApp:
    """Answer one request at once."""
    params = await _params(call.request)
    return respond(synchronous.message(desk, call.caller, params, call.now), call.headers)


async def count_tokens(desk: Desk, call: Call) -> ASGIApp:
    """Count a prompt."""
    params = await _params(call.request)
    return respond({"input_tokens": synchronous.count(desk, call.caller, params, call.now)}, call.headers)


async def _params(request: Request) -> dict[str, Any]:
    try:
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from None
    raise invalid_request("Input should be a valid dictionary")
