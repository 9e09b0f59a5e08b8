"""Excel workbooks that other systems wrote. A case has the number of what is wrong with it in any format."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from nightshift.records import InputSpec
from tests.unit.input_cases import BOTH, GOOD, UNUSED, Case, pack

XLSX = InputSpec("xlsx", id="id", required=frozenset({"body"}))
NUMBERED_XLSX = InputSpec("xlsx", id=None, required=frozenset({"body"}))

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def saved(rows: Sequence[Sequence[Any]], **formats: str) -> bytes:
    """Return a workbook that openpyxl writes; `formats` maps places to number formats."""
    book = Workbook()
    for row in rows:
        book.active.append(row)
    for place, code in formats.items():
        book.active[place].number_format = code
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def of_bodies(*bodies: Any, **formats: str) -> bytes:
    return saved([("id", "body"), *((str(number), body) for number, body in enumerate(bodies, 1))], **formats)


def zipped(parts: Mapping[str, str | bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text, packing)
    return buffer.getvalue()


def _relations(*kinds: tuple[str, str]) -> str:
    each = "".join(
        f'<Relationship Id="r{number}" Type="{_DOCUMENT}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(kinds)
    )
    return f'<Relationships xmlns="{_PACKAGE}">{each}</Relationships>'


def parts(sheet: str, strings: str = "", **more: str) -> dict[str, str | bytes]:
    """Return the parts of a workbook by hand; `sheet` and `strings` are what stands in these."""
    return {
        "_rels/.rels": _relations(("officeDocument", "/book/main.xml")),
        "book/main.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{_DOCUMENT}"><workbookPr{more.get("properties", "")}/>'
        f'<sheets><sheet name="hidden" sheetId="1" state="hidden" r:id="r9"/><sheet name="a" sheetId="2" r:id="r0"/>'
        "</sheets></workbook>",
        "book/_rels/main.xml.rels": _relations(
            ("worksheet", "one.xml"), ("sharedStrings", "texts.xml"), ("styles", "styles.xml")
        ),
        "book/styles.xml": f'<styleSheet xmlns="{MAIN}"><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>',
        "book/texts.xml": f'<sst xmlns="{MAIN}"><si><t>id</t></si><si><t>body</t></si>{strings}</sst>',
        "book/one.xml": f'{more.get("head", "")}<worksheet xmlns="{MAIN}"><dimension ref="A1"/><sheetData>'
        f'<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>{sheet}</sheetData></worksheet>',
    }


def made(sheet: str, strings: str = "", **more: str) -> bytes:
    return zipped(parts(sheet, strings, **more))


def cell(body: str, number: int = 1) -> str:
    return f"<row><c><v>{number}</v></c>{body}</row>"


def _file(number: int, what: str, data: bytes, code: str, spec: InputSpec = XLSX) -> Case:
    return Case(number, f"Excel: {what}", data, f"F {code}", (), spec)


def _fine(number: int, what: str, data: bytes, *rows: tuple[str, str], spec: InputSpec = XLSX) -> Case:
    return Case(number, f"Excel: {what}", data, "N", rows or BOTH, spec)


def _told(number: int, what: str, data: bytes, *bodies: str) -> Case:
    return _fine(number, what, data, *((str(at), body) for at, body in enumerate(bodies, 1)))


def _row(number: int, what: str, bad: Any, code: str) -> Case:
    """A bad body between two good ones."""
    data = bad if isinstance(bad, bytes) else of_bodies("text", bad, "text")
    return Case(number, f"Excel: {what}", data, f"R {code}", (("1", "text"), ("3", "text")), XLSX)


_NOON = datetime.fromisoformat("2026-11-25T12:30")
_LONG = "x" * 100_001
_ENDLESS = f'<c t="str"><v>{"x y" * 5_400_000}</v></c>'
_TEXT = '<c t="inlineStr"><is><t>text</t></is></c>'
_AROUND = cell(_TEXT) + "{}" + cell(_TEXT, 3)
TEXTS = of_bodies("text", "text")
BY_HAND = made(cell(_TEXT) + cell(_TEXT, 2))
_RICH = CellRichText("te", TextBlock(InlineFont(b=True), "xt"))
_SPOKEN = '<si><r><t>te</t></r><r><t>xt</t></r><rPh sb="0" eb="1"><t>aside</t></rPh></si>'
_LOL = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'
_BACKWARDS = f'<row r="9"><c r="A9"><v>1</v></c>{_TEXT}</row><row r="3"><c r="A3"><v>2</v></c>{_TEXT}</row>'
_FAR = '<row r="1048576"><c r="A1048576"><v>1</v></c><c r="XFD9"><v>5</v></c><c r="B9" t="s"><v>1</v></c></row>'


_PARTLESS = f'<workbook xmlns="{MAIN}"><sheets><sheet name="a" sheetId="2"/></sheets></workbook>'
_LIST = b"PK\3\4" + bytes(5 << 20) + struct.pack("<4s8xIIxx", b"PK\5\6", 5 << 20, 4)


def _damaged() -> bytes:
    """Change a letter of a sheet that is stored as it is: only its checksum tells."""
    return zipped(parts(cell(_TEXT)), zipfile.ZIP_STORED).replace(b"<t>text</t>", b"<t>tent</t>")


XLSX_CASES = [
    _file(1, "no byte", b"", "EMPTY_FILE"),
    _file(2, "an empty sheet", saved([]), "NO_ROWS"),
    _file(2, "a header only", saved([("id", "body"), (None, ""), (None, None)]), "NO_ROWS"),
    _fine(3, "blank rows among rows", saved([(), ("id", "body"), (), ("1", "text"), (None, ""), ("2", "text")])),
    _fine(3, "rows of empty texts", made(cell(_TEXT) + '<row><c t="str"><v></v></c></row>' + cell(_TEXT, 2))),
    _fine(3, "rows that go back", made(_BACKWARDS)),
    _fine(3, "a gap of a million rows", made(_FAR), ("1", "body")),
    _fine(7, "a byte order mark", made(cell(_TEXT) + cell(_TEXT, 2), head="\ufeff")),
    _row(13, "half a surrogate pair", made(_AROUND.format(cell('<c t="str"><v>_xD800_</v></c>', 2))), "LONE_SURROGATE"),
    _row(14, "NUL", made(_AROUND.format(cell('<c t="str"><v>a_x0000_b</v></c>', 2))), "NUL_IN_TEXT"),
    _told(17, "a CR that is escaped", made(cell('<c t="inlineStr"><is><t>a_x000D_b</t></is></c>')), "a\rb"),
    _row(25, "a number that is none", made(_AROUND.format(cell("<c><v>1e999</v></c>", 2))), "NON_FINITE"),
    Case(
        28,
        "Excel: unknown columns",
        saved([("more", "id", "", "body"), (5, "1", "x", "text", "y"), (5, "2", 6, "text")]),
        UNUSED,
        spec=XLSX,
    ),
    _file(29, "no column of ids", saved([("body",), ("text",)]), "BAD_HEADER"),
    Case(30, "Excel: no id", saved([("id", "body"), (None, "text"), (2, "text")]), "R MISSING_ID", BOTH[1:], XLSX),
    _fine(31, "ids are numbers", saved([("id", "body"), (1, "text"), (2.0, "text")])),
    Case(31, "Excel: an id is 1.5", saved([("id", "body"), (1.5, "text")]), "R BAD_TYPE", (), XLSX),
    _fine(31, "rows without ids", saved([("body",), ("text",)]), ("feed:1", "text"), spec=NUMBERED_XLSX),
    *(_row(40, f"body {value!r}", value, "EMPTY_BODY") for value in (None, " ")),
    _row(41, "body is a truth", made(_AROUND.format(cell('<c t="b"><v>1</v></c>', 2))), "BAD_TYPE"),
    _told(41, "body is a number", of_bodies(7, -1.5, 0.1 + 0.2, 1e-7, 10**14), "7", "-1.5", "0.3", "1E-7", f"{10**14}"),
    _told(41, "body is a long number", made(cell("<c><v>123456789012345678</v></c>")), "123456789012345678"),
    _told(
        41,
        "body is a date",
        of_bodies(date(2026, 11, 25), _NOON, time(12, 30), timedelta(hours=26), 59, B6="d.m.y"),
        "2026-11-25",
        "2026-11-25T12:30:00",
        "12:30:00",
        "26:00:00",
        "1900-02-28",
    ),
    _told(41, "body is no date, for all its letters", of_bodies(5, 6, B2='0 "days"', B3="[Red]0.00\\d"), "5", "6"),
    _told(41, "body is a date of 1904", made(cell('<c s="1"><v>1</v></c>'), properties=' date1904="1"'), "1904-01-02"),
    _told(41, "body is an ISO date", made(cell('<c t="d"><v>2026-11-25</v></c>')), "2026-11-25"),
    _row(41, "body is a date beyond all years", made(_AROUND.format(cell('<c s="1"><v>1e9</v></c>', 2))), "BAD_TYPE"),
    _row(41, "body is a date before all years", made(_AROUND.format(cell('<c s="1"><v>-1</v></c>', 2))), "BAD_TYPE"),
    _told(41, "body is in two fonts", saved([("id", "body"), (1, _RICH)]), "text"),
    _told(41, "body has its pronunciation", made(cell('<c t="s"><v>2</v></c>'), _SPOKEN), "text"),
    _told(41, "body is a formula", made(cell('<c t="str"><f>A1&amp;"xt"</f><v>text</v></c>')), "text"),
    _row(41, "body is #N/A", made(_AROUND.format(cell('<c t="e"><f>X()</f><v>#N/A</v></c>', 2))), "CELL_ERROR"),
    _row(41, "body is a formula without a value", "=A1", "CELL_ERROR"),
    _row(42, "body of 100,001 bytes", made(_AROUND.format(cell(f'<c t="str"><v>{_LONG}</v></c>', 2))), "TOO_LARGE"),
    _file(44, "a text of 16 MB", zipped(parts(cell(_ENDLESS)), zipfile.ZIP_STORED), "XLSX_BOMB"),
    _told(46, "a text that looks like a formula", made(cell('<c t="str"><v>=1+1</v></c>')), "=1+1"),
    _fine(49, "names in other case, with spaces", saved([(" ID ", "Body"), ("1", "text"), ("2", "text")])),
    _file(49, "names in another language", saved([("nummer", "nachricht"), ("1", "text")]), "BAD_HEADER"),
    _file(50, "two columns of one name", saved([("id", "body", "Body"), ("1", "a", "b")]), "DUPLICATE_HEADER"),
    _file(60, "cut short", TEXTS[:-9], "XLSX_CORRUPT"),
    _file(61, "a letter is another", _damaged(), "XLSX_CORRUPT"),
    _file(61, "XML that is none", made("<row>"), "XLSX_CORRUPT"),
    _file(61, "a text that is not there", made(cell('<c t="s"><v>7</v></c>')), "XLSX_CORRUPT"),
    _file(61, "a text before the first", made(cell('<c t="s"><v>-1</v></c>')), "XLSX_CORRUPT"),
    _file(61, "a column behind the last", made('<row><c r="XFE1"><v>1</v></c></row>'), "XLSX_CORRUPT"),
    _file(61, "a place that is none", made('<row><c r="1A"><v>1</v></c></row>'), "XLSX_CORRUPT"),
    _file(61, "a number that is a word", made(cell("<c><v>seven</v></c>")), "XLSX_CORRUPT"),
    _file(61, "entities", made(cell('<c t="str"><v>&b;</v></c>'), head=_LOL), "XLSX_CORRUPT"),
    _file(61, "a part packed as Office packs none", zipped(parts(cell(_TEXT)), zipfile.ZIP_LZMA), "XLSX_CORRUPT"),
    _file(61, "encrypted", BY_HAND.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"), "XLSX_CORRUPT"),
    _file(61, "elements in elements", made("<x>" * 200 + "</x>" * 200), "XLSX_CORRUPT"),
    _file(61, "elements of any name", made("".join(f"<x{n}/>" for n in range(2000))), "XLSX_CORRUPT"),
    _fine(63, "by hand, with another part's names", BY_HAND),
    _file(64, "a part that unpacks to much more", made(3 * (" " * 6_000_000 + "<x/>")), "XLSX_BOMB"),
    _file(64, "a list of parts without end", _LIST, "XLSX_BOMB"),
    _file(65, "JSONL where Excel is wanted", GOOD, "UNSUPPORTED_TYPE"),
    _file(65, "gzip of Excel", pack(TEXTS), "UNSUPPORTED_TYPE"),
    _file(65, "a zip of something else", zipped({"a.csv": "id,body\n"}), "UNSUPPORTED_TYPE"),
    _file(65, "a sheet that has no part", zipped(parts("") | {"book/main.xml": _PARTLESS}), "UNSUPPORTED_TYPE"),
    _file(65, "a letter", zipped(parts("") | {"book/_rels/main.xml.rels": _relations()}), "UNSUPPORTED_TYPE"),
    _file(
        65, "a binary workbook", zipped({"_rels/.rels": _relations(("officeDocument", "a.bin"))}), "UNSUPPORTED_TYPE"
    ),
    _file(65, "with a password, or of old", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "UNSUPPORTED_TYPE"),
]

WORKBOOKS = [
    parts(cell(_TEXT) + cell('<c t="s"><v>2</v></c><c s="1"><v>3.5</v></c>', 2), _SPOKEN),
    parts(cell('<c t="e"><f>X()</f><v>#N/A</v></c>') + cell('<c r="B3" t="str"><v>a_x0000_b</v></c>', 2)),
    parts(cell('<c s="1"><v>1e9</v></c>') + cell("<c><v>1e999</v></c>", 2) + _BACKWARDS),
]
