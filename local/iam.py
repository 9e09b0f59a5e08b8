"""Least privilege, checked offline: every call is held against the policies that the template gives its caller.

A call that no statement allows is reported as it would be denied, and refused where the cloud enforces it. The other
direction too: a grant that no call used. Of the conditions, only `dynamodb:LeadingKeys` under ForAllValues is
evaluated; a statement with any other condition counts as met and is listed.
"""

import fnmatch
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.wire import REGION, Json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One action on one resource."""

    action: str
    resource: str
    leading_keys: tuple[str, ...] = ()
    """Partition keys of the items that a DynamoDB call names."""
    via: str = ""
    """The service that calls KMS in the caller's name."""


KEY_USES = {
    "s3:GetObject": ("kms:Decrypt",),
    "s3:GetObjectVersion": ("kms:Decrypt",),
    "s3:PutObject": ("kms:GenerateDataKey", "kms:Decrypt"),
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
    "sqs:SendMessage": ("kms:GenerateDataKey", "kms:Decrypt"),
}
"""Action → what it does with the key of what it is about; an object in parts is decrypted when it is put together."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy, in its only normal form."""

    name: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, object]]

    def covers(self, call: Call) -> str | None:
        """Return the action pattern that covers the call, if resource and conditions do too."""
        if not any(fnmatch.fnmatchcase(call.resource, pattern) for pattern in self.resources):
            return None
        if not all(_holds(operator, tests, call) for operator, tests in self.conditions.items()):
            return None
        return next((action for action in self.actions if fnmatch.fnmatch(call.action.lower(), action.lower())), None)

    @property
    def unevaluated(self) -> list[str]:
        """The conditions that are taken as met, as `operator key`."""
        return [
            f"{operator} {key}"
            for operator, tests in self.conditions.items()
            for key in tests
            if not _evaluates(operator, key)
        ]


class Access:
    """Who may do what, what was denied, and which grants nobody used."""

    def __init__(self, *, enforce: bool = False) -> None:
        """Report missing grants; `enforce` refuses the calls as well."""
        self._enforce = enforce
        self._roles: dict[str, list[Statement]] = {}
        self._labels: dict[str, str] = {}
        self._used: set[tuple[str, str, str]] = set()
        self._denied: set[tuple[str, str, str]] = set()
        self._invokers: set[tuple[str, str, str]] = set()
        self._keys: dict[str, str] = {}
        self._lock = threading.Lock()

    def add_role(self, arn: str, label: str, policies: Iterable[Json]) -> None:
        """Give a role policies, each {"PolicyName", "PolicyDocument"}; `label` is what reports call it."""
        self._labels[arn] = label
        statements = [statement for policy in policies for statement in _statements(policy)]
        self._roles[arn] = [*self._roles.get(arn, ()), *statements]

    def encrypt(self, resource: str, key: str) -> None:
        """Say that what is in a bucket, a table, a queue or a secret (its ARN) lies under a key (its ARN)."""
        self._keys[resource] = key

    def add_permission(self, function: str, principal: str, source: str) -> None:
        """Let a service invoke a function for one source ARN: AWS::Lambda::Permission.

        `function` is its name, with the qualifier that is permitted: none permits no alias, and an alias nothing else.
        """
        self._invokers.add((function, principal, source))

    def permits(self, role: str, action: str, resource: str, leading_keys: tuple[str, ...] = ()) -> bool:
        """Record a call of a role; False if it must be refused."""
        call = Call(action, resource, leading_keys)
        verdicts = [self._decide(role, each) for each in (call, *self._of_key(call))]
        return all(verdicts)

    def _of_key(self, call: Call) -> Iterable[Call]:
        """Yield what a call does with the key under which its resource lies."""
        service = call.action.split(":")[0]
        uses = ("kms:Decrypt",) if service == "dynamodb" else KEY_USES.get(call.action, ())
        for resource, key in self._keys.items():
            if call.resource == resource or call.resource.startswith(f"{resource}/"):
                yield from (Call(use, key, via=f"{service}.{REGION}.amazonaws.com") for use in uses)

    def service_permits(self, principal: str, source: str, function_arn: str) -> bool:
        """Record that a service invokes a function; False if it must be refused."""
        function = function_arn.rsplit(":function:", maxsplit=1)[-1]
        if (function, principal, source) in self._invokers:
            return True
        return self._deny(principal, Call("lambda:InvokeFunction", function_arn))

    def label(self, role: str) -> str:
        """Return what reports call a role."""
        return self._labels.get(role, role)

    def allows(self, role: str, action: str, resource: str) -> bool:
        """Look, without recording, whether a role has a right."""
        return self._grant(role, Call(action, resource)) is not None

    def note(self, role: str, action: str, resource: str) -> None:
        """Record as denied what would behave differently on AWS for want of a right."""
        self._deny(self._labels.get(role, role), Call(action, resource))

    def report(self) -> Json:
        """Return what would be denied, what was granted in vain, and the conditions that were taken as met."""
        with self._lock:
            denied, used = sorted(self._denied), set(self._used)
        grants = [
            (self._labels[role], statement.name, action)
            for role, statements in self._roles.items()
            for statement in statements
            if statement.effect == "Allow"
            for action in statement.actions
        ]
        taken = [
            f"{self._labels[role]} {statement.name}: {condition}"
            for role, statements in self._roles.items()
            for statement in statements
            for condition in statement.unevaluated
        ]
        return {
            "denied": [dict(zip(("who", "action", "resource"), call, strict=True)) for call in denied],
            "unused": [
                dict(zip(("who", "statement", "action"), grant, strict=True)) for grant in grants if grant not in used
            ],
            "unevaluated": taken,
        }

    def _decide(self, role: str, call: Call) -> bool:
        grant = self._grant(role, call)
        if grant is None:
            return self._deny(self._labels.get(role, role), call)
        with self._lock:
            self._used.add((self._labels[role], *grant))
        return True

    def _grant(self, role: str, call: Call) -> tuple[str, str] | None:
        """Find (statement, action pattern) that allows the call and no Deny that forbids it."""
        found = None
        for statement in self._roles.get(role, ()):
            pattern = statement.covers(call)
            if pattern and statement.effect == "Deny":
                return None
            if pattern:
                found = found or (statement.name, pattern)
        return found

    def _deny(self, who: str, call: Call) -> bool:
        entry = (who, call.action, call.resource)
        with self._lock:
            known = entry in self._denied
            self._denied.add(entry)
        if not known:
            logger.warning("IAM: AWS would deny %s %s on %s", *entry)
        return not self._enforce


def _statements(policy: Json) -> Iterable[Statement]:
    for number, statement in enumerate(_listed(policy["PolicyDocument"]["Statement"])):
        yield Statement(
            name=f"{policy['PolicyName']}/{statement.get('Sid', number)}",
            effect=statement["Effect"],
            actions=tuple(_listed(statement["Action"])),
            resources=tuple(_listed(statement["Resource"])),
            conditions=statement.get("Condition", {}),
        )


def _listed(value: Any) -> Sequence[Any]:
    """IAM takes one thing where it takes a list of them."""
    return value if isinstance(value, list) else [value]


LEADING_KEYS, VIA = "dynamodb:LeadingKeys", "kms:ViaService"


def _evaluates(operator: str, key: str) -> bool:
    if key == VIA:
        return operator == "StringEquals"
    return key == LEADING_KEYS and operator in {"ForAllValues:StringEquals", "ForAllValues:StringLike"}


def _holds(operator: str, tests: Mapping[str, object], call: Call) -> bool:
    """Evaluate what can be; ForAllValues holds for a call that names no key, as on AWS."""
    for key, patterns in tests.items():
        if not _evaluates(operator, key):
            continue
        allowed = [str(pattern) for pattern in _listed(patterns)]
        if key == VIA:
            matched = call.via in allowed
        elif operator.endswith("StringEquals"):
            matched = all(value in allowed for value in call.leading_keys)
        else:
            matched = all(any(fnmatch.fnmatchcase(value, one) for one in allowed) for value in call.leading_keys)
        if not matched:
            return False
    return True
