"""Parquet files that other systems wrote. A case has the number of what is wrong with it in any format."""

import io
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift.records import InputSpec
from tests.unit.input_cases import BOTH, GOOD, UNUSED, Case, pack

PARQUET = InputSpec("parquet", id="id", required=frozenset({"body"}))
NUMBERED_PARQUET = InputSpec("parquet", id=None, required=frozenset({"body"}))


def written(columns: Sequence[tuple[str, Any]], **how: Any) -> bytes:
    """Return a Parquet file of these columns: names and arrays, or lists."""
    arrays = [values if isinstance(values, pa.Array) else pa.array(values) for _, values in columns]
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
    pq.write_table(table, buffer, write_page_checksum=True, **{"compression": "none", **how})
    return buffer.getvalue()


def of_bodies(bodies: Any, **how: Any) -> bytes:
    return written([("id", [str(number + 1) for number in range(len(bodies))]), ("body", bodies)], **how)


def _file(number: int, what: str, data: bytes, code: str, spec: InputSpec = PARQUET) -> Case:
    return Case(number, f"Parquet: {what}", data, f"F {code}", (), spec)


def _fine(number: int, what: str, data: bytes, *rows: tuple[str, str], spec: InputSpec = PARQUET) -> Case:
    return Case(number, f"Parquet: {what}", data, "N", rows or BOTH, spec)


def _row(number: int, what: str, bad: Any, code: str, *rows: tuple[str, str]) -> Case:
    """A bad body between two good ones; `bad` may be an array of bodies, of which `rows` are good."""
    data = of_bodies(bad if isinstance(bad, pa.Array) else ["text", bad, "text"])
    good = rows if isinstance(bad, pa.Array) else (("1", "text"), ("3", "text"))
    return Case(number, f"Parquet: {what}", data, f"R {code}", good, PARQUET)


def _told(number: int, what: str, values: Any, *bodies: str) -> Case:
    return _fine(number, what, of_bodies(values), *((str(at + 1), body) for at, body in enumerate(bodies)))


def of_ids(ids: Any) -> bytes:
    return written([("id", ids), ("body", ["text"] * len(ids))])


def deep(depth: int) -> pa.Array:
    kind = pa.string()
    for _ in range(depth):
        kind = pa.struct([("x", kind)])
    return pa.nulls(2, kind)


def _page(size: bytes, field: int) -> bytes:
    """Let the header of the first page say another size: in Thrift, each field begins with \x15."""
    head = re.compile(rb"(PAR1\x15\x04)(\x15.)(\x15.)", re.DOTALL)
    return head.sub(
        lambda found: found[1] + b"".join(b"\x15" + size if n == field else found[n] for n in (2, 3)), TEXTS, 1
    )


TEXTS = of_bodies(["text", "text"])
_NOT_UTF8 = pa.array([b"text", b"caf\xe9", b"text"], pa.binary()).view(pa.string())
_SAME = pa.array(["x" * 1_000_000] * 70)
_TOO_MANY = TEXTS.replace(b"\x16\x04\x19\x1c", b"\x16\x06\x19\x1c")  # num_rows, in front of row_groups
_DEEP = written([("id", ["1", "2"]), ("body", ["a", "b"]), ("x", deep(150))])
_TWICE = written([("id", ["1"]), ("body", ["a"]), ("Body", ["b"])])
_FOOTER = b"PAR1" + bytes(17 << 20) + (17 << 20).to_bytes(4, "little") + b"PAR1"
NOON = datetime(2026, 11, 25, 12, 0, 0, 500, UTC)

PARQUET_CASES = [
    _file(1, "no byte", b"", "EMPTY_FILE"),
    _file(2, "no rows", of_bodies(pa.array([], pa.string())), "NO_ROWS"),
    _row(10, "a text that is not UTF-8", _NOT_UTF8, "INVALID_UTF8", ("1", "text"), ("3", "text")),
    _row(14, "NUL", "a\0b", "NUL_IN_TEXT"),
    *(
        _row(25, f"body {value}", pa.array([0.5, value]), "NON_FINITE", ("1", "0.5"))
        for value in (float("nan"), float("inf"))
    ),
    _row(25, "body nan of 4 bytes", pa.array([0.5, float("nan")], pa.float32()), "NON_FINITE", ("1", "0.5")),
    Case(
        28,
        "Parquet: unknown columns",
        written([("more", [[1], [2]]), ("id", ["1", "2"]), ("body", ["text"] * 2)]),
        UNUSED,
        spec=PARQUET,
    ),
    _file(29, "no column of ids", written([("body", ["text"])]), "BAD_HEADER"),
    Case(
        30,
        "Parquet: id null",
        written([("id", [None, "2"]), ("body", ["text"] * 2)]),
        "R MISSING_ID",
        BOTH[1:],
        PARQUET,
    ),
    _fine(31, "ids are numbers", of_ids([1, 2])),
    _fine(
        31,
        "ids are UUIDs",
        written([("id", pa.array([b"\1" * 16], pa.uuid())), ("body", ["text"])]),
        ("01010101-0101-0101-0101-010101010101", "text"),
    ),
    Case(31, "Parquet: an id is 1.5", of_ids([1.5]), "R BAD_TYPE", (), PARQUET),
    _fine(31, "rows without ids", written([("body", ["text"])]), ("feed:1", "text"), spec=NUMBERED_PARQUET),
    *(_row(40, f"body {value!r}", value, "EMPTY_BODY") for value in (None, "", " \n")),
    _row(41, "body is a truth", pa.array([True]), "BAD_TYPE"),
    _told(41, "body is a number", [1, 2**63 - 1], "1", str(2**63 - 1)),
    _told(41, "body is a fraction", [12.5, 1e-7], "12.5", "1E-7"),
    _told(41, "body is a fraction of 4 bytes", pa.array([0.1, 2.0], pa.float32()), "0.1", "2"),
    _told(41, "body is a decimal", pa.array([Decimal("12.50")]), "12.50"),
    _told(41, "body is a category", pa.array(["a", "b", "a"]).dictionary_encode(), "a", "b", "a"),
    _told(41, "body is a date", [date(2026, 11, 25)], "2026-11-25"),
    _told(41, "body is a time", [time(12, 30)], "12:30:00"),
    _told(41, "body is a moment", pa.array([NOON], pa.timestamp("us", "Europe/Berlin")), "2026-11-25T12:00:00.000500Z"),
    _told(41, "body is a moment of no zone", pa.array([10**18 + 1], pa.timestamp("ns")), "2001-09-09T01:46:40"),
    _row(41, "body is a moment beyond all years", pa.array([2**62], pa.timestamp("us")), "BAD_TYPE"),
    _row(41, "body is a list", pa.array([["a"]]), "BAD_TYPE"),
    _file(41, "body is binary", of_bodies([b"\1\2"]), "BAD_COLUMN"),
    _file(41, "body is a duration", of_bodies(pa.array([5], pa.duration("s"))), "BAD_COLUMN"),
    _row(42, "body of 100,001 bytes", "x" * 100_001, "TOO_LARGE"),
    _fine(49, "names in other case, with spaces", written([(" ID ", ["1", "2"]), ("Body", ["text"] * 2)])),
    _file(49, "names in another language", written([("nummer", ["1"]), ("nachricht", ["text"])]), "BAD_HEADER"),
    _file(50, "two columns of one name", _TWICE, "DUPLICATE_HEADER"),
    _file(60, "cut short", TEXTS[:-9], "PARQUET_CORRUPT"),
    _file(60, "more rows said than there are", _TOO_MANY, "PARQUET_CORRUPT"),
    _file(61, "a byte of a page is another", TEXTS.replace(b"text", b"tent", 1), "PARQUET_CORRUPT"),
    _file(
        61,
        "columns nested too deeply",
        _DEEP,
        "PARQUET_CORRUPT",
    ),
    _fine(63, "well packed", of_bodies(["text", "text"], compression="zstd")),
    _file(61, "a page that is larger than its column", _page(b"\xfe\xff\xff\xff\x0f", 3), "PARQUET_CORRUPT"),
    _file(64, "a page that would be 2 GB", _page(b"\xfe\xff\xff\xff\x0f", 2), "PARQUET_BOMB"),
    _file(64, "a list of columns without end", _FOOTER, "PARQUET_BOMB"),
    _file(64, "70 MB of one character", of_bodies(_SAME, compression="zstd", use_dictionary=False), "PARQUET_BOMB"),
    _file(65, "JSONL where Parquet is wanted", GOOD, "UNSUPPORTED_TYPE"),
    _file(65, "gzip of Parquet", pack(TEXTS), "UNSUPPORTED_TYPE"),
    _file(65, "encrypted", b"PARE" + TEXTS[4:], "UNSUPPORTED_TYPE"),
]
