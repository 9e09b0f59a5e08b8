"""docs/parameters.md is what the template says of itself, and each stage gives only what the template takes."""

import re
from pathlib import Path

from checks import parameters
from checks.stages import stages
from local import template
from local.wire import Json

ROOT = Path(__file__).parents[2]
TEMPLATE = template.written(ROOT / "template.yaml")


def is_taken(given: Json, value: str) -> bool:
    """Tell whether CloudFormation would take a parameter's value."""
    if "AllowedValues" in given:
        return value in {str(allowed) for allowed in given["AllowedValues"]}
    if given["Type"] == "Number":
        return bool(given["MinValue"] <= float(value) <= given["MaxValue"])
    return re.fullmatch(given["AllowedPattern"], value) is not None


def test_the_page_of_parameters_is_what_the_template_says_of_itself() -> None:
    page = (ROOT / "docs" / "parameters.md").read_text()
    assert page == "\n".join(parameters.page()) + "\n", "python -m checks.parameters > docs/parameters.md"


def test_each_stage_gives_parameters_that_exist_values_that_they_take() -> None:
    given = [(stage, name, value) for stage, _, some in stages() for name, value in some.items()]
    known = TEMPLATE["Parameters"]
    assert {stage for stage, _, _ in given} == {"dev", "staging", "prod"}
    assert [one for one in given if one[1] not in known or not is_taken(known[one[1]], one[2])] == []
