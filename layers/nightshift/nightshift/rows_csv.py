"""CSV → records: RFC 4180, strictly, with a header that names the columns the job uses."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from nightshift import columns
from nightshift.content import BOM, MAX_LINE, Line
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.records import InputSpec, Record

_BAD_BYTES = ("\udc80", "\udcff")
"""What `surrogateescape` turns bytes into that are not UTF-8: everything between these two."""


class _Tap:
    """Hands lines to the CSV reader and remembers those of the record that it is reading."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self.taken: list[Line] = []
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.taken.append(line)
            self.bytes += len(line.data)
            if self.bytes > MAX_LINE:
                # Before the reader gathers the rest of the file in one field.
                raise BadInput(InputCode.UNTERMINATED_QUOTE, "a quote never ends", line=self.taken[0].number)
            yield line.data.removeprefix(BOM).decode(errors="surrogateescape")

    def drop(self) -> None:
        """Forget the lines: the next one starts a record."""
        self.taken.clear()
        self.bytes = 0


def records(lines: Iterable[Line], spec: InputSpec) -> Iterator[Record]:
    """Yield a record per row below the header.

    Raises:
        BadInput: NO_ROWS, BAD_HEADER, DUPLICATE_HEADER, UNTERMINATED_QUOTE.
    """
    csv.field_size_limit(MAX_LINE)  # the module's own, for the whole process: ours is `max_text_bytes`
    tap = _Tap(lines)
    rows = _rows(tap)
    fields, fault = next(rows, ([], None))
    if fault:
        code = InputCode.BAD_NEWLINES if fault.code is InputCode.CONTROL_CHAR else InputCode.BAD_HEADER
        raise BadInput(code, f"in the header: {fault.detail}", line=tap.taken[0].number)
    if not fields:
        raise BadInput(InputCode.NO_ROWS, "the file has only blank lines")
    names = columns.named(fields, spec, hint=_hint(fields), line=1)
    number = 0
    for fields, fault in rows:
        number += 1
        first, raw = tap.taken[0], b"".join(line.data for line in tap.taken)
        problem = fault or _problem(fields, names)
        values = {} if problem else dict(zip(names, fields, strict=True))
        yield Record(first.number, number, first.offset, raw, values=values, fault=problem)
    if number == 0:
        raise BadInput(InputCode.NO_ROWS, "the file has a header and no rows")


def _rows(tap: _Tap) -> Iterator[tuple[list[str], RowFault | None]]:
    """Yield the fields of each row that is not blank, or why it has none."""
    reader = csv.reader(tap, strict=True)
    while True:
        tap.drop()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield [], _fault(error, tap.taken)
            continue
        if fields is None:
            return
        if fields:
            yield fields, None


def _fault(error: csv.Error, taken: Sequence[Line]) -> RowFault:
    """Reject one row where the next line starts a row again, and the file where nobody can tell."""
    start = taken[0].number
    if "unexpected end of data" in str(error) or "field limit" in str(error):
        raise BadInput(InputCode.UNTERMINATED_QUOTE, "a quote never ends", line=start) from None
    if len(taken) > 1:
        raise BadInput(InputCode.UNTERMINATED_QUOTE, f"a quote ends in line {taken[-1].number}", line=start) from None
    if "new-line character" in str(error):
        return RowFault(InputCode.CONTROL_CHAR, "a CR stands in a field without quotes")
    return RowFault(InputCode.BAD_QUOTE)


def _hint(fields: Sequence[str]) -> str:
    """Say what the file seems to be separated by, where that is no comma."""
    text = ",".join(fields)
    separator = next((name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in text), "")
    return f"it seems to be separated by {separator}: export it with commas" if separator else ""


def _problem(fields: list[str], names: list[str]) -> RowFault | None:
    if len(fields) != len(names):
        return RowFault(InputCode.FIELD_COUNT, f"{len(fields)} fields under {len(names)} columns")
    low, high = _BAD_BYTES
    if any(not field.isascii() and any(low <= character <= high for character in field) for field in fields):
        return RowFault(InputCode.INVALID_UTF8)
    return None
