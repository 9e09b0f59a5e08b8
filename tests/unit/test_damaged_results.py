"""However a stream of results is damaged: there is an archive without a silent gap, or an error of our own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift import run_files
from nightshift.answers import answer_reader
from nightshift.archiving import archive_results
from nightshift.errors import ForeignBatch, ResultsIncomplete
from nightshift.job_sections import Output
from nightshift.model import Archive, BatchId, chunk_id, custom_id
from nightshift.outcomes import costs_of, outcomes, tally
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.result_lines import canceled, errored, expired, labelled, succeeded
from tests.unit.test_archiving import CHUNK, IDS, KEY, STREAM, StreamApi, outputs

type Damage = Callable[[bytes], bytes]

FOREIGN = labelled(custom_id(made.RUN, chunk_id(0, 2), 1))
STRANGE = [
    *(make(name) for make in (labelled, expired, canceled, errored) for name in IDS[:2]),
    succeeded(IDS[0], "x", usage={"input_tokens": 10**50}),
    succeeded(IDS[1], "\ud800", usage={"service_tier": "\udfff"}),
    b'{"custom_id":"%s"}\n' % IDS[2].encode(),
    b'{"custom_id":"%s","result":{"type":"new"}}\n' % IDS[3].encode(),
    labelled(IDS[0][:-6] + "000099"),
    FOREIGN,
    b'{"type":"error","error":{"type":"api_error"}}\n',
    b"\n",
    b"null\n",
    b'{"custom_id":\n',
]
ASIDE = run_files.strange(made.RUN, CHUNK.id, BatchId("msgbatch_01"))


def place(data: bytes, share: float) -> int:
    return int(share * len(data))


def move(data: bytes, order: Sequence[int]) -> bytes:
    """Put lines in another order; one that is not named is lost, one that is named twice comes twice."""
    lines = data.splitlines(keepends=True)
    return b"".join(lines[n % len(lines)] for n in order) if lines else data


def spoil(data: bytes, share: float, noise: bytes, lost: int) -> bytes:
    """Write noise over `lost` bytes at a place."""
    at = place(data, share)
    return data[:at] + noise + data[at + lost :]


def put_line(data: bytes, share: float, line: bytes) -> bytes:
    """Put a line behind the line that is at a place."""
    at = data.find(b"\n", place(data, share)) + 1
    return data[:at] + line + data[at:]


def damages() -> st.SearchStrategy[Damage]:
    share = st.floats(0, 1)
    return st.one_of(
        share.map(lambda s: lambda data: data[: place(data, s)]),
        st.lists(st.integers(0, 9), min_size=1, max_size=9).map(lambda order: lambda data: move(data, order)),
        st.tuples(share, st.binary(max_size=4), st.integers(0, 4)).map(lambda args: lambda data: spoil(data, *args)),
        st.tuples(share, st.sampled_from(STRANGE)).map(lambda args: lambda data: put_line(data, *args)),
        st.just(lambda data: data.replace(b"\n", b"\r\n")),
    )


def read(data: bytes, block: int) -> tuple[int, MemoryOutputs, Archive | None]:
    """Read the same stream up to three times; returns the reading that made an archive, or None after the last."""
    chunk, to = CHUNK, outputs()
    api: Any = StreamApi(data, block=block)
    for reading in (1, 2, 3):
        try:
            found = archive_results(api, to, MovableClock(), chunk, stop_at=START + timedelta(minutes=1))
        except ForeignBatch:
            assert KEY not in to.files
            return reading, to, None
        except ResultsIncomplete as error:
            assert KEY not in to.files
            chunk = replace(chunk, error=f"ResultsIncomplete: {error}")
        else:
            return reading, to, found
    return 3, to, None


def name_of(line: bytes) -> object:
    """Return the custom_id of a line, by another way than the product's."""
    try:
        value = json.loads(line.decode(errors="replace"))
    except ValueError:
        return None
    return value.get("custom_id") if isinstance(value, dict) else None


@settings(derandomize=True, deadline=None, database=None, max_examples=200)
@given(st.lists(damages(), max_size=3), st.sampled_from([1, 7, 4096]))
def test_no_damage_makes_an_archive_with_a_silent_gap(damage: Sequence[Damage], block: int) -> None:
    data = STREAM
    for each in damage:
        data = each(data)
    reading, to, found = read(data, block)
    there = {name for line in data.split(b"\n") if (name := name_of(line)) in IDS}
    if found is None:
        assert not there
        return
    archived = list(outcomes(to.files[KEY], answer_reader(Output(text=True), {})))
    names = [outcome.custom_id for outcome in archived]
    assert sorted(names) == sorted(there)
    assert reading == 3 or sorted(names) == IDS
    assert (found.size, found.lines) == (len(to.files[KEY]), len(names))
    assert found.strange == to.files.get(ASIDE, b"").count(b"\n")
    msgspec.json.encode([archived, tally(archived, costs_of(archived, None), last=True)])
