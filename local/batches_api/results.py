"""Results on the wire: the file as it is, cut where a cancel or the expiry cut the batch, or damaged on request."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
from starlette.types import Receive, Scope, Send

from .faults import Fault
from .lifecycle import Batch, Standing
from .processing import RESULTS
from .wire import drained, left, transport_of

BLOCK_BYTES = 1 << 16
MEDIA_TYPE = b"application/x-jsonl"

IDLESS = {
    "type": "error",
    "error": {"type": "api_error", "message": "Internal server error"},
    "request_id": None,
}
"""An error in the middle of a 200: it comes out of the SDK as a row without a custom_id."""


def lines(batch: Batch, state: Standing) -> Iterator[bytes]:
    """Yield a batch's result lines, each with its newline."""
    rest = msgspec.json.encode({"type": state.rest})
    with (batch.folder / RESULTS).open("rb") as file:
        yield from islice(file, state.processed)
        for line in file:
            custom_id = line.split(b'"', 4)[3]  # its characters are safe, and it comes first
            yield b'{"custom_id":"%s","result":%s}\n' % (custom_id, rest)


def damaged(source: Iterator[bytes], fault: Fault, rows: int) -> Iterator[bytes]:
    """Yield the lines of so many rows with a fault in them, after its first `lines` lines or its `share` of them."""
    if fault.kind == "crlf":
        yield from (line.replace(b"\n", b"\r\n") for line in source)
        return
    yield from islice(source, fault.lines if fault.share is None else int(fault.share * rows))
    match fault.kind:
        case "cut-line" | "clean-early-close":
            return
        case "cut-mid-line" | "drop":
            line = next(source, b"")
            yield line[: len(line) // 2]
            return
        case "blank-line":
            yield b"\n"
        case "idless-error-line":
            yield msgspec.json.encode(IDLESS) + b"\n"
        case "missing-row":
            next(source, None)
        case "duplicate-line":
            line = next(source, b"")
            yield line + line
        case "unknown-id":
            yield b'{"custom_id":"nobody-sent-this","result":{"type":"expired"}}\n'
    yield from source


def blocks(source: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines in blocks of a useful size."""
    held = bytearray()
    for line in source:
        held += line
        if len(held) >= BLOCK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


@dataclass(frozen=True, slots=True)
class ResultsResponse:
    """An ASGI response that streams results, and ends as its fault says."""

    batch: Batch
    state: Standing
    headers: dict[str, str]
    fault: Fault | None
    gzip: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        kind = self.fault.kind if self.fault is not None else ""
        if kind == "clean-early-close":
            await self._until_close(scope, receive)
            return
        headers = [(name.encode(), value.encode()) for name, value in self._headers().items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for block in self._body():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        if kind == "drop":
            await drained(scope)
            transport_of(scope).abort()
            await left(receive)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self) -> dict[str, str]:
        encoding = {"content-encoding": "gzip"} if self.gzip else {}
        return {**self.headers, "content-type": MEDIA_TYPE.decode(), **encoding}

    def _lines(self) -> Iterator[bytes]:
        source = lines(self.batch, self.state)
        if self.fault is None or self.fault.kind == "slow":
            return source
        return damaged(source, self.fault, self.batch.rows)

    async def _body(self) -> AsyncIterator[bytes]:
        slow = self.fault is not None and self.fault.kind == "slow"
        pause = (self.fault.seconds or 1.0) if slow and self.fault is not None else 0.0
        packer = zlib.compressobj(1, wbits=31) if self.gzip else None
        source = self._lines() if slow else blocks(self._lines())
        for block in source:
            piece = packer.compress(block) if packer is not None else block
            if piece:
                yield piece
            await asyncio.sleep(pause)  # also without a pause: others have a turn between two blocks
        if packer is not None:
            yield packer.flush()

    async def _until_close(self, scope: Scope, receive: Receive) -> None:
        """Send a body whose only end is that of the connection, past the server's own framing."""
        transport = transport_of(scope)
        head = "".join(f"{name}: {value}\r\n" for name, value in self._headers().items())
        transport.write(f"HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n".encode())
        async for block in self._body():
            transport.write(block)
        transport.close()
        await left(receive)
