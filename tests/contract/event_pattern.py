"""EventBridge's event patterns, as far as the template uses them."""

from collections.abc import Mapping
from typing import Any


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Tell whether an event matches: every field of the pattern, by at least one of the field's alternatives."""
    return all(name in event and _field(wanted, event[name]) for name, wanted in pattern.items())


def _field(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and matches(wanted, value)
    return any(_alternative(alternative, value) for alternative in wanted)


def _alternative(wanted: Any, value: Any) -> bool:
    match wanted:
        case str():
            return bool(value == wanted)
        case {"prefix": str(prefix), **rest} if not rest:
            return isinstance(value, str) and value.startswith(prefix)
    raise NotImplementedError(f"this matcher does not know {wanted!r}: teach it, or write the pattern in simpler terms")
