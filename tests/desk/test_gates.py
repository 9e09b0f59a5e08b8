"""Each gate of `make check` reports a planted mistake, and whatever a gate is told to overlook has its reason."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import deep, security
from checks import template as linted

ROOT = Path(__file__).parents[2]
CARELESS = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Careless:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: .
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions: {Partition: !Ref AWS::Partition}
"""
MACHINE = """\
StartAt: Wait
States:
  Wait: {Type: Wait, Seconds: soon, Next: Done}
  Done: {Type: Succeed}
"""


def sources() -> Iterator[Path]:
    """Yield the repository's Python files."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    yield from (ROOT / name for name in listed.stdout.splitlines())


def test_cfn_lint_reports_what_only_the_translated_template_and_the_machine_inside_it_show(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(CARELESS)
    (tmp_path / "machine.asl.yaml").write_text(MACHINE)

    found = list(linted.of_template(tmp_path / "template.yaml"))

    serverless = {
        rule for rule in ("ES1005", "ES1006") if any(f" {rule} Lambda function Careless" in one for one in found)
    }
    assert serverless == {"ES1005", "ES1006"}  # no memory, no time-out
    assert [one for one in found if " E3601 " in one and "States/Wait/Seconds" in one]
    assert "ES6000: is accepted in template.py, and nothing of the kind is found any more" in found


def test_sam_validate_reports_a_property_that_does_not_exist(tmp_path: Path) -> None:
    planted = tmp_path / "template.yaml"
    planted.write_text(CARELESS.replace("CodeUri: .", "CodeUri: .\n      Memory: 512"))
    command = [str(ROOT / ".venvs/sam/bin/sam"), "validate", "--lint", "--template", str(planted)]
    alone = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
    }

    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "'Memory' was unexpected" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        ("S602", "import subprocess\n\nsubprocess.run(input(), shell=True, check=True)\n"),
        ("S105", 'password = "correct horse"\n'),
        ("S506", "import yaml\n\nyaml.load(input(), yaml.Loader)\n"),
        ("BLE001", "try:\n    print()\nexcept Exception:\n    print()\n"),
    ],
)
def test_ruff_reports_a_hole_in_the_code_that_ships(rule: str, planted: str) -> None:
    command = [str(ROOT / ".venvs/product/bin/ruff"), "check", "--no-cache", "--output-format", "concise"]
    name = ["--stdin-filename", "layers/nightshift/nightshift/planted.py", "-"]

    done = subprocess.run([*command, *name], cwd=ROOT, input=planted, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f": {rule} " in done.stdout


def test_every_finding_that_is_accepted_has_its_reason() -> None:
    accepted = {**linted.ACCEPTED, **security.ACCEPTED, **security.WITHOUT_KEY, **deep.ACCEPTED, **deep.WITHOUT_KEY}
    assert [rule for rule, reason in accepted.items() if len(reason.split()) < 5] == []


def test_every_rule_that_ruff_is_to_leave_out_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ruff = tomllib.loads(text)["tool"]["ruff"]["lint"]
    left_out = [*ruff["ignore"], *(rule for rules in ruff["per-file-ignores"].values() for rule in rules)]
    assert [rule for rule in left_out if not re.search(rf'"{rule}"[\],]* +# \S', text)] == []


def test_every_suppression_in_the_code_has_its_reason() -> None:
    bare = []
    for path in sources():
        lines = path.read_text().splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            found = re.search(r"# (?:ruff: )?noqa: ((?:[A-Z]+\d+(?:, )?)+)(.*)", line)
            if found and "tests" in path.parts and not re.search(r"\b(S\d{3}|BLE001)\b", found[1]):
                continue  # how a test is written is seen where it stands; what is safe is not
            if found and not re.search(r"\w", found[2]) and not before.lstrip().startswith("# "):
                bare.append(f"{path.relative_to(ROOT)}: {line.strip()}")
    assert bare == []
    assert not (ROOT / ".gitleaksignore").exists()
    assert not (ROOT / ".checkov.yaml").exists()
