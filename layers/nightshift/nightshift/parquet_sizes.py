"""What a Parquet file says of its own sizes, read before Arrow believes it.

Arrow makes room for as much as a page's header says, up to 2 GB, before it looks whether that is there: a single wrong
byte of a small file would end the function. The headers are Thrift's compact protocol; parquet.thrift has the fields.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from nightshift.errors import BadInput
from nightshift.input_codes import InputCode

MAX_PAGE = 64 << 20
"""Bytes of a page, packed and unpacked: writers make pages of one or a few MB."""
MAX_HEADER = 16 << 20
"""Bytes of a page's header: it may hold the page's smallest and largest text."""
MAX_FOOTER = 16 << 20
"""Bytes of the list of columns: about 1,000 row groups of 100 columns."""
_TAIL = 8  # the footer's length, and the magic
_READ = 64 * 1024

# Thrift's kinds of values
_TRUTHS = frozenset({1, 2})
_BYTE = 3
_NUMBERS = frozenset({4, 5, 6})
_BINARY = 8
_LISTS = frozenset({9, 10})
_STRUCTURE = 12
_SIZES = {1: 0, 2: 0, _BYTE: 1, 7: 8}
"""Of those that always have the same number of bytes. A truth has none: its kind tells it, where it is a field."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A column's bytes in a row group."""

    column: bytes
    """The top-level column that it is of."""
    start: int
    size: int


def footer(stream: BinaryIO) -> bytes:
    """Return what the file says of itself, at its end.

    Raises:
        BadInput: PARQUET_CORRUPT, PARQUET_BOMB.
    """
    end = stream.seek(0, io.SEEK_END) - _TAIL
    stream.seek(max(end, 0))
    size = int.from_bytes(stream.read(4), "little")
    if not 0 < size <= end:
        raise BadInput(InputCode.PARQUET_CORRUPT, "it does not end as Parquet does")
    if size > MAX_FOOTER:
        raise BadInput(InputCode.PARQUET_BOMB, f"its list of columns has {size:,} bytes")
    stream.seek(end - size)
    return stream.read(size)


def check(stream: BinaryIO, footer: bytes, columns: frozenset[str]) -> None:
    """Refuse a file whose pages are not where they are said to be, or too large.

    Args:
        stream: the object, seekable.
        footer: what `footer` returned of it.
        columns: the top-level columns that will be read.

    Raises:
        BadInput: PARQUET_CORRUPT, PARQUET_BOMB.
    """
    names = {column.encode() for column in columns}
    try:
        for part in _parts(_Thrift(footer)):
            if part.column in names:
                _check_part(stream, part)
    except (LookupError, ValueError, OverflowError, RecursionError):
        raise BadInput(InputCode.PARQUET_CORRUPT, "it cannot be read as Parquet (a header)") from None


def _parts(footer: "_Thrift") -> Iterator[_Part]:
    for field, kind in footer.fields():  # FileMetaData
        if field != 4:  # noqa: PLR2004 - row_groups
            footer.skip(kind)
            continue
        for _ in footer.items():
            for inner, inner_kind in footer.fields():  # RowGroup
                if inner != 1:  # columns
                    footer.skip(inner_kind)
                    continue
                for _ in footer.items():
                    yield from _of_chunk(footer)


def _of_chunk(footer: "_Thrift") -> Iterator[_Part]:
    for field, kind in footer.fields():  # ColumnChunk
        if field != 3:  # noqa: PLR2004 - meta_data
            footer.skip(kind)
            continue
        path, numbers = list[bytes](), dict[int, int]()
        for inner, inner_kind in footer.fields():  # ColumnMetaData
            if inner == 3:  # noqa: PLR2004 - path_in_schema
                path = [footer.binary() for _ in footer.items()]
            elif inner in {7, 9, 11}:  # total_compressed_size, data_page_offset, dictionary_page_offset
                numbers[inner] = footer.number()
            else:
                footer.skip(inner_kind)
        start = numbers[9] if numbers.get(11, 0) <= 0 else min(numbers[9], numbers[11])
        yield _Part(path[0], start, numbers[7])


def _check_part(stream: BinaryIO, part: _Part) -> None:
    at, end = part.start, part.start + part.size
    while at < end:
        header, unpacked, packed = _page(stream, at, end)
        at += header + packed
        if packed < 0 or unpacked < 0 or at > end:
            raise BadInput(InputCode.PARQUET_CORRUPT, f"a page says it has {packed:,} bytes, more than there are")
        if max(packed, unpacked) > MAX_PAGE:
            raise BadInput(InputCode.PARQUET_BOMB, f"a page unpacks {packed:,} bytes to {unpacked:,}")


def _page(stream: BinaryIO, at: int, end: int) -> tuple[int, int, int]:
    """Return the size of a page's header, and the page's sizes unpacked and packed."""
    window = _READ
    while True:
        stream.seek(at)
        header = _Thrift(stream.read(min(window, end - at)))
        sizes = {}
        try:
            for field, kind in header.fields():  # PageHeader
                if field in {2, 3}:  # uncompressed_page_size, compressed_page_size
                    sizes[field] = header.number()
                else:
                    header.skip(kind)
        except IndexError:
            if window >= min(MAX_HEADER, end - at):
                raise
            window *= 16
        else:
            return header.at, sizes[2], sizes[3]


class _Thrift:
    """Bytes in Thrift's compact protocol, read one value after the other. IndexError: they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield the number and the kind of each field of a structure; who asks reads or skips it."""
        field = 0
        while byte := self._byte():
            field = field + (byte >> 4) if byte >> 4 else self.number()
            yield field, byte & 15

    def items(self) -> Iterator[int]:
        """Yield the kind of each item of a list; who asks reads or skips it."""
        byte = self._byte()
        count = byte >> 4 if byte >> 4 < 15 else self._varint()  # noqa: PLR2004 - 15: it does not fit there
        for _ in range(count):
            yield byte & 15

    def number(self) -> int:
        """Read a number of 2, 4 or 8 bytes."""
        found = self._varint()
        return (found >> 1) ^ -(found & 1)

    def binary(self) -> bytes:
        """Read bytes."""
        size = self._varint()
        self._forward(size)
        return self._data[self.at - size : self.at]

    def skip(self, kind: int) -> None:
        """Pass over a value, which is a structure's field; truths stand in the field itself."""
        if kind in _SIZES:
            self._forward(_SIZES[kind])
        elif kind in _NUMBERS:
            self._varint()
        elif kind == _BINARY:
            self._forward(self._varint())
        elif kind in _LISTS:
            for item in self.items():
                self.skip(_BYTE if item in _TRUTHS else item)
        elif kind == _STRUCTURE:
            for _, inner in self.fields():
                self.skip(inner)
        else:  # Parquet has no maps
            raise ValueError("no such kind")

    def _byte(self) -> int:
        self._forward(1)
        return self._data[self.at - 1]

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:  # noqa: PLR2004 - the last one
                return found
            if shift > 63:  # noqa: PLR2004 - bits of a number
                raise ValueError("too long")

    def _forward(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError(size)
