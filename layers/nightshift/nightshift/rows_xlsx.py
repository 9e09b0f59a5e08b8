"""An Excel sheet → records: its first row that is not blank names the columns."""

from collections.abc import Iterator
from typing import BinaryIO

from nightshift import columns, workbook
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.records import InputSpec, Record


def records(stream: BinaryIO, spec: InputSpec) -> Iterator[Record]:
    """Yield a record per row below the header that is not blank. Its line is its number in the sheet.

    Args:
        stream: the object, seekable.
        spec: what the job wants to know of a row.

    Raises:
        BadInput: NO_ROWS, NO_SHEET, BAD_HEADER, DUPLICATE_HEADER, and whatever `workbook.rows` refuses.
    """
    rows = workbook.rows(stream, spec.sheet)
    line, cells = next(rows, (0, {}))
    if not cells:
        raise BadInput(InputCode.NO_ROWS, "the sheet is empty")
    titles = [_title(cells.get(place)) for place in range(max(cells) + 1)]
    used = {place: name for place, name in enumerate(columns.named(titles, spec, line=line)) if name in spec.columns}
    more, number = any(title.strip() for place, title in enumerate(titles) if place not in used), 0
    for line, cells in rows:
        number += 1
        values = {name: cells.get(place) for place, name in used.items()}
        fault = next((_in(name, value) for name, value in values.items() if isinstance(value, RowFault)), None)
        raw = repr(sorted(cells.items())).encode()
        yield Record(line, number, None, raw, values=values, more=more, fault=fault)
    if number == 0:
        raise BadInput(InputCode.NO_ROWS, "the sheet has a header and no rows")


def _title(value: object) -> str:
    return "" if value is None or isinstance(value, RowFault) else str(value)


def _in(column: str, fault: RowFault) -> RowFault:
    return RowFault(fault.code, f"column {column}: {fault.detail}")
