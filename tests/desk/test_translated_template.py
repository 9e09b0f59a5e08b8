"""What SAM adds to the template: the resources, names and rights that template.yaml does not show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import template
from local.wire import Json

ROOT = Path(__file__).parents[2]
BASIC_EXECUTION = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
QUEUE = {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
NAMES = {"FunctionName", "Name", "RoleName", "StateMachineName"}
UNIQUE = {
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Scheduler::Schedule",
    "AWS::StepFunctions::StateMachine",
}
"""What SAM makes, or may name after its logical id, and of which an account has one by each name."""


@pytest.fixture(scope="module")
def resources() -> dict[str, Json]:
    found: dict[str, Json] = template.read(ROOT / "template.yaml", {}).body["Resources"]
    return found


def of_type(resources: dict[str, Json], kind: str) -> dict[str, Json]:
    """Return the properties of the resources of one type, by logical id."""
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}


def added_statements(role: Json) -> Iterator[Json]:
    """Yield the statements of a role that SAM wrote: ours carry a Sid."""
    for policy in role.get("Policies", []):
        yield from (statement for statement in policy["PolicyDocument"]["Statement"] if "Sid" not in statement)


def test_two_stacks_fit_into_one_account(resources: dict[str, Json]) -> None:
    named = {(name, p) for name, r in resources.items() if r["Type"] in UNIQUE for p in r["Properties"] if p in NAMES}
    assert named == {("RunMachine", "StateMachineName")}
    assert resources["RunMachine"]["Properties"]["StateMachineName"] == {"Fn::Sub": "${AWS::StackName}-run"}


def test_sam_grants_logging_each_schedule_its_target_and_both_the_dead_letter_queue(resources: dict[str, Json]) -> None:
    roles = of_type(resources, "AWS::IAM::Role")
    managed = {name: role.get("ManagedPolicyArns", []) for name, role in roles.items()}
    steps = ("Submit", "Status", "Results", "Report", "Verify", "Audit", "Tell")
    functions = {f"{step}FunctionRole": [BASIC_EXECUTION] for step in steps}
    schedules = {"SubmitFunctionNightly": "Submit", "AuditFunctionRegularly": "Audit", "AuditFunctionNightDue": "Audit"}
    schedules |= {"TellFunctionSoon": "Tell"}
    assert managed == {**functions, **{f"{name}Role": [] for name in schedules}, "RunMachineRole": []}
    added = {(name, s["Action"], str(s["Resource"])) for name, role in roles.items() for s in added_statements(role)}
    queued = ("SubmitFunction", "VerifyFunction", "AuditFunction", "TellFunction", *schedules)
    invoked = {(name, str({"Fn::GetAtt": [f"{step}Function", "Arn"]})) for name, step in schedules.items()}
    assert added == {(f"{name}Role", "sqs:SendMessage", str(QUEUE)) for name in queued} | {
        (f"{name}Role", "lambda:InvokeFunction", function) for name, function in invoked
    }


def test_only_the_rules_may_put_events_into_the_dead_letter_queue(resources: dict[str, Json]) -> None:
    rules = of_type(resources, "AWS::Events::Rule")
    (policy,) = of_type(resources, "AWS::SQS::QueuePolicy").values()
    allowed, tls = policy["PolicyDocument"]["Statement"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    ((operator, tests),) = allowed["Condition"].items()
    assert (operator, list(tests)) == ("ArnEquals", ["aws:SourceArn"])
    assert sorted(arn["Fn::GetAtt"][0] for arn in tests["aws:SourceArn"]) == sorted(rules)
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_two_layers_reach_every_function_and_what_reads_parquet_is_submit_s_alone(resources: dict[str, Json]) -> None:
    code, dependencies, parquet = [{"Ref": name} for name in of_type(resources, "AWS::Lambda::LayerVersion")]
    optional = {"Fn::If": ["ReadsParquet", parquet, {"Ref": "AWS::NoValue"}]}
    functions = of_type(resources, "AWS::Lambda::Function")
    assert {name: function["Layers"] for name, function in functions.items()} == {
        name: [code, dependencies, *([optional] if name == "SubmitFunction" else [])] for name in functions
    }
    assert len(functions) == 7


def test_a_function_s_own_variables_join_the_common_one(resources: dict[str, Json]) -> None:
    report = of_type(resources, "AWS::Lambda::Function")["ReportFunction"]
    assert sorted(report["Environment"]["Variables"]) == ["OUTPUT_BUCKET", "POWERTOOLS_SERVICE_NAME", "RUNS_TABLE"]
    assert report["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "LogGroup": {"Ref": "ReportLogs"},
    }
