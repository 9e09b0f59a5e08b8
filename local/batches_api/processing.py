"""A batch's requests → its results, once, when it is created.

Rows are processed in an order of their own (results come shuffled), each at its moment of the batch's duration. The
results file then never changes: what a cancel or the expiry cuts off is replaced while it is read.
"""

import mmap
import random
from array import array
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from . import model as stand_in
from .catalog import Catalog, Model
from .content import Json, user_text
from .faults import Fault
from .intake import Spool
from .lifecycle import CODES, EXPIRY_SECONDS
from .rows import RowError, invalid
from .settings import Settings
from .usage import Cache, CacheSession, Prompt, measure
from .validation import Rules, first_problem

RESULTS = "results.jsonl"
DIGESTS = "digests.bin"

ROW_ERRORS = {
    "overloaded": RowError("overloaded_error", "Overloaded", by_worker=True),
    "api_error": RowError("api_error", "Internal server error", by_worker=True),
}
"""What the row faults of these kinds end with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A batch to be processed."""

    id: str
    workspace: str
    version: str
    betas: frozenset[str]
    created_at: float
    duration: float
    faults: list[Fault]


@dataclass(slots=True)
class Processor:
    """What batches share: the cache, and which rows have been seen by faults that spare retries."""

    cache: Cache = field(default_factory=Cache)
    seen: dict[int, int] = field(default_factory=dict)
    """Row digest → in how many batches a fault with `first_times` has met it."""

    def process(self, order: Order, spool: Spool, folder: Path, settings: Settings) -> bytes:
        """Write a batch's results and row digests; return its outcomes."""
        job = _Job(self, order, settings)
        ranks = list(range(spool.rows))
        random.Random(order.id).shuffle(ranks)  # noqa: S311 - an order, not a secret
        outcomes, digests = bytearray(), array("Q")
        encode = msgspec.json.Encoder().encode
        with (folder / RESULTS).open("wb") as out, (folder / DIGESTS).open("wb") as digest_file:
            for rank, line in enumerate(_lines(spool, ranks)):
                row = job.row(line, order.created_at + (rank + 1) / spool.rows * order.duration)
                outcomes += CODES[row.result["type"]]
                digests.extend((row.digest, digest_of(row.custom_id.encode())))
                out.write(encode({"custom_id": row.custom_id, "result": row.result}) + b"\n")
            digests.tofile(digest_file)
        job.close()
        return bytes(outcomes)


def digest_of(data: bytes) -> int:
    """Return 64 bits that stand for these bytes."""
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def share(*parts: object) -> float:
    """Return a number in 0..1 that these parts fix."""
    return digest_of("\0".join(map(str, parts)).encode()) / 2**64


def _lines(spool: Spool, ranks: list[int]) -> Iterator[bytes]:
    with spool.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for index in ranks:
            yield data[spool.offsets[index] : spool.offsets[index + 1]]


@dataclass(frozen=True, slots=True)
class Row:
    """A processed request."""

    custom_id: str
    digest: int
    """Of `params`, keys sorted: the same request under another custom_id has the same."""
    result: Json


class _Job:
    """One batch being processed."""

    def __init__(self, processor: Processor, order: Order, settings: Settings) -> None:
        self._processor = processor
        self._order = order
        self._catalog = Catalog(settings.retired_models)
        self._met: set[int] = set()
        processor.cache.forget(order.created_at)
        self._cache = CacheSession(
            processor.cache,
            f"batch/{order.workspace}/",
            hit_rate=settings.cache_hit_rate,
            see_own=settings.cache_within_batch,
        )
        self._decode = msgspec.json.Decoder().decode
        self._sorted = msgspec.json.Encoder(order="sorted").encode

    def close(self) -> None:
        """Let the batches that follow see what this one left."""
        self._cache.close()
        for digest in self._met:
            self._processor.seen[digest] = self._processor.seen.get(digest, 0) + 1

    def row(self, line: bytes, now: float) -> Row:
        """Process one request."""
        request = self._decode(line)
        custom_id, params = request["custom_id"], request["params"]
        digest = digest_of(self._sorted(params))
        if now > self._order.created_at + EXPIRY_SECONDS:
            return Row(custom_id, digest, {"type": "expired"})
        return Row(custom_id, digest, self._result(custom_id, params, digest, now))

    def _result(self, custom_id: str, params: Json, digest: int, now: float) -> Json:
        rules = Rules(self._order.version, self._order.betas, batch=True, catalog=self._catalog, now=now)
        problem = first_problem(params, rules)
        if problem is not None:
            return self._errored(custom_id, problem)
        model = self._catalog.answering(params["model"], now)
        assert model is not None
        prompt = measure(params)
        fault = self._fault(custom_id, params, digest)
        problem = too_long(prompt, model) or _fault_error(fault)
        if problem is not None:
            return self._errored(custom_id, problem)
        kind = "" if fault is None else fault.kind
        if kind in {"expired", "canceled"}:
            return {"type": kind}
        answer = _answer(params, model, kind)
        use = self._cache.charge(prompt, model.id, model.min_cache_tokens, now, share(self._order.id, custom_id))
        usage = use.usage(prompt, answer.output_tokens, answer.thinking_tokens, "batch")
        message_id = f"msg_01{identifier(self._order.id, custom_id)}"
        return {"type": "succeeded", "message": answer.message(message_id, model.id, usage)}

    def _errored(self, custom_id: str, problem: RowError) -> Json:
        return problem.result(f"workerreq_{identifier(self._order.id, custom_id)}")

    def _fault(self, custom_id: str, params: Json, digest: int) -> Fault | None:
        """Return the fault that this row meets, if any."""
        for fault in self._order.faults:
            if not custom_id.endswith(fault.custom_id_suffix) or share(fault.kind, digest) >= fault.rate:
                continue
            if fault.text and fault.text not in user_text(params):
                continue
            if fault.first_times is not None:
                self._met.add(digest)
                if self._processor.seen.get(digest, 0) >= fault.first_times:
                    continue
            return fault
        return None


def _fault_error(fault: Fault | None) -> RowError | None:
    """Return the error that a row fault stands for."""
    if fault is None or fault.kind != "errored":
        return None if fault is None else ROW_ERRORS.get(fault.kind)
    return RowError(fault.error_type or "invalid_request_error", fault.message or "Invalid request")


def _answer(params: Json, model: Model, kind: str) -> stand_in.Answer:
    if kind == "refusal":
        return stand_in.REFUSAL
    return stand_in.answer(
        params, model, shout=kind == "enum-case", broken=kind == "invalid-json", cut=kind == "max_tokens"
    )


def too_long(prompt: Prompt, model: Model) -> RowError | None:
    """Return the error for a prompt that does not fit the context window (wording seen in public threads)."""
    if prompt.tokens <= model.max_input_tokens:
        return None
    return invalid(f"prompt is too long: {prompt.tokens} tokens > {model.max_input_tokens} maximum")


def identifier(*parts: Any) -> str:
    """Return 22 characters, as the service's ids have after their `01`, that these parts fix."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=16).digest()
    return b64encode(digest, altchars=b"Zz")[:22].decode()
