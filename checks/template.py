"""Lint what CloudFormation will really get: the template as SAM translates it, with the state machine inside.

    .venvs/desk/bin/python -m checks.template

`sam validate --lint` sees neither the translated resources nor the file behind `DefinitionUri`. The rules are those of
cfn-lint and of cfn-lint-serverless. A finding that stands here says why; one that nobody reports any more is a finding
itself. Offline: cfn-lint carries its specifications with it.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cfnlint.api import lint
from cfnlint.config import ManualArgs

from local import template
from local.wire import Json

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
REGIONS = ["us-east-1", "eu-central-1"]
SERVERLESS = "cfn_lint_serverless.rules"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:function"

ACCEPTED: Mapping[str, str] = {
    "ES1007": "the rule does not look through an alias; tests hold each woken function to its EventInvokeConfig",
    "ES6000": "the dead-letter queue is where the others' failures end; a queue behind it would be watched by nobody",
    "ES7000": "a queue could not answer a mail that does not arrive, either; the dashboard shows each alarm",
    "WS1000": "no X-Ray: the ledger and the log tell a run's whole way, and nothing more is granted or stored",
    "WS1004": "the rule knows only groups called /aws/lambda/…; each function names its own, and a test holds them",
    "WS5000": "no X-Ray, as WS1000; the history of an execution has each of its steps for 90 days",
}
"""Rule → why its findings stay."""


def expose_definition(machine: Json) -> None:
    """Put the definition of a state machine as an object: the translator joins strings, which no linter reads.

    Each substitution gets a value of the right form, because cfn-lint holds a state's resource to a pattern.
    """
    separator, lines = machine.pop("DefinitionString")["Fn::Join"]
    text = separator.join(lines)
    for name, value in machine["DefinitionSubstitutions"].items():
        text = text.replace(f"${{{name}}}", "aws" if value == {"Ref": "AWS::Partition"} else FUNCTION_ARN)
    machine["Definition"] = json.loads(text)


def findings(source: Path) -> Iterator[tuple[str, str]]:
    """Yield (rule, sentence) for each finding in what SAM makes of a template, warnings and informational ones too."""
    os.environ.setdefault("AWS_DEFAULT_REGION", REGIONS[0])  # the translator asks for one, and puts it nowhere
    translated = template.read(source, {}).body
    for resource in translated["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            expose_definition(resource["Properties"])
    asked = ManualArgs(include_checks=["I"], regions=REGIONS, append_rules=[SERVERLESS])
    for found in lint(json.dumps(translated, indent=1), config=asked):
        where = "/".join(str(part) for part in found.path or [])
        yield found.rule.id, f"translated template: {where}: {found.rule.id} {found.message}"


def of_template(source: Path) -> Iterator[str]:
    """Yield what is wrong with a template: findings without a reason, and reasons without a finding."""
    found = list(findings(source))
    yield from (sentence for rule, sentence in found if rule not in ACCEPTED)
    for rule in sorted(set(ACCEPTED) - {rule for rule, _ in found}):
        yield f"{rule}: is accepted in {Path(__file__).name}, and nothing of the kind is found any more"


def main() -> int:
    """Print each finding; 1 where there is one."""
    found = list(of_template(TEMPLATE))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
