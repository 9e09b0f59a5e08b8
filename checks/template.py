"""Lint what CloudFormation will really get: the template as SAM translates it, with the state machine inside.

    .venvs/desk/bin/python -m checks.template

`sam validate --lint` sees neither the translated resources nor the file behind `DefinitionUri`. Offline: cfn-lint
carries its specifications with it.
"""

import json
import os
import sys
from pathlib import Path

from cfnlint.api import lint
from cfnlint.config import ManualArgs

from local import template
from local.wire import Json

TEMPLATE = Path(__file__).parent.parent / "template.yaml"
REGIONS = ["us-east-1", "eu-central-1"]
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:function"


def expose_definition(machine: Json) -> None:
    """Put the definition of a state machine as an object: the translator joins strings, which no linter reads.

    Each substitution gets a value of the right form, because cfn-lint holds a state's resource to a pattern.
    """
    separator, lines = machine.pop("DefinitionString")["Fn::Join"]
    text = separator.join(lines)
    for name, value in machine["DefinitionSubstitutions"].items():
        text = text.replace(f"${{{name}}}", "aws" if value == {"Ref": "AWS::Partition"} else FUNCTION_ARN)
    machine["Definition"] = json.loads(text)


def main() -> int:
    """Print each finding, warnings and informational ones too; 1 where there is one."""
    os.environ.setdefault("AWS_DEFAULT_REGION", REGIONS[0])  # the translator asks for one, and puts it nowhere
    translated = template.read(TEMPLATE, {}).body
    for resource in translated["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            expose_definition(resource["Properties"])
    findings = lint(json.dumps(translated, indent=1), config=ManualArgs(include_checks=["I"], regions=REGIONS))
    for finding in findings:
        where = "/".join(str(part) for part in finding.path or [])
        print(f"translated template: {where}: {finding.rule.id} {finding.message}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
