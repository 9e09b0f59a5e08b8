"""The readers' rules, and how each is taken out of the running code, to see which case notices."""

import inspect
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from nightshift import (
    columns,
    content,
    office_zip,
    parquet_sizes,
    rows,
    rows_csv,
    rows_jsonl,
    rows_parquet,
    rows_xlsx,
    workbook,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the text of a function says it, and the text without it."""

    name: str
    module: ModuleType
    function: str
    text: str
    without: str
    cases: frozenset[int]
    """Those that notice, each of them."""

    def remove(self, patch: pytest.MonkeyPatch) -> None:
        """Compile the function without the rule, in its own module."""
        owner: Any = self.module
        *classes, name = self.function.split(".")
        for each in classes:
            owner = getattr(owner, each)
        source = inspect.cleandoc("\n" + inspect.getsource(getattr(owner, name)))
        assert source.count(self.text) == 1, f"{self.name}: {self.function} does not say it once"
        found: dict[str, Any] = {}
        exec(source.replace(self.text, self.without), vars(self.module), found)  # noqa: S102 - our own source
        patch.setattr(owner, name, found[name])


def _rule(name: str, where: str, text: str, without: str, *cases: int) -> Rule:
    module, _, function = where.partition(".")
    return Rule(name, _MODULES[module], function, text, without, frozenset(cases))


_READERS = (
    columns,
    content,
    office_zip,
    parquet_sizes,
    parquet_sizes,
    rows,
    rows_csv,
    rows_jsonl,
    rows_parquet,
    rows_xlsx,
    workbook,
)
_MODULES = {module.__name__.rpartition(".")[2]: module for module in _READERS}

RULES = [
    _rule("an empty file is refused", "content._checked", "if not first:", "if False:", 1),
    _rule(
        "known binaries are refused",
        "content._kind",
        "for offset, magic, name in _KNOWN",
        "for offset, magic, name in ()",
        65,
    ),
    _rule(
        "wide encodings are refused",
        "content._checked",
        "first.startswith(_WIDE) or sample.count(0) * 4 > len(sample)",
        "False",
        9,
    ),
    _rule("marks of wide encodings are looked for", "content._checked", "first.startswith(_WIDE) or ", "", 9),
    _rule("NULs of wide encodings are counted", "content._checked", " or sample.count(0) * 4 > len(sample)", "", 9),
    _rule("unknown binaries are refused", "content._checked", "* 10 > len(sample)", "* 10 > 10 * len(sample)", 65),
    _rule("lone CRs are refused", "content._split", 'number == 0 and has_returns and b"\\r"', 'False and b"\\r"', 6),
    _rule("a line has a longest length", "content._split", "len(head) > MAX_LINE", "False", 44),
    _rule("gzip is known by its content", "content._unpacked", "first.startswith(_GZIP)", "False", 60, 61, 62, 63, 64),
    _rule("gzip must reach its end", "content._gunzip", "if not member.eof:", "if False:", 60),
    _rule("gzip members follow each other", "content._gunzip", 'if not rest.strip(b"\\0"):', "if True:", 61, 62),
    _rule(
        "a gzip bomb is stopped", "content._gunzip", "unpacked > MAX_UNPACKED or (unpacked", "False and (unpacked", 64
    ),
    _rule("JSONL: a file without rows is refused", "rows_jsonl.records", "if not probe:", "if False:", 2),
    _rule("JSONL: a document is refused", "rows_jsonl.records", "if document and", "if False and", 21, 22),
    _rule("JSONL: an array is a document", "rows_jsonl.records", 'start == b"[" or ', "", 22),
    _rule("JSONL: an object is a document", "rows_jsonl.records", '(start == b"{" and len(probe) > 1)', "False", 21),
    _rule("JSONL: a mark is dropped at a row", "rows_jsonl._text", ".removeprefix(BOM)", "", 7, 8),
    _rule("JSONL: blank lines are passed over", "rows_jsonl._records", "if not raw:", "if False:", 3),
    _rule(
        "JSONL: keys are counted",
        "rows_jsonl._parse",
        "if raw.count(b'\"') == 2 * (len(value) + texts) else",
        "if True else",
        24,
    ),
    _rule(
        "JSONL: keys come once",
        "rows_jsonl._parse_strictly",
        "_decoder.raw_decode",
        "json.JSONDecoder(parse_float=_number, parse_constant=_constant).raw_decode",
        24,
    ),
    _rule("JSONL: nothing behind the object", "rows_jsonl._parse_strictly", "if end < len(text):", "if False:", 20),
    _rule(
        "JSONL: a row is an object", "rows_jsonl._parse_strictly", "if not isinstance(value, dict):", "if False:", 23
    ),
    _rule(
        "JSONL: NaN is no number",
        "rows_jsonl._parse_strictly",
        "_decoder.raw_decode",
        "json.JSONDecoder(object_pairs_hook=_object, parse_float=_number).raw_decode",
        25,
    ),
    _rule(
        "JSONL: numbers are finite and short",
        "rows_jsonl._parse_strictly",
        "_decoder.raw_decode",
        "json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).raw_decode",
        25,
    ),
    _rule("JSONL: NUL has its code", "rows_jsonl._fault", ' or error.doc[error.pos : error.pos + 1] == "\\0"', "", 15),
    _rule("JSONL: a mark inside has its code", "rows_jsonl._fault", '== "\\ufeff"', '== "none"', 8),
    _rule(
        "JSONL: control characters have their code",
        "rows_jsonl._fault",
        'error.msg.startswith("Invalid control character")',
        "False",
        17,
    ),
    _rule("CSV: a mark is dropped", "rows_csv._Tap.__iter__", ".removeprefix(BOM)", "", 7),
    _rule("CSV: a file without rows is refused", "rows_csv.records", "if number == 0:", "if False:", 2),
    _rule("CSV: a damaged header is refused", "rows_csv.records", "if fault:", "if False:", 6, 56),
    _rule("CSV: blank lines are passed over", "rows_csv._rows", "if fields:", "if True:", 3),
    _rule("CSV: quotes are strict", "rows_csv._rows", ", strict=True", "", 55, 56),
    _rule("CSV: a quote that spans lines refuses the file", "rows_csv._fault", "if len(taken) > 1:", "if False:", 56),
    _rule(
        "CSV: the header names the columns",
        "columns.named",
        "if missing := sorted(spec.columns - spec.optional - set(names)):",
        "if False:",
        48,
        49,
        51,
        59,
    ),
    _rule("CSV: the header's case is forgiven", "columns._folded", '"_".join(name.split()).casefold()', "name", 49),
    _rule("CSV: no column twice", "columns.named", "names.count(name) > 1", "False", 50),
    _rule("CSV: fields are counted", "rows_csv._problem", "if len(fields) != len(names):", "if False:", 52, 53),
    _rule(
        "CSV: bytes are UTF-8",
        "rows_csv._problem",
        "any(low <= character <= high for character in field)",
        "False",
        10,
        12,
    ),
    _rule(
        "an id is there", "rows._id", "value is None or (isinstance(value, str) and not value.strip())", "False", 29, 30
    ),
    _rule(
        "an id is a text or a whole number",
        "rows._id",
        "if isinstance(value, bool) or not isinstance(value, (str, int)):",
        "if False:",
        31,
    ),
    _rule("a bool is no number", "rows._id", "isinstance(value, bool) or ", "", 31),
    _rule("an id is trimmed", "rows._id", "str(value).strip()", "str(value)", 37),
    _rule("an id is visible", "rows._id", 'kinds & {"Cc", "Cf", "Zl", "Zp"}', "False", 33),
    _rule("an id has a longest length", "rows._id", "if len(row_id) > MAX_ID:", "if False:", 32),
    _rule(
        "a body has a type",
        "rows._body",
        "if isinstance(value, bool) or not isinstance(value, _BODY):",
        "if False:",
        41,
    ),
    _rule("a body shows something", "rows._body", "_INVISIBLE.fullmatch(value) is not None", "False", 40),
    _rule("a body is there", "rows._body", "value is None or ", "", 40),
    _rule("a text has a largest size", "rows._fitting", "if len(data) > spec.max_text_bytes:", "if False:", 42, 57),
    _rule("a text has no NUL", "rows._fitting", 'data.find(b"\\0") >= 0', "False", 14, 16),
    _rule("a text may be cut", "rows._fitting", "not spec.truncate or ", "True or ", 42),
    _rule("a text that is cut is short enough", "rows._truncated", "most - len(", "most + len(", 42),
    _rule("NUL may be stripped", "rows._Maker.row", "if spec.strip_nul:", "if False:", 14),
    _rule("JSONL: unused fields are counted", "rows._Maker.row", "not values.keys() <= self.used", "False", 28, 47),
    _rule("Parquet, Excel: unused columns are counted", "rows._Maker.row", "record.more or ", "", 28),
    _rule("a text can be encoded", "rows._fitting", "value.encode()", 'value.encode(errors="replace")', 13),
    _rule("a file to seek in is there", "content.rewound", "if not first:", "if False:", 1),
    _rule("a file to seek in says what it is", "content.rewound", "if not first.startswith(magic):", "if False:", 65),
    _rule("Parquet: a file without rows is refused", "rows_parquet._check_rows", "rows == 0", "False", 2),
    _rule("Parquet: a page is no bomb", "parquet_sizes._check_part", "max(packed, unpacked) > MAX_PAGE", "False", 64),
    _rule("Parquet: a page is in its column", "parquet_sizes._check_part", " or at > end", "", 61),
    _rule("Parquet: a list of columns has an end", "parquet_sizes.footer", "if size > MAX_FOOTER:", "if False:", 64),
    _rule(
        "Parquet: pages are checked",
        "rows_parquet._values",
        "page_checksum_verification=True",
        "page_checksum_verification=False",
        61,
    ),
    _rule("Parquet: all rows are there", "rows_parquet._values", "if rows != file.metadata.num_rows:", "if False:", 60),
    _rule(
        "Parquet: damage has its code",
        "rows_parquet._values",
        "(arrow.ArrowException, OSError, UnicodeDecodeError)",
        "ZeroDivisionError",
        61,
    ),
    _rule("Parquet: a column has a text", "rows_parquet._reader", "raise BadInput", "return _floats  #", 41),
    _rule(
        "Parquet: bytes are UTF-8", "rows_parquet._one", "except UnicodeDecodeError:", "except ZeroDivisionError:", 10
    ),
    _rule(
        "Parquet: one bad text is one row", "rows_parquet._texts", "except UnicodeDecodeError:", "except TypeError:", 10
    ),
    _rule("Parquet: fractions are finite", "rows_parquet._plain", "if not math.isfinite(value):", "if False:", 25),
    _rule("Parquet: short fractions are finite", "rows_parquet._number", "if not number.is_finite():", "if False:", 25),
    _rule(
        "Parquet: a moment is in our years",
        "rows_parquet._one",
        "except (ValueError, OverflowError, KeyError):",
        "except ZeroDivisionError:",
        41,
    ),
    _rule("Parquet: a row has one fault", "rows_parquet.records", "isinstance(value, RowFault)", "False", 10, 25),
    *(
        _rule(f"Excel: {what} is damage", "office_zip.opened", error, "", *cases)
        for what, error, cases in (
            ("a zip that is none", "zipfile.BadZipFile,", (60, 61)),
            ("XML that is none", "expat.ExpatError,", (61,)),
            ("what is not there", "LookupError,", (61,)),
            ("what is no number", "ValueError,", (61,)),
        )
    ),
    _rule(
        "Excel: a directory has an end", "office_zip._Sparing.read", "if len(data) > MAX_DIRECTORY:", "if False:", 64
    ),
    _rule("Excel: a text has an end", "office_zip.events", "> content.MAX_LINE:", "< 0:", 44),
    _rule("Excel: packed as Office packs", "office_zip._blocks", "entry.compress_type not in _PACKINGS", "False", 61),
    _rule("Excel: not encrypted", "office_zip._blocks", "entry.flag_bits & 1", "False", 61),
    _rule("Excel: a bomb is stopped", "office_zip._blocks", "unpacked > content.MAX_RATIO * packed", "False", 64),
    _rule("Excel: elements are not deep", "office_zip._Reading._start", "self._depth > MAX_DEPTH", "False", 61),
    _rule("Excel: elements have few names", "office_zip._Reading._local", "len(self._names) == MAX_NAMES", "False", 61),
    _rule("Excel: no entities", "office_zip._Reading._refuse", "raise", "return None  #", 61),
    _rule("Excel: a zip is a workbook", "workbook._main", '"_rels/.rels" not in archive.NameToInfo', "False", 65),
    _rule("Excel: a workbook is XML", "workbook._main", 'not main.endswith(".xml")', "False", 65),
    _rule("Excel: a workbook has a sheet", "workbook.rows", "if sheet not in related:", "if False:", 65),
    _rule("Excel: the sheet is seen", "workbook._sheet", 'attributes.get("state", "visible") == "visible"', "True", 63),
    _rule("Excel: days from 1904", "workbook._sheet", 'in {"1", "true"}', "in ()", 41),
    _rule("Excel: styles are those of cells", "workbook._styles", " and inside", "", 41),
    _rule(
        "Excel: a format's letters may be literal",
        "workbook._kind",
        '_LITERAL.sub("", code.partition(";")[0])',
        "code",
        41,
    ),
    _rule("Excel: a duration is no day", "workbook._kind", 'if "[" in shown:', "if False:", 41),
    _rule("Excel: pronunciation is no text", "workbook._Text.see", " and not self._aside", "", 41),
    _rule("Excel: escapes are read", "workbook._unescaped", "return _ESCAPED", "return text or _ESCAPED", 13, 14, 17),
    _rule("Excel: texts begin at 0", "workbook._Texts.__getitem__", "if index < 0:", "if False:", 61),
    _rule("Excel: empty texts are blank", "workbook._rows", ' and value != ""', "", 3),
    _rule("Excel: a cell says its place", "workbook._Cell.__init__", 'if "r" in given', "if False", 3),
    _rule("Excel: a place is one", "workbook._column", 'raise ValueError("no place of a cell")', "return 0", 61),
    _rule("Excel: columns have an end", "workbook._column", "if column > MAX_COLUMN:", "if False:", 61),
    _rule("Excel: a formula has a value", "workbook._Cell.value", "if self._is_formula", "if False", 41),
    _rule("Excel: an error is none", "workbook._value", "return RowFault(InputCode.CELL_ERROR)", "return stored", 41),
    _rule("Excel: long numbers stay", "workbook._number", "if _WHOLE.fullmatch(stored):", "if False:", 41),
    _rule("Excel: numbers as they are shown", "workbook._number", ":.15g", ":.17g", 41),
    _rule("Excel: numbers are finite", "workbook._number", "if not number.is_finite():", "if False:", 25),
    _rule(
        "Excel: a moment is in our years",
        "workbook._number",
        "except (OverflowError, ValueError):",
        "except EOFError:",
        41,
    ),
    _rule("Excel: no day before the first", "workbook._moment", "if days < 0:", "if False:", 41),
    _rule("Excel: 1900 was no leap year", "workbook._moment", "days += 1", "pass", 41),
    _rule("Excel: a sheet has a header", "rows_xlsx.records", "if not cells:", "if False:", 2),
    _rule("Excel: a sheet has rows", "rows_xlsx.records", "if number == 0:", "if False:", 2),
    _rule("Excel: a row has one fault", "rows_xlsx.records", "isinstance(value, RowFault)", "False", 25, 41),
]
