"""Rows of Parquet files and Excel workbooks, as one file of the same format: every column, every value as it was."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxInputError
from xlsxwriter.worksheet import Worksheet

from nightshift import rows_parquet, workbook
from nightshift.input_codes import RowFault
from nightshift.model import InputRef
from nightshift.ports import Inputs
from nightshift_cli.exits import Refused

BATCH = 256
"""Rows of a Parquet file that are in memory at once."""
EXACT = 10**15
"""Whole numbers from here on are written as text: a cell's number has 15 digits, and an id may have more."""

type Places = Mapping[int, Collection[int]]
"""Index of an input → the numbers of its records."""


def write_parquet(inputs: Inputs, refs: Sequence[InputRef], places: Places, file: BinaryIO) -> int:
    """Write rows as one Parquet file, in the order of the inputs; a column that an input lacks is null there.

    Returns:
        Its rows.

    Raises:
        BadInput: an input version is not there any more, or pyarrow is not installed.
        Refused: two inputs have a column of the same name, and of types that no column has together.
    """
    arrow, tables = rows_parquet.pyarrow(), []
    for index, wanted in sorted(places.items()):
        with inputs.open(refs[index], seekable=True) as stream:
            source, number, kept = arrow.parquet.ParquetFile(stream), 0, []
            for batch in source.iter_batches(BATCH, use_threads=False):
                numbers = range(number + 1, number + 1 + batch.num_rows)
                kept.append(batch.filter(arrow.array([each in wanted for each in numbers])))
                number += batch.num_rows
            tables.append(arrow.Table.from_batches(kept, source.schema_arrow))
    try:
        table = arrow.concat_tables(tables, promote_options="default")  # no 1 becomes a 1.0
    except (arrow.ArrowInvalid, arrow.ArrowTypeError):  # their texts are about types alone, and no help
        raise Refused(
            "the run's inputs have a column of the same name with values of different types, which one file cannot "
            "hold: submit their rows in files of your own"
        ) from None
    arrow.parquet.write_table(table, file)
    rows: int = table.num_rows
    return rows


def write_xlsx(
    inputs: Inputs, refs: Sequence[InputRef], places: Places, file: BinaryIO,
    *, sheet: str | None, named: str | None, made: datetime,
) -> int:  # fmt: skip
    """Write rows as one workbook of one sheet, in the order of the inputs, under the columns of all of them.

    A cell without a value that a row could have, as of a formula's error, is empty: no such cell is in a row's prompt.

    Args:
        inputs: where they are.
        refs: the run's inputs.
        places: the rows.
        file: what to write to.
        sheet: the sheet that they are on; None: the first visible one.
        named: what to call the file's only sheet; None: Sheet1.
        made: when the workbook says that it was made, so that the same rows are the same bytes.

    Returns:
        Its rows.

    Raises:
        BadInput: an input version is not there any more.
        Refused: a text is longer than a cell can be, or Excel takes no sheet of this name.
    """
    titles: dict[str, int] = {}
    rows: list[Mapping[int, Any]] = []
    for index, wanted in sorted(places.items()):
        with inputs.open(refs[index], seekable=True) as stream:
            read = workbook.rows(stream, sheet)
            _, header = next(read)
            columns = {place: titles.setdefault(str(title), len(titles)) for place, title in header.items()}
            for number, (_, cells) in enumerate(read, 1):
                if number in wanted:
                    rows.append({columns[place]: value for place, value in cells.items() if place in columns})
    with Workbook(file, {"in_memory": True}) as book:
        book.set_properties({"created": made.replace(tzinfo=None)})
        try:
            page = book.add_worksheet(named)
        except XlsxInputError:
            raise Refused(
                f"input.sheet is `{named}`, and no workbook can be written with a sheet of this name"
            ) from None
        for line, row in enumerate([{place: title for title, place in titles.items()}, *rows]):
            for place, value in row.items():
                _write(page, line, place, value)
    return len(rows)


def _write(page: Worksheet, line: int, place: int, value: Any) -> None:
    if isinstance(value, RowFault):
        return
    if isinstance(value, bool):
        status = page.write_boolean(line, place, value)
    elif isinstance(value, int | Decimal) and -EXACT < value < EXACT:
        status = page.write_number(line, place, value)
    else:
        status = page.write_string(line, place, str(value))
    if status:
        raise Refused(f"row {line} of the failed ones has a text that is longer than a cell of a workbook can be")
