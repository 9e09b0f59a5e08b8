"""docs/parameters.md, from the template itself: `.venvs/desk/bin/python -m checks.parameters > docs/parameters.md`."""

import re
import sys
from collections.abc import Iterator

from checks.stages import ROOT, stages
from local import template
from local.wire import Json

HEAD = """\
# Parameters of the stack

What `sam deploy` takes under `--parameter-overrides "Name=value …"`, and `parameter_overrides` in samconfig.toml. A
value outside its bounds is refused before anything is changed. What is not given keeps the value of the last deploy,
and has its default in a new stack. This page is made by `python -m checks.parameters`.
"""


def page() -> Iterator[str]:
    """Yield the page's lines."""
    body = template.written(ROOT / "template.yaml")
    yield HEAD
    yield "| parameter | | takes | default |\n|---|---|---|---|"
    for name, given in body["Parameters"].items():
        yield f"| `{name}` | {_text(given['Description'])} | {_text(_bounds(given))} | {_value(given['Default'])} |"
    yield "\n## What samconfig.toml sets\n"
    yield "| stage | stack | |\n|---|---|---|"
    for stage, stack, overrides in stages():
        told = ", ".join(f"`{name}={value}`" for name, value in overrides.items())
        yield f"| `{stage}` | `{stack}` | {told} |"
    yield "\n## What the stack says of itself\n"
    yield "| output | |\n|---|---|"
    for name, output in body["Outputs"].items():
        yield f"| `{name}` | {_text(output['Description'])} |"


def _bounds(given: Json) -> str:
    """Say what a parameter takes: one of some values, a number between two, or a text."""
    if "AllowedValues" in given:
        return ", ".join(_value(value) for value in given["AllowedValues"])
    if given["Type"] == "Number":
        return f"{given['MinValue']:,} to {given['MaxValue']:,}"
    longest = f", at most {given['MaxLength']} characters" if "MaxLength" in given else ""
    return re.sub("^must be ", "", given["ConstraintDescription"]) + longest


def _value(value: object) -> str:
    return f"`{value}`" if value != "" else "empty"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
