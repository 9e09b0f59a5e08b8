"""What the use cases need from the world. Adapters provide it; tests pass fakes.

Everything here raises `errors.Conflict` where a condition did not hold; the adapters' own errors pass through.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Protocol

import msgspec

from nightshift.events import Event
from nightshift.model import (
    Archive,
    BatchId,
    BatchView,
    Budget,
    Caching,
    Chunk,
    Claim,
    Estimate,
    Hold,
    HoldCode,
    InputRef,
    Intent,
    IntentNote,
    JobRef,
    Run,
    RunId,
    Tally,
    Verifying,
    Worker,
)
from nightshift.money import PriceSheet

type Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""


class Inputs(Protocol):
    """The input bucket: versioned objects under `inbox/<job>/`, job files under `jobs/`. Read only."""

    def pin(self, key: str, version_id: str | None = None) -> InputRef:
        """Return one version of an object, the newest where none is named.

        Raises:
            BadInput: GONE, ARCHIVED, ACCESS_DENIED.
        """
        ...

    def open(self, ref: InputRef, *, seekable: bool = False) -> AbstractContextManager[BinaryIO]:
        """Open the pinned version for reading, as stored (still compressed), from its start to its end.

        With `seekable`, anywhere in it: each read that is not buffered is a request of its own, so it is for formats
        that need it. Same errors as `pin`; with `seekable`, any read may raise them.
        """
        ...

    def newest(self, prefix: str) -> Iterable[InputRef]:
        """Return the current version of each object under a prefix, newest first; folder markers are left out."""
        ...

    def job(self, name: str, version_id: str | None = None) -> tuple[JobRef, bytes]:
        """Return a job file, the newest version where none is named.

        Raises:
            BadJob: there is no such file; the message names the key it looked for.
        """
        ...

    def jobs(self) -> Sequence[str]:
        """Return the names of all job files."""
        ...


class Upload(Protocol):
    """An object being written, in constant memory. Left without `commit`, nothing of it exists."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        ...

    def commit(self, *, once: bool) -> bool:
        """Make the object exist. With `once`, return False where one exists already, and leave that one alone."""
        ...


class Outputs(Protocol):
    """The output bucket: everything a run writes, below `runs/<run_id>/`."""

    def upload(self, key: str) -> AbstractContextManager[Upload]:
        """Start writing an object."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write a small object, over whatever is there."""
        ...

    def tag(self, key: str) -> str:
        """Return what tells an object from its successors; empty where there is none."""
        ...

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write a small object in place of the one that had this tag (empty: of none); False where that is gone."""
        ...

    def open(self, key: str, start: int = 0, size: int | None = None) -> AbstractContextManager[BinaryIO]:
        """Open an object for reading, from byte `start`: the rest of it, or `size` bytes, or fewer at its end."""
        ...

    def keys(self, prefix: str) -> Iterable[str]:
        """Return the keys under a prefix, in order."""
        ...

    def clear(self, prefix: str) -> None:
        """Delete all objects under a prefix. Only a person's credentials may: no function has this right."""
        ...

    def uri(self, key: str) -> str:
        """Return an object's address for people and other tools: `s3://<bucket>/<key>`."""
        ...


class Ledger(Protocol):
    """The table of runs. Every read is consistent but for lists of runs; each edge is conditional on what it leaves."""

    # --- runs
    def create_run(self, run: Run) -> bool:
        """Put the run and claim its inputs, in one transaction; False where the run exists already.

        Raises:
            Conflict: another run has one of the inputs.
        """
        ...

    def run(self, run_id: RunId) -> Run:
        """Return a run, or raise RunNotFound."""
        ...

    def runs(self, limit: int) -> Sequence[Run]:
        """Return the newest runs, newest first."""
        ...

    def runs_since(self, since: datetime) -> Sequence[Run]:
        """Return the runs created since then, newest first, as an index has them: a second or so old."""
        ...

    def open_runs(self) -> Sequence[Run]:
        """Return the runs that are not done, whatever their age, newest first, as an index has them."""
        ...

    def unclaimed(self, refs: Iterable[InputRef]) -> Sequence[InputRef]:
        """Return those input versions that no run has claimed, in the order given."""
        ...

    def work_until(self, run_id: RunId, until: datetime | None) -> None:
        """Say that a submit outside the machine is at work until then (None: no longer)."""
        ...

    def hold(self, run_id: RunId, hold: Hold) -> bool:
        """Hold the run; False where it is held already (the first reason stands)."""
        ...

    def cancel(self, run_id: RunId, hold: Hold) -> bool:
        """Hold the run, over whatever hold there is, and forget its fruitless steps; False where it is done."""
        ...

    def release(self, run: Run, *, approve: HoldCode | None) -> Run:
        """Lift the hold, approve of its reason where one is given, forget failures so far, and return the run.

        Raises:
            Conflict: the run is held for something else by now, or not any more.
        """
        ...

    def replan(self, run: Run, job: JobRef, at: datetime) -> None:
        """Forget the plan of a held run that has sent nothing, note when, and pin another version of its job.

        Each transaction deletes chunks only as long as they are PLANNED, and the run has this hold and this plan.

        Raises:
            Conflict: something was sent, money is still reserved, or the run is not held any more, or anew.
        """
        ...

    def next_execution(self, run_id: RunId, number: int) -> bool:
        """Move the loop from execution `number - 1` to `number`; False where it has moved already."""
        ...

    def restart(self, run: Run, fingerprint: str) -> bool:
        """Move the loop on as `next_execution` does, and count that it had died at this fingerprint of the run."""
        ...

    def looked(self, run: Run) -> None:
        """Store what `status` keeps: changed_at, progress, dispatched, fruitless, retry_at, unsent_since."""
        ...

    def reported(self, run_id: RunId, fingerprint: str, *, done: bool) -> None:
        """Record that the report was written at this fingerprint; with `done`, end the run."""
        ...

    def batches_deleted(self, run_id: RunId) -> None:
        """Record that the run's batches are deleted at the API."""
        ...

    # --- nights
    def night_due(self, at: datetime) -> None:
        """Write down, if nobody has, that the schedule was meant to fire then."""
        ...

    def night_opened(self, at: datetime) -> None:
        """Write down that the runs of that night are opened."""
        ...

    def nights(self, since: datetime) -> Mapping[datetime, bool]:
        """Return the nights that were due or opened since then: scheduled time → opened."""
        ...

    # --- the plan
    def plan_chunk(self, chunk: Chunk) -> bool:
        """Put a PLANNED chunk if absent; False where it stands already.

        Raises:
            Conflict: the run is planned already, for this generation; or is held; or has another plan by now.
        """
        ...

    def claim_digest(self, job: str, digest: str, run_id: RunId) -> RunId:
        """Claim a plan's digest for a run, if nobody has; return whose it is."""
        ...

    def pin(self, run: Run, *, prices: PriceSheet | None, caching: Caching, pilot: int) -> Run:
        """Store what every request of the plan depends on, if nobody has; return the run as it then is.

        Raises:
            Conflict: the run is held, or has another plan by now.
        """
        ...

    def finish_plan(self, run: Run) -> None:
        """Store what the plan and its job say of the run, and `planned`, once."""
        ...

    # --- money
    def budget(self, month: str) -> Budget:
        """Return a month's money; `month` as `yyyy-mm`."""
        ...

    def reserve(self, run: Run, *, per_row: int, rows: int, month: str, cap: int | None) -> bool:
        """One transaction, once: reserve `rows * per_row` for the run, and for the month if its cap leaves room.

        Args:
            run: as the ledger has it; planned, not held, nothing reserved.
            per_row: picodollars of one row.
            rows: those that have not ended.
            month: `yyyy-mm`.
            cap: of the month, in picodollars; None: no cap.

        Returns:
            False where the month has no room for it.

        Raises:
            Conflict: the run has money by now, or is held.
        """
        ...

    def revise(self, run: Run, estimate: Estimate | None, *, per_row: int, rows: int, cap: int | None) -> bool:
        """One transaction, once: the pilot is judged; reserve `rows * per_row` in place of what is reserved.

        Same arguments, result and errors as `reserve`; more than before needs room in the month.
        """
        ...

    def settle_nothing_more(self, run: Run) -> None:
        """Release what is reserved for a run that is held or done, once; a no-op where that changed meanwhile."""
        ...

    def start_verify(self, run: Run, verifying: Verifying, cap: int | None) -> bool:
        """One transaction: a run that is done gets its one verifier, and `said` is reserved in the month.

        Args:
            run: the run.
            verifying: who, and how much.
            cap: of the month, in picodollars; None: no cap.

        Returns:
            False where the month has no room for it.

        Raises:
            Conflict: the run is not done, or somebody verifies it.
        """
        ...

    def end_verify(self, run: Run, spent: int, *, done: bool) -> None:
        """One transaction, once: the run's verifier is gone, and what it had reserved becomes what it cost.

        Args:
            run: with its verifier.
            spent: picodollars that all samples of the run have cost by now.
            done: the job has what it asked for.

        Raises:
            Conflict: the run has another verifier by now, or none.
        """
        ...

    def next_generation(self, run: Run, *, anew: bool) -> bool:
        """One transaction, once: the next generation of the run begins; its chunks may be sent from then on.

        Args:
            run: as the ledger has it: nothing of it is in flight.
            anew: its rows cost more than was reserved for them. That is released, and more is to be reserved.

        Returns:
            False where the generation, or what is reserved, has changed meanwhile.
        """
        ...

    def chunks(self, run_id: RunId) -> Sequence[Chunk]:
        """Return all chunks of a run, in order."""
        ...

    # --- sending
    def intent(self) -> Intent | None:
        """Return the create that may be under way in this stack, whichever run's it is."""
        ...

    def start_send(self, chunk: Chunk, intent: Intent) -> None:
        """One transaction: put the intent if absent; PLANNED → SENDING (attempt + 1); the run is open and not held.

        The chunk's plan is the one that was read: a run that was planned anew begins at attempt 0 again.

        Raises:
            Conflict: any of these did not hold, and the standing intent is not this very one.
        """
        ...

    def note_intent(self, intent: Intent, note: IntentNote, at: datetime) -> None:
        """Write down what the living sender saw; a no-op where the intent is no longer its own."""
        ...

    def none_seen(self, intent: Intent, at: datetime) -> None:
        """Write down that reconciliation found no candidate."""
        ...

    def postpone(self, chunk: Chunk, *, not_before: datetime, error: str) -> None:
        """Keep a PLANNED chunk back until then."""
        ...

    def look_again(self, intent: Intent, at: datetime) -> None:
        """Write down when reconciliation shall look again."""
        ...

    def sent(self, intent: Intent, batch: BatchView, *, adopted: bool) -> None:
        """One transaction: intent deleted if still this one; SENDING → SENT; the batch claimed if it is no chunk's.

        Raises:
            Conflict: somebody else settled it, unless it was settled in exactly this way.
        """
        ...

    def not_sent(self, intent: Intent, *, not_before: datetime | None, error: str) -> None:
        """One transaction: intent deleted if still this one; SENDING → PLANNED.

        Raises:
            Conflict: somebody else settled it.
        """
        ...

    def claims(self, ids: Iterable[BatchId]) -> Mapping[BatchId, Claim]:
        """Return the claims of those batches that have one, be it that they were found not to be ours."""
        ...

    def salvage(self, chunk: Chunk, batch: BatchView) -> None:
        """One transaction: PLANNED → SENT with a batch that was paid for already; its claim, unless it is a chunk's.

        Raises:
            Conflict: the chunk, its attempt or its plan is another by now, or somebody has the batch.
        """
        ...

    def swap(self, chunk: Chunk, batch: BatchView) -> None:
        """One transaction: a SENT chunk takes this batch in place of its own, whose claim is marked superseded.

        One that it had adopted, and not read, is marked foreign: whose it is shows when it has ended.

        Raises:
            Conflict: the chunk has moved on, or somebody has the batch.
        """
        ...

    # --- collecting
    def ended(self, chunk: Chunk, batch: BatchView) -> None:
        """SENT → ENDED, with the batch's counts, if it still is the chunk's batch."""
        ...

    def take(self, chunk: Chunk, worker: Worker, now: datetime) -> Chunk | None:
        """Take an ENDED or ARCHIVED chunk, where nobody has it or their time has passed; else None."""
        ...

    def archived(self, chunk: Chunk, worker: Worker, archive: Archive) -> Chunk:
        """ENDED → ARCHIVED, if the chunk is still this worker's. Returns the chunk as it now is."""
        ...

    def applied(self, chunk: Chunk, worker: Worker, offset: int, tally: Tally) -> Chunk:
        """Move the checkpoint from `chunk.applied` to `offset` and store the tally so far, if still this worker's."""
        ...

    def collected(self, chunk: Chunk, worker: Worker, run: Run, month: str) -> None:
        """One transaction: ARCHIVED → COLLECTED, and the chunk's money settled on the run and its month.

        What its ended rows had reserved becomes what they cost.

        Args:
            chunk: applied to its archive's end.
            worker: has it.
            run: as the ledger has it.
            month: `yyyy-mm`, of a run that has no money reserved any more.

        Raises:
            Conflict: the chunk is not this worker's any more, or the run's reserve was revised meanwhile.
        """
        ...

    def let_go(self, chunk: Chunk, worker: Worker) -> None:
        """Give a chunk back unfinished, in good order."""
        ...

    def failed(self, chunk: Chunk, *, not_before: datetime, error: str) -> None:
        """Count a failure on a chunk (in its present state), drop its worker, and keep it back until then."""
        ...

    def disown(self, chunk: Chunk, worker: Worker, intent: Intent) -> None:
        """The batch is not ours: one transaction puts the intent again, ENDED → SENDING; its claim stays, marked.

        Raises:
            Conflict: another intent stands; try again later.
        """
        ...


class RequestBody(Protocol):
    """A create's body: sized, and readable again from the start."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    @property
    def rows(self) -> int:
        """Requests in it."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body from its first byte, each time."""
        ...


class BatchApi(Protocol):
    """The Message Batches API. Raises the errors below `errors.ApiError` and nothing else."""

    def probe(self) -> None:
        """Prove that the key works, at no cost."""
        ...

    def create(self, body: RequestBody, timeout: float, betas: str) -> BatchView:
        """Create a batch: at most one POST, whatever happens.

        Args:
            body: its requests.
            timeout: in seconds.
            betas: value of the `anthropic-beta` header; empty: none.
        """
        ...

    def batch(self, batch_id: BatchId) -> BatchView:
        """Return a batch."""
        ...

    def batches(self, since: datetime) -> Iterator[BatchView]:
        """Yield batches from the newest back to those created before `since`, exclusive."""
        ...

    def cancel(self, batch_id: BatchId) -> BatchView:
        """Ask for a batch to be canceled: what it has done by then is billed and can be had, once it has ended."""
        ...

    def delete(self, batch_id: BatchId) -> None:
        """Delete a batch that has ended, with its results; one that is not there is deleted already."""
        ...

    def count_tokens(self, params: Mapping[str, Any], betas: str) -> int:
        """Return the tokens of a request's prompt, as they would be billed. Free of charge. `betas` as in `create`."""
        ...

    def message(self, params: bytes, timeout: float, betas: str) -> Mapping[str, Any]:
        """Ask one request and return the API's message: at most one POST that can cost anything, at the full price.

        Args:
            params: the request, as JSON.
            timeout: seconds of silence that are waited out.
            betas: as in `create`.
        """
        ...

    def results(self, batch: BatchView) -> AbstractContextManager[Iterator[bytes]]:
        """Open a batch's results as blocks of bytes, as they come: lines may be split anywhere."""
        ...


class TicketUpdate(msgspec.Struct, frozen=True):
    """One answer on its way to the ticket table."""

    id: str
    attributes: Mapping[str, Any]
    """Attribute name → value: str, int, Decimal, bool, None, list or dict of these."""
    order: str
    """`nightshift_order`: strictly newer wins."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of ticket updates."""

    written: int = 0
    unchanged: int = 0
    """An equal or newer answer stood there."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Ticket id → why the table will not take its update, however often it is tried. Never holds row data."""


class Tickets(Protocol):
    """The ticket table: the user's own, or the stack's."""

    def write(self, key: str, updates: Sequence[TicketUpdate], *, numeric: bool = False) -> Written:
        """Apply updates, each if strictly newer than what stands there.

        Args:
            key: the table's key attribute.
            updates: what to write.
            numeric: the key is a number.
        """
        ...

    def asked(self, key: str, ids: Collection[str], *, numeric: bool = False) -> Mapping[str, str]:
        """Return what tickets' answers are the answers to: ticket id → `nightshift_asked`, of those that have it.

        Args:
            key: the table's key attribute.
            ids: of at most 100 tickets.
            numeric: the key is a number.
        """
        ...


class Executions(Protocol):
    """The state machine."""

    def start(self, run_id: RunId, number: int) -> None:
        """Start `<run_id>-c<number>`; a no-op where it runs or has run."""
        ...

    def alive(self, run_id: RunId, number: int) -> bool:
        """Tell whether `<run_id>-c<number>` runs. One that was started a moment ago may not be seen yet."""
        ...


class Diary(Protocol):
    """What was told of each run: keys of facts."""

    def told(self, run_id: RunId) -> frozenset[str]:
        """Return the keys of the facts that were told of a run."""
        ...

    def tell(self, run_id: RunId, keys: Iterable[str]) -> frozenset[str]:
        """Write down that these were told; return those of them that nobody had written down."""
        ...


class Bus(Protocol):
    """The event bus."""

    def put(self, events: Sequence[Event]) -> None:
        """Put events, in order.

        Raises:
            EventsNotTaken: the bus took some, or none: put all of them again.
        """
        ...
