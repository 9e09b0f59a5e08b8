"""Claude Platform on AWS: the same night without any key. Each function signs as its role, for what its role may."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.running import RunningCloud, running_cloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from tests.conftest import DESK_PYTHON
from tests.contract import sources
from tests.integration.conftest import Night

PARAMETERS = ("Authentication=aws", "AnthropicWorkspaceId=wrkspc_01Local")


LOOKS = {"ListBatchInferences", "GetBatchInference"}
NEEDED = {
    "doctor": {"ListBatchInferences"},
    "estimate": {"ListBatchInferences", "CountTokens"},
    "orphans": LOOKS,
    "probe": {*LOOKS, "CreateBatchInference", "CancelBatchInference", "DeleteBatchInference"},
}
"""Command → what a person needs to sign, as docs/operations.md has it under *No key*."""


@pytest.fixture(scope="module")
def without_key() -> Iterator[RunningCloud]:
    options = [word for parameter in PARAMETERS for word in ("--param", parameter)]
    with running_cloud("--enforce-iam", *options, python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


def granted() -> set[tuple[str, str]]:
    """Return (function, action) of what the template's roles may ask the API for."""
    return {
        (role["Ref"].removesuffix("Role"), action)
        for policy in sources.resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in [statement["Action"]] * isinstance(statement["Action"], str) or statement["Action"]
        for role in policy["Properties"]["Roles"]
        if action.startswith("aws-external-anthropic:")
    }


def signed(cloud: RunningCloud) -> set[tuple[str, str]]:
    """Return (function, action) of what was signed, by the local API's record."""
    names = {key: function for function, key in cloud.ask("signers").items()}
    return {(names[key], action) for key, action in cloud.api("signed") if key in names}


def test_a_night_without_a_key_ends_whole_and_each_role_asks_for_what_it_may(
    without_key: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(without_key, tmp_path)
    night.job("verify: {sample: 2}\nbatch: {delete_after_collect: true}\nschedule: upload")
    rows = night.rows(4)
    night.fault("create", "accept-then-close", times=1)
    night.fault("rows", "overloaded", text=rows[1]["body"], first_times=1)
    night.upload(rows)

    (run,) = night.settle()
    without_key.ask("fire", post=True, name="AuditFunctionRegularly")
    night.until(lambda: "deleted at the API" in str(without_key.ask("logs")))

    assert night.harvest(run).complete
    assert len(night.tickets(run)) == 4
    assert night.paid_twice() == 0
    assert without_key.ask("iam")["denied"] == []
    assert signed(without_key) <= granted()
    unused = {f"{function} {action.split(':')[1]}" for function, action in granted() - signed(without_key)}
    assert unused <= {
        "SubmitFunction GetBatchInference",  # the results of batches among which a lost create's cannot be told
        "StatusFunction ListBatchInferences",  # with many batches in flight
        "StatusFunction CancelBatchInference",  # `nightshift cancel`
        "AuditFunction GetBatchInference",  # a batch that no run has
        "AuditFunction CancelBatchInference",  # … whose rows were sent again
    }
    assert without_key.client("secretsmanager").list_secrets()["SecretList"][0]["Name"].startswith("nightshift-Admin")

    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")
    facts = {"endpoint": without_key.endpoint, "region": without_key.region, "outputs": without_key.outputs}
    file.write_text(json.dumps(facts))
    said = person(without_key, "doctor")
    assert f"{without_key.batches_api} takes your signature in wrkspc_01Local" in said
    (file := tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n")
    for words in (("estimate", str(file), "--job", night.name), ("orphans",), ("probe", "--yes", "--wait", "5")):
        person(without_key, *words)
    assert by_desk(without_key) == set().union(*NEEDED.values())


def person(cloud: RunningCloud, *words: str) -> str:
    """Type a command that asks the API for no more than the page says that a person needs; return what it printed."""
    before = by_desk(cloud)
    said = CliRunner().invoke(app, [*words, "--local"], catch_exceptions=False).stdout
    assert by_desk(cloud) - before <= NEEDED[words[0]], words
    return said


def by_desk(cloud: RunningCloud) -> set[str]:
    """Return the actions that a person has signed so far."""
    return {action.split(":")[1] for key, action in cloud.api("signed") if key == "desk"}
