"""What a run's report.json holds. Its JSON Schema: docs/report.schema.json, by `python -m nightshift.report_schema`."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec

from nightshift.model import Hold, JobRef, LeftOut, RowClass, RunId
from nightshift.report_parts import Batch, Cache, Cost, Discount, Input, Kind, Moment, Part, Pilot, Tickets, Timings

LONGEST_ANSWER = 200
"""Characters of an answer of the verification that a report repeats."""


class Compared(Part, frozen=True):
    """A row's two answers."""

    id: str
    custom_id: str
    batch_class: RowClass
    batch_answer: Any
    """What is longer than 200 characters is cut."""
    sync_class: RowClass | None
    """Null where no answer was kept."""
    sync_answer: Any
    agrees: bool | None
    """Null where the answers cannot be told equal or not: texts, for a person to judge, and errors."""
    batch_cost_usd: Decimal | None
    sync_cost_usd: Decimal | None
    latency_seconds: float | None
    error: str
    """Why there is no synchronous answer, or none that is usable."""


class Latency(Part, frozen=True):
    """Seconds until a synchronous answer was there; null without one."""

    median: float | None
    max: float | None


class Paired(Part, frozen=True):
    """One kind of tokens, over the rows of the sample that were billed both times."""

    batch_tokens: int
    sync_tokens: int
    batch_usd: Decimal
    sync_usd: Decimal
    ratio: float | None
    """`sync_usd` / `batch_usd`."""


class Verification(Part, frozen=True):
    """A sample of the run's rows, asked of the synchronous API as well: `verification.json`."""

    sample: int
    """Rows that were to be asked."""
    asked: int
    answered: int
    compared: int
    """Rows whose answers can be told equal or not."""
    agree: int
    rows: Sequence[Compared]
    cost_usd: Decimal
    said_usd: Decimal
    """What it was allowed to cost."""
    latency: Latency
    token_classes: Mapping[Kind, Paired]
    note: str
    """Why it ended early, or nothing was asked."""


class Report(Part, frozen=True):
    """What became of every row of a run, and of the money."""

    run_id: RunId
    headline: str
    """The run in one sentence."""
    job: JobRef
    job_file: str
    """The job as it was when the run was planned."""
    trigger: str
    state: Literal["open", "held", "done"]
    """`open`: more is to come."""
    hold: Hold | None
    home: str
    """Below it are all files of the run."""
    inputs: Sequence[Input]
    created: Moment
    first_sent: Moment | None
    last_ended: Moment | None
    reported: Moment
    rows: int
    """Records read from the inputs; 0 until the plan is finished."""
    counts: Mapping[RowClass, int]
    waiting: int
    """Rows in no class yet: in flight, planned, or to be asked again."""
    accounted: bool
    """The plan is finished, and `counts` sum to `rows`."""
    reject_codes: Mapping[str, int]
    """Why rows were never sent → rows."""
    changes: Mapping[LeftOut, int]
    """What was left out of rows that were asked all the same → rows."""
    reasons: Mapping[str, int]
    """Why rows that were sent were not answered → rows; the rarest of many are one."""
    answers: Mapping[str, int]
    """Answers of a job with `labels` → rows; the rarest of many are one."""
    usage: Mapping[str, int]
    """Token counts by the API's own names."""
    tokens: Mapping[Kind, int]
    """Token counts by kind, each token once; and searches."""
    service_tiers: Mapping[str, int]
    """Billed rows by tier: only `batch` is discounted."""
    discount: Discount
    cost: Cost
    cache: Cache
    pilot: Pilot | None
    timings: Timings
    tickets: Tickets
    strange: int
    """Lines of the API's results that are no result of a row: kept beside the archive, in `raw/`."""
    generations: int
    """How often rows were asked: 1 without retries."""
    batches: Sequence[Batch]
    files: Mapping[Literal["output", "failed", "rejects", "refused", "raw"], Sequence[str]]
    merged: str | None
    """All answers in one file; null until the run is done."""
    verification: Verification | None
    """Null until a sample has been compared with synchronous answers."""

    @property
    def line(self) -> Mapping[str, str | int | float | None]:
        """The run in a line of the log, which the dashboard's table of runs is made of."""
        return {
            "job": self.job.name,
            "state": self.state,
            "hold": self.hold.code if self.hold else "",  # of a run's lines the latest that has one is shown
            "rows": self.rows,
            "answered": self.counts[RowClass.ANSWERED],
            "cost_usd": None if self.cost.actual_usd is None else float(self.cost.actual_usd),
        }


_VERIFICATION = msgspec.json.Decoder(Verification)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def written(report: Report) -> bytes:
    """Return the report as the text of report.json."""
    return msgspec.json.format(_encode(report), indent=2) + b"\n"


def verification(text: bytes) -> Verification:
    """Read verification.json; long answers are cut."""
    whole = _VERIFICATION.decode(text)
    rows = [
        msgspec.structs.replace(row, batch_answer=_cut(row.batch_answer), sync_answer=_cut(row.sync_answer))
        for row in whole.rows
    ]
    return msgspec.structs.replace(whole, rows=rows)


def _cut(answer: Any) -> Any:
    text = answer if isinstance(answer, str) else _encode(answer).decode()
    return answer if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}…"
