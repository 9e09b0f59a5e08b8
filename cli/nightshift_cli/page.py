"""Runs as text: the table of `runs`, the page of `show`, what there is to be held or canceled."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from nightshift.decision import settles_at
from nightshift.model import Chunk, ChunkState, InputRef, Intent, RowClass, RunState, StepKind
from nightshift.money import dollars
from nightshift_cli.columns import Column, put_columns
from nightshift_cli.console import folded, printable, put, span
from nightshift_cli.view import Summary, View

NONE = "–"

INDENT = 10
"""Blanks before what has no label."""

MOST_INPUTS = 10
"""Inputs of a run that are told; the others are counted."""

OVER = frozenset({StepKind.DONE, StepKind.HELD})
"""The steps after which nothing comes by itself."""

STYLES = {"held": "bold red", "done": "green"}


def put_runs(runs: Sequence[Summary], now: datetime) -> None:
    """Print the table of runs, as wide as there is room for."""
    states = [f"held: {each.run.hold.code}" if each.run.hold else each.state for each in runs]
    costs = [_amount(each, each.paid) for each in runs]
    saved = [_amount(each, each.saved) for each in runs]
    put_columns(
        [
            Column("run", [each.run.run_id for each in runs]),
            Column("job", [each.run.job.name for each in runs], spare=8),
            Column("state", states),
            Column("created", [_time(each.run.created) for each in runs], spare=7),
            Column("age", [span(each.age(now)) for each in runs], number=True, spare=3),
            Column("rows", [NONE if each.rows is None else f"{each.rows:,}" for each in runs], number=True, spare=2),
            Column("in flight", [f"{each.in_flight:,}" for each in runs], number=True, spare=6),
            Column("answered", [f"{each.answered:,}" for each in runs], number=True, spare=4),
            Column("cost", costs, number=True, spare=1),
            Column("saved", saved, number=True, spare=5),
        ],
        [STYLES.get(each.state) for each in runs],
    )


def put_page(view: View) -> None:
    """Print all there is to see of a run."""
    put_lines(_lines(view))
    if view.summary.chunks:
        put("")
        _put_chunks(view.summary.chunks)


def put_stopping(summary: Summary) -> None:
    """Print what a cancel of the run would stop, a hold keep back, and a resume go on with."""
    put_lines(_stopping_lines(summary))


def stopping(summary: Summary) -> dict[str, Any]:
    """Return what --json has of that."""
    state = {state: [c for c in summary.chunks if c.state is state] for state in ChunkState}
    return {
        "in_flight": [
            {"batch_id": c.batch_id, "chunk": c.id, "rows": c.rows, "adopted": c.adopted}
            for c in state[ChunkState.SENT]
        ],
        "sending": [{"chunk": c.id, "rows": c.rows} for c in state[ChunkState.SENDING]],
        "not_sent_rows": sum(c.rows for c in state[ChunkState.PLANNED]),
        "planned": summary.run.planned,
    }


def put_lines(lines: Iterable[tuple[str, str]], to: Callable[[str], None] = put) -> None:
    """Print texts of one or more lines, each behind its label; `to` stdout, unless it is to be `say`."""
    for label, text in lines:
        first, *others = text.splitlines() or [""]
        to(f"{label:<9} {folded(first, INDENT)}")
        for line in others:
            to(f"{'':<9} {folded(line, INDENT)}")


def _stopping_lines(summary: Summary) -> Iterator[tuple[str, str]]:
    run = summary.run
    sent, sending, planned = (
        [chunk for chunk in summary.chunks if chunk.state is state]
        for state in (ChunkState.SENT, ChunkState.SENDING, ChunkState.PLANNED)
    )
    yield "run", run.run_id
    yield "state", f"held: {run.hold.code}" if run.hold is not None else summary.state
    left = {True: "; adopted, so it may be another's, and runs on", False: ""}
    batches = (f"{c.batch_id}: {c.rows:,} rows of {c.id}{left[c.adopted]}" for c in sent)
    yield "in flight", "\n".join(batches) or "no batch"
    if sending:
        unknown = (f"{c.rows:,} rows of {c.id}: their batch is canceled if its create is answered" for c in sending)
        yield "sending", "\n".join(unknown)
    unfinished = "" if run.planned else "; the plan is not finished"
    yield "not sent", f"{sum(c.rows for c in planned):,} rows in {len(planned):,} chunks{unfinished}"


def _inputs(refs: Sequence[InputRef]) -> Iterator[tuple[str, str]]:
    told = refs[:MOST_INPUTS]
    yield from (("input", f"s3://{i.bucket}/{i.key} ({i.size:,} bytes, version {i.version_id})") for i in told)
    if others := len(refs) - len(told):
        yield "", f"and {others:,} more"


def _lines(view: View) -> Iterator[tuple[str, str]]:
    summary, run = view.summary, view.summary.run
    yield "run", run.run_id
    yield "job", f"{run.job.name} ({run.job.key}, version {run.job.version_id})"
    yield "created", f"{_time(run.created)}, {span(summary.age(view.now))} ago, {run.trigger}"
    yield from _inputs(run.inputs)
    if run.hold is not None:
        yield "state", f"held since {_time(run.hold.at)}: {run.hold.code}\n{run.hold.reason}"
    else:
        yield "state", summary.state
    yield from (("", f"→ {way}") for way in view.ways_out)
    if run.approved:
        yield "approved", ", ".join(run.approved)
    if view.step.kind not in OVER:
        yield "next", f"{view.step.kind}: {view.step.reason}"
        yield "loop", f"{view.execution} {view.execution_status}"
    if view.intent is not None:
        yield "sending", _intent(view.intent)
    yield "rows", _rows(summary)
    total = summary.total
    yield from (("cost", line) for line in _cost(summary))
    if run.caching is not None:
        yield "cache", run.caching.why
    if total.usage:
        yield "tokens", _counts(total.usage)
    if total.tickets_written or total.tickets_unchanged or total.tickets_refused:
        table = view.stack.outputs["TicketTableName"]
        refused = f", {total.tickets_refused:,} refused (refused/ says why)" * bool(total.tickets_refused)
        counts = f"{total.tickets_written:,} written, {total.tickets_unchanged:,} unchanged{refused}"
        yield "tickets", f"{counts}, in table {table}"
    if summary.strange:
        yield "strange", f"{summary.strange:,} lines of the results are no result of a row; they are kept in raw/"
    yield "files", f"{view.home}\n{' '.join(view.files)}"
    if view.latest:
        yield "latest", f"{view.stack.results().uri(view.latest)} names this run"


def _rows(summary: Summary) -> str:
    """Say how many rows there are, and what became of them."""
    classes = _counts(summary.total.rows)
    if summary.rows is None:
        return f"not counted yet; so far {classes}" if classes else "not counted yet"
    waiting = max(0, summary.rows - sum(summary.total.rows.values()))
    told = [classes] * bool(classes) + [f"{waiting:,} waiting"] * bool(waiting)
    return f"{summary.rows:,}: {', '.join(told)}" if told else "0"


def _cost(summary: Summary) -> Iterator[str]:
    """Say what a run has cost, and what it is expected to."""
    run, total = summary.run, summary.total
    paid, estimate = summary.paid, run.revised or run.estimate
    if paid:
        so_far = "" if run.state is RunState.DONE else " so far"
        ratio = f" ({100 * summary.saved / total.synchronous:.0f} %)" if total.synchronous else ""
        yield f"{dollars(paid)}{so_far}; {dollars(summary.saved)} saved{ratio}: {dollars(total.synchronous)} at once"
    if estimate is not None:
        interval = f"{dollars(estimate.low)} to {dollars(estimate.high)}"
        yield f"{dollars(estimate.expected)} expected ({interval}; answers' length from {estimate.basis})"
    elif run.planned and run.prices is None:
        yield "not known: the model has no price"
    if run.reserved:
        yield f"{dollars(run.reserved)} reserved in {run.budget_month}"


def _counts[Name: str](counts: Mapping[Name, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n)


def _intent(intent: Intent) -> str:
    """Describe a create whose outcome is not known."""
    seen = f" ({intent.note})" if intent.note else ""
    due = _time(settles_at(intent))
    return f"chunk {intent.chunk}, attempt {intent.attempt}, since {_time(intent.created)}{seen}; decided from {due} on"


def _put_chunks(chunks: Sequence[Chunk]) -> None:
    batches = [(each.batch_id or NONE) + (" (adopted)" if each.adopted else "") for each in chunks]
    columns = [
        Column("chunk", [each.id for each in chunks]),
        Column("state", [each.state for each in chunks]),
        Column("batch", batches, spare=1),
        Column("rows", [f"{each.rows:,}" for each in chunks], number=True),
        Column("answered", [f"{each.tally.rows.get(RowClass.ANSWERED, 0):,}" for each in chunks], number=True),
        Column("attempt", [str(each.attempt) for each in chunks], number=True, spare=3),
        Column("failures", [str(each.failures) for each in chunks], number=True, spare=2),
    ]
    if any(chunk.failures or chunk.error or chunk.not_before for chunk in chunks):
        columns.append(Column("not before", [_time(each.not_before) for each in chunks]))
        columns.append(Column("error", [printable(each.error) or NONE for each in chunks], folds=True))
    put_columns(columns)


def _time(moment: datetime | None) -> str:
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _amount(summary: Summary, picodollars: int) -> str:
    return dollars(picodollars) if summary.priced else NONE
