"""A small, strict CloudFormation: every resource is made, every property is applied, or the deployment fails.

What is deliberately not applied stands in `NOT_APPLIED`, each with its reason; nothing else is dropped.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.intrinsics import Evaluator, parameter_values, pseudo_parameters
from local.template import Template, TemplateError
from local.wire import Json

SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Conditions",
    "Mappings",
    "Resources",
    "Outputs",
}
ATTRIBUTES = {
    "Type",
    "Properties",
    "Condition",
    "DependsOn",
    "Metadata",
    "DeletionPolicy",
    "UpdatePolicy",
    "UpdateReplacePolicy",
}
"""Of a resource. The policies say what outlives a stack, and how it is updated; here nothing outlives the cloud."""

ANY = "*"
ONE_DEPLOYMENT = "CodeDeploy moves an alias from one version to the next; each cloud here has one"
NOT_APPLIED: Mapping[tuple[str, str], str] = {
    (ANY, "Tags"): "nobody bills the desk",
    ("AWS::CodeDeploy::Application", "ComputePlatform"): ONE_DEPLOYMENT,
    **{
        ("AWS::CodeDeploy::DeploymentGroup", name): ONE_DEPLOYMENT
        for name in ("AlarmConfiguration", "AutoRollbackConfiguration", "DeploymentConfigName", "DeploymentStyle")
    },
    ("AWS::DynamoDB::Table", "DeletionProtectionEnabled"): "the tables end with the cloud",
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"): "the tables live in memory",
    ("AWS::IAM::ManagedPolicy", "Description"): "for people who read the console",
    (
        "AWS::IAM::Role",
        "ManagedPolicyArns",
    ): "AWS's own policies for logs and traces: the desk's processes write neither through the API",
    ("AWS::Lambda::Function", "Architectures"): "the code runs on this machine; layers are built for it",
    ("AWS::Lambda::Function", "EphemeralStorage"): "temporary files are not limited here",
    ("AWS::Lambda::Function", "TracingConfig"): "no X-Ray here",
    ("AWS::Lambda::LayerVersion", "CompatibleArchitectures"): "as Architectures",
    ("AWS::Lambda::LayerVersion", "CompatibleRuntimes"): "the runtime is the one of `.venvs/runtime`",
    ("AWS::Lambda::LayerVersion", "Description"): "for people who read the console",
    ("AWS::Lambda::LayerVersion", "LayerName"): "the layer is a directory on this machine",
    ("AWS::Lambda::LayerVersion", "LicenseInfo"): "the layer is a directory on this machine",
    ("AWS::S3::Bucket", "OwnershipControls"): "one account, no ACLs",
    ("AWS::S3::Bucket", "PublicAccessBlockConfiguration"): "loopback only",
    ("AWS::SQS::Queue", "SqsManagedSseEnabled"): "the messages live in memory",
    (
        "AWS::StepFunctions::StateMachine",
        "LoggingConfiguration",
    ): "the history holds everything; the interpreter has no log delivery",
    ("AWS::StepFunctions::StateMachine", "TracingConfiguration"): "no X-Ray here",
}
"""(resource type, property) → why the desk does not need it."""

NAME_LENGTH = 60
"""Longest generated name: below the 63 of a bucket and the 64 of a function."""


class Properties:
    """A resource's evaluated properties; each must be taken by somebody."""

    def __init__(self, values: Json) -> None:
        """Wrap evaluated values."""
        self._values = dict(values)

    def take(self, name: str, default: Any = None) -> Any:
        """Remove and return a property."""
        return self._values.pop(name, default)

    def take_all(self, *names: str) -> Json:
        """Remove and return those of the properties that are there."""
        return {name: self._values.pop(name) for name in names if name in self._values}

    @property
    def left(self) -> list[str]:
        """The properties that nobody took."""
        return sorted(self._values)


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists."""

    reference: str
    """What Ref gives: its physical id."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A resource to make."""

    logical_id: str
    properties: Properties
    code: Path | None
    """Where its code is, if it has any."""
    name: str
    """A unique name, for when the template gives none."""


type Maker = Callable[[Asked], Made]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A finished stack."""

    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    """Logical id → physical id."""


class Stack:
    """Makes a template's resources in the order that their references ask for."""

    def __init__(
        self, template: Template, name: str, parameters: Mapping[str, str], makers: Mapping[str, Maker]
    ) -> None:
        """Check the template's outline; `makers` knows the resource types.

        Raises:
            TemplateError: a section, attribute, type or parameter that the desk does not know.
        """
        self._body = template.body
        self._code = template.code
        self._name = name
        self._makers = makers
        self._check_outline()
        self._values = pseudo_parameters(name) | parameter_values(self._body.get("Parameters", {}), parameters)
        self._made: dict[str, Made | None] = {}
        self._under_way: list[str] = []
        self._evaluator = Evaluator(self._body, self._reference, self._attribute)

    def deploy(self) -> Deployed:
        """Make everything.

        Raises:
            TemplateError: a circle, a property that nobody applies, or a reference to nothing.
        """
        for logical_id in self._body["Resources"]:
            self._need(logical_id)
        outputs = {
            name: str(self._evaluator.value(output["Value"]))
            for name, output in self._body.get("Outputs", {}).items()
            if "Condition" not in output or self._evaluator.condition(output["Condition"])
        }
        return Deployed(outputs, {name: made.reference for name, made in self._made.items() if made})

    def _check_outline(self) -> None:
        problems = [f"section {name}" for name in sorted(set(self._body) - SECTIONS)]
        for logical_id, resource in self._body["Resources"].items():
            problems += [f"attribute {name} of {logical_id}" for name in sorted(set(resource) - ATTRIBUTES)]
            if resource["Type"] not in self._makers:
                problems.append(f"type {resource['Type']} of {logical_id}")
        if problems:
            message = f"the local cloud does not know: {', '.join(problems)}"
            raise TemplateError(message)

    def _reference(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        return self._existing(name).reference

    def _attribute(self, name: str, attribute: str) -> Any:
        attributes = self._existing(name).attributes
        if attribute not in attributes:
            message = f"{name} has no attribute {attribute} in the local cloud"
            raise TemplateError(message)
        return attributes[attribute]

    def _existing(self, name: str) -> Made:
        if name not in self._body["Resources"]:
            message = f"nothing in the template is called {name}"
            raise TemplateError(message)
        made = self._need(name)
        if made is None:
            message = f"{name} is referred to, but its condition is false"
            raise TemplateError(message)
        return made

    def _need(self, logical_id: str) -> Made | None:
        """Make a resource unless it exists; None if its condition is false."""
        if logical_id in self._made:
            return self._made[logical_id]
        if logical_id in self._under_way:
            message = f"circular dependency: {' → '.join([*self._under_way, logical_id])}"
            raise TemplateError(message)
        self._under_way.append(logical_id)
        resource = self._body["Resources"][logical_id]
        wanted = "Condition" not in resource or self._evaluator.condition(resource["Condition"])
        self._made[logical_id] = self._make(logical_id, resource) if wanted else None
        self._under_way.pop()
        return self._made[logical_id]

    def _make(self, logical_id: str, resource: Json) -> Made:
        for other in _listed(resource.get("DependsOn", [])):
            self._need(other)
        kind, values = resource["Type"], self._evaluator.value(resource.get("Properties", {}))
        properties = Properties({name: value for name, value in values.items() if not _not_applied(kind, name)})
        asked = Asked(logical_id, properties, self._code_of(kind, values), self._unique_name(logical_id))
        made = self._makers[kind](asked)
        if properties.left:
            message = f"{logical_id} ({kind}): the local cloud does not apply {properties.left}"
            raise TemplateError(message)
        return made

    def _code_of(self, kind: str, values: Json) -> Path | None:
        """Find the directory that SAM's translation turned into a bucket and a key."""
        place = values.get("Code" if kind.endswith("::Function") else "Content")
        return self._code.get(place["S3Key"]) if isinstance(place, dict) and "S3Key" in place else None

    def _unique_name(self, logical_id: str) -> str:
        """`<stack>-<logical id>-<digest>`: as on AWS, but the same every time."""
        digest = hashlib.sha256(f"{self._name}/{logical_id}".encode()).hexdigest()[:8]
        return f"{self._name}-{logical_id}"[: NAME_LENGTH - 9] + f"-{digest}"


def only(owner: str, found: Json, known: set[str]) -> None:
    """Refuse nested properties that nobody applies.

    Raises:
        TemplateError: `found`, a part of the resource `owner`, has others than the `known` ones.
    """
    if unknown := sorted(set(found) - known):
        message = f"{owner}: the local cloud does not apply {unknown}"
        raise TemplateError(message)


def _not_applied(kind: str, name: str) -> bool:
    return (kind, name) in NOT_APPLIED or (ANY, name) in NOT_APPLIED


def _listed(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
