"""The synchronous side: Messages and `count_tokens`, by the rules of a batch's rows; and the models."""

import contextlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp

from . import model as stand_in
from .billing import Use
from .call import Call, limit_of, page_of
from .catalog import MODELS, Catalog, Model
from .content import Json, problems
from .desk import Caller, Desk
from .errors import STATUSES, ApiError, invalid_request
from .processing import share, too_long
from .rows import RowError
from .usage import CacheSession, measure
from .validation import Rules, first_problem
from .wire import respond

ONLY_MESSAGES = frozenset({"max_tokens", "stream", "metadata", "stop_sequences"})
"""Keys of a Messages request that `count_tokens` does not take."""


async def list_models(desk: Desk, call: Call) -> ASGIApp:
    """Answer the models, all on one page unless a smaller one is asked for."""
    catalog, query = _catalog(desk), call.request.query_params
    models = [catalog.describe(model, call.now) for model in MODELS]
    after = next((i + 1 for i, model in enumerate(MODELS) if model.id == query.get("after_id")), 0)
    limit = limit_of(query.get("limit"))
    return respond(page_of(models[after : after + limit], has_more=after + limit < len(models)), call.headers)


async def retrieve_model(desk: Desk, call: Call) -> ASGIApp:
    """Answer a model, by id or alias."""
    catalog, name = _catalog(desk), str(call.request.path_params["model_id"])
    model = catalog.known(name)
    if model is None:
        raise ApiError(404, f"model: {name}")
    return respond(catalog.describe(model, call.now), call.headers)


async def messages(desk: Desk, call: Call) -> ASGIApp:
    """Answer one request at once."""
    params = await _params(call.request)
    return respond(_message(desk, call.caller, params, call.now), call.headers)


async def count_tokens(desk: Desk, call: Call) -> ASGIApp:
    """Count a prompt."""
    params = await _params(call.request)
    return respond({"input_tokens": _count(desk, call.caller, params, call.now)}, call.headers)


async def _params(request: Request) -> dict[str, Any]:
    try:
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from None
    raise invalid_request("Input should be a valid dictionary")


def _catalog(desk: Desk) -> Catalog:
    """Return the models as the settings have them now."""
    return Catalog(desk.settings.retired_models)


def _message(desk: Desk, caller: Caller, params: Json, now: float) -> Json:
    """Answer a request.

    Raises:
        ApiError: what a batch would report in the row.
    """
    rules = Rules(caller.version, caller.betas, batch=False, catalog=_catalog(desk), now=now)
    _refuse(first_problem(params, rules))
    model, prompt = _model(desk, params, now), measure(params)
    _refuse(too_long(prompt, model))
    message_id = desk.new_id("msg")
    session = CacheSession(
        desk.processor.cache, f"standard/{caller.workspace}/", hit_rate=desk.settings.cache_hit_rate, see_own=True
    )
    use = session.charge(prompt, model.id, model.min_cache_tokens, now, share(message_id))
    session.close()
    answer = stand_in.answer(params, model)
    usage = use.usage(prompt, answer.output_tokens, answer.thinking_tokens, "standard")
    message = answer.message(message_id, model.id, usage)
    desk.answered.append(Use.of(now, caller.workspace, message))
    return message


def _count(desk: Desk, caller: Caller, params: Json, now: float) -> int:
    """Return the tokens of a prompt.

    Raises:
        ApiError: 400 or 404.
    """
    for key in sorted(ONLY_MESSAGES & params.keys()):
        raise ApiError(400, f"{key}: Extra inputs are not permitted")
    _refuse(next(problems(params, caller.version), None))
    _model(desk, params, now)
    return measure(params).tokens


def _model(desk: Desk, params: dict[str, Any], now: float) -> Model:
    if "model" not in params:
        raise ApiError(400, "model: Field required")
    model = _catalog(desk).answering(str(params["model"]), now)
    if model is None:
        raise ApiError(404, f"model: {params['model']}")
    return model


def _refuse(problem: RowError | None) -> None:
    if problem is not None:
        raise ApiError(STATUSES[problem.kind], problem.message)
