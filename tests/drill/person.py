"""The person on call: types the runbook's commands into a shell that has the stack's outputs as variables."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.running import RunningCloud
from nightshift_cli.exits import Exit
from tests.conftest import ROOT

PYTHON = ROOT / ".venvs" / "product" / "bin" / "python"
NIGHTSHIFT = """\
#!/bin/sh
exec {python} -c 'import pathlib, sys
from nightshift_cli import stack
from nightshift_cli.app import app
stack.LOCAL_FILE = pathlib.Path("{local}")
sys.argv[0] = "nightshift"
app()' "$@" --local
"""
AWS = """\
#!/bin/sh
PYTHONPATH={root} exec {python} -m tests.drill.aws "$@"
"""
TELLS = frozenset({Exit.DONE, Exit.HELD, Exit.FOUND})
"""Statuses of a command that did what it is for: a run that is held, a thing to be mended are told by them."""


@dataclass(frozen=True, slots=True)
class Said:
    """A command, and what came of it."""

    typed: str
    status: int
    text: str


class Person:
    """Has a folder of their own, credentials for the stack, and the runbook."""

    def __init__(self, cloud: RunningCloud, folder: Path) -> None:
        """Set the desk: `nightshift` is about the local cloud, and `aws` asks it."""
        self.folder = folder
        (programs := folder / "bin").mkdir(parents=True)
        (local := folder / "local.json").write_text(
            json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs})
        )
        words = {"python": PYTHON, "local": local, "root": ROOT}
        for name, text in {"nightshift": NIGHTSHIFT, "aws": AWS}.items():
            (program := programs / name).write_text(text.format_map(words))
            program.chmod(0o755)
        self._variables = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": cloud.region,
            "AWS_ACCESS_KEY_ID": "desk",
            "AWS_SECRET_ACCESS_KEY": "desk",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "*",
            "COLUMNS": "140",
            **cloud.outputs,
        }

    def types(self, command: str, words: Mapping[str, str] | None = None) -> Said:
        """Type a command of the page, its words in capitals filled in.

        Raises:
            AssertionError: it did not do what it is for.
        """
        for word, value in (words or {}).items():
            command = re.sub(rf"\b{word}\b", value, command)
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            check=False,
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = Said(command, done.returncode, done.stdout + done.stderr)
        assert said.status in TELLS, said
        return said
