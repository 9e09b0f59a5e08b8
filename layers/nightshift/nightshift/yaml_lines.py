"""YAML with the line of every value, so that a complaint can say where."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_MAX_DEPTH = 50

type Path = tuple[str | int, ...]
"""Where a value is: keys and list positions, from the top."""


class YamlError(ValueError):
    """Not a usable document; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        """Complain about a line of the document."""
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping, and where its values are."""

    data: dict[str, Any]
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a value, or of what is nearest around it: steps the document does not have are skipped."""
        here: Path = ()
        for step in path:
            if (*here, step) in self.lines:
                here = (*here, step)
        return self.lines[here]


def load(text: bytes) -> Document:
    """Read a document that is one mapping with string keys, each key once, without aliases.

    Raises:
        YamlError: it is not.
    """
    try:
        source = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError("not UTF-8", text.count(b"\n", 0, error.start) + 1) from None
    try:
        _refuse_traps(source)
        lines = dict(_lines(yaml.compose(source, Loader=yaml.SafeLoader), ()))
        return Document(yaml.safe_load(source), {(): 1, **lines})
    except yaml.MarkedYAMLError as error:
        raise YamlError(error.problem or "not YAML", _line(error.problem_mark)) from None
    except yaml.YAMLError:
        raise YamlError("not YAML: is there a control character in it?", 1) from None
    except YamlError:
        raise
    except ValueError as error:  # the loader makes dates of what looks like one
        raise YamlError(f"a value that YAML cannot read ({error}): put it in quotes", 1) from None


def _refuse_traps(source: str) -> None:
    """Refuse what few bytes can cost much time with: references to references, and depth (the loader is quadratic)."""
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise YamlError("nested too deeply", _line(event.start_mark))
        if isinstance(event, yaml.AliasEvent):
            raise YamlError("aliases (*name) are not supported: write the value out", _line(event.start_mark))


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


def _lines(node: yaml.Node | None, path: Path) -> Iterator[tuple[Path, int]]:
    """Yield the line of every value below a node: that of its key, where it has one."""
    if not path and not isinstance(node, yaml.MappingNode):
        raise YamlError("not a mapping (`key: value` lines)", 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        seen: dict[Hashable, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise YamlError(f"the key is not a text: put it in quotes, '{key.value}'", line)
            if key.value in seen:
                raise YamlError(f"`{key.value}` stands here a second time (first on line {seen[key.value]})", line)
            seen[key.value] = line
            yield (*path, key.value), line
            yield from _lines(value, (*path, key.value))
