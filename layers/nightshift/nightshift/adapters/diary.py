"""What was told of each run, in the table of runs: `TOLD#<run_id>` / `FACTS…`, sets of keys.

In a partition of its own, so that whoever tells may write there and nowhere else. An item holds 400 KB, and a chunk's
keys take some 65 bytes: they are in a set for each thousand chunks, so that no run is too large to be told of.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from nightshift.adapters.items import Items, Key, to_wire
from nightshift.model import RunId

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_THOUSAND = re.compile(r" (g\d+-\d+)\d{3}\b")
"""In a key of a chunk's: its id without the last three digits."""


def told_key(run_id: RunId, key: str) -> Key:
    """Return the key of the item that has a fact's key, once it was told."""
    thousand = _THOUSAND.search(key)
    return {"pk": f"TOLD#{run_id}", "sk": f"FACTS#{thousand[1]}" if thousand else "FACTS"}


class DynamoDiary:
    """`ports.Diary` over DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Keep it beside the runs, in `table`."""
        self._client = client
        self._items = Items(client, table)
        self._table = table

    def told(self, run_id: RunId) -> frozenset[str]:
        """See `ports.Diary`."""
        return frozenset(key for item in self._items.query(f"TOLD#{run_id}", "FACTS") for key in item["facts"])

    def tell(self, run_id: RunId, keys: Iterable[str]) -> frozenset[str]:
        """See `ports.Diary`. One write adds to a set and returns what it was: two tellers never share a key."""

        def place(key: str) -> str:
            return told_key(run_id, key)["sk"]

        sets = groupby(sorted(keys, key=place), place)
        return frozenset[str]().union(*(self._add(run_id, frozenset(added)) for _, added in sets))

    def _add(self, run_id: RunId, added: frozenset[str]) -> frozenset[str]:
        """Add keys to their set; return those that were not in it."""
        before = self._client.update_item(
            TableName=self._table,
            Key=to_wire(told_key(run_id, next(iter(added)))),
            UpdateExpression="ADD #facts :facts",
            ExpressionAttributeNames={"#facts": "facts"},
            ExpressionAttributeValues={":facts": {"SS": sorted(added)}},
            ReturnValues="ALL_OLD",
        )
        return added - set(before.get("Attributes", {}).get("facts", {}).get("SS", ()))
