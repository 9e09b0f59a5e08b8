"""What the Messages API refuses in a batch, row by row, so that a job can be refused before it costs anything.

Sources: the documentation of the Message Batches API, and the tables of the `anthropic` SDK 2.12.0, which speaks
version 2026-10-21 of the API.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from nightshift.schema_rules import Problem, schema_problems

MAX_TOKENS = 300_000
"""The longest answer any model gives, in tokens: in a batch, and with `LONG_ANSWERS`."""
LONG_ANSWERS = "output-300k-2026-03-24"
"""The beta that answers of more than `_USUAL_MOST` want (documentation of batch processing)."""

MOST_ENCODED = {"image": 5 * 1024 * 1024, "document": 30_000_000}
"""Bytes of base64 of a picture (the API's errors: "image exceeds 5 MB maximum", of the text), and of a document: a
request may have 32 MB (documentation of vision and of PDF support)."""

RETIRED = {
    "claude-3-5-haiku": date(2026, 2, 19),
    "claude-3-7-sonnet": date(2026, 2, 19),
    "claude-3-5-sonnet": date(2025, 10, 28),
    "claude-3-opus": date(2026, 1, 5),
    "claude-3-haiku": date(2026, 4, 20),
    "claude-3-sonnet": date(2025, 7, 21),
    "claude-2": date(2025, 7, 21),
    "claude-1": date(2024, 11, 6),
    "claude-instant": date(2024, 11, 6),
    "claude-opus-4-0": date(2026, 6, 15),
    "claude-opus-4-20250514": date(2026, 6, 15),
    "claude-sonnet-4-0": date(2026, 6, 15),
    "claude-sonnet-4-20250514": date(2026, 6, 15),
    "claude-mythos-preview": date(2026, 6, 30),
    "claude-opus-4-1": date(2026, 8, 5),
    "claude-sonnet-4-5": date(2026, 11, 30),
}
"""Model name, or what its dated names start with → the day it stops answering: `DEPRECATED_MODELS` of the SDK and
documentation of model deprecations (read in its copies of August 2026)."""

PASSED = frozenset({
    "cache_control", "container", "diagnostics", "inference_geo", "metadata", "output_config", "service_tier",
    "stop_sequences", "tool_choice", "tools", "user_profile_id",
})  # fmt: skip
"""Keys of a Messages request that `params` passes on as they are."""

REFUSED = {
    "temperature": "the API refuses it since version 2026-10-21, at any value",
    "top_p": "the API refuses it since version 2026-10-21, at any value",
    "top_k": "the API refuses it since version 2026-10-21, at any value",
    "stream": "a batch cannot stream",
    "speed": "fast mode is not available in a batch",
    "store": "not available in a batch",
    "previous_thread_event_id": "not available in a batch",
    "cache_hint": "not available in a batch",
    "context_hint": "not available in a batch",
    "research_preview_2026_02": "not available in a batch",
    "fallbacks": "the API refuses it in a batch's requests",
    "anthropic_beta": "beta features belong to the batch's header: write `betas: [NAME]` at the top level",
}
"""Keys that no job can use, and why."""

JOB_FIELDS = frozenset({"betas", "max_tokens", "messages", "model", "system", "thinking"})
"""Keys of a Messages request, and its header, that are fields of the job itself."""

BETA_PASSED = frozenset({"compaction", "context_management", "mcp_servers"})
"""Keys that `params` passes on in a job with betas (`types/beta/message_create_params.py` of the SDK)."""

_MODEL = re.compile(r"claude-[a-z0-9]+(-[a-z0-9]+)*")
_TAKES_A_BUDGET = re.compile(r"claude-(haiku-4-5|sonnet-4-5|opus-4-5|sonnet-4-6|opus-4-6)(-\d{8})?")
"""Models that still accept `thinking: {type: enabled}`: 4.7 and later refuse it."""
_UNDATED = re.compile(r"(claude-[a-z]+-(?:4-[6-9]|[5-9](?:-[1-9])?))-\d{8}")
"""Names with a date of models that have none: from 4.6 on a model has one name (captures of September 2026: a dated
name of Opus 5 is not found)."""
_VERSION_4_5 = re.compile(r"claude-(haiku|sonnet|opus)-4-5(-\d{8})?")
"""Models without adaptive thinking and `inference_geo`."""
_WINDOW, _SMALL_WINDOW = 1_000_000, 200_000
"""Tokens that a request may have, and one of version 4.5 (overview of the models)."""
_ALWAYS_THINKS = re.compile(r"claude-(opus-5-5|fable|mythos)\b.*")
"""Models that refuse `thinking: disabled`: Fable and Mythos, and Opus 5.5 (their pages in the API's documentation)."""
_NOT_FORCED = re.compile(r"claude-(sonnet-5-5|fable-5-[1-9])\b.*")
"""Models that a tool cannot be forced on (release note of 1 September 2026)."""
_SHORTER_ANSWERS = re.compile(r"claude-(haiku-4-5|sonnet-4-5|opus-4-5|sonnet-4-6)(-\d{8})?")
_MOST_OF_SOME, _USUAL_MOST = 64_000, 128_000
"""Tokens of the longest answer of `_SHORTER_ANSWERS`, and of the other models (overview of the models)."""
_LONGER_ANSWERS = re.compile(r"claude-(opus|sonnet)-(4-[678]|5|5-5)|claude-haiku-5-5")
"""Models that take `LONG_ANSWERS`: Opus and Sonnet from 4.6 to 5.5, and Haiku 5.5; Fable and Mythos do not."""
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LONGEST_USER_ID = 256
"""Characters (API reference)."""
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MOST_STRICT = 20
"""Strict tools of a request (documentation of structured outputs)."""
_MOST_BREAKPOINTS = 4
"""Cache breakpoints of a request (documentation of prompt caching)."""
_BATCH_LIFE = timedelta(days=1)  # a batch sent today may run until tomorrow


def model_problem(model: str, today: date | None) -> str | None:
    """Say why a model cannot be used from `today` (None: whatever the day), or return None."""
    for name, day in RETIRED.items():
        if today is not None and re.fullmatch(rf"{re.escape(name)}([-.].*)?", model) and today + _BATCH_LIFE >= day:
            return f"`{model}` stops answering on {day}, and a batch may run until tomorrow: choose another model"
    if not _MODEL.fullmatch(model):
        return f"`{model}` is not a model's name: those look like claude-haiku-5-5"
    if dated := _UNDATED.fullmatch(model):
        return f"the API has no `{model}`: from 4.6 on names have no date, as in `{dated[1]}`"
    return None


def thinking_problem(model: str, kind: str, budget: int | None, max_tokens: int) -> str | None:
    """Say why a kind of thinking, or its budget (tokens; None where it has none), cannot be used, or return None."""
    if budget is not None:
        if not _TAKES_A_BUDGET.fullmatch(model):
            return f"`{model}` refuses a thinking budget: write `thinking: adaptive`"
        if budget >= max_tokens:
            return "the budget must be below max_tokens, which it is part of"
    elif kind == "adaptive" and _VERSION_4_5.fullmatch(model):
        return f"`{model}` knows no adaptive thinking: write `{{type: enabled, budget_tokens: …}}`"
    elif kind != "adaptive" and _ALWAYS_THINKS.fullmatch(model):
        return f"`{model}` always thinks: write `thinking: adaptive`"
    return None


def most_tokens(model: str, betas: Collection[str]) -> int:
    """Return the tokens of a model's longest answer."""
    if LONG_ANSWERS in betas and _LONGER_ANSWERS.fullmatch(model):
        return MAX_TOKENS
    return _MOST_OF_SOME if _SHORTER_ANSWERS.fullmatch(model) else _USUAL_MOST


def max_tokens_problem(model: str, max_tokens: int, betas: Collection[str]) -> str | None:
    """Say why a model gives no answer of so many tokens, or return None."""
    if max_tokens <= (most := most_tokens(model, betas)):
        return None
    why = f"`{model}` gives answers of at most {most:,} tokens"
    return f"{why}; with `betas: [{LONG_ANSWERS}]`, {MAX_TOKENS:,}" if _LONGER_ANSWERS.fullmatch(model) else why


def window(model: str) -> int:
    """Return how many tokens a model's requests may have."""
    return _SMALL_WINDOW if _VERSION_4_5.fullmatch(model) else _WINDOW


def forces_tools(model: str, thinking: str) -> bool:
    """Tell whether a model can be made to call a tool: not while it thinks, and some cannot at all."""
    return thinking == "disabled" and not _NOT_FORCED.fullmatch(model)


def params_problems(
    params: Mapping[str, Any], betas: Collection[str], *, formatted: bool, called: bool
) -> Iterator[Problem]:
    """Yield what is wrong with `params`.

    Args:
        params: the job's.
        betas: the job's.
        formatted: the job has labels, a schema or a tool of its own.
        called: the answer is the call of a tool.
    """
    for key in params:
        if key in REFUSED:
            yield ("params", key), f"{REFUSED[key]}: delete the line"
        elif key in JOB_FIELDS:
            yield ("params", key), f"`{key}` is a field of the job: move the line to the top level"
        elif key in BETA_PASSED:
            if not betas:
                yield ("params", key), "the API takes it with a beta: write `betas: [NAME]` at the top level"
        elif key not in PASSED:
            yield ("params", key), f"no such key in a Messages request; known here: {', '.join(sorted(PASSED))}"
    yield from _not_json(params, ("params",))
    yield from _mark_problems(params, ("params",))
    if params.get("service_tier", "auto") not in ("auto", "standard_only"):
        yield ("params", "service_tier"), "must be `auto` or `standard_only`"
    if "metadata" in params:
        yield from _metadata_problems(params["metadata"])
    if not _texts(params.get("stop_sequences", [])):
        yield ("params", "stop_sequences"), "must be a list of texts that are not blank"
    yield from _output_problems(params.get("output_config", {}), formatted=formatted)
    yield from _tools_problems(params, called=called)


def _not_json(value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield what YAML has and JSON has not: a day, bytes, a number without end."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_json(below, (*path, key))
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        yield path, "JSON has no such value (YAML makes days of 2026-01-31, and `.nan` no number): put it in quotes"


def _mark_problems(holder: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield what is wrong with the cache breakpoint of a request or a tool."""
    mark = holder.get("cache_control")
    plain = isinstance(mark, dict) and mark.get("type") == "ephemeral" and mark.keys() <= {"type", "ttl"}
    if mark is not None and not (plain and mark.get("ttl", "5m") in ("5m", "1h")):
        yield (*path, "cache_control"), "must be `{type: ephemeral, ttl: 5m}`, or with `1h`"


def _metadata_problems(metadata: Any) -> Iterator[Problem]:
    user = metadata.get("user_id") if isinstance(metadata, dict) else 0
    if not isinstance(metadata, dict) or metadata.keys() - {"user_id"}:
        yield ("params", "metadata"), "the API takes `user_id` here, and no other key"
    elif user is not None and not (isinstance(user, str) and len(user) <= _LONGEST_USER_ID):
        yield ("params", "metadata", "user_id"), f"must be a text of at most {_LONGEST_USER_ID} characters"


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)


def _output_problems(config: Any, *, formatted: bool) -> Iterator[Problem]:
    path = ("params", "output_config")
    if not isinstance(config, dict):
        yield path, "must be a mapping"
        return
    for key in config.keys() - {"effort", "format"}:
        yield (*path, key), "no such key: the API takes `effort` here, and `format`"
    if config.get("effort", "high") not in _EFFORTS:
        yield (*path, "effort"), f"must be one of {', '.join(_EFFORTS)}"
    if formatted and "format" in config:
        yield (*path, "format"), "nightshift makes it from `output`: delete the line"
    elif "format" in config:
        format_ = config["format"] if isinstance(config["format"], dict) else {}
        if format_.get("type") != "json_schema":
            yield (*path, "format"), "must be `{type: json_schema, schema: {…}}`"
        else:
            yield from schema_problems(format_.get("schema"), (*path, "format", "schema"))


def _tools_problems(params: Mapping[str, Any], *, called: bool) -> Iterator[Problem]:
    tools, names = params.get("tools", []), set[str]()
    if not isinstance(tools, list):
        yield ("params", "tools"), "must be a list"
        return
    for index, tool in enumerate(tools):
        path = ("params", "tools", index)
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            if not isinstance(tool, dict) or tool.get("type") != "mcp_toolset" or "mcp_servers" not in params:
                yield path, "must be a mapping with a `name` of at most 128 letters, digits, _ and -"
            continue
        if name in names:
            yield (*path, "name"), f"a second tool is named `{name}`"
        names.add(name)
        yield from _tool_problems(tool, path)
    if sum(isinstance(tool, dict) and tool.get("strict") is True for tool in tools) > _MOST_STRICT:
        yield ("params", "tools"), f"at most {_MOST_STRICT} of them may be strict"
    if called and "tool_choice" in params:
        yield ("params", "tool_choice"), "nightshift makes it from `output.tool`: delete the line"
    elif "tool_choice" in params:
        yield from _choice_problems(params["tool_choice"], names)


def _tool_problems(tool: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Problem]:
    yield from _mark_problems(tool, path)
    if not isinstance(tool.get("strict", False), bool):
        yield (*path, "strict"), "must be true or false"
    if tool.get("type", "custom") == "custom":
        yield from _custom_tool_problems(tool, path)


def _custom_tool_problems(tool: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Problem]:
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield path, "must have an `input_schema` that describes an object: `type: object`"
    elif tool.get("strict") is True:
        yield from schema_problems(schema, (*path, "input_schema"))


def _choice_problems(choice: Any, names: set[str]) -> Iterator[Problem]:
    path, kind = ("params", "tool_choice"), choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        yield path, "must be `{type: auto}`, `{type: any}`, `{type: none}` or `{type: tool, name: …}`"
    elif not names:
        yield path, "there are no `tools` to choose from"
    elif kind == "tool" and choice.get("name") not in names:
        yield (*path, "name"), "no tool of `tools` has this name"
    elif kind in {"any", "tool"}:
        why = "every answer would be a call of a tool, and be invalid: say `output: {tool: NAME}` in place of it"
        yield path, why


def breakpoint_problems(params: Mapping[str, Any], ttl: str | None) -> Iterator[Problem]:
    """Yield what is wrong with the breakpoints of `params` beside that of nightshift, which may come behind the tools.

    Args:
        params: the job's.
        ttl: `5m` or `1h`, of nightshift's breakpoint; None where there is none.
    """
    tools = params.get("tools")
    marks = [tool.get("cache_control") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    ttls = [mark.get("ttl", "5m") if isinstance(mark, dict) else None for mark in marks] + [ttl]
    if "5m" in ttls and "1h" in ttls[ttls.index("5m") :]:
        path = ("params", "tools", ttls.index("5m"), "cache_control")
        yield path, "the API takes no breakpoint of 1h behind one of 5m: say `ttl: 1h` here, or `cache: {ttl: 5m}`"
    if (found := sum(each is not None for each in [*ttls, params.get("cache_control")])) > _MOST_BREAKPOINTS:
        yield ("params",), f"{found} cache breakpoints with that of nightshift: the API takes {_MOST_BREAKPOINTS}"


def mixture_problems(model: str, thinking: str, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with params in view of the model and the kind of thinking: the API takes each alone."""
    config = params.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    if thinking in {"disabled", "between_tools"} and effort in ("xhigh", "max"):
        yield ("params", "output_config", "effort"), f"effort {effort} wants `thinking: adaptive`"
    if "inference_geo" in params and _VERSION_4_5.fullmatch(model):
        yield ("params", "inference_geo"), f"`{model}` cannot be told where it runs: models from 4.6 on can"
