"""`nightshift watch`: a run as it goes on, until it has ended."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nightshift.decision import pilot_lapses_at, settles_at, standing_pilot
from nightshift.model import ChunkState, RunId, RunState, StepKind
from nightshift.money import dollars
from nightshift_cli.console import console, folded, interruptible, printable, put, say, span
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.page import INDENT, OVER
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import View, view

BAR = 40
"""Characters of the progress bar."""


def watch(
    run: RunArgument,
    *,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks.")] = 5,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Watch a run until it has ended: its rows, batches, age and cost, and what its loop waits for.

    In a pipe, and with --json, it is a line for each change. Ctrl-C stops the watching, not the run.
    """
    here = find(stack, local=local)
    with interruptible(f"no longer watched; the run goes on. {here.command(f'show {run}')}"):
        seen = _follow(here, RunId(run), every, json=json)
    if seen.summary.run.hold is not None:
        for way in seen.ways_out:
            say(f"  → {way}")
        raise typer.Exit(Exit.HELD)


def _follow(stack: Stack, run_id: RunId, every: float, *, json: bool) -> View:
    """Look until the run has ended, and show each look; return the last."""
    if json or not on_terminal():
        return _in_lines(_looks(stack, run_id, every), json=json)
    seen = view(stack, run_id)
    with Live(_picture(seen), console=Console(markup=False, emoji=False, highlight=False), transient=False) as live:
        for seen in _looks(stack, run_id, every):
            live.update(_picture(seen), refresh=True)
    return seen


def on_terminal() -> bool:
    """Tell whether somebody looks who can be shown one picture that changes: a dumb terminal cannot go back."""
    return console().is_terminal and not console().is_dumb_terminal


def _looks(stack: Stack, run_id: RunId, every: float) -> Iterator[View]:
    """Look at a run, again and again, to its end."""
    while True:
        yield (seen := view(stack, run_id))
        if ended(seen):
            return
        time.sleep(every)


def _in_lines(looks: Iterator[View], *, json: bool) -> View:
    last = ""
    while True:
        seen = next(looks)
        line = msgspec.json.encode(record(seen)).decode() if json else _line(seen)
        if line != last:
            put(line)
            sys.stdout.flush()
        last = line
        if ended(seen):
            return seen


def ended(seen: View) -> bool:
    """Tell whether nothing more comes of a run by itself."""
    done = seen.summary.run.state is RunState.DONE and seen.execution_status != "RUNNING"
    return done or seen.step.kind in OVER


def waits(seen: View) -> Sequence[str]:
    """Say what a run waits for, and until when at the latest."""
    run, chunks, now = seen.summary.run, seen.summary.chunks, seen.now
    told: list[str] = []
    if seen.intent is not None:
        told.append(f"the answer to a create, sent for {span(now - seen.intent.created)}; "
                    f"decided from {_clock(settles_at(seen.intent))} on")  # fmt: skip
    pilot = standing_pilot(run, chunks)
    if pilot is not None and pilot.state is ChunkState.SENT:
        told.append(f"the pilot, {pilot.rows:,} rows; the rest waits for it until "
                    f"{_clock(pilot_lapses_at(run, pilot, now))}")  # fmt: skip
    if flying := [chunk.sent_at for chunk in chunks if chunk.state is ChunkState.SENT and chunk.sent_at]:
        batches = "a batch" if len(flying) == 1 else f"{len(flying)} batches"
        told.append(f"{batches}, the oldest sent {span(now - min(flying))} ago; each ends 24 h after it was sent")
    late = [chunk for chunk in chunks if chunk.not_before is not None and chunk.not_before > now]
    told += [f"{c.id}, kept back until {_clock(c.not_before)}: {printable(c.error)}" for c in late]
    return told or [f"{seen.step.kind}: {seen.step.reason}"] if not ended(seen) else []


def record(seen: View) -> Mapping[str, Any]:
    """Return a line of `watch --json`."""
    return {**seen.summary.record(), "next": seen.step, "ended": ended(seen)}


def _clock(moment: Any) -> str:
    return f"{moment:%m-%d %H:%M}Z"


def _done_rows(seen: View) -> int:
    return sum(seen.summary.total.rows.values())


def _rows(seen: View) -> str:
    summary = seen.summary
    if summary.rows is None:
        return f"{sum(chunk.rows for chunk in summary.chunks):,} rows planned so far"
    return f"{_done_rows(seen):,} of {summary.rows:,} rows done, {summary.answered:,} answered"


def _batches(seen: View) -> str:
    states = [chunk.state for chunk in seen.summary.chunks]
    words = {"to send": {ChunkState.PLANNED, ChunkState.SENDING}, "in flight": {ChunkState.SENT}}
    words |= {"to collect": {ChunkState.ENDED, ChunkState.ARCHIVED}, "collected": {ChunkState.COLLECTED}}
    counts = {word: sum(state in group for state in states) for word, group in words.items()}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "none yet"


def _state(seen: View) -> str:
    hold = seen.summary.run.hold
    return f"held: {hold.code}" if hold is not None else seen.summary.state


def _cost(seen: View) -> str:
    return f"{dollars(seen.summary.paid)}, {dollars(seen.summary.saved)} saved" if seen.summary.priced else "no price"


def _line(seen: View) -> str:
    """Say it all in a line; nothing in it changes by itself, so that only news makes a new one."""
    step = "" if ended(seen) or seen.step.kind is StepKind.WAIT else f"; next {seen.step.kind}"
    return f"{_state(seen)}; {_rows(seen)}; batches: {_batches(seen)}; {_cost(seen)}{step}"


def _picture(seen: View) -> Group:
    summary = seen.summary
    total = summary.rows or 0
    style = "bold red" if summary.run.hold is not None else "green" if summary.run.state is RunState.DONE else ""
    lines = [
        ("run", f"{summary.run.run_id}, {span(summary.age(seen.now))} old"),
        ("rows", _rows(seen)),
        ("batches", _batches(seen)),
        ("cost", _cost(seen)),
        *[("waits for" if not i else "", text) for i, text in enumerate(waits(seen))],
        *[("" if i else "to do", f"→ {way}") for i, way in enumerate(seen.ways_out)],
    ]
    texts = [Text(f"{label:<9} {folded(text, INDENT)}") for label, text in lines]
    full = BAR * _done_rows(seen) // total if total else 0
    bar = Text(f"{'':<9} {'━' * full}{'─' * (BAR - full)}")
    return Group(texts[0], Text(f"{'state':<9} ").append(_state(seen), style=style), bar, *texts[1:])
