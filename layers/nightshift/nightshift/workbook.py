"""An Excel workbook → the cells of a sheet, row by row: what is stored, told as Excel shows it.

Formulas are read as the values they last had. ECMA-376, part 1, has the format.
"""

import posixpath
import re
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from zipfile import ZipFile

from nightshift import office_zip
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.office_zip import Event

MAX_TEXTS = 400_000_000
"""Bytes of a workbook's texts, which are spooled to disk: Lambda's has 512 MB."""
MAX_COLUMN = 16_384
MOST_NAME = 31
"""Characters of a sheet's name: Excel takes no longer ones."""
MOST_NAMES = 20
"""Sheets that are named where the wanted one is not there."""
IN_MEMORY = 8 << 20
"""Bytes of them that are not."""
_DAY_ONE = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook's times are of no zone
_DAY_ONE_1904 = datetime(1904, 1, 1)  # noqa: DTZ001 - a sheet has no zone
_BEFORE_MARCH = 60
"""Excel's 1900 has a 29 February: days before are one off."""
_CELL = re.compile(r"([A-Z]{1,3})[0-9]*")
_WHOLE = re.compile(r"-?[0-9]{1,300}")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)})
_BUILT_IN_DURATION = 46  # [h]:mm:ss

type Cells = Mapping[int, Any]
"""Column, from 0 → its value: text, int, Decimal, bool, or a RowFault. A blank cell is not there."""


class Kind(Enum):
    """What a cell's format makes of its number."""

    NUMBER = "number"
    MOMENT = "moment"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class _Book:
    """What all sheets share."""

    kinds: list[Kind]
    """By the index of a cell's style."""
    texts: "_Texts"
    day_one: datetime


def rows(stream: BinaryIO, name: str | None = None) -> Iterator[tuple[int, Cells]]:
    """Yield the rows that are not blank: their numbers in the sheet, from 1, and their cells.

    Args:
        stream: the workbook, seekable.
        name: of the sheet, in upper or lower case, which may be a hidden one; None: the first that is visible.

    Raises:
        BadInput: EMPTY_FILE, UNSUPPORTED_TYPE, NO_SHEET, XLSX_CORRUPT, XLSX_BOMB, FILE_TOO_LARGE.
    """
    with office_zip.opened(stream, "an Excel workbook (.xlsx)") as archive:
        main = _main(archive)
        related = {name: target for name, _, target in _relations(archive, main)}
        kinds = {kind: target for _, kind, target in _relations(archive, main)}
        sheet, day_one = _sheet(archive, main, name)
        if sheet not in related:
            raise BadInput(InputCode.UNSUPPORTED_TYPE, "it is an Office file without a sheet of cells")
        styles = list(_styles(archive, kinds["styles"])) if "styles" in kinds else []
        with _texts(_strings(archive, kinds["sharedStrings"]) if "sharedStrings" in kinds else ()) as texts:
            yield from _rows(archive, related[sheet], _Book(styles, texts, day_one))


# --- which part is what


def _main(archive: ZipFile) -> str:
    """Return the part that says what the file has."""
    if "_rels/.rels" not in archive.NameToInfo:
        raise BadInput(InputCode.UNSUPPORTED_TYPE, "it is a zip file, and no Excel workbook")
    main = next((target for _, kind, target in _relations(archive, "") if kind == "officeDocument"), "")
    if not main.endswith(".xml"):
        raise BadInput(InputCode.UNSUPPORTED_TYPE, "it is no .xlsx: save it as an Excel workbook, or as CSV")
    return main


def _relations(archive: ZipFile, part: str) -> Iterator[tuple[str, str, str]]:
    """Yield the id, the kind and the name of each part that a part refers to."""
    folder, name = posixpath.split(part)
    for tag, attributes, _ in office_zip.events(archive, posixpath.join(folder, "_rels", f"{name}.rels")):
        if tag == "Relationship" and attributes is not None and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attributes["Target"])).lstrip("/")
            yield attributes["Id"], attributes["Type"].rpartition("/")[2], target


def _sheet(archive: ZipFile, main: str, wanted: str | None) -> tuple[str, datetime]:
    """Return the id of the sheet that is wanted, and the day that all days are counted from."""
    sheet, day_one, names = "", _DAY_ONE, list[str]()
    for tag, attributes, _ in office_zip.events(archive, main):
        if attributes is None:
            continue
        if tag == "workbookPr" and attributes.get("date1904") in {"1", "true"}:
            day_one = _DAY_ONE_1904
        if tag == "sheet":
            names.append(attributes.get("name", ""))
            visible = attributes.get("state", "visible") == "visible"
            if not sheet and (visible if wanted is None else names[-1].casefold() == wanted.casefold()):
                sheet = next((value for name, value in attributes.items() if name.endswith(" id")), "")
    if wanted is not None and not sheet:
        raise BadInput(InputCode.NO_SHEET, f"it has no sheet `{wanted}`; it has {_told(names)}")
    return sheet, day_one


def _told(names: Sequence[str]) -> str:
    shown = [ascii(name[:MOST_NAME])[1:-1] if not name.isprintable() else name[:MOST_NAME] for name in names]
    more = [f"{len(names) - MOST_NAMES:,} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*(f"`{name}`" for name in shown[:MOST_NAMES]), *more]) or "none"


# --- what all sheets share


def _styles(archive: ZipFile, part: str) -> Iterator[Kind]:
    formats: dict[int, Kind] = {}
    inside = False
    for tag, attributes, _ in office_zip.events(archive, part):
        if tag == "cellXfs":
            inside = attributes is not None
        elif attributes is not None and tag == "numFmt":
            formats[int(attributes["numFmtId"])] = _kind(attributes["formatCode"])
        elif attributes is not None and tag == "xf" and inside:
            number = int(attributes.get("numFmtId", "0"))
            yield formats.get(number) or _built_in(number)


def _built_in(number: int) -> Kind:
    if number == _BUILT_IN_DURATION:
        return Kind.DURATION
    return Kind.MOMENT if number in _BUILT_IN_DATES else Kind.NUMBER


def _kind(code: str) -> Kind:
    """Tell what a number format shows, by the letters in it that are no literals."""
    shown = _LITERAL.sub("", code.partition(";")[0]).lower()
    if "[" in shown:
        return Kind.DURATION
    return Kind.MOMENT if set(shown.replace("general", "")) & set("dmyhs") else Kind.NUMBER


class _Texts:
    """The shared texts by their number: on disk where they are many."""

    def __init__(self, file: SpooledTemporaryFile[bytes], texts: Iterable[str]) -> None:
        self._file = file
        self._ends = array("Q", [0])
        for text in texts:
            data = text.encode(errors="surrogatepass")
            end = self._ends[-1] + len(data)
            if end > MAX_TEXTS:
                raise BadInput(
                    InputCode.FILE_TOO_LARGE, f"its texts have more than {MAX_TEXTS:,} bytes: save it as CSV"
                )
            file.write(data)
            self._ends.append(end)

    def __getitem__(self, index: int) -> str:
        if index < 0:
            raise IndexError(index)
        start, end = self._ends[index], self._ends[index + 1]
        self._file.seek(start)
        return self._file.read(end - start).decode(errors="surrogatepass")


@contextmanager
def _texts(texts: Iterable[str]) -> Generator[_Texts]:
    with SpooledTemporaryFile(IN_MEMORY) as file:
        yield _Texts(file, texts)


def _strings(archive: ZipFile, part: str) -> Iterator[str]:
    text = _Text()
    for event in office_zip.events(archive, part):
        text.see(event)
        if event[0] == "si" and event[1] is None:
            yield text.whole()


class _Text:
    """A text in pieces that are formatted apart; how it is pronounced is no piece of it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._aside = False

    def see(self, event: Event) -> None:
        """Take up a piece, where the event is one."""
        tag, attributes, piece = event
        if tag == "rPh":
            self._aside = attributes is not None
        elif tag == "t" and attributes is None and not self._aside:
            self._pieces.append(piece)

    def whole(self) -> str:
        """Return the text, and begin another."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return _unescaped(text)


def _unescaped(text: str) -> str:
    """Return a text with the characters that XML cannot hold."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


# --- cells


def _rows(archive: ZipFile, part: str, book: _Book) -> Iterator[tuple[int, Cells]]:
    number, cells, cell = 0, dict[int, Any](), _Cell()
    for event in office_zip.events(archive, part):
        tag, attributes, _ = event
        if tag == "row" and attributes is not None:
            number, cells, cell = int(attributes.get("r", number + 1)), {}, _Cell()
        elif tag == "row" and cells:
            yield number, cells
        elif tag == "c" and attributes is not None:
            cell = _Cell(attributes, cell.column + 1)
        elif tag == "c":
            if (value := cell.value(book)) is not None and value != "":
                cells[cell.column] = value
        else:
            cell.see(event)


class _Cell:
    """A cell that is being read."""

    def __init__(self, attributes: Mapping[str, str] | None = None, column: int = -1) -> None:
        """Begin one, in `column` where it does not say its place."""
        given = attributes or {}
        self.column = _column(given["r"]) if "r" in given else column
        self._style, self._kind = int(given.get("s", 0)), given.get("t", "n")
        self._stored = ""
        self._is_formula = False
        self._text = _Text()

    def see(self, event: Event) -> None:
        """Take up what stands in it."""
        tag, attributes, shown = event
        if tag == "v" and attributes is None:
            self._stored = shown
        elif tag == "f":
            self._is_formula = True
        else:
            self._text.see(event)

    def value(self, book: _Book) -> Any:
        """Return what it shows; None where that is nothing."""
        if self._kind == "inlineStr":
            return self._text.whole()
        if not self._stored and self._kind == "n":
            return RowFault(InputCode.CELL_ERROR, "a formula that was never calculated") if self._is_formula else None
        return _value(self._kind, self._stored, self._style, book)


def _column(place: str) -> int:
    """Return the column of a place such as BC12, from 0."""
    found = _CELL.fullmatch(place)
    if found is None:
        raise ValueError("no place of a cell")
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    if column > MAX_COLUMN:
        raise ValueError("a column behind the last")
    return column - 1


def _value(kind: str, stored: str, style: int, book: _Book) -> Any:
    match kind:
        case "s":
            return book.texts[int(stored)]
        case "str":
            return _unescaped(stored)
        case "d":
            return stored
        case "b":
            return stored.strip() in {"1", "true"}
        case "e":
            return RowFault(InputCode.CELL_ERROR)
    return _number(stored.strip(), book.kinds[style] if book.kinds else Kind.NUMBER, book.day_one)


def _number(stored: str, kind: Kind, day_one: datetime) -> Any:
    if kind is Kind.NUMBER:
        if _WHOLE.fullmatch(stored):
            return int(stored)
        number = Decimal(f"{float(stored):.15g}")  # as Excel shows it: 0.30000000000000004 is 0.3
        if not number.is_finite():
            return RowFault(InputCode.NON_FINITE)
        return int(number) if number == number.to_integral_value() and abs(number) < 10**15 else number
    days = float(stored)
    try:
        return _duration(days) if kind is Kind.DURATION else _moment(days, day_one)
    except (OverflowError, ValueError):
        return RowFault(InputCode.BAD_TYPE, "a date before 1900 or after 9999")


def _duration(days: float) -> str:
    seconds = round(days * 86_400)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _moment(days: float, day_one: datetime) -> str:
    """Return a day, a time of day, or both, as ISO text; to the millisecond, which is as far as Excel's numbers go."""
    if days < 0:
        raise ValueError("before the first day")
    if day_one is _DAY_ONE and 1 <= days < _BEFORE_MARCH:
        days += 1
    moment = day_one + timedelta(milliseconds=round(days * 86_400_000))
    if days < 1:
        return moment.time().isoformat()
    return moment.date().isoformat() if moment.time() == datetime.min.time() else moment.isoformat()
