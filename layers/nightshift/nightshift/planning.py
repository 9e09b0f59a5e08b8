"""Planning: a run's inputs → chunks of exact request bytes, before anything costs money.

Every file is write-once and a function of the pinned inputs and the pinned job, so planning can be killed anywhere, and
done twice at once: it goes on behind the last chunk that the ledger has, and comes to the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from nightshift import content, run_files
from nightshift.caching import Plan
from nightshift.errors import BadInput, BadJob, NoPrice
from nightshift.estimating import Estimator
from nightshift.input_codes import InputCode, RowFault
from nightshift.job import Batch, Job, parse_job
from nightshift.manifests import listed
from nightshift.model import Hold, HoldCode, InputRef, PlannedRow, Reject, Row, RowClass, Run, Tally, chunk_id
from nightshift.money import PriceSheet, amount_of
from nightshift.plan_files import Draft, planned_rows
from nightshift.plan_state import PlanDigest, Seen
from nightshift.ports import Clock, Inputs, Ledger, Outputs, Tickets
from nightshift.records import InputSpec
from nightshift.requests import Renderer
from nightshift.retry_planning import plan_retries
from nightshift.rows import check, read, refuse_file, reject_row
from nightshift.skipping import Skipper

_RESERVE = timedelta(seconds=120)
"""With less time than this, no further chunk is begun: the largest takes about 15 s, and S3 may have a bad day."""
_MOST_FAULTS = 10
"""Of a manifest, that are told."""


class _HeldError(Exception):
    """The run is to be held. Never leaves this module."""

    def __init__(self, code: HoldCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(slots=True)
class _Work:
    """One planning of one run: what it works with, and how far it is."""

    run: Run
    job: Job
    spec: InputSpec
    renderer: Renderer
    digest: PlanDigest
    counts: dict[int, int | BadInput] = field(default_factory=dict)
    """Index of an input file → its records, or why it is refused."""
    seen: Seen = field(default_factory=Seen)
    chunks: int = 0
    cursor: tuple[int, int] = (0, 0)
    """See `Chunk.cursor`."""
    rejects: Counter[RowClass] = field(default_factory=Counter)
    leftover: Tally = field(default_factory=Tally)
    refusals: list[str] = field(default_factory=list)
    """Of files that this invocation met."""

    @classmethod
    def start(cls, run: Run, job: Job) -> "_Work":
        spec, renderer = InputSpec.of(job), Renderer(job, run.caching.ttl if run.caching else "")
        return cls(run, job, spec, renderer, PlanDigest(renderer.digest, with_ids=spec.id is not None))

    @property
    def batch(self) -> Batch:
        """How large the next chunk may be: the first is the pilot, if there is one."""
        if self.chunks or not self.run.pilot:
            return self.job.batch
        return self.job.batch.model_copy(update={"max_rows": min(self.run.pilot, self.job.batch.max_rows)})

    @property
    def records(self) -> int:
        """Records consumed: every one is a planned row or a reject."""
        return self.digest.rows + self.rejects.total()

    def planned(self, row: Row | PlannedRow) -> None:
        """Count a row that is in a chunk."""
        self.digest.add(row)
        if self.spec.id is not None:  # row numbers cannot come twice
            self.seen.add(row)

    def hold(self, code: HoldCode, reason: str) -> None:
        """Raise _HeldError, unless a person has waved this reason through."""
        if code not in self.run.approved:
            raise _HeldError(code, reason)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans runs."""

    ledger: Ledger
    inputs: Inputs
    outputs: Outputs
    clock: Clock
    estimator: Estimator
    price_sheet: Callable[[str, date], PriceSheet]
    """Returns a model's prices on a day, or raises NoPrice."""
    tickets: Tickets | None = None
    """Where `skip: answered` looks; None: it skips nothing."""

    def plan(self, run: Run, deadline: datetime) -> bool:
        """Plan a run as far as the time allows.

        Args:
            run: as the ledger has it; not held, not planned.
            deadline: when this invocation must be dead.

        Returns:
            True when the run is planned; False when there is more to do, or the run is held now.

        Raises:
            Conflict: somebody else has finished this plan, or a file of it stands there with other content.
        """
        try:
            work = self._start(run)
            self._check_manifest(work)
            if not self._fill(work, deadline):
                return False
            self._finish(work, deadline)
        except BadJob as error:
            held = _HeldError(HoldCode.BAD_JOB, str(error))
        except _HeldError as error:
            held = error
        else:
            return True
        self.ledger.hold(run.run_id, Hold(held.code, str(held), self.clock()))
        return False

    def _start(self, run: Run) -> _Work:
        """Pin the job, and take up what earlier invocations have planned."""
        # A planner that was frozen meanwhile may meet retries: their cursor is nowhere.
        chunks = [chunk for chunk in self.ledger.chunks(run.run_id) if chunk.generation == 0]
        _, text = self.inputs.job(run.job.name, run.job.version_id)
        # A job that was accepted when its first chunk was planned stays accepted.
        today = None if chunks else self.clock().date()
        job = parse_job(text, name=run.job.name, key=run.job.key, today=today)
        self.outputs.put(run_files.job(run.run_id, run.plan), text)
        counts: dict[int, int | BadInput] = {}
        if run.caching is None:
            run = self._pin(run, job, counts)
        work = _Work.start(run, job)
        work.counts = counts
        for chunk in chunks:
            for row in planned_rows(self.outputs, chunk):
                work.planned(row)
            work.rejects.update(chunk.planned.rows)
            work.cursor = chunk.cursor
            work.chunks += 1
        return work

    def _pin(self, run: Run, job: Job, counts: dict[int, int | BadInput]) -> Run:
        """Settle what every request depends on, once: the prices, the pilot, and the cache breakpoint."""
        prices = self._prices(run, job)
        for index in range(len(run.inputs)):
            self._count(run, InputSpec.of(job), counts, index)
        rows = sum(count for count in counts.values() if isinstance(count, int))
        pilot = job.pilot.rows if job.pilot is not None and rows > max(job.pilot.above, job.pilot.rows) else 0
        caching = self.estimator.caching(Plan(job, prices, rows, pilot))
        return self.ledger.pin(run, prices=prices, caching=caching, pilot=pilot)

    def _prices(self, run: Run, job: Job) -> PriceSheet | None:
        try:
            return self.price_sheet(job.model, self.clock().date())
        except NoPrice as error:
            if job.limits.unpriced == "send" or HoldCode.NO_PRICE in run.approved:
                return None
            reason = f"{error}, so what the run costs can be neither estimated nor capped: take another model, or say "
            ways = f"`limits: {{unpriced: send}}` in {run.job.key}, or `nightshift resume {run.run_id} --approve`"
            raise _HeldError(HoldCode.NO_PRICE, f"{reason}{ways}") from None

    def _check_manifest(self, work: _Work) -> None:
        """Hold a run whose files are not what its manifest says, before the first is read for good."""
        run = work.run
        if run.manifest is None or work.chunks:
            return
        if faults := list(self._mismatches(work, run.manifest)):
            told = [
                *faults[:_MOST_FAULTS],
                *[f"… and {len(faults) - _MOST_FAULTS} more"] * (len(faults) > _MOST_FAULTS),
            ]
            reason = "\n".join([f"nothing was sent, because of {run.manifest.key}:", *told])
            mend = f"{reason}\nUpload what is missing, then the manifest again: that is a new run."
            if not run.files:
                raise _HeldError(HoldCode.MANIFEST_MISMATCH, mend)
            work.hold(
                HoldCode.MANIFEST_MISMATCH,
                f"{mend} Or send what is there with `nightshift resume {run.run_id} --approve`.",
            )

    def _mismatches(self, work: _Work, manifest: InputRef) -> Iterator[str]:
        """Yield what is not as the manifest says."""
        try:
            files = listed(self.inputs, manifest)
        except BadInput as error:
            yield f"it is no manifest: {error.detail}"
            return
        there = {ref.key: index for index, ref in enumerate(work.run.inputs)}
        for key, said in files:
            if key not in there:
                yield f"{key} was not there, or could not be read, when the manifest came"
                continue
            size, records = work.run.inputs[there[key]].size, self._count(work.run, work.spec, work.counts, there[key])
            if said.size not in {None, size}:
                yield f"{key} has {size:,} bytes, and should have {said.size:,}"
            elif isinstance(records, BadInput):
                yield f"{key}: {records}"
            elif said.rows not in {None, records}:
                yield f"{key} has {records:,} rows, and should have {said.rows:,}"

    def _count(self, run: Run, spec: InputSpec, counts: dict[int, int | BadInput], index: int) -> int | BadInput:
        """Return an input's records, or why it is refused; it is read once for that."""
        if run.manifest and not index:
            return 0
        if index not in counts:
            try:
                content.check_size(run.inputs[index].size)
                with self.inputs.open(run.inputs[index], seekable=spec.seekable) as stream:
                    counts[index] = check(stream, spec)
            except BadInput as error:
                counts[index] = error
        return counts[index]

    def _fill(self, work: _Work, deadline: datetime) -> bool:
        """Cut the rest of the rows into chunks; False where time ran out."""
        with closing(self._rows(work)) as rows:
            item = next(rows, None)
            while item is not None:
                name = chunk_id(0, work.chunks + 1)
                with Draft(self.outputs, work.run, name, work.batch, work.job.beta_header) as draft:
                    while item is not None and self._take(work, draft, item):
                        item = next(rows, None)
                    self._close(work, draft)
                if item is not None and self.clock() + _RESERVE > deadline:
                    return False
        return True

    def _rows(self, work: _Work) -> Generator[Row | Reject]:
        """Yield what is behind the cursor. A file is read whole before the first of its rows."""
        start, after = work.cursor
        skipper = Skipper.of(self.outputs, self.tickets, work.run, work.job)
        for index, ref in enumerate(work.run.inputs[start:], start):
            if not after:
                records = self._count(work.run, work.spec, work.counts, index)
                if isinstance(records, BadInput):
                    work.refusals.append(f"{ref.key}: {records}")
                    yield refuse_file(records, index)
                    continue
                if not records:  # a manifest: files without rows are refused
                    continue
                self._check_rows(work, ref.key, records)
            with self.inputs.open(ref, seekable=work.spec.seekable) as stream:
                rows = read(stream, work.spec, file=index, digest=ref.digest, after=after)
                yield from skipper.through(rows) if skipper is not None else rows
            after = 0

    def _take(self, work: _Work, draft: Draft, item: Row | Reject) -> bool:
        """Put a row or a reject into a chunk; False where it is full."""
        if isinstance(item, Row):
            fate = self._judge(work, item)
            if isinstance(fate, Reject):
                draft.reject(fate)
                work.rejects[fate.row_class] += 1
            elif draft.add(item, fate, {c: item.values[c] for c in work.spec.carry if c in item.values}):
                work.planned(item)
            else:
                return False
        else:
            draft.reject(item)
            work.rejects[item.row_class] += 1
        # A refused file is behind us as a whole.
        work.cursor = (item.file, item.record) if item.record else (item.file + 1, 0)
        return True

    def _judge(self, work: _Work, row: Row) -> bytes | Reject:
        """Return a row's params, or why it is not sent."""
        if (table := work.job.output.table) is not None and not table.takes(row.id):
            return reject_row(row, RowClass.REJECTED, InputCode.BAD_ID, "the ticket table's key is a whole number")
        if reject := work.seen.judge(row, work.run.inputs):
            return reject
        try:
            return work.renderer.params(row)
        except RowFault as fault:
            return reject_row(row, RowClass.REJECTED, fault.code, fault.detail)

    def _close(self, work: _Work, draft: Draft) -> None:
        """Write down a chunk; rejects with no row to go with are the leftover."""
        if draft.rows:
            self.ledger.plan_chunk(draft.finish(work.cursor))
            work.chunks += 1
            return
        if len(work.refusals) == len(work.run.files):
            work.hold(HoldCode.NO_USABLE_INPUT, "\n".join(["no input can be used:", *work.refusals]))
        draft.finish_rejects("last")
        work.leftover = draft.tally

    def _check_rows(self, work: _Work, key: str, records: int) -> None:
        limit = work.job.limits.max_rows
        if work.records + records > limit:
            work.hold(
                HoldCode.TOO_MANY_ROWS,
                f"{work.records + records:,} rows up to {key}, and limits.max_rows of {work.run.job.key} is {limit:,}: "
                f"raise it, or send them anyway with `nightshift resume {work.run.run_id} --approve`",
            )

    def _finish(self, work: _Work, deadline: datetime) -> None:
        """Judge the plan as a whole, and let it be sent."""
        run, limit = work.run, work.job.limits.max_reject_ratio
        rejected = work.rejects[RowClass.REJECTED]
        if rejected > limit * work.records:
            work.hold(
                HoldCode.TOO_MANY_REJECTS,
                f"{rejected:,} of {work.records:,} rows are rejected, and limits.max_reject_ratio of {run.job.key} is "
                f"{limit}: see {run_files.rejects(run.run_id, run.plan)}, and send a better file, or the other rows "
                f"with `nightshift resume {run.run_id} --approve`",
            )
        digest = work.digest.hex()
        owner = self.ledger.claim_digest(run.job.name, digest, run.run_id) if work.digest.rows else run.run_id
        if owner != run.run_id:
            work.hold(
                HoldCode.SAME_ROWS,
                f"same rows as run {owner}; `nightshift resume {run.run_id} --approve` sends them anyway",
            )
        chunks = self.ledger.chunks(run.run_id)
        limits, pilot, verify = work.job.limits, work.job.pilot, work.job.verify
        self.ledger.finish_plan(
            replace(
                run,
                estimate=self.estimator.estimate(run, work.job, chunks, deadline - _RESERVE),
                pilot_wait=pilot.wait_seconds if pilot is not None else 0,
                max_usd=amount_of(limits.max_usd) if limits.max_usd is not None else 0,
                verify=verify.sample if verify is not None else 0,
                delete_batches=work.job.batch.delete_after_collect,
                rows=work.records,
                plan_digest=digest,
                leftover=work.leftover,
                max_generations=work.job.retry.generations,
                planned=True,
            )
        )

    def plan_retries(self, run: Run, deadline: datetime) -> bool:
        """Make the next generation of a run whose present one is collected; see retry_planning."""
        return plan_retries(run, self.ledger, self.outputs, self.clock, deadline - _RESERVE)
