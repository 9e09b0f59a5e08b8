"""Have checkov read the template, as it is written and as SAM translates it, and gitleaks look for keys. Offline.

    .venvs/desk/bin/python -m checks.security

Translated, because checkov sees in SAM's own types about half of what becomes of them. A finding that stands here says
why; one that nobody reports any more is a finding itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local import template

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / ".venvs" / "security" / "bin"
REGION = "us-east-1"

ACCEPTED: Mapping[str, str] = {
    "CKV_AWS_18": "access logs of a bucket want another bucket, and CloudTrail's data events tell the same",
    "CKV_AWS_115": "a new account has 10 concurrent invocations in all: reserving some would not deploy",
    "CKV_AWS_116": "whatever is invoked asynchronously has an on-failure destination, which checkov does not count",
    "CKV_AWS_117": "nothing here has a private address; a VPC would take away the way to the API",
    "CKV_AWS_173": "AWS encrypts the variables, and none of them is a secret",
}
"""Check → why its findings stay."""

WITHOUT_KEY: Mapping[str, str] = {
    "CKV_AWS_26": "CloudWatch may not publish to a topic under AWS's own key, and the texts of alarms hold no data",
    "CKV_AWS_27": "the queue is encrypted with SQS's own key (SqsManagedSseEnabled), which checkov does not count",
    "CKV_AWS_119": "AWS's own key encrypts the tables; one of yours is a monthly price and a way to lose them",
    "CKV_AWS_149": "AWS's own key encrypts the secrets; who may read them is said by IAM",
    "CKV_AWS_158": "CloudWatch encrypts all logs, and ours hold ids and counts",
}
"""… and of those that stay only as long as there is no `KmsKeyArn`."""


def checkov(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield (check, sentence) for each finding in CloudFormation files."""
    command = [
        str(PROGRAMS / "checkov"),
        "--skip-download",
        "--framework",
        "cloudformation",
        "--output",
        "json",
        "--quiet",
    ]
    given = [argument for file in files for argument in ("--file", str(file))]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False, env=_environment())
    if done.returncode not in {0, 1}:
        raise RuntimeError(done.stderr)
    report = json.loads(done.stdout)
    if "results" not in report or report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        message = f"checkov could not read {', '.join(str(file) for file in files)}: {done.stdout[:300]}"
        raise RuntimeError(message)
    for found in report["results"]["failed_checks"]:
        yield found["check_id"], f"{found['file_path']}: {found['resource']}: {found['check_name']}"


def gitleaks(*words: str) -> Iterator[str]:
    """Yield a sentence for each key that is found; never the key."""
    command = [str(PROGRAMS / "gitleaks"), *words, "--no-banner", "--redact", "--report-format", "json"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        given = ["--report-path", str(report), "--log-level", "error", "--exit-code", "3"]
        done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in {0, 3}:
            raise RuntimeError(done.stderr)
        for found in json.loads(report.read_text()):
            yield f"{found['File']}:{found['StartLine']}: {found['Description']}"


def translated(source: Path, target: Path, *, key: bool) -> Path:
    """Write what SAM makes of a template, as it is with a KmsKeyArn or without one, and return where."""
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)  # the translator asks for one, and puts it nowhere
    body = _decided(template.read(source, {}).body, key=key)
    if key and "KmsKeyArn" in body.get("Parameters", {}):
        body["Parameters"]["KmsKeyArn"]["Default"] = "arn:aws:kms:us-east-1:123456789012:key/yours"
    target.write_text(json.dumps(body, indent=1))
    return target


def _decided(value: Any, *, key: bool) -> Any:
    """Return a part of a template with what depends on `HasKmsKey` decided: checkov takes both branches for true."""
    match value:
        case {"Fn::If": ["HasKmsKey", then, otherwise]}:
            return _decided(then if key else otherwise, key=key)
        case dict():
            return {name: _decided(part, key=key) for name, part in value.items() if not _is_left_out(part, key=key)}
        case list():
            return [_decided(part, key=key) for part in value if not _is_left_out(part, key=key)]
        case _:
            return value


def _is_left_out(part: Any, *, key: bool) -> bool:
    match part:
        case {"Fn::If": ["HasKmsKey", then, otherwise]}:
            return bool((then if key else otherwise) == {"Ref": "AWS::NoValue"})
        case {"Condition": "HasKmsKey", "Type": _}:
            return not key
        case _:
            return False


def of_template(source: Path) -> Iterator[str]:
    """Yield what is wrong with a template: findings without a reason, and reasons without a finding."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(checkov([source, translated(source, Path(folder) / "translated.json", key=False)]))
        keyed = list(checkov([translated(source, Path(folder) / "translated-with-key.json", key=True)]))
    accepted = {**ACCEPTED, **WITHOUT_KEY}
    yield from (f"{check}: {what}" for check, what in found if check not in accepted)
    yield from (f"{check}: {what}" for check, what in keyed if check not in ACCEPTED)
    for check in sorted(set(accepted) - {check for check, _ in found}):
        yield f"{check}: is accepted in {Path(__file__).name}, and nothing of the kind is found any more"


def main() -> int:
    """Print each finding; 1 where there is one."""
    # The history, and what is not committed yet.
    findings = [*of_template(ROOT / "template.yaml"), *gitleaks("git"), *gitleaks("git", "--pre-commit")]
    print(*findings, sep="\n", end="\n" if findings else "")
    return 1 if findings else 0


def _environment() -> dict[str, str]:
    """Return an environment in which checkov asks nobody."""
    return {"PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir(), "AWS_DEFAULT_REGION": REGION}


if __name__ == "__main__":
    sys.exit(main())
