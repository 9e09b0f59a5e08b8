"""What an AWS request means to IAM: its actions and resources, read from the HTTP request itself."""

import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local.iam import Call
from local.wire import ACCOUNT, REGION, Json

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")
_EQUALITY = re.compile(r"([#\w.-]+)\s*=\s*(:\w+)")

BUCKET_ACTIONS = {
    "versions": "ListBucketVersions",
    "uploads": "ListBucketMultipartUploads",
    "versioning": "GetBucketVersioning",
    "location": "GetBucketLocation",
}
"""s3 action of a GET on a bucket with this sub-resource; without one it is ListBucket."""

TRANSACT_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}

RESOURCE_FIELDS = ("SecretId", "stateMachineArn", "executionArn", "TopicArn")
"""Where a JSON request names its resource."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a signed request that name caller and deed."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """HTTP_* of the WSGI environment."""
    body: bytes
    """Empty for S3, whose bodies are objects."""


def signer(authorization: str) -> tuple[str, str] | None:
    """Return (access key id, service) of a signed request."""
    found = _CREDENTIAL.search(authorization)
    return (found[1], found[2]) if found else None


def calls(service: str, request: Request, hash_key: Callable[[str], str | None]) -> Iterable[Call]:
    """Say what a request does; `hash_key` knows the partition key's name of a table."""
    match service:
        case "s3":
            return _s3(request)
        case "dynamodb":
            return _dynamodb(request, hash_key)
        case "lambda" if request.path.endswith("/invocations"):
            name = urllib.parse.unquote(request.path.split("/functions/")[1].rsplit("/", 1)[0])
            return [
                Call("lambda:InvokeFunction", name if name.startswith("arn:") else arn("lambda", f"function:{name}"))
            ]
        case _:
            return [_json_call(service, request)]


def arn(service: str, resource: str) -> str:
    """The ARN of something in the desk's account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _s3(request: Request) -> Iterable[Call]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    if not key:
        yield _s3_bucket(request, f"arn:aws:s3:::{bucket}")
        return
    resource, source = f"arn:aws:s3:::{bucket}/{key}", request.headers.get("HTTP_X_AMZ_COPY_SOURCE")
    if source:
        path, _, query = urllib.parse.unquote(source).lstrip("/").partition("?")
        yield Call("s3:GetObjectVersion" if "versionId" in query else "s3:GetObject", f"arn:aws:s3:::{path}")
    if request.method == "PUT" and "HTTP_IF_MATCH" in request.headers:
        yield Call("s3:GetObject", resource)  # S3 asks for it where a write depends on what is there
    yield Call(f"s3:{_s3_object_action(request)}", resource)


def _s3_bucket(request: Request, resource: str) -> Call:
    if request.method == "POST" and "delete" in request.query:
        return Call("s3:DeleteObject", f"{resource}/*")
    if request.method in {"GET", "HEAD"}:
        action = next((action for name, action in BUCKET_ACTIONS.items() if name in request.query), "ListBucket")
        return Call(f"s3:{action}", resource)
    return Call(f"s3:{request.method.capitalize()}Bucket", resource)


def _s3_object_action(request: Request) -> str:
    version = "Version" if "versionId" in request.query else ""
    match request.method:
        case "GET" if "uploadId" in request.query:
            return "ListMultipartUploadParts"
        case "GET" | "HEAD":
            return f"GetObject{version}Tagging" if "tagging" in request.query else f"GetObject{version}"
        case "DELETE" if "uploadId" in request.query:
            return "AbortMultipartUpload"
        case "DELETE":
            return f"DeleteObject{version}"
        case _:
            return "PutObjectTagging" if "tagging" in request.query else "PutObject"


def _dynamodb(request: Request, hash_key: Callable[[str], str | None]) -> Iterable[Call]:
    operation = request.headers.get("HTTP_X_AMZ_TARGET", "").split(".")[-1]
    body: Json = json.loads(request.body or b"{}")
    for action, part in _dynamodb_parts(operation, body):
        table = part["TableName"].split(":table/")[-1]
        index = f"/index/{part['IndexName']}" if "IndexName" in part else ""
        keys = () if index else tuple(_leading_keys(part, hash_key(table)))
        yield Call(f"dynamodb:{action}", arn("dynamodb", f"table/{table}{index}"), keys)


def _dynamodb_parts(operation: str, body: Json) -> Iterable[tuple[str, Json]]:
    """Split a request into (action, single operation)."""
    match operation:
        case "TransactWriteItems":
            items = [next(iter(item.items())) for item in body["TransactItems"]]
            return [(TRANSACT_ACTIONS[kind], part) for kind, part in items]
        case "TransactGetItems":
            return [("GetItem", item["Get"]) for item in body["TransactItems"]]
        case "BatchGetItem":
            tables = body["RequestItems"].items()
            return [(operation, {"TableName": name, "Key": key}) for name, part in tables for key in part["Keys"]]
        case "BatchWriteItem":
            tables = body["RequestItems"].items()
            return [
                (operation, {"TableName": name, **one})
                for name, part in tables
                for item in part
                for one in item.values()
            ]
        case _ if "TableName" in body:
            return [(operation, body)]
        case _:
            return []


def _leading_keys(part: Json, name: str | None) -> Iterable[str]:
    """The partition keys that one operation names."""
    if name is None:
        return
    attributes = part.get("Key") or part.get("Item") or {}
    if name in attributes:
        yield str(next(iter(attributes[name].values())))
    names, values = part.get("ExpressionAttributeNames", {}), part.get("ExpressionAttributeValues", {})
    for left, right in _EQUALITY.findall(part.get("KeyConditionExpression", "")):
        if names.get(left, left) == name:
            yield str(next(iter(values[right].values())))


def _json_call(service: str, request: Request) -> Call:
    target = request.headers.get("HTTP_X_AMZ_TARGET", "")
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        body = dict(urllib.parse.parse_qsl(request.body.decode("utf-8", "replace")))
    operation = target.split(".")[-1] or body.get("Action") or f"{request.method} {request.path}"
    if "QueueUrl" in body:
        return Call(f"{service}:{operation}", arn("sqs", body["QueueUrl"].rsplit("/", 1)[-1]))
    if "Entries" in body and service == "events":
        bus = body["Entries"][0].get("EventBusName", "default")
        return Call("events:PutEvents", bus if bus.startswith("arn:") else arn("events", f"event-bus/{bus}"))
    resource = next((str(body[field]) for field in RESOURCE_FIELDS if body.get(field)), "*")
    return Call(f"{service}:{operation}", resource)
