"""One execution environment: one `awslambdaric` process, one invocation at a time."""

import json
import os
import secrets
import select
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.function_config import FunctionConfig, Host, variables
from local.runtime_api import Invocation, RuntimeApi

INIT_SECONDS = 10.0
"""Lambda's limit for initialisation; what goes beyond it counts against the function's own time-out."""

LAST_WORDS = 1.0
"""Real seconds for what a process has written to arrive, once its invocation has ended, or it has died."""

READ = 65_536
"""Bytes of output that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one invocation ended."""

    request_id: str
    payload: bytes
    error: str | None
    milliseconds: float
    init_milliseconds: float | None
    """None for a warm start."""
    memory: int
    """Peak resident MB during this invocation."""
    log: list[str]


class Environment:
    """A runtime process and the API it talks to."""

    def __init__(self, config: FunctionConfig, host: Host, key_id: str, on_line: Callable[[str], None]) -> None:
        """Start the process; it initialises while the caller prepares the first invocation."""
        self.config = config
        self._api = RuntimeApi()
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=5_000)
        self._reading = threading.Lock()
        """Held from when output is read until it is a line."""
        self._cold = True
        self._started = time.monotonic()
        self._process = self._spawn(host, key_id)
        self._watcher = threading.Thread(target=self._watch, name=f"output of {config.name}", daemon=True)
        self._watcher.start()

    @property
    def alive(self) -> bool:
        """Whether another invocation may go here."""
        return self._process.poll() is None and not self._api.spoiled and self._api.init_error is None

    @property
    def working(self) -> bool:
        """Whether an invocation is inside."""
        current = self._api.current
        return current is not None and not current.done.is_set()

    def invoke(self, payload: bytes) -> Outcome:
        """Run one event to its end, its time-out, or the death of the process."""
        self._lines.clear()
        init = self._initialise() if self._cold else None
        limit = float(self.config.timeout)
        invocation = Invocation(str(uuid.uuid4()), payload, self.config.arn, round((time.time() + limit) * 1000))
        began = time.monotonic()
        self._reset_peak()
        self._hand_over(invocation, limit)
        took = (time.monotonic() - began) * 1000
        return Outcome(
            request_id=invocation.request_id,
            payload=invocation.body,
            error=invocation.error,
            milliseconds=took,
            init_milliseconds=init,
            memory=self._peak(),
            log=list(self._lines),
        )

    def kill(self) -> None:
        """SIGKILL the process and everything it started, as a lost machine would."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session, started below

    def close(self) -> None:
        """End the process and its API."""
        self.kill()
        self._process.wait()
        self._api.close()

    def _spawn(self, host: Host, key_id: str) -> subprocess.Popen[bytes]:
        scratch = host.work / "tmp" / secrets.token_hex(4)
        scratch.mkdir(parents=True)
        return subprocess.Popen(
            [host.python, "-m", "awslambdaric", self.config.handler],
            cwd=self.config.code,
            env=variables(self.config, host, self._api.address, key_id, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,  # what was read is a line at once, or is still in the pipe
            pass_fds=[host.tether],
            start_new_session=True,
        )

    def _watch(self) -> None:
        """Pass on what the process prints; when it dies, settle what it was working on."""
        output, rest = self._process.stdout, b""
        assert output
        while True:
            select.select([output], [], [])
            with self._reading:
                data = output.read(READ)
                *lines, rest = (rest + data).split(b"\n")
                for raw in lines:
                    self._say(raw)
            if not data:
                break
        if rest:
            self._say(rest)
        code = self._process.wait()
        with self._reading:
            output.close()
        if self._api.current:
            self._api.current.finish(_exit_error(self._api.current.request_id, code), "Unhandled")
        self._api.ready.set()

    def _say(self, raw: bytes) -> None:
        line = raw.decode("utf-8", "replace").replace("\r", "\n")
        self._lines.append(line)
        self._on_line(line)

    def _hear_out(self) -> None:
        """Wait until what the process has written so far is read: it writes its log before it answers."""
        until, output = time.monotonic() + LAST_WORDS, self._process.stdout
        assert output
        while time.monotonic() < until:
            with self._reading:
                if output.closed or not select.select([output], [], [], 0)[0]:
                    return
            time.sleep(0.001)

    def _initialise(self) -> float:
        """Wait for the process to ask for work; return its milliseconds."""
        self._api.ready.wait(INIT_SECONDS)
        self._cold = False
        return (time.monotonic() - self._started) * 1000

    def _hand_over(self, invocation: Invocation, limit: float) -> None:
        """Give the invocation to the process and wait, at most `limit` seconds."""
        until = time.monotonic() + limit
        ready = self._api.ready.wait(limit)
        if self._api.init_error is not None:
            invocation.finish(self._api.init_error, "Unhandled")
            return
        if self._process.poll() is not None:
            invocation.finish(_exit_error(invocation.request_id, self._process.returncode), "Unhandled")
            return
        self._api.current = invocation
        self._api.inbox.put(invocation)
        if not ready or not invocation.done.wait(until - time.monotonic()):
            self._api.spoiled = True
            invocation.finish(_timeout_error(invocation.request_id, self.config.timeout), "Unhandled")
            self.kill()
        if self.alive:
            self._hear_out()
        else:
            self._watcher.join(LAST_WORDS)

    def _reset_peak(self) -> None:
        """Let the kernel's high-water mark start again, so that it belongs to one invocation (Linux only)."""
        try:
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        except OSError:
            return

    def _peak(self) -> int:
        """Peak resident MB since the last reset; 0 where the process is gone or the system has no /proc."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _exit_error(request_id: str, code: int) -> bytes:
    """What Lambda answers when the process is gone."""
    how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
    return json.dumps({"errorType": "Runtime.ExitError", "errorMessage": message}).encode()


def _timeout_error(request_id: str, seconds: int) -> bytes:
    """What Lambda answers when the function was not done in time."""
    message = f"{request_id} Task timed out after {seconds:.2f} seconds"
    return json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}).encode()
