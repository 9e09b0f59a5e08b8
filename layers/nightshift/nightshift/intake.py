"""From an event to runs: the one function that starts them, for every way in.

Runs for unclaimed versions of jobs that are due: an upload starts its own, a night takes all that lies there.
"""

import hashlib
from base64 import b32encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from itertools import batched

from nightshift.errors import BadInput, BadJob, Conflict, RunNotFound
from nightshift.job import Job, parse_job
from nightshift.manifests import is_manifest, pinned
from nightshift.model import MANIFEST, Hold, HoldCode, InputRef, JobRef, Run, RunId
from nightshift.ports import Clock, Executions, Inputs, Ledger
from nightshift.trigger import ByHand, Night, Tick, Uploaded

INPUTS_PER_RUN = 99
"""The run and its inputs' claims are one DynamoDB transaction, of at most 100 items; more files start a further run."""

RECENT = timedelta(days=2)
"""A night looks again at uploads of this age that have their run: its execution may never have been started."""


REMEMBERED = timedelta(days=35)
"""The audit looks back so far, at runs and at uploads: longer than anything can still come of a batch (29 days)."""

UPLOAD_GRACE = timedelta(minutes=15)
"""An upload's event has this long to start its run before the audit does."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that an event stands for."""

    run: Run
    fresh: bool
    """False where an earlier delivery of the event made it."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that an event named and that starts nothing, with the reason."""

    what: str
    reason: str


type Due = Uploaded | ByHand | Night | Tick


@dataclass(frozen=True, slots=True)
class Intake:
    """Opens runs."""

    ledger: Ledger
    inputs: Inputs
    executions: Executions
    clock: Clock

    def open(self, due: Due, *, owner: str, working_until: datetime | None) -> Iterator[Opened | Skipped]:
        """Open the runs of an event: record first, then the execution; nothing is spent before both exist.

        Args:
            due: what the event stands for.
            owner: uuid of this invocation.
            working_until: when this invocation must be dead; None where it leaves the work to the loop.
        """
        for run in self._due(due):
            if isinstance(run, Skipped):
                yield run
                continue
            run = replace(run, opened_by=owner, working_until=None if run.hold else working_until)  # noqa: PLW2901 - as put
            yield self._put(run)
        if isinstance(due, Night):
            self.ledger.night_opened(due.scheduled_at)

    def _put(self, run: Run) -> Opened | Skipped:
        """Put a run and start it, with those of its inputs that nobody else has taken since they were listed."""
        try:
            fresh = self.ledger.create_run(run)
        except Conflict:
            free = tuple(self.ledger.unclaimed(run.claimed))
            if free and free != run.inputs:
                return self._put(replace(run, inputs=free))
            return Skipped(run.run_id, "another run has its input already")
        known = run if fresh else self.ledger.run(run.run_id)
        self.executions.start(known.run_id, known.execution)
        return Opened(known, fresh)

    def _due(self, due: Due) -> Iterator[Run | Skipped]:
        match due:
            case Night():
                return self._night(due)
            case Tick():
                return self._forgotten()
            case _:
                return self._one(due)

    def _one(self, due: Uploaded | ByHand) -> Iterator[Run | Skipped]:
        by_hand = isinstance(due, ByHand)
        try:
            ref = self.inputs.pin(due.key, due.version_id)
            job_ref, text = self.inputs.job(due.job)
        except BadInput as error:  # says its code
            yield Skipped(due.key, str(error))
            return
        except BadJob as error:
            yield Skipped(due.key, f"UNKNOWN_JOB: {error}")
            return
        job = self._parsed(job_ref, text)
        if isinstance(job, Job) and not by_hand and (event := waits_for(job, ref.key)):
            yield Skipped(due.key, f"{job_ref.key} says {job.schedule}: the file waits for {event}")
            return
        yield self._run_of_one(job_ref, job, ref, "by hand" if by_hand else "upload")

    def _run_of_one(self, job_ref: JobRef, job: Job | BadJob, ref: InputRef, trigger: str) -> Run:
        """Return the run of a file; of a manifest, with the files that it names."""
        run_id = run_id_for(job_ref.name, ref)
        if isinstance(job, Job) and is_manifest(job.schedule, ref.key):
            return self._run(job_ref, job, (ref, *pinned(self.inputs, ref)), run_id, MANIFEST)
        return self._run(job_ref, job, (ref,), run_id, trigger)

    def _night(self, due: Night) -> Iterator[Run | Skipped]:
        """Yield the runs of a night, also those that an earlier delivery of its event has put.

        That one may have died between putting a run and starting its execution; starting twice is harmless.
        """
        for found in self._lying_there():
            if isinstance(found, Skipped):
                yield found
                continue
            job_ref, job, refs = found
            if isinstance(job, Job) and job.schedule != "nightly":
                yield from self._lost_uploads(job_ref, job, refs)
            else:
                yield from self._one_night(due, job_ref, job, refs)

    def _forgotten(self) -> Iterator[Run | Skipped]:
        """Yield the runs of recent uploads whose event never came: files of before a job was put are among them."""
        now = self.clock()
        for found in self._lying_there():
            if isinstance(found, Skipped):
                yield found
                continue
            job_ref, job, refs = found
            if isinstance(job, Job) and job.schedule != "nightly":  # a job that cannot be read may be nightly
                late = [ref for ref in refs if UPLOAD_GRACE < now - ref.last_modified < REMEMBERED]
                yield from self._lost_uploads(job_ref, job, self.ledger.unclaimed(late))

    def _lying_there(self) -> Iterator[tuple[JobRef, Job | BadJob, Sequence[InputRef]] | Skipped]:
        """Yield each job that has files, with them, newest first."""
        for name in self.inputs.jobs():
            refs = list(self.inputs.newest(f"inbox/{name}/"))
            if not refs:
                continue
            try:
                job_ref, text = self.inputs.job(name)
            except BadJob as error:  # deleted since it was listed; the other jobs have their turn all the same
                yield Skipped(f"inbox/{name}/", str(error))
                continue
            yield job_ref, self._parsed(job_ref, text), refs

    def _one_night(
        self, due: Night, job_ref: JobRef, job: Job | BadJob, refs: Sequence[InputRef]
    ) -> Iterator[Run | Skipped]:
        number = 0
        while (known := self._known(_night_id(job_ref.name, due, number))) is not None:
            yield known
            number += 1
        for files in batched(self.ledger.unclaimed(refs), INPUTS_PER_RUN, strict=False):
            yield self._run(job_ref, job, files, _night_id(job_ref.name, due, number), "nightly")
            number += 1

    def _lost_uploads(self, job_ref: JobRef, job: Job, refs: Sequence[InputRef]) -> Iterator[Run]:
        """Yield the runs that uploads would have started, had their events come, or their submits lived."""
        free = set(self.ledger.unclaimed(refs))
        for ref in (ref for ref in refs if not waits_for(job, ref.key)):
            run_id = run_id_for(job_ref.name, ref)
            if ref in free:
                yield self._run_of_one(job_ref, job, ref, "upload")
            elif self.clock() - ref.last_modified < RECENT and (known := self._known(run_id)) is not None:
                yield known

    def _known(self, run_id: RunId) -> Run | None:
        try:
            return self.ledger.run(run_id)
        except RunNotFound:
            return None

    def _parsed(self, ref: JobRef, text: bytes) -> Job | BadJob:
        """Parse the job; a job that cannot be used still gets its run, held, so that its file is not forgotten."""
        try:
            return parse_job(text, name=ref.name, key=ref.key, today=self.clock().date())
        except BadJob as error:
            return error

    def _run(
        self,
        job_ref: JobRef,
        job: Job | BadJob,
        inputs: Sequence[InputRef],
        run_id: RunId,
        trigger: str,
    ) -> Run:
        now = self.clock()
        hold = Hold(HoldCode.BAD_JOB, str(job), now) if isinstance(job, BadJob) else None
        due_at = None if isinstance(job, BadJob) else _next(job.ready_by, now)
        return Run(run_id, job_ref, tuple(inputs), created=now, trigger=trigger, due_at=due_at, hold=hold)


def waits_for(job: Job, key: str) -> str:
    """Return what an upload waits for; empty where it starts a run of its own."""
    if job.schedule == "nightly":
        return "the night"
    if job.schedule == "manifest" and not is_manifest(job.schedule, key):
        return "a manifest that names it"
    return ""


def _next(ready_by: str | None, now: datetime) -> datetime | None:
    """Return when it is that time of day next, in UTC."""
    if ready_by is None:
        return None
    today = datetime.combine(now.date(), time.fromisoformat(ready_by), UTC)
    return today if today > now else today + timedelta(days=1)


def run_id_for(job: str, ref: InputRef) -> RunId:
    """Name the run of a single file: whoever uploaded it finds the run by this name."""
    return _run_id(job, ref.last_modified, f"{ref.bucket}/{ref.key}#{ref.version_id}")


def _night_id(job: str, due: Night, number: int) -> RunId:
    """Name the `number`-th run of a job's night, from 0: the same for every delivery of the event."""
    return _run_id(job, due.scheduled_at, f"{job}@{due.scheduled_at.isoformat()}/{number}")


def _run_id(job: str, day: datetime, seed: str) -> RunId:
    """Name a run after what triggered it, so that a second delivery of the event finds the first one's run."""
    digest = b32encode(hashlib.sha256(seed.encode()).digest()[:5]).decode().lower()
    return RunId(f"{job}-{day:%Y%m%d}-{digest}")
