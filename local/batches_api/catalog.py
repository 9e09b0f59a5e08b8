"""The models that the local API knows, and the limits it holds them to.

Sources: platform.claude.com, the overview page of each model (context, output, thinking, release; October and
November 2026); prompt cache minima from the prompt caching page and litellm's `prompt_cache_min_tokens`; retirement
dates from the deprecations page, `DEPRECATED_MODELS` of the SDK 2.12 and release notes. A field that no source gives is
marked assumed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

MILLION = 1_000_000
EXTENDED_OUTPUT_BETA = "output-300k-2026-03-24"
EXTENDED_OUTPUT_TOKENS = 300_000


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


UNKNOWN = _day(1970, 1, 1)
"""The Models API's own convention: the epoch where a release date is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the API knows about a model."""

    id: str
    name: str
    line: str
    released: datetime = UNKNOWN
    aliases: tuple[str, ...] = ()
    """Other ids that answer; the answer names `id`."""
    max_input_tokens: int = MILLION
    max_tokens: int = 128_000
    min_cache_tokens: int
    """A prefix of fewer tokens is silently not cached."""
    adaptive: bool = True
    """Whether `thinking: adaptive` is accepted."""
    budgets: bool = False
    """Whether `thinking: enabled` with a budget is accepted: refused on 4.7 and later."""
    thinks_unasked: bool = False
    """Whether adaptive thinking is on when `thinking` is left out."""
    always_thinks: bool = False
    """Whether `thinking: disabled` is refused."""
    prefill: bool = False
    """Whether the conversation may end with an assistant turn: up to 4.5."""
    extended_output: bool = False
    """Whether the 300k output beta applies."""
    geo: bool = True
    """Whether `inference_geo` is accepted: 4.6 and later."""
    deprecated: datetime | None = None
    retires: datetime | None = None

    def output_limit(self, betas: frozenset[str]) -> int:
        """Return the largest `max_tokens` under these beta headers."""
        return EXTENDED_OUTPUT_TOKENS if self.extended_output and EXTENDED_OUTPUT_BETA in betas else self.max_tokens


_always_thinking = partial(Model, min_cache_tokens=512, thinks_unasked=True, always_thinks=True)
"""Stated for Fable 5.1 and Opus 5.5; assumed for the other Fable and Mythos models."""

_version_4_5 = partial(
    Model, max_input_tokens=200_000, max_tokens=64_000, adaptive=False, budgets=True, prefill=True, geo=False
)

MODELS: tuple[Model, ...] = (
    _always_thinking(id="claude-fable-5-2", name="Claude Fable 5.2", line="fable", released=_day(2026, 11, 9)),
    _always_thinking(id="claude-mythos-5-2", name="Claude Mythos 5.2", line="mythos", released=_day(2026, 11, 9)),
    Model(
        id="claude-haiku-5-5",
        name="Claude Haiku 5.5",
        line="haiku",
        released=_day(2026, 10, 7),
        min_cache_tokens=512,
        thinks_unasked=True,
        extended_output=True,
    ),
    Model(  # thinks_unasked assumed, as Haiku 5.5
        id="claude-sonnet-5-5",
        name="Claude Sonnet 5.5",
        line="sonnet",
        min_cache_tokens=512,
        thinks_unasked=True,
        extended_output=True,
    ),
    _always_thinking(id="claude-opus-5-5", name="Claude Opus 5.5", line="opus", extended_output=True),
    _always_thinking(id="claude-fable-5-1", name="Claude Fable 5.1", line="fable"),
    _always_thinking(id="claude-mythos-5-1", name="Claude Mythos 5.1", line="mythos"),
    _always_thinking(id="claude-fable-5", name="Claude Fable 5", line="fable"),
    _always_thinking(id="claude-mythos-5", name="Claude Mythos 5", line="mythos"),
    Model(
        id="claude-opus-5",
        name="Claude Opus 5",
        line="opus",
        released=_day(2026, 7, 24),
        min_cache_tokens=512,
        extended_output=True,
    ),
    Model(id="claude-sonnet-5", name="Claude Sonnet 5", line="sonnet", min_cache_tokens=1024, extended_output=True),
    Model(
        id="claude-opus-4-8",
        name="Claude Opus 4.8",
        line="opus",
        released=_day(2026, 5, 28),
        min_cache_tokens=1024,
        extended_output=True,
    ),
    Model(id="claude-opus-4-7", name="Claude Opus 4.7", line="opus", min_cache_tokens=2048, extended_output=True),
    Model(
        id="claude-opus-4-6",
        name="Claude Opus 4.6",
        line="opus",
        released=_day(2026, 2, 5),
        min_cache_tokens=4096,
        budgets=True,
        extended_output=True,
    ),
    Model(  # 64k output assumed, as Sonnet 4.5
        id="claude-sonnet-4-6",
        name="Claude Sonnet 4.6",
        line="sonnet",
        max_tokens=64_000,
        min_cache_tokens=1024,
        budgets=True,
        extended_output=True,
    ),
    _version_4_5(
        id="claude-opus-4-5-20251101",
        name="Claude Opus 4.5",
        line="opus",
        aliases=("claude-opus-4-5",),
        released=_day(2025, 11, 24),
        min_cache_tokens=4096,
    ),
    _version_4_5(
        id="claude-haiku-4-5-20251001",
        name="Claude Haiku 4.5",
        line="haiku",
        aliases=("claude-haiku-4-5",),
        released=_day(2025, 10, 1),
        min_cache_tokens=4096,
    ),
    _version_4_5(
        id="claude-sonnet-4-5-20250929",
        name="Claude Sonnet 4.5",
        line="sonnet",
        aliases=("claude-sonnet-4-5",),
        released=_day(2025, 9, 29),
        min_cache_tokens=1024,
        deprecated=_day(2026, 9, 30),
        retires=_day(2026, 11, 30),
    ),
)
"""Newest first, as the Models API lists them; ids as in `types/model.py` of the SDK 2.12."""

_BY_ID = {name: model for model in MODELS for name in (model.id, *model.aliases)}


class Catalog:
    """The models, with the retirements that the settings add."""

    def __init__(self, retired: Mapping[str, datetime]) -> None:
        """Add retirements, by model id or alias."""
        self._retired = {_BY_ID[name].id if name in _BY_ID else name: when for name, when in retired.items()}

    def known(self, name: str) -> Model | None:
        """Return a model by id or alias, retired or not."""
        return _BY_ID.get(name)

    def retires(self, model: Model) -> datetime | None:
        """Return when a model stops answering."""
        return self._retired.get(model.id, model.retires)

    def answering(self, name: str, now: float) -> Model | None:
        """Return a model that answers at a moment (seconds since the epoch)."""
        model = _BY_ID.get(name)
        if model is None:
            return None
        retires = self.retires(model)
        return model if retires is None or now < retires.timestamp() else None

    def describe(self, model: Model, now: float) -> dict[str, Any]:
        """Return a model as the Models API shows it (`types/model_info.py` of the SDK 2.12)."""
        retires = self.retires(model)
        lifecycle = "active" if retires is None else "deprecated" if now < retires.timestamp() else "retired"
        return {
            "type": "model",
            "id": model.id,
            "display_name": model.name,
            "created_at": _moment(model.released),
            "lifecycle": lifecycle,
            "deprecated_at": _moment(model.deprecated or retires) if retires is not None else None,
            "retires_at": _moment(retires),
            "line": model.line,
            "max_input_tokens": model.max_input_tokens,
            "max_tokens": model.max_tokens,
            "capabilities": _capabilities(model),
        }


def _moment(when: datetime | None) -> str | None:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when is not None else None


def _support(*, supported: bool) -> dict[str, bool]:
    return {"supported": supported}


def _capabilities(model: Model) -> dict[str, Any]:
    """Return the capabilities; what nightshift never looks at is assumed to be supported by all."""
    yes = _support(supported=True)
    later = _support(supported=model.geo)
    efforts = dict.fromkeys(("low", "medium", "high", "xhigh", "max"), later)
    thinking = {
        "adaptive": _support(supported=model.adaptive),
        "enabled": _support(supported=model.budgets),
        "disabled": _support(supported=not model.always_thinks),
        "between_tools": _support(supported=not model.budgets),
    }
    strategies = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")
    return {
        **dict.fromkeys(("batch", "citations", "code_execution", "image_input", "pdf_input"), yes),
        "structured_outputs": yes,
        "effort": {**later, **efforts},
        "thinking": {**yes, "types": thinking},
        "server_tools": {**yes, "code_execution": yes, "web_search": yes},
        "context_management": {**yes, **dict.fromkeys(strategies, yes)},
    }
