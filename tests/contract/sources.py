"""The files whose agreement the contract tests check, read as plain data: no translator, no defaults filled in."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

type Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
MACHINE = ROOT / "statemachine" / "run.asl.yaml"
EVENTS = ROOT / "events"


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref x`) as their long ones (`{"Ref": "x"}`)."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Json:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    match node:
        case yaml.SequenceNode():
            return {name: loader.construct_sequence(node, deep=True)}
        case yaml.MappingNode():
            return {name: loader.construct_mapping(node, deep=True)}
        case _:
            return {name: node.value}


_TemplateLoader.add_multi_constructor("!", _long_form)


def template() -> Json:
    """Return template.yaml."""
    content: Json = yaml.load((ROOT / "template.yaml").read_text(), _TemplateLoader)  # noqa: S506 - a SafeLoader
    return content


def machine() -> Json:
    """Return the state machine, its placeholders as they stand in the file."""
    content: Json = yaml.safe_load(MACHINE.read_text())
    return content


def event(name: str) -> Json:
    """Return `events/<name>.json`."""
    content: Json = json.loads((EVENTS / f"{name}.json").read_text())
    return content


def resources(kind: str) -> dict[str, Json]:
    """Return the template's resources of one type, by logical id."""
    return {name: r for name, r in template()["Resources"].items() if r["Type"] == kind}


def functions() -> dict[str, Json]:
    """Return the properties of the template's functions, by logical id."""
    return {name: r["Properties"] for name, r in resources("AWS::Serverless::Function").items()}


def all_states(states_of: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Yield (name, state) of a machine and of everything nested in it."""
    for name, state in states_of["States"].items():
        yield name, state
        for inner in (state.get("ItemProcessor"), *state.get("Branches", ())):
            if inner:
                yield from all_states(inner)
