"""The loopback sink: the Batches API, S3 and DynamoDB, as far as a benchmark needs them, in a process of their own.

    python -m benchmarks.sinks FOLDER CPU

It answers at once (DynamoDB: after 5 ms), checks no signature and no condition, and counts what it was asked for.
moto does all that properly, and takes so long that nothing else would be measured.
"""

import itertools
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks import made
from nightshift.model import chunk_id

DELAY = 0.005
"""Seconds until DynamoDB answers: about what it takes within a region."""
FRAME = 64 * 1024
"""Bytes of a chunk of the results stream."""
CREATED = "2026-11-22T02:00:00Z"
XML = "application/xml"


class State:
    """What was counted, and the uploads under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.checksums: dict[str, str] = {}
        """Path of an object → CRC-32 that came with it: S3 gives it back, and boto3 checks it."""
        self.numbers = itertools.count(1)
        self.delay = DELAY
        self.bucket: Bucket | None = None
        """The table's capacity; None: it has no end."""
        self.written: set[str] = set()
        """Tickets in a table whose capacity has an end."""

    def count(self, **counts: int) -> None:
        """Add to the counts."""
        with self.lock:
            self.counts.update(counts)

    def taken(self) -> dict[str, int]:
        """Return the counts, and begin anew."""
        with self.lock:
            counts, self.counts = dict(self.counts), Counter()
            counts |= {"distinct": len(self.written), "throttled": counts.get("throttled", 0)}
            self.written.clear()
        return counts

    def admit(self, writes: list[dict[str, Any]]) -> bool:
        """Count the writes of a transaction; False where the table has no capacity left for it."""
        needed = sum(2 * units(write) for write in writes)
        with self.lock:
            if self.bucket is not None and not self.bucket.take(needed):
                self.counts["throttled"] += 1
                return False
            self.counts.update(tickets=len(writes), units=needed)
            if self.bucket is not None:
                self.written.update(next(iter(write["Key"].values()))["S"] for write in writes)
        return True


class Bucket:
    """So many write units a second; those of one second can be saved."""

    def __init__(self, units: int) -> None:
        self.units = units
        self.left, self.filled = float(units), time.monotonic()

    def take(self, needed: int) -> bool:
        """Take units, if there are so many."""
        now = time.monotonic()
        self.left = min(self.units, self.left + (now - self.filled) * self.units)
        self.filled = now
        if self.left < needed:
            return False
        self.left -= needed
        return True


class Handler(BaseHTTPRequestHandler):
    """One connection, of any of the three."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer what reads."""
        path, query = self._asked()
        if path == "/counts":
            self._json(self.state.taken())
        elif path == "/table":
            self.state.delay = float(query["delay"][0])
            self.state.bucket = Bucket(int(query["units"][0]))
            self._json({})
        elif match := re.fullmatch(r"/v1/messages/batches/(msgbatch_.*)/results", path):
            self._results(*match[1].split("_")[1:])
        elif path.startswith("/v1/messages/batches/"):
            self._json(self._batch(path.rpartition("/")[2]))
        elif path == "/v1/messages/batches":
            self._json({"data": [], "has_more": False, "first_id": None, "last_id": None})
        elif "list-type" in query:
            self._answer(b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>", XML)
        else:
            self._object(path)

    def do_POST(self) -> None:
        """Answer what writes."""
        path, query = self._asked()
        if path == "/v1/messages/batches":
            self.state.count(creates=1, created_bytes=self._skip())
            self._json(self._batch("msgbatch_1KB_1_1"))
        elif path.startswith("/v1/messages"):
            self._skip()
            self._json({"input_tokens": 250})
        elif "X-Amz-Target" in self.headers:
            self._table(self.headers["X-Amz-Target"].partition(".")[2])
        elif "uploads" in query:
            self._skip()
            self._answer(f"<R><UploadId>{next(self.state.numbers)}</UploadId></R>".encode(), XML)
        else:
            self._skip()
            self._complete(path, query["uploadId"][0])

    def do_PUT(self) -> None:
        """Take an object, or a part of one."""
        path, query = self._asked()
        part = f"parts/{query['uploadId'][0]}/{int(query['partNumber'][0]):05d}" if "uploadId" in query else ""
        target = self._file(part or path)
        target.parent.mkdir(parents=True, exist_ok=True)
        left = int(self.headers["Content-Length"])
        with target.open("wb", buffering=0) as file:
            while left > 0 and (block := self.rfile.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
        self.state.checksums[path] = "" if part else self.headers.get("x-amz-checksum-crc32", "")
        self._answer(b"", headers={"ETag": '"1"'})

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        return unquote(url.path), parse_qs(url.query, keep_blank_values=True)

    def _skip(self) -> int:
        """Read the body away; return its length."""
        left = length = int(self.headers.get("Content-Length", 0))
        while left > 0 and (block := self.rfile.read(min(left, 1 << 20))):
            left -= len(block)
        return length

    def _batch(self, name: str) -> dict[str, Any]:
        size, count, _ = [*name.split("_")[1:], "1KB", "1", "1"][:3]
        counts = {"processing": 0, "succeeded": int(count), "errored": 0, "canceled": 0, "expired": 0}
        times = {"created_at": CREATED, "ended_at": CREATED, "expires_at": "2026-11-23T02:00:00Z"}
        url = f"http://{self.headers['Host']}/v1/messages/batches/{name}/results"
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": counts,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": url if size else None,
        } | times

    def _results(self, size: str, count: str, chunk: str) -> None:
        """Stream results as the API does: no length, in chunks. One file serves for every chunk of a run."""
        self.send_response(200)
        self.send_header("Content-Type", "application/binary")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        source = made.FOLDER / f"results-{size}-{count}.jsonl"
        if chunk == "1":
            with source.open("rb", buffering=0) as file:
                while block := file.read(FRAME):
                    self._frame(block)
        else:
            data = source.read_bytes().replace(made.CHUNK.encode(), chunk_id(0, int(chunk)).encode())
            for start in range(0, len(data), FRAME):
                self._frame(data[start : start + FRAME])
        self._frame(b"")

    def _frame(self, block: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))

    def _object(self, path: str) -> None:
        file = self._file(path)
        if not file.is_file():
            self._answer(b"<Error><Code>NoSuchKey</Code></Error>", XML, status=404)
            return
        first, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
        start, size = int(first), file.stat().st_size
        size = min(size, int(last) + 1 if last else size) - start
        checksum = self.state.checksums.get(path)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", '"1"')
        if checksum and "Range" not in self.headers:
            self.send_header("x-amz-checksum-crc32", checksum)
        self.end_headers()
        with file.open("rb") as stream:
            self.connection.sendfile(stream, start, size)

    def _complete(self, path: str, upload: str) -> None:
        """Make an object of its parts."""
        target = self._file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as whole:
            for part in sorted(self._file(f"parts/{upload}").iterdir()):
                with part.open("rb") as stream:
                    while os.sendfile(whole.fileno(), stream.fileno(), None, 1 << 30):
                        pass
                part.unlink()
        self.state.checksums[path] = ""
        self._answer(b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>", XML)

    def _table(self, operation: str) -> None:
        """Answer a write to a table, and count what it would be billed."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if operation == "TransactWriteItems":
            writes = [item["Update"] for item in body["TransactItems"]]
            if not self.state.admit(writes):
                self._throttle(len(writes))
                return
        elif body["TableName"] == "tickets":
            self.state.count(tickets=1, units=units(body))
        time.sleep(self.state.delay)
        self._answer(b"{}", "application/x-amz-json-1.0")

    def _throttle(self, writes: int) -> None:
        """Cancel a transaction, as DynamoDB does where a partition is too busy."""
        reasons = [{"Code": "ThrottlingError", "Message": "Rate of requests exceeds the allowed throughput."}] * writes
        kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
        body = {"__type": kind, "Message": "Transaction cancelled", "CancellationReasons": reasons}
        self._answer(json.dumps(body).encode(), "application/x-amz-json-1.0", status=400)

    def _file(self, path: str) -> Path:
        return self.state.folder / path.lstrip("/")

    def _json(self, value: Any) -> None:
        self._answer(json.dumps(value).encode())

    def _answer(
        self, body: bytes, kind: str = "application/json", *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def units(update: dict[str, Any]) -> int:
    """Return the write units of an update of a ticket that has nothing else: 1 for each KB begun of the item."""
    names = set(update["ExpressionAttributeNames"].values())
    values = {name: value for name, value in update["ExpressionAttributeValues"].items() if name != ":order"}
    size = sum(len(name.encode()) for name in (*names, *update["Key"]))
    size += sum(_bytes(value) for value in (*values.values(), *update["Key"].values()))
    return -(-size // 1024)


def _bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "L":
            return 3 + sum(1 + _bytes(item) for item in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _bytes(item) for name, item in content.items())
        case _:
            return 1


class Server(ThreadingHTTPServer):
    """Each connection has a thread; nobody waits for them at the end."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing of a client that has gone in the middle of an answer: a plan's sample is read like that."""
        if not isinstance(sys.exception(), ConnectionError):
            raise  # noqa: PLE0704 - it is being handled: by the caller


def main() -> None:
    """Serve until this process is ended."""
    folder, cpu = Path(sys.argv[1]), int(sys.argv[2])
    os.sched_setaffinity(0, {cpu})
    Handler.state = State(folder)
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
