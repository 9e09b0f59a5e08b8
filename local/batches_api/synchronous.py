"""The synchronous side: `POST /v1/messages` and `count_tokens`, by the rules of a batch's rows, answered at once."""

from typing import Any

from . import model as stand_in
from .catalog import Catalog, Model
from .content import Json, problems
from .desk import Caller, Desk
from .errors import STATUSES, ApiError
from .processing import share, too_long
from .rows import RowError
from .usage import CacheSession, measure
from .validation import Rules, first_problem

ONLY_MESSAGES = frozenset({"max_tokens", "stream", "metadata", "stop_sequences"})
"""Keys of a Messages request that `count_tokens` does not take."""


def catalog_of(desk: Desk) -> Catalog:
    """Return the models as the settings have them now."""
    return Catalog(desk.settings.retired_models)


def message(desk: Desk, caller: Caller, params: Json, now: float) -> Json:
    """Answer a request.

    Raises:
        ApiError: what a batch would report in the row.
    """
    rules = Rules(caller.version, caller.betas, batch=False, catalog=catalog_of(desk), now=now)
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
    return answer.message(message_id, model.id, usage)


def count(desk: Desk, caller: Caller, params: Json, now: float) -> int:
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
    model = catalog_of(desk).answering(str(params["model"]), now)
    if model is None:
        raise ApiError(404, f"model: {params['model']}")
    return model


def _refuse(problem: RowError | None) -> None:
    if problem is not None:
        raise ApiError(STATUSES[problem.kind], problem.message)
