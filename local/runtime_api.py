"""Lambda's Runtime API (2018-06-01) for one execution environment, on a loopback port of its own."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import ClassVar, cast

LARGEST_RESPONSE = 6_291_556
"""Bytes; the number that Lambda's own error message quotes."""

PREFIX = "/2018-06-01/runtime"


@dataclass(slots=True, eq=False)
class Invocation:
    """One event on its way through a runtime process."""

    request_id: str
    payload: bytes
    function_arn: str
    deadline_ms: int = 0
    """Real time, milliseconds since the epoch: Lambda time-outs are not virtual."""
    body: bytes = b""
    error: str | None = None
    """None, or what Lambda says in X-Amz-Function-Error."""
    done: threading.Event = field(default_factory=threading.Event)

    def finish(self, body: bytes, error: str | None = None) -> None:
        """Settle the invocation; only the first word counts."""
        if not self.done.is_set():
            self.body, self.error = body, error
            self.done.set()


class RuntimeApi(ThreadingHTTPServer):
    """Hands invocations to the runtime process and takes its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port; the process may ask from now on."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.inbox: SimpleQueue[Invocation | None] = SimpleQueue()
        self.ready = threading.Event()
        self.current: Invocation | None = None
        self.init_error: bytes | None = None
        self.spoiled = False
        """Whether the process must not be used again."""
        threading.Thread(target=self.serve_forever, args=(0.2,), name="runtime-api", daemon=True).start()

    @property
    def address(self) -> str:
        """What AWS_LAMBDA_RUNTIME_API says."""
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """Stop serving; a process that asks again gets no answer."""
        self.inbox.put(None)
        threading.Thread(target=self._close, daemon=True).start()

    def _close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a killed runtime process resets its connection, and that is no news."""


class _Handler(BaseHTTPRequestHandler):
    """The four calls that a runtime makes."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer, and no Nagle: 2 ms a call, not 45
    disable_nagle_algorithm = True
    accepted: ClassVar[bytes] = b'{"status":"OK"}'

    @property
    def api(self) -> RuntimeApi:
        """The server, typed."""
        return cast("RuntimeApi", self.server)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, the base class names it
        """Keep quiet: the function's log tells more."""

    def do_GET(self) -> None:
        """Answer `next`: block until there is an invocation."""
        if self.path != f"{PREFIX}/invocation/next":
            return self._answer(HTTPStatus.NOT_FOUND)
        self.api.ready.set()
        invocation = self.api.inbox.get()
        if invocation is None:
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
        }
        return self._answer(HTTPStatus.OK, invocation.payload, headers)

    def do_POST(self) -> None:
        """Take a response, an error, or the news that initialisation failed."""
        body = self._body()
        if self.path == f"{PREFIX}/init/error":
            self.api.init_error = body
            self.api.ready.set()
            return self._answer(HTTPStatus.ACCEPTED, self.accepted)
        *_, request_id, verb = self.path.split("/")
        current = self.api.current
        if current is None or current.request_id != request_id:
            return self._answer(HTTPStatus.BAD_REQUEST, b'{"errorType":"InvalidRequestID"}')
        if verb == "response" and len(body) > LARGEST_RESPONSE:
            return self._refuse(current, len(body))
        current.finish(body, "Unhandled" if verb == "error" else None)
        return self._answer(HTTPStatus.ACCEPTED, self.accepted)

    def _refuse(self, invocation: Invocation, size: int) -> None:
        """Treat a response that is too large as Lambda does: an error, and the environment is discarded."""
        message = f"Response payload size ({size} bytes) exceeded maximum allowed payload size"
        error = {
            "errorMessage": f"{message} ({LARGEST_RESPONSE} bytes).",
            "errorType": "Function.ResponseSizeTooLarge",
        }
        body = json.dumps(error).encode()
        self.api.spoiled = True
        invocation.finish(body, "Unhandled")
        self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, body)

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)
