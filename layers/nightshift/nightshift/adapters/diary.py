"""What was told of each run, in the table of runs: `TOLD#<run_id>` / `FACTS`, a set of keys.

In a partition of its own, so that whoever tells may write there and nowhere else.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nightshift.adapters.items import Items, Key, to_wire
from nightshift.model import RunId

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def told_key(run_id: RunId) -> Key:
    """Return the key of what was told of a run."""
    return {"pk": f"TOLD#{run_id}", "sk": "FACTS"}


class DynamoDiary:
    """`ports.Diary` over DynamoDB. An item of 1,000 batches has 60 KB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Keep it beside the runs, in `table`."""
        self._client = client
        self._items = Items(client, table)
        self._table = table

    def told(self, run_id: RunId) -> frozenset[str]:
        """See `ports.Diary`."""
        item = self._items.get(told_key(run_id))
        return frozenset(() if item is None else item["facts"])

    def tell(self, run_id: RunId, keys: Iterable[str]) -> frozenset[str]:
        """See `ports.Diary`. One write adds to the set and returns what it was: two tellers never share a key."""
        added = frozenset(keys)
        before = self._client.update_item(
            TableName=self._table,
            Key=to_wire(told_key(run_id)),
            UpdateExpression="ADD #facts :facts",
            ExpressionAttributeNames={"#facts": "facts"},
            ExpressionAttributeValues={":facts": {"SS": sorted(added)}},
            ReturnValues="ALL_OLD",
        )
        return added - set(before.get("Attributes", {}).get("facts", {}).get("SS", ()))
