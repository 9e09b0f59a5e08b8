"""All 84 cases of what files, events and results look like: the verdict that each is wanted to get, and what it gets.

`make inputs-table` prints them. A reader's rule that is taken out is noticed by the cases that it is named with.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import BadInput
from nightshift.input_codes import InputCode
from nightshift.model import Reject, Row
from nightshift.records import InputSpec
from nightshift.rows import MAX_ID, check, read
from nightshift.submit import Submitted, Submitter
from tests.unit.conftest import START
from tests.unit.input_cases import CSV, JSONL, NUMBERED, TEXT_CASES, Case, pack, verdict
from tests.unit.input_probes import PROBES, Desk, Probe, upload
from tests.unit.parquet_cases import NUMBERED_PARQUET, PARQUET, PARQUET_CASES
from tests.unit.reader_rules import RULES, Rule
from tests.unit.xlsx_cases import NUMBERED_XLSX, WORKBOOKS, XLSX, XLSX_CASES, zipped

READER_CASES = [*TEXT_CASES, *PARQUET_CASES, *XLSX_CASES]
TABLE = Path(__file__).parents[2] / ".cache/inputs-table.md"
CASES: list[Case | Probe] = sorted([*READER_CASES, *PROBES], key=lambda case: case.number)
LINES: dict[int, str] = {}
"""Position of a case → its line of the table."""


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Write the table, where every case ran in this process."""
    yield
    if len(LINES) == len(CASES):
        head = "| # | input | wanted | got |\n|---|---|---|---|\n"
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(head + "".join(LINES[place] for place in sorted(LINES)))


@pytest.fixture
def desk(aws_endpoint: str) -> Desk:
    return Desk(aws_endpoint)


def write_down(place: int, got: str) -> None:
    case = CASES[place]
    LINES[place] = f"| {case.number} | {case.what} | {case.wanted} | {got} |\n"


def places(kind: type) -> list[int]:
    return [place for place, case in enumerate(CASES) if isinstance(case, kind)]


def named(place: int) -> str:
    return f"{CASES[place].number}-{CASES[place].what}"


@pytest.mark.parametrize("place", places(Case), ids=named)
def test_a_file_gets_its_verdict_and_its_good_rows_are_sent(place: int) -> None:
    case = cast("Case", CASES[place])
    got = verdict(case.data, case.spec)
    write_down(place, got[0])
    assert got == (case.wanted, list(case.rows))


@pytest.mark.parametrize("place", places(Probe), ids=named)
def test_what_is_around_a_file_gets_its_verdict(place: int, desk: Desk) -> None:
    probe = cast("Probe", CASES[place])
    got = probe.got(desk)
    write_down(place, got)
    assert got == probe.wanted


def test_no_case_is_forgotten() -> None:
    assert {case.number for case in CASES} == set(range(1, 85))


def test_the_log_line_of_an_ignored_event_begins_with_its_code() -> None:
    nothing: Any = None
    submitter = Submitter(nothing, nothing, nothing, nothing, nothing, nothing)
    assert submitter.handle(upload("runs/x/output/a"), owner="me", deadline=START) == Submitted(
        skipped=("SELF_TRIGGER: an object of a run's output",)
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_that_is_taken_out_is_noticed_by_its_cases(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rule.remove(monkeypatch)
    noticed = {case.number for case in READER_CASES if case.number in rule.cases and differs(case)}
    assert noticed == rule.cases


def differs(case: Case) -> bool:
    """Say whether a file gets another verdict now: an error that is not ours is one, too."""
    try:
        return verdict(case.data, case.spec) != (case.wanted, list(case.rows))
    except Exception:  # noqa: BLE001 - whatever a reader without its rule does
        return True


# --- any bytes

SEEDS = {
    format_: [case.data for case in READER_CASES if case.spec.format in formats and len(case.data) < 2000]
    for formats in (("jsonl", "csv"), ("parquet",), ("xlsx",))
    for format_ in formats
}
PIECES = [
    b'"',
    b"\\",
    b"\n",
    b"\r",
    b"\0",
    b",",
    b"{",
    b"}",
    b"[",
    b":",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\\u",
    b"1e9",
    b"id",
]
MARKUP = [b"<", b">", b'"', b"&lt;", b"&#0;", b"-1", b"9" * 400, b"1e400", b"</c>", b"<c>", b'<c t="s">', b'<c s="1">']
MARKUP += [b"", b"<row>", b"</row>", b"<v>", b"<f/>", b"<!DOCTYPE x>", b"\xff", b"_xD800_", b"A0", b"r", b"xml", b"14"]
CHANGES = st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(MARKUP))
NOISE = st.one_of(st.binary(max_size=6), st.sampled_from(PIECES), st.text(max_size=3).map(lambda text: text.encode()))


@st.composite
def files(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw any bytes, or a file of a case with places of it replaced, and perhaps packed, whole or damaged."""
    data = bytearray(draw(st.one_of(st.binary(max_size=200), st.sampled_from(seeds))))
    for share, cut, noise in draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), NOISE), max_size=4)):
        at = int(share * len(data))
        data[at : at + cut] = noise
    match draw(st.sampled_from(["plain", "plain", "packed", "damaged"])):
        case "plain":
            return bytes(data)
        case "packed":
            return pack(bytes(data))
    packed = bytearray(pack(bytes(data)))
    packed[draw(st.integers(0, len(packed) - 1))] = draw(st.integers(0, 255))
    return bytes(packed)


@st.composite
def workbooks(draw: st.DrawFn) -> bytes:
    """Draw a workbook with places of one of its parts replaced: in a sound zip, else only its checksums would speak."""
    parts = dict(draw(st.sampled_from(WORKBOOKS)))
    name = draw(st.sampled_from(sorted(parts)))
    text = bytearray(str(parts[name]).encode(errors="surrogatepass"))
    for share, cut, noise in draw(st.lists(CHANGES, min_size=1, max_size=4)):
        at = int(share * len(text))
        text[at : at + cut] = noise
    return zipped(parts | {name: bytes(text)})


@pytest.mark.parametrize(
    "spec",
    [JSONL, CSV, NUMBERED, PARQUET, NUMBERED_PARQUET, XLSX, NUMBERED_XLSX],
    ids=["jsonl", "csv", "numbered csv", "parquet", "numbered parquet", "xlsx", "numbered xlsx"],
)
@given(drawn=st.data())
@settings(max_examples=250, deadline=2000)
def test_any_bytes_are_rows_or_rejects_or_refused_with_a_code_that_has_help(
    spec: InputSpec, drawn: st.DataObject
) -> None:
    data = drawn.draw(files(SEEDS[spec.format]) if spec != NUMBERED_XLSX else workbooks())
    records = checked(data, spec)
    if isinstance(records, BadInput):
        assert InputCode[records.code].of_file
        str(records).encode()
        return
    found = list(read(io.BytesIO(data), spec, file=0, digest="feed"))
    assert [each.record for each in found] == list(range(1, records + 1))
    for each in found:
        assert_sound(each)
    assert list(read(io.BytesIO(data), spec, file=0, digest="feed", after=records // 2)) == found[records // 2 :]


def checked(data: bytes, spec: InputSpec) -> int | BadInput:
    try:
        return check(io.BytesIO(data), spec)
    except BadInput as error:
        return error


def assert_sound(each: Row | Reject) -> None:
    """A row can be sent, and a reject can be written."""
    if isinstance(each, Reject):
        assert not InputCode[each.code].of_file
        f"{each.id}{each.detail}".encode()
        return
    assert 1 <= len(each.id) <= MAX_ID
    body = str(each.values["body"])
    assert body.strip()
    assert b"\0" not in body.encode()


# --- many rows

ROWS = 100_000
BAD = [case for case in READER_CASES if case.line and len(case.line) < 300_000]


@pytest.mark.parametrize("spec", [JSONL, CSV], ids=["jsonl", "csv"])
def test_of_100000_rows_exactly_the_bad_ones_are_rejected_with_their_lines(spec: InputSpec) -> None:
    kinds = [case for case in BAD if case.spec == spec]
    head, good = ([], b'{"id": "g%d", "body": "text"}\n') if spec is JSONL else ([b"id,body\n"], b"g%d,text\n")
    lines = [*head, *(good % number for number in range(ROWS))]
    wanted = {}
    for place, start in enumerate(range(50, ROWS, 100)):
        case = kinds[place % len(kinds)]
        lines[start] = case.line
        wanted[start + 1] = case.wanted.removeprefix("R ")

    found = list(read(io.BytesIO(b"".join(lines)), spec, file=0, digest="feed"))

    assert {each.line: each.code for each in found if isinstance(each, Reject)} == wanted
    assert (len(wanted), len(found)) == (ROWS // 100, ROWS)
    assert set(wanted.values()) == {case.wanted.removeprefix("R ") for case in kinds}
