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
    return MemoryOutputs({run_files.ids(made.RUN, CHUNK.id): ids})


def archive(data: bytes, to: MemoryOutputs | None = None, chunk: Chunk = CHUNK, **how: Any) -> tuple[Archive, bytes]:
    """Archive a stream; returns what is recorded and what is stored."""
    to = to or outputs()
    api: Any = StreamApi(data, **how)
    found = archive_results(api, to, MovableClock(), chunk, stop_at=START + timedelta(minutes=1))
    assert found is not None
    return found, to.files[found.key]


def described(data: bytes) -> Archive:
    return Archive(KEY, len(data), data.count(b"\n"), hashlib.sha256(data).hexdigest())


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
        self.refused(STREAM[:-20], match="broken")

    def test_two_results_for_one_row_are_refused(self) -> None:
        self.refused(STREAM + labelled(IDS[0], "technical"), match=f"two different results for {IDS[0]}")

    def test_a_row_that_was_never_sent_is_refused(self) -> None:
        self.refused(STREAM + labelled(IDS[0][:-6] + "000099"), match="never sent")

    @pytest.mark.parametrize("line", [b'{"type":"error","error":{"message":"secret"}}\n', b"<html>secret\n", b"null\n"])
    def test_a_line_without_a_custom_id_is_refused_and_not_quoted(self, line: bytes) -> None:
        self.refused(
            STREAM + line, match=r"^results of msgbatch_01: the line after 5 rows is broken or has no custom_id$"
        )

    def test_lines_of_another_chunk_among_ours_are_refused(self) -> None:
        stranger = labelled(custom_id(made.RUN, chunk_id(0, 2), 1))
        self.refused(stranger + STREAM, match="1 lines carry another chunk's custom_id")

    def test_another_chunks_results_that_may_go_on_with_ours_are_refused_but_not_disowned(self) -> None:
        stranger = labelled(custom_id(made.RUN, chunk_id(0, 2), 1))
        self.refused(stranger, match="1 lines carry another chunk's custom_id")

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
    def read(self, chunk: Chunk, data: bytes) -> Chunk:
        """Read once more; returns the chunk as a failure leaves it."""
        with pytest.raises(ResultsIncomplete) as error:
            archive(data, chunk=chunk)
        return replace(chunk, failures=chunk.failures + 1, error=f"ResultsIncomplete: {error.value}")

    def test_the_third_reading_with_the_same_rows_absent_is_archived_without_them(self) -> None:
        short = b"".join(LINES[:-2])
        twice = self.read(self.read(CHUNK, short), short)
        assert twice.error.endswith("reading 2 of 3")
        assert archive(short, chunk=twice) == (described(short), short)

    def test_an_empty_batch_read_three_times_is_an_empty_archive(self) -> None:
        assert archive(b"", chunk=self.read(self.read(CHUNK, b""), b"")) == (described(b""), b"")

    def test_other_absent_rows_begin_the_count_again(self) -> None:
        twice = self.read(self.read(CHUNK, b"".join(LINES[:-2])), b"".join(LINES[:-2]))
        assert self.read(twice, b"".join(LINES[1:-1])).error.endswith("reading 1 of 3")

    def test_another_failure_in_between_begins_the_count_again(self) -> None:
        short = b"".join(LINES[:-2])
        disturbed = replace(self.read(self.read(CHUNK, short), short), error="Ambiguous: dropped")
        assert self.read(disturbed, short).error.endswith("reading 1 of 3")

    def test_rows_that_come_after_all_are_archived(self) -> None:
        twice = self.read(self.read(CHUNK, LINES[0]), LINES[0])
        assert archive(STREAM, chunk=twice) == (described(STREAM), STREAM)


class TestForeignBatches:
    def test_a_batch_that_holds_only_anothers_rows_is_foreign(self) -> None:
        strangers = b"".join(labelled(custom_id(made.RUN, chunk_id(0, 2), row)) for row in range(1, ROWS + 1))
        to = outputs()
        with pytest.raises(ForeignBatch, match="msgbatch_01"):
            archive(strangers, to)
        assert KEY not in to.files


class TestStandingArchives:
    def test_an_archive_that_stands_already_is_checked_and_taken(self) -> None:
        to = outputs()
        earlier = b"".join(reversed(LINES))  # the API promises no order: another reading may differ in its bytes
        to.files[KEY] = earlier
        assert archive(STREAM, to) == (described(earlier), earlier)

    def test_an_archive_that_stands_already_and_is_not_whole_is_refused(self) -> None:
        to = outputs()
        to.files[KEY] = LINES[0]
        with pytest.raises(ResultsIncomplete, match="4 of 5 rows"):
            archive(STREAM, to)

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


def test_lines_are_split_at_newlines_only() -> None:
    data = "a\u2028b\u0085c\x0bd\x0ce\rf\n".encode()
    assert [line for lines in whole_lines([data[:3], data[3:]]) for line in lines] == [data[:-1]]
