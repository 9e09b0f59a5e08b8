"""Everything under a key of your own: the night is the same, and each role may use the key where it must."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.running import RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON
from tests.integration.conftest import Night

KEY = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000"


SIGNED = ("--param", "Authentication=aws", "--param", "AnthropicWorkspaceId=wrkspc_01Local")
"""Without an API key, there is no secret whose encryption wants a right."""


@pytest.fixture(scope="module", params=[(), SIGNED], ids=["with an API key", "signed"])
def under_a_key(request: pytest.FixtureRequest) -> Iterator[RunningCloud]:
    options = ("--enforce-iam", "--param", f"KmsKeyArn={KEY}", *request.param)
    with running_cloud(*options, python=str(DESK_PYTHON)) as running:
        running.api("settings", "POST", {"duration_seconds": 60})
        yield running


def test_a_night_under_a_key_ends_whole_and_no_call_lacks_a_right(under_a_key: RunningCloud, tmp_path: Path) -> None:
    night = Night(under_a_key, tmp_path)
    night.job("verify: {sample: 2}\nschedule: upload")
    night.upload(night.rows(4))

    (run,) = night.settle()
    under_a_key.ask("fire", post=True, name="AuditFunctionRegularly")
    night.until(lambda: "AuditHeartbeat" in str(under_a_key.ask("logs")))

    assert night.harvest(run).complete
    assert len(night.tickets(run)) == 4
    report = under_a_key.ask("iam")
    assert report["denied"] == []
    unused = {(grant["who"], grant["statement"]) for grant in report["unused"] if "KeyOf" in grant["statement"]}
    assert {statement for _, statement in unused} == {"KeyOfDeadLetters/KeyOfDeadLetters"}  # there was none
