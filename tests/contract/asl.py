"""A checker of state machines, for what no linter sees behind `DefinitionUri`.

It knows the part of the Amazon States Language (JSONPath) that nightshift uses, and refuses the rest: a new field or
type is a line here, once somebody has looked it up. It finds what npm's asl-validator finds, offline and without Node.
"""

from collections.abc import Iterator, Mapping
from typing import Any

type Json = Mapping[str, Any]

MACHINE_FIELDS = {"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"}
NESTED_FIELDS = {"Comment", "ProcessorConfig", "StartAt", "States"}
PATHS = {"InputPath", "OutputPath"}
ENDS = {"Next", "End"}
RESULT = {"Parameters", "ResultPath", "ResultSelector"}
ERRORS = {"Catch", "Retry"}
WAITS = {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"}
FIELDS = {
    "Choice": PATHS | {"Choices", "Default"},
    "Fail": {"Cause", "CausePath", "Error", "ErrorPath"},
    "Map": PATHS
    | ENDS
    | ERRORS
    | {"ItemProcessor", "ItemSelector", "ItemsPath", "MaxConcurrency", "ResultPath", "ResultSelector"},
    "Parallel": PATHS | ENDS | ERRORS | RESULT | {"Branches"},
    "Pass": PATHS | ENDS | {"Parameters", "Result", "ResultPath"},
    "Succeed": PATHS,
    "Task": PATHS | ENDS | ERRORS | RESULT | {"Resource", "TimeoutSeconds", "HeartbeatSeconds"},
    "Wait": PATHS | ENDS | WAITS,
}
REQUIRED = {"Choice": {"Choices"}, "Map": {"ItemProcessor"}, "Parallel": {"Branches"}, "Task": {"Resource"}}
RETRY_FIELDS = {
    "Comment",
    "ErrorEquals",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
    "MaxDelaySeconds",
    "JitterStrategy",
}
CATCH_FIELDS = {"Comment", "ErrorEquals", "Next", "ResultPath"}
COMPARISONS = {
    *(f"{kind}Equals{path}" for kind in ("Boolean", "Numeric", "String", "Timestamp") for path in ("", "Path")),
    *(
        f"{kind}{sign}{equals}{path}"
        for kind in ("Numeric", "String", "Timestamp")
        for sign in ("GreaterThan", "LessThan")
        for equals in ("", "Equals")
        for path in ("", "Path")
    ),
    *(f"Is{what}" for what in ("Boolean", "Null", "Numeric", "Present", "String", "Timestamp")),
    "StringMatches",
}
TEMPLATES = {"ItemSelector", "Parameters", "ResultSelector"}


def problems(machine: Json) -> list[str]:
    """Return what is wrong with a machine, sorted; each line starts with the name of the state."""
    found = [f"machine: unknown field {name}" for name in sorted(set(machine) - MACHINE_FIELDS)]
    return sorted([*found, *_graph(machine)])


def targets(state: Json) -> Iterator[str]:
    """Yield the names of the states that a state may go to."""
    for holder in (state, *state.get("Catch", ()), *state.get("Choices", ())):
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def is_end(state: Json) -> bool:
    """Tell whether a machine or a branch may end in this state."""
    return state.get("Type") in {"Succeed", "Fail"} or state.get("End") is True


def _graph(machine: Json) -> Iterator[str]:
    """Check one set of states: their own form, where they lead, and that each is on a way from start to end."""
    states = machine["States"]
    if machine["StartAt"] not in states:
        yield f"machine: StartAt names {machine['StartAt']!r}, which is no state"
    for name, state in states.items():
        yield from (f"{name}: {problem}" for problem in _state(state))
        yield from (
            f"{name}: leads to {target!r}, which is no state" for target in targets(state) if target not in states
        )
        for inner in (state.get("ItemProcessor"), *state.get("Branches", ())):
            if inner is not None:
                yield from _nested(name, inner)
    forward = {name: [t for t in targets(state) if t in states] for name, state in states.items()}
    backward = {name: [n for n, nexts in forward.items() if name in nexts] for name in states}
    yield from (
        f"{name}: cannot be reached" for name in set(states) - _spread(forward, {machine["StartAt"]} & set(states))
    )
    ends = {name for name, state in states.items() if is_end(state)}
    yield from (f"{name}: has no way to an end" for name in set(states) - _spread(backward, ends))


def _nested(name: str, inner: Json) -> Iterator[str]:
    yield from (f"{name}: unknown field {field} in a nested machine" for field in set(inner) - NESTED_FIELDS)
    yield from _graph(inner)


def _spread(edges: Mapping[str, list[str]], start: set[str]) -> set[str]:
    """Return everything that can be reached from `start`."""
    seen, todo = set(start), list(start)
    while todo:
        new = set(edges[todo.pop()]) - seen
        seen |= new
        todo += new
    return seen


def _state(state: Json) -> Iterator[str]:
    """Check one state's own form."""
    kind = state.get("Type")
    if kind not in FIELDS:
        yield f"unknown type {kind!r}"
        return
    yield from (f"unknown field {field} in a {kind}" for field in set(state) - FIELDS[kind] - {"Type", "Comment"})
    yield from (f"a {kind} needs {field}" for field in REQUIRED.get(kind, set()) - set(state))
    if FIELDS[kind] >= ENDS and len(ENDS & set(state)) != 1:
        yield "needs either Next or End"
    if kind == "Wait" and len(WAITS & set(state)) != 1:
        yield f"a Wait needs exactly one of {', '.join(sorted(WAITS))}"
    if kind == "Fail":
        yield from (f"has both {f} and {f}Path" for f in ("Cause", "Error") if {f, f"{f}Path"} <= set(state))
    yield from _bad_paths(state)
    yield from _handlers("Retry", state.get("Retry", []), RETRY_FIELDS)
    yield from _handlers("Catch", state.get("Catch", []), CATCH_FIELDS)
    yield from (problem for choice in state.get("Choices", ()) for problem in _choice(choice, is_top=True))


def _bad_paths(state: Json) -> Iterator[str]:
    """Check that whatever is named a path reads like one."""
    for field, value in state.items():
        may_be_null = field in {"InputPath", "OutputPath", "ResultPath"}
        if field.endswith("Path") and not (value is None and may_be_null) and not _is_path(value):
            yield f"{field}: {value!r} is no path"
        if field in TEMPLATES:
            yield from (f"{field}: {problem}" for problem in _template(value))


def _template(value: Any) -> Iterator[str]:
    """Check that fields named `….$`, and no others, hold paths."""
    if isinstance(value, list):
        yield from (problem for item in value for problem in _template(item))
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        if key.endswith(".$") and not _is_path(item):
            yield f"{key}: {item!r} is no path"
        if not key.endswith(".$") and _is_path(item):
            yield f"{key}: {item!r} is a path, but the name does not end with .$"
        yield from _template(item)


def _is_path(value: Any) -> bool:
    """Tell whether a value is a JSONPath, a path into the context object, or an intrinsic function."""
    if not isinstance(value, str):
        return False
    path = value.removeprefix("$") if value.startswith("$$") else value
    return path == "$" or (path.startswith(("$.", "$[", "States.")) and ".." not in path and not path.endswith("."))


def _handlers(kind: str, handlers: list[Json], fields: set[str]) -> Iterator[str]:
    """Check the entries of a Retry or a Catch."""
    for number, handler in enumerate(handlers):
        yield from (f"unknown field {field} in a {kind}" for field in set(handler) - fields)
        errors = handler.get("ErrorEquals", [])
        if not errors:
            yield f"a {kind} without ErrorEquals"
        if "States.ALL" in errors and (len(errors) > 1 or number + 1 < len(handlers)):
            yield f"States.ALL must stand alone, and in the last {kind}"
        if kind == "Catch" and "Next" not in handler:
            yield "a Catch without Next"
        if "ResultPath" in handler and handler["ResultPath"] is not None and not _is_path(handler["ResultPath"]):
            yield f"ResultPath of a {kind}: {handler['ResultPath']!r} is no path"


def _choice(rule: Json, *, is_top: bool) -> Iterator[str]:
    """Check one rule of a Choice, and the rules that it is made of."""
    operators = (COMPARISONS | {"And", "Or", "Not"}) & set(rule)
    yield from (
        f"unknown field {field} in a choice" for field in set(rule) - operators - {"Variable", "Next", "Comment"}
    )
    if len(operators) != 1:
        yield "a choice needs exactly one comparison"
    if is_top != ("Next" in rule):
        yield "a choice needs a Next, and none inside And, Or and Not"
    if operators & COMPARISONS and not _is_path(rule.get("Variable")):
        yield f"Variable of a choice: {rule.get('Variable')!r} is no path"
    inner = [*rule.get("And", ()), *rule.get("Or", ()), *([rule["Not"]] if "Not" in rule else ())]
    yield from (problem for part in inner for problem in _choice(part, is_top=False))
