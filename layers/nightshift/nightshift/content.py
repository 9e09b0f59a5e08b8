"""An object's bytes → lines: what a file is, is read off its content, never off its name or its metadata."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

import msgspec

from nightshift.errors import BadInput
from nightshift.input_codes import InputCode

BLOCK = 1 << 20
"""Bytes per read: small reads from S3 cost five times the CPU."""
MAX_LINE = 16_000_000
"""Bytes of one line, and of one CSV record."""
MAX_UNPACKED = 10_000_000_000
"""Bytes that a gzip file may unpack to."""
MAX_FILE = MAX_UNPACKED
"""Bytes of an object as it is stored."""
MAX_RATIO = 200
"""Bytes out per byte in; deflate reaches 1,032, logs of one repeated line about 150."""
_RATIO_FROM = 16 * BLOCK  # below this, a file of blanks is odd but harmless

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark. Readers drop it where a row starts: joined files have it there."""
PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's way of asking for gzip
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_KNOWN = (
    (0, ZIP, "a zip or Office file (an Excel workbook is `input.format: xlsx`)"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office file, or a new one with a password"),
    (0, b"%PDF", "a PDF"),
    (0, PARQUET, "a Parquet file (`input.format: parquet`)"),
    (0, b"PARE", "an encrypted Parquet file"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"7z\xbc\xaf", "7-Zip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"Rar!", "a RAR file"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, _GZIP, "gzip"),
    (257, b"ustar", "a tar file"),
)
_SAMPLE = 4096
"""Bytes at a file's start that tell what it is."""
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


class Line(msgspec.Struct, frozen=True):
    """One physical line, with its newline where it has one."""

    number: int
    """From 1."""
    offset: int
    """Bytes before it in the (unpacked) content."""
    data: bytes


def check_size(size: int) -> None:
    """Refuse an object by its size, before it is read.

    Raises:
        BadInput: FILE_TOO_LARGE.
    """
    if size > MAX_FILE:
        raise BadInput(InputCode.FILE_TOO_LARGE, f"the object has {size:,} bytes; at most {MAX_FILE:,} are read")


def lines(stream: BinaryIO) -> Iterator[Line]:
    """Yield a file's lines, unpacked, split on LF only.

    Raises:
        BadInput: the file is not text, is damaged, or has a line beyond MAX_LINE.
    """
    return _split(_checked(_unpacked(_blocks(stream))))


def rewound(stream: BinaryIO, magic: bytes, name: str) -> BinaryIO:
    """Return a seekable stream at its start, which says that it is what the job's format says.

    Args:
        stream: the object's bytes, as stored: a format whose readers seek is compressed inside.
        magic: its first bytes.
        name: what such a file is called.

    Raises:
        BadInput: EMPTY_FILE, UNSUPPORTED_TYPE.
    """
    first = stream.read(_SAMPLE)
    if not first:
        raise BadInput(InputCode.EMPTY_FILE, "the file is empty")
    if not first.startswith(magic):
        found = _kind(first) or "something else"
        raise BadInput(InputCode.UNSUPPORTED_TYPE, f"the job wants {name}, and this is {found}")
    stream.seek(0)
    return stream


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _unpacked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    whole = chain([first], blocks)
    return _gunzip(whole) if first.startswith(_GZIP) else whole


def _gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack all members of a gzip file, in constant memory."""
    packed = unpacked = 0
    member = zlib.decompressobj(_GZIP_FORMAT)
    for block in blocks:
        packed += len(block)
        rest = block
        while rest:
            if member.eof:
                if not rest.strip(b"\0"):  # padding, as tape and tar leave it
                    break
                member = zlib.decompressobj(_GZIP_FORMAT)
            try:
                data = member.decompress(rest, BLOCK)
            except zlib.error:
                raise BadInput(InputCode.GZIP_CORRUPT, "the gzip data is damaged") from None
            rest = member.unused_data if member.eof else member.unconsumed_tail
            unpacked += len(data)
            if unpacked > MAX_UNPACKED or (unpacked > _RATIO_FROM and unpacked > MAX_RATIO * packed):
                raise BadInput(InputCode.GZIP_BOMB, f"stopped after {unpacked:,} bytes unpacked from {packed:,}")
            if data:
                yield data
    if not member.eof:
        raise BadInput(InputCode.GZIP_TRUNCATED, "the gzip data ends before its end mark")


def _checked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Refuse what is not text by its first block."""
    first = next((block for block in blocks if block), b"")
    if not first:
        raise BadInput(InputCode.EMPTY_FILE, "the file is empty")
    if found := _kind(first):
        raise BadInput(InputCode.UNSUPPORTED_TYPE, f"the job wants text, and this is {found}")
    sample = first[:_SAMPLE]
    if first.startswith(_WIDE) or sample.count(0) * 4 > len(sample):
        raise BadInput(InputCode.NOT_UTF8, "the file is UTF-16 or UTF-32, not UTF-8")
    if (len(sample) - len(sample.translate(None, _CONTROLS))) * 10 > len(sample):
        raise BadInput(InputCode.UNSUPPORTED_TYPE, "this is a binary file")
    return chain([first], blocks)


def _kind(first: bytes) -> str | None:
    """Return what a file that is no text calls itself."""
    return next((name for offset, magic, name in _KNOWN if first.startswith(magic, offset)), None)


def _split(blocks: Iterator[bytes]) -> Iterator[Line]:
    number = offset = 0
    head = bytearray()
    has_returns = False
    for block in blocks:
        has_returns = has_returns or b"\r" in block
        pieces = block.split(b"\n")
        tail = pieces.pop()
        for piece in pieces:
            number += 1
            data = piece + b"\n"
            if head:
                data = bytes(head) + data
                head.clear()
            if len(data) > MAX_LINE:
                raise _too_long(number)
            yield Line(number, offset, data)
            offset += len(data)
        head += tail
        if len(head) > MAX_LINE:
            raise _too_long(number + 1)
    if number == 0 and has_returns and b"\r" in head.rstrip(b"\r"):
        raise BadInput(InputCode.BAD_NEWLINES, "the file has CR line ends and no LF")
    if head:
        yield Line(number + 1, offset, bytes(head))


def _too_long(number: int) -> BadInput:
    return BadInput(InputCode.LINE_TOO_LONG, f"the line is longer than {MAX_LINE:,} bytes", line=number)
