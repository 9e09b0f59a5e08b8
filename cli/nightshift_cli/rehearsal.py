"""A rehearsal: a file planned and estimated on this machine, by the very code that plans runs. Nothing is sent.

The ports that planning writes through lead to a folder and to memory; the API is asked to count tokens, and no more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, cast

import msgspec

from nightshift import run_files
from nightshift.budgeting import month_hold, month_of, over_run, row_share
from nightshift.estimating import Estimator
from nightshift.model import Budget, Caching, Chunk, Hold, HoldCode, InputRef, JobRef, Run, RunId
from nightshift.money import PriceSheet
from nightshift.planning import Planner
from nightshift.ports import BatchApi, Clock, Inputs, Ledger, Outputs

RUN = RunId("RUN")
"""What the run is called in reasons and commands: whoever reads them puts its id there."""

PATIENCE = timedelta(days=365)
"""Until when planning may take: here nothing ends it but its own end."""

HOPELESS = frozenset({HoldCode.BAD_JOB, HoldCode.NO_USABLE_INPUT})
"""Holds that no approval gets a plan past."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a run over a file would be."""

    run: Run
    """As its plan would leave it; not `planned` where it would not get so far."""
    chunks: Sequence[Chunk]
    holds: Sequence[Hold]
    """All that it would be held for, one after the other, each approved of."""
    rejects: Mapping[str, int]
    """Why rows are not sent → rows."""


class _Reject(msgspec.Struct):
    code: str


_REJECT = msgspec.json.Decoder(_Reject)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A run over one file of this machine."""

    file: Path
    job: JobRef
    text: bytes
    """The job file."""
    folder: Path
    """Where the plan goes, and who plans cleans up."""
    api: BatchApi
    clock: Clock

    def plan(self) -> Rehearsed:
        """Plan and estimate, past every hold that a person could approve of."""
        from nightshift.prices import price_sheet  # noqa: PLC0415 - the list of prices takes a quarter of a second

        ref = self._ref()
        ledger = _Ledger(Run(RUN, self.job, (ref,), created=self.clock(), trigger="by hand"))
        outputs = cast("Outputs", _Outputs(self.folder))
        planner = Planner(
            cast("Ledger", ledger),
            cast("Inputs", _Inputs(self.file, self.job, self.text)),
            outputs,
            self.clock,
            Estimator(self.api, outputs, self.clock),
            price_sheet,
        )
        while not planner.plan(ledger.run, self.clock() + PATIENCE):
            code = ledger.holds[-1].code
            if code in HOPELESS or code in ledger.run.approved:
                break
            ledger.run = replace(ledger.run, approved=(*ledger.run.approved, code))
        return Rehearsed(ledger.run, ledger.chunks(RUN), ledger.holds, self._rejects(outputs))

    def _ref(self) -> InputRef:
        stat = self.file.stat()
        key = f"inbox/{self.job.name}/{self.file.name}"
        return InputRef("this machine", key, "as it is", stat.st_size, self.clock())

    @staticmethod
    def _rejects(outputs: Outputs) -> Mapping[str, int]:
        codes: Counter[str] = Counter()
        for key in outputs.keys(run_files.rejects(RUN, 1)):
            with outputs.open(key) as lines:
                codes.update(_REJECT.decode(line).code for line in lines)
        return codes


def money_holds(rehearsed: Rehearsed, budget: Budget, cap: int | None, clock: Clock) -> Iterator[Hold]:
    """Yield what money would hold the run for.

    Args:
        rehearsed: the run.
        budget: of the month, as it is.
        cap: of the month, in picodollars; None: there is none.
        clock: tells the month.
    """
    run, now = rehearsed.run, clock()
    wanted = row_share(run.estimate) * sum(chunk.rows for chunk in rehearsed.chunks)
    if hold := over_run(run, wanted, now):
        yield hold
    if cap is not None and wanted and budget.committed + wanted > cap:
        yield month_hold(run, budget, cap, wanted, month_of(now), now)


@dataclass
class _Inputs:
    """As much of the input bucket as planning needs: one file, and its job."""

    file: Path
    job_ref: JobRef
    text: bytes

    @contextmanager
    def open(self, _ref: InputRef, *, seekable: bool = False) -> Iterator[BinaryIO]:  # noqa: ARG002 - a file always is
        with self.file.open("rb") as stream:
            yield stream

    def job(self, _name: str, _version_id: str | None = None) -> tuple[JobRef, bytes]:
        return self.job_ref, self.text


@dataclass
class _Upload:
    """An object being written, as a file beside its place."""

    place: Path
    part: IO[bytes]

    def write(self, data: bytes) -> None:
        self.part.write(data)

    def commit(self, *, once: bool) -> bool:
        if once and self.place.exists():
            return False
        self.part.close()
        Path(self.part.name).replace(self.place)
        return True


@dataclass
class _Outputs:
    """As much of the output bucket as planning and estimating need, in a folder."""

    folder: Path

    @contextmanager
    def upload(self, key: str) -> Iterator[_Upload]:
        place = self._place(key)
        with NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as part:
            yield _Upload(place, part)
        Path(part.name).unlink(missing_ok=True)

    def put(self, key: str, data: bytes) -> None:
        self._place(key).write_bytes(data)

    @contextmanager
    def open(self, key: str, start: int = 0, _size: int | None = None) -> Iterator[BinaryIO]:
        with self._place(key).open("rb") as stream:
            stream.seek(start)
            yield stream

    def keys(self, prefix: str) -> Iterator[str]:
        folder = self.folder / prefix
        yield from (f"{prefix}{path.name}" for path in sorted(folder.glob("[!.]*")))

    def _place(self, key: str) -> Path:
        place = self.folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


@dataclass
class _Ledger:
    """As much of the ledger as planning needs, for one run."""

    run: Run
    holds: list[Hold] = field(default_factory=list)
    planned: dict[str, Chunk] = field(default_factory=dict)

    def chunks(self, _run_id: RunId) -> Sequence[Chunk]:
        return [self.planned[name] for name in sorted(self.planned)]

    def pin(self, run: Run, *, prices: PriceSheet | None, caching: Caching, pilot: int) -> Run:
        self.run = replace(run, prices=prices, caching=caching, pilot=pilot)
        return self.run

    def plan_chunk(self, chunk: Chunk) -> bool:
        return self.planned.setdefault(chunk.id, chunk) is chunk

    def claim_digest(self, _job: str, _digest: str, run_id: RunId) -> RunId:
        return run_id  # whether the same rows were sent before is for the run to find

    def finish_plan(self, run: Run) -> None:
        self.run = run

    def hold(self, _run_id: RunId, hold: Hold) -> bool:
        self.holds.append(hold)
        return True
