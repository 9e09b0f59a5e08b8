"""`make demo [JOB=…] [INPUT=…] [OUT=…] [FAULTS=…]`: watch a job's night on this machine, in minutes.

The template, the state machine and the handlers are those that are deployed; AWS is a local server, and the answers
come from a stand-in for a model behind a local Message Batches API (local/batches_api/model.py says what it does).

Exit status: 0 the run is done, every row is in exactly one file and billed once at most · 1 it failed, the rows or the
bill do not add up, or a fault that was asked for did not come · 2 the command line · 3 the run is held, and says why.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from local.demo.display import Display
from local.demo.faults import FAULTS, Fault, Provocation
from local.demo.follow import Follower
from local.demo.harvest import Harvest, harvest
from local.demo.story import Story
from local.demo.verdict import Verdict, judge
from local.layers import CHECKOUT
from local.running import CloudDidNotStartError, Item, RunningCloud, running_cloud
from local.wire import Json

NIGHTLY = "SubmitFunctionNightly"
"""The schedule that starts nightly jobs, by its name in the template."""
SAMPLES = {
    "ticket-triage": Path("samples/tickets.jsonl"),
    "eval-grading": Path("samples/evals.jsonl"),
    "product-descriptions": Path("samples/products.csv"),
    "order-extraction": Path("samples/orders.jsonl"),
}
"""What a job of jobs/ is shown with."""
LAYER = CHECKOUT / "layers" / "nightshift"
DONE, FAILED, HELD = 0, 1, 3


def main() -> int:
    """Run the demo; return the exit status."""
    options = _arguments()
    console, started = Console(highlight=False), time.monotonic()
    console.print("starting the local cloud: template.yaml, applied on this machine …")
    try:
        with running_cloud("--dynamodb", options.dynamodb) as cloud:
            status, page = _night(cloud, options, console)
    except CloudDidNotStartError as error:
        console.print(f"The local cloud did not start:\n{error}", style="red")
        return FAILED
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    console.print(f"all of it in {time.monotonic() - started:.0f} s of real time")
    if page is not None:
        console.print(f"what it cost, for people: {page.resolve().as_uri()}", soft_wrap=True)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument(
        "--job", type=_job_file, default="ticket-triage", help="a job file, or the name of one in jobs/"
    )
    parser.add_argument("--input", type=_file, help="what to run it over; a job in jobs/ has a sample of its own")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the answers")
    parser.add_argument("--faults", type=_fault, metavar="NAME", help="what is to go wrong: " + ", ".join(FAULTS))
    parser.add_argument("--dynamodb", choices=["moto", "local"], default="moto", help="local: for large runs")
    options = parser.parse_args()
    options.input = options.input or SAMPLES.get(options.job.stem)
    if options.input is None:
        parser.error(f"{options.job.stem} has no sample: say what to run it over (INPUT=)")
    return options


def _job_file(text: str) -> Path:
    return _file(text if Path(text).suffix else f"jobs/{text}.yaml")


def _file(text: str) -> Path:
    if not Path(text).is_file():
        message = f"there is no file {text}"
        raise argparse.ArgumentTypeError(message)
    return Path(text)


def _fault(name: str) -> Fault:
    if name not in FAULTS:
        known = "\n".join(f"  {known:<16} {fault.warning}" for known, fault in FAULTS.items())
        message = f"there is no fault {name}; there are:\n{known}"
        raise argparse.ArgumentTypeError(message)
    return FAULTS[name]


def _night(cloud: RunningCloud, options: argparse.Namespace, console: Console) -> tuple[int, Path | None]:
    """Upload, follow, bring home; return the exit status, and the report's page where there is one."""
    name, schedule = _job(options.job)
    try:
        cloud.put(f"jobs/{name}.yaml", _whole(options.job))
    except subprocess.CalledProcessError as error:
        console.print(error.stderr.decode().strip(), style="red", markup=False)
        return FAILED, None
    fault: Fault | None = options.faults
    if fault:
        console.print(f"what will go wrong: {fault.warning}", style="yellow")
    story, provocation = Story(), Provocation(fault, cloud)
    display = Display(console, story)
    with display.open():
        cloud.upload(f"inbox/{name}/{options.input.name}", options.input)
        if schedule == "manifest":
            manifest = {"files": [{"file": options.input.name, "size": options.input.stat().st_size}]}
            cloud.put(f"inbox/{name}/demo.manifest.json", json.dumps(manifest).encode())
        if schedule == "nightly":
            display.say(f"{name} is a nightly job: firing the schedule")
            cloud.ask("fire", post=True, name=NIGHTLY)
        follower = Follower(cloud, story, provocation, display)
        trouble, run_id = follower.follow(), follower.run_id
    if run_id is None:
        console.print(trouble, style="red")
        return FAILED, None
    got = harvest(cloud, run_id, options.out)
    _summary(console, run_id, got, cloud)
    verdict = judge(cloud.api("audit"), got, shown=not provocation.missing)
    _sentence(console, verdict, fault)
    if trouble:
        console.print(trouble, style="red")
    run, _ = cloud.ledger(run_id)
    if hold := run.get("hold"):
        console.print(f"HELD, nothing more was sent ({hold['code']}): {hold['reason']}", style="red", soft_wrap=True)
        return HELD if verdict.sound else FAILED, got.page
    return DONE if run["state"] == "done" and verdict.clean and not trouble else FAILED, got.page


def _sentence(console: Console, verdict: Verdict, fault: Fault | None) -> None:
    """Say the verdict, within 80 columns, and what a plain script makes of the fault."""
    style = "red" if verdict.twice else "green"
    console.print("by the API's own record:", style=style)
    console.print(f"  POSTs that reached the API: {verdict.posts} · batches made: {verdict.batches}", style=style)
    console.print(f"  rows billed: {verdict.billed:,} · billed twice: {verdict.twice:,}", style=style)
    if verdict.complete:
        console.print("every row is in exactly one file, once", style="green")
    if not verdict.shown:
        console.print("what was to go wrong was not seen", style="red")
    elif fault:
        console.print(f"Elsewhere: {fault.otherwise}")


def _job(path: Path) -> tuple[str, str]:
    """Return the job's name, and when it starts; a bad file is nightshift's to refuse."""
    try:
        job = yaml.safe_load(path.read_text())
        return str(job["job"]), str(job.get("schedule", "nightly"))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return path.stem, ""


def _whole(path: Path) -> bytes:
    """Return a job file as `nightshift job put` stores it, and what it has in files beside it."""
    command = [sys.executable, "-m", "nightshift.job_files", str(path.resolve())]
    return subprocess.run(command, cwd=LAYER, check=True, capture_output=True).stdout


def _summary(console: Console, run_id: str, got: Harvest, cloud: RunningCloud) -> None:
    table = Table(title=run_id, title_justify="left")
    table.add_column("what became of the rows")
    table.add_column("rows", justify="right")
    for name, count in got.report.get("counts", {}).items():
        if count:
            table.add_row(name, f"{count:,}")
    table.add_row("all", f"{got.report.get('rows', 0):,}", style="bold")
    console.print(table)
    usage = got.report.get("usage", {})
    console.print(
        f"{len(got.report.get('batches', []))} batches · {usage.get('input_tokens', 0):,} input and "
        f"{usage.get('output_tokens', 0):,} output tokens · {got.lines['tickets']:,} tickets",
        soft_wrap=True,
    )
    for line, style in _money(got.report):
        console.print(line, style=style, markup=False, soft_wrap=True)
    for name in ("output", "failed", "rejects", "tickets"):
        console.print(f"  {got.folder / name}.jsonl  {got.lines[name]:,} lines")
    for name in ("output.csv", "report.json"):
        if (got.folder / name).exists():
            console.print(f"  {got.folder / name}")
    for line in _functions(cloud):
        console.print(line)
    if got.lines["output"]:
        console.print("The answers are a stand-in's, not Claude's (local/batches_api/model.py).")


def _money(report: Json) -> Iterator[tuple[str, str]]:
    """Say what the run cost, would have cost, and what the cache did; each with its style."""
    if not report:
        return
    yield report["headline"], "bold"
    cost = report["cost"]
    if cost["estimate_error"] is not None:
        off = f"{abs(cost['estimate_error']) * 100:.0f} % {'more' if cost['estimate_error'] > 0 else 'less'}"
        yield f"  {off} than the estimate, ${cost['estimated_usd']:.4f} (from {cost['basis']})", ""
    yield f"  {report['cache']['verdict']}", ""
    if warning := report["discount"]["warning"]:
        yield f"  {warning}", "bold red"


def _functions(cloud: RunningCloud) -> Iterator[str]:
    """Say what each function needed: on AWS, memory is what its seconds are billed by."""
    calls: dict[str, list[Item]] = {}
    for call in cloud.ask("calls"):
        calls.setdefault(call["function"], []).append(call)
    for function, made in calls.items():
        most, allowed = max(call["memory_mb"] for call in made), made[0]["configured_mb"]
        seconds = sum(call["ms"] for call in made) / 1000
        yield f"  {function}: {len(made)} invocations, {seconds:.1f} s, at most {most} of {allowed:,} MB"


if __name__ == "__main__":
    sys.exit(main())
