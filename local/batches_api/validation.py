"""What makes a request an `errored` row: every check of `params`, done after create has long answered 200.

The same checks answer `POST /v1/messages` with a 400 or 404 at once. Strings are as recorded where there is a recording
(captures of September 2026); *assumed* ones use the same vocabulary. The first problem is the one that is reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import content, schema
from .catalog import Catalog, Model
from .content import SAMPLING_FREE, Json
from .rows import RowError, extra, invalid, required

VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
"""Every `anthropic-version` there has been."""

KEYS = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
        *("stop_sequences", "metadata", "service_tier", "inference_geo", "cache_control", "container", "diagnostics"),
        *("user_profile_id", "speed", "stream"),
    }
)
"""`types/message_create_params.py` of the SDK 2.12."""

SAMPLING_KEYS = frozenset({"temperature", "top_p", "top_k"})
BETA_KEYS = frozenset({"context_management", "mcp_servers", "compaction", "thread", "billing_policy"})
NOT_IN_BATCH = frozenset(
    {"store", "previous_thread_event_id", "cache_hint", "context_hint", "fallbacks", "research_preview_2026_02"}
)

NOT_FORCED = frozenset({"claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2"})
"""Models that a tool cannot be forced on (release note of 1 September 2026; litellm)."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
SERVICE_TIERS = ("auto", "standard_only")
LEAST_BUDGET = 1024
LONGEST_USER_ID = 256


@dataclass(frozen=True, slots=True)
class Rules:
    """What a request is held to: its headers, its endpoint, its moment."""

    version: str
    betas: frozenset[str]
    batch: bool
    catalog: Catalog
    now: float
    """When the request is processed, which is not when its batch was created: a model may retire in between."""


def first_problem(params: Json, rules: Rules) -> RowError | None:
    """Return why a request cannot be processed, or None."""
    return next(problems(params, rules), None)


def problems(params: Json, rules: Rules) -> Iterator[RowError]:
    """Yield what is wrong with a request, in the order in which the service is taken to look."""
    yield from _keys(params, rules)
    yield from content.problems(params, rules.version)
    yield from _scalars(params)
    yield from _max_tokens(params, rules)
    yield from _batch_only(params, rules)
    model = rules.catalog.answering(params["model"], rules.now)
    if model is None:
        yield RowError("not_found_error", f"model: {params['model']}")
        return
    limit = model.output_limit(rules.betas)
    if params["max_tokens"] > limit:
        maximum = "which is the maximum allowed number of output tokens for"
        yield invalid(f"max_tokens: {params['max_tokens']} > {limit}, {maximum} {params['model']}")
    yield from _thinking(params, model)
    yield from _tools(params, model)
    yield from _output(params)
    yield from _rest(params, model)


def _keys(params: Json, rules: Rules) -> Iterator[RowError]:
    allowed = KEYS if rules.version >= SAMPLING_FREE else KEYS | SAMPLING_KEYS
    if rules.betas:
        allowed |= BETA_KEYS
    for key in params:
        if rules.batch and key in NOT_IN_BATCH:
            yield invalid(f"{key} is not supported in the Message Batches API")  # assumed
        elif key not in allowed:
            yield extra(key)
    if "model" not in params:
        yield required("model")
    elif not isinstance(params["model"], str):
        yield invalid("model: Input should be a valid string")


def _scalars(params: Json) -> Iterator[RowError]:
    metadata = params.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            yield invalid("metadata: Input should be a valid dictionary")
        for key in metadata.keys() - {"user_id"}:
            yield extra(f"metadata.{key}")
        if len(str(metadata.get("user_id"))) > LONGEST_USER_ID:
            yield invalid(f"metadata.user_id: String should have at most {LONGEST_USER_ID} characters")
    tier = params.get("service_tier")
    if tier is not None and tier not in SERVICE_TIERS:
        yield invalid("service_tier: Input should be 'auto' or 'standard_only'")
    sequences = params.get("stop_sequences")
    if sequences is not None and not (isinstance(sequences, list) and all(isinstance(s, str) for s in sequences)):
        yield invalid("stop_sequences: Input should be a valid list")
    for key in SAMPLING_KEYS - {"top_k"} & params.keys():
        if not isinstance(params[key], int | float) or not 0 <= params[key] <= 1:
            yield invalid(f"{key}: range: 0..1")


def _max_tokens(params: Json, rules: Rules) -> Iterator[RowError]:
    if "max_tokens" not in params:
        yield required("max_tokens")
    elif not isinstance(params["max_tokens"], int) or isinstance(params["max_tokens"], bool):
        yield invalid("max_tokens: Input should be a valid integer")
    elif params["max_tokens"] < (1 if rules.batch else 0):
        yield invalid("max_tokens: must be greater than or equal to 1")


def _batch_only(params: Json, rules: Rules) -> Iterator[RowError]:
    if params.get("stream") and rules.batch:
        yield invalid('"stream=True" is not supported in the Message Batches API')
    if params.get("stream") and not rules.batch:
        yield invalid("stream: this local server answers whole messages only")
    if params.get("speed") == "fast" and rules.batch:
        yield invalid('"speed" is not supported in the Message Batches API')  # assumed


def _thinking(params: Json, model: Model) -> Iterator[RowError]:
    thinking = params.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled":
        yield from _budget(params, thinking, model)
    elif kind == "adaptive":
        if not model.adaptive:
            yield invalid("adaptive thinking is not supported on this model")  # assumed
    elif kind in {"disabled", "between_tools"}:
        # Disabled thinking goes with effort up to high (documented for Haiku 5.5).
        if model.always_thinks or (params.get("output_config") or {}).get("effort") in {"xhigh", "max"}:
            yield invalid(f'"thinking.type.{kind}" is not supported for this model.')  # assumed
    else:
        yield invalid("thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'")


def _budget(params: Json, thinking: Json, model: Model) -> Iterator[RowError]:
    if not model.budgets:
        instead = 'Use "thinking.type.adaptive" and "output_config.effort"'
        yield invalid(f'"thinking.type.enabled" is not supported for this model. {instead}')
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        yield required("thinking.enabled.budget_tokens")
    elif budget < LEAST_BUDGET:
        yield invalid(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}")
    elif budget >= params["max_tokens"]:
        yield invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _tools(params: Json, model: Model) -> Iterator[RowError]:
    names = [tool["name"] for tool in params.get("tools") or () if tool.get("type") != "mcp_toolset"]
    if len(set(names)) < len(names):
        yield invalid("tools: Tool names must be unique.")  # seen
    choice = params.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in {"auto", "any", "tool", "none"}:
        yield invalid("tool_choice: Input tag does not match any of the expected tags: 'any', 'auto', 'none', 'tool'")
        return
    if kind == "any" and not names:
        yield invalid("tool_choice.any may only be specified while providing tools")  # seen
    if kind == "tool" and choice.get("name") not in names:
        yield invalid(f"Tool '{choice.get('name')}' not found in provided tools")
    if kind in {"any", "tool"} and model.id in NOT_FORCED:
        yield invalid(f'"tool_choice.type.{kind}" is not supported for this model.')  # assumed
    if kind in {"any", "tool"} and (params.get("thinking") or {}).get("type") in {"adaptive", "enabled"}:
        yield invalid("Thinking may not be enabled when tool_choice forces tool use.")  # seen


def _output(params: Json) -> Iterator[RowError]:
    config: Any = params.get("output_config")
    if config is None:
        return
    if not isinstance(config, dict):
        yield invalid("output_config: Input should be a valid dictionary")
        return
    for key in config.keys() - {"effort", "format"}:
        yield extra(f"output_config.{key}")
    if config.get("effort") is not None and config["effort"] not in EFFORTS:
        yield invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        yield invalid("output_config.format.type: Input should be 'json_schema'")
    elif "schema" not in form:
        yield required("output_config.format.schema")
    else:
        yield from schema.problems(form["schema"], "output_config.format.schema")


def _rest(params: Json, model: Model) -> Iterator[RowError]:
    if params["messages"][-1]["role"] == "assistant" and not model.prefill:
        yield invalid(  # seen in public threads about 4.6
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if params.get("inference_geo") is not None and not model.geo:
        yield invalid("inference_geo: this model does not support the inference_geo parameter")  # assumed
