"""`make deploy`: a stage that there is, said aloud and alone; it builds without credentials, and deploys with them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_SAM = """\
#!{python}
import json, os, sys
from pathlib import Path
if "build" in sys.argv:
    for layer in ("CodeLayer", "DependenciesLayer"):
        Path(sys.argv[sys.argv.index("--build-dir") + 1], layer).mkdir(parents=True, exist_ok=True)
with open({log!r}, "a") as log:
    print(json.dumps([sys.argv[1:], {{n: v for n, v in os.environ.items() if n.startswith("AWS_")}}]), file=log)
"""
PERSON = {"AWS_PROFILE": "acme", "AWS_SECRET_ACCESS_KEY": "hers", "AWS_DEFAULT_REGION": "eu-central-1"}


class Made:
    """What `make` said, and how it called SAM."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        log, sam = folder / "log", folder / "sam"
        sam.write_text(FAKE_SAM.format(python=ROOT / ".venvs/desk/bin/python", log=str(log)))
        sam.chmod(0o755)
        shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))}
        command = ["make", "--no-print-directory", *words, f"SAM={sam}", f"BUILD_DIR={folder / 'build'}"]
        done = subprocess.run(
            command, cwd=ROOT, env=shell | PERSON | environment, capture_output=True, text=True, check=False
        )
        self.status, self.said = done.returncode, done.stderr
        self.calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_stage_is_built_without_credentials_and_deployed_with_the_person_s_own(tmp_path: Path) -> None:
    made = Made(tmp_path, "deploy", "ENV=staging")

    (build, built_with), (deploy, deployed_with) = made.calls
    assert (made.status, made.said) == (
        0,
        "staging: stack nightshift-staging; nothing changes before you have seen the change set\n",
    )
    assert build[:3] == ["build", "--parameter-overrides", "Architecture=arm64"]
    assert built_with.keys() & PERSON.keys() == {"AWS_DEFAULT_REGION"}
    assert (built_with["AWS_CONFIG_FILE"], built_with["AWS_DEFAULT_REGION"]) == ("/dev/null", "us-east-1")
    template = str(tmp_path / "build" / "template.yaml")
    assert deploy == ["deploy", "--config-env", "staging", "--template-file", template]
    assert deployed_with == PERSON
    assert (tmp_path / "build" / "sbom.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deploy"], "make deploy does not know where: say make deploy ENV=dev, or one of dev, staging, prod\n"),
        (["deploy", "ENV=pr0d"], "ENV=pr0d is no stage of samconfig.toml: say make deploy ENV=dev, or one of"),
        (["deploy", "ENV=dev'; touch planted; '"], "ENV=dev'; touch planted; ' is no stage of samconfig.toml"),
        (["deploy", "ENV=$(shell touch planted)dev"], "ENV=$(shell touch planted)dev is no stage"),
        (["help", "deploy", "ENV=dev"], "make deploy is said alone\n"),
    ],
    ids=["none", "unknown", "shell", "make", "beside another"],
)
def test_what_is_no_stage_is_refused_before_anything_is_built(words: list[str], said: str, tmp_path: Path) -> None:
    made = Made(tmp_path, *words)

    assert (made.status, made.calls) == (2, [])
    assert made.said.startswith(said)
    assert not (ROOT / "planted").exists()


def test_a_stage_that_only_the_environment_names_is_not_deployed(tmp_path: Path) -> None:
    made = Made(tmp_path, "deploy", ENV="prod")

    assert (made.status, made.calls) == (2, [])
