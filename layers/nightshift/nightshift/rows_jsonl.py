"""JSON Lines → records: strict where Python's own reader is generous."""

import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Never

import msgspec

from nightshift.content import BOM, Line
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.records import Record

_MAX_DIGITS = 4300  # Python's own limit for integers, kept for all numbers
_PROBE = 10
"""Rows looked at to tell a JSON document from JSON Lines."""
_NOT_A_ROW = frozenset({InputCode.BAD_JSON, InputCode.EXTRA_DATA, InputCode.NOT_OBJECT})


def records(lines: Iterable[Line]) -> Iterator[Record]:
    """Yield a record per line that is not blank.

    Raises:
        BadInput: NO_ROWS, NOT_JSONL.
    """
    parsed = _records(lines)
    probe = list(islice(parsed, _PROBE))
    if not probe:
        raise BadInput(InputCode.NO_ROWS, "the file has only blank lines")
    start = probe[0].raw.lstrip()[:1]
    document = start == b"[" or (start == b"{" and len(probe) > 1)
    if document and all(record.fault and record.fault.code in _NOT_A_ROW for record in probe):
        raise BadInput(InputCode.NOT_JSONL, "the file is one JSON document, not one object per line", line=1)
    yield from chain(probe, parsed)


def count(lines: Iterable[Line]) -> int:
    """Return how many records there are; only so many are parsed as it takes to tell what the file is.

    Raises:
        BadInput: as `records`.
    """
    filled = (line for line in lines if _text(line))
    return sum(1 for _ in records(list(islice(filled, _PROBE)))) + sum(1 for _ in filled)


def _text(line: Line) -> bytes:
    return line.data.removeprefix(BOM).strip()


def _records(lines: Iterable[Line]) -> Iterator[Record]:
    number = 0
    for line in lines:
        raw = _text(line)
        if not raw:
            continue
        number += 1
        try:
            yield Record(line.number, number, line.offset, raw, values=_parse(raw))
        except RowFault as fault:
            yield Record(line.number, number, line.offset, raw, fault=fault.with_traceback(None))


def _parse(raw: bytes) -> dict[str, Any]:
    """Parse a row: a plain one with msgspec, in half the time; any other with Python's reader, which knows every fault.

    Each key and each text has two quotation marks. With more, a text has one in it, or a key was there twice.
    """
    try:
        value = _quick(raw)
    except (ValueError, RecursionError, RowFault):
        return _parse_strictly(raw)
    texts = [type(each) for each in value.values()].count(str)
    return value if raw.count(b'"') == 2 * (len(value) + texts) else _parse_strictly(raw)


def _parse_strictly(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
        value, end = _decoder.raw_decode(text)
        if end < len(text):
            value = _decoder.decode(text)  # raises, and says what comes behind
    except UnicodeDecodeError:
        raise RowFault(InputCode.INVALID_UTF8) from None
    except RecursionError:
        raise RowFault(InputCode.TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise _fault(error) from None
    except ValueError:  # int() refuses more than 4,300 digits
        raise RowFault(InputCode.NUMBER_TOO_LONG) from None
    if not isinstance(value, dict):
        raise RowFault(InputCode.NOT_OBJECT)
    return value


def _fault(error: json.JSONDecodeError) -> RowFault:
    """Tell the usual mistakes apart. The decoder's message names a position and a rule, never the text."""
    where = f"{error.msg.removesuffix(' at').removesuffix(' starting')}, at character {error.colno}"
    if error.msg.startswith("Invalid control character") or error.doc[error.pos : error.pos + 1] == "\0":
        return RowFault(InputCode.CONTROL_CHAR, where)
    if error.doc[error.pos : error.pos + 1] == "\ufeff":
        return RowFault(InputCode.BOM_INSIDE, f"a byte order mark, at character {error.colno}")
    if error.msg == "Extra data":
        return RowFault(InputCode.EXTRA_DATA, where)
    return RowFault(InputCode.BAD_JSON, where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise RowFault(InputCode.DUPLICATE_KEY)
    return value


def _number(digits: str) -> Decimal:
    """Keep a number as it was written: 12.50 stays 12.50 in a prompt."""
    if len(digits) > _MAX_DIGITS:
        raise RowFault(InputCode.NUMBER_TOO_LONG)
    if not math.isfinite(float(digits)):
        raise RowFault(InputCode.NON_FINITE)
    return Decimal(digits)


def _constant(_name: str) -> Never:
    raise RowFault(InputCode.NON_FINITE)


_quick = msgspec.json.Decoder(dict[str, Any], float_hook=_number).decode
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
