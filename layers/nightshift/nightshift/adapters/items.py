"""DynamoDB items: nightshift's values in and out of them, and conditional changes that may be applied twice.

A conditional write whose response is lost looks refused when botocore sends it again. So every refusal here is followed
by a consistent read: where the item already says what the change would have said, the change has happened.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from nightshift.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

type Key = dict[str, str]
type Item = dict[str, Any]

CONFLICT_TRIES = 6
"""Writes that met a transaction on the same item are tried again this often, 50 ms * 2^n apart."""

_to_wire = TypeSerializer().serialize
_from_wire = TypeDeserializer().deserialize


def timestamp(moment: datetime) -> str:
    """Write a moment with a fixed width, so that strings sort as times do: conditions compare them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(value: Any) -> Any:
    """Turn a dataclass, or a value of one, into what an item holds; absent (None) fields are left out."""
    return _plain(msgspec.to_builtins(value, builtin_types=(datetime,), str_keys=True))


def decode[T](item: Mapping[str, Any], kind: type[T]) -> T:
    """Read a dataclass back from an item; attributes it does not have are ignored."""
    names = {f.name for f in fields(cast("Any", kind))}
    return msgspec.convert({k: _native(v) for k, v in item.items() if k in names}, kind, strict=False)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return timestamp(value)
        case dict():
            return {k: _plain(v) for k, v in value.items() if v is not None}
        case list() | tuple():
            return [_plain(v) for v in value]
        case _:
            return value


def _native(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value)
        case dict():
            return {k: _native(v) for k, v in value.items()}
        case list():
            return [_native(v) for v in value]
        case _:
            return value


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain attributes into DynamoDB's typed ones."""
    return {k: _to_wire(v) for k, v in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """Turn DynamoDB's typed attributes into plain ones."""
    return {k: _from_wire(v) for k, v in item.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """One conditional write on one item. In `when`, `#name` is an attribute and `:name` one of `values`."""

    key: Key
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Attributes as they shall be; None removes one."""
    adds: Mapping[str, int] = field(default_factory=dict)
    """What to add to numbers, which start at 0. Only beside another change that tells whether all was done."""
    when: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "Update"
    """`Update`, `Put`, `Delete` or `ConditionCheck`, as TransactWriteItems names them."""

    def request(self, table: str) -> dict[str, Any]:
        """Return the arguments of the call, or of the transaction's part."""
        kept = {k: v for k, v in self.sets.items() if v is not None}
        dropped = [k for k, v in self.sets.items() if v is None]
        names = set(re.findall(r"#(\w+)", self.when))
        values = dict(self.values)
        request: dict[str, Any] = {"TableName": table}
        if self.kind == "Put":
            request["Item"] = to_wire({**self.key, **kept})
        else:
            request["Key"] = to_wire(self.key)
        if self.kind == "Update":
            names |= set(self.sets) | set(self.adds)
            values |= {f"set_{k}": v for k, v in kept.items()} | {f"add_{k}": v for k, v in self.adds.items()}
            clauses = ["SET " + ", ".join(f"#{k} = :set_{k}" for k in kept)] if kept else []
            clauses += ["REMOVE " + ", ".join(f"#{k}" for k in dropped)] if dropped else []
            clauses += ["ADD " + ", ".join(f"#{k} :add_{k}" for k in self.adds)] if self.adds else []
            request["UpdateExpression"] = " ".join(clauses)
        if self.when:
            request["ConditionExpression"] = self.when
        if names:
            request["ExpressionAttributeNames"] = {f"#{n}": n for n in names}
        if values:
            request["ExpressionAttributeValues"] = {f":{k}": _to_wire(v) for k, v in values.items()}
        return request

    def stands(self, item: Item | None) -> bool:
        """Tell whether the item already says what this change would make it say."""
        if self.kind == "Delete":
            return item is None
        return item is not None and all(item.get(k) == _wired(v) for k, v in self.sets.items())


def _wired(value: Any) -> Any:
    """Return a value as a read gives it back (numbers are Decimals there)."""
    return None if value is None else _from_wire(_to_wire(value))


class Items:
    """One table, read consistently and written conditionally."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Work on `table` with a boto3 client."""
        self.client = client
        self.table = table

    def get(self, key: Key) -> Item | None:
        """Return an item, or None."""
        answer = self.client.get_item(TableName=self.table, Key=to_wire(key), ConsistentRead=True)
        return from_wire(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> list[Item]:
        """Return those of the items that exist, in no order. Keys must differ."""
        found: list[Item] = []
        wanted: list[Any] = [to_wire(k) for k in keys]
        while wanted:
            batch, wanted = wanted[:100], wanted[100:]
            answer = self.client.batch_get_item(RequestItems={self.table: {"Keys": batch, "ConsistentRead": True}})
            found += [from_wire(i) for i in answer["Responses"].get(self.table, [])]
            if self.table in answer.get("UnprocessedKeys", {}):
                wanted += answer["UnprocessedKeys"][self.table]["Keys"]
                time.sleep(0.05)
        return found

    def query(self, pk: str, sk_prefix: str = "", *, since: str = "") -> list[Item]:
        """Return all items below one partition whose sort key starts so, or is not below `since`, in order."""
        which, sk = ("sk >= :sk", since) if since else ("begins_with(sk, :sk)", sk_prefix)
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            ConsistentRead=True,
            KeyConditionExpression=f"pk = :pk AND {which}",
            ExpressionAttributeValues=to_wire({":pk": pk, ":sk": sk}),
        )
        return [from_wire(i) for page in pages for i in page["Items"]]

    def apply(self, change: Change) -> None:
        """Make one change, or find that it stands already.

        Raises:
            Conflict: the condition did not hold, and the item says something else.
        """
        write: Callable[..., object] = self.client.put_item if change.kind == "Put" else self.client.update_item
        try:
            _settled(lambda: write(**change.request(self.table)))
        except self.client.exceptions.ConditionalCheckFailedException:
            if not change.stands(self.get(change.key)):
                raise Conflict(_where(change)) from None

    def apply_all(self, changes: Sequence[Change]) -> None:
        """Make all changes or none, in one transaction; or find that all stand already.

        Raises:
            Conflict: a condition did not hold.
        """
        parts: list[TransactWriteItemTypeDef] = [cast("Any", {c.kind: c.request(self.table)}) for c in changes]
        try:
            _settled(lambda: self.client.transact_write_items(TransactItems=parts))
        except self.client.exceptions.TransactionCanceledException as error:
            codes = _reasons(error)
            if "ConditionalCheckFailed" not in codes:
                raise
            if not self._all_stand(changes):
                raise Conflict(_where(changes[codes.index("ConditionalCheckFailed")])) from None

    def _all_stand(self, changes: Sequence[Change]) -> bool:
        return all(c.stands(self.get(c.key)) for c in changes if c.kind != "ConditionCheck")


def _settled(write: Callable[[], object]) -> None:
    """Write, again for a while where a transaction of somebody else's is at the same item."""
    for attempt in range(CONFLICT_TRIES):
        try:
            write()
        except ClientError as error:
            if attempt == CONFLICT_TRIES - 1 or not _passing(error):
                raise
            time.sleep(0.05 * 2**attempt)
        else:
            return


def _passing(error: ClientError) -> bool:
    """Tell whether a write that was refused may go through when tried again."""
    code = error.response["Error"]["Code"]
    if code != "TransactionCanceledException":
        return code in {"TransactionConflictException", "TransactionInProgressException"}
    passing = {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
    return set(_reasons(error)) <= passing


def _reasons(error: ClientError) -> Sequence[str]:
    """Return why a transaction was cancelled, a code for each of its parts."""
    return [reason.get("Code", "None") for reason in cast("Any", error.response)["CancellationReasons"]]


def _where(change: Change) -> str:
    return f"{change.key['pk']}/{change.key['sk']} is not as expected ({change.when})"
