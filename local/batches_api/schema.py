"""JSON Schemas of structured outputs: what the service refuses in them, and a value that conforms.

The refusals' wording was seen in public threads (there with `output_format` for the path's head); which keywords are
refused is documented: no `minimum`, `maximum`, `minLength` …, no recursion, `additionalProperties: false` on each
object.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from .reading import DATE, facts, number, words
from .rows import RowError, invalid

type Json = dict[str, Any]

REFUSED = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
    "object": ("minProperties", "maxProperties"),
}
FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def problems(schema: object, path: str, root: Json | None = None, seen: tuple[str, ...] = ()) -> Iterator[RowError]:
    """Yield what the service would refuse in a schema."""
    if not isinstance(schema, dict):
        yield invalid(f"{path}: Input should be a valid dictionary")
        return
    root = schema if root is None else root
    reference = schema.get("$ref")
    if reference in seen:
        yield invalid(f"{path}: Recursive schemas are not supported")
        return
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        yield invalid(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    refused = [key for key in REFUSED.get(str(kind), ()) if key in schema]
    if refused:
        yield invalid(f"{path}: For '{kind}' type, properties {', '.join(refused)} are not supported")
    if reference is not None:
        yield from problems(_resolve(root, reference), path, root, (*seen, reference))
    for child in _children(schema):
        yield from problems(child, path, root, seen)


def _children(schema: Json) -> Iterator[object]:
    properties = schema.get("properties")
    yield from (properties if isinstance(properties, dict) else {}).values()
    if "items" in schema:
        yield schema["items"]
    yield from schema.get("anyOf") or ()
    yield from schema.get("allOf") or ()


def _resolve(root: Json, reference: str) -> Json:
    """Follow a `$ref` inside the schema; one that leads nowhere describes anything."""
    node: Any = root
    for part in filter(None, reference.removeprefix("#").split("/")):
        node = node.get(part, {}) if isinstance(node, dict) else {}
    return node if isinstance(node, dict) else {}


class Filler:
    """Makes a value that conforms to a schema out of a text."""

    def __init__(self, root: Json, text: str, *, shout: bool = False) -> None:
        """Read the text once; `shout` puts enum values in upper case, which the service does not rule out."""
        self._root = root
        self._text = text
        self._words = words(text)
        self._facts = {words(label): said for label, said in facts(text).items()}
        self._shout = shout

    def value(self, schema: Json, name: str = "") -> Any:
        """Return a value for a schema; `name` tells properties of the same shape apart."""
        while "$ref" in schema:
            schema = _resolve(self._root, schema["$ref"])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], name)
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                nothing = {"type": "null"} in schema[key] and not self._told(schema[key][0], name)
                return None if nothing else self.value(schema[key][0], name)
        return self._typed(schema, name)

    def _typed(self, schema: Json, name: str) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            if "null" in kind and not self._told(schema, name):
                return None
            kind = kind[0]
        match kind:
            case "object":
                return {key: self.value(part, key) for key, part in (schema.get("properties") or {}).items()}
            case "array":
                return [self.value(schema.get("items") or {}, name)]
            case "boolean":
                return bool(words(name) & self._words) or self._roll(name, 2) == 1
            case "integer" | "number":
                return self._number(kind, name)
            case "null":
                return None
            case _:
                return self._string(schema.get("format", ""), name)

    def _number(self, kind: str, name: str) -> float:
        said = number(self._fact(name))
        if kind == "integer":
            return self._roll(name, 10) if said is None else int(said)
        return self._roll(name, 100) / 100 if said is None else said

    def _string(self, form: str, name: str) -> str:
        said = self._fact(name)
        if form == "date" and (day := DATE.search(said)):
            return day[0]
        if form:
            return FORMATS.get(form) or self._made_up(name)
        return said or self._made_up(name)

    def _made_up(self, name: str) -> str:
        return f"Stand-in {name}: {' '.join(self._text.split()[:6])}".strip()

    def _fact(self, name: str) -> str:
        """Return what the text says under a label like a property's name; empty where it does not."""
        return next((said for label, said in self._facts.items() if label & words(name)), "")

    def _told(self, schema: Json, name: str) -> bool:
        """Tell whether the text says something that a property may be left null without."""
        if "enum" in schema:
            return any(words(str(option)) & self._words for option in schema["enum"])
        return bool(self._fact(name))

    def _choice(self, options: list[Any], name: str) -> Any:
        """Return the option whose words the text has most of; where none stands out, one fixed by the text."""
        best, ties = 0.0, list(range(len(options)))
        if not all(isinstance(option, str) for option in options):
            return options[self._roll(name, len(options))]  # a score: digits in the text are about something else
        for index, stems in enumerate(_stems(tuple(map(str, options)))):
            shared = len(stems & self._words)
            score = shared * shared / len(stems) if stems else 0.0
            if score > best:
                best, ties = score, [index]
            elif score == best and best > 0:
                ties.append(index)
        option = options[ties[self._roll(name, len(ties))]]
        return option.upper() if self._shout and isinstance(option, str) else option

    def _roll(self, name: str, sides: int) -> int:
        digest = blake2b(f"{name}\0{self._text}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % sides


@lru_cache(maxsize=256)
def _stems(options: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """Return the words of each option, without those that several share: "card" tells no two card labels apart."""
    found = [words(re.sub(r"([a-z])([A-Z])", r"\1 \2", option)) for option in options]
    return tuple(own - frozenset().union(*(other for other in found if other is not own)) or own for own in found)
