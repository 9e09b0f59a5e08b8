"""The JSON Schema of report.json: `python -m nightshift.report_schema`. What fields are is from their docstrings."""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from nightshift import model, report_model, report_parts
from nightshift.report_model import Report


def json_schema() -> Mapping[str, Any]:
    """Return the schema."""
    schema = _with_numbers(msgspec.json.schema(Report))
    for name, field, text in _docstrings():
        if name in schema["$defs"]:
            schema["$defs"][name]["properties"][field]["description"] = text
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json of a run", **schema}


def _with_numbers(schema: Any) -> Any:
    """Replace decimals by numbers: that is how they are written, where msgspec would write texts."""
    match schema:
        case {"type": "string", "format": "decimal", **rest}:
            return {"type": "number", **rest}
        case dict():
            return {name: _with_numbers(value) for name, value in schema.items()}
        case list():
            return [_with_numbers(value) for value in schema]
        case _:
            return schema


def _docstrings() -> Iterator[tuple[str, str, str]]:
    """Yield class, field and text of each docstring below a field."""
    for module in (model, report_parts, report_model):
        for kind in (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)):
            for field, text in pairwise(kind.body):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                        yield kind.name, name, " ".join(words.split())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
