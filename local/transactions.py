"""DynamoDB transactions at their true price.

moto backs a transaction up by copying each item's whole table: 100 items take 21 s at 10,000 rows. Here only the
touched keys are kept, and put back when the transaction is refused.
"""

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from moto.dynamodb import models
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from local import seams
from local.seams import Seam
from local.wire import Json

SEAMS = (
    Seam("moto.dynamodb.models", "DynamoDBBackend.transact_write_items", ("self", "transact_items")),
    Seam("moto.dynamodb.models", "copy.deepcopy", None),
    Seam("moto.dynamodb.models.table", "Table.get_item", ("self", "hash_key", "range_key", "projection_expression")),
    Seam("moto.dynamodb.models.table", "Table.delete_item", ("self", "hash_key", "range_key")),
)


def install() -> None:
    """Replace moto's backup and rollback."""
    original = DynamoDBBackend.transact_write_items
    # moto's own backup becomes the table itself, and so its rollback does nothing.
    seams.replace(models, "copy", SimpleNamespace(deepcopy=_copy_but_tables))

    def transact_write_items(self: DynamoDBBackend, transact_items: list[Json]) -> None:
        before = _snapshot(self, transact_items)
        try:
            original(self, transact_items)
        except BaseException:
            for touched in reversed(before):
                touched.put_back()
            raise

    seams.replace(DynamoDBBackend, "transact_write_items", transact_write_items)


def _copy_but_tables(value: Any) -> Any:
    return value if isinstance(value, Table) else copy.deepcopy(value)


class _Touched:
    """One key of one table, as it was before the transaction."""

    def __init__(self, table: Table, key: Json) -> None:
        self._table = table
        self._hash = DynamoType(key[table.hash_key_attr])
        self._range = DynamoType(key[table.range_key_attr]) if table.range_key_attr else None
        self._item: Item | None = copy.deepcopy(table.get_item(self._hash, self._range))

    def put_back(self) -> None:
        """Restore the item, or its absence."""
        if self._item is None:
            self._table.delete_item(self._hash, self._range)
            return
        rows: Any = self._table.items  # by partition key, then by sort key where there is one
        if self._range is None:
            rows[self._hash] = self._item
        else:
            rows[self._hash][self._range] = self._item


def _snapshot(backend: DynamoDBBackend, items: Sequence[Json]) -> list[_Touched]:
    """Keep what the transaction may change; what moto refuses anyway (no table, no key) has nothing to keep."""
    kept = []
    for operation in (operation for item in items for operation in item.values()):
        table = backend.tables.get(operation.get("TableName", ""))
        key = operation.get("Key") or operation.get("Item") or {}
        if table and all(name in key for name in (table.hash_key_attr, table.range_key_attr) if name):
            kept.append(_Touched(table, key))
    return kept
