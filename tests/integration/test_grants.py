"""Least privilege the other way round: what a role may do, and no run did, has its reason in unused-grants.yaml."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON
from tests.integration.conftest import Night

REASONS = Path(__file__).parent / "unused-grants.yaml"


@pytest.fixture(scope="module")
def fresh() -> Iterator[RunningCloud]:
    """A stack that nothing but these runs has used."""
    with running_cloud("--param", "MaxTurns=20", python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


def every_way(cloud: RunningCloud, folder: Path) -> None:
    """Go every way in, and meet what roles have rights for: a retry, a skip, a sample, cut results, a lost create,
    a loop that is stopped, and one that hands over.
    """
    uploaded = Night(cloud, folder)
    uploaded.job("verify: {sample: 2}\nschedule: upload")
    rows = uploaded.rows(6)
    uploaded.fault("create", "accept-then-close", times=1)
    uploaded.fault("results", "cut-line", times=1, lines=2)
    uploaded.fault("rows", "overloaded", text=rows[1]["body"], first_times=1)
    uploaded.upload(rows)
    uploaded.settle()
    uploaded.job("skip: answered\nschedule: upload")
    uploaded.upload([*rows, *uploaded.rows(2, "more")], "more.jsonl")
    uploaded.settle(2)

    nightly = Night(cloud, folder)
    nightly.job("schedule: nightly")
    nightly.upload(nightly.rows(2))
    cloud.ask("fire", post=True, name="SubmitFunctionNightly")
    cloud.ask("fire", post=True, name="AuditFunctionNightDue")
    nightly.settle()
    stopped = Night(cloud, folder)
    stopped.job()
    cloud.api("settings", "POST", {"duration_seconds": 10_000})
    stopped.upload(stopped.rows(2))
    stopped.until(lambda: stopped.runs() and stopped.batches(stopped.runs()[0]), pause=0.02)
    machine = cloud.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:")
    cloud.client("stepfunctions").stop_execution(executionArn=f"{machine}:{stopped.runs()[0]['run_id']}-c0001")
    stopped.settle()
    for schedule in ("AuditFunctionRegularly", "TellFunctionSoon"):
        cloud.ask("fire", post=True, name=schedule)
    nightly.until(lambda: "AuditHeartbeat" in str(cloud.ask("logs")))


def test_every_grant_is_used_or_has_a_reason(fresh: RunningCloud, tmp_path: Path) -> None:
    every_way(fresh, tmp_path)

    report = fresh.ask("iam")
    unused = {f"{grant['who']} {grant['statement'].split('/')[-1]} {grant['action']}" for grant in report["unused"]}
    reasons = yaml.safe_load(REASONS.read_text())
    assert report["denied"] == []
    assert sorted(unused - set(reasons)) == [], "a grant that nothing used: take it away, or say why it stays"
    assert sorted(set(reasons) - unused) == [], "a reason for a grant that is used, or gone: take it away"
