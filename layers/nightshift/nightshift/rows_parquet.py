"""Parquet → records, a few rows at a time, in constant memory: only the columns that the job uses are read.

A value becomes what the same row would have in JSON: a number keeps how it is written, a date becomes its ISO text.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO

from nightshift import columns, content, parquet_sizes
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.records import InputSpec, Record

BATCH = 8
"""Rows that are in memory at once: more are no faster, and each may be large."""
MAX_ROWS = 100_000_000
"""Rows of one file: a few bytes can stand for any number of them."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

type Column = Callable[[Any], list[Any]]
"""A column's values of a few rows; a RowFault stands where one is not usable."""


def records(stream: BinaryIO, spec: InputSpec) -> Iterator[Record]:
    """Yield a record per row. Its line is its number: Parquet has no lines.

    Args:
        stream: the object, seekable.
        spec: what the job wants to know of a row.

    Raises:
        BadInput: READER_MISSING, UNSUPPORTED_TYPE, EMPTY_FILE, NO_ROWS, PARQUET_CORRUPT, PARQUET_BOMB, BAD_HEADER,
            DUPLICATE_HEADER, BAD_COLUMN.
    """
    number = 0
    for more, batch in _values(stream, spec):
        for row in zip(*batch.values(), strict=True):
            number += 1
            values = dict(zip(batch, row, strict=True))
            fault = next((_in(name, value) for name, value in values.items() if isinstance(value, RowFault)), None)
            yield Record(number, number, None, repr(row).encode(), values=values, more=more, fault=fault)


def _in(column: str, fault: RowFault) -> RowFault:
    return RowFault(fault.code, f"column {column}")


def _values(stream: BinaryIO, spec: InputSpec) -> Iterator[tuple[bool, dict[str, list[Any]]]]:
    """Yield the columns that the job uses, a few rows at a time, and whether there are others."""
    arrow = pyarrow()
    source = content.rewound(stream, content.PARQUET, "Parquet")
    footer, rows = parquet_sizes.footer(source), 0
    try:
        file = arrow.parquet.ParquetFile(
            source,
            buffer_size=content.BLOCK,
            pre_buffer=False,  # else it holds a whole row group
            page_checksum_verification=True,
        )
        _check_rows(file.metadata.num_rows)
        readers = _readers(arrow, file.schema_arrow, spec)
        parquet_sizes.check(source, footer, frozenset(readers))
        for batch in file.iter_batches(BATCH, columns=list(readers), use_threads=False):
            rows += batch.num_rows
            values = {name: read(batch.column(field)) for field, (name, read) in readers.items()}
            yield len(readers) < len(file.schema_arrow), values
        if rows != file.metadata.num_rows:
            raise BadInput(InputCode.PARQUET_CORRUPT, f"it says {file.metadata.num_rows:,} rows, and has {rows:,}")
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:  # their texts may repeat the file's
        if isinstance(error, OSError) and error.errno is not None:  # not Arrow's, but the network's
            raise
        raise BadInput(InputCode.PARQUET_CORRUPT, f"it cannot be read as Parquet ({type(error).__name__})") from None


def pyarrow() -> Any:
    """Import pyarrow where it is wanted: no other format pays for it.

    Raises:
        BadInput: READER_MISSING.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        ways = "deploy the stack with ReadParquet=ENABLED, and on your own machine `pip install pyarrow`"
        raise BadInput(InputCode.READER_MISSING, f"pyarrow is not installed here: {ways}") from None
    return pyarrow


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise BadInput(InputCode.NO_ROWS, "the file has columns and no rows")
    if rows > MAX_ROWS:
        raise BadInput(InputCode.PARQUET_BOMB, f"it has {rows:,} rows; at most {MAX_ROWS:,} are read")


def _readers(arrow: Any, schema: Any, spec: InputSpec) -> dict[str, tuple[str, Column]]:
    names = columns.named(schema.names, spec)
    found = {}
    for field, name in zip(schema, names, strict=True):
        if name in spec.columns:
            found[field.name] = name, _reader(arrow, field.type, name)
    return found


def _reader(arrow: Any, kind: Any, name: str) -> Column:
    """Return how to read a column of a type.

    Raises:
        BadInput: BAD_COLUMN.
    """
    types = arrow.types
    if types.is_dictionary(kind):
        inner = _reader(arrow, kind.value_type, name)
        return lambda column: inner(column.dictionary_decode())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _texts
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_decimal(kind) or types.is_null(kind):
        return _as_they_are
    if types.is_float64(kind):
        return _floats
    if types.is_floating(kind):  # the shortest text that is this number, where Python would write out a double
        return lambda column: _each(_number, column.cast(arrow.float32()).cast(arrow.string()).to_pylist())
    if types.is_timestamp(kind):
        moment = partial(_moment, per_second=_PER_SECOND[kind.unit], zoned=kind.tz is not None)
        return lambda column: _each(moment, column.view(arrow.int64()).to_pylist())
    if types.is_date(kind) or types.is_time(kind) or types.is_nested(kind) or kind == arrow.uuid():
        return lambda column: _each(lambda scalar: _plain(scalar.as_py()), column)
    raise BadInput(InputCode.BAD_COLUMN, f"column {name} is of the type {str(kind)[:64]}")


def _as_they_are(column: Any) -> list[Any]:
    found: list[Any] = column.to_pylist()
    return found


def _texts(column: Any) -> list[Any]:
    try:
        return _as_they_are(column)
    except UnicodeDecodeError:
        return _each(lambda scalar: scalar.as_py(), column)


def _floats(column: Any) -> list[Any]:
    return _each(_plain, column.to_pylist())


def _each(read: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [_one(read, value) for value in values]


def _one(read: Callable[[Any], Any], value: Any) -> Any:
    """Read one value, or say why it is not usable; what is not there stays so."""
    if value is None:
        return None
    try:
        return read(value)
    except RowFault as fault:
        return fault
    except UnicodeDecodeError:
        return RowFault(InputCode.INVALID_UTF8)
    except RecursionError:
        return RowFault(InputCode.TOO_DEEP)
    except (ValueError, OverflowError, KeyError):  # a moment outside Python's years, a time zone that is none
        return RowFault(InputCode.BAD_TYPE)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise RowFault(InputCode.NON_FINITE)
    return number


def _moment(count: int, *, per_second: int, zoned: bool) -> str:
    """Return a moment's ISO text: of UTC, or of whatever place the file has in mind."""
    moment = _EPOCH + timedelta(microseconds=count * 10**6 // per_second)
    text = moment.replace(tzinfo=None).isoformat()
    return f"{text}Z" if zoned else text


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    match value:
        case float():
            if not math.isfinite(value):
                raise RowFault(InputCode.NON_FINITE)
            return Decimal(repr(value))
        case None | str() | int() | Decimal():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case bytes() | timedelta():
            raise RowFault(InputCode.BAD_TYPE)
    return str(value)  # a UUID
