"""`nightshift orphans`: batches that no chunk has, whose they are, and nothing done about them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import Ambiguous
from nightshift.model import BatchView
from nightshift_cli import api
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, batch, chunk, intent, run
from tests.unit.night import ids
from tests.unit.result_lines import labelled

NOW = START + timedelta(hours=3)


class Api:
    """An API with these batches; of those with a name, the results begin with it."""

    def __init__(self, batches: Sequence[BatchView], names: dict[str, str]) -> None:
        self.listed = batches
        self.names = names

    def batches(self, since: datetime) -> Iterator[BatchView]:
        return (each for each in self.listed if each.created_at >= since)

    @contextmanager
    def results(self, view: BatchView) -> Iterator[Iterator[bytes]]:
        if view.id not in self.names:
            raise Ambiguous("lost")
        yield iter([labelled(self.names[view.id])])

    def close(self) -> None:
        """Have nothing to close."""


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def with_batches(monkeypatch: pytest.MonkeyPatch, *batches: BatchView, **names: str) -> None:
    monkeypatch.setattr(api, "batches", lambda _stack: Api(batches, names))


def test_each_batch_that_no_run_has_is_listed_with_whose_it_is(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.plan_chunk(chunk(1))
    nightshift.ledger.start_send(chunk(1), intent(1))
    nightshift.ledger.sent(intent(1), batch("claimed"), adopted=False)
    before = nightshift.ledger.chunks(RUN)
    ours, theirs, silent = (batch(name, status="ended") for name in ("ours", "theirs", "silent"))
    old = batch("old", status="ended", created_at=NOW - timedelta(days=3))
    with_batches(
        monkeypatch,
        *(ours, theirs, silent, batch("claimed"), batch("running"), old),
        ours=ids(chunk(1).id, 1)[0],
        theirs="zzzzzzzz-g0-000001-000001",
    )

    said = nightshift("orphans")

    assert said.status == Exit.FOUND
    assert said.out == [
        "batch           age  status       rows  answered  what it is",
        f"ours     3 h 00 min  ended           3         3  rows of {RUN}",
        "theirs   3 h 00 min  ended           3         3  another program's, or another stack's",
        "silent   3 h 00 min  ended           3         3  its results cannot be read (Ambiguous)",
        "running  3 h 00 min  in_progress     3         0  it still runs; whose it is shows when it has ended",
    ]
    record = json.loads("\n".join(nightshift("orphans", "--days", "29", "--json").out))
    assert [each["batch_id"] for each in record] == ["ours", "theirs", "silent", "running", "old"]
    assert nightshift.ledger.chunks(RUN) == before


def test_a_batch_that_a_create_may_have_made_is_left_to_it(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.plan_chunk(chunk(1))
    nightshift.ledger.start_send(chunk(1), intent(1))
    with_batches(monkeypatch, batch("maybe", status="ended"))

    said = nightshift("orphans")

    assert said.status == Exit.DONE
    assert said.out[1].endswith(f"the create of {RUN} g0-000001 may have made it")


def test_where_every_batch_is_a_runs_it_says_so(nightshift: CliStack, monkeypatch: pytest.MonkeyPatch) -> None:
    with_batches(monkeypatch)
    assert nightshift("orphans") == Said(Exit.DONE, [], ["every batch is a run's"])
