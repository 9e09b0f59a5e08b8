"""The listening end of the front door: moto's request handler, with connections that stay open.

werkzeug closes each connection after its answer, which costs an AWS client more time than moto's own work does.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, Any, cast

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wsgi import LimitedStream

logger = logging.getLogger(__name__)

type Environ = dict[str, Any]
type StartResponse = Callable[..., Any]
type App = Callable[[Environ, StartResponse], Iterable[bytes]]

BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class Server:
    """A threaded WSGI server on a free loopback port."""

    def __init__(self) -> None:
        """Take the port and hold it."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._server: BaseWSGIServer | None = None
        self.port = int(self._socket.getsockname()[1])

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL says."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, app: App) -> None:
        """Answer requests from now on, each connection in a thread."""
        handler, descriptor = KeepAliveHandler, self._socket.fileno()
        server = make_server("127.0.0.1", self.port, app, threaded=True, request_handler=handler, fd=descriptor)
        threading.Thread(target=server.serve_forever, args=(0.1,), name="front door", daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Stop answering."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._socket.close()


class KeepAliveHandler(MotoRequestHandler):
    """Runs one request after the other on a connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer, and no Nagle: otherwise each waits for an acknowledgement
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        environ, body = self.make_environ(), None
        if "wsgi.input_terminated" not in environ:  # not chunked
            body = LimitedStream(cast("IO[bytes]", self.rfile), int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = body
        status, headers, answer = self._respond(environ)
        if body is None:
            self.close_connection = True  # nobody knows whether the chunks were read to their end
        else:
            body.exhaust()  # what the application did not read is not the next request
        self._write(status, headers, answer)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet: there are thousands."""

    def _respond(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
            started[:] = [status, headers]
            return lambda _data: None  # the old way of writing: nobody here uses it

        try:
            answer = b"".join(self.server.app(environ, start_response))
        except Exception:
            logger.exception("%s %s failed in the local AWS", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return "500 Internal Server Error", [], b""
        return started[0], started[1], answer

    def _write(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers) and int(code) not in BODILESS:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and int(code) not in BODILESS:
            self.wfile.write(body)
        self.wfile.flush()
