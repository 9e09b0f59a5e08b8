"""`nightshift restore`: what a ledger has lost comes back, what it has stays, and nothing is sent by that alone."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from nightshift.adapters.dynamodb import DynamoLedger, chunk_key, run_key
from nightshift.adapters.items import Change, Items, to_wire
from nightshift.model import ChunkState, Hold, HoldCode, RunId
from nightshift_cli import restore
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, input_ref, run

HELD, DONE = RunId("triage-20261121-heldheld"), RunId("triage-20261120-donedone")


@dataclass
class Backup:
    """A stack, and the table that its ledger was restored to: three runs, one of them open, with two chunks each."""

    stack: CliStack
    ledger: DynamoLedger
    table: str

    def __call__(self, *words: str) -> Said:
        return self.stack("restore", self.table, *words)

    def items(self, table: str) -> dict[tuple[str, str], Any]:
        found = self.stack.client("dynamodb").scan(TableName=table)["Items"]
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}

    def lose(self, *keys: dict[str, str]) -> None:
        """Make the ledger as it was, without these items."""
        client = self.stack.client("dynamodb")
        lost = {tuple(key.values()) for key in keys}
        for key, item in self.items(self.table).items():
            if key not in lost:
                client.put_item(TableName=self.stack.runs, Item=item)


@pytest.fixture
def backup(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[Backup]:
    client = boto3.client("dynamodb", endpoint_url=aws_endpoint)
    described = client.describe_table(TableName=runs_table)["Table"]
    table = f"backup-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            each for each in described["AttributeDefinitions"] if each["AttributeName"] in {"pk", "sk"}
        ],
        KeySchema=described["KeySchema"],
    )
    full = DynamoLedger(client, table)
    for number, name in enumerate((RUN, HELD, DONE)):
        full.create_run(run(name, inputs=(input_ref(version=f"v{number}"),)))
        for each in (1, 2):
            item = chunk(each, ChunkState.SENT if name == RUN else ChunkState.COLLECTED)
            client.put_item(
                TableName=table,
                Item=to_wire({**chunk_key(name, item.id), "run_id": name, "rows": 3, "state": item.state}),
            )
    full.hold(HELD, Hold(HoldCode.OVER_MONTH, "no money", START))
    full.reported(DONE, "f", done=True)
    with serving() as plane:
        yield Backup(CliStack(aws_endpoint, plane, ledger, runs_table), full, table)
    client.delete_table(TableName=table)


def test_an_empty_ledger_gets_all_back_and_a_run_that_was_open_is_held(backup: Backup) -> None:
    dry = backup("--dry-run")
    assert dry == Said(
        Exit.DONE,
        [
            f"the ledger lacks 12 of the 12 items of {backup.table} (runs: 3, chunks: 6, others: 3)",
            f"held once it is back: {RUN}",
        ],
        ["nothing is done: this was a dry run"],
    )
    assert backup.items(backup.stack.runs) == {}

    said = backup("--yes")

    assert (said.status, said.out) == (Exit.DONE, ["they are back. Before anything is resumed: nightshift orphans"])
    was, now = backup.items(backup.table), backup.items(backup.stack.runs)
    key = tuple(run_key(RUN).values())
    assert {name: item for name, item in now.items() if name != key} == {
        name: item for name, item in was.items() if name != key
    }
    held = backup.stack.ledger.run(RUN).hold
    assert held is not None
    assert (held.code, backup.table in held.reason) == (HoldCode.BY_HAND, True)
    assert backup.stack.ledger.run(HELD) == backup.ledger.run(HELD)
    assert [each.run_id for each in backup.stack.ledger.open_runs()] == [RUN, HELD]


def test_what_the_ledger_has_stays_as_it_is(backup: Backup) -> None:
    backup.lose(chunk_key(RUN, chunk(2).id))
    backup.stack.ledger.work_until(RUN, START)
    before = backup.items(backup.stack.runs)

    told = json.loads("\n".join(backup("--yes", "--json").out))

    assert told == {
        "done": True,
        "table": backup.table,
        "items": 12,
        "lost": {"runs": 0, "chunks": 1, "others": 0},
        "open": [],
    }
    after = backup.items(backup.stack.runs)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {tuple(chunk_key(RUN, chunk(2).id).values())}
    assert backup("--yes").out == [f"the ledger has all 12 items of {backup.table}"]


def test_more_items_than_are_asked_for_at_once_are_all_compared(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "AT_ONCE", 5)
    backup.lose(run_key(DONE))
    assert backup("--dry-run").out == [f"the ledger lacks 1 of the 12 items of {backup.table} (runs: 1)"]


def test_a_run_comes_back_behind_its_chunks(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[str] = []

    def apply(items: Items, change: Change) -> None:
        put.append(change.key["sk"])
        real(items, change)

    real = Items.apply
    monkeypatch.setattr(Items, "apply", apply)
    backup("--yes")
    assert put[-3:] == ["META"] * 3
    assert "META" not in put[:-3]


def test_what_somebody_writes_meanwhile_is_not_written_over(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    put_back = restore._put_back

    def late(*words: Any) -> None:
        backup.stack.ledger.create_run(run(RUN, inputs=(input_ref(version="other"),)))
        put_back(*words)

    monkeypatch.setattr(restore, "_put_back", late)
    said = backup("--yes")

    assert said.status == Exit.FAILED
    assert said.err[-1].startswith(f"the ledger is being changed: it has RUN#{RUN} META by now.")
    assert backup.stack.ledger.run(RUN).hold is None


def test_the_ledger_itself_and_another_table_are_refused(backup: Backup, aws_endpoint: str) -> None:
    assert backup.stack("restore", "nope").err == ["there is no table nope in this account and region"]
    assert "is the ledger" in backup.stack("restore", backup.stack.runs, "--yes").err[0]
    client = boto3.client("dynamodb", endpoint_url=aws_endpoint)
    table = f"other-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "ticket_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "ticket_id", "KeyType": "HASH"}],
    )
    client.put_item(TableName=table, Item={"ticket_id": {"S": "1"}})
    assert "is no backup of a ledger" in backup.stack("restore", table, "--yes").err[0]
