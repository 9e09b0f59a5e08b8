"""A night on the local cloud: the real template, state machine and handlers, driven from outside."""

import json
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.demo.harvest import Harvest, harvest
from local.running import Item, RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON

JOB = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 64
system: You sort support tickets.
prompt: "{{{{ body }}}}"
output: {{labels: [billing, technical, account, other], table: {{key: ticket_id, attribute: category}}}}
{more}
"""
PATIENCE = 180
"""Seconds of real time for a night of a few rows; a cold start takes two of them."""


class Night:
    """One test's job on a cloud that other tests use too: everything it makes has a name of its own."""

    def __init__(self, cloud: RunningCloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.name = f"job-{uuid.uuid4().hex[:10]}"
        self.paid_before = self._paid_twice()
        self._harvests: dict[str, Harvest] = {}

    def job(self, more: str = "schedule: upload", text: str = JOB) -> None:
        body = text.format(name=self.name, more=more).encode()
        self.put(f"jobs/{self.name}.yaml", body)

    def put(self, key: str, body: bytes) -> None:
        self.cloud.client("s3").put_object(Bucket=self.cloud.outputs["InputBucketName"], Key=key, Body=body)

    def rows(self, count: int, prefix: str = "r") -> list[Item]:
        """Make rows whose texts no other test has."""
        return [
            {"id": f"{self.name}-{prefix}{n}", "body": f"{self.name} {prefix}{n}: my invoice"} for n in range(count)
        ]

    def upload(self, rows: Sequence[Any], file: str = "a.jsonl") -> None:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        self.put(f"inbox/{self.name}/{file}", b"".join(line + b"\n" for line in lines))

    def fault(self, endpoint: str, kind: str, **more: Any) -> None:
        self.cloud.api("faults", "POST", {"endpoint": endpoint, "kind": kind, **more})

    def runs(self) -> list[Item]:
        return [run for run in self.cloud.runs() if run["job"]["name"] == self.name]

    def settle(self, runs: int = 1, seconds: float = PATIENCE) -> list[Item]:
        """Wait until so many runs are over and their loops have ended; newest first."""

        def over() -> bool:
            known = self.runs()
            active = {e["name"].rsplit("-c", 1)[0] for e in self.cloud.executions("RUNNING")}
            finished = [r for r in known if r["run_id"] not in active and (r["state"] == "done" or "hold" in r)]
            return len(finished) >= runs == len(known)

        self.until(over, seconds)
        return self.runs()

    def until(self, true: Callable[[], object], seconds: float = PATIENCE, pause: float = 0.2) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                logs = "\n".join(str(line) for line in self.cloud.ask("logs")[-25:])
                pytest.fail(f"not within {seconds} s\n{self.runs()}\n{logs}")
            time.sleep(pause)

    def kill(self, function: str) -> None:
        """SIGKILL a process of a function as soon as one is at work."""

        def killed() -> bool:
            try:
                self.cloud.ask("kill", post=True, function=function)
            except urllib.error.HTTPError:
                return False
            return True

        self.until(killed, pause=0.01)

    def harvest(self, run: Item) -> Harvest:
        """Bring home the files of a run that is over."""
        if run["run_id"] not in self._harvests:
            self._harvests[run["run_id"]] = harvest(self.cloud, run["run_id"], self.folder / run["run_id"])
        return self._harvests[run["run_id"]]

    def lines(self, run: Item, part: str) -> list[Item]:
        """Return the lines of one of the run's files."""
        self.harvest(run)
        return [json.loads(line) for line in (self.folder / run["run_id"] / f"{part}.jsonl").read_text().splitlines()]

    def tickets(self, run: Item) -> dict[str, Item]:
        return {t["ticket_id"]: t for t in self.lines(run, "tickets") if t["nightshift_run"] == run["run_id"]}

    def batches(self, run: Item) -> list[Item]:
        """Return the batches at the API whose custom_ids are this run's."""
        _, chunks = self.cloud.ledger(run["run_id"])
        claimed = {chunk["batch_id"] for chunk in chunks if "batch_id" in chunk}
        return [b for b in self.cloud.api("batches") if b["id"] in claimed]

    def paid_twice(self) -> int:
        """Return how many more requests are billed in more than one batch than before this test."""
        return self._paid_twice() - self.paid_before

    def _paid_twice(self) -> int:
        count: int = self.cloud.api("audit")["billed_params"]["in_more_than_one_batch"]
        return count

    def history(self, run: Item, execution: int = 1) -> list[Item]:
        sfn = self.cloud.client("stepfunctions")
        arn = self.cloud.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:")
        pages = sfn.get_paginator("get_execution_history").paginate(
            executionArn=f"{arn}:{run['run_id']}-c{execution:04d}"
        )
        return [event for page in pages for event in page["events"]]


@pytest.fixture(scope="session")
def cloud() -> Iterator[RunningCloud]:
    """The local cloud, once for all tests of the session."""
    with running_cloud(python=str(DESK_PYTHON)) as running:
        yield running


@pytest.fixture
def night(cloud: RunningCloud, tmp_path: Path) -> Iterator[Night]:
    before = cloud.api("settings")
    cloud.api("settings", "POST", {"duration_seconds": 60})  # two or three looks; nights of their own length say so
    yield Night(cloud, tmp_path)
    cloud.api("faults", "DELETE")
    cloud.api("settings", "POST", before)
