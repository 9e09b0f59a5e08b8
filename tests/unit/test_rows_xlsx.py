"""Reading Excel workbooks: as openpyxl reads them, and what it must not cost."""

import io
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from nightshift import workbook
from nightshift.errors import BadInput
from nightshift.model import Reject, Row
from nightshift.rows import check, read
from tests.unit.xlsx_cases import BY_HAND, TEXTS, XLSX, cell, made, parts, saved, zipped

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


def sheets(*names: str) -> bytes:
    """Return a workbook whose sheets, the first of them hidden, each have a row with the sheet's name as its body."""
    book = Workbook()
    book.remove(book.active)
    for name in names:
        sheet = book.create_sheet(name)
        sheet.append(("id", "body"))
        sheet.append(("1", name))
    book.worksheets[0].sheet_state = "hidden"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "wanted"), [(None, "Tickets"), ("Old", "Old"), ("TICKETS", "Tickets"), ("Über uns", "Über uns")]
)
def test_the_sheet_that_the_job_names_is_read_and_the_first_visible_one_where_it_names_none(
    name: str | None, wanted: str
) -> None:
    found = read(io.BytesIO(sheets("Old", "Tickets", "Über uns")), replace(XLSX, sheet=name), file=0, digest="feed")
    assert [row.values["body"] for row in found if isinstance(row, Row)] == [wanted]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Old", "Tickets"), "`Old`, `Tickets`"),
        (("a", "b\u202e"), r"`a`, `b\u202e`"),
        ([f"s{n}" for n in range(23)], ", ".join([*(f"`s{n}`" for n in range(20)), "3 more"])),
    ],
)
def test_a_file_without_the_sheet_that_the_job_names_is_refused_and_told_which_it_has(
    names: Sequence[str], told: str
) -> None:
    with pytest.raises(BadInput) as raised:
        check(io.BytesIO(sheets(*names)), replace(XLSX, sheet="Ticket"))
    assert str(raised.value) == f"NO_SHEET: it has no sheet `Ticket`; it has {told}"


def test_a_sheet_is_told_by_no_more_of_its_name_than_excel_takes() -> None:
    data = zipped(parts("") | {"book/main.xml": str(parts("")["book/main.xml"]).replace('"a"', f'"{"x" * 999}"')})
    with pytest.raises(BadInput, match=f"has `hidden`, `{'x' * 31}`$"):
        check(io.BytesIO(data), replace(XLSX, sheet="b"))


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
