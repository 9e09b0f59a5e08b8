"""Reading Excel workbooks: as openpyxl reads them, and what it must not cost."""

import io
import tracemalloc
from datetime import date, datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from nightshift import workbook
from nightshift.errors import BadInput
from nightshift.model import Reject
from nightshift.rows import check, read
from tests.unit.xlsx_cases import BY_HAND, TEXTS, XLSX, cell, made, saved

SECONDS = st.datetimes(datetime.fromisoformat("1900-03-01"), datetime.fromisoformat("9999-12-31")).map(
    lambda moment: moment.replace(microsecond=0)
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    lambda text: not text.startswith("=") and "_x" not in text and "\\ufffe" not in text and "\\uffff" not in text
)
VALUES = st.one_of(st.none(), st.booleans(), TEXT, st.integers(-(10**14), 10**14), st.floats(-1e9, 1e9), SECONDS,
                   SECONDS.map(datetime.date))  # fmt: skip


def told(value: Any) -> Any:
    """Return what a cell that openpyxl reads is in a row."""
    match value:
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case date() | time():
            return value.isoformat()
        case float():
            number = Decimal(f"{value:.15g}")
            return int(number) if number == number.to_integral_value() else number
    return value


@given(st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=6))
@settings(max_examples=60, deadline=2000)
def test_each_cell_is_what_openpyxl_reads(rows: list[list[Any]]) -> None:
    data = saved(rows)
    sheet = load_workbook(io.BytesIO(data), data_only=True).active
    wanted = {
        number: {place: told(value) for place, value in enumerate(row) if value is not None}
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
    }
    assert dict(workbook.rows(io.BytesIO(data))) == {number: cells for number, cells in wanted.items() if cells}


def test_a_reject_has_its_row_of_the_sheet_as_its_line_and_no_offset() -> None:
    data = saved([(), ("id", "body"), (), ("1", "text"), (), ("2", " ")])
    (_, found) = read(io.BytesIO(data), XLSX, file=3, digest="feed")
    assert isinstance(found, Reject)
    assert (found.file, found.line, found.record, found.byte_offset, found.id) == (3, 6, 2, None, "2")


def test_a_refused_header_is_told_with_its_row() -> None:
    with pytest.raises(BadInput, match=r"^BAD_HEADER: line 3: the header does not name body, id; without an id column"):
        check(io.BytesIO(saved([(), (), ("one", "two"), (1, 2)])), XLSX)


def test_texts_that_would_fill_the_disk_refuse_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_TEXTS", len("idbody"))
    assert check(io.BytesIO(BY_HAND), XLSX) == 2
    monkeypatch.setattr(workbook, "MAX_TEXTS", len("idbod"))
    with pytest.raises(BadInput, match="FILE_TOO_LARGE: its texts have more than 5 bytes: save it as CSV"):
        check(io.BytesIO(BY_HAND), XLSX)


class LostError(Exception):
    """What botocore raises is no OSError either."""


class Broken(io.BytesIO):
    """A file that the network loses."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == 0:
            return super().read(size)
        raise LostError


def test_a_network_that_fails_is_no_damage_of_the_file() -> None:
    with pytest.raises(LostError):
        check(Broken(TEXTS), XLSX)


def test_reading_takes_the_same_memory_however_long_the_sheet_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "IN_MEMORY", 100_000)

    def peak(rows: int) -> int:
        bodies = (sha256(str(number).encode()).hexdigest() * 8 for number in range(rows))
        texts = "".join(f"<si><t>{body}</t></si>" for body in bodies)
        sheet = "".join(cell(f'<c t="s"><v>{number + 2}</v></c>', number) for number in range(rows))
        data = made(sheet, texts)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read(io.BytesIO(data), XLSX, file=0, digest="feed")) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(9_000) < 1.2 * peak(3_000)
