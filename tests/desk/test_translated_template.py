"""What SAM adds to the template: the resources, names and rights that template.yaml does not show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import template
from local.wire import Json

ROOT = Path(__file__).parents[2]
BASIC_EXECUTION = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
MOVE_ALIASES = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"
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
    moves = {"CodeDeployServiceRole": [MOVE_ALIASES]}
    assert managed == {**functions, **{f"{name}Role": [] for name in schedules}, "RunMachineRole": [], **moves}
    added = {(name, s["Action"], str(s["Resource"])) for name, role in roles.items() for s in added_statements(role)}
    queued = ("SubmitFunction", "VerifyFunction", "AuditFunction", "TellFunction", *schedules)
    invoked = {(name, str({"Ref": f"{step}FunctionAliaslive"})) for name, step in schedules.items()}
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


def test_everything_that_invokes_a_function_invokes_its_alias(resources: dict[str, Json]) -> None:
    aliases = {name: {"Ref": f"{name}Aliaslive"} for name in of_type(resources, "AWS::Lambda::Function")}
    assert {name: alias["FunctionName"] for name, alias in of_type(resources, "AWS::Lambda::Alias").items()} == {
        alias["Ref"]: {"Ref": name} for name, alias in aliases.items()
    }
    targets = [target["Arn"] for rule in of_type(resources, "AWS::Events::Rule").values() for target in rule["Targets"]]
    targets += [schedule["Target"]["Arn"] for schedule in of_type(resources, "AWS::Scheduler::Schedule").values()]
    permitted = [given["FunctionName"] for given in of_type(resources, "AWS::Lambda::Permission").values()]
    topic = {"Ref": "AlarmTopic"}
    assert [one for one in [*targets, *permitted] if one not in [*aliases.values(), topic]] == []

    machine = of_type(resources, "AWS::StepFunctions::StateMachine")["RunMachine"]["DefinitionSubstitutions"]
    steps = ("Submit", "Status", "Results", "Report", "Verify")
    loop = {f"{step}FunctionArn": aliases[f"{step}Function"] for step in steps}
    assert machine == {**loop, "Partition": {"Ref": "AWS::Partition"}}
    (work,) = [
        statement["Resource"]
        for policy in of_type(resources, "AWS::IAM::Role")["RunMachineRole"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement.get("Sid") == "Work"
    ]
    assert work == [aliases[f"{step}Function"] for step in steps]
    configured = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
    assert [one["Qualifier"] for one in configured] == ["live"] * 4


def versions(template_file: Path, text: str) -> set[tuple[str, str]]:
    """Return (function, what makes its version another) of a template: CloudFormation makes those that are new."""
    template_file.write_text(text)
    found = of_type(template.read(template_file, {}).body["Resources"], "AWS::Lambda::Version")
    return {(given["FunctionName"]["Ref"], f"{name} {given['Description']}") for name, given in found.items()}


EVERY = {f"{step}Function" for step in ("Submit", "Status", "Results", "Report", "Verify", "Audit", "Tell")}


@pytest.mark.parametrize(
    ("layer", "users"), [("nightshift", EVERY), ("dependencies", EVERY), ("parquet", {"SubmitFunction"})]
)
def test_a_layer_of_other_content_makes_a_new_version_of_every_function_that_has_it(
    layer: str, users: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "ARTEFACTS", {"AWS::Serverless::Function": "CodeUri"})
    for part in ("functions", "statemachine"):
        (tmp_path / part).symlink_to(ROOT / part)
    # as `sam package` names a layer: by a digest of its content
    text = (ROOT / "template.yaml").read_text().replace("ContentUri: layers/", "ContentUri: s3://bucket/")

    before = versions(tmp_path / "template.yaml", text)
    after = versions(tmp_path / "template.yaml", text.replace(f"s3://bucket/{layer}/", "s3://bucket/other/"))

    assert before == versions(tmp_path / "template.yaml", text)
    assert {function for function, _ in before} == EVERY
    assert {function for function, _ in after - before} == {function for function, _ in before - after} == users


@pytest.mark.parametrize("way", ["AllAtOnce", "Linear10PercentEvery1Minute"])
def test_only_a_gradual_rollout_asks_the_alarm_and_only_of_what_runs_all_night(way: str) -> None:
    found = template.read(ROOT / "template.yaml", {"Rollout": way}).body["Resources"]
    groups = of_type(found, "AWS::CodeDeploy::DeploymentGroup")
    assert sorted(groups) == ["ResultsFunctionDeploymentGroup", "StatusFunctionDeploymentGroup"]
    asked = {"Enabled": True, "Alarms": [{"Name": {"Ref": "FunctionErrorsAlarm"}}]}
    for group in groups.values():
        assert group["DeploymentConfigName"] == {
            "Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": way}]
        }
        assert group["AlarmConfiguration"] == {"Fn::If": ["IsGradual", asked, {}]}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
