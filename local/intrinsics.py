"""CloudFormation's functions, conditions and parameters, evaluated strictly."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from local.template import TemplateError
from local.wire import ACCOUNT, REGION, Json

NO_VALUE = object()
"""What AWS::NoValue evaluates to; whoever holds it drops the property."""

_SUBSTITUTION = re.compile(r"\$\{([^}]+)\}")


def pseudo_parameters(stack: str) -> dict[str, Any]:
    """What every template may refer to."""
    return {
        "AWS::AccountId": ACCOUNT,
        "AWS::NoValue": NO_VALUE,
        "AWS::NotificationARNs": [],
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{stack}/00000000-0000-4000-8000-000000000000",
        "AWS::StackName": stack,
        "AWS::URLSuffix": "amazonaws.com",
    }


def parameter_values(declared: Mapping[str, Json], given: Mapping[str, str]) -> dict[str, Any]:
    """Check the given parameters against their declarations and fill in the defaults.

    Raises:
        TemplateError: an unknown parameter, or a value that CloudFormation would refuse.
    """
    if unknown := sorted(set(given) - set(declared)):
        message = f"the template has no parameters {unknown}"
        raise TemplateError(message)
    return {name: _parameter(name, rules, given.get(name)) for name, rules in declared.items()}


def _parameter(name: str, rules: Json, given: str | None) -> Any:
    value = rules.get("Default") if given is None else given
    if value is None:
        message = f"parameter {name} has no value"
        raise TemplateError(message)
    text = str(value)
    checks = {
        "is not one of the allowed values": "AllowedValues" not in rules or text in map(str, rules["AllowedValues"]),
        "does not match the allowed pattern": re.fullmatch(rules.get("AllowedPattern", r"[\s\S]*"), text),
        "is too long": len(text) <= int(rules.get("MaxLength", len(text))),
        "is too short": len(text) >= int(rules.get("MinLength", 0)),
    }
    if rules["Type"] == "Number":
        number = float(text)
        checks["is too small"] = number >= float(rules.get("MinValue", number))
        checks["is too large"] = number <= float(rules.get("MaxValue", number))
    for complaint, fine in checks.items():
        if not fine:
            message = f"parameter {name}: {text!r} {complaint}. {rules.get('ConstraintDescription', '')}".strip()
            raise TemplateError(message)
    return text.split(",") if rules["Type"] == "CommaDelimitedList" else text


class Evaluator:
    """Evaluates values of one template; references come from the stack that is being made."""

    def __init__(
        self,
        template: Json,
        reference: Callable[[str], Any],
        attribute: Callable[[str, str], Any],
    ) -> None:
        """`reference` and `attribute` answer Ref and Fn::GetAtt, creating the resource if need be."""
        self._conditions: Json = template.get("Conditions", {})
        self._mappings: Json = template.get("Mappings", {})
        self._reference = reference
        self._attribute = attribute

    def condition(self, found: str | Json) -> bool:
        """Evaluate a condition, by name or written out."""
        if isinstance(found, str):
            return self.condition(self._conditions[found])
        ((function, operand),) = found.items()
        match function:
            case "Condition":
                return self.condition(operand)
            case "Fn::Equals":
                left, right = (str(self.value(side)) for side in operand)
                return left == right
            case "Fn::Not":
                return not self.condition(operand[0])
            case "Fn::And":
                return all(self.condition(part) for part in operand)
            case "Fn::Or":
                return any(self.condition(part) for part in operand)
            case _:
                message = f"{function} is not known in a condition"
                raise TemplateError(message)

    def value(self, found: Any) -> Any:
        """Evaluate a template value; properties and list entries that have no value are dropped."""
        if isinstance(found, list):
            values = (self.value(entry) for entry in found)
            return [value for value in values if value is not NO_VALUE]
        if not isinstance(found, dict):
            return found
        if len(found) == 1:
            ((function, operand),) = found.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._apply(function, operand)
        evaluated = ((name, self.value(entry)) for name, entry in found.items())
        return {name: value for name, value in evaluated if value is not NO_VALUE}

    def _apply(self, function: str, operand: Any) -> Any:
        match function:
            case "Ref":
                return self._reference(operand)
            case "Fn::GetAtt":
                name, attribute = operand.split(".", 1) if isinstance(operand, str) else operand
                return self._attribute(name, attribute)
            case "Fn::Sub":
                return self._substitute(operand)
            case "Fn::Join":
                return operand[0].join(str(part) for part in self.value(operand[1]))
            case "Fn::If":
                return self.value(operand[1] if self.condition(operand[0]) else operand[2])
            case "Fn::Select":
                return self.value(operand[1])[int(self.value(operand[0]))]
            case "Fn::Split":
                return str(self.value(operand[1])).split(operand[0])
            case "Fn::FindInMap":
                first, second, third = (self.value(part) for part in operand)
                return self._mappings[first][second][third]
            case _:
                message = f"{function} is not known to the local cloud"
                raise TemplateError(message)

    def _substitute(self, operand: str | list[Any]) -> str:
        text, own = (operand, {}) if isinstance(operand, str) else operand

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return str(self.value(own[name]))
            if "." in name:
                return str(self._attribute(*name.split(".", 1)))
            return str(self._reference(name))

        return _SUBSTITUTION.sub(replaced, text)
