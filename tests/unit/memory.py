"""The output bucket and the ticket table, in memory: for use cases whose adapters have tests of their own."""

import io
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from nightshift.ports import TicketUpdate


@dataclass
class MemoryUpload:
    """`ports.Upload` in memory."""

    objects: dict[str, bytes]
    key: str
    data: bytes = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self, *, once: bool) -> bool:
        if once and self.key in self.objects:
            return False
        self.objects[self.key] = self.data
        return True


@dataclass
class MemoryOutputs:
    """`ports.Outputs` in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def upload(self, key: str) -> Generator[MemoryUpload]:
        yield MemoryUpload(self.objects, key)

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    @contextmanager
    def open(self, key: str, start: int = 0) -> Generator[BinaryIO]:
        yield io.BytesIO(self.objects[key][start:])

    def keys(self, prefix: str) -> Iterable[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def clear(self, prefix: str) -> None:
        for key in self.keys(prefix):
            del self.objects[key]

    def uri(self, key: str) -> str:
        return f"s3://outputs/{key}"


@dataclass
class MemoryTickets:
    """`ports.Tickets` in memory: strictly newer wins."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail: list[Exception] = field(default_factory=list)
    """What the next writes raise, after they have written."""

    def write(self, key: str, updates: Sequence[TicketUpdate]) -> tuple[int, int]:
        written = 0
        for update in updates:
            item = self.items.setdefault(update.id, {key: update.id})
            if item.get("nightshift_order", "") < update.order:
                item |= {**update.attributes, "nightshift_order": update.order}
                written += 1
        if self.fail:
            raise self.fail.pop(0)
        return written, len(updates) - written
