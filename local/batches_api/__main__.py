"""Serve the local Message Batches API on a free loopback port, until SIGTERM or the end of standard input.

    python -m local.batches_api [--port 0] [--clock FILE] [--spool DIR] [--settings JSON] [--seed TEXT]

Prints one JSON line, {"url": …}, once it answers.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvicorn

from .app import build
from .clock import Clock
from .desk import Desk
from .settings import Settings
from .wire import DroppableProtocol

GRACE_SECONDS = 1
"""How long connections that hang on purpose may keep the process alive."""

KEEP_ALIVE_SECONDS = 75
"""As a front end of the service; uvicorn's own 5 s would close connections under a slow poller."""


class Server(uvicorn.Server):
    """uvicorn, with this module's idea of when to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again after it ended, and the spool would stay behind."""
        yield

    def end(self) -> None:
        """Stop serving."""
        self.should_exit = True


def main() -> None:
    """Run the process."""
    arguments = _arguments()
    settings = Settings().patched(json.loads(arguments.settings))
    with tempfile.TemporaryDirectory(prefix="batches-") as scratch, _listen(arguments.port) as sock:
        desk = Desk(Clock(arguments.clock), arguments.spool or Path(scratch), settings, arguments.seed)
        config = uvicorn.Config(
            build(desk),
            http=DroppableProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        asyncio.run(_serve(Server(config), sock))


def _listen(port: int) -> socket.socket:
    """Listen on loopback; TCP by name, because asyncio turns Nagle's 40 ms off for no other."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    return sock


async def _serve(server: Server, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    threading.Thread(target=_watch_stdin, args=(server,), daemon=True).start()
    host, port = sock.getsockname()
    # The socket listens already: who connects at once waits in its queue until uvicorn takes over.
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
    await server.serve(sockets=[sock])


def _watch_stdin(server: Server) -> None:
    """End when whoever started this process has ended."""
    while os.read(sys.stdin.fileno(), 1024):  # not through the buffer, whose lock would outlive this thread
        pass
    server.end()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.batches_api", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--clock", type=Path, help="the local cloud's clock file; without it, real time")
    parser.add_argument("--spool", type=Path, help="keep requests and results here; without it, in a folder that goes")
    parser.add_argument("--settings", default="{}", help="JSON, as POST /_local/settings takes it")
    parser.add_argument("--seed", help="makes ids, and so the order of results, the same every time")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (msgspec.ValidationError, json.JSONDecodeError) as error:
        sys.exit(f"--settings: {error}")
