"""The documents against what they describe."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from nightshift import events
from nightshift.job import parse_job
from nightshift.model import HoldCode, RowClass
from tests.contract import sources

README = sources.ROOT / "README.md"
DOCS = sources.ROOT / "docs"
PAGES = [README, sources.ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def sections(page: Path) -> list[str]:
    """Return a page's headings, without their marks."""
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def block(page: Path, language: str) -> str:
    """Return the content of a page's only block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def code_words(page: Path) -> set[str]:
    """Return everything that a page sets as code, word by word."""
    return {word for code in re.findall(r"`([^`\n]+)`", page.read_text()) for word in code.split()}


def test_every_hold_code_has_its_paragraph_and_no_paragraph_is_of_a_code_that_is_gone() -> None:
    headings = [heading for heading in sections(DOCS / "operations.md") if re.fullmatch("[A-Z_]{4,}", heading)]
    assert headings == [code.value for code in HoldCode]


def test_the_readme_says_for_every_hold_code_what_to_do() -> None:
    assert set(HoldCode) - code_words(README) == set()


def test_every_parameter_of_the_template_is_in_the_readme_and_has_the_default_that_it_says() -> None:
    rows = re.findall(r"^\| (`[A-Z][a-z]\w+`(?:, `\w+`)*) \| (.+?) \|", README.read_text(), re.MULTILINE)
    told: dict[str, str] = {}
    for names, defaults in rows:
        values = re.sub(r"(?<=\d),(?=\d)", "", defaults.replace("`", "")).split(", ")
        told |= dict(zip(re.findall(r"\w+", names), values, strict=True))
    given = {name: str(parameter["Default"]) for name, parameter in sources.template()["Parameters"].items()}
    assert told == given | {
        "TicketTableName": "none: the stack makes one",
        "AnthropicWorkspaceId": "none",
        "KmsKeyArn": "none: AWS's own",
        "AlarmEmail": "none",
    }


def test_every_output_that_a_page_names_is_one_of_the_template() -> None:
    outputs = set(sources.template()["Outputs"])
    ends = "Name|Arn|Url|Command"
    named = {
        word
        for page in PAGES
        for word in re.findall(rf"\b(?:[A-Z][a-z]+){{2,}}(?:{ends})\b", page.read_text())
        if word not in sources.template()["Parameters"]
    }
    assert named - outputs == set()


def test_the_readme_s_words_of_make_are_those_that_make_help_lists() -> None:
    makefile = (sources.ROOT / "Makefile").read_text()
    listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    table = re.findall(r"^\| .*`make .*$", README.read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", "\n".join(table))) == listed


def test_the_readme_s_job_is_a_job() -> None:
    text = block(README, "yaml").encode()
    assert parse_job(text, name="ticket-triage", key="README.md").output.labels is not None


def test_the_readme_has_every_class_that_a_row_can_end_in() -> None:
    assert set(RowClass) - code_words(README) == set()


def test_the_readme_s_costs_are_tokens_times_price() -> None:
    rows = re.findall(r"^\| [a-z].*? \|(( [\d,]+ \|){4}) ([\d.]+) \|$", README.read_text(), re.MULTILINE)
    usd_per_mtok = (0.05, 0.10, 0.005, 0.25)
    assert len(rows) == 3
    for cells, _, told in rows:
        tokens = [int(cell.replace(",", "")) for cell in cells.split("|") if cell.strip()]
        assert told == f"{sum(n * price for n, price in zip(tokens, usd_per_mtok, strict=True)) / 1e6:.5f}"


def test_every_field_of_a_job_is_in_the_reference() -> None:
    schema = json.loads((DOCS / "job.schema.json").read_text())
    told = set(re.findall(r"^\| `([\w.]+)` \|", (DOCS / "job-reference.md").read_text(), re.MULTILINE))
    assert told == set(fields(schema, schema, ""))


NOTHING = [{"const": "none", "type": "string"}, {"type": "null"}]
"""How a job says that it wants no such section."""


def fields(section: Mapping[str, Any], schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the paths of a job's fields; a mapping that is one choice of several, beside `none`, is one field."""
    for name, value in section["properties"].items():
        choices = [each for each in value.get("anyOf", [value]) if each not in NOTHING]
        only = choices[0] if len(choices) == 1 else value
        below = schema["$defs"][only["$ref"].rsplit("/", 1)[1]] if "$ref" in only else only
        if "properties" in below:
            yield from fields(below, schema, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(sources.ROOT)))
def test_a_page_s_links_lead_to_files_and_its_named_files_exist(page: Path) -> None:
    text = page.read_text()
    links = [link.split("#")[0] for link in LINK.findall(text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    references = set(re.findall(r"\]\[(\w+)\]", text))
    assert references == set(re.findall(r"^\[(\w+)\]: https://\S+$", text, re.MULTILINE))
    named = re.findall(r"`((?:tests|local|layers|checks|statemachine|requirements|samples)/[\w./-]+\.\w+)`", text)
    assert [name for name in named if not (sources.ROOT / name).is_file()] == []


def test_a_decision_is_short_and_says_context_decision_and_consequence() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert sections(path)[1:] == ["Context", "Decision", "Consequence"], path.name
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_ci_runs_every_part_of_make_test() -> None:
    makefile = (sources.ROOT / "Makefile").read_text()
    (words,) = re.findall(r"^test: ([a-z -]+)", makefile, re.MULTILINE)
    (parts,) = re.findall(r"^parts=\(([a-z -]+)\)", (sources.ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    assert parts.split() == ["venvs", "check", *words.split()]


TYPES = {bool: "boolean", int: "integer", Decimal: "number", NoneType: "null", Mapping: "object"}
"""What a field's type is in JSON; everything else is a string there."""


@pytest.mark.parametrize("event", events.EVENTS, ids=lambda event: event.__name__)
def test_every_event_has_its_section_with_exactly_its_fields(event: type) -> None:
    text = (DOCS / "events.md").read_text()
    (section,) = re.findall(rf"^## {event.__name__}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    told = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE)

    assert told == [(name, json_type(kind)) for name, kind in get_type_hints(event).items()]


def json_type(kind: Any) -> str:
    """Name a field's type as JSON knows it."""
    options = [kind] if get_origin(kind) is not UnionType else get_args(kind)
    return " or ".join(TYPES.get(get_origin(option) or option, "string") for option in options)


def test_there_is_no_section_of_an_event_that_is_gone() -> None:
    assert sections(DOCS / "events.md")[1:] == [event.__name__ for event in events.EVENTS]


def test_architecture_has_a_paragraph_for_each_function_and_for_no_other() -> None:
    (flow,) = re.findall(r"^## 1\. .*?^## 2\.", (DOCS / "architecture.md").read_text(), re.MULTILINE | re.DOTALL)
    functions = {path.parent.name for path in (sources.ROOT / "functions").glob("*/app.py")}
    assert set(re.findall(r"^\* \*\*(\w+)\*\*", flow, re.MULTILINE)) == functions
