"""The two seams: what the product sends to AWS, and what it sends to the API, stopped at their last step.

AWS is moto, behind botocore's own `before-send`: botocore signs, retries and reads answers as always. The API is the
local Message Batches API, behind the SDK's own transport, without a socket. Both in this process.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partialmethod
from io import BytesIO
from typing import Any, Self

import anthropic
import httpx2
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.response import StreamingBody
from moto.core.botocore_stubber import MockRawResponse
from moto.core.exceptions import ServiceException
from moto.core.models import botocore_stubber
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler
from moto.s3.models import s3_backends
from starlette.types import ASGIApp
from werkzeug.exceptions import HTTPException

PIECE = 150
"""Bytes of a results stream that come at once: about two lines in three blocks."""

ITEMS = frozenset({"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"})
"""DynamoDB's operations on items."""

type Send = Callable[[str, str, Any, Callable[[], Any]], Any]
"""(service, operation, request, do it) → the answer."""


class Desk(asyncio.Transport):
    """The connection that the local API believes in."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = bytearray()
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True

    def close(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.raw += data

    def get_write_buffer_size(self) -> int:
        return 0


class AtOnce:
    """An executor that does what it is given before it returns: no threads, one order."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - an executor hands every error on
            done.set_exception(error)
        return done

    def map(self, function: Callable[..., Any], items: Any) -> Iterator[Any]:
        return iter([function(item) for item in items])


def refusal(service: str, status: int, code: str) -> AWSResponse:
    """Return an error as AWS words it."""
    if service == "s3":
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
    else:
        body = json.dumps({"__type": code, "message": "on purpose"}).encode()
    raw: Any = MockRawResponse(body)
    return AWSResponse("https://aws", status, HTTPHeaders(), raw)


@dataclass(slots=True)
class Asked:
    """A request that never was HTTP."""

    body: bytes
    url: str = "https://dynamodb"


@dataclass(slots=True)
class Answered:
    """The answer to it, or the error that botocore makes of a refusal."""

    status_code: int
    parsed: Any
    error: Exception | None = None


def install_aws(send: Send, plainly: Callable[[str, str, Any], bool]) -> None:
    """Put `send` between botocore and moto, for every client that is made from now on.

    Args:
        send: see Send.
        plainly: tells of a call (service, operation, request) whether AWS answers it, and its answer arrives. Then
            what is asked of DynamoDB's items need not become HTTP on the way to moto and back, which is most of its
            cost. What moto refuses always goes the long way, where errors are put into words.
    """
    clients: Any = BaseClient
    aws = _Aws(send, plainly, clients._make_api_call)
    clients._make_api_call = partialmethod(_through, aws)
    BUILTIN_HANDLERS.remove(("before-send", botocore_stubber))
    BUILTIN_HANDLERS.append(("before-send", aws.before_send))


def _through(client: Any, aws: "_Aws", operation: str, arguments: Any) -> Any:
    return aws.call(client, operation, arguments)


class _Aws:
    """Both ways to moto."""

    def __init__(self, send: Send, plainly: Callable[[str, str, Any], bool], ask: Callable[..., Any]) -> None:
        self._send = send
        self._plainly = plainly
        self._ask = ask
        self._passed = False
        """The call that is under way has passed `send` already."""

    def before_send(self, event_name: str, request: Any, **_: Any) -> Any:
        """Answer a request that is ready to go out."""
        service, operation = event_name.split(".")[1:3]
        if self._passed:
            return botocore_stubber(event_name, request)
        answer = _dynamodb if service == "dynamodb" and operation in ITEMS else botocore_stubber
        return self._send(service, operation, request, lambda: answer(event_name, request))

    def call(self, client: Any, operation: str, arguments: Any) -> Any:
        """Answer a call of a client's method."""
        service = client.meta.service_model.service_name
        if service == "dynamodb" and operation in ITEMS:
            asked = Asked(json.dumps(arguments).encode())
        elif service == "s3" and operation in OBJECTS:
            asked = Asked(b"", f"https://s3/{arguments['Bucket']}/{arguments['Key']}")
        else:
            return self._ask(client, operation, arguments)
        if not self._plainly(service, operation, asked):
            return self._ask(client, operation, arguments)
        answer = self._send(service, operation, asked, lambda: self._short_way(client, operation, arguments))
        if answer.error is not None:
            raise answer.error
        return answer.parsed

    def _short_way(self, client: Any, operation: str, arguments: Any) -> Answered:
        try:
            if operation in OBJECTS:
                return Answered(200, OBJECTS[operation](**arguments))
            _handler.body = arguments
            return Answered(200, getattr(_handler, camelcase_to_underscores(operation))().result)
        except (HTTPException, ServiceException, LookupError):
            return self._long_way(client, operation, arguments)

    def _long_way(self, client: Any, operation: str, arguments: Any) -> Answered:
        self._passed = True
        try:
            return Answered(200, self._ask(client, operation, arguments))
        except ClientError as error:
            return Answered(400, None, error)
        finally:
            self._passed = False


def _dynamodb(event_name: str, request: Any) -> Any:
    """Have moto's own DynamoDB answer, past its web server's half."""
    _handler.body = json.loads(request.body)
    try:
        result = getattr(_handler, camelcase_to_underscores(event_name.split(".")[2]))()
    except (HTTPException, ServiceException):
        return botocore_stubber(event_name, request)
    body: Any = MockRawResponse(json.dumps(result.result))
    return AWSResponse(request.url, 200, HTTPHeaders(), body)


def _get_object(*, Bucket: str, Key: str, VersionId: str | None = None, Range: str = "bytes=0-") -> Any:  # noqa: N803
    """Read an object from moto's own S3.

    Raises:
        LookupError: it is not there: the long way says so in S3's words.
    """
    key = _s3().get_object(Bucket, Key, version_id=VersionId)
    if key is None:
        raise LookupError(Key)
    start, end = Range.removeprefix("bytes=").split("-")
    body = key.value[int(start) : int(end) + 1 if end else None]
    stream = StreamingBody(BytesIO(body), len(body))
    return {"Body": stream, "VersionId": str(key.version_id), "ContentLength": len(body)}


def _put_object(
    *,
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    Body: bytes,  # noqa: N803
    IfNoneMatch: str = "",  # noqa: N803
    IfMatch: str = "",  # noqa: N803
    ContentType: str = "",  # noqa: N803, ARG001 - nobody reads it back
) -> Any:
    """Write an object to moto's own S3.

    Raises:
        LookupError: one is there and must not be, or must be another: the long way says so in S3's words.
    """
    if IfMatch or (IfNoneMatch and _s3().get_object(Bucket, Key) is not None):
        raise LookupError(Key)
    return {"VersionId": str(_s3().put_object(Bucket, Key, bytes(Body)).version_id)}


def _s3() -> Any:
    return s3_backends[_handler.current_account]["aws"]


OBJECTS: Mapping[str, Callable[..., Any]] = {"GetObject": _get_object, "PutObject": _put_object}
"""S3's operations on small objects, and what moto does for them."""

_handler = DynamoHandler()
_handler.current_account, _handler.region = "123456789012", "us-east-1"  # moto's own account


def install_api(send: Send, app: Callable[[], ASGIApp], during: Callable[[], None]) -> "Transport":
    """Let every client of the SDK talk to `app` through `send`; `during` is told of each block of a stream."""
    transport = Transport(send, app, during)
    make = anthropic.DefaultHttpxClient
    anthropic.DefaultHttpxClient = lambda **options: make(**options, transport=transport)  # type: ignore[assignment]
    return transport


class Transport(httpx2.BaseTransport):
    """The SDK's transport."""

    def __init__(self, send: Send, app: Callable[[], ASGIApp], during: Callable[[], None]) -> None:
        self._send = send
        self._app = app
        self._during = during
        self._loop = asyncio.new_event_loop()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        body = b"".join(request.stream)  # type: ignore[arg-type] # the SDK's synchronous client sends no other
        operation = _operation(request)
        return self._send("api", operation, request, lambda: self.answer(request, body))  # type: ignore[no-any-return]

    def answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        """Have the API answer, past every boundary."""
        connection = Desk()
        status, headers, blocks = self._loop.run_until_complete(_ask(self._app(), request, body, connection))
        if status is None and connection.raw:
            return self._raw(request, bytes(connection.raw))
        if status is None and connection.dropped:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        if status is None:
            raise httpx2.ReadTimeout("The read operation timed out", request=request)
        streams = _operation(request) == "results"
        stream = self._stream(blocks, dropped=connection.dropped) if streams else iter(blocks)
        return httpx2.Response(status, headers=headers, stream=_Stream(stream), request=request)

    def _raw(self, request: httpx2.Request, raw: bytes) -> httpx2.Response:
        """Read what was written past the server's framing: a body whose only end is that of the connection."""
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")[1:]
        headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        return httpx2.Response(
            200, headers=headers, stream=_Stream(self._stream([body], dropped=False)), request=request
        )

    def _stream(self, blocks: list[bytes], *, dropped: bool) -> Iterator[bytes]:
        whole = b"".join(blocks)
        if whole.endswith(b"\n"):  # the API promises no order: two readings have two
            lines = whole.splitlines(keepends=True)
            random.shuffle(lines)
            whole = b"".join(lines)
        for start in range(0, len(whole), PIECE):
            if len(whole) > PIECE:
                self._during()
            yield whole[start : start + PIECE]
        if dropped:
            raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")


class _Stream(httpx2.SyncByteStream):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks


def _operation(request: httpx2.Request) -> str:
    """Name what is asked of the API."""
    if request.url.path in {"/v1/messages", "/v1/messages/count_tokens"}:
        return request.url.path.removeprefix("/v1/").removeprefix("messages/")
    path = request.url.path.removeprefix("/v1/messages/batches")
    if request.method == "POST":
        return "cancel" if path.endswith("/cancel") else "create"
    if path.endswith("/results"):
        return "results"
    return "retrieve" if path else "list"


async def _ask(
    app: ASGIApp, request: httpx2.Request, body: bytes, connection: Desk
) -> tuple[int | None, list[tuple[bytes, bytes]], list[bytes]]:
    """Have the application answer one request, as a client that leaves as soon as nothing more can come."""
    inbox: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    status: int | None = None
    headers: list[tuple[bytes, bytes]] = []
    blocks: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return inbox.pop() if inbox else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        elif message["body"]:
            blocks.append(message["body"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("127.0.0.1", request.url.port or 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "state": {"transport": connection},
    }
    await app(scope, receive, send)
    return status, headers, blocks
