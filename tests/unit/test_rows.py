"""Reading inputs: what becomes a row, what becomes a reject, and which files are refused whole."""

import gzip
import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift import content, rows_jsonl
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode, RowFault
from nightshift.model import LeftOut, Reject, Row, RowClass
from nightshift.records import InputSpec
from nightshift.rows import check, read

pack = partial(gzip.compress, mtime=0)
JSONL = InputSpec("jsonl", id="id", required=frozenset({"body"}), carry=("at",))
CSV = InputSpec("csv", id="id", required=frozenset({"body"}))


def rows(data: bytes | str, spec: InputSpec = JSONL, *, after: int = 0) -> list[Row | Reject]:
    """Read a file as planning does: checked first."""
    raw = data.encode() if isinstance(data, str) else data
    count = check(io.BytesIO(raw), spec)
    found = list(read(io.BytesIO(raw), spec, file=3, digest="feed", after=after))
    assert len(found) == count - after
    return found


def row(data: bytes | str, spec: InputSpec = JSONL) -> Row:
    (found,) = rows(data, spec)
    assert isinstance(found, Row)
    return found


def reject(data: bytes | str, spec: InputSpec = JSONL) -> tuple[str, str]:
    """Return the code and detail of the only reject of a file, which stands between two good rows."""
    raw = data.encode() if isinstance(data, str) else data
    good = (b'{"id": "%d", "body": "b"}\n', b"%d,b\n")[spec.format == "csv"]
    head = b"" if spec.format == "jsonl" else b"id,body\n"
    first, found, last = rows(head + good % 1 + raw.rstrip(b"\n") + b"\n" + good % 2, spec)
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(found, Reject)
    assert found.row_class is RowClass.REJECTED
    return found.code, found.detail


def refusal(data: bytes | str, spec: InputSpec = JSONL) -> tuple[str, int | None]:
    with pytest.raises(BadInput) as caught:
        check(io.BytesIO(data.encode() if isinstance(data, str) else data), spec)
    return caught.value.code, caught.value.line


# --- a row


def test_a_row_is_its_id_the_columns_that_the_job_uses_and_its_place() -> None:
    line = b'{"id": "a", "body": "text", "at": [1, 2.50], "secret": "dropped"}'
    digest = hashlib.sha256(b'[["body","text"]]').hexdigest()[:16]
    assert row(b"\n" + line + b"\n") == Row(
        id="a",
        values={"body": "text", "at": [1, Decimal("2.50")]},
        file=3,
        line=2,
        record=1,
        digest=digest,
        byte_offset=1,
        raw=line,
        changes=frozenset({LeftOut.UNUSED_COLUMNS}),
    )


def test_a_reject_is_its_place_and_its_reason_and_never_its_text() -> None:
    line = b'{"id": "a", "body": "", "note": "secret"}'
    assert rows(b'{"id": "1", "body": "x"}\n' + line + b"\n")[1] == Reject(
        file=3,
        line=2,
        record=2,
        byte_offset=25,
        id="a",
        row_class=RowClass.REJECTED,
        code="EMPTY_BODY",
        detail="column body: missing or empty",
        row_sha256=hashlib.sha256(line).hexdigest(),
    )


@pytest.mark.parametrize(
    ("written", "read_as"),
    [('"a"', "a"), ("123", "123"), ('" A b "', "A b"), ('"e\u0301"', "\u00e9"), ('"../../x/🙂"', "../../x/🙂")],
)
def test_an_id_is_trimmed_and_composed_and_otherwise_kept(written: str, read_as: str) -> None:
    assert row(f'{{"id": {written}, "body": "x"}}').id == read_as


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("null", "MISSING_ID"),
        ('""', "MISSING_ID"),
        ('" \\t"', "MISSING_ID"),
        ("1.5", "BAD_TYPE"),
        ("true", "BAD_TYPE"),
        ('["a"]', "BAD_TYPE"),
        ('"a\\nb"', "BAD_ID"),
        ('"a\\u202eb"', "BAD_ID"),
        ('"a\\u200bb"', "BAD_ID"),
        ('"a\\ud800"', "LONE_SURROGATE"),
        (f'"{"x" * 257}"', "ID_TOO_LONG"),
    ],
)
def test_an_id_that_cannot_name_a_ticket_is_rejected(written: str, code: str) -> None:
    assert reject(f'{{"id": {written}, "body": "x"}}')[0] == code


def test_a_row_without_an_id_is_rejected() -> None:
    assert reject('{"body": "x"}')[0] == "MISSING_ID"


def test_a_reject_shows_at_most_64_characters_of_an_id() -> None:
    (found,) = rows(json.dumps({"id": "x" * 200, "body": ""}))
    assert found.id == "x" * 64


def test_rows_without_ids_are_numbered_within_their_file() -> None:
    spec = InputSpec("csv", id=None, required=frozenset({"text"}))
    assert [found.id for found in rows("text\na\n\nb\n", spec)] == ["feed:1", "feed:2"]


@pytest.mark.parametrize("body", ["null", '""', '" \\n\\u00a0"', '"\\u200b\\ufeff"'])
def test_a_body_that_shows_nothing_is_rejected(body: str) -> None:
    assert reject(f'{{"id": "a", "body": {body}}}') == ("EMPTY_BODY", "column body: missing or empty")


def test_a_body_that_is_missing_is_rejected() -> None:
    assert reject('{"id": "a"}') == ("EMPTY_BODY", "column body: missing or empty")


def test_an_optional_column_may_be_missing_or_empty() -> None:
    spec = InputSpec("jsonl", id="id", required=frozenset({"body"}), optional=frozenset({"note"}))
    found = rows(
        '{"id": 1, "body": "x"}\n{"id": 2, "body": "x", "note": " "}\n{"id": 3, "body": "x", "note": "y"}', spec
    )
    assert [cast("Row", each).values["note"] for each in found] == [None, None, "y"]


@pytest.mark.parametrize(("number", "value"), [("7", 7), ("12.50", Decimal("12.50")), ("-1e3", Decimal("-1e3"))])
def test_a_number_is_a_body_and_stays_as_it_was_written(number: str, value: Any) -> None:
    assert row(f'{{"id": 1, "body": {number}}}').values["body"] == value


@pytest.mark.parametrize("body", ["true", "[]", "{}", '["x"]'])
def test_a_body_of_another_type_is_rejected(body: str) -> None:
    assert reject(f'{{"id": 1, "body": {body}}}') == ("BAD_TYPE", "column body: must be a text or a number")


def test_a_body_may_be_as_long_as_the_limit_in_bytes_and_no_longer() -> None:
    assert row(json.dumps({"id": 1, "body": "é" * 50_000})).values["body"] == "é" * 50_000
    assert reject(json.dumps({"id": 1, "body": "é" * 50_001})) == ("TOO_LARGE", "column body: 100,002 bytes")


def test_a_carried_column_may_be_missing_and_has_the_same_limit() -> None:
    assert row('{"id": 1, "body": "x"}').values == {"body": "x"}
    assert reject(json.dumps({"id": 1, "body": "x", "at": ["y" * 100_000]}))[0] == "TOO_LARGE"
    assert reject('{"id": 1, "body": "x", "at": ["\\ud800"]}')[0] == "LONE_SURROGATE"


def test_the_same_text_written_in_two_ways_is_the_same_content() -> None:
    assert row('{"id": 1, "body": "\\u00e9"}').digest == row('{"id": 2, "body": "e\\u0301", "at": 5}').digest


# --- JSON Lines


def parsed(parse: Callable[[bytes], dict[str, Any]], raw: bytes) -> str:
    """Return what a parser makes of a row: `repr` tells 1 from 1.0 and from True."""
    try:
        return repr(parse(raw))
    except RowFault as fault:
        return repr(fault.args)


NAMES = st.sampled_from(['"id"', '"body"', '"at"', '"\\u0069d"', '""', '"a:b"', '"q\\""'])
SCALARS = st.one_of(
    st.text(max_size=5).map(partial(json.dumps, ensure_ascii=False)),
    st.text(max_size=5).map(json.dumps),
    st.sampled_from(["1", "-0", "12.50", "1e400", "18446744073709551616", "1" * 4301, "true", "null", "NaN", "01", ""]),
    st.sampled_from(
        ['"\\ud800"', '"\t"', '"\\/"', '"\\""', '"', '"\\u0000"', "\ufeff", "{", "]", "{}", "[]", "[1, 2]"]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda v: st.one_of(v.map("[{}]".format), st.tuples(NAMES, v).map(lambda p: f"{{{p[0]}:{p[1]}}}"))
)
ROWS = st.lists(st.tuples(NAMES, st.sampled_from([":", " : ", ""]), VALUES), max_size=4).map(
    lambda pairs: "{" + ", ".join(map("".join, pairs)) + "}"
)


@given(ROWS, st.sampled_from(["", "", "", "x", "}", "\0"]))
@settings(max_examples=1000)
def test_a_plain_row_that_is_read_in_half_the_time_is_what_the_strict_reader_says(row: str, behind: str) -> None:
    raw = (row + behind).encode(errors="surrogatepass").strip()
    assert parsed(rows_jsonl._parse, raw) == parsed(rows_jsonl._parse_strictly, raw)


@pytest.mark.parametrize(
    "raw", [b'{"a": 1, "a": 1}', b'{"a":"","a":""}', b'{"a": {"b": 1, "b": 1}}', b'{"a": [{"":1,"":1}]}']
)
def test_a_key_that_is_there_twice_is_never_read_in_half_the_time(raw: bytes) -> None:
    with pytest.raises(RowFault, match="DUPLICATE_KEY"):
        rows_jsonl._parse(raw)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id": "a", "body": "caf\xe9"}', "INVALID_UTF8"),
        (b'{"id": "a", "body": "\xc0\xaf"}', "INVALID_UTF8"),
        (b'{"id": "a", "body": "\\ud800"}', "LONE_SURROGATE"),
        (b'{"id": "a", "body": "x\\u0000"}', "NUL_IN_TEXT"),
        (b'{"id": "a", "body": "x\0"}', "CONTROL_CHAR"),
        (b'{"id": "a", \0"body": "x"}', "CONTROL_CHAR"),
        (b'{"id": "a", "body": "x\ty"}', "CONTROL_CHAR"),
        (b'{"id": "a", "body": "x",}', "BAD_JSON"),
        (b"{'id': 'a', 'body': 'x'}", "BAD_JSON"),
        (b'{"id": "a", "body": "x"} // no', "EXTRA_DATA"),
        (b'{"id": "a", "body": "x"}{"id": "b", "body": "x"}', "EXTRA_DATA"),
        (b'{"id": "a", \xef\xbb\xbf"body": "x"}', "BOM_INSIDE"),
        (b'["a", "x"]', "NOT_OBJECT"),
        (b'"a"', "NOT_OBJECT"),
        (b"null", "NOT_OBJECT"),
        (b'{"id": "a", "id": "b", "body": "x"}', "DUPLICATE_KEY"),
        (b'{"id": "a", "body": "x", "more": {"k": 1, "k": 1}}', "DUPLICATE_KEY"),
        (b'{"id": "a", "body": NaN}', "NON_FINITE"),
        (b'{"id": "a", "body": -Infinity}', "NON_FINITE"),
        (b'{"id": "a", "body": 1e999}', "NON_FINITE"),
        (b'{"id": "a", "body": ' + b"1" * 5000 + b"}", "NUMBER_TOO_LONG"),
        (b'{"id": "a", "body": 0.' + b"1" * 5000 + b"}", "NUMBER_TOO_LONG"),
        (b'{"id": "a", "body": "x", "at": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "TOO_DEEP"),
    ],
)
def test_a_bad_line_costs_one_row(line: bytes, code: str) -> None:
    assert reject(line)[0] == code


def test_a_reason_says_where_in_the_line_and_nothing_of_the_text() -> None:
    assert reject(b'{"id": "a", "body": secret}') == ("BAD_JSON", "Expecting value, at character 21")


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\u2029\x7fb"])
def test_only_newlines_end_a_line(text: str) -> None:
    assert row(f'{{"id": "a", "body": "{text}"}}\n').values["body"] == text
    assert row(f"id,body\na,{text}\x0b\x0c\n", CSV).values["body"] == f"{text}\x0b\x0c"


@pytest.mark.parametrize(
    "data",
    [
        b'{"id": "1", "body": "x"}\r\n{"id": "2", "body": "x"}\r\n',
        b'{"id": "1", "body": "x"}\n{"id": "2", "body": "x"}',
        b'\xef\xbb\xbf{"id": "1", "body": "x"}\n\xef\xbb\xbf{"id": "2", "body": "x"}\n',
        b'\n \n{"id": "1", "body": "x"}\n\n\n{"id": "2", "body": "x"}\n\t\n',
    ],
)
def test_line_ends_blank_lines_and_byte_order_marks_are_nobodys_business(data: bytes) -> None:
    assert [(found.id, found.record) for found in rows(data)] == [("1", 1), ("2", 2)]


def test_no_row_is_lost_between_the_look_at_the_first_ones_and_the_rest() -> None:
    data = "".join(f'{{"id": {n}, "body": "x"}}\n' for n in range(25))
    assert [found.id for found in rows(data)] == [str(n) for n in range(25)]
    assert [found.id for found in rows(data, after=10)] == [str(n) for n in range(10, 25)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", "EMPTY_FILE"),
        ("\n \n\r\n", "NO_ROWS"),
        ("\ufeff", "NO_ROWS"),
        (json.dumps([{"id": 1, "body": "x"}] * 3), "NOT_JSONL"),
        (json.dumps([{"id": 1, "body": "x"}] * 3, indent=2), "NOT_JSONL"),
        (json.dumps({"id": 1, "body": "x"}, indent=2), "NOT_JSONL"),
        ('{"id": "1", "body": "x"}\r{"id": "2", "body": "x"}\r', "BAD_NEWLINES"),
        ('{"id": "1", "body": "x"}'.encode("utf-16"), "NOT_UTF8"),
        ('{"id": "1", "body": "x"}'.encode("utf-16-le"), "NOT_UTF8"),
        ('{"id": "1", "body": "x"}'.encode("utf-32"), "NOT_UTF8"),
        (b"%PDF-1.7 \n", "UNSUPPORTED_TYPE"),
        (bytes(range(256)), "UNSUPPORTED_TYPE"),
    ],
)
def test_a_file_without_rows_is_refused(data: bytes | str, code: str) -> None:
    assert refusal(data)[0] == code


def test_a_zip_file_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", '{"id": "1", "body": "x"}\n')
    assert refusal(buffer.getvalue()) == ("UNSUPPORTED_TYPE", None)


def test_a_line_without_end_is_refused_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_LINE", 1000)
    assert refusal(b'{"id": "1", "body": "x"}\n{"id": "2", "body": "' + b"x" * 2000) == ("LINE_TOO_LONG", 2)


# --- gzip


@pytest.mark.parametrize("members", [1, 2])
def test_gzip_is_known_by_its_content_and_its_members_are_one_file(members: int) -> None:
    lines = [f'{{"id": {n}, "body": "x"}}\n'.encode() for n in range(members)]
    packed = b"".join(pack(line) for line in lines)
    assert [found.id for found in rows(packed)] == [str(n) for n in range(members)]
    assert len(rows(packed + b"\0" * 100)) == members


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (pack(b'{"id": "1", "body": "x"}\n' * 1000)[:-9], "GZIP_TRUNCATED"),
        (b"\x1f\x8b", "GZIP_TRUNCATED"),
        (pack(b'{"id": "1", "body": "x"}\n')[:-8] + b"\0" * 8, "GZIP_CORRUPT"),
        (pack(b'{"id": "1", "body": "x"}\n') + b"junk", "GZIP_CORRUPT"),
        (pack((b" " * 999 + b"\n") * 40_000), "GZIP_BOMB"),
        (pack(pack(b"x")), "UNSUPPORTED_TYPE"),
        (pack(b""), "EMPTY_FILE"),
    ],
)
def test_a_damaged_gzip_file_is_refused_before_any_row_counts(data: bytes, code: str) -> None:
    assert refusal(data)[0] == code


# --- CSV


def test_a_csv_row_knows_the_line_it_starts_on() -> None:
    found = rows('id,body\n1,"two\nlines"\n\n2,"a ""b"", c"\n', CSV)
    assert [(each.id, each.line, each.record, cast("Row", each).values["body"]) for each in found] == [
        ("1", 2, 1, "two\nlines"),
        ("2", 5, 2, 'a "b", c'),
    ]
    assert [each.byte_offset for each in found] == [8, 23]


@pytest.mark.parametrize("header", ["id,body,x", "\ufeffID, Body ,x", "x,bOdY,id", "id,body,,"])
def test_a_header_may_differ_in_case_spaces_and_order(header: str) -> None:
    fields = ["1", "b", "1", ""][: header.count(",") + 1]
    assert row(f"{header}\n{','.join(fields)}\n", CSV).values == {"body": "b"}


def test_a_header_of_several_words_is_a_column_with_underscores() -> None:
    spec = InputSpec("csv", id="id", required=frozenset({"customer_message"}))
    assert row("id,Customer  Message\n1,hi\n", spec).values == {"customer_message": "hi"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"9,b,c", "FIELD_COUNT"),
        (b"9", "FIELD_COUNT"),
        (b'9,"b"c', "BAD_QUOTE"),
        (b"9,caf\xe9", "INVALID_UTF8"),
        (b"9,x\0y", "NUL_IN_TEXT"),
        (b"9,a\rb", "CONTROL_CHAR"),
        (b"9," + b"x" * 200_000, "TOO_LARGE"),
        (b"9, ", "EMPTY_BODY"),
        (b",b", "MISSING_ID"),
    ],
)
def test_a_bad_csv_row_costs_one_row(line: bytes, code: str) -> None:
    assert reject(line, CSV)[0] == code


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        ("id,body\n", "NO_ROWS", None),
        ("\n\n", "NO_ROWS", None),
        ("1,hello\n2,you\n", "BAD_HEADER", 1),
        ("id;body\n1;x\n", "BAD_HEADER", 1),
        ("id\tbody\n1\tx\n", "BAD_HEADER", 1),
        ("sep=;\nid;body\n", "BAD_HEADER", 1),
        ("id,body,Body\n1,x,y\n", "DUPLICATE_HEADER", 1),
        ('id,body\n1,x\n2,"never\n3,ends\n', "UNTERMINATED_QUOTE", 3),
        ('id,body\n1,"never\n2,"ends"\n3,x\n', "UNTERMINATED_QUOTE", 2),
        ("id,body\r1,x\r2,y\r", "BAD_NEWLINES", None),
        ("id,body\n1,x\n".encode("utf-16"), "NOT_UTF8", None),
    ],
)
def test_a_csv_file_that_cannot_be_trusted_is_refused(data: bytes | str, code: str, line: int | None) -> None:
    assert refusal(data, CSV) == (code, line)


def test_a_wrong_header_is_described_without_repeating_what_may_be_somebodys_data() -> None:
    with pytest.raises(BadInput) as caught:
        check(io.BytesIO(b"anna@example.org;I lost my card\n"), CSV)
    assert str(caught.value) == (
        "BAD_HEADER: line 1: the header does not name body, id; it seems to be separated by semicolons: export it with "
        "commas; without an id column, the job says `input: {id: row_number}`"
    )


def test_a_quote_that_swallows_the_file_is_found_before_the_file_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightshift.rows_csv.MAX_LINE", 1000)
    assert refusal('id,body\n1,"never\n' + "2,x\n" * 1000, CSV) == ("UNTERMINATED_QUOTE", 2)


# --- all formats


class Endless(io.RawIOBase):
    """A file of many rows that is never in memory as a whole."""

    def __init__(self, rows: int) -> None:
        self._parts: Iterator[bytes] = (f'{{"id": {n}, "body": "{"x" * 1000}"}}\n'.encode() * 1 for n in range(rows))

    def read(self, size: int = -1) -> bytes:
        part = b""
        for line in self._parts:
            part += line
            if len(part) >= size:
                break
        return part


def test_reading_takes_the_same_memory_however_long_the_file_is() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            stream = cast("BinaryIO", Endless(count))
            assert sum(1 for _ in read(stream, JSONL, file=0, digest="d")) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(16_000) < 1.2 * peak(4_000)


def test_each_code_of_a_row_is_one_of_those_that_have_help() -> None:
    found = rows(b'{"id": 1}\n[]\n{"id": "a", "body": "x"}\n')
    assert [InputCode[each.code].help for each in found if isinstance(each, Reject)] == [
        "A column that the prompt needs is missing, empty or blank.",
        "The line is JSON, but not an object.",
    ]
