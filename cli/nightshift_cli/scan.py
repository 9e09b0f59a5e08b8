"""`nightshift scan`: where Python code still asks Claude for one answer at a time, and the job that could do it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from nightshift import clock
from nightshift_cli.console import put, put_json, say
from nightshift_cli.exits import Exit
from nightshift_cli.options import AsJson
from nightshift_cli.scan_calls import Call, Kind, calls
from nightshift_cli.scan_draft import Draft, draft, names
from nightshift_cli.scan_source import Source, Unread, sources
from nightshift_cli.scan_verdict import Judge, Verdict

DRAFTED = frozenset({Kind.SYNC, Kind.ASYNC})
"""Calls of the SDK: their arguments are those of a request."""


@dataclass(frozen=True, slots=True)
class Found:
    """One call, judged."""

    call: Call
    verdict: Verdict
    reason: str
    draft: Draft | None

    def line(self) -> str:
        """Return what a person reads."""
        kind = " ".join(filter(None, [self.call.kind, self.call.client]))
        return f"{self.call.source.path}:{self.call.line}: {self.verdict}: {kind} {self.call.what}: {self.reason}"

    def record(self) -> dict[str, Any]:
        """Return what `--json` has of it."""
        return {
            "file": self.call.source.path,
            "line": self.call.line,
            "kind": self.call.kind,
            "call": self.call.what,
            "client": self.call.client or None,
            "streams": self.call.streams,
            "verdict": self.verdict,
            "reason": self.reason,
            "job": self.draft and self.draft.name,
            "draft": self.draft and self.draft.text,
        }


def scan(
    path: Annotated[Path, typer.Argument(metavar="PATH", exists=True, readable=True, help="A file or a folder.")],
    *,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", file_okay=False, help="Where drafts of job files go.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Files to leave out, as in '**/tests/**'.")
    ] = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="Print the drafts, too.")] = False,
    json: AsJson = False,
) -> None:
    """List each call in Python code that asks Claude for an answer at once, and draft the job that could do it.

    Nothing is run or imported. Exit status 0 says that no such call is left, in any file that could be read, and that
    all could be.
    """
    read = [*sources(path, exclude or ())]
    if not read:
        raise typer.BadParameter(f"there is no Python file at {path}")
    project = [each for each in read if isinstance(each, Source)]
    unread = [each for each in read if isinstance(each, Unread)]
    found = [*_judged(project)]
    if write is not None:
        _write(write, found)
    if json:
        put_json(_record(project, unread, found))
    else:
        for each in found:
            put(each.line())
        for each in found:
            if drafts and each.draft is not None:
                put(f"--- # {each.draft.name}.yaml\n{each.draft.text}")
        _sum_up(project, unread, found)
    if found or unread:
        raise typer.Exit(Exit.FOUND)


def _judged(project: Sequence[Source]) -> Iterator[Found]:
    judge, today = Judge(project), clock.now().date()
    judged = [(call, *judge.judge(call)) for call in calls(project)]
    wanted = [call for call, verdict, _ in judged if verdict is not Verdict.NO and call.kind in DRAFTED]
    named = dict(zip(map(id, wanted), names(wanted), strict=True))
    for call, verdict, reason in judged:
        yield Found(call, verdict, reason, draft(call, named[id(call)], today) if id(call) in named else None)


def _write(folder: Path, found: Sequence[Found]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in found:
        if each.draft is None:
            continue
        file = folder / f"{each.draft.name}.yaml"
        if file.exists():
            say(f"{file} is there already: left as it is")
        else:
            file.write_text(each.draft.text, "utf-8")
            say(f"drafted {file}")


def _record(project: Sequence[Source], unread: Sequence[Unread], found: Sequence[Found]) -> dict[str, Any]:
    return {
        "files": len(project),
        "unread": [{"file": each.path, "reason": each.reason} for each in unread],
        "calls": [each.record() for each in found],
        "none_left": not found and not unread,
    }


def _sum_up(project: Sequence[Source], unread: Sequence[Unread], found: Sequence[Found]) -> None:
    for each in unread:
        say(f"{each.path}: {each.reason}")
    files = f"files read: {len(project):,}"
    if found:
        counted = ", ".join(f"{sum(each.verdict is v for each in found)} {v}" for v in Verdict)
        say(f"calls that ask at once: {len(found)} ({counted}); {files}")
        say("a guess from names: read each before you change it. --write DIR drafts job files; docs/migrate.md goes on")
    elif unread:
        say(f"no synchronous call found; but not all files could be read; {files}")
    else:
        say(f"no synchronous call is left; {files}")
