"""The local Message Batches API for its own tests: a process, a clock to move, the real SDK to drive it with."""

import json
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import anthropic
import httpx2

ROOT = Path(__file__).parents[2]
DESK_PYTHON = ROOT / ".venvs" / "desk" / "bin" / "python"

START = datetime(2026, 11, 22, tzinfo=UTC)
"""When every test begins."""

SETTINGS = {"duration_seconds": 600, "jitter": 0, "rpm": 1_000_000}
"""A batch takes ten minutes to the second, and nobody is slowed down."""

MODEL = "claude-haiku-5-5"
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["billing", "technical", "other"]},
        "confidence": {"type": "string", "enum": ["high", "medium", "low"]},
    },
    "required": ["category", "confidence"],
    "additionalProperties": False,
}


def params(text: str = "My invoice was billed twice.", **others: Any) -> dict[str, Any]:
    """Return a request that the service would answer; a key given as None is left out."""
    plain: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 64,
        "thinking": {"type": "disabled"},
        "messages": [{"role": "user", "content": text}],
    }
    return {key: value for key, value in {**plain, **others}.items() if value is not None}


def structured(text: str, **others: Any) -> dict[str, Any]:
    """Return a request for an answer by `SCHEMA`."""
    return params(text, output_config={"format": {"type": "json_schema", "schema": SCHEMA}}, **others)


def requests(*rows: dict[str, Any]) -> list[Any]:
    """Return a batch's list: rows r-0, r-1 and so on."""
    return [{"custom_id": f"r-{i}", "params": row} for i, row in enumerate(rows)]


@dataclass
class Desk:
    """The server as one test sees it: a workspace of its own, default settings, no faults."""

    url: str
    clock: Path
    key: str
    client: anthropic.Anthropic
    http: httpx2.Client = field(repr=False)
    """Without the SDK, for what it would not send or not show."""

    def advance(self, seconds: float) -> None:
        """Move virtual time forward."""
        with self.clock.open("r+b") as file:
            (offset,) = struct.unpack("<d", file.read(8))
            file.seek(0)
            file.write(struct.pack("<d", offset + seconds))

    def control(self, path: str, body: Any = None) -> Any:
        """Call one of the desk's own endpoints."""
        url = f"{self.url}/_local/{path}"
        answer = self.http.get(url) if body is None else self.http.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, endpoint: str, kind: str, **others: Any) -> None:
        """Switch a fault on."""
        self.control("faults", {"endpoint": endpoint, "kind": kind, **others})

    def settings(self, **patch: Any) -> None:
        """Adjust the server."""
        self.control("settings", patch)

    def create(self, *rows: dict[str, Any]) -> str:
        """Create a batch; return its id."""
        return self.client.messages.batches.create(requests=requests(*rows)).id

    def raw(self, batch_id: str) -> httpx2.Response:
        """Return the results as they come over the wire."""
        return self.http.get(f"{self.url}/v1/messages/batches/{batch_id}/results")

    def results(self, batch_id: str) -> dict[str, Any]:
        """Return the results by custom_id."""
        lines = [json.loads(line) for line in self.raw(batch_id).text.splitlines()]
        return {line["custom_id"]: line["result"] for line in lines}

    def run(self, *rows: dict[str, Any]) -> list[Any]:
        """Create a batch, let it end, and return its results in the order of its rows."""
        batch_id = self.create(*rows)
        self.advance(600)
        results = self.results(batch_id)
        return [results[f"r-{i}"] for i in range(len(rows))]

    def row_error(self, row: dict[str, Any]) -> tuple[str, str]:
        """Return type and message of the error that a row ends with."""
        (result,) = self.run(row)
        error = result["error"]["error"]
        return error["type"], error["message"]


class Server:
    """The process, and a new workspace for whoever asks."""

    def __init__(self, url: str, clock: Path, sdk: httpx2.Client, http: httpx2.Client) -> None:
        self._url = url
        self._clock = clock
        self._sdk = sdk
        self._http = http
        self._numbers = count()

    def desk(self) -> Desk:
        """Return the server in its first state, at the start of time."""
        key = f"key-{next(self._numbers)}"
        self._clock.write_bytes(struct.pack("<d", START.timestamp() - time.time()))
        client = anthropic.Anthropic(api_key=key, base_url=self._url, max_retries=0, http_client=self._sdk)
        self._http.headers.update({"authorization": f"Bearer {key}", "anthropic-version": "2026-10-21"})
        self._http.delete(f"{self._url}/_local/faults")
        desk = Desk(self._url, self._clock, key, client, self._http)
        desk.settings(**DEFAULTS, **SETTINGS, workspaces={key: key})
        return desk


DEFAULTS: dict[str, Any] = {
    "cancel_seconds": 25,
    "progressive": False,
    "gzip": False,
    "cache_hit_rate": 1,
    "cache_within_batch": False,
    "queue_limit": 200_000,
    "max_batch_requests": 100_000,
    "max_batch_bytes": 256_000_000,
    "html_413": False,
    "usage_delay_seconds": 0,
    "keys": None,
    "retired_models": {},
}
"""What tests change, as it was before."""


@contextmanager
def serve(folder: Path, *arguments: str) -> Iterator[Server]:
    """Run a server; yield it with clients that are made once, because each reads the machine's certificates."""
    with (
        start(folder, *arguments) as (_, url, clock),
        httpx2.Client(timeout=10) as sdk,
        httpx2.Client(timeout=10) as http,
    ):
        yield Server(url, clock, sdk, http)


@contextmanager
def start(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str, Path]]:
    """Run a server; yield its process, its URL and its clock."""
    clock = folder / "clock"
    clock.write_bytes(struct.pack("<d", 0.0))
    command = [str(DESK_PYTHON), "-m", "local.batches_api", "--clock", str(clock), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["url"], clock
        finally:
            process.stdin.close()
            process.wait(timeout=10)
