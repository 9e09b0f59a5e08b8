"""Whose a batch is, as far as it can be told from outside."""

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest

from nightshift.errors import Ambiguous
from nightshift.matching import first_custom_id, fits
from nightshift.model import BatchId
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.made import batch, intent


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"rows": 4}, False),
        ({"created_at": START - timedelta(minutes=5)}, True),
        ({"created_at": START - timedelta(minutes=5, seconds=1)}, False),
        ({"created_at": START + timedelta(minutes=35)}, True),
        ({"created_at": START + timedelta(minutes=35, seconds=1)}, False),
        ({"name": "msgbatch_no"}, False),
    ],
    ids=["its own", "another size", "clocks differ", "before it", "slow to be seen", "after it", "excluded"],
)
def test_a_create_may_have_made_batches_of_its_size_in_its_time(changes: dict[str, Any], *, expected: bool) -> None:
    assert fits(intent(excluded=(BatchId("msgbatch_no"),)), batch(**changes)) is expected


A, B = b'{"custom_id": "a", "result": {}}\n', b'{"custom_id": "b"}\n'


@pytest.mark.parametrize(
    "lines",
    [
        A + B,
        A.strip(),
        b"\n" + A + B,
        b" \r\n\r\n" + A + B,
        b'{"type": "error", "error": {"type": "api_error"}}\n' + A + B,
        b'{"custom_id": ""}\n' + A + B,
        b'{"custom_id": 7}\n[]\n<html>\n' + A + B,
        b'{"custom_id": "a", "result": {"text": "\\ud83d"}}\n' + B,
        b'{"custom_id": "a", "result": "\xff"}\n' + B,
    ],
    ids=[
        "of several",
        "without a line end",
        "behind a blank line",
        "behind line ends",
        "behind an error",
        "behind one without a name",
        "behind what is no result",
        "with half of a surrogate pair",
        "with a byte that is no text",
    ],
)
@pytest.mark.parametrize("size", [7, 1000])
def test_the_first_custom_id_is_that_of_the_first_line_that_has_one(
    lines: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = FakeApi(MovableClock())
    blocks = [lines[i : i + size] for i in range(0, len(lines), size)]
    monkeypatch.setattr(api, "results", lambda _batch: nullcontext(iter(blocks)))

    assert first_custom_id(api, batch(status="ended")) == "a"


@pytest.mark.parametrize("lines", [b"", b"\n\r\n", b"<html>\n", b'{"type": "error"}\n', A[:20]])
def test_results_that_name_no_row_tell_nothing(lines: bytes) -> None:
    api = FakeApi(MovableClock())
    made = api.add(2)
    api.end(made.id, lines)

    with pytest.raises(Ambiguous, match=rf"No line of the results of {made.id} has a custom_id\."):
        first_custom_id(api, made)
