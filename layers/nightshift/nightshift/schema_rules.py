"""What structured outputs and strict tools refuse in a JSON Schema, so that it is refused before it costs anything.

Source: the documentation of structured outputs. The API compiles a schema into a grammar: what a grammar cannot count
(numbers, lengths), and what has no end (recursion), is not in it; and a grammar that grows too large is refused whole.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nightshift.yaml_lines import Path

type Problem = tuple[Path, str]
"""Where in the job, and what is wrong with it."""

MOST_OPTIONAL = 24
"""Properties of a schema that are not required, all objects of it together."""
MOST_UNIONS = 16
"""Places of a schema that may be of several types: `anyOf`, or a list as `type`."""

_SUBSCHEMAS = frozenset({"properties", "$defs"})
_SCHEMA_LISTS = frozenset({"anyOf", "allOf"})
_SCHEMA_WORDS = frozenset({
    "type", "properties", "required", "additionalProperties", "enum", "const", "items", "minItems", "anyOf", "allOf",
    "$ref", "$defs", "title", "description", "default", "format", "pattern",
})  # fmt: skip
"""JSON Schema keywords that structured outputs compile; limits on numbers, lengths and counts are not among them."""
_FORMATS = frozenset({
    "date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid",
})  # fmt: skip
_NO_GRAMMAR = re.compile(r"\(\?[=!<]|(?<!\\)(?:\\\\)*\\[bB1-9]")
"""What a pattern cannot have, for it looks around, or back: `(?=`, `(?!`, `(?<`, `\\b`, `\\1`."""
_TYPES = frozenset({"object", "array", "string", "boolean", "null", "number", "integer"})


def schema_problems(schema: Any, path: Path) -> Iterator[Problem]:
    """Yield what structured outputs refuse in a JSON Schema that stands at `path`."""
    if not isinstance(schema, dict):
        yield path, "must be a mapping: a JSON Schema"
        return
    parts = dict(_parts(schema, path))
    for where, part in parts.items():
        yield from _part_problems(part, where) if isinstance(part, dict) else [(where, "must be a mapping")]
    whole = [part for part in parts.values() if isinstance(part, dict)]
    if (optional := sum(map(_optional, whole))) > MOST_OPTIONAL:
        yield path, f"{optional} properties are not `required`, and structured outputs take {MOST_OPTIONAL} of them"
    if (unions := sum("anyOf" in part or isinstance(part.get("type"), list) for part in whole)) > MOST_UNIONS:
        yield path, f"{unions} places may be of several types, and structured outputs take {MOST_UNIONS} of them"
    yield from _reference_problems(parts, path)


def _parts(schema: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield a schema and every schema inside it, with its place."""
    yield path, schema
    for word, value in schema.items() if isinstance(schema, dict) else ():
        if word in _SUBSCHEMAS and isinstance(value, dict):
            for name, below in value.items():
                yield from _parts(below, (*path, word, name))
        elif word in _SCHEMA_LISTS and isinstance(value, list):
            for index, below in enumerate(value):
                yield from _parts(below, (*path, word, index))
        elif word == "items":
            yield from _parts(value, (*path, word))


def _part_problems(part: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for word in part.keys() - _SCHEMA_WORDS:
        yield (*path, word), f"structured outputs do not support `{word}`: delete it, and say it in a `description`"
    kind = part.get("type", [])
    if not all(isinstance(name, str) and name in _TYPES for name in (kind if isinstance(kind, list) else [kind])):
        yield (*path, "type"), f"must be one of {', '.join(sorted(_TYPES))}, or a list of them"
    for word in _SUBSCHEMAS & part.keys():
        if not isinstance(part[word], dict):
            yield (*path, word), "must be a mapping"
    for word in (_SCHEMA_LISTS | {"enum", "required"}) & part.keys():
        if not isinstance(part[word], list) or not (part[word] or word == "required"):
            yield (*path, word), "must be a list, and not empty"
    if type(part.get("minItems", 0)) is not int or part.get("minItems", 0) not in {0, 1}:
        yield (*path, "minItems"), "structured outputs know 0 and 1 here: say more in a `description`"
    yield from _text_problems(part, path)
    if ("object" in (kind if isinstance(kind, list) else [kind]) or "properties" in part) and (
        part.get("additionalProperties") is not False
    ):
        yield path, "structured outputs want `additionalProperties: false` on every object"
    yield from _required_problems(part, path)


def _text_problems(part: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """Yield what is wrong with the values, the format and the pattern that a text may have."""
    for word in ("enum", "const"):
        values = part.get(word) if word == "enum" else [part.get(word)]
        if isinstance(values, list) and not all(v is None or isinstance(v, str | int | float) for v in values):
            yield (
                (*path, word),
                "may have texts, numbers, true, false and null; put in quotes what YAML takes for a day",
            )
    if "format" in part and part["format"] not in sorted(_FORMATS):
        yield (*path, "format"), f"must be one of {', '.join(sorted(_FORMATS))}"
    if "pattern" in part:
        try:
            looks = _NO_GRAMMAR.search(re.compile(part["pattern"]).pattern)
        except (re.error, TypeError):
            yield (*path, "pattern"), "is no regular expression"
        else:
            if looks:
                yield (*path, "pattern"), f"structured outputs do not look around or back: `{looks[0]}`"


def _required_problems(part: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    required, properties = part.get("required"), part.get("properties", {})
    if isinstance(required, list) and isinstance(properties, dict):
        for index, name in enumerate(required):
            if name not in properties.keys():  # noqa: SIM118 - what YAML has there may be no key at all
                yield (*path, "required", index), "is not among the `properties`"


def _optional(part: Mapping[str, Any]) -> int:
    properties, required = part.get("properties"), part.get("required")
    names = required if isinstance(required, list) else []
    return sum(name not in names for name in properties) if isinstance(properties, dict) else 0


def _reference_problems(parts: Mapping[Path, Any], path: Path) -> Iterator[Problem]:
    """Yield references that lead nowhere, or back to where they came from."""
    for where, part in parts.items():
        if isinstance(part, dict) and "$ref" in part:
            names = str(part["$ref"]).split("/")
            if names[0] != "#" or (*path, *names[1:]) not in parts:
                yield (*where, "$ref"), "must be `#/$defs/NAME`, and stand there"
            elif _comes_back(where, parts, path, ()):
                yield (*where, "$ref"), "structured outputs do not support recursion: unroll it"


def _comes_back(where: Path, parts: Mapping[Path, Any], path: Path, seen: tuple[Path, ...]) -> bool:
    """Tell whether following references from a place leads to a place that was passed already."""
    if where in seen:
        return True
    below = [each for each in parts if each[: len(where)] == where and isinstance(parts[each], dict)]
    targets = {(*path, *str(parts[each]["$ref"]).split("/")[1:]) for each in below if "$ref" in parts[each]}
    return any(_comes_back(target, parts, path, (*seen, where)) for target in targets if target in parts)
