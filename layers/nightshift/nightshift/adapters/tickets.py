"""The ticket table in DynamoDB: many conditional updates a call, each decided for itself.

One `UpdateItem` a ticket costs botocore 0.8 ms of CPU, which no number of threads hides; a transaction of 100 costs a
tenth of it a ticket. A transaction is all or nothing, so what a call complains about is taken out and the rest is sent
again.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched
from time import sleep
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from nightshift.adapters.attributes import to_attribute
from nightshift.errors import TicketsBusy
from nightshift.ports import Written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        KeysAndAttributesTypeDef,
        TransactWriteItemTypeDef,
        UniversalAttributeValueTypeDef,
    )

    from nightshift.ports import TicketUpdate

CALL = 100
"""Updates a transaction: DynamoDB's limit."""

THREADS = 8
"""Transactions under way at once: 9,900 tickets/s at 5 ms a call, more than a new table takes (4,000 writes/s)."""

TRIES = 8
"""Calls in a row that may be throttled before the chunk is left for later."""

MAX_REASON = 200
"""Characters of DynamoDB's words that are kept."""

ORDER = "nightshift_order"
ASKED = "nightshift_asked"

_BUSY = frozenset({
    "ThrottlingError", "ThrottlingException", "ProvisionedThroughputExceeded", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "TransactionConflict", "TransactionConflictException", "TransactionInProgressException",
})  # fmt: skip
"""Codes of a call, or of one update in it, that say: not now."""


@dataclass(frozen=True, slots=True)
class _Key:
    """The table's key attribute."""

    name: str
    numeric: bool

    def of(self, ticket: str) -> dict[str, UniversalAttributeValueTypeDef]:
        """Return a ticket's key."""
        return {self.name: {"N": ticket} if self.numeric else {"S": ticket}}

    def ticket(self, item: Mapping[str, Any]) -> str:
        """Return the ticket that an item is."""
        ticket: str = item[self.name]["N" if self.numeric else "S"]
        return ticket


@dataclass(slots=True)
class _Sum:
    """What became of some updates."""

    written: int = 0
    unchanged: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def add(self, other: _Sum) -> None:
        self.written += other.written
        self.unchanged += other.unchanged
        self.refused |= other.refused

    def refuse(self, update: TicketUpdate, message: str) -> None:
        """Count a refusal. DynamoDB's messages name attributes and limits, never values."""
        self.refused[update.id] = message[:MAX_REASON]


@dataclass(slots=True)
class _Again:
    """What is left of a canceled call."""

    updates: list[TicketUpdate] = field(default_factory=list)
    busy: bool = False
    """True where DynamoDB wants a pause first."""


class DynamoTickets:
    """`ports.Tickets` over one table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        """Write to `table` with a boto3 client, from several threads."""
        self._client = client
        self._table = table

    def write(self, key: str, updates: Sequence[TicketUpdate], *, numeric: bool = False) -> Written:
        """See `ports.Tickets.write`. A ticket that is not in the table is created.

        DynamoDB refuses an update for example where the item would pass 400 KB; all others are written.
        """
        newest, name = _newest(updates), _Key(key, numeric)
        total = _Sum(unchanged=len(updates) - len(newest))
        with ThreadPoolExecutor(THREADS) as pool:
            for done in pool.map(lambda call: self._write(name, list(call)), batched(newest, CALL, strict=False)):
                total.add(done)
        return Written(total.written, total.unchanged, total.refused)

    def asked(self, key: str, ids: Collection[str], *, numeric: bool = False) -> dict[str, str]:
        """See `ports.Tickets.asked`. Consistent: what was answered a moment ago is not paid for again."""
        name, found, tries = _Key(key, numeric), dict[str, str](), 0
        keys: Sequence[Any] = [name.of(ticket) for ticket in ids]
        while keys:
            wanted: dict[str, KeysAndAttributesTypeDef] = {
                self._table: {
                    "Keys": keys,
                    "ConsistentRead": True,
                    "ProjectionExpression": "#key, #asked",
                    "ExpressionAttributeNames": {"#key": key, "#asked": ASKED},
                }
            }
            try:
                answer = self._client.batch_get_item(RequestItems=wanted)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _BUSY or tries == TRIES:
                    raise
            else:
                items = answer["Responses"].get(self._table, [])
                found |= {name.ticket(item): item[ASKED].get("S", "") for item in items if ASKED in item}
                keys = answer["UnprocessedKeys"][self._table]["Keys"] if answer["UnprocessedKeys"] else []
            if keys:
                tries += 1
                sleep(min(5.0, 0.05 * 2**tries) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
        return found

    def _write(self, key: _Key, updates: list[TicketUpdate]) -> _Sum:
        """Send one transaction, and what is left of it again, until every update has its end."""
        total, tries = _Sum(), 0
        while updates:
            try:
                self._client.transact_write_items(TransactItems=[self._item(key, update) for update in updates])
            except self._client.exceptions.TransactionCanceledException as error:
                again = _sort_out(error, updates, total)
                busy = error if again.busy or len(again.updates) == len(updates) else None
                updates = again.updates
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ValidationException":  # about the call as a whole: find out which update it means
                    total.add(self._write_halves(key, updates, error))
                    return total
                if code not in _BUSY:
                    raise
                busy = error
            else:
                total.written += len(updates)
                return total
            if busy is not None:
                tries += 1
                if tries == TRIES:
                    raise TicketsBusy(f"the ticket table {self._table} had no room in {TRIES} tries") from busy
                sleep(min(5.0, 0.05 * 2**tries) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
        return total

    def _write_halves(self, key: _Key, updates: list[TicketUpdate], error: ClientError) -> _Sum:
        total = _Sum()
        if len(updates) == 1:
            total.refuse(updates[0], error.response["Error"].get("Message", ""))
            return total
        middle = len(updates) // 2
        total.add(self._write(key, updates[:middle]))
        total.add(self._write(key, updates[middle:]))
        return total

    def _item(self, key: _Key, update: TicketUpdate) -> TransactWriteItemTypeDef:
        """Make an update that does something only where the ticket has no order yet, or an older one."""
        # Every name goes through a placeholder: a job's attribute may be one of DynamoDB's 573 reserved words.
        sets = {**update.attributes, ORDER: update.order}
        return {
            "Update": {
                "TableName": self._table,
                "Key": key.of(update.id),
                "UpdateExpression": "SET " + ", ".join(f"#{n} = :{n}" for n in range(len(sets))),
                "ConditionExpression": "attribute_not_exists(#order) OR #order < :order",
                "ExpressionAttributeNames": {"#order": ORDER, **{f"#{n}": name for n, name in enumerate(sets)}},
                "ExpressionAttributeValues": {
                    ":order": to_attribute(update.order),
                    **{f":{n}": to_attribute(value) for n, value in enumerate(sets.values())},
                },
            }
        }


def _newest(updates: Iterable[TicketUpdate]) -> list[TicketUpdate]:
    """Keep the newest update of each ticket: a transaction with two of one item is refused whole."""
    newest: dict[str, TicketUpdate] = {}
    for update in updates:
        if update.id not in newest or newest[update.id].order < update.order:
            newest[update.id] = update
    return list(newest.values())


def _sort_out(error: ClientError, updates: list[TicketUpdate], total: _Sum) -> _Again:
    """Count those updates that have come to their end, and return the others: a canceled call has written nothing."""
    again = _Again()
    for update, reason in zip(updates, error.response["CancellationReasons"], strict=True):
        match reason.get("Code", "None"):
            case "ConditionalCheckFailed":
                total.unchanged += 1
            case code if code == "None" or code in _BUSY:
                again.busy = again.busy or code != "None"
                again.updates.append(update)
            case _:
                total.refuse(update, reason.get("Message", ""))
    return again
