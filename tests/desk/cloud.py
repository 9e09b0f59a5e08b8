"""Starts the local cloud as anybody would, and talks to it over HTTP only."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).parents[2]
APP = Path(__file__).parent / "app" / "template.yaml"
PATIENCE = 30.0
"""Real seconds after which something that should happen has not."""


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """A cloud, what it printed, and its process."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service,
                endpoint_url=self.said["endpoint"],
                region_name=self.said["region"],
                aws_access_key_id="nobody",
                aws_secret_access_key="nobody",
            )
        return self.clients[service]

    def get(self, name: str) -> Any:
        return json.loads(self.ask("GET", name)[1])

    def post(self, name: str, body: Any = None) -> int:
        return self.ask("POST", name, json.dumps(body))[0]

    def ask(self, method: str, name: str, body: str | None = None) -> tuple[int, bytes]:
        with closing(HTTPConnection(self.said["endpoint"].removeprefix("http://"))) as connection:
            connection.request(method, f"/_local/{name}", body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def resource(self, logical_id: str) -> str:
        found: str = self.said["resources"][logical_id]
        return found

    def start(self, name: str, *plan: Any) -> str:
        arn: str = self.client("stepfunctions").start_execution(
            stateMachineArn=self.resource("Loop"), name=name, input=json.dumps({"plan": plan})
        )["executionArn"]
        return arn

    def ended(self, arn: str) -> Any:
        client = self.client("stepfunctions")
        return until(lambda: _unless_running(client.describe_execution(executionArn=arn)))

    def run(self, name: str, *plan: Any) -> Any:
        return self.ended(self.start(name, *plan))

    def output(self, name: str, *plan: Any) -> Any:
        ended = self.run(name, *plan)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def processes(self) -> set[int]:
        """The runtime processes that belong to this cloud."""
        marker = f"NIGHTSHIFT_CLOCK={self.said['clock']}".encode()
        return {
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and marker in _environment(entry).split(b"\0")
        }


def until[Found](look: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """Look until there is something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    message = "nothing came"
    raise AssertionError(message)


@contextmanager
def started(scratch: Path, *arguments: str) -> Iterator[RunningCloud]:
    """Start `python -m local` with `scratch` for its temporary files; end it by closing its input."""
    command = [sys.executable, "-m", "local", "--stack", "desk", *arguments]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        assert line, "the cloud did not start; its reason is on standard error"
        cloud = RunningCloud(process, json.loads(line))
        yield cloud
        for client in cloud.clients.values():
            client.close()


@contextmanager
def running(scratch: Path, *arguments: str) -> Iterator[RunningCloud]:
    """Start a cloud, and see at its end that it leaves nothing behind."""
    with started(scratch, *arguments) as cloud:
        yield cloud
        assert cloud.process.stdin
        cloud.process.stdin.close()
        left = (cloud.process.wait(PATIENCE), cloud.processes(), list(scratch.iterdir()))
    assert left == (0, set(), []), left


def _unless_running(execution: Any) -> Any:
    return None if execution["status"] == "RUNNING" else execution


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it ended meanwhile, or is somebody else's
        return b""
