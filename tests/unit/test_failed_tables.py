"""The failed rows of Parquet files and workbooks, written as a file of their own: nothing of a row is changed."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from nightshift import workbook
from nightshift.model import InputRef
from nightshift_cli.exits import Refused
from nightshift_cli.failed_tables import write_parquet, write_xlsx
from tests.unit.conftest import START
from tests.unit.fakes import MemoryInputs
from tests.unit.parquet_cases import written
from tests.unit.test_rows_xlsx import SECONDS, TEXT
from tests.unit.xlsx_cases import cell, made, saved


def stored(*files: bytes) -> tuple[MemoryInputs, list[InputRef]]:
    inputs = MemoryInputs({str(number): data for number, data in enumerate(files)})
    return inputs, [inputs.pin(key) for key in inputs.files]


def parquet(places: dict[int, set[int]], *files: bytes) -> pa.Table:
    inputs, refs = stored(*files)
    file = io.BytesIO()
    assert write_parquet(inputs, refs, places, file) == sum(len(each) for each in places.values())
    return pq.read_table(file)


def xlsx(places: dict[int, set[int]], *files: bytes, sheet: str | None = None, named: str | None = None) -> bytes:
    inputs, refs = stored(*files)
    file = io.BytesIO()
    rows = write_xlsx(inputs, refs, places, file, sheet=sheet, named=named, made=START)
    assert rows == sum(len(each) for each in places.values())
    return file.getvalue()


def test_a_parquet_row_keeps_every_column_type_and_value() -> None:
    rows = 1000
    table = pa.table(
        {
            "id": [str(number) for number in range(rows)],
            "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(rows)]),
            "price": pa.array([Decimal(n) / 4 for n in range(rows)], pa.decimal128(12, 2)),
            "tags": [[str(n), None] if n % 3 else None for n in range(rows)],
            "kind": pa.array([f"k{n % 5}" for n in range(rows)]).dictionary_encode(),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=300)

    found = parquet({0: {1, 256, 257, 700, 1000}}, buffer.getvalue())

    assert found.schema.equals(table.schema)
    assert found.equals(table.take([0, 255, 256, 699, 999]))


def test_rows_of_several_parquet_files_stand_under_the_columns_of_all() -> None:
    found = parquet(
        {0: {2}, 1: {1}}, written([("id", ["1", "2"]), ("body", ["a", "b"])]), written([("id", ["3"]), ("n", [7])])
    )
    assert found.to_pylist() == [{"id": "2", "body": "b", "n": None}, {"id": "3", "body": None, "n": 7}]


def test_columns_that_one_file_cannot_hold_are_refused() -> None:
    with pytest.raises(Refused, match="a column of the same name with values of different types"):
        parquet({0: {1}, 1: {1}}, written([("id", ["1"])]), written([("id", [1])]))


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["_x0041_", "'=1+1", "http://a.example", "007", " a ", "a\nb", "a\tb", "1e5", "true"]),
    TEXT,
    st.integers(-(10**20), 10**20),
    st.floats(-1e14, 1e14),
    SECONDS,
)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5))
@settings(max_examples=80, deadline=4000)
def test_a_cell_reads_as_the_one_that_it_is_a_copy_of(rows: list[list[Any]]) -> None:
    data = saved([("id", "body", "more"), *(("1", *row) for row in rows)])
    again = xlsx({0: set(range(1, len(rows) + 1))}, data)

    was, now = ([cells for _, cells in workbook.rows(io.BytesIO(each))][1:] for each in (data, again))
    told = [{place: str(value) for place, value in cells.items() if place < 3} for cells in was]
    assert [{place: str(value) for place, value in cells.items()} for cells in now] == told


def test_numbers_and_booleans_stay_so_and_a_number_too_long_for_excel_keeps_its_digits_as_text() -> None:
    long = made(cell("<c><v>12345678901234567890</v></c>"))
    data = xlsx({0: {1}, 1: {1}}, saved([tuple("abc"), (1.5, True, 3)]), long)
    (_, *rows) = [list(cells.values()) for _, cells in workbook.rows(io.BytesIO(data))]
    assert [(type(value), value) for row in rows for value in row] == [
        (Decimal, Decimal("1.5")), (bool, True), (int, 3), (int, 1), (str, "12345678901234567890")
    ]  # fmt: skip


def test_rows_of_several_workbooks_stand_under_the_columns_of_all_and_an_error_is_a_blank_cell() -> None:
    found = xlsx(
        {0: {2}, 1: {1}},
        saved([(), ("id", None, "body"), ("1", "x", "a"), (), ("2", "y", "=1/0")]),
        saved([("body", "id"), ("c", "3")]),
    )
    sheet = load_workbook(io.BytesIO(found)).active
    assert list(sheet.iter_rows(values_only=True)) == [("id", "body"), ("2", None), ("3", "c")]


def test_the_sheet_has_the_name_that_the_job_now_wants_and_the_same_rows_are_the_same_bytes() -> None:
    book = Workbook()
    book.active.append(("id",))
    book.create_sheet("Tickets").append(("id", "body"))
    book["Tickets"].append(("1", "a"))
    buffer = io.BytesIO()
    book.save(buffer)

    first, second = (xlsx({0: {1}}, buffer.getvalue(), sheet="tickets", named="Now") for _ in range(2))

    assert first == second
    assert load_workbook(io.BytesIO(first)).sheetnames == ["Now"]


def test_a_name_that_no_sheet_can_have_and_a_text_that_no_cell_can_hold_are_refused() -> None:
    with pytest.raises(Refused, match="no workbook can be written with a sheet of this name"):
        xlsx({0: {1}}, saved([("id",), ("1",)]), named="a/b")
    with pytest.raises(Refused, match="row 1 of the failed ones has a text that is longer than a cell"):
        xlsx({0: {1}}, made(cell(f'<c t="str"><v>{"x" * 32_768}</v></c>')))
