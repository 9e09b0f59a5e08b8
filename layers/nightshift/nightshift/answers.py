"""Answers: from a model's text, or its call of a tool, to what the job asked for.

Structured outputs make the model keep to a schema, but not in every case (a refusal, an answer cut short, another
spelling of an enum's value), so each answer is checked again. A library for JSON Schema would refuse the other spelling
instead of correcting it, and would weigh more than this: the API compiles a small subset (schema_rules.py), all of it
here but `format` and `pattern`, which its grammar enforces and which differ from Python's.

Reasons name the place in the job's schema and never hold the model's text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from nightshift.job_sections import Output


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """Reads the answers of a job."""

    read: Callable[[str | msgspec.Raw], tuple[Any, str]]
    """Takes the model's text, or the input of its call as JSON; returns the answer and "", or None and the reason why
    there is none."""
    tool: str | None = None
    """The tool whose call is the answer; None: the text is."""
    again: bool = False
    """An answer that `max_tokens` cut off is asked for once more, with a larger one."""


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int,),
}


def answer_reader(output: Output, params: Mapping[str, Any], *, again: bool = False) -> ReadAnswer:
    """Return what reads the answers of a job.

    Args:
        output: the job's.
        params: the job's.
        again: an answer that `max_tokens` cut off is asked for once more.
    """
    if output.labels is not None:
        return ReadAnswer(partial(_label, {_folded(label): label for label in output.labels}), again=again)
    if (schema := output.object_schema(params)) is not None:
        return ReadAnswer(partial(_structured, schema), output.tool, again)
    return ReadAnswer(_text, again=again)


def _text(text: str | msgspec.Raw) -> tuple[Any, str]:
    return text, ""


def _label(labels: Mapping[str, str], text: str | msgspec.Raw) -> tuple[Any, str]:
    """Read `{"<any name>": "<label>"}` or `"<label>"`, and return the label in the job's spelling."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None, "not_json"
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    label = labels.get(_folded(value)) if isinstance(value, str) else None
    return (label, "") if label is not None else (None, "not_a_label")


def _structured(schema: Mapping[str, Any], text: str | msgspec.Raw) -> tuple[Any, str]:
    try:
        return _conform(msgspec.json.decode(text), schema, schema, "$"), ""
    except _Misfit as misfit:
        return None, f"not_the_schema: {misfit}"
    except ValueError:
        return None, "not_json"
    except RecursionError:
        return None, "too_deep"


class _Misfit(Exception):
    """An answer is not what its schema says; the text names the place and the rule."""


def _conform(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Any:
    """Return the value with its enums spelled as in the schema, or raise _Misfit."""
    if "$ref" in schema:
        value = _conform(value, _definition(schema["$ref"], root, path), root, path)
    for each in schema.get("allOf", ()):
        value = _conform(value, each, root, path)
    if "anyOf" in schema:
        value = _conform_to_any(value, schema["anyOf"], root, path)
    if "type" in schema and not _is_a(value, schema["type"]):
        raise _misfit(path, "type")
    if "const" in schema:
        value = _spelled(value, [schema["const"]], path, "const")
    if "enum" in schema:
        value = _spelled(value, schema["enum"], path, "enum")
    if isinstance(value, dict):
        return _conform_object(value, schema, root, path)
    if isinstance(value, list) and "items" in schema:
        return [_conform(item, schema["items"], root, f"{path}[{index}]") for index, item in enumerate(value)]
    return value


def _conform_object(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> dict[str, Any]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise _misfit(f"{path}.{name}", "required")
    if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
        raise _misfit(path, "additionalProperties")  # without its name, which is the model's text
    return {
        name: _conform(below, properties[name], root, f"{path}.{name}") if name in properties else below
        for name, below in value.items()
    }


def _conform_to_any(value: Any, schemas: Sequence[Mapping[str, Any]], root: Mapping[str, Any], path: str) -> Any:
    for schema in schemas:
        try:
            return _conform(value, schema, root, path)
        except _Misfit:
            continue
    raise _misfit(path, "anyOf")


def _definition(ref: str, root: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Follow `#/$defs/<name>`: structured outputs take no address outside the schema."""
    found: Any = root
    for step in ref.removeprefix("#").split("/")[1:]:
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise _misfit(path, "$ref")
    return found


def _is_a(value: Any, names: str | Sequence[str]) -> bool:
    """Tell whether a value has one of JSON Schema's types: a bool is no number, and 1.0 is an integer."""
    for name in [names] if isinstance(names, str) else names:
        if isinstance(value, bool):
            if name == "boolean":
                return True
        elif isinstance(value, _TYPES[name]) or (name == "integer" and isinstance(value, float) and value.is_integer()):
            return True
    return False


def _spelled(value: Any, options: Sequence[Any], path: str, rule: str) -> Any:
    """Return the option that a value means. The API does not promise an enum's capital letters."""
    for option in options:
        if isinstance(value, bool) is isinstance(option, bool) and value == option:
            return option
    for option in options:
        if isinstance(value, str) and isinstance(option, str) and _folded(value) == _folded(option):
            return option
    raise _misfit(path, rule)


def _folded(text: str) -> str:
    return text.strip().casefold()


def _misfit(path: str, rule: str) -> _Misfit:
    return _Misfit(f"{path}: {rule}")
