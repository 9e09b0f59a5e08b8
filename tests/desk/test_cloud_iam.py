"""What a request means to IAM, and what a role's policies make of it."""

import io
import json
import time
from typing import Any

import pytest

from local.alarms import Alarms
from local.aws_faults import AwsFaults
from local.aws_requests import Request, calls
from local.control_plane import FrontDoor
from local.iam import Access, Call
from local.metrics import Metrics, metric

ROLE = "arn:aws:iam::123456789012:role/worker"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/runs"
OBJECT = "arn:aws:s3:::bucket/runs/a.json"


def s3(method: str, path: str, query: dict[str, str] | None = None, **headers: str) -> list[Call]:
    request = Request(method, path, query or {}, headers, b"")
    return list(calls("s3", request, lambda _table: None))


def dynamodb(operation: str, body: Any) -> list[Call]:
    headers = {"HTTP_X_AMZ_TARGET": f"DynamoDB_20120810.{operation}"}
    request = Request("POST", "/", {}, headers, json.dumps(body).encode())
    return list(calls("dynamodb", request, {"runs": "pk"}.get))


def access(*statements: Any, enforce: bool = True) -> Access:
    access = Access(enforce=enforce)
    access.add_role(ROLE, "worker", [{"PolicyName": "p", "PolicyDocument": {"Statement": list(statements)}}])
    return access


def allow(action: Any, resource: Any, **more: Any) -> Any:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/bucket/runs/a.json", {}, Call("s3:GetObject", OBJECT)),
        ("HEAD", "/bucket/runs/a.json", {"versionId": "v"}, Call("s3:GetObjectVersion", OBJECT)),
        ("PUT", "/bucket/runs/a.json", {}, Call("s3:PutObject", OBJECT)),
        ("POST", "/bucket/runs/a.json", {"uploads": ""}, Call("s3:PutObject", OBJECT)),
        ("DELETE", "/bucket/runs/a.json", {"uploadId": "u"}, Call("s3:AbortMultipartUpload", OBJECT)),
        ("DELETE", "/bucket/runs/a.json", {}, Call("s3:DeleteObject", OBJECT)),
        ("GET", "/bucket", {"list-type": "2"}, Call("s3:ListBucket", "arn:aws:s3:::bucket")),
        ("GET", "/bucket", {"versions": ""}, Call("s3:ListBucketVersions", "arn:aws:s3:::bucket")),
    ],
)
def test_an_s3_request_is_its_action(method: str, path: str, query: dict[str, str], expected: Call) -> None:
    assert s3(method, path, query) == [expected]


def test_a_write_that_depends_on_what_is_there_needs_the_right_to_read() -> None:
    assert s3("PUT", "/bucket/runs/a.json", HTTP_IF_MATCH="etag") == [
        Call("s3:GetObject", OBJECT),
        Call("s3:PutObject", OBJECT),
    ]


def test_a_transaction_needs_the_right_of_each_of_its_items() -> None:
    key = {"pk": {"S": "RUN#1"}, "sk": {"S": "META"}}
    items = [
        {"Put": {"TableName": "runs", "Item": {**key, "value": {"N": "1"}}}},
        {"ConditionCheck": {"TableName": "runs", "Key": key}},
        {"Delete": {"TableName": "runs", "Key": {"pk": {"S": "CREATE"}, "sk": {"S": "INTENT"}}}},
    ]

    assert dynamodb("TransactWriteItems", {"TransactItems": items}) == [
        Call("dynamodb:PutItem", TABLE, ("RUN#1",)),
        Call("dynamodb:ConditionCheckItem", TABLE, ("RUN#1",)),
        Call("dynamodb:DeleteItem", TABLE, ("CREATE",)),
    ]


def test_a_query_names_its_partition_or_its_index() -> None:
    query = {
        "TableName": "runs",
        "KeyConditionExpression": "#p = :p AND begins_with(sk, :s)",
        "ExpressionAttributeNames": {"#p": "pk"},
        "ExpressionAttributeValues": {":p": {"S": "RUN#1"}, ":s": {"S": "CHUNK#"}},
    }

    assert dynamodb("Query", query) == [Call("dynamodb:Query", TABLE, ("RUN#1",))]
    assert dynamodb("Query", {**query, "IndexName": "runs"}) == [Call("dynamodb:Query", f"{TABLE}/index/runs")]


# ---------------------------------------------------------------- the front door


def ask(
    access: Access, service: str, method: str, path: str, answer: str = "200 OK", faults: AwsFaults | None = None
) -> tuple[str, bytes]:
    """Send one request signed by the role's key, to an AWS that always gives the same answer."""

    def aws(_environ: Any, start_response: Any) -> list[bytes]:
        start_response(answer, [])
        return [b"aws"]

    metrics = Metrics(time.time)
    door = FrontDoor(aws, access, faults or AwsFaults(metrics), Alarms(metrics, time.time), {"runs": "pk"}.get)
    door.know("LSIAWORKER", ROLE)
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=LSIAWORKER/20260101/us-east-1/{service}/aws4_request, Sig",
        "HTTP_X_AMZ_TARGET": "DynamoDB_20120810.GetItem",
        "wsgi.input": io.BytesIO(b'{"TableName": "runs", "Key": {"pk": {"S": "a"}}}'),
        "CONTENT_LENGTH": "48",
    }
    body = b"".join(door(environ, lambda status, _headers: statuses.append(status)))
    return statuses[0], body


def test_an_enforced_denial_answers_as_aws_does_and_reaches_nothing() -> None:
    assert ask(access(), "s3", "GET", "/bucket/runs/a.json") == (
        "403 Forbidden",
        b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    )
    status, body = ask(access(), "dynamodb", "POST", "/")
    assert (status, json.loads(body)["__type"]) == ("400 Bad Request", "AccessDeniedException")


def test_a_denial_that_is_not_enforced_is_answered() -> None:
    role = access(enforce=False)

    assert ask(role, "dynamodb", "POST", "/") == ("200 OK", b"aws")
    assert role.report()["denied"] == [{"who": "worker", "action": "dynamodb:GetItem", "resource": TABLE}]


def test_a_missing_object_is_reported_to_who_may_not_list_the_bucket() -> None:
    reader = access(allow("s3:GetObject", OBJECT))
    lister = access(allow("s3:GetObject", OBJECT), allow("s3:ListBucket", "arn:aws:s3:::bucket"))
    for role in (reader, lister):
        assert ask(role, "s3", "GET", "/bucket/runs/a.json", "404 Not Found") == ("404 Not Found", b"aws")

    assert reader.report()["denied"] == [
        {"who": "worker", "action": "s3:ListBucket", "resource": "arn:aws:s3:::bucket"}
    ]
    assert lister.report()["denied"] == []


# ---------------------------------------------------------------- faults


def test_a_fault_denies_what_the_policies_allow_so_often_as_it_says_and_is_in_no_report() -> None:
    role, faults = access(allow("dynamodb:*", "*")), AwsFaults(Metrics(time.time))
    faults.add({"who": "worker", "action": "dynamodb:Get*", "resource": "*/runs", "times": 1})

    statuses = [ask(role, "dynamodb", "POST", "/", faults=faults)[0] for _ in range(2)]

    assert statuses == ["400 Bad Request", "200 OK"]
    assert (faults.record()[0]["struck"], role.report()["denied"]) == (1, [])


def test_a_fault_of_another_role_action_or_resource_strikes_nobody() -> None:
    role, faults = access(allow("dynamodb:*", "*")), AwsFaults(Metrics(time.time))
    faults.add({"who": "another", "action": "*"})
    faults.add({"who": "worker", "action": "dynamodb:Put*"})
    faults.add({"who": "worker", "action": "*", "resource": "*/tickets"})

    assert ask(role, "dynamodb", "POST", "/", faults=faults) == ("200 OK", b"aws")


def test_a_throttled_table_says_so_and_counts_it() -> None:
    metrics = Metrics(time.time)
    faults = AwsFaults(metrics)
    faults.add({"who": "worker", "action": "dynamodb:*", "kind": "throttle"})

    status, body = ask(access(allow("dynamodb:*", "*")), "dynamodb", "POST", "/", faults=faults)

    assert (status, json.loads(body)["__type"]) == ("400 Bad Request", "ThrottlingException")
    assert metrics.known() == [metric("AWS/DynamoDB", "ReadThrottleEvents", TableName="runs")]


@pytest.mark.parametrize("fault", [{"who": "worker"}, {"who": "worker", "action": "*", "kind": "explode"}])
def test_what_is_no_fault_is_refused(fault: Any) -> None:
    with pytest.raises(ValueError, match=r"action|explode"):
        AwsFaults(Metrics(time.time)).add(fault)


# ---------------------------------------------------------------- decisions


def test_only_what_a_statement_covers_is_permitted() -> None:
    role = access(allow(["s3:Get*"], "arn:aws:s3:::bucket/runs/*"))

    assert role.permits(ROLE, "s3:GetObject", OBJECT)
    assert not role.permits(ROLE, "s3:PutObject", OBJECT)
    assert not role.permits(ROLE, "s3:GetObject", "arn:aws:s3:::bucket/jobs/a")
    assert not role.permits("arn:aws:iam::123456789012:role/stranger", "s3:GetObject", OBJECT)


def test_a_deny_wins() -> None:
    role = access(allow("s3:*", "*"), {"Effect": "Deny", "Action": "s3:PutObject", "Resource": OBJECT})

    assert role.permits(ROLE, "s3:GetObject", OBJECT)
    assert not role.permits(ROLE, "s3:PutObject", OBJECT)


def test_leading_keys_limit_a_grant_to_their_partitions() -> None:
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["CREATE"]}}
    role = access(allow("dynamodb:DeleteItem", TABLE, Condition=condition))

    assert role.permits(ROLE, "dynamodb:DeleteItem", TABLE, ("CREATE",))
    assert not role.permits(ROLE, "dynamodb:DeleteItem", TABLE, ("CREATE", "RUN#1"))


def test_leading_keys_may_be_patterns() -> None:
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["RUN#*"]}}
    role = access(allow("dynamodb:GetItem", TABLE, Condition=condition))

    assert role.permits(ROLE, "dynamodb:GetItem", TABLE, ("RUN#1",))
    assert not role.permits(ROLE, "dynamodb:GetItem", TABLE, ("BATCH#1",))


def test_a_condition_that_is_not_evaluated_counts_as_met_and_is_listed() -> None:
    role = access(allow("s3:GetObject", "*", Sid="Read", Condition={"StringEquals": {"s3:prefix": "runs"}}))

    assert role.permits(ROLE, "s3:GetObject", OBJECT)
    assert role.report()["unevaluated"] == ["worker p/Read: StringEquals s3:prefix"]


def test_without_enforcement_a_denied_call_goes_through_and_is_reported() -> None:
    role = access(allow(["s3:GetObject", "s3:PutObject"], OBJECT, Sid="Files"), enforce=False)

    assert role.permits(ROLE, "s3:GetObject", OBJECT)
    assert role.permits(ROLE, "s3:DeleteObject", OBJECT)
    assert role.report() == {
        "denied": [{"who": "worker", "action": "s3:DeleteObject", "resource": OBJECT}],
        "unused": [{"who": "worker", "statement": "p/Files", "action": "s3:PutObject"}],
        "unevaluated": [],
    }


def test_a_service_may_invoke_a_function_only_for_the_source_it_was_let_in_for() -> None:
    function, rule = "arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:events:us-east-1:1:rule/r"
    door = Access(enforce=True)
    door.add_permission("f", "events.amazonaws.com", rule)

    assert door.service_permits("events.amazonaws.com", rule, function)
    assert not door.service_permits("events.amazonaws.com", rule + "2", function)
    assert not door.service_permits("events.amazonaws.com", rule, f"{function}:live")  # an alias has rights of its own


# ---------------------------------------------------------------- keys

KEY = "arn:aws:kms:us-east-1:123456789012:key/k"


def via(service: str) -> dict[str, Any]:
    return {"StringEquals": {"kms:ViaService": f"{service}.us-east-1.amazonaws.com"}}


def test_what_lies_under_a_key_wants_a_right_to_the_key_through_its_service() -> None:
    reading = allow("s3:GetObject", OBJECT)
    for role, permitted in (
        (access(reading), False),
        (access(reading, allow("kms:Decrypt", KEY, Condition=via("s3"))), True),
        (access(reading, allow("kms:Decrypt", KEY, Condition=via("dynamodb"))), False),
        (access(reading, allow("kms:Encrypt", KEY, Condition=via("s3"))), False),
    ):
        role.encrypt("arn:aws:s3:::bucket", KEY)
        assert role.permits(ROLE, "s3:GetObject", OBJECT) is permitted


def test_a_bucket_of_nearly_the_same_name_is_under_no_key() -> None:
    role = access(allow("s3:GetObject", OBJECT))
    role.encrypt("arn:aws:s3:::buck", KEY)

    assert role.permits(ROLE, "s3:GetObject", OBJECT)


def test_a_later_policy_adds_to_a_role_s_rights() -> None:
    role = access(allow("s3:GetObject", OBJECT))
    more = [{"PolicyName": "q", "PolicyDocument": {"Statement": [allow("s3:PutObject", OBJECT)]}}]
    role.add_role(ROLE, "worker", more)

    assert role.permits(ROLE, "s3:GetObject", OBJECT)
    assert role.permits(ROLE, "s3:PutObject", OBJECT)
