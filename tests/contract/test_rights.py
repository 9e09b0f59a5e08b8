"""Who may do what, from inside the stack and from outside."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import sources

RESOURCES = sources.template()["Resources"]
FUNCTIONS = sources.functions()


def statements(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements of a function's or a machine's role."""
    for policy in resource["Properties"]["Policies"]:
        yield from policy["Statement"]


def as_list(value: str | list[str]) -> list[str]:
    """Return a policy's actions as a list, whichever way they are written."""
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("name", [*FUNCTIONS, "RunMachine", "UploaderPolicy"])
def test_a_role_names_its_actions_and_its_resources(name: str) -> None:
    properties = RESOURCES[name]["Properties"]
    found = [
        s.get("Fn::If", [None, s])[1]
        for policy in properties.get("Policies", [properties.get("PolicyDocument")])
        for s in policy["Statement"]
    ]
    wild = [s["Sid"] for s in found if s["Resource"] == "*" or any("*" in action for action in as_list(s["Action"]))]
    assert wild == (["DeliverLogs"] if name == "RunMachine" else [])


def test_nothing_may_be_deleted_but_the_intent() -> None:
    deleting = [
        (name, statement)
        for name in FUNCTIONS
        for statement in statements(RESOURCES[name])
        if any(re.search(r":(Batch)?(Delete|Write)|PartiQL", action) for action in as_list(statement["Action"]))
    ]
    only = {
        "Sid": "SettleIntent",
        "Effect": "Allow",
        "Action": "dynamodb:DeleteItem",
        "Resource": {"Fn::GetAtt": "RunsTable.Arn"},
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["CREATE"]}},
    }
    assert deleting == [("SubmitFunction", only), ("AuditFunction", only)]


def test_only_submit_reads_inputs_the_audit_sees_jobs_and_names_and_nobody_writes_either() -> None:
    on_input = {
        (name, action)
        for name in FUNCTIONS
        for statement in statements(RESOURCES[name])
        if "InputBucket" in str(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    lists = {"s3:ListBucket", "s3:ListBucketVersions"}
    reads = {"s3:GetObject", "s3:GetObjectVersion"}
    submit = {("SubmitFunction", action) for action in lists | reads}
    assert on_input == submit | {("AuditFunction", action) for action in lists | {"s3:GetObject"}}
    (jobs,) = [s for s in statements(RESOURCES["AuditFunction"]) if s["Sid"] == "ReadJobs"]
    assert jobs["Resource"] == {"Fn::Sub": "${InputBucket.Arn}/jobs/*"}


def test_only_results_reach_tickets_and_a_synchronous_answer_reaches_neither_them_nor_the_output() -> None:
    may = {
        (name, statement["Action"])
        for name in FUNCTIONS
        for statement in statements(RESOURCES[name])
        if "TicketTable" in str(statement["Resource"])
    }
    assert may == {("ResultsFunction", "dynamodb:UpdateItem"), ("SubmitFunction", "dynamodb:BatchGetItem")}
    (puts,) = [s for s in statements(RESOURCES["VerifyFunction"]) if "s3:PutObject" in as_list(s["Action"])]
    assert [each["Fn::Sub"] for each in puts["Resource"]] == [
        "${OutputBucket.Arn}/runs/*/verify/*",
        "${OutputBucket.Arn}/runs/*/verification.json",
        "${OutputBucket.Arn}/runs/*/report.*",
    ]


def test_an_uploader_may_put_files_into_the_inbox_and_nothing_else() -> None:
    statement, keyed = RESOURCES["UploaderPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("s3:PutObject", {"Fn::Sub": "${InputBucket.Arn}/inbox/*"})
    condition, with_key, without = keyed["Fn::If"]
    assert (condition, with_key["Sid"], without) == ("HasKmsKey", "KeyOfUploads", {"Ref": "AWS::NoValue"})


@pytest.mark.parametrize("bucket", ["InputBucket", "OutputBucket"])
def test_a_bucket_is_private_encrypted_versioned_and_reached_over_tls_only(bucket: str) -> None:
    properties = RESOURCES[bucket]["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "BucketEncryption" in properties
    assert "AbortIncompleteMultipartUpload" in properties["LifecycleConfiguration"]["Rules"][-1]
    plain, old = RESOURCES[f"{bucket}Policy"]["Properties"]["PolicyDocument"]["Statement"]
    for statement in (plain, old):
        assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", "*")
        assert statement["Resource"] == [{"Fn::GetAtt": f"{bucket}.Arn"}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    assert plain["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert old["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}


def test_output_never_triggers_input() -> None:
    buckets = sources.resources("AWS::S3::Bucket")
    assert [name for name, b in buckets.items() if "NotificationConfiguration" in b["Properties"]] == ["InputBucket"]


def test_the_functions_start_the_machine_that_the_template_makes() -> None:
    name = RESOURCES["RunMachine"]["Properties"]["Name"]["Fn::Sub"]
    arn = f"arn:${{AWS::Partition}}:states:${{AWS::Region}}:${{AWS::AccountId}}:stateMachine:{name}"
    known = {name: f["Environment"]["Variables"].get("STATE_MACHINE_ARN") for name, f in FUNCTIONS.items()}
    granted = {
        name: statement["Resource"]
        for name in FUNCTIONS
        for statement in statements(RESOURCES[name])
        if statement["Action"] == "states:StartExecution"
    }
    assert granted == {name: {"Fn::Sub": arn} for name in ("SubmitFunction", "StatusFunction", "AuditFunction")}
    assert {name: value for name, value in known.items() if value is not None} == granted


KEY = {"Ref": "KmsKeyArn"}
KEYED = {
    "AWS::DynamoDB::Table": "SSESpecification",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::S3::Bucket": "BucketEncryption",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
}


@pytest.mark.parametrize("kind", KEYED)
def test_whatever_keeps_data_lies_under_the_key_where_there_is_one(kind: str) -> None:
    found = sources.resources(kind)
    assert found
    for name, resource in found.items():
        told = str(resource["Properties"].get(KEYED[kind]))
        assert ("HasKmsKey" in told, str(KEY) in told) == (True, True), name


def test_a_role_may_use_the_key_through_one_service_at_a_time_and_not_at_all_without_one() -> None:
    policies = {name: p for name, p in sources.resources("AWS::IAM::Policy").items() if name.startswith("KeyOf")}
    services = dict.fromkeys(policies, "")
    for name, policy in policies.items():
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        assert policy["Condition"] == ("HasKmsKeyAndApiKey" if name == "KeyOfSecret" else "HasKmsKey")
        assert statement["Resource"] == KEY
        assert set(as_list(statement["Action"])) <= {"kms:Decrypt", "kms:GenerateDataKey"}
        ((operator, conditions),) = statement["Condition"].items()
        ((condition, service),) = conditions.items()
        assert (operator, condition) == ("StringEquals", "kms:ViaService")
        services[name] = service["Fn::Sub"].removesuffix(".${AWS::Region}.${AWS::URLSuffix}")
    assert services == {
        "KeyOfTables": "dynamodb",
        "KeyOfObjects": "s3",
        "KeyOfJobs": "s3",
        "KeyOfSecret": "secretsmanager",
        "KeyOfDeadLetters": "sqs",
    }


def test_on_aws_a_role_may_ask_the_api_for_what_its_function_does_in_the_one_workspace() -> None:
    workspace = {
        "Fn::Sub": "arn:${AWS::Partition}:aws-external-anthropic:${AWS::Region}:${AWS::AccountId}:workspace/"
        "${AnthropicWorkspaceId}"
    }
    may: dict[str, set[str]] = {}
    for policy in sources.resources("AWS::IAM::Policy").values():
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        actions = {a.removeprefix("aws-external-anthropic:") for a in as_list(statement["Action"])}
        if "aws-external-anthropic" in str(statement["Action"]):
            assert (policy["Condition"], statement["Resource"]) == ("UsesAws", workspace)
            for role in policy["Properties"]["Roles"]:
                may.setdefault(role["Ref"], set()).update(actions)
    assert may == {
        "SubmitFunctionRole": {"CreateBatchInference", "GetBatchInference", "ListBatchInferences", "CountTokens"},
        "StatusFunctionRole": {"GetBatchInference", "ListBatchInferences", "CancelBatchInference"},
        "ResultsFunctionRole": {"GetBatchInference"},
        "VerifyFunctionRole": {"CreateInference"},
        "AuditFunctionRole": {
            "GetBatchInference",
            "ListBatchInferences",
            "CancelBatchInference",
            "DeleteBatchInference",
        },
    }


LIFE = {
    "InputBucket": {
        "expire-inputs": ("inbox/", "ExpiresInbox", "InboxDays"),
        "forget-replaced-versions": ("", "", ""),
        "abort-broken-uploads": ("", "", ""),
    },
    "OutputBucket": {
        "expire-runs": ("runs/", "ExpiresRuns", "RunDays"),
        "forget-replaced-versions": ("", "", ""),
        "abort-broken-uploads": ("", "", ""),
    },
}
"""Bucket → rule → its prefix, and the condition and the parameter that say whether and when it expires."""


@pytest.mark.parametrize("bucket", LIFE)
def test_only_inputs_and_files_of_runs_expire_and_only_where_it_is_asked(bucket: str) -> None:
    rules = {rule["Id"]: rule for rule in RESOURCES[bucket]["Properties"]["LifecycleConfiguration"]["Rules"]}
    assert rules.keys() == LIFE[bucket].keys()
    for name, (prefix, condition, parameter) in LIFE[bucket].items():
        assert rules[name].get("Prefix", "") == prefix
        assert ("ExpirationInDays" in rules[name]) == bool(parameter)
        if parameter:
            assert rules[name]["ExpirationInDays"] == {"Fn::If": [condition, {"Ref": parameter}, 365]}
            assert rules[name]["Status"] == {"Fn::If": [condition, "Enabled", "Disabled"]}
            asked = sources.template()["Conditions"][condition]
            assert asked == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, 0]}]}


def test_raw_results_stay_for_longer_than_the_api_has_them_and_pinned_inputs_for_a_month() -> None:
    parameters = sources.template()["Parameters"]
    assert min(days for days in parameters["RunDays"]["AllowedValues"] if days) > 29
    assert min(days for days in parameters["InboxDays"]["AllowedValues"] if days) >= 30
    (kept,) = [
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in RESOURCES["InputBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        if "NoncurrentVersionExpiration" in rule
    ]
    assert kept >= 30
