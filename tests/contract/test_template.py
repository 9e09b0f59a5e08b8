"""The template against the handlers, the settings models and the rules of the house."""

import ast
import re
import tomllib
from dataclasses import fields
from typing import Any

import pytest

from nightshift import settings
from nightshift.errors import MisconfiguredError
from tests.contract import sources

TEMPLATE = sources.template()
PARAMETERS = TEMPLATE["Parameters"]
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = sources.functions()
SETTINGS = {
    "SubmitFunction": settings.SubmitSettings,
    "StatusFunction": settings.StatusSettings,
    "ResultsFunction": settings.ResultsSettings,
    "ReportFunction": settings.ReportSettings,
    "VerifyFunction": settings.VerifySettings,
    "AuditFunction": settings.AuditSettings,
    "TellFunction": settings.TellSettings,
}
KEEPS_DATA = {"AWS::DynamoDB::Table", "AWS::Logs::LogGroup", "AWS::S3::Bucket"}
NAMES = re.compile("(Bucket|Function|Layer|LogGroup|ManagedPolicy|Queue|Role|Table)?Name")
"""Properties that name a resource: one that has to be replaced cannot be, while the old one has the name."""


def variables(function: str) -> dict[str, Any]:
    """Return a function's own variables."""
    own: dict[str, Any] = FUNCTIONS[function]["Environment"]["Variables"]
    return own


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_s_handler_exists_where_the_template_says(function: str) -> None:
    step = function.removesuffix("Function").lower()
    assert FUNCTIONS[function]["CodeUri"] == f"functions/{step}/"
    module, name = TEMPLATE["Globals"]["Function"]["Handler"].split(".")
    source = (sources.ROOT / FUNCTIONS[function]["CodeUri"] / f"{module}.py").read_text()
    assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def test_every_folder_of_functions_is_in_the_template() -> None:
    folders = {path.parent.name for path in (sources.ROOT / "functions").glob("*/app.py")}
    assert folders == {function.removesuffix("Function").lower() for function in FUNCTIONS}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_s_variables_are_exactly_the_fields_of_its_settings(function: str) -> None:
    assert sorted(variables(function)) == sorted(field.name.upper() for field in fields(SETTINGS[function]))


def test_every_settings_model_belongs_to_a_function() -> None:
    models = {value for name, value in vars(settings).items() if name.endswith("Settings") and isinstance(value, type)}
    assert models == set(SETTINGS.values())
    assert set(SETTINGS) == set(FUNCTIONS)


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in {"ReportFunction", "TellFunction"}])
@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://api.anthropic.com", True),
        ("https://gateway.example.com:8443", True),
        ("http://127.0.0.1:49152", True),
        ("http://localhost:8000", True),
        ("http://api.anthropic.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://key@evil.example.com", False),
        ("https://api.anthropic.com/", False),
        ("https://api.anthropic.com?to=evil", False),
        ("https://api.anthropic.com\n", False),
        ("ftp://api.anthropic.com", False),
        ("", False),
    ],
)
def test_the_parameter_takes_the_same_base_urls_as_the_function(function: str, url: str, *, is_good: bool) -> None:
    assert (re.fullmatch(PARAMETERS["AnthropicBaseUrl"]["AllowedPattern"], url) is not None) == is_good
    values = {field.name.upper(): "1" for field in fields(SETTINGS[function])} | {"API_BASE_URL": url}
    del values["API_WORKSPACE_ID"]
    assert loads(function, values) == is_good


ASKS = [name for name in FUNCTIONS if "API_BASE_URL" in variables(name)]


@pytest.mark.parametrize("function", ASKS)
@pytest.mark.parametrize(
    ("key", "workspace", "is_good"), [("arn", "", True), ("", "w", True), ("", "", False), ("arn", "w", False)]
)
def test_a_function_has_a_key_or_a_workspace(function: str, key: str, workspace: str, *, is_good: bool) -> None:
    values = {field.name.upper(): "1" for field in fields(SETTINGS[function])}
    values |= {"API_BASE_URL": "https://x", "API_KEY_SECRET_ARN": key, "API_WORKSPACE_ID": workspace}
    assert loads(function, values) == is_good


@pytest.mark.parametrize("function", ASKS)
def test_with_signatures_there_is_no_secret_and_the_api_is_in_the_stack_s_region(function: str) -> None:
    nothing = {"Ref": "AWS::NoValue"}
    own = variables(function)
    assert own["API_KEY_SECRET_ARN"] == {"Fn::If": ["UsesApiKey", {"Ref": "ApiKeySecret"}, nothing]}
    assert own["API_WORKSPACE_ID"] == {"Fn::If": ["UsesAws", {"Ref": "AnthropicWorkspaceId"}, nothing]}
    host = {"Fn::Sub": "https://aws-external-anthropic.${AWS::Region}.api.aws"}
    assert own["API_BASE_URL"] == {"Fn::If": ["UsesAwsHost", host, {"Ref": "AnthropicBaseUrl"}]}
    assert settings.BASE_URL.fullmatch(host["Fn::Sub"].replace("${AWS::Region}", "eu-central-1"))
    assert TEMPLATE["Conditions"]["UsesApiKey"] == {"Fn::Equals": [{"Ref": "Authentication"}, "api-key"]}
    assert TEMPLATE["Conditions"]["UsesAws"] == {"Fn::Equals": [{"Ref": "Authentication"}, "aws"]}
    assert PARAMETERS["Authentication"]["AllowedValues"] == ["api-key", "aws"]
    assert RESOURCES["ApiKeySecret"]["Condition"] == "UsesApiKey"
    assert {name for name, r in RESOURCES.items() if "secretsmanager" in str(r)} == {"ReadApiKey", "KeyOfSecret"}
    assert [RESOURCES[name]["Condition"] for name in ("ReadApiKey", "KeyOfSecret")] == [
        "UsesApiKey",
        "HasKmsKeyAndApiKey",
    ]


def loads(function: str, values: dict[str, str]) -> bool:
    """Tell whether a function would start with these variables."""
    try:
        settings.load(SETTINGS[function], values)
    except MisconfiguredError:
        return False
    return True


def test_every_default_is_within_its_own_bounds() -> None:
    assert [name for name, parameter in PARAMETERS.items() if not is_allowed(parameter, parameter["Default"])] == []


def is_allowed(parameter: dict[str, Any], value: str | float) -> bool:
    """Tell whether CloudFormation would take a value for a parameter."""
    if value not in parameter.get("AllowedValues", [value]):
        return False
    if parameter["Type"] == "Number":
        return bool(parameter.get("MinValue", value) <= value <= parameter.get("MaxValue", value))
    text = str(value)
    is_short = len(text) <= parameter.get("MaxLength", len(text))
    return is_short and re.fullmatch(parameter.get("AllowedPattern", ".*"), text) is not None


def test_every_parameter_is_described_and_bounded() -> None:
    for name, parameter in PARAMETERS.items():
        assert parameter["Description"].endswith("."), name
        is_number = parameter["Type"] == "Number"
        bounds = {"MinValue", "MaxValue"} if is_number else {"AllowedPattern", "ConstraintDescription"}
        assert "AllowedValues" in parameter or bounds <= set(parameter), name


def test_every_parameter_is_used() -> None:
    used = set(re.findall(r"!Ref (\w+)|\$\{(\w+)\}", (sources.ROOT / "template.yaml").read_text()))
    assert set(PARAMETERS) - {name for pair in used for name in pair} == set()


def test_an_execution_never_comes_near_the_limit_of_25_000_events() -> None:
    events_of_a_turn_that_waits = 9  # Wait 2, Task 5, Choice 2
    assert PARAMETERS["MaxTurns"]["MaxValue"] * events_of_a_turn_that_waits <= 20_000


def test_the_shortest_longest_wait_is_not_below_the_default_of_the_shortest() -> None:
    assert PARAMETERS["PollMaxSeconds"]["MinValue"] >= PARAMETERS["PollMinSeconds"]["Default"]


def test_no_parameter_or_variable_holds_a_secret() -> None:
    names = {*PARAMETERS, *(name for function in FUNCTIONS for name in variables(function))}
    secret_like = {name for name in names if re.search("key|token|secret|password", name, re.IGNORECASE)}
    assert {name for name in secret_like if not name.endswith(("_ARN", "KeyArn"))} == set()
    secrets = sources.resources("AWS::SecretsManager::Secret")
    assert {name: set(secret["Properties"]) for name, secret in secrets.items()} == {
        "ApiKeySecret": {"Description", "KmsKeyId"},
        "AdminKeySecret": {"Description", "KmsKeyId"},
    }


def test_nothing_but_a_command_for_a_person_names_the_admin_key() -> None:
    named = {name for name, resource in RESOURCES.items() if "AdminKeySecret" in str(resource)}
    told = {name for name, output in TEMPLATE["Outputs"].items() if "AdminKeySecret" in str(output)}
    assert (named, told) == (set(), {"AdminKeySecretArn", "PutAdminKeyCommand"})


def test_no_resource_has_a_name_that_keeps_it_from_being_replaced() -> None:
    named = {(name, p) for name, r in RESOURCES.items() for p in r["Properties"] if NAMES.fullmatch(p)}
    machine_is_known_before_it_exists, unique_to_the_stack = ("RunMachine", "Name"), ("RunMachineLogs", "LogGroupName")
    assert named == {machine_is_known_before_it_exists, unique_to_the_stack}


def test_whatever_holds_data_outlives_the_stack() -> None:
    keepers = {name for name, r in RESOURCES.items() if r["Type"] in KEEPS_DATA}
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert {name for name, r in RESOURCES.items() if r.get(policy) == "Retain"} == keepers


def test_every_function_logs_json_to_a_group_of_its_own_that_forgets() -> None:
    groups = [FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"] for name in FUNCTIONS]
    assert groups == [name.replace("Function", "Logs") for name in FUNCTIONS]
    assert TEMPLATE["Globals"]["Function"]["LoggingConfig"]["LogFormat"] == "JSON"
    kept = {
        name: group["Properties"]["RetentionInDays"] for name, group in sources.resources("AWS::Logs::LogGroup").items()
    }
    assert kept == {name: {"Ref": "LogRetentionDays"} for name in [*groups, "RunMachineLogs"]}


def test_the_machine_logs_no_payloads() -> None:
    assert RESOURCES["RunMachine"]["Properties"]["Logging"]["IncludeExecutionData"] is False


def test_asynchronous_retries_are_said_and_end_in_the_dead_letter_queue() -> None:
    queue = {"Fn::GetAtt": "DeadLetterQueue.Arn"}
    woken = {name: function for name, function in FUNCTIONS.items() if "Events" in function}
    assert {name: list(function["Events"]) for name, function in woken.items()} == {
        "SubmitFunction": ["Uploaded", "Nightly"],
        "AuditFunction": ["Regularly", "NightDue", "LoopEnded"],
        "TellFunction": ["Soon", "LoopMoved"],
    }
    for function in woken.values():
        assert function["EventInvokeConfig"]["MaximumRetryAttempts"] == 2
        destination = {"OnFailure": {"Type": "SQS", "Destination": queue}}
        assert function["EventInvokeConfig"]["DestinationConfig"] == destination
        assert {e["Properties"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"] for e in function["Events"].values()} == {
            "DeadLetterQueue.Arn"
        }


def test_what_a_person_has_verified_is_asked_once_and_its_failure_is_kept() -> None:
    assert FUNCTIONS["VerifyFunction"]["EventInvokeConfig"] == {
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 3600,
        "DestinationConfig": {"OnFailure": {"Type": "SQS", "Destination": {"Fn::GetAtt": "DeadLetterQueue.Arn"}}},
    }


def test_every_rule_may_put_what_it_could_not_deliver_into_the_dead_letter_queue() -> None:
    rules = [
        f"{name}{event}.Arn"
        for name, function in FUNCTIONS.items()
        for event, given in function.get("Events", {}).items()
        if given["Type"] == "EventBridgeRule"
    ] + [f"{name}.Arn" for name in sources.resources("AWS::Events::Rule")]
    allowed = RESOURCES["DeadLetterQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": [{"Fn::GetAtt": rule} for rule in rules]}}


def test_the_schedule_is_off_until_somebody_turns_it_on() -> None:
    assert PARAMETERS["ScheduleState"]["Default"] == "DISABLED"
    assert FUNCTIONS["SubmitFunction"]["Events"]["Nightly"]["Properties"]["State"] == {"Ref": "ScheduleState"}


def test_the_audit_always_runs_and_knows_every_night_that_submit_is_to_hear_of() -> None:
    audit = FUNCTIONS["AuditFunction"]["Events"]
    assert audit["Regularly"]["Properties"]["State"] == "ENABLED"
    told = ("ScheduleExpression", "ScheduleExpressionTimezone", "State", "FlexibleTimeWindow", "Input", "RetryPolicy")
    nightly = FUNCTIONS["SubmitFunction"]["Events"]["Nightly"]["Properties"]
    assert [audit["NightDue"]["Properties"][name] for name in told] == [nightly[name] for name in told]


def refs(value: Any) -> set[str]:
    """Return the names that a part of the template refers to, and the conditions it asks."""
    match value:
        case {"Fn::If": [condition, *branches]}:
            return refs(TEMPLATE["Conditions"][condition]) | refs(branches)
        case {"Ref": name}:
            return {str(name)}
        case {"Fn::Sub": [str(text), more]}:
            return refs({"Fn::Sub": text}) - set(more) | refs(more)
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)\}", text))
        case dict():
            return {name for part in value.values() for name in refs(part)}
        case list():
            return {name for part in value for name in refs(part)}
        case _:
            return set()


CONFIGURED = ("Environment", "EphemeralStorage", "KmsKeyArn", "Layers", "LoggingConfig", "MemorySize", "Timeout")
"""What a function's own properties say of its configuration, which a version keeps."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_version_s_description_has_the_parameters_that_its_function_sees_and_fits(function: str) -> None:
    given = FUNCTIONS[function]
    seen = {"Architecture"} | refs([given[name] for name in CONFIGURED if name in given]) & set(PARAMETERS)
    # SAM makes a version where the template changes; where only a parameter's value does, CloudFormation makes one for
    # another description. Without it, the alias would go on with the old value.
    assert given["AutoPublishAliasAllProperties"] is True
    assert refs(given["VersionDescription"]) & set(PARAMETERS) == seen
    longest = [max(len(str(value)) for value in lengths(PARAMETERS[name])) for name in seen]
    assert sum(longest) + len(longest) - 1 <= 256, "Lambda's limit of a description"


def lengths(parameter: dict[str, Any]) -> list[Any]:
    """Return values of a parameter, the longest among them."""
    bounds = [parameter["MaxValue"]] if "MaxValue" in parameter else parameter.get("AllowedValues", [])
    pattern = re.search(r"\{\d+,(\d+)\}$", parameter.get("AllowedPattern", ""))
    longest = parameter.get("MaxLength") or (int(pattern[1]) if pattern else 0)
    return [*bounds, "x" * longest]


def test_no_function_reserves_concurrency() -> None:
    assert [name for name, function in FUNCTIONS.items() if "ReservedConcurrentExecutions" in function] == []


def test_what_the_application_repository_is_told_is_what_it_takes_and_is_true() -> None:
    told = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    project = tomllib.loads((sources.ROOT / "layers" / "nightshift" / "pyproject.toml").read_text())["project"]
    assert (told["SemanticVersion"], told["SpdxLicenseId"]) == (project["version"], project["license"])
    assert [told[name] for name in ("LicenseUrl", "ReadmeUrl") if not (sources.ROOT / told[name]).is_file()] == []
    # the limits of "AWS SAM template Metadata section properties" in the developer guide of the repository
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", told["Name"])
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,125}[a-z0-9])?", told["Author"])
    assert 1 <= len(told["Description"]) <= 256
    assert len(told["Labels"]) <= 10
    assert [label for label in told["Labels"] if not re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label)] == []
