"""Buckets in memory, for the use cases. They keep the promises of `ports`, write-once included, and nothing else."""

import hashlib
import io
from collections.abc import Buffer, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from nightshift.errors import BadInput, BadJob
from nightshift.model import Caching, Chunk, Hold, InputRef, JobRef, Run, RunId
from nightshift.money import PriceSheet
from tests.unit.conftest import START


class OneWay(io.RawIOBase):
    """A stream that goes from its start to its end, as an object's body does."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        room = memoryview(buffer)
        data = self._source.read(len(room))
        room[: len(data)] = data
        return len(data)


@dataclass
class MemoryInputs:
    """The input bucket. `files` maps keys to bytes; every object has one version, `v1`."""

    files: dict[str, bytes] = field(default_factory=dict)
    bucket: str = "inputs"

    def pin(self, key: str, version_id: str | None = None) -> InputRef:
        if key not in self.files or version_id not in {None, "v1"}:
            raise BadInput("GONE", f"{key} is not there")
        return InputRef(self.bucket, key, "v1", len(self.files[key]), START)

    @contextmanager
    def open(self, ref: InputRef, *, seekable: bool = False) -> Iterator[BinaryIO]:
        self.pin(ref.key, ref.version_id)
        stream = io.BytesIO(self.files[ref.key])
        yield stream if seekable else cast("BinaryIO", io.BufferedReader(OneWay(stream)))

    def newest(self, prefix: str) -> Iterable[InputRef]:
        return [self.pin(key) for key in self.files if key.startswith(prefix) and not key.endswith("/")]

    def job(self, name: str, version_id: str | None = None) -> tuple[JobRef, bytes]:
        key = f"jobs/{name}.yaml"
        if key not in self.files or version_id not in {None, "v1"}:
            raise BadJob(f"no job file {key}")
        return JobRef(name, key, "v1"), self.files[key]

    def jobs(self) -> Sequence[str]:
        return [key[5:-5] for key in self.files if key.startswith("jobs/") and key.endswith(".yaml")]


@dataclass
class MemoryUpload:
    """An object being written to a MemoryOutputs."""

    outputs: "MemoryOutputs"
    key: str
    data: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self, *, once: bool) -> bool:
        if once and self.key in self.outputs.files:
            return False
        self.outputs.write(self.key, bytes(self.data))
        return True


@dataclass
class MemoryOutputs:
    """The output bucket. `before_write`, where it is set, sees every key just before it exists, and may raise."""

    files: dict[str, bytes] = field(default_factory=dict)
    before_write: Callable[[str], None] = lambda _key: None

    def write(self, key: str, data: bytes) -> None:
        self.before_write(key)
        self.files[key] = data

    @contextmanager
    def upload(self, key: str) -> Iterator[MemoryUpload]:
        yield MemoryUpload(self, key)

    def put(self, key: str, data: bytes) -> None:
        self.write(key, data)

    def tag(self, key: str) -> str:
        return hashlib.sha256(self.files[key]).hexdigest() if key in self.files else ""

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        if self.tag(key) != tag:
            return False
        self.write(key, data)
        return True

    @contextmanager
    def open(self, key: str, start: int = 0, size: int | None = None) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.files[key][start : None if size is None else start + size])

    def keys(self, prefix: str) -> Iterable[str]:
        return sorted(key for key in self.files if key.startswith(prefix))

    def clear(self, prefix: str) -> None:
        for key in list(self.keys(prefix)):
            del self.files[key]

    def uri(self, key: str) -> str:
        return f"s3://outputs/{key}"


@dataclass
class Started:
    """`ports.Executions` that remembers. What was started lives until it is `dead`."""

    names: list[tuple[RunId, int]] = field(default_factory=list)
    dead: set[tuple[RunId, int]] = field(default_factory=set)

    def start(self, run_id: RunId, number: int) -> None:
        self.names.append((run_id, number))

    def alive(self, run_id: RunId, number: int) -> bool:
        return (run_id, number) in self.names and (run_id, number) not in self.dead


@dataclass
class MemoryPlanLedger:
    """As much of the ledger as planning needs. `before_write` sees every write, and may raise."""

    held: dict[str, Hold] = field(default_factory=dict)
    planned: dict[str, Chunk] = field(default_factory=dict)
    digests: dict[str, RunId] = field(default_factory=dict)
    pinned: Run | None = None
    finished: Run | None = None
    generation: int = 0
    reserved_anew: bool = False
    before_write: Callable[[str], None] = lambda _what: None

    def hold(self, run_id: RunId, hold: Hold) -> bool:
        self.before_write("hold")
        return self.held.setdefault(run_id, hold) is hold

    def pin(self, run: Run, *, prices: PriceSheet | None, caching: Caching, pilot: int) -> Run:
        self.before_write("pin")
        if self.pinned is None:
            self.pinned = replace(run, prices=prices, caching=caching, pilot=pilot)
        return self.pinned

    def chunks(self, _run_id: RunId) -> Sequence[Chunk]:
        return [self.planned[key] for key in sorted(self.planned)]

    def plan_chunk(self, chunk: Chunk) -> bool:
        self.before_write(chunk.id)
        return self.planned.setdefault(chunk.id, chunk) is chunk

    def claim_digest(self, job: str, digest: str, run_id: RunId) -> RunId:
        self.before_write("digest")
        return self.digests.setdefault(f"{job}#{digest}", run_id)

    def finish_plan(self, run: Run) -> None:
        self.before_write("finish")
        self.finished = run

    def next_generation(self, run: Run, *, anew: bool) -> bool:
        self.before_write("generation")
        self.generation, self.reserved_anew = run.generation + 1, anew
        return True
