"""What a job would waste, or be held for, though the API would take it: what that refuses is in api_rules.py."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Any

from nightshift.api_rules import RETIRED, forces_tools
from nightshift.caching import least_prefix
from nightshift.job import Job
from nightshift.requests import answer_schema, shared_messages, shared_params, tool_choice
from nightshift.yaml_lines import Path
from nightshift_cli.job import price_problems

SOON = 90
"""Days before a model's retirement from which on a job is told."""

ROOM_TO_THINK = 1024
"""Tokens below which an answer of a model that thinks may be all thoughts."""

BYTES_PER_TOKEN = 4
"""About, in English; the API counts exactly, free of charge (`nightshift estimate`)."""

BYTES_OF_A_LABEL = 2
"""Bytes per token of labels: their words are cut into smaller tokens than prose is."""


FEW_TOKENS, FAR_ABOVE = 256, 8
"""So many tokens are never too many for an answer; above them, so many times the longest answer are."""

_SCALARS = {"boolean": len("false"), "null": len("null"), "integer": 20, "number": 24}
"""Bytes of the longest value of a type: of a number, as many digits as 64 bits have."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """A run would be held, or its rows refused."""
    WARNING = "warning"
    NOTE = "note"


type Warned = tuple[Path, Severity, str]
"""Where in the job, how bad, and what."""


def warnings(job: Job, today: date) -> Iterator[Warned]:
    """Yield what a person should know of a job before it runs."""
    yield from _model(job, today)
    yield from ((path, Severity.ERROR, reason) for path, reason in price_problems(today, job))
    yield from _thinking(job)
    yield from _room(job)
    yield from _waste(job)
    yield from _attachments(job)
    yield from _tool(job)
    yield from _cache(job)
    yield from _examples(job)
    if "{{" in job.system:
        yield ("system",), Severity.WARNING, "`{{ … }}` is sent as it stands: `system` is no template; use `prompt`"
    if job.limits.max_usd is None:
        yield ("limits", "max_usd"), Severity.WARNING, "a run may cost whatever it costs: only the month's cap holds it"


def _model(job: Job, today: date) -> Iterator[Warned]:
    for name, day in RETIRED.items():
        left = (day - today).days
        if re.fullmatch(rf"{re.escape(name)}([-.].*)?", job.model) and left <= SOON:
            yield ("model",), Severity.WARNING, f"`{job.model}` stops answering on {day}, in {left} days"


def _thinking(job: Job) -> Iterator[Warned]:
    if job.thinking == "adaptive" and job.max_tokens < ROOM_TO_THINK:
        why = f"thoughts count, and {job.max_tokens:,} tokens may be all thoughts: take {ROOM_TO_THINK:,} or more, or "
        yield ("max_tokens",), Severity.WARNING, f"{why}`thinking: disabled`"


def _room(job: Job) -> Iterator[Warned]:
    longest = max(job.output.labels or ("",), key=lambda label: len(label.encode()))
    wanted = -(-len(json.dumps({"label": longest}, ensure_ascii=False).encode()) // BYTES_OF_A_LABEL)
    if longest and job.max_tokens < wanted:
        why = f"too small for the label `{longest}`, which may take {wanted} tokens: its answers would be cut short"
        yield ("max_tokens",), Severity.WARNING, why


def _waste(job: Job) -> Iterator[Warned]:
    """Say where max_tokens is far above the longest answer that there can be: estimates and reservations go by it."""
    schema = answer_schema(job)
    longest = _longest(schema) if schema is not None and job.thinking == "disabled" else None
    wanted = -(-(longest or 0) // BYTES_OF_A_LABEL)
    if wanted and job.max_tokens > max(FEW_TOKENS, FAR_ABOVE * wanted):
        by = "what a run may cost at most goes by it"
        if job.output.labels is None:
            by = "before a pilot has answered, what is estimated and reserved goes by it"
        yield ("max_tokens",), Severity.NOTE, f"far above the longest answer, about {wanted:,} tokens: {by}"


def _longest(schema: Mapping[str, Any]) -> int | None:
    """Return the bytes of the longest answer that a schema allows; None where it sets no end, as for texts."""
    options = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if options is not None:
        return max(len(json.dumps(option, ensure_ascii=False).encode()) for option in options)
    if schema.get("type") == "object" and schema.get("properties"):
        parts = {name: _longest(below) for name, below in schema["properties"].items()}
        sizes = [len(json.dumps({name: 0}).encode()) + size for name, size in parts.items() if size is not None]
        return sum(sizes) if len(sizes) == len(parts) else None
    return _SCALARS.get(str(schema.get("type")))


def _attachments(job: Job) -> Iterator[Warned]:
    if job.attachments and not job.conversation.texts and not job.required:
        why = "a row without any of them asks what all such rows ask: the prompt uses no column, and they are optional"
        yield ("attachments",), Severity.WARNING, why


def _tool(job: Job) -> Iterator[Warned]:
    if job.output.tool is None or (called := job.output.tool_in(job.params)) is None:
        return
    if tool_choice(job, job.output.tool)["type"] == "auto":
        if len(job.params["tools"]) > 1:
            why = "beside other tools"
        elif not forces_tools(job.model, "disabled"):
            why = f"on `{job.model}`"
        else:
            why = "on a model that thinks (with `thinking: disabled` it can be)"
        text = "an answer may be a text, and the row then ends as `invalid`: `no_tool_call`"
        yield ("output", "tool"), Severity.WARNING, f"its call cannot be forced {why}: {text}"
    if called[1].get("strict") is not True:
        why = "without `strict: true` the API does not hold a call to its schema: some may be `invalid`"
        yield ("params", "tools", called[0]), Severity.NOTE, why


def _examples(job: Job) -> Iterator[Warned]:
    shown = {str(example.answer).strip().casefold() for example in job.examples}
    missed = [label for label in job.output.labels or () if label.strip().casefold() not in shown]
    if shown and missed:
        why = f"none is of `{'`, `'.join(missed)}`: what is never shown tends to be answered less"
        yield ("examples",), Severity.NOTE, why


def _cache(job: Job) -> Iterator[Warned]:
    if job.cache.when == "never" or not (job.system.strip() or job.examples):
        return
    least, shared = least_prefix(job.model), [shared_params(job, ""), shared_messages(job)]
    tokens = len(json.dumps(shared, ensure_ascii=False).encode()) // BYTES_PER_TOKEN
    if tokens < least:
        severity = Severity.WARNING if job.cache.when == "always" else Severity.NOTE
        why = f"nothing is cached: rows share about {tokens:,} tokens, and `{job.model}` caches none below {least:,}"
        yield ("examples" if job.examples else "system",), severity, why
    elif job.cache.when == "primed" and job.pilot is None:
        yield (
            ("pilot",),
            Severity.WARNING,
            "without one nothing fills the cache, so each row pays for all it shares",
        )
