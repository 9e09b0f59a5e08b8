"""What planning remembers of the rows that came: which ids, where, with which content, in little memory."""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import plan_state
from nightshift.model import Reject, Row
from nightshift.plan_state import Seen
from tests.unit.made import input_ref

INPUTS = [input_ref("inbox/triage/a.jsonl"), input_ref("inbox/triage/b.jsonl")]


def row(name: str, line: int = 1, content: int = 1, file: int = 0) -> Row:
    return Row(name, {}, file, line, line, f"{content:016x}")


def told(seen: Seen, found: Row) -> tuple[str, str] | None:
    reject = seen.judge(found, INPUTS)
    return (reject.code, reject.detail) if isinstance(reject, Reject) else None


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (row("a", 9), ("DUPLICATE_ROW", "the same row as line 7")),
        (row("a", 9, content=2**64 - 1), ("ID_CONFLICT", "the id of line 7, with other content")),
        (row("a", 9, file=1), ("DUPLICATE_ROW", "the same row as line 7 of inbox/triage/a.jsonl")),
        (row("A", 9), None),
    ],
)
def test_an_id_that_comes_again_is_told_by_its_place_and_content(again: Row, expected: tuple[str, str] | None) -> None:
    seen = Seen()
    seen.add(row("a", 7))
    assert told(seen, again) == expected


@given(st.lists(st.tuples(st.sampled_from([str(n) for n in range(40)]), st.integers(0, 2)), max_size=120))
def test_of_however_many_ids_each_is_found_and_no_other(came: Sequence[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_state, "_FEWEST", 2)  # so that it grows all the time
        seen, first = Seen(), dict[str, tuple[int, int]]()
        for line, (name, content) in enumerate(came, 1):
            if name not in first:
                assert told(seen, row(name, line, content)) is None
                seen.add(row(name, line, content))
            place, before = first.setdefault(name, (line, content))
            expected = "the same row as line {}" if before == content else "the id of line {}, with other content"
            assert (told(seen, row(name, line, content)) or ("", ""))[1] == expected.format(place)


def test_two_ids_with_hashes_that_lead_to_one_place_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {"a": 5, "b": 5 + 2**16, "c": 5}
    monkeypatch.setattr(plan_state, "hash", hashes.__getitem__, raising=False)
    seen = Seen()
    seen.add(row("a", 1))
    assert (told(seen, row("b")), told(seen, row("c"))) == (None, ("DUPLICATE_ROW", "the same row as line 1"))
    seen.add(row("b", 2))
    assert told(seen, row("b")) == ("DUPLICATE_ROW", "the same row as line 2")


def test_a_row_takes_fifty_bytes() -> None:
    seen, count = Seen(), 200_000
    tracemalloc.start()
    for number in range(count):
        seen.add(row(str(number), number))
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 50 * count
