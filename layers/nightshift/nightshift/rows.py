"""Bytes → rows, one at a time; what cannot be a row becomes a reject with line and reason.

Everything here is a function of the bytes and the job: the same object gives the same rows and the same rejects.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO

import msgspec

from nightshift import content, rows_csv, rows_jsonl, rows_parquet, rows_xlsx
from nightshift.conversation import history
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.model import LeftOut, Reject, Row, RowClass
from nightshift.prompt import text
from nightshift.records import InputSpec, Record

MAX_ID = 256
"""Characters of a row's id."""
_SHOWN_ID = 64
"""Characters of an id in a reject."""
NOTHING: frozenset[LeftOut] = frozenset()
"""Is left out of most rows."""
_BODY = (str, int, Decimal, type(None))
_MARK = "\n[truncated: {:,} more bytes]"
_INVISIBLE = re.compile(r"[\s\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*")
_encode = msgspec.json.Encoder(decimal_format="number").encode


def check(stream: BinaryIO, spec: InputSpec) -> int:
    """Read a whole file before any of its rows counts: damage at its end must not be found after the first row is paid.

    Returns:
        Its records: rows, good or bad.

    Raises:
        BadInput: the file is refused.
    """
    if spec.format == "jsonl":
        return rows_jsonl.count(content.lines(stream))
    return sum(1 for _ in _records(stream, spec))


def read(stream: BinaryIO, spec: InputSpec, *, file: int, digest: str, after: int = 0) -> Iterator[Row | Reject]:
    """Yield the rows and rejects of a file that passed `check`, in order, in constant memory.

    Args:
        stream: the object's bytes, as stored; seekable where `spec.seekable`.
        spec: what the job wants to know.
        file: index of the file among the run's inputs.
        digest: names the object version in row-number ids.
        after: records to leave out from the start: those that are planned already.
    """
    maker = _Maker(spec, file, digest, sorted(spec.required | spec.optional), spec.columns)
    for record in _records(stream, spec):
        if record.number <= after:
            continue
        try:
            if record.fault is not None:
                raise record.fault
            yield maker.row(record)
        except RowFault as fault:
            yield _reject(record, fault, file, record.values.get(spec.id) if spec.id else None)


def reject_row(row: Row, row_class: RowClass, code: InputCode, detail: str) -> Reject:
    """Make a reject of a row that was read well."""
    return Reject(
        file=row.file,
        line=row.line,
        record=row.record,
        byte_offset=row.byte_offset,
        id=row.id[:_SHOWN_ID],
        row_class=row_class,
        code=code,
        detail=detail,
        row_sha256=hashlib.sha256(row.raw).hexdigest(),
    )


def refuse_file(error: BadInput, file: int) -> Reject:
    """Make the one reject that stands for a whole file."""
    return Reject(
        file=file,
        line=error.line or 0,
        record=0,
        byte_offset=None,
        id=None,
        row_class=RowClass.REJECTED,
        code=error.code,
        detail=error.detail,
        row_sha256="",
    )


def _records(stream: BinaryIO, spec: InputSpec) -> Iterator[Record]:
    match spec.format:
        case "jsonl":
            return rows_jsonl.records(content.lines(stream))
        case "csv":
            return rows_csv.records(content.lines(stream), spec)
        case "parquet":
            return rows_parquet.records(stream, spec)
        case "xlsx":
            return rows_xlsx.records(stream, spec)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes rows of the records of a file."""

    spec: InputSpec
    file: int
    digest: str
    prompt: Sequence[str]
    """The columns of the prompt, in order."""
    used: frozenset[str]
    """All columns that the job uses."""

    def row(self, record: Record) -> Row:
        """Make a row.

        Raises:
            RowFault: it cannot be one.
        """
        spec, values = self.spec, record.values
        changes: set[LeftOut] = set()
        row_id = f"{self.digest}:{record.number}" if spec.id is None else _id(values.get(spec.id))
        if spec.strip_nul:
            values = _without_nul(values, self.used, changes)
        body = {column: _body(column, values.get(column), spec, changes) for column in self.prompt}
        carried = {column: _carried(column, values[column], spec, changes) for column in spec.carry if column in values}
        if record.more or not values.keys() <= self.used:
            changes.add(LeftOut.UNUSED_COLUMNS)
        return Row(
            id=row_id,
            values=carried | body,
            file=self.file,
            line=record.line,
            record=record.number,
            digest=_digest(body),
            byte_offset=record.offset,
            raw=record.raw,
            changes=frozenset(changes) if changes else NOTHING,
        )


def _without_nul(values: Mapping[str, Any], used: frozenset[str], changes: set[LeftOut]) -> dict[str, Any]:
    """Return a row's values; its texts lose their NUL characters."""
    found = dict(values)
    for column, value in values.items():
        if column in used and isinstance(value, str) and "\0" in value:
            found[column] = value.replace("\0", "")
            changes.add(LeftOut.NUL_STRIPPED)
    return found


def _id(value: Any) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowFault(InputCode.MISSING_ID)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise RowFault(InputCode.BAD_TYPE, "the id must be a text or a whole number")
    row_id = unicodedata.normalize("NFC", str(value).strip())
    if not row_id.isprintable():
        kinds = {unicodedata.category(character) for character in row_id}
        if "Cs" in kinds:
            raise RowFault(InputCode.LONE_SURROGATE, "in the id")
        if kinds & {"Cc", "Cf", "Zl", "Zp"}:
            raise RowFault(InputCode.BAD_ID)
    if len(row_id) > MAX_ID:
        raise RowFault(InputCode.ID_TOO_LONG, f"{len(row_id):,} characters")
    return row_id


def _body(column: str, value: Any, spec: InputSpec, changes: set[LeftOut]) -> Any:
    """Return a column's value for the prompt: a text or a number, or None where it may be and is empty.

    A conversation is its compact JSON.
    """
    empty = value is None or (isinstance(value, str) and _INVISIBLE.fullmatch(value) is not None)
    if column in spec.histories and not empty:
        value = history(value, column)
    if isinstance(value, bool) or not isinstance(value, _BODY):
        raise RowFault(InputCode.BAD_TYPE, f"column {column}: must be a text or a number")
    if empty:
        if column in spec.required:
            raise RowFault(InputCode.EMPTY_BODY, f"column {column}: missing or empty")
        return None
    if isinstance(value, str):
        if column not in spec.files:
            return _fitting(column, value, spec, changes)
        if not value.isascii():
            raise RowFault(InputCode.BAD_BASE64, f"column {column}")
    return value


def _carried(column: str, value: Any, spec: InputSpec, changes: set[LeftOut]) -> Any:
    if isinstance(value, str):
        return _fitting(column, value, spec, changes)
    try:
        size = len(_encode(value))
    except RecursionError:
        raise RowFault(InputCode.TOO_DEEP, f"column {column}") from None
    except UnicodeEncodeError:
        raise RowFault(InputCode.LONE_SURROGATE, f"column {column}") from None
    if size > spec.max_text_bytes:
        raise RowFault(InputCode.TOO_LARGE, f"column {column}: {size:,} bytes")
    return value


def _fitting(column: str, value: str, spec: InputSpec, changes: set[LeftOut]) -> str:
    """Return a text, or as much of it as the job takes."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise RowFault(InputCode.LONE_SURROGATE, f"column {column}") from None
    if data.find(b"\0") >= 0:
        raise RowFault(InputCode.NUL_IN_TEXT, f"column {column}")
    if len(data) > spec.max_text_bytes:
        if not spec.truncate or column in spec.histories:
            raise RowFault(InputCode.TOO_LARGE, f"column {column}: {len(data):,} bytes")
        changes.add(LeftOut.TRUNCATED)
        return _truncated(data, spec.max_text_bytes)
    return value


def _truncated(data: bytes, most: int) -> str:
    """Return the beginning of a text, and a line that says how much is missing, in `most` bytes or a few less."""
    room = most - len(_MARK.format(len(data)))  # nothing that is missing has more digits
    kept = data[:room].decode(errors="ignore")
    return kept + _MARK.format(len(data) - len(kept.encode()))


def _digest(body: Mapping[str, Any]) -> str:
    """Return 16 hex characters over what is asked: NFC, so that the two ways to write é are the same content."""
    normal = [
        (column, told if (told := text(value)).isascii() else unicodedata.normalize("NFC", told))
        for column, value in body.items()
    ]
    return hashlib.sha256(_encode(normal)).hexdigest()[:16]


def _reject(record: Record, fault: RowFault, file: int, row_id: Any = None) -> Reject:
    shown = str(row_id).encode(errors="replace").decode()[:_SHOWN_ID] if isinstance(row_id, str | int) else None
    return Reject(
        file=file,
        line=record.line,
        record=record.number,
        byte_offset=record.offset,
        id=shown,
        row_class=RowClass.REJECTED,
        code=fault.code,
        detail=fault.detail,
        row_sha256=hashlib.sha256(record.raw).hexdigest(),
    )
