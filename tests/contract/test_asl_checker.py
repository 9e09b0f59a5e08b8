"""The checker of state machines finds each mistake that is put into a machine without any."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.asl import problems

type Machine = dict[str, Any]

GOOD: Machine = {
    "StartAt": "Look",
    "TimeoutSeconds": 60,
    "States": {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {
                "Payload": {"v": 1, "id.$": "$.id", "name.$": "$$.Execution.Name", "hash.$": "States.Hash($.id, 'MD5')"}
            },
            "OutputPath": "$.Payload",
            "TimeoutSeconds": 10,
            "Retry": [{"ErrorEquals": ["Known"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Failed"}],
            "Next": "Ready?",
        },
        "Ready?": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.ready", "BooleanEquals": True, "Next": "Each"},
                {"Not": {"Variable": "$.n", "NumericLessThanEquals": 3}, "Next": "Done"},
            ],
            "Default": "Wait",
        },
        "Wait": {"Type": "Wait", "SecondsPath": "$.wait", "Next": "Look"},
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ResultPath": None,
            "ItemSelector": {"item.$": "$$.Map.Item.Value"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "One",
                "States": {"One": {"Type": "Pass", "Next": "Stopped"}, "Stopped": {"Type": "Pass", "End": True}},
            },
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    },
}


def put(path: str, value: Any) -> Callable[[Machine], None]:
    """Return a mutation: set what a path of keys leads to. `*` in it stands for the nested machine's states."""

    def mutate(machine: Machine) -> None:
        keys = [int(key) if key.isdigit() else key for key in path.replace("*", "ItemProcessor/States").split("/")]
        target: Any = machine["States"]
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return mutate


def drop(state: str, field: str) -> Callable[[Machine], None]:
    """Return a mutation: take a field away from a state."""

    def mutate(machine: Machine) -> None:
        del machine["States"][state][field]

    return mutate


def start_at(name: str) -> Callable[[Machine], None]:
    """Return a mutation: start somewhere else."""

    def mutate(machine: Machine) -> None:
        machine["StartAt"] = name

    return mutate


MUTANTS = {
    "next to nowhere": (
        put("Wait/Next", "Loook"),
        ["Wait: has no way to an end", "Wait: leads to 'Loook', which is no state"],
    ),
    "catch to nowhere": (
        put("Look/Catch/0/Next", "Gone"),
        ["Failed: cannot be reached", "Look: leads to 'Gone', which is no state"],
    ),
    "default to nowhere": (
        put("Ready?/Default", "Gone"),
        ["Ready?: leads to 'Gone', which is no state", "Wait: cannot be reached"],
    ),
    "choice to nowhere": (put("Ready?/Choices/1/Next", "Gone"), ["Ready?: leads to 'Gone', which is no state"]),
    "start at nowhere": (
        start_at("Gone"),
        [
            *(f"{name}: cannot be reached" for name in ("Done", "Each", "Failed", "Look", "Ready?", "Wait")),
            "machine: StartAt names 'Gone', which is no state",
        ],
    ),
    "unreachable state": (put("Alone", {"Type": "Succeed"}), ["Alone: cannot be reached"]),
    "unreachable state in a map": (put("Each/*/Alone", {"Type": "Pass", "End": True}), ["Alone: cannot be reached"]),
    "next to nowhere in a map": (
        put("Each/*/One/Next", "Done"),  # a state of the outer machine
        ["One: has no way to an end", "One: leads to 'Done', which is no state", "Stopped: cannot be reached"],
    ),
    "loop without an end": (
        put("Each/*/Stopped", {"Type": "Pass", "Next": "One"}),
        ["One: has no way to an end", "Stopped: has no way to an end"],
    ),
    "unknown field": (put("Look/TimeOutSeconds", 5), ["Look: unknown field TimeOutSeconds in a Task"]),
    "field of another type": (put("Wait/Resource", "arn:x"), ["Wait: unknown field Resource in a Wait"]),
    "field of the other query language": (put("Look/Arguments", {}), ["Look: unknown field Arguments in a Task"]),
    "unknown field of a nested machine": (
        put("Each/ItemProcessor/TimeoutSeconds", 5),
        ["Each: unknown field TimeoutSeconds in a nested machine"],
    ),
    "unknown field of a retry": (put("Look/Retry/0/MaxAttempt", 5), ["Look: unknown field MaxAttempt in a Retry"]),
    "unknown type": (
        put("Done", {"Type": "Success"}),
        ["Done: has no way to an end", "Done: unknown type 'Success'", "Each: has no way to an end"],
    ),
    "no type": (drop("Wait", "Type"), ["Wait: unknown type None"]),
    "two wait fields": (
        put("Wait/Seconds", 5),
        ["Wait: a Wait needs exactly one of Seconds, SecondsPath, Timestamp, TimestampPath"],
    ),
    "no wait field": (
        drop("Wait", "SecondsPath"),
        ["Wait: a Wait needs exactly one of Seconds, SecondsPath, Timestamp, TimestampPath"],
    ),
    "neither next nor end": (drop("Each", "Next"), ["Each: has no way to an end", "Each: needs either Next or End"]),
    "both next and end": (put("Wait/End", True), ["Wait: needs either Next or End"]),  # noqa: FBT003 - a value of JSON
    "no resource": (drop("Look", "Resource"), ["Look: a Task needs Resource"]),
    "bad path": (put("Look/OutputPath", "Payload"), ["Look: OutputPath: 'Payload' is no path"]),
    "unfinished path": (put("Wait/SecondsPath", "$.wait."), ["Wait: SecondsPath: '$.wait.' is no path"]),
    "null where a path is needed": (put("Wait/SecondsPath", None), ["Wait: SecondsPath: None is no path"]),
    "bad path in a payload": (put("Look/Parameters/Payload/id.$", "id"), ["Look: Parameters: id.$: 'id' is no path"]),
    "forgotten .$": (
        put("Look/Parameters/Payload/turn", "$.turn"),
        ["Look: Parameters: turn: '$.turn' is a path, but the name does not end with .$"],
    ),
    "retry without errors": (put("Look/Retry/0", {"MaxAttempts": 1}), ["Look: a Retry without ErrorEquals"]),
    "catch without next": (
        put("Look/Catch/0", {"ErrorEquals": ["States.ALL"]}),
        ["Failed: cannot be reached", "Look: a Catch without Next"],
    ),
    "bad path of a catch": (
        put("Look/Catch/0/ResultPath", "error"),
        ["Look: ResultPath of a Catch: 'error' is no path"],
    ),
    "States.ALL in company": (
        put("Look/Retry/1/ErrorEquals", ["States.ALL", "Known"]),
        ["Look: States.ALL must stand alone, and in the last Retry"],
    ),
    "States.ALL before others": (
        put("Look/Retry/0/ErrorEquals", ["States.ALL"]),
        ["Look: States.ALL must stand alone, and in the last Retry"],
    ),
    "choice without a comparison": (
        put("Ready?/Choices/0", {"Variable": "$.ready", "Next": "Each"}),
        ["Ready?: a choice needs exactly one comparison"],
    ),
    "unknown comparison": (
        put("Ready?/Choices/0", {"Variable": "$.ready", "StringEqual": "x", "Next": "Each"}),
        ["Ready?: a choice needs exactly one comparison", "Ready?: unknown field StringEqual in a choice"],
    ),
    "bad variable": (
        put("Ready?/Choices/1/Not/Variable", "n"),
        ["Ready?: Variable of a choice: 'n' is no path"],
    ),
    "next inside not": (
        put("Ready?/Choices/1/Not/Next", "Done"),
        ["Ready?: a choice needs a Next, and none inside And, Or and Not"],
    ),
    "error twice": (put("Failed/Error", "Oops"), ["Failed: has both Error and ErrorPath"]),
}


def test_a_machine_without_mistakes_has_no_problems() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(("mutate", "expected"), MUTANTS.values(), ids=MUTANTS)
def test_a_mistake_is_found_and_named(mutate: Callable[[Machine], None], expected: list[str]) -> None:
    machine = copy.deepcopy(GOOD)
    mutate(machine)
    assert problems(machine) == expected


def test_an_unknown_field_of_the_machine_is_found() -> None:
    assert problems({**GOOD, "Timeout": 5}) == ["machine: unknown field Timeout"]
