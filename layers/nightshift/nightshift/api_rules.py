"""What the Messages API refuses in a batch, row by row, so that a job can be refused before it costs anything.

Sources: the documentation of the Message Batches API, and the tables of the `anthropic` SDK 2.12.0, which speaks
version 2026-10-21 of the API.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from nightshift.yaml_lines import Path

type Problem = tuple[Path, str]
"""Where in the job, and what is wrong with it."""

MAX_TOKENS = 128_000
"""The longest answer any model gives without a beta header, in tokens."""

RETIRED = {
    "claude-3-5-haiku": date(2026, 2, 19),
    "claude-3-7-sonnet": date(2026, 2, 19),
    "claude-3-opus": date(2026, 1, 5),
    "claude-3-sonnet": date(2025, 7, 21),
    "claude-2": date(2025, 7, 21),
    "claude-1": date(2024, 11, 6),
    "claude-instant": date(2024, 11, 6),
    "claude-opus-4-0": date(2026, 6, 15),
    "claude-opus-4-20250514": date(2026, 6, 15),
    "claude-sonnet-4-0": date(2026, 6, 15),
    "claude-sonnet-4-20250514": date(2026, 6, 15),
    "claude-mythos-preview": date(2026, 6, 30),
    "claude-sonnet-4-5": date(2026, 11, 30),
}
"""Model name, or what its dated names start with → the day it stops answering (`DEPRECATED_MODELS` of the SDK)."""

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
    "betas": "beta features belong to the batch's header, and this version sends none",
    "anthropic_beta": "beta features belong to the batch's header, and this version sends none",
    "messages": "nightshift makes it from `prompt`",
}
"""Keys that no job can use, and why."""

JOB_FIELDS = frozenset({"model", "max_tokens", "system", "thinking"})
"""Keys of a Messages request that are fields of the job itself."""

_MODEL = re.compile(r"claude-[a-z0-9]+(-[a-z0-9]+)*")
_TAKES_A_BUDGET = re.compile(r"claude-(haiku-4-5|sonnet-4-5|opus-4-5|sonnet-4-6|opus-4-6)(-\d{8})?")
"""Models that still accept `thinking: {type: enabled}`: 4.7 and later refuse it."""
_BATCH_LIFE = timedelta(days=1)  # a batch sent today may run until tomorrow


def model_problem(model: str, today: date | None) -> str | None:
    """Say why a model cannot be used from `today` (None: whatever the day), or return None."""
    for name, day in RETIRED.items():
        if today is not None and re.fullmatch(rf"{re.escape(name)}([-.].*)?", model) and today + _BATCH_LIFE >= day:
            return f"`{model}` stops answering on {day}, and a batch may run until tomorrow: choose another model"
    if not _MODEL.fullmatch(model):
        return f"`{model}` is not a model's name: those look like claude-haiku-5-5"
    return None


def params_problems(params: Mapping[str, Any], *, formatted: bool) -> Iterator[Problem]:
    """Yield what is wrong with `params`; `formatted` where the job has labels or a schema of its own."""
    for key in params:
        if key in REFUSED:
            yield ("params", key), f"{REFUSED[key]}: delete the line"
        elif key in JOB_FIELDS:
            yield ("params", key), f"`{key}` is a field of the job: move the line to the top level"
        elif key not in PASSED:
            yield ("params", key), f"no such key in a Messages request; known here: {', '.join(sorted(PASSED))}"
    if params.get("service_tier", "auto") not in {"auto", "standard_only"}:
        yield ("params", "service_tier"), "must be `auto` or `standard_only`"
    config = params.get("output_config", {})
    if not isinstance(config, dict):
        yield ("params", "output_config"), "must be a mapping"
    elif formatted and "format" in config:
        yield ("params", "output_config", "format"), "nightshift makes it from `output`: delete the line"


def thinking_problem(model: str, budget: int | None, max_tokens: int) -> str | None:
    """Say why a thinking budget (tokens; None where thinking has none) cannot be used, or return None."""
    if budget is None:
        return None
    if not _TAKES_A_BUDGET.fullmatch(model):
        return f"`{model}` refuses a thinking budget: write `thinking: adaptive`"
    if budget >= max_tokens:
        return "the budget must be below max_tokens, which it is part of"
    return None


_SUBSCHEMAS = frozenset({"properties", "$defs"})
_SCHEMA_LISTS = frozenset({"anyOf", "allOf"})
_SCHEMA_WORDS = frozenset({
    "type", "properties", "required", "additionalProperties", "enum", "const", "items", "anyOf", "allOf", "$ref",
    "$defs", "title", "description", "default", "format", "pattern",
})  # fmt: skip
"""JSON Schema keywords that structured outputs compile; limits on numbers, lengths and counts are not among them."""


def schema_problems(schema: Any, path: Path) -> Iterator[Problem]:
    """Yield what structured outputs refuse in a JSON Schema that stands at `path`."""
    if not isinstance(schema, dict):
        yield path, "must be a mapping: a JSON Schema"
        return
    for word, value in schema.items():
        if word not in _SCHEMA_WORDS:
            yield (*path, word), f"structured outputs do not support `{word}`: delete it, and say it in a `description`"
        elif word in _SUBSCHEMAS and isinstance(value, dict):
            for name, below in value.items():
                yield from schema_problems(below, (*path, word, name))
        elif word in _SCHEMA_LISTS and isinstance(value, list):
            for index, below in enumerate(value):
                yield from schema_problems(below, (*path, word, index))
        elif word == "items":
            yield from schema_problems(value, (*path, word))
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield path, "structured outputs want `additionalProperties: false` on every object"
