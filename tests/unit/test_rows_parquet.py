"""Reading Parquet: what it must not cost, and values that only it has."""

import io
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from nightshift import parquet_sizes, rows_parquet
from nightshift.errors import BadInput
from nightshift.model import Reject, Row
from nightshift.records import InputSpec
from nightshift.rows import check, read
from tests.unit.parquet_cases import PARQUET, TEXTS, of_bodies, written

CARRYING = InputSpec("parquet", id="id", required=frozenset({"body"}), carry=("more",))


def carried(values: Any) -> Any:
    data = written([("id", ["1"]), ("body", ["text"]), ("more", values)])
    (found,) = read(io.BytesIO(data), CARRYING, file=0, digest="feed")
    return found.values["more"] if isinstance(found, Row) else found.code


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([["a", None]], ["a", None]),
        (
            [{"a": 1.5, "b": [datetime(2026, 1, 2, tzinfo=UTC)]}],
            {"a": Decimal("1.5"), "b": ["2026-01-02T00:00:00+00:00"]},
        ),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), [["k", 1]]),
        ([True], True),
        ([None], None),
        ([[float("nan")]], "NON_FINITE"),
        ([[b"\1"]], "BAD_TYPE"),
        (pa.array([[1]], pa.list_(pa.timestamp("ns"))), "BAD_TYPE"),
        (pa.array([[b"\xff"]], pa.list_(pa.binary())).view(pa.list_(pa.string())), "INVALID_UTF8"),
    ],
)
def test_a_carried_column_may_be_anything_that_json_can_say(values: Any, wanted: Any) -> None:
    assert carried(values) == wanted


def test_a_reject_has_its_row_as_its_line_and_no_offset() -> None:
    (_, found) = read(io.BytesIO(of_bodies(["text", ""])), PARQUET, file=3, digest="feed")
    assert isinstance(found, Reject)
    assert (found.file, found.line, found.record, found.byte_offset, found.id) == (3, 2, 2, None, "2")
    assert found.row_sha256 != ""


def test_a_file_of_too_many_rows_is_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_parquet, "MAX_ROWS", 1)
    with pytest.raises(BadInput, match="PARQUET_BOMB: it has 2 rows; at most 1 are read"):
        check(io.BytesIO(TEXTS), PARQUET)


def test_where_the_reader_is_not_installed_the_file_is_refused_with_the_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(BadInput, match=r"READER_MISSING: .*ReadParquet=ENABLED.*pip install pyarrow"):
        check(io.BytesIO(TEXTS), PARQUET)


def test_who_reads_no_parquet_does_not_pay_for_its_reader() -> None:
    code = (
        "import io, sys\n"
        "from nightshift import wiring\n"
        "from nightshift.records import InputSpec\n"
        "from nightshift.rows import check\n"
        "assert check(io.BytesIO(b'{}'), InputSpec('jsonl', id='id', required=frozenset())) == 1\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "footer",
    [b"", b"\x1b", b"\x1c" * 3000, b"\x15" + b"\xff" * 20, b"\x18\x7fshort", b"\x49\x1c\x19\x1c\x3c\x00\x00\x00\x00"],
    ids=["empty", "a map", "deep", "a number without end", "a text that is cut", "a column without its place"],
)
def test_what_a_file_says_of_itself_is_not_believed(footer: bytes) -> None:
    with pytest.raises(BadInput, match="PARQUET_CORRUPT"):
        parquet_sizes.check(io.BytesIO(), footer, frozenset())


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1" + b"\xff\xff\xff\x7fPAR1", b"PAR1" + bytes(4) + b"PAR1"])
def test_a_file_that_does_not_end_as_parquet_does_is_damaged(data: bytes) -> None:
    with pytest.raises(BadInput, match="PARQUET_CORRUPT: it does not end as Parquet does"):
        check(io.BytesIO(data), PARQUET)


def test_a_page_may_have_a_header_of_any_size_and_numbers_of_any_kind() -> None:
    data = of_bodies(["x" * 90_000, "y" * 90_000], use_dictionary=False, data_page_version="2.0", row_group_size=1)
    assert check(io.BytesIO(data), PARQUET) == 2


class Broken(io.BytesIO):
    """A file that the network loses."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == 0:
            return super().read(size)
        raise TimeoutError(110, "the network is gone")


def test_a_network_that_fails_is_no_damage_of_the_file() -> None:
    with pytest.raises(TimeoutError, match="the network is gone"):
        check(Broken(TEXTS), PARQUET)


def test_reading_takes_the_same_memory_however_long_the_file_is() -> None:
    def peak(rows: int) -> int:
        text = "x" * 1000
        data = of_bodies([f"{number}{text}" for number in range(rows)], use_dictionary=False, data_page_size=64_000)
        before = pa.total_allocated_bytes()
        found = (pa.total_allocated_bytes() - before for _ in read(io.BytesIO(data), PARQUET, file=0, digest="feed"))
        return max(map(int, found))

    assert peak(16_000) < 1.2 * peak(4_000)
