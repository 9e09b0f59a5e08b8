"""The key is rotated while a run is under way."""

import json
from collections.abc import Iterator

import pytest

from local.running import RunningCloud
from tests.integration.conftest import Night


class Keys:
    """The stack's secret, and the keys that the API takes."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.secret = cloud.outputs["ApiKeySecretArn"]
        self.first = self.stored()

    def stored(self) -> str:
        answer = self.cloud.client("secretsmanager").get_secret_value(SecretId=self.secret)
        found: str = json.loads(answer["SecretString"])["api_key"]
        return found

    def put(self, key: str) -> None:
        text = json.dumps({"api_key": key})
        self.cloud.client("secretsmanager").put_secret_value(SecretId=self.secret, SecretString=text)

    def only(self, *keys: str) -> None:
        """Let the API take these keys and no others; all are of one workspace."""
        self.cloud.api("settings", "POST", {"keys": keys, "workspaces": dict.fromkeys(keys, "default")})


@pytest.fixture
def keys(cloud: RunningCloud) -> Iterator[Keys]:
    keys = Keys(cloud)
    yield keys
    keys.put(keys.first)


def test_a_run_goes_on_with_the_new_key_and_sends_nothing_twice(night: Night, keys: Keys) -> None:
    night.job("batch: {max_rows: 2}\nschedule: upload")
    night.cloud.api("settings", "POST", {"duration_seconds": 1200, "jitter": 0})
    night.upload(night.rows(4))
    night.until(lambda: night.runs() and night.batches(night.runs()[0]), pause=0.01)

    keys.put("sk-ant-the-new-key")
    keys.only("sk-ant-the-new-key")

    (run,) = night.settle()
    assert (run["state"], night.harvest(run).report["counts"]["answered"]) == ("done", 4)
    assert night.paid_twice() == 0


def test_a_key_that_is_revoked_before_there_is_a_new_one_loses_nothing(night: Night, keys: Keys) -> None:
    night.job()
    night.cloud.api("settings", "POST", {"duration_seconds": 20_000, "jitter": 0})
    night.upload(night.rows(3))
    night.until(lambda: night.runs() and night.batches(night.runs()[0]), pause=0.01)

    keys.only("sk-ant-the-newest-key")  # another than the other test's, which functions may still know
    night.until(lambda: "API key is invalid" in json.dumps(night.cloud.ask("logs")))
    keys.put("sk-ant-the-newest-key")

    (run,) = night.settle()
    assert (run["state"], night.harvest(run).report["counts"]["answered"]) == ("done", 3)
    assert keys.first not in json.dumps(night.cloud.ask("logs"))
