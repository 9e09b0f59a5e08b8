"""The codes of everything that can be wrong with an input, and one sentence of help for each.

A code is a contract: reject files and messages carry it. docs/input-codes.md is `python -m nightshift.input_codes`.
"""

import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Self


class InputCode(StrEnum):
    """What is wrong with a file, or with one of its rows."""

    help: str
    """What happened and what to do, for the person who sent the file."""
    of_file: bool
    """Refuses the whole file, not one row."""

    def __new__(cls, code: str, help_: str, scope: str = "row") -> Self:
        """Make a member that is its code and carries its help."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.help = help_
        member.of_file = scope == "file"
        return member

    # --- the whole file
    EMPTY_FILE = "EMPTY_FILE", "The file has no bytes: upload it again.", "file"
    NO_ROWS = "NO_ROWS", "The file has no rows below its header, or only blank lines.", "file"
    NOT_UTF8 = "NOT_UTF8", "The file is UTF-16 or UTF-32: save it as UTF-8.", "file"
    BAD_NEWLINES = "BAD_NEWLINES", "The lines end in a lone CR, as on old Macs: save the file with LF or CRLF.", "file"
    NOT_JSONL = "NOT_JSONL", "The file is one JSON document: write one object per line (`jq -c '.[]'`).", "file"
    LINE_TOO_LONG = "LINE_TOO_LONG", "A line is longer than 16 MB: a newline is missing somewhere before that.", "file"
    BAD_HEADER = (
        "BAD_HEADER",
        "The header does not name the columns that the job needs (in a CSV file: its first line, separated by commas).",
        "file",
    )
    DUPLICATE_HEADER = "DUPLICATE_HEADER", "Two columns have the same name: rename one.", "file"
    UNTERMINATED_QUOTE = (
        "UNTERMINATED_QUOTE",
        "A quoted field never ends: close its quote, and double quotes inside it.",
        "file",
    )
    GZIP_TRUNCATED = "GZIP_TRUNCATED", "The gzip file ends too early: upload it again.", "file"
    GZIP_CORRUPT = (
        "GZIP_CORRUPT",
        "The gzip file is damaged, or has something else behind its end: compress it again.",
        "file",
    )
    GZIP_BOMB = "GZIP_BOMB", "The file unpacks to more than 200 times its size, or more than 10 GB: split it.", "file"
    UNSUPPORTED_TYPE = (
        "UNSUPPORTED_TYPE",
        "The file is not what `input.format` says: JSONL or CSV, plain or gzipped once, Parquet, or an Excel workbook.",
        "file",
    )
    PARQUET_CORRUPT = (
        "PARQUET_CORRUPT",
        "The Parquet file is damaged, or packed in a way that is not read here: write it again, with zstd or snappy.",
        "file",
    )
    PARQUET_BOMB = (
        "PARQUET_BOMB",
        "The Parquet file has more than 100,000,000 rows, or pages of more than 64 MB: write smaller row groups.",
        "file",
    )
    XLSX_CORRUPT = (
        "XLSX_CORRUPT",
        "The Excel workbook is damaged: open it in Excel, and save it again, or as CSV.",
        "file",
    )
    XLSX_BOMB = (
        "XLSX_BOMB",
        "The Excel workbook unpacks to more than 200 times its size, or has parts without end: save it as CSV.",
        "file",
    )
    NO_SHEET = "NO_SHEET", "The Excel workbook has no sheet with the name that `input.sheet` says.", "file"
    BAD_COLUMN = (
        "BAD_COLUMN",
        "A column that the job uses is of a type that has no text: make it a text, number or date.",
        "file",
    )
    READER_MISSING = (
        "READER_MISSING",
        "What reads this format is not installed: deploy with `ReadParquet=ENABLED`, or `pip install pyarrow`.",
        "file",
    )
    FILE_TOO_LARGE = (
        "FILE_TOO_LARGE",
        "The object has more than 10 GB, or a workbook more than 400 MB of texts: split it.",
        "file",
    )
    GONE = "GONE", "The object was deleted before it was read: upload it again.", "file"
    ARCHIVED = "ARCHIVED", "The object is in an archive storage class: restore it, and upload it again.", "file"
    ACCESS_DENIED = (
        "ACCESS_DENIED",
        "The function may not read the object: check the bucket's and the key's policies.",
        "file",
    )

    # --- one row
    INVALID_UTF8 = "INVALID_UTF8", "The row has bytes that are not UTF-8: its source was another encoding."
    BOM_INSIDE = "BOM_INSIDE", "A byte order mark stands inside the row: files were joined without removing it."
    LONE_SURROGATE = "LONE_SURROGATE", "The row has half of a surrogate pair, which is no character: repair the escape."
    NUL_IN_TEXT = "NUL_IN_TEXT", "A text that the job uses has a NUL character: `input.nul: strip` leaves it out."
    CONTROL_CHAR = "CONTROL_CHAR", "A raw control character stands inside a JSON string: escape it."
    BAD_JSON = "BAD_JSON", "The line is not JSON."
    EXTRA_DATA = "EXTRA_DATA", "Something follows the object on its line: write one object per line."
    NOT_OBJECT = "NOT_OBJECT", "The line is JSON, but not an object."
    DUPLICATE_KEY = "DUPLICATE_KEY", "An object has the same key twice, so one value would be lost."
    NON_FINITE = "NON_FINITE", "NaN and infinity are not JSON."
    NUMBER_TOO_LONG = "NUMBER_TOO_LONG", "A number has more than 4,300 digits: send it as a text."
    TOO_DEEP = "TOO_DEEP", "The row is nested too deeply."
    MISSING_ID = "MISSING_ID", "The row has no id, or an empty one."
    BAD_ID = "BAD_ID", "The id has control, zero-width or direction characters."
    ID_TOO_LONG = "ID_TOO_LONG", "The id has more than 256 characters."
    BAD_TYPE = "BAD_TYPE", "A column that the job uses has a value of a type that it cannot use."
    BAD_CONVERSATION = (
        "BAD_CONVERSATION",
        "The column with the conversation is no list of user and assistant messages that ends with the user's.",
    )
    BAD_URL = "BAD_URL", "An attachment's address does not begin with https://, or is no address."
    BAD_BASE64 = "BAD_BASE64", "An attachment is not base64 in one line, or has something before it, as in `data:…,`."
    BAD_MEDIA_TYPE = "BAD_MEDIA_TYPE", "An attachment is no JPEG, PNG, GIF, WebP or PDF, or not what the job says."
    ATTACHMENT_TOO_LARGE = "ATTACHMENT_TOO_LARGE", "An attachment is larger than the API takes: 5 MB for a picture."
    EMPTY_BODY = "EMPTY_BODY", "A column that the prompt needs is missing, empty or blank."
    TOO_LARGE = "TOO_LARGE", "A column is longer than `limits.max_text_bytes`: `limits.too_large: truncate` cuts texts."
    TOO_MANY_TOKENS = (
        "TOO_MANY_TOKENS",
        "The row's request is longer than `limits.max_prompt_tokens`, or than the model's window.",
    )
    FIELD_COUNT = "FIELD_COUNT", "The row has more or fewer fields than the header."
    BAD_QUOTE = "BAD_QUOTE", "Text follows a closing quote: double the quotes inside quoted fields."
    CELL_ERROR = "CELL_ERROR", "A cell that the job uses shows an error, such as #N/A, or a formula has no value yet."
    NOT_RENDERED = "NOT_RENDERED", "The prompt's template failed with this row."
    DUPLICATE_ROW = "DUPLICATE_ROW", "The same id with the same content came before: the first one counts."
    ALREADY_ANSWERED = "ALREADY_ANSWERED", "The row's ticket has this job's answer to this text (`skip: answered`)."
    ID_CONFLICT = "ID_CONFLICT", "The same id came before with other content: the first one counts."


class RowFault(Exception):
    """Why a row is rejected. `detail` never holds the row's text."""

    def __init__(self, code: InputCode, detail: str = "") -> None:
        """Reject the row that is being read."""
        super().__init__(code, detail)
        self.code = code
        self.detail = detail or code.help


_PAGE = """\
# What is wrong with an input

Made by `python -m nightshift.input_codes`; the codes stand in `rejects/`, in a hold's reason and in the report.

## The whole file

Nothing of the file is sent. The other files of the run are.

{files}
## One row

The row is not sent: it stands in `rejects/` with its line. The other rows are sent, unless too many are rejected.

{rows}"""


def page() -> str:
    """Return docs/input-codes.md."""
    return _PAGE.format(
        files=_table(code for code in InputCode if code.of_file),
        rows=_table(code for code in InputCode if not code.of_file),
    )


def _table(codes: Iterable[InputCode]) -> str:
    return "| code | what it means |\n|---|---|\n" + "".join(f"| `{code}` | {code.help} |\n" for code in codes)


if __name__ == "__main__":
    sys.stdout.write(page())
