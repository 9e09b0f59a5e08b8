"""Fixtures for every kind of test: an AWS that is only a local server, and a world without anybody's credentials."""

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest

ROOT = Path(__file__).parent.parent
DESK_PYTHON = ROOT / ".venvs" / "desk" / "bin" / "python"
IN_CI = os.environ.get("CI") == "true"
"""Then a test that cannot run is a failure, not a skip."""
DYNAMODB = frozenset({"runs_table", "dynamodb"})
"""The fixtures of the unit tests that lead to DynamoDB."""
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dynamodb", choices=["moto", "local"], default="moto", help="which engine answers for DynamoDB")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With AWS's own engine, leave only the tests that have a table there: those that ask for one of its fixtures."""
    if config.getoption("dynamodb") == "local":
        others = [item for item in items if DYNAMODB.isdisjoint(getattr(item, "fixturenames", ()))]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason why tests were skipped."""
    for reason in sorted({report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())}):
        terminalreporter.write_line(reason)


@pytest.fixture(scope="session", autouse=True)
def _one_loader() -> Iterator[None]:
    """Read what botocore knows of a service once in a process: each session reads it anew, and each command has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


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
def aws_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty AWS that lives as long as the test session.

    Shared by the session's tests, so each makes resources under names of its own.
    """
    command = [str(DESK_PYTHON), "-m", "tests.moto_server", "--dynamodb", request.config.getoption("dynamodb")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        started = json.loads(server.stdout.readline())
        if "missing" in started:  # only CI must have Java
            (pytest.fail if IN_CI else pytest.skip)(started["missing"])
        try:
            yield started["endpoint"]
        finally:
            server.stdin.close()
            server.wait(timeout=20)
