"""What happens at 10,000, a million and a hundred million rows: a small model, fed by the measured figures.

CPU is a fixed part and a part for each row, as the measured points of 10,000 and of 100,000 rows say; the point of a
million is what the model is checked against. Looks, waits and handovers are simulated, as in loop.py. Assumed, and not
measured: the constants below.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from benchmarks import starts
from benchmarks.loop import Night
from benchmarks.measure import Bench, Figure

type Told = Mapping[str, float]

FEW, SOME = 10_000, 100_000
HEAD = (
    *("rows", "batches", "plan and send", "submit's memory", "API, with waiting"),
    *("tickets", "histories", "AWS", "limits met"),
)
SIMULATED = 10_000_000
"""Rows: of a larger run, what comes after them is like what came before."""
SIZES = (10_000, 1_000_000, 100_000_000)

# Nothing here ran on AWS: these are assumptions, or the limits that AWS and the API document.
SLOWER = 2.0
"""A processor of Lambda's, beside this machine's; 1,769 MB of memory buy a whole one."""
FULL = 1769
LIFE, KEPT_BACK = 900.0, 120.0
"""Seconds of an invocation; no chunk is begun in the last of them."""
TABLE = 4000.0
"""Write units a second of a new on-demand table; each partition has a quarter of it."""
WORKERS = 8
QUEUE = 500_000
"""Requests in the API's queue, at its highest published tier."""
SHORTEST, LONGEST = timedelta(minutes=20), timedelta(hours=2)
"""Of a batch: nobody promises less than 24 h."""
LAMBDA, WRITE, TRANSITION, PUT = 0.0000133334, 0.625e-6, 25e-6, 5e-6
"""USD: a GB-second (arm64), a write unit, a state transition, an S3 PUT; us-east-1."""
PART, REQUEST, RESULT, BLOCK = 5 * 1024 * 1024, 1_150, 973, 2000
"""Bytes of a part, a request, and a result; rows between two checkpoints."""


@dataclass(frozen=True, slots=True)
class Line:
    """CPU seconds of a stage: a fixed part, and one for each row."""

    fixed: float
    row: float

    @classmethod
    def through(cls, few: float, some: float) -> "Line":
        """Lay a line through two points."""
        row = (some - few) / (SOME - FEW)
        return cls(few - row * FEW, row)

    def at(self, rows: int) -> float:
        """Return the seconds for so many rows."""
        return self.fixed + self.row * rows


@dataclass(frozen=True, slots=True)
class Scale:
    """What the model says of a run of so many rows."""

    rows: int
    batches: int
    submit_seconds: float
    """Of Lambda, planning and sending, what is read again by each invocation included."""
    submits: int
    """Invocations; 0: it never ends."""
    memory: float
    """MB of the submit function."""
    api_hours: float
    executions: int
    events: int
    """Of the longest history."""
    collect_seconds: float
    """With eight workers side by side, or as fast as the table allows, if that is slower."""
    table_bound: bool
    usd: float
    binds: tuple[str, ...]
    """The limits that it meets."""


def submit_line(told: Told) -> Line:
    """Return what submitting costs."""
    return Line.through(told["submit few, cpu"], told["submit 1 KB, cpu"])


def collect_line(told: Told) -> Line:
    """Return what collecting costs."""
    return Line.through(told["results few, cpu"], told["collect, cpu"])


def figures(bench: Bench) -> Iterator[Figure]:
    """Hold the model against the points that it was not made of."""
    if bench.quick:
        return
    many = 10 * bench.rows
    off, notes = 1.0, []
    for stage, line in (("submit", submit_line(bench.told)), ("results", collect_line(bench.told))):
        said, was = line.at(many), bench.told[f"{stage} many, cpu"]
        off = max(off, said / was, was / said)
        notes.append(f"{stage} {said:.0f} s said, {was:.0f} s measured")
    yield Figure(f"scale model, at {many:,} rows: times off", off, 1.25, 1.5, "{:.2f}×", False, ", ".join(notes))  # noqa: FBT003 - `least`


def scale(rows: int, told: Told) -> Scale:
    """Work the model out."""
    sizes = starts.sizes()
    chunk_rows = 10_000 if rows <= SIZES[1] else 100_000
    seconds, submits = _submit(rows, chunk_rows, told, sizes["submit"])
    memory = told["submit few, peak"] + _growth(told) * (rows - FEW)
    cpu = collect_line(told).at(rows) * SLOWER * FULL / sizes["results"]
    table = rows * told["units"] / TABLE
    night, times = _night(rows, chunk_rows, cpu / rows * chunk_rows)
    events = sum(night.events) * times
    limits = {
        "submit's memory": memory > sizes["submit"],
        "submit's life": not submits,
        "the API's queue": rows > QUEUE,
        "the table's capacity": table > cpu / WORKERS,
    }
    parts = rows * (REQUEST + 2 * RESULT) / PART + 3 * rows / BLOCK
    gigabytes = (seconds * sizes["submit"] + cpu * sizes["results"]) / 1024
    usd = gigabytes * LAMBDA + rows * told["units"] * WRITE + events / 3 * TRANSITION + parts * PUT
    return Scale(
        rows=rows,
        batches=-(-rows // chunk_rows),
        submit_seconds=seconds,
        submits=submits,
        memory=memory,
        api_hours=(night.now - night.began).total_seconds() / 3600 * times,
        executions=math.ceil(len(night.events) * times),
        events=max(night.events),
        collect_seconds=max(table, cpu / WORKERS),
        table_bound=table > cpu / WORKERS,
        usd=usd,
        binds=tuple(name for name, binds in limits.items() if binds),
    )


def _submit(rows: int, chunk_rows: int, told: Told, memory: int) -> tuple[float, int]:
    """Return Lambda's seconds and invocations: each reads again what was planned before, and goes on from there."""
    slower = SLOWER * FULL / memory
    line, again = submit_line(told), told["resume, cpu"] / SOME
    done = invocations = 0
    seconds = 0.0
    while done < rows:
        left = LIFE - KEPT_BACK - (line.fixed + again * done) * slower
        step = min(rows - done, int(left / (line.row * slower)))
        if step < min(chunk_rows, rows - done):
            return seconds, 0
        seconds += (line.at(step) + again * done) * slower
        done, invocations = done + step, invocations + 1
    return seconds, invocations


def submit_limits(told: Told) -> tuple[float, float]:
    """Return how many rows of one run the submit function's memory holds, and its life allows to read again."""
    memory = starts.sizes()["submit"]
    seconds = (LIFE - KEPT_BACK) * memory / FULL / SLOWER - submit_line(told).fixed
    return FEW + (memory - told["submit few, peak"]) / _growth(told), seconds / (told["resume, cpu"] / SOME)


def _growth(told: Told) -> float:
    return (told["submit many, peak"] - told["submit few, peak"]) / (10 * SOME - FEW)


def _night(rows: int, chunk_rows: int, collect_seconds: float) -> tuple[Night, float]:
    """Simulate a run, or a part of it, and say how many times that part is in it."""
    count = -(-min(rows, SIMULATED) // chunk_rows)
    night = Night(count * chunk_rows, chunk_rows, LONGEST, SHORTEST, QUEUE, collect_seconds=collect_seconds)
    night.run()
    return night, max(1.0, rows / SIMULATED)


def lines(told: Told) -> Iterator[str]:
    """Write the table in Markdown."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    for each in (scale(rows, told) for rows in SIZES):
        calls = "1 invocation" if each.submits == 1 else f"{each.submits} invocations"
        submit = f"{_time(each.submit_seconds)}, {calls}" if each.submits else "never ends"
        tickets = f"{_time(each.collect_seconds)}{' (the table)' if each.table_bound else ''}"
        histories = f"{each.executions} of {each.events:,} events at most"
        cells = (
            f"{each.batches:,}",
            submit,
            f"{each.memory:,.0f} MB",
            f"{each.api_hours:,.1f} h",
            tickets,
            histories,
            f"{each.usd:,.2f} USD",
            ", ".join(each.binds) or "none",
        )
        yield f"| {each.rows:,} | {' | '.join(cells)} |"


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"  # noqa: PLR2004 - ten minutes
