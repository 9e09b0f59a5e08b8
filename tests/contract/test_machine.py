"""The state machine against the model, the template, the functions' payloads and its own promises."""

import ast
import re
from pathlib import Path
from typing import Any

from nightshift import errors
from nightshift.invariants import EDGES
from nightshift.model import StepKind
from tests.contract import sources
from tests.contract.asl import is_end, problems

MACHINE = sources.machine()
STATES = MACHINE["States"]
TASKS = {name: state for name, state in sources.all_states(MACHINE) if state["Type"] == "Task"}
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
AWS_ERRORS = {"States.ALL", "States.Timeout", "States.TaskFailed", "Lambda.Unknown"} | {
    f"Lambda.{name}"
    for name in ("TooManyRequestsException", "ServiceException", "AWSLambdaException", "SdkClientException")
}
"""Names that Step Functions and Lambda give themselves."""


def function_of(task: dict[str, Any]) -> str:
    """Return the logical id of the function that a task invokes."""
    return str(task["Parameters"]["FunctionName"]).removeprefix("${").removesuffix("Arn}")


def test_the_machine_is_well_formed_and_every_state_lies_on_a_way_from_start_to_end() -> None:
    assert problems(MACHINE) == []


def test_every_step_that_status_can_return_has_one_choice_and_there_are_no_others() -> None:
    choices = STATES["Next Step?"]["Choices"]
    assert [choice["Variable"] for choice in choices] == ["$.step"] * len(StepKind)
    assert sorted(choice["StringEquals"] for choice in choices) == sorted(StepKind)


def test_an_unknown_step_fails_the_execution() -> None:
    assert STATES[STATES["Next Step?"]["Default"]]["Type"] == "Fail"


def test_the_machine_is_given_up_but_not_before_the_longest_waits_led_to_a_hand_over() -> None:
    parameters = sources.template()["Parameters"]
    longest = parameters["MaxTurns"]["MaxValue"] * parameters["PollMaxSeconds"]["MaxValue"]
    assert longest < MACHINE["TimeoutSeconds"] <= 30 * 24 * 3600


def test_every_task_outlives_the_function_it_invokes() -> None:
    longest = {name: function["Timeout"] for name, function in sources.functions().items()}
    assert [name for name, task in TASKS.items() if task["TimeoutSeconds"] <= longest[function_of(task)]] == []


def test_every_function_but_those_that_look_at_the_machine_from_outside_is_invoked_by_exactly_one_task() -> None:
    invoked = [function_of(task) for task in TASKS.values()]
    assert sorted([*invoked, "AuditFunction", "TellFunction"]) == sorted(sources.functions())


def test_nothing_that_can_create_a_batch_sits_under_a_retry() -> None:
    retried = {name for name, state in sources.all_states(MACHINE) if "Retry" in state}
    assert retried == {"Check Status"}
    assert {function_of(TASKS[name]) for name in retried} == {"StatusFunction"}


def test_every_task_catches_everything() -> None:
    assert [name for name, task in TASKS.items() if [c["ErrorEquals"] for c in task["Catch"]] != [["States.ALL"]]] == []


def test_a_caught_error_ends_red_or_goes_back_to_the_look_or_stops_one_worker_or_is_of_a_run_that_is_done() -> None:
    workers = STATES["Collect"]["ItemProcessor"]["States"]
    after = {(name, catch["Next"]) for name, task in TASKS.items() for catch in task["Catch"]}
    red = {(name, to) for name, to in after if STATES.get(to, {}).get("Type") == "Fail"}
    one_worker = {(name, to) for name, to in after if name in workers and is_end(workers[to])}
    assert {name for name, _ in red} == {"Check Status"}
    assert {name for name, _ in one_worker} == {"Collect Batches"}
    back = {("Submit", "Check Status"), ("Report", "Check Status")}
    assert after - red - one_worker == back | {("Verify", "Run Done")}
    assert STATES["Verify"]["Next"] == "Run Done"


def test_only_done_and_handed_over_end_green() -> None:
    assert {name for name, state in STATES.items() if state["Type"] == "Succeed"} == {"Run Done", "Handed Over"}


def test_every_placeholder_is_substituted_and_every_substitution_is_used() -> None:
    given = sources.resources("AWS::Serverless::StateMachine")["RunMachine"]["Properties"]["DefinitionSubstitutions"]
    assert set(PLACEHOLDER.findall(sources.MACHINE.read_text())) == set(given)


def test_every_error_that_the_machine_names_exists() -> None:
    named = {
        error
        for _, state in sources.all_states(MACHINE)
        for handler in (*state.get("Retry", ()), *state.get("Catch", ()))
        for error in handler["ErrorEquals"]
    }
    ours = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert named - AWS_ERRORS - ours == set()


def test_the_sample_payloads_are_what_the_tasks_send() -> None:
    payloads = {function_of(task): task["Parameters"]["Payload"] for task in TASKS.values()}
    sent = {name: {key.removesuffix(".$") for key in payload} for name, payload in payloads.items()}
    steps = {name: name.removesuffix("Function").lower() for name in sent}
    assert {name: set(sources.event(f"machine-{step}")) for name, step in steps.items()} == sent


def test_status_returns_every_field_that_the_machine_reads_and_the_start_has_what_the_first_look_reads() -> None:
    read = set(re.findall(r"(?<![$\w])\$\.(\w+)", sources.MACHINE.read_text())) - {"Payload", "error"}
    inside_collect = {"worker"}  # put there by the Map's own ItemSelector
    returned = returned_keys(sources.ROOT / "functions" / "status" / "app.py")
    assert read - inside_collect == returned - {"v"}
    first_look = {v for v in STATES["Check Status"]["Parameters"]["Payload"].values() if str(v).startswith("$.")}
    assert first_look == {"$.run_id", "$.turn"}


def returned_keys(path: Path) -> set[str]:
    """Return the keys of the dict that the file's handler returns."""
    functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    (handler,) = (node for node in functions if node.name == "lambda_handler")
    (answer,) = (n.value for n in ast.walk(handler) if isinstance(n, ast.Return) and isinstance(n.value, ast.Dict))
    return {key.value for key in answer.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


# ---------------------------------------------------------------- the pictures of docs/architecture.md


def picture(first: str) -> set[tuple[str, str]]:
    """Return the edges of the picture whose machine begins with a state, by the names that are shown."""
    text = (sources.ROOT / "docs" / "architecture.md").read_text()
    for drawn in re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        names = dict(re.findall(r"^ +(\w+): (.+)$", drawn, re.MULTILINE))
        edges = re.findall(r"^ +(\S+) --> ([^\s:]+)", drawn, re.MULTILINE)
        shown = {(names.get(one, one), names.get(other, other)) for one, other in edges}
        if ("[*]", first) in shown:
            return shown
    return set()


def test_the_picture_of_the_loop_has_the_machine_s_states_and_edges() -> None:
    made = {("[*]", MACHINE["StartAt"])} | {(name, "[*]") for name, state in STATES.items() if is_end(state)}
    for name, state in STATES.items():
        to = [state, *state.get("Choices", ()), *state.get("Catch", ()), {"Next": state.get("Default")}]
        made |= {(name, each["Next"]) for each in to if each.get("Next")}
    assert picture("Check Status") == made


def test_the_picture_of_a_chunk_has_the_edges_that_the_invariants_allow() -> None:
    ends = {("[*]", "PLANNED"), ("COLLECTED", "[*]")}
    assert picture("PLANNED") - ends == {(one.value, other.value) for one, other in EDGES}
    assert ends <= picture("PLANNED")
