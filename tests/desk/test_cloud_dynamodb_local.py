"""AWS's own DynamoDB engine behind the same endpoint."""

import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.children import ChildError, dynamodb_home
from tests.desk.cloud import APP, RunningCloud, running, started, until


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    """Have the engine here, or say why these tests cannot run; CI has what it needs."""
    try:
        dynamodb_home()
    except ChildError as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


def engines(port_owner: int) -> list[int]:
    """The Java processes below a process."""
    parents = {int(p.name): p for p in Path("/proc").iterdir() if p.name.isdigit()}
    return [pid for pid, entry in parents.items() if line(entry).startswith(b"java\0") and owned(pid, port_owner)]


def line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def owned(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def put(cloud: RunningCloud, size: int) -> Any:
    item = {"pk": {"S": "size"}, "sk": {"S": str(size)}, "value": {"S": "x" * size}}
    return cloud.client("dynamodb").put_item(TableName=cloud.resource("Items"), Item=item)


def test_tables_have_the_engine_s_limits_and_functions_their_rights_and_nothing_is_left(tmp_path: Path) -> None:
    with running(tmp_path, "--template", str(APP), "--dynamodb", "local") as cloud:
        java = engines(cloud.process.pid)
        put(cloud, 399_000)  # moto refuses this one
        with pytest.raises(ClientError, match="Item size has exceeded"):
            put(cloud, 410_000)
        inbox = cloud.resource("Inbox")
        cloud.client("s3").put_object(Bucket=inbox, Key="in/table=[]", Body=b"")
        until(lambda: [one for one in cloud.get("events") if one["kind"] == "execution.ended"])
        denied = cloud.get("iam")["denied"]

    assert [one["action"] for one in denied] == ["dynamodb:DeleteItem"]
    assert len(java) == 1
    assert not Path(f"/proc/{java[0]}").exists()


def test_the_engine_dies_with_a_cloud_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path, "--template", str(APP), "--dynamodb", "local") as cloud:
        (java,) = engines(cloud.process.pid)
        cloud.process.kill()
        cloud.process.wait()

    assert until(lambda: not Path(f"/proc/{java}").exists())
