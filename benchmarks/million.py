"""A million rows through the local cloud, from the upload to the last ticket, and how long each stage took.

    make bench-million [N=20000]

On AWS's own engine for the tables (DynamoDB Local), and on this machine's clock: the API's batches take no time, but
the local API has to make up a million answers. So the times say that it works and what dominates here, not how fast AWS
would be.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import batched
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # a script, called by its path

from benchmarks import made  # noqa: E402 - below the path
from local.running import Item, RunningCloud, running_cloud  # noqa: E402 - below the path

ROWS = 1_000_000
KEPT = made.FOLDER / "million.md"
"""What a whole million has come to last, for the report."""
DESK_PYTHON = ROOT / ".venvs/desk/bin/python"
JOB = made.SMALL_BATCHES + b"schedule: upload\n"
INBOX = "inbox/bench/rows.jsonl"
SAMPLE = 5000
"""Tickets that are looked at in the end."""
PATIENCE = 3600
"""Seconds without any progress, after which this gives up."""
STAGES = ("planned", "sent", "archived", "collected", "reported")
BEHIND = {
    "sent": {"SENT", "ENDED", "ARCHIVED", "COLLECTED"},
    "archived": {"ARCHIVED", "COLLECTED"},
    "collected": {"COLLECTED"},
}
"""Stage → states of a chunk that has come so far."""


def main() -> None:
    """Run it, and print the times."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    source = made.rows("1 KB", rows)
    with running_cloud("--dynamodb", "local", python=str(DESK_PYTHON)) as cloud:
        cloud.api("settings", "POST", {"duration_seconds": 60})
        cloud.client("s3").put_object(Bucket=cloud.outputs["InputBucketName"], Key=made.JOB_KEY, Body=JOB)
        began = time.monotonic()
        cloud.upload(INBOX, source)
        print(f"{rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB; uploaded after {time.monotonic() - began:.0f} s")
        run, times = watch(cloud, began)
        found = check(cloud, run, rows)
        print(found)
        if rows == ROWS:
            KEPT.write_text("\n".join([*times, "", found]) + "\n")


def watch(cloud: RunningCloud, began: float) -> tuple[Item, list[str]]:
    """Print each stage's end, until the run is reported; return the run, and what was printed."""
    times: list[str] = []
    stages, last, changed = list(STAGES), "", time.monotonic()
    while True:
        time.sleep(1)
        found = cloud.runs()
        run, chunks = cloud.ledger(found[0]["run_id"]) if found else ({}, [])
        if "hold" in run:
            sys.exit(f"held: {run['hold']}")
        while stages and is_over(stages[0], run, chunks):
            times.append(f"* {stages.pop(0)} after {time.monotonic() - began:,.0f} s")
            print(times[-1], flush=True)
        if not stages:
            return run, times
        now = f"{run.get('turn')} {[chunk['state'] for chunk in chunks]}"
        last, changed = (now, time.monotonic()) if now != last else (last, changed)
        if time.monotonic() - changed > PATIENCE:
            sys.exit(f"no progress in {PATIENCE} s: {now}")


def is_over(stage: str, run: Item, chunks: list[Item]) -> bool:
    """Tell whether the whole run has come so far."""
    over: dict[str, Callable[[], bool]] = {
        "planned": lambda: bool(run.get("planned")),
        "reported": lambda: run.get("state") == "done",
    }
    at_least = over.get(stage, lambda: all(chunk["state"] in BEHIND[stage] for chunk in chunks))
    return bool(chunks) and at_least()


def check(cloud: RunningCloud, run: Item, rows: int) -> str:
    """Hold the report, the tickets and the bill against the input; return what was found."""
    s3, bucket = cloud.client("s3"), cloud.outputs["OutputBucketName"]
    report = json.load(s3.get_object(Bucket=bucket, Key=f"runs/{run['run_id']}/report.json")["Body"])
    written, looked_at = report["tickets"]["written"], min(rows, SAMPLE)
    there = tickets(cloud, random.Random(7).sample(range(1, rows + 1), looked_at))
    twice = cloud.api("audit")["billed_params"]["in_more_than_one_batch"]
    answered, batches = report["counts"]["answered"], len(report["batches"])
    whole = report["accounted"] and report["rows"] == answered == written == rows
    if not whole or there != looked_at or twice:
        sys.exit(f"not every row is in it once: {report['counts']}, {written:,} tickets, {twice} paid twice")
    return (
        f"{answered:,} rows answered in {batches} batches, {written:,} tickets written; of {looked_at:,} tickets that "
        f"were looked at, all are there; {twice} rows paid twice."
    )


def tickets(cloud: RunningCloud, numbers: Sequence[int]) -> int:
    """Return how many of these tickets are in the table: to scan a million takes DynamoDB Local half an hour."""
    table, found = cloud.outputs["TicketTableName"], 0
    for some in batched(numbers, 100, strict=False):
        keys = [{"ticket_id": {"S": f"T-{number:08d}"}} for number in some]
        asked = {table: {"Keys": keys, "ProjectionExpression": "answer"}}
        answers = cloud.client("dynamodb").batch_get_item(RequestItems=asked)["Responses"][table]
        found += sum("answer" in each for each in answers)
    return found


if __name__ == "__main__":
    main()
