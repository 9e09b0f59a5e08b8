"""The published JSON Schema of report.json is that of the reports that are written."""

import json
from pathlib import Path
from typing import Any

from nightshift.report_schema import json_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"


def test_the_published_schema_is_current() -> None:
    published = json.loads(PUBLISHED.read_text())
    assert published == json_schema(), "run `python -m nightshift.report_schema > docs/report.schema.json`"


def test_amounts_are_numbers() -> None:
    cost = json_schema()["$defs"]["Cost"]["properties"]
    assert cost["saved_usd"] == {
        "anyOf": [{"type": "number"}, {"type": "null"}],
        "description": "How much less was paid than that.",
    }
    assert "decimal" not in json.dumps(json_schema())


def test_nothing_but_the_fields_of_the_schema_is_in_a_report() -> None:
    closed: dict[str, Any] = {
        name: kind.get("additionalProperties")
        for name, kind in json_schema()["$defs"].items()
        if kind.get("type") == "object" and name not in {"Hold", "JobRef"}
    }
    assert set(closed.values()) == {False}
