"""Writes that meet a transaction on the same item: DynamoDB refuses them for a moment, and that is no error."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nightshift.adapters import items
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import Hold, HoldCode
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, run

HOLD = Hold(HoldCode.BY_HAND, "because", START)
WRITES: dict[str, Callable[[DynamoLedger], object]] = {
    "update_item": lambda ledger: ledger.hold(RUN, HOLD),
    "put_item": lambda ledger: ledger.night_due(START),
    "transact_write_items": lambda ledger: ledger.plan_chunk(chunk()),
}
CONFLICTS = [
    ("update_item", "TransactionConflictException"),
    ("put_item", "TransactionConflictException"),
    ("transact_write_items", "TransactionCanceledException"),
    ("transact_write_items", "TransactionInProgressException"),
]


def refuse(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch, name: str, code: str, times: int) -> list[float]:
    """Refuse the first calls of one method as DynamoDB does; returns where the pauses are listed."""
    pauses: list[float] = []
    call, left = getattr(ledger._client, name), [None] * times
    said: Any = {"Error": {"Code": code}, "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}
    kind = getattr(ledger._client.exceptions, code)

    def refused(**request: Any) -> Any:
        if left:
            left.pop()
            raise kind(said, name)
        return call(**request)

    monkeypatch.setattr(ledger._client, name, refused)
    monkeypatch.setattr("nightshift.adapters.items.time.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize(("name", "code"), CONFLICTS)
def test_a_write_that_meets_a_transaction_is_made_a_moment_later(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    ledger.create_run(run())
    pauses = refuse(ledger, monkeypatch, name, code, 2)

    WRITES[name](ledger)

    assert pauses == [0.05, 0.1]
    found = (ledger.run(RUN).hold, [*ledger.nights(START)], ledger.chunks(RUN))
    nothing: Any = (None, [], [])
    place = list(WRITES).index(name)
    assert found == (*nothing[:place], (HOLD, [START], [chunk()])[place], *nothing[place + 1 :])


@pytest.mark.parametrize(("name", "code"), CONFLICTS)
def test_a_write_that_meets_transactions_without_end_fails(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    ledger.create_run(run())
    pauses = refuse(ledger, monkeypatch, name, code, 100)

    with pytest.raises(ClientError, match=code):
        WRITES[name](ledger)

    assert len(pauses) == items.CONFLICT_TRIES - 1


@pytest.mark.parametrize("name", WRITES)
def test_another_refusal_is_raised_at_once(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    ledger.create_run(run())
    pauses = refuse(ledger, monkeypatch, name, "ResourceNotFoundException", 1)

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        WRITES[name](ledger)

    assert pauses == []
