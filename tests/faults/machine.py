"""The state machine's own definition, walked in virtual time: statemachine/run.asl.yaml as it is deployed.

It knows the part of the States Language that the machine uses, and refuses the rest. moto's interpreter, which the
local cloud uses, waits in threads and in real time.
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

type Json = Any

DEFINITION = Path(__file__).parents[2] / "statemachine" / "run.asl.yaml"
FUNCTION = "Function"


class TaskFailedError(Exception):
    """A task's error, by the name that Retry and Catch match."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Surroundings(Protocol):
    """What a machine needs."""

    rng: random.Random

    def call(self, function: str, payload: Json, timeout: float) -> Json:
        """Invoke a function and wait for its answer.

        Raises:
            TaskFailedError: it failed, or the time was up; then it may still be running.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def together(self, works: list[Callable[[], object]]) -> None:
        """Do all of these side by side, and wait for all."""
        ...


class Execution:
    """One execution of the machine."""

    def __init__(self, world: Surroundings, name: str, entry: Json) -> None:
        """Begin with the input `entry`."""
        self.name = name
        self._world = world
        self._entry = entry

    def run(self) -> str:
        """Walk to an end; return the status that Step Functions would show."""
        try:
            return self._walk(load(), self._entry)
        except TaskFailedError:
            return "FAILED"

    def _walk(self, machine: Json, data: Json, item: Json = None) -> str:
        name: str | None = machine["StartAt"]
        while name is not None:
            state = machine["States"][name]
            match state["Type"]:
                case "Succeed":
                    return "SUCCEEDED"
                case "Fail":
                    return "FAILED"
                case "Choice":
                    name = _chosen(state, data)
                    continue
                case "Wait":
                    self._world.sleep(_path(state["SecondsPath"], data, self._context(item)))
                case "Pass":
                    pass
                case "Map":
                    self._map(state, data)
                case "Task":
                    data, caught = self._task(state, data, item)
                    if caught is not None:
                        name = caught
                        continue
                case kind:
                    raise NotImplementedError(kind)
            name = state.get("Next")
        return "SUCCEEDED"

    def _map(self, state: Json, data: Json) -> None:
        assert state["ResultPath"] is None
        assert "Catch" not in state

        def one(value: Json) -> Callable[[], object]:
            entry = _filled(state["ItemSelector"], data, self._context(value))
            return lambda: self._walk(state["ItemProcessor"], entry)

        self._world.together([one(value) for value in _path(state["ItemsPath"], data, {})])

    def _task(self, state: Json, data: Json, item: Json) -> tuple[Json, str | None]:
        """Return what the data becomes, and the state to go on with where an error was caught."""
        arguments = _filled(state["Parameters"], data, self._context(item))
        function = arguments["FunctionName"].removeprefix("${").removesuffix("Arn}")
        tries: dict[int, int] = {}
        while True:
            try:
                result = self._world.call(function, arguments["Payload"], state["TimeoutSeconds"])
            except TaskFailedError as error:
                if (pause := self._retry(state, error.name, tries)) is not None:
                    self._world.sleep(pause)
                    continue
                for catch in state.get("Catch", ()):
                    if _matches(catch, error.name):
                        kept = (
                            data if catch.get("ResultPath", "$") is None else {**data, "error": {"Error": error.name}}
                        )
                        return kept, catch["Next"]
                raise
            if "ResultPath" in state and state["ResultPath"] is None:
                return data, None
            return _path(state.get("OutputPath", "$"), {"Payload": result}, {}), None

    def _retry(self, state: Json, name: str, tries: dict[int, int]) -> float | None:
        for number, retry in enumerate(state.get("Retry", ())):
            if _matches(retry, name):
                tried = tries.get(number, 0)
                if tried >= retry["MaxAttempts"]:
                    return None
                tries[number] = tried + 1
                longest = min(retry["IntervalSeconds"] * retry["BackoffRate"] ** tried, retry["MaxDelaySeconds"])
                assert retry["JitterStrategy"] == "FULL"
                return self._world.rng.uniform(0, longest)
        return None

    def _context(self, item: Json) -> Json:
        return {"Execution": {"Name": self.name}, "Map": {"Item": {"Value": item}}}


_loaded: list[Json] = []


def load() -> Json:
    """Return the machine's definition."""
    if not _loaded:
        _loaded.append(yaml.safe_load(DEFINITION.read_text()))
    return _loaded[0]


def _matches(rule: Json, name: str) -> bool:
    return name in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


def _chosen(state: Json, data: Json) -> str:
    for choice in state["Choices"]:
        if _path(choice["Variable"], data, {}) == choice["StringEquals"]:
            return str(choice["Next"])
    return str(state["Default"])


def _path(path: str, data: Json, context: Json) -> Json:
    """Read `$.a.b`, or `$$.a.b` of the context object."""
    value = context if path.startswith("$$") else data
    for step in path.lstrip("$").split("."):
        value = value[step] if step else value
    return value


def _filled(template: Mapping[str, Json], data: Json, context: Json) -> Json:
    """Fill a payload template: a key that ends in `.$` takes its value from a path."""
    filled = {}
    for key, value in template.items():
        if key.endswith(".$"):
            filled[key.removesuffix(".$")] = _path(value, data, context)
        else:
            filled[key] = _filled(value, data, context) if isinstance(value, dict) else value
    return filled
