"""template.yaml as CloudFormation: inline the state machine, find the code, and let SAM's own translator do the rest.

Offline and unchanged: what is deployed here is what `sam deploy` would send.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import transform as sam_transform

from local.wire import Json, LocalError

logging.getLogger("samtranslator").setLevel(logging.ERROR)
"""It warns of switches and metrics that only AWS's own service has."""

ARTEFACTS = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
"""Property that says where a resource's code is."""

BUCKET = "local-artefacts"
"""Stands in the translated template where `sam package` would name its bucket; nothing is uploaded."""


class TemplateError(LocalError):
    """The template, or what it refers to, cannot be deployed."""


@dataclass(frozen=True, slots=True)
class Template:
    """A translated template and the directories its code comes from."""

    body: Json
    code: Mapping[str, Path]
    """Logical id of a function or layer → the directory its property names."""


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Json:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def written(path: Path) -> Json:
    """Read a template as it is written, the short forms of functions as their long ones.

    Raises:
        TemplateError: the file is missing or is not a template.
    """
    if not path.exists():
        message = f"{path} does not exist"
        raise TemplateError(message)
    body = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506, a SafeLoader
    if not isinstance(body, dict) or "Resources" not in body:
        message = f"{path} is not a CloudFormation template"
        raise TemplateError(message)
    return body


def read(path: Path, parameters: Mapping[str, str]) -> Template:
    """Read and translate a template.

    Raises:
        TemplateError: the file is missing or is not a template.
    """
    body, code = written(path), {}
    for name, resource in body["Resources"].items():
        properties = resource.get("Properties", {})
        if key := ARTEFACTS.get(resource["Type"]):
            code[name] = _code_directory(path, name, properties, key)
            properties[key] = f"s3://{BUCKET}/{name}"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            _inline_definition(path, properties)
    return Template(sam_transform(body, dict(parameters), _NoManagedPolicies()), code)


def _code_directory(template: Path, name: str, properties: Json, key: str) -> Path:
    found = properties.get(key)
    if not isinstance(found, str):
        message = f"{name}: {key} must name a directory"
        raise TemplateError(message)
    directory = (template.parent / found).resolve()
    if not directory.is_dir():
        message = f"{name}: {key} names {directory}, which is no directory"
        raise TemplateError(message)
    return directory


def _inline_definition(template: Path, properties: Json) -> None:
    """Put the machine into the template, so that its substitutions can be held against it."""
    if uri := properties.pop("DefinitionUri", None):
        text = (template.parent / uri).read_text(encoding="utf-8")
        properties["Definition"] = yaml.safe_load(text)  # JSON is YAML


class _NoManagedPolicies:
    """SAM asks this for the ARNs of AWS's managed policies by name; ours are written out."""

    def load(self) -> dict[str, str]:
        """Return none."""
        return {}
