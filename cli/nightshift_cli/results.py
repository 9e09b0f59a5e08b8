"""`nightshift results` and `report`: a run's files, on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from nightshift import run_files
from nightshift.errors import NightshiftError
from nightshift.model import Run, RunId, RunState
from nightshift_cli.console import put, put_json, say
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, RunArgument, StackName
from nightshift_cli.stack import Stack, find

Folder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Where to; by default a folder named for the run, here.")
]


class NoReport(NightshiftError):
    """A run has no report yet."""


def results(
    run: RunArgument,
    folder: Folder = None,
    *,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Download what became of a run's rows: all answers as one file, output/, failed/ and rejects/.

    A file that is there already is not fetched again: after an interruption, or while the run goes on, the same
    command fetches the rest.
    """
    here = find(stack, local=local)
    found, into = here.ledger().run(RunId(run)), folder or Path(run)
    files = [(key, into / name, size) for key, name, size in _files(here, found)]
    # A part's content never changes, and a download appears whole or not at all.
    absent = [(key, path) for key, path, size in files if not path.is_file() or path.stat().st_size != size]
    terminal = Console(stderr=True)
    for key, path in track(absent, "files", console=terminal, transient=True, disable=not terminal.is_terminal):
        _fetch(here, key, path)
    done = found.state is RunState.DONE
    if json:
        put_json({"run_id": run, "done": done, "files": [str(path) for _, path, _ in files], "fetched": len(absent)})
        return
    put(str(into))
    say(f"{len(files):,} files, {len(absent):,} of them fetched now")
    if not done:
        say("the run is not done: the same command fetches the rest later")


def report(
    run: RunArgument,
    folder: Folder = None,
    *,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only download it, and print where it is.")] = False,
    json: AsJson = False,
    stack: StackName = DEFAULT_STACK,
    local: Local = False,
) -> None:
    """Download a run's report and open it in the browser; with --json it is only downloaded."""
    here = find(stack, local=local)
    found = here.ledger().run(RunId(run))
    key = run_files.report_page(found.run_id)
    if not here.results().tag(key):
        raise NoReport(f"Run {run} has no report yet; {here.command(f'show {run}')}")
    path = (folder or Path(run)) / "report.html"
    _fetch(here, key, path)
    if json:
        put_json({"run_id": run, "file": str(path)})
        return
    put(str(path))
    if not no_open:
        typer.launch(str(path))


def _files(here: Stack, run: Run) -> Iterator[tuple[str, str, int]]:
    """List what became of a run's rows: key, name in a folder, bytes."""
    home = run_files.home(run.run_id)
    pages = here.clients("s3").get_paginator("list_objects_v2")
    for prefix in (f"{home}output.", f"{home}output/", f"{home}failed/", run_files.rejects(run.run_id, run.plan)):
        for page in pages.paginate(Bucket=here.outputs["OutputBucketName"], Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"], item["Key"].removeprefix(home), item["Size"]


def _fetch(here: Stack, key: str, path: Path) -> None:
    """Download an object; boto3 writes beside the file and renames, so that no half of one is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here.clients("s3").download_file(here.outputs["OutputBucketName"], key, str(path))
