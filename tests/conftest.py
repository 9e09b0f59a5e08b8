"""Fixtures for every kind of test: an AWS that is only a local server, and a world without anybody's credentials."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DESK_PYTHON = ROOT / ".venvs" / "desk" / "bin" / "python"
MOTO_SERVER = Path(__file__).parent / "moto_server.py"
REGION = "us-east-1"

DESK_AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""What a client may see of AWS's settings: nothing of the person's own."""


@pytest.fixture(scope="session", autouse=True)
def _nobodys_aws() -> Iterator[None]:
    """Replace whatever AWS and Anthropic settings the shell has, so that no test can reach a real account."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "ANTHROPIC_"))]:
            patch.delenv(name)
        for name, value in DESK_AWS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    """Yield the URL of an empty AWS that lives as long as the test session.

    Shared by the session's tests, so each makes resources under names of its own.
    """
    command = [str(DESK_PYTHON), str(MOTO_SERVER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["endpoint"]
        finally:
            server.stdin.close()
            server.wait(timeout=10)
