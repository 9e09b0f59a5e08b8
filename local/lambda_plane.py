"""The Lambda service: functions, their warm environments, and a record of every invocation."""

import hashlib
import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from local.clock import VirtualClock
from local.environment import Environment, Outcome
from local.feed import Feed
from local.function_config import LATEST, FunctionConfig, Host, named
from local.metrics import Metrics, metric
from local.wire import Json

CONCURRENCY = 10
"""Environments of one function at a time: what a new AWS account has for all its functions."""

KEPT = 100_000
"""Calls, and log lines, that are remembered."""


class ThrottledError(Exception):
    """More invocations of one function at a time than Lambda allows."""


class NoSuchFunctionError(Exception):
    """No function has that name, or that version or alias."""


@dataclass(slots=True)
class _Function:
    """A function and its environments."""

    config: FunctionConfig
    idle: list[Environment] = field(default_factory=list)
    busy: set[Environment] = field(default_factory=set)
    qualifiers: set[str] = field(default_factory=lambda: {LATEST})
    """Its versions and aliases. All of them are the one configuration: nothing is deployed twice here."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class LambdaPlane:
    """Runs functions in processes, as many side by side as there are invocations."""

    def __init__(self, host: Host, clock: VirtualClock, feed: Feed, metrics: Metrics) -> None:
        """Own no function yet; `register` adds them."""
        self._host = host
        self._clock = clock
        self._feed = feed
        self._metrics = metrics
        self._functions: dict[str, _Function] = {}
        self._numbers = itertools.count(1)
        self.calls: deque[Json] = deque(maxlen=KEPT)
        self.lines: deque[Json] = deque(maxlen=KEPT)

    def register(self, config: FunctionConfig) -> None:
        """Make a function known."""
        self._functions[config.name] = _Function(config)

    def qualify(self, name: str, qualifier: str) -> None:
        """Make a version or an alias of a function known."""
        self._find(name).qualifiers.add(qualifier)

    @property
    def configs(self) -> list[FunctionConfig]:
        """All functions, in the order of their registration."""
        return [function.config for function in self._functions.values()]

    def config(self, name: str) -> FunctionConfig:
        """Find a function by name, ARN, or logical id.

        Raises:
            NoSuchFunctionError: there is none, or not by the qualifier that the name ends with.
        """
        return self._find(name).config

    def invoke(self, name: str, payload: bytes) -> Outcome:
        """Run one event in a warm environment, or in a new one; virtual time stands by meanwhile."""
        function = self._find(name)
        number, label = next(self._numbers), function.config.logical_id
        with self._clock.busy():
            environment = self._take(function)
            self._feed.add("invocation.started", function=label, invocation=number)
            try:
                outcome = environment.invoke(payload)
            finally:
                self._give_back(function, environment)
            self._note(function.config, outcome, number)
        return outcome

    def kill(self, name: str) -> bool:
        """SIGKILL one process of a function that is working now; False if none is."""
        function = self._find(name)
        with function.lock:
            victim = next((environment for environment in function.busy if environment.working), None)
        if victim:
            self._feed.add("invocation.killed", function=function.config.logical_id)
            victim.kill()
        return victim is not None

    def stop(self) -> None:
        """Kill every process."""
        for function in self._functions.values():
            with function.lock:
                environments = [*function.idle, *function.busy]
                function.idle.clear()
            for environment in environments:
                environment.close()

    def _find(self, name: str) -> _Function:
        short, qualifier = named(name)
        for function in self._functions.values():
            if short in {function.config.name, function.config.logical_id} and qualifier in function.qualifiers:
                return function
        raise NoSuchFunctionError(name)

    def _take(self, function: _Function) -> Environment:
        with function.lock:
            while function.idle:
                environment = function.idle.pop()
                if environment.alive:
                    function.busy.add(environment)
                    return environment
                environment.close()
            if len(function.busy) >= CONCURRENCY:
                self._count(function.config, "Throttles", 1)
                raise ThrottledError(function.config.name)
            environment = Environment(
                function.config,
                self._host,
                access_key_id(function.config.name),
                lambda line: self._log(function.config.logical_id, line),
            )
            function.busy.add(environment)
        return environment

    def _give_back(self, function: _Function, environment: Environment) -> None:
        with function.lock:
            function.busy.discard(environment)
            reusable = environment.alive
            if reusable:
                function.idle.append(environment)
        if not reusable:
            environment.close()

    def _log(self, label: str, line: str) -> None:
        self.lines.append({"at": time.time(), "function": label, "line": line})
        self._metrics.line(line)

    def _count(self, config: FunctionConfig, name: str, value: float) -> None:
        """Count what Lambda counts by itself."""
        self._metrics.put(metric("AWS/Lambda", name, FunctionName=config.name), value)

    def _note(self, config: FunctionConfig, outcome: Outcome, number: int) -> None:
        call: Json = {
            "function": config.logical_id,
            "request_id": outcome.request_id,
            "error": outcome.error,
            "ms": round(outcome.milliseconds, 1),
            "init_ms": outcome.init_milliseconds and round(outcome.init_milliseconds),
            "memory_mb": outcome.memory,
            "configured_mb": config.memory,
        }
        self.calls.append(call)
        self._count(config, "Errors", int(outcome.error is not None))
        self._feed.add("invocation.ended", invocation=number, **call)


def access_key_id(function: str) -> str:
    """The access key id that a function signs with, so that each of its requests names its caller."""
    return "LSIA" + hashlib.sha256(function.encode()).hexdigest()[:16].upper()


def default_python() -> Path:
    """The interpreter of the runtime environment that `make` sets up."""
    return Path(__file__).parent.parent / ".venvs" / "runtime" / "bin" / "python"
