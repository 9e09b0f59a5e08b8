"""A sample of a plan: each byte leads to its line, any number of them lies evenly, and what they say of all is true."""

import math
import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from nightshift import plan_sample, run_files
from nightshift.model import Chunk
from nightshift.plan_sample import MOST, SAMPLE, WINDOW, Counted, Sample, line_at, sampled_lines
from tests.unit.fakes import MemoryOutputs
from tests.unit.made import RUN, chunk


def planned(*chunks: Sequence[bytes]) -> tuple[MemoryOutputs, list[Chunk]]:
    """Put a plan of these lines there."""
    outputs, made = MemoryOutputs(), []
    for number, lines in enumerate(chunks, 1):
        made.append(chunk(number, rows=len(lines), size=sum(map(len, lines))))
        outputs.files[run_files.plan(RUN, made[-1].id, 1)] = b"".join(lines)
    return outputs, made


def lines(count: int, seed: int = 0, longest: int = 40) -> list[bytes]:
    """Make different lines of different lengths."""
    rng = random.Random(seed)  # noqa: S311 - a seed, not a secret
    return [b"%d-%d " % (seed, n) + b"x" * rng.randrange(longest) + b"\n" for n in range(count)]


@pytest.mark.parametrize("window", [1, 2, 7, WINDOW])
def test_every_byte_of_a_file_leads_to_its_line(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_sample, "WINDOW", window)
    wanted = [*lines(30), b"\n", b"y" * 500 + b"\n", b"z\n"]
    outputs = MemoryOutputs({"plan": b"".join(wanted)})

    found = [line_at(outputs, "plan", place) for place in range(len(outputs.files["plan"]))]

    assert found == [line for line in wanted for _ in line]


def test_a_line_that_is_longer_than_the_window_is_found_from_its_end() -> None:
    long = b"y" * (5 * WINDOW) + b"\n"
    outputs = MemoryOutputs({"plan": b"a\n" + long + b"b\n"})
    places = [0, 1, 2, 2 + WINDOW, len(long) + 1, len(long) + 2]
    assert [line_at(outputs, "plan", place) for place in places] == [b"a\n", b"a\n", long, long, long, b"b\n"]


def test_a_small_plan_is_taken_whole() -> None:
    parts = [lines(SAMPLE - 3, 1), lines(3, 2)]
    assert list(sampled_lines(*planned(*parts))) == [*parts[0], *parts[1]]


@pytest.mark.parametrize("taken", [10, 50, 100, 299, MOST])
def test_however_many_lines_are_taken_they_lie_evenly_over_all_chunks(taken: int) -> None:
    parts = [lines(20, 1), lines(3000, 2), lines(500, 3, longest=800), lines(1, 4)]
    outputs, chunks = planned(*parts)

    found = list(sampled_lines(outputs, chunks))[:taken]

    size = sum(each.size for each in chunks)
    for part, each in zip(parts, chunks, strict=True):
        assert abs(sum(line in part for line in found) - taken * each.size / size) < 2
    half = set(parts[1][:1500])  # within a chunk, too
    assert abs(sum(line in half for line in found) - taken * sum(map(len, half)) / size) < 2


def test_a_place_between_two_chunks_is_the_second_s() -> None:
    parts = [[line] for line in lines(150, longest=1)]
    wanted = {line for (line,) in parts}
    assert set(sampled_lines(*planned(*parts))) <= wanted


def test_a_line_s_chance_is_its_size() -> None:
    huge, rest = b"h" * 30_000 + b"\n", lines(999, longest=50)
    outputs, chunks = planned([*rest[:500], huge, *rest[500:]])
    found = list(sampled_lines(outputs, chunks))
    assert len(found) == MOST
    assert abs(found.count(huge) / MOST - len(huge) / chunks[0].size) < 0.01


def drawn(rows: Sequence[Counted], count: int, rng: random.Random) -> Sample:
    """Draw a sample as the plan's is: by size."""
    sizes = [row.size for row in rows]
    return Sample(len(rows), sum(sizes), rng.choices(rows, weights=sizes, k=count))


def tokens(each: Counted) -> int:
    return each.tokens


class TestTotal:
    def test_rows_that_were_all_counted_are_added_up(self) -> None:
        rows = [Counted(100, 7), Counted(5000, 3), Counted(101, 1000)]
        assert Sample(3, 5201, rows).total(tokens) == (1010, 0.0)

    def test_as_many_counts_as_rows_are_not_all_rows_of_a_large_plan(self) -> None:
        rows = [Counted(100, n % 7) for n in range(SAMPLE + 1)]
        assert Sample(len(rows), 100 * len(rows), rows).total(tokens)[1] > 0

    def test_without_a_count_tokens_are_guessed_from_bytes_also_those_of_a_single_row(self) -> None:
        assert Sample(10, 6000, []).total(tokens) == pytest.approx((2000, 1000))
        assert Sample(1, 600, []).total(tokens) == pytest.approx((200, 100))

    @pytest.mark.parametrize("count", [1, 4])
    def test_a_few_counts_do_not_tell_how_far_they_are_off(self, count: int) -> None:
        found = Sample(1000, 50_000, [Counted(50, 10)] * count).total(tokens)
        assert found == pytest.approx((10_000, 5_000))

    def test_rows_of_one_size_are_averaged(self) -> None:
        counted = [Counted(50, 10), Counted(50, 20)] * 50
        deviation = math.sqrt(100 / 99) * 5  # of tokens, by hand
        found = Sample(1000, 50_000, counted).total(tokens)
        assert found == pytest.approx((15_000, 1000 * 2.06 * deviation / 10))

    def test_what_all_rows_share_and_what_a_byte_adds_are_told_apart(self) -> None:
        # Each line has 400 bytes around its text, which are 90 tokens; and a token for each 4 bytes of text.
        rng = random.Random(1)  # noqa: S311 - a seed, not a secret
        rows = [Counted(400 + size, 90 + size // 4) for size in (4 * rng.randrange(1, 500) for _ in range(2000))]
        total, spread = drawn(rows, SAMPLE, rng).total(tokens)
        assert total == pytest.approx(sum(map(tokens, rows)))
        assert spread == pytest.approx(0, abs=1)

    def test_totals_are_right_on_average_and_within_their_spread_in_95_of_100_samples(self) -> None:
        rng = random.Random(2)  # noqa: S311 - a seed, not a secret
        sizes = [round(math.exp(rng.gauss(7, 1))) + 300 for _ in range(3000)]
        rows = [Counted(size, round(50 + size * rng.uniform(0.1, 0.4))) for size in sizes]
        true = sum(map(tokens, rows))

        found = [drawn(rows, SAMPLE, rng).total(tokens) for _ in range(400)]

        assert fmean(total for total, _ in found) == pytest.approx(true, rel=0.005)
        assert sum(abs(total - true) <= spread for total, spread in found) >= 0.95 * len(found)
        assert fmean(spread for _, spread in found) < 0.08 * true
