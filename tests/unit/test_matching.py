"""Whose a batch is, as far as it can be told from outside."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

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


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(b'{"custom_id": "a", "result": {}}\n{"custom_id": "b"}\n', "a"), (b'{"custom_id": "a"}', "a"), (b"", "")],
    ids=["of several", "without a line end", "of none"],
)
def test_the_first_custom_id_is_read_from_the_beginning_of_the_results(lines: bytes, expected: str) -> None:
    api = FakeApi(MovableClock())
    made = api.add(2)
    api.end(made.id, lines)

    assert first_custom_id(api, made) == expected


def test_results_that_are_no_results_are_told() -> None:
    api = FakeApi(MovableClock())
    made = api.add(2)
    api.end(made.id, b"<html>\n")

    with pytest.raises(msgspec.DecodeError):
        first_custom_id(api, made)
