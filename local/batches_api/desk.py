"""The server's state and what create, the one call that costs money, does with it."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .audit import Audit
from .billing import Use
from .clock import Clock
from .errors import ApiError
from .faults import Fault, FaultBoard
from .intake import Spool, spool
from .lifecycle import Batch
from .limits import RequestBudget
from .processing import Order, Processor, identifier, share
from .settings import Settings
from .store import Store

ARRIVAL_SECONDS = 2.0
"""Real seconds that a list waits for bodies on their way in; a client may also just be slow."""

NEVER = 1e12
"""Seconds a batch takes that never gets to its requests: not one of 100,000 within 24 hours."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how: what the headers say."""

    workspace: str
    version: str
    betas: frozenset[str]


class Desk:
    """Everything the routes share."""

    def __init__(self, clock: Clock, folder: Path, settings: Settings, seed: str | None = None) -> None:
        """Start without batches; a seed makes the ids the same every time."""
        self.clock = clock
        self.settings = settings
        self.store = Store(folder)
        self.faults = FaultBoard()
        self.audit = Audit()
        self.answered: list[Use] = []
        """What was answered at once; a batch's answers are in its files."""
        self.signed: set[tuple[str, str]] = set()
        """(access key id, IAM action) of the calls that were signed."""
        self.budget = RequestBudget()
        self.processor = Processor()
        self._seed = seed or secrets.token_hex(8)
        self._numbers = itertools.count()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._turn = asyncio.Lock()
        self._arriving: set[asyncio.Future[None]] = set()
        self._accepting: set[asyncio.Task[Batch]] = set()

    @property
    def next_index(self) -> int:
        """Which batch the next accepted create makes."""
        return len(self.store.batches) + len(self._accepting)

    def new_id(self, prefix: str) -> str:
        """Return an id that has not been used."""
        return f"{prefix}_01{identifier(self._seed, prefix, next(self._numbers))}"

    @contextmanager
    def arrival(self) -> Iterator[None]:
        """Mark a body as being on its way in."""
        arriving = asyncio.get_running_loop().create_future()
        self._arriving.add(arriving)
        try:
            yield
        finally:
            self._arriving.discard(arriving)
            arriving.set_result(None)

    async def settled(self) -> None:
        """Wait for the creates that have been sent, so that whoever looks for their batches finds them.

        With virtual time a quarter of an hour passes in milliseconds: less than a body needs to get out of the socket
        of a client that was killed behind its last byte. Against the real service that quarter of an hour is real.
        """
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=ARRIVAL_SECONDS)
        while self._accepting:
            await asyncio.wait(self._accepting)

    async def accept(self, body: Path, caller: Caller, fault: Fault | None) -> Batch:
        """Make a batch from a complete body, whether or not the client still waits for it.

        Raises:
            ApiError: create refuses the body, or the queue is full.
        """
        task = asyncio.create_task(self._accept(body, caller, fault))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return await asyncio.shield(task)

    async def _accept(self, body: Path, caller: Caller, fault: Fault | None) -> Batch:
        now = self.clock.now()  # when the last byte was here, not when the work was done
        async with self._turn:
            return await self._make(body, caller, fault, now)

    async def _make(self, body: Path, caller: Caller, fault: Fault | None, now: float) -> Batch:
        batch_id = self.new_id("msgbatch")
        folder = self.store.new_folder(batch_id)
        try:
            requests = await self._work(spool, body, folder, self.settings.max_batch_requests)
            self._admit(requests.rows, caller, now)
        except ApiError:
            self.store.discard(folder)
            raise
        order = self._order(batch_id, caller, now, fault)
        outcomes = await self._work(self.processor.process, order, requests, folder, self.settings)
        batch = self._record(order, requests, folder, outcomes)
        if fault is not None and fault.kind == "canceled":
            batch.cancel_at = batch.created_at + (fault.seconds or 0.0)
        self.store.add(batch)
        return batch

    async def _work[*Ts, T](self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run the heavy part beside the loop, one batch after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *args)

    def _admit(self, rows: int, caller: Caller, now: float) -> None:
        queued, limit = self.store.queued(caller.workspace, now), self.settings.queue_limit
        if queued + rows > limit:  # the service's own words for this are not known
            message = f"The batch queue limit of {limit} requests would be exceeded: {queued} wait, {rows} are new."
            raise ApiError(429, message, headers={"retry-after": str(self.settings.queue_retry_after)})

    def _order(self, batch_id: str, caller: Caller, now: float, fault: Fault | None) -> Order:
        duration = self.settings.duration_seconds * (1 + self.settings.jitter * share(batch_id))
        late = fault.seconds or 60.0 if fault is not None and fault.kind == "accept-late" else 0.0
        return Order(
            id=batch_id,
            workspace=caller.workspace,
            version=caller.version,
            betas=caller.betas,
            created_at=now + late,
            duration=NEVER if fault is not None and fault.kind == "all-expired" else duration,
            faults=self.faults.for_rows(len(self.store.batches)),
        )

    def _record(self, order: Order, requests: Spool, folder: Path, outcomes: bytes) -> Batch:
        return Batch(
            id=order.id,
            index=len(self.store.batches),
            workspace=order.workspace,
            created_at=order.created_at,
            duration=order.duration,
            folder=folder,
            rows=requests.rows,
            outcomes=outcomes,
            ids_sha256=requests.ids_sha256,
            first_id=requests.first_id,
            last_id=requests.last_id,
            cancel_seconds=self.settings.cancel_seconds,
        )
