"""What caching does to the bill of the demo's job: no cache, a cold one, and one that a pilot fills first.

    make bench-caching

The job and the tickets of `make demo`, three times through the local cloud. Tokens are the local API's (four characters
are one); its cache accounting is the documented one: requests of one batch do not see each other's writes. Dollars are
tokens times the list price of the run's model.
"""

import json
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # a script, called by its path

from local.demo.harvest import harvest  # noqa: E402 - below the path
from local.running import RunningCloud, running_cloud  # noqa: E402 - below the path

JOB, INPUT = ROOT / "jobs/ticket-triage.yaml", ROOT / "samples/tickets.jsonl"
DESK_PYTHON = ROOT / ".venvs/desk/bin/python"
WAYS = {
    "no cache": "cache: {when: never}\npilot: none\n",
    "cold": "cache: {when: always}\npilot: none\n",
    "primed by a pilot of 20": "cache: {when: primed}\npilot: {rows: 20, above: 100}\n",
}
KINDS = {
    "input": "input_tokens",
    "cache writes, 1 h": "ephemeral_1h_input_tokens",
    "cache reads": "cache_read_input_tokens",
    "output": "output_tokens",
}
USD_PER_MTOK = {  # claude-haiku-5-5 in a batch, prompts up to 100,000 tokens (Anthropic's list, November 2026)
    "input": Decimal("0.05"),
    "cache writes, 1 h": Decimal("0.10"),
    "cache reads": Decimal("0.005"),
    "output": Decimal("0.25"),
}
PATIENCE = 120


def main() -> None:
    """Print a table for the README."""
    used = {}
    for way, more in WAYS.items():  # each on a cloud of its own: the cache is cold
        with running_cloud(python=str(DESK_PYTHON)) as cloud, tempfile.TemporaryDirectory() as folder:
            used[way] = night(cloud, Path(folder), way, more)
    print("| | " + " | ".join(KINDS) + " | USD |")
    print("|---|" + "---|" * (len(KINDS) + 1))
    for way, tokens in used.items():
        usd = sum((tokens[kind] * price for kind, price in USD_PER_MTOK.items()), Decimal(0)) / 10**6
        print(f"| {way} | " + " | ".join(f"{tokens[kind]:,}" for kind in KINDS) + f" | {usd:.5f} |")


def night(cloud: RunningCloud, folder: Path, way: str, more: str) -> dict[str, int]:
    """Run the job in one way; return its tokens by kind."""
    name = f"triage-{list(WAYS).index(way)}"
    text = "".join(line for line in JOB.read_text().splitlines(keepends=True) if not line.startswith("cache:"))
    put(cloud, f"jobs/{name}.yaml", text.replace("job: ticket-triage", f"job: {name}").encode() + more.encode())
    put(cloud, f"inbox/{name}/tickets.jsonl", INPUT.read_bytes())
    end = time.monotonic() + PATIENCE
    while not (done := [r for r in cloud.runs() if r["job"]["name"] == name and r["state"] == "done"]):
        if time.monotonic() > end:
            sys.exit(f"{name} did not end: {cloud.runs()}")
        time.sleep(0.5)
    got = harvest(cloud, done[0]["run_id"], folder / name)
    lines = [json.loads(line) for line in (got.folder / "output.jsonl").read_text().splitlines()]
    usages = [line["usage"] | line["usage"]["cache_creation"] for line in lines]
    return {kind: sum(usage[field] for usage in usages) for kind, field in KINDS.items()}


def put(cloud: RunningCloud, key: str, body: bytes) -> None:
    """Put an object into the input bucket."""
    cloud.client("s3").put_object(Bucket=cloud.outputs["InputBucketName"], Key=key, Body=body)


if __name__ == "__main__":
    main()
