"""An archive holds every planned row once, or there is none."""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift import run_files
from nightshift.archiving import archive_results, whole_lines
from nightshift.errors import Ambiguous, Conflict, ForeignBatch, ResultsIncomplete
from nightshift.model import Archive, BatchId, BatchView, Chunk, ChunkState, chunk_id, custom_id
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.result_lines import expired, labelled, succeeded

ROWS = 5
CHUNK = made.chunk(state=ChunkState.ENDED, batch_id=BatchId("msgbatch_01"), rows=ROWS)
IDS = [custom_id(made.RUN, CHUNK.id, row) for row in range(1, ROWS + 1)]
KEY = run_files.raw(made.RUN, CHUNK.id, BatchId("msgbatch_01"))
LINES = [labelled(IDS[0]), expired(IDS[1]), succeeded(IDS[2], "é\u2028\u0085x"), labelled(IDS[3]), labelled(IDS[4])]
STREAM = b"".join(LINES)
STRANGER = labelled(custom_id(made.RUN, chunk_id(0, 2), 1))
SECOND = labelled(IDS[0], "technical")
ASIDE = run_files.strange(made.RUN, CHUNK.id, BatchId("msgbatch_01"))


class StreamApi:
    """`ports.BatchApi`, as far as results go: any bytes in any blocks, and then perhaps an error."""

    def __init__(self, data: bytes, *, block: int = 1000, rows: int = ROWS, error: Exception | None = None) -> None:
        self.data, self.block, self.rows, self.error = data, block, rows, error

    def batch(self, batch_id: BatchId) -> BatchView:
        return made.batch(batch_id, rows=self.rows, status="ended")

    @contextmanager
    def results(self, _batch: BatchView) -> Generator[Iterator[bytes]]:
        yield self._blocks()

    def _blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), self.block):
            yield self.data[start : start + self.block]
        if self.error is not None:
            raise self.error


def outputs() -> MemoryOutputs:
    ids = b"".join(b'{"custom_id":"%s","id":"t","file":0,"line":1,"record":1,"digest":"d"}\n' % i.encode() for i in IDS)
    return MemoryOutputs({run_files.ids(made.RUN, CHUNK.id, 1): ids})


def archive(data: bytes, to: MemoryOutputs | None = None, chunk: Chunk = CHUNK, **how: Any) -> tuple[Archive, bytes]:
    """Archive a stream; returns what is recorded and what is stored."""
    to = to or outputs()
    api: Any = StreamApi(data, **how)
    found = archive_results(api, to, MovableClock(), chunk, stop_at=START + timedelta(minutes=1))
    assert found is not None
    return found, to.files[found.key]


def described(data: bytes, *, strange: int = 0) -> Archive:
    return Archive(KEY, len(data), data.count(b"\n"), hashlib.sha256(data).hexdigest(), strange)


def read(chunk: Chunk, data: bytes) -> Chunk:
    """Read once more, in vain; returns the chunk as a failure leaves it."""
    with pytest.raises(ResultsIncomplete) as error:
        archive(data, chunk=chunk)
    return replace(chunk, failures=chunk.failures + 1, error=f"ResultsIncomplete: {error.value}")


def read_twice(data: bytes) -> Chunk:
    return read(read(CHUNK, data), data)


class TestCompleteStreams:
    @pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
    def test_a_complete_stream_is_stored_as_it_came_however_it_is_cut_into_blocks(self, block: int) -> None:
        assert archive(STREAM, block=block) == (described(STREAM), STREAM)

    def test_any_order_is_fine(self) -> None:
        lines = LINES[2:] + LINES[:2]
        assert archive(b"".join(lines)) == (described(b"".join(lines)), b"".join(lines))

    @pytest.mark.parametrize("block", [1, 7, 1 << 20])
    def test_line_ends_are_made_alike_and_blank_lines_left_out(self, block: int) -> None:
        noisy = b"\n\r\n" + STREAM.replace(b"\n", b"\r\n") + b"  \n\n"
        assert archive(noisy, block=block) == (described(STREAM), STREAM)

    def test_a_missing_last_newline_is_added(self) -> None:
        assert archive(STREAM.removesuffix(b"\n")) == (described(STREAM), STREAM)

    def test_a_line_that_comes_twice_is_stored_once(self) -> None:
        assert archive(LINES[0] + STREAM + LINES[3]) == (described(STREAM), STREAM)

    def test_half_a_surrogate_pair_in_an_answer_does_not_stop_the_batch(self) -> None:
        lines = [succeeded(IDS[0], "\ud800"), *LINES[1:]]
        assert archive(b"".join(lines))[0].lines == ROWS


class TestIncompleteStreams:
    def refused(self, data: bytes, *, match: str, **how: Any) -> None:
        to = outputs()
        with pytest.raises(ResultsIncomplete, match=match):
            archive(data, to, **how)
        assert KEY not in to.files

    def test_a_stream_that_ends_early_without_an_error_is_refused(self) -> None:
        self.refused(
            b"".join(LINES[:-2]),
            match=r"^results of msgbatch_01: 2 of 5 rows are not in it \([0-9a-f]{8}\), reading 1 of 3$",
        )

    def test_an_empty_stream_is_refused(self) -> None:
        self.refused(b"", match="5 of 5 rows are not in it")

    def test_a_stream_cut_within_a_line_is_refused(self) -> None:
        self.refused(STREAM[:-20], match="1 of 5 rows are not in it, 1 lines are strange")

    def test_two_results_for_one_row_are_refused(self) -> None:
        self.refused(STREAM + labelled(IDS[0], "technical"), match=": 1 rows have two results")

    def test_a_row_that_was_never_sent_is_refused(self) -> None:
        self.refused(STREAM + labelled(IDS[0][:-6] + "000099"), match=": 1 lines are strange")

    @pytest.mark.parametrize("line", [b'{"type":"error","error":{"message":"secret"}}\n', b"<html>secret\n", b"null\n"])
    def test_a_line_without_a_custom_id_is_refused_and_not_quoted(self, line: bytes) -> None:
        match = r"^results of msgbatch_01: 1 lines are strange \(0 with another chunk's custom_id\) \([0-9a-f]{8}\), r"
        self.refused(STREAM + line, match=match)

    def test_lines_of_another_chunk_among_ours_are_refused(self) -> None:
        self.refused(STRANGER + STREAM, match=r"1 lines are strange \(1 with another chunk's custom_id\)")

    def test_another_chunks_results_that_may_go_on_with_ours_are_refused_but_not_disowned(self) -> None:
        self.refused(STRANGER, match="5 of 5 rows are not in it, 1 lines are strange")

    def test_an_api_error_goes_through_and_leaves_no_archive(self) -> None:
        to = outputs()
        with pytest.raises(Ambiguous, match="dropped"):
            archive(STREAM, to, error=Ambiguous("dropped"))
        assert KEY not in to.files

    @settings(derandomize=True, deadline=None, database=None, max_examples=300)
    @given(cut=st.integers(0, len(STREAM)), block=st.sampled_from([1, 5, 64, 4096]), noise=st.booleans())
    def test_a_stream_cut_anywhere_is_complete_or_refused_and_never_a_wrong_archive(
        self, cut: int, block: int, *, noise: bool
    ) -> None:
        to = outputs()
        data = STREAM.replace(b"\n", b"\r\n\n") if noise else STREAM
        try:
            found, stored = archive(data[: cut * len(data) // len(STREAM)], to, block=block)
        except ResultsIncomplete:
            assert KEY not in to.files
        else:
            assert (found, stored) == (described(STREAM), STREAM)

    def test_every_single_cut_of_the_stream_is_refused_until_the_last_object_is_whole(self) -> None:
        complete = []
        for cut in range(len(STREAM) + 1):
            try:
                archive(STREAM[:cut])
                complete.append(cut)
            except ResultsIncomplete:
                continue
        assert complete == [len(STREAM) - 1, len(STREAM)]


class TestMissingRows:
    def test_the_third_reading_with_the_same_rows_absent_is_archived_without_them(self) -> None:
        short = b"".join(LINES[:-2])
        twice = read_twice(short)
        assert twice.error.endswith("reading 2 of 3")
        assert archive(short, chunk=twice) == (described(short), short)

    def test_an_empty_batch_read_three_times_is_an_empty_archive(self) -> None:
        assert archive(b"", chunk=read_twice(b"")) == (described(b""), b"")

    def test_other_absent_rows_begin_the_count_again(self) -> None:
        twice = read_twice(b"".join(LINES[:-2]))
        assert read(twice, b"".join(LINES[1:-1])).error.endswith("reading 1 of 3")

    def test_another_failure_in_between_begins_the_count_again(self) -> None:
        short = b"".join(LINES[:-2])
        disturbed = replace(read_twice(short), error="Ambiguous: dropped")
        assert read(disturbed, short).error.endswith("reading 1 of 3")

    def test_rows_that_come_after_all_are_archived(self) -> None:
        assert archive(STREAM, chunk=read_twice(LINES[0])) == (described(STREAM), STREAM)


class TestStrangeLines:
    @pytest.mark.parametrize(
        "line",
        [
            b'{"type":"error","error":{"message":"x"},"request_id":"req_1"}\n',
            b'{"custom_id": "cut in the mid\n',
            b"\xff\x00\n",
            labelled(IDS[0][:-6] + "000099"),
            STRANGER,
            SECOND,
        ],
        ids=["no custom_id", "broken", "bytes", "never sent", "another chunk's", "a second result"],
    )
    def test_a_strange_line_that_comes_three_times_is_kept_aside_and_costs_no_row(self, line: bytes) -> None:
        to, data = outputs(), LINES[0] + line + b"".join(LINES[1:])
        assert archive(data, to, chunk=read_twice(data)) == (described(STREAM, strange=1), STREAM)
        assert to.files[ASIDE] == line

    def test_nothing_is_kept_aside_where_nothing_is_strange(self) -> None:
        to = outputs()
        archive(STREAM, to)
        assert ASIDE not in to.files

    def test_absent_rows_and_strange_lines_are_settled_together(self) -> None:
        to, data = outputs(), LINES[0][:-9] + b"\n" + b"".join(LINES[1:]) + STRANGER + SECOND + SECOND
        rest = b"".join(LINES[1:]) + SECOND  # the row's whole line is its first
        assert archive(data, to, chunk=read_twice(data)) == (described(rest, strange=2), rest)
        assert to.files[ASIDE] == LINES[0][:-9] + b"\n" + STRANGER

    def test_an_error_whose_words_differ_each_time_is_settled_too(self) -> None:
        error = b'{"type":"error","request_id":"req_%d"}\n'
        twice = read(read(CHUNK, STREAM + error % 1), STREAM + error % 2)
        assert archive(STREAM + error % 3, chunk=twice) == (described(STREAM, strange=1), STREAM)

    @pytest.mark.parametrize(
        ("data", "other"),
        [
            (STREAM + STRANGER, STREAM + STRANGER * 2),
            (STREAM + SECOND, STREAM + labelled(IDS[3], "technical")),
            (STREAM + SECOND, STREAM + STRANGER),
        ],
        ids=["more lines", "another row's second", "another kind"],
    )
    def test_what_is_wrong_otherwise_begins_the_count_again(self, data: bytes, other: bytes) -> None:
        assert read(read_twice(data), other).error.endswith("reading 1 of 3")

    def test_of_two_results_in_another_order_each_time_the_first_of_the_last_reading_stands(self) -> None:
        to, turned = outputs(), SECOND + STREAM
        archived = archive(turned, to, chunk=read(read(CHUNK, STREAM + SECOND), turned))[1]
        assert (archived, to.files[ASIDE]) == (SECOND + b"".join(LINES[1:]), LINES[0])

    def test_no_more_than_so_many_lines_are_kept_and_all_are_counted(self) -> None:
        to, data = outputs(), STREAM + b"".join(b"<%d>\n" % n for n in range(1500))
        assert archive(data, to, chunk=read_twice(data))[0] == described(STREAM, strange=1500)
        assert to.files[ASIDE] == b"".join(b"<%d>\n" % n for n in range(1000))

    def test_no_more_than_so_many_bytes_are_kept(self) -> None:
        to, data = outputs(), STREAM + b"<" * 999_998 + b"\n" + b"ab\n" + b"\n".join([b"!", b"!", b""])
        assert archive(data, to, chunk=read_twice(data))[0] == described(STREAM, strange=4)
        assert to.files[ASIDE] == b"<" * 999_998 + b"\n"

    def test_strange_lines_alone_are_never_settled(self) -> None:
        error = b'{"type":"error"}\n'
        assert read(read_twice(error), error).error.endswith("reading 3 of 3")


class TestForeignBatches:
    def test_a_batch_that_holds_only_anothers_rows_is_foreign(self) -> None:
        strangers = b"".join(labelled(custom_id(made.RUN, chunk_id(0, 2), row)) for row in range(1, ROWS + 1))
        to = outputs()
        with pytest.raises(ForeignBatch, match="msgbatch_01"):
            archive(strangers, to)
        assert KEY not in to.files

    def test_a_few_rows_of_anothers_and_nothing_else_are_foreign_at_the_third_reading(self) -> None:
        with pytest.raises(ForeignBatch, match="msgbatch_01"):
            archive(STRANGER, chunk=read_twice(STRANGER))


class TestStandingArchives:
    def test_an_archive_that_stands_already_is_checked_and_taken(self) -> None:
        to = outputs()
        earlier = b"".join(reversed(LINES))  # the API promises no order: another reading may differ in its bytes
        to.files[KEY] = earlier
        assert archive(STREAM, to) == (described(earlier), earlier)

    def test_an_archive_that_stands_already_and_is_not_whole_is_refused(self) -> None:
        to = outputs()
        to.files[KEY] = LINES[0]
        with pytest.raises(ResultsIncomplete, match="4 of 5 rows that are in the results are not in runs/"):
            archive(STREAM, to)

    def test_an_archive_with_a_strange_line_is_refused(self) -> None:
        to = outputs()
        to.files[KEY] = STREAM + STRANGER
        with pytest.raises(ResultsIncomplete, match="1 lines of it are strange"):
            archive(STREAM, to)

    def test_what_a_worker_settled_before_it_died_is_settled_for_the_next(self) -> None:
        to, data = outputs(), b"".join(LINES[:-1]) + SECOND + STRANGER
        to.files[KEY], to.files[ASIDE] = SECOND + b"".join(LINES[1:-1]), LINES[0] + STRANGER
        before = dict(to.files)
        found, stored = archive(data, to, chunk=read_twice(data))
        assert found == described(stored, strange=2)
        assert to.files == before

    def test_strange_lines_that_a_worker_did_not_store_before_it_died_are_stored_by_the_next(self) -> None:
        to, data = outputs(), STREAM + STRANGER
        to.files[KEY] = STREAM
        archive(data, to, chunk=read_twice(data))
        assert to.files[ASIDE] == STRANGER

    def test_a_chunk_without_a_batch_is_a_conflict(self) -> None:
        with pytest.raises(Conflict, match="has no batch"):
            archive(STREAM, chunk=made.chunk())


class TestTime:
    def test_when_time_is_up_nothing_of_the_archive_exists(self) -> None:
        to, api, clock = outputs(), StreamApi(STREAM, block=10), MovableClock()
        reading = api.results

        def delayed(blocks: Iterator[bytes]) -> Iterator[bytes]:
            for block in blocks:
                clock.move(seconds=1)
                yield block

        @contextmanager
        def slow(batch: BatchView) -> Generator[Iterator[bytes]]:
            with reading(batch) as blocks:
                yield delayed(blocks)

        stream: Any = api
        stream.results = slow
        assert archive_results(stream, to, clock, CHUNK, stop_at=START + timedelta(seconds=3)) is None
        assert KEY not in to.files


@pytest.mark.parametrize(
    "number",
    [
        "000000",
        "000006",
        "00001",
        "0000001",
        "-00001",
        "+00001",
        " 00001",
        "\u0660\u0660\u0660\u0660\u0660\u0661",
        "00001\u00b2",
        "",
    ],
)
def test_a_custom_id_that_only_looks_like_a_planned_one_is_strange(number: str) -> None:
    stranger = succeeded(IDS[0][:-6] + number)
    found, stored = archive(stranger + STREAM, chunk=read_twice(stranger + STREAM))
    assert (found, stored) == (described(STREAM, strange=1), STREAM)


def test_a_line_with_another_chunk_s_prefix_and_a_planned_number_is_strange() -> None:
    found, stored = archive(STRANGER + STREAM, chunk=read_twice(STRANGER + STREAM))
    assert (found, stored) == (described(STREAM, strange=1), STREAM)


def test_lines_are_split_at_newlines_only() -> None:
    data = "a\u2028b\u0085c\x0bd\x0ce\rf\n".encode()
    assert [line for lines in whole_lines([data[:3], data[3:]]) for line in lines] == [data[:-1]]
