"""AWS's front door on loopback: moto's server, behind a layer that knows who calls.

Each function signs with an access key id of its own, so every request names its caller. That is what the IAM report
lives on. What must be atomic on AWS and is not in moto (it answers requests in threads) is serialised here.
"""

import io
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Protocol

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3 import models as s3_models

from local import aws_requests, seams
from local.alarms import Alarms
from local.aws_faults import AwsFaults
from local.clock import VirtualClock
from local.http_server import App, Environ, StartResponse
from local.iam import Access, Call
from local.seams import Seam
from local.wire import Json

NOT_DEPLOYED: object = {"error": "not deployed yet"}
SEAMS = (Seam("moto.s3.models", "utcnow", ()),)

JSON_SERVICES = ("dynamodb", "secretsmanager", "states", "events", "sqs", "logs", "scheduler")
"""Services whose request bodies are read for IAM; S3's are objects and are left in the stream."""


class Admin(Protocol):
    """Answers what is below /_local/."""

    def answer(self, method: str, name: str, query: dict[str, str], body: bytes) -> tuple[HTTPStatus, object]:
        """Return a status and a JSON value."""
        ...


class FrontDoor:
    """WSGI middleware: /_local/ to the desk, everything else to AWS, on the record."""

    def __init__(
        self, app: App, access: Access, faults: AwsFaults, alarms: Alarms, hash_key: Callable[[str], str | None]
    ) -> None:
        """Wrap `app`; `hash_key` knows the partition key's name of a table."""
        self._app = app
        self._access = access
        self._faults = faults
        self._alarms = alarms
        self._hash_key = hash_key
        self._dynamodb: App | None = None
        self._roles: dict[str, str] = {}
        self._admin: Admin | None = None
        self._locks = {"dynamodb": threading.RLock(), "states": threading.RLock(), "s3": threading.RLock()}

    def know(self, key_id: str, role: str) -> None:
        """Say which role signs with an access key id."""
        self._roles[key_id] = role

    def serve_admin(self, admin: Admin) -> None:
        """Answer /_local/ from now on."""
        self._admin = admin

    def use_dynamodb(self, app: App) -> None:
        """Send DynamoDB's requests to another engine."""
        self._dynamodb = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"].startswith("/_local/"):
            return self._desk(environ, start_response)
        key_id, service = aws_requests.signer(environ.get("HTTP_AUTHORIZATION", "")) or ("", "")
        request = _request(environ, service)
        role = self._roles.get(key_id)
        made = list(aws_requests.calls(service, request, self._hash_key)) if role else []
        if role and not self._permitted(role, made):
            return _denied(service, start_response)
        if role and (kind := self._faults.strike(self._access.label(role), made)):
            if kind == "throttle":
                return _throttled(request, len(made), start_response)
            return _denied(service, start_response)
        if service == "monitoring":
            self._alarms.look()
        app = self._dynamodb if self._dynamodb and service == "dynamodb" else self._app
        watched = self._watch_missing(role, request, start_response) if role and service == "s3" else start_response
        with self._lock(service, environ):
            return app(environ, watched)

    def _permitted(self, role: str, made: Iterable[Call]) -> bool:
        verdicts = [self._access.permits(role, call.action, call.resource, call.leading_keys) for call in made]
        return all(verdicts)

    def _lock(self, service: str, environ: Environ) -> AbstractContextManager[object]:
        """Conditional writes, transactions and starts must not interleave."""
        conditional = "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MATCH" in environ
        if service == "s3" and not conditional:
            return nullcontext()
        if service == "dynamodb" and self._dynamodb:
            return nullcontext()
        return self._locks.get(service, nullcontext())

    def _watch_missing(self, role: str, request: aws_requests.Request, start_response: StartResponse) -> StartResponse:
        """A missing object answers 404 only to who may list the bucket; to others S3 says 403."""
        bucket, _, key = request.path.lstrip("/").partition("/")
        resource = f"arn:aws:s3:::{bucket}"

        def started(status: str, *args: Any) -> Any:
            reading = request.method in {"GET", "HEAD"} and key
            if status.startswith("404") and reading and not self._access.allows(role, "s3:ListBucket", resource):
                self._access.note(role, "s3:ListBucket", resource)
            return start_response(status, *args)

        return started

    def _desk(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
        name = environ["PATH_INFO"].removeprefix("/_local/")
        if self._admin is None:
            status, value = HTTPStatus.SERVICE_UNAVAILABLE, NOT_DEPLOYED
        else:
            status, value = self._admin.answer(environ["REQUEST_METHOD"], name, query, _read(environ))
        body = json.dumps(value, default=str).encode()
        start_response(f"{status.value} {status.phrase}", _headers("application/json", body))
        return [body]


def moto_app(clock: VirtualClock) -> App:
    """Moto's server, as a WSGI application whose S3 objects carry virtual times."""
    seams.replace(s3_models, "utcnow", lambda: clock.now().replace(tzinfo=None))
    app: App = DomainDispatcherApplication(create_backend_app)
    return app


def _request(environ: Environ, service: str) -> aws_requests.Request:
    """Read what IAM needs; a body that is read is put back."""
    body = b""
    if service in JSON_SERVICES:
        body = _read(environ)
        environ["wsgi.input"] = io.BytesIO(body)
    return aws_requests.Request(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        query=dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
        headers={name: value for name, value in environ.items() if name.startswith("HTTP_")},
        body=body,
    )


def _read(environ: Environ) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def _headers(kind: str, body: bytes) -> list[tuple[str, str]]:
    return [("Content-Type", kind), ("Content-Length", str(len(body)))]


def _denied(service: str, start_response: StartResponse) -> Iterable[bytes]:
    """What AWS answers to a caller without the right."""
    if service == "s3":
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        start_response("403 Forbidden", _headers("application/xml", body))
        return [body]
    error: Json = {"__type": "AccessDeniedException", "message": "not authorized by the function's role"}
    body = json.dumps(error).encode()
    start_response("400 Bad Request", _headers("application/x-amz-json-1.0", body))
    return [body]


def _throttled(request: aws_requests.Request, items: int, start_response: StartResponse) -> Iterable[bytes]:
    """What DynamoDB answers where a table has no room; of a transaction, with a reason for each of its items."""
    error: Json = {"__type": "ThrottlingException", "message": "Throughput exceeds the current capacity of your table."}
    if request.headers.get("HTTP_X_AMZ_TARGET", "").endswith("TransactWriteItems"):
        reason = {"Code": "ThrottlingError", "Message": error["message"]}
        error = {
            "__type": "TransactionCanceledException",
            "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": [reason] * items,
        }
    body = json.dumps(error).encode()
    start_response("400 Bad Request", _headers("application/x-amz-json-1.0", body))
    return [body]
