"""Plan sample: lines of a plan, spread over its bytes and each found by one ranged read; and what they say of all.

A line's chance is its size. The places follow the golden ratio, so they lie evenly however many of them are taken:
whoever must stop early has a sample of the whole plan, too.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, linear_regression, stdev
from typing import Any

from nightshift import run_files
from nightshift.model import Chunk
from nightshift.ports import Outputs

SAMPLE = 100
"""Lines that are taken at least; a plan of no more rows is taken whole. With fewer, a kind of text that makes up a
twentieth of the bytes is too often not in the sample at all."""
MOST = 300
"""Lines that are taken at most: the API counts a few each second, and somebody waits for the estimate."""
FEW = 5
"""Rows below which a sample tells nothing about how far it may be off."""
BYTES_PER_TOKEN = 3
"""Where no tokens are counted: English has about four."""
FILE_TOKENS = {"image": 1_600, "document": 10_000}
"""… and of an attachment: a picture has width x height / 750 tokens, about 1,600 where it is scaled down to 1,568
pixels, and more on models that take larger ones (documentation of vision); a document has 1,500 to 3,000 for each page,
beside the page's picture (documentation of PDF support), and nobody knows how many pages."""
GUESSED_BYTES = 2
"""… and a sum that is guessed so, or from few rows, may be this part of it off, on each side."""
GOLDEN = (5**0.5 - 1) / 2
WINDOW = 16 * 1024
"""Bytes on either side of a place that are searched for the ends of its line, at first."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A sampled request: its line's bytes in the plan, and its prompt's tokens."""

    size: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A plan, and those of its requests whose tokens were counted."""

    rows: int
    size: int
    """Bytes."""
    counted: Sequence[Counted]
    bytes_per_token: float = BYTES_PER_TOKEN
    """Of its requests, where none was counted."""

    def total(self, value: Callable[[Counted], float]) -> tuple[float, float]:
        """Estimate the sum of a value over all requests, and how far that is off in 95 of 100 samples.

        A request's chance was its size, so the mean of value per byte, times the plan's bytes, is the sum without bias.
        What requests share makes short ones have more tokens per byte, or fewer: a line over 1 / size, whose true mean
        is known, rows / bytes (the regression estimator of sampling theory). So lengths alone do not spread it.
        """
        if len(self.counted) == self.rows <= SAMPLE:
            return sum(value(each) for each in self.counted), 0.0
        counted, average = self.counted, self.size // self.rows
        if not counted:
            counted = [Counted(average, int(average / self.bytes_per_token))]
        per_byte, count = [value(each) / each.size for each in counted], len(counted)
        if count < FEW:
            return self.size * fmean(per_byte), self.size * fmean(per_byte) / GUESSED_BYTES
        inverse = [1 / each.size for each in counted]
        slope = linear_regression(inverse, per_byte).slope if len(set(inverse)) > 1 else 0.0
        true = self.rows / self.size
        fitted = [found - slope * (x - true) for found, x in zip(per_byte, inverse, strict=True)]
        sure = 2 + 6 / count  # Student's, for a line of so many points
        return self.size * fmean(fitted), self.size * sure * stdev(fitted) / math.sqrt(count)


def bytes_per_token(size: int, params: Mapping[str, Any]) -> float:
    """Guess how many bytes of a request of `size` bytes are a token: what its attachments weigh says little of that."""
    contents = [message["content"] for message in params["messages"] if isinstance(message["content"], list)]
    files = [block for content in contents for block in content if block["type"] in FILE_TOKENS]
    if not files:
        return BYTES_PER_TOKEN
    text = size - sum(len(block["source"].get("data", "")) for block in files)
    return size / (text / BYTES_PER_TOKEN + sum(FILE_TOKENS[block["type"]] for block in files))


def sampled_lines(outputs: Outputs, chunks: Sequence[Chunk]) -> Iterator[bytes]:
    """Yield all lines of a small plan, in order; else `MOST` that hold evenly spread bytes, some perhaps twice."""
    if sum(chunk.rows for chunk in chunks) <= SAMPLE:
        for chunk in chunks:
            with outputs.open(run_files.plan(chunk.run_id, chunk.id, chunk.plan)) as plan:
                yield from plan
        return
    ends = list(accumulate(chunk.size for chunk in chunks))
    for number in range(MOST):
        place = int(ends[-1] * ((number + 0.5) * GOLDEN % 1))
        index = bisect_right(ends, place)
        chunk = chunks[index]
        yield line_at(outputs, run_files.plan(chunk.run_id, chunk.id, chunk.plan), place - ends[index] + chunk.size)


def line_at(outputs: Outputs, key: str, place: int) -> bytes:
    """Return the line of an object that holds the byte `place`."""
    window = WINDOW
    while True:
        begin = max(0, place - window)
        # To its end, so that the connection serves for the next line.
        with outputs.open(key, begin, place + window - begin) as stream:
            around = stream.read()
        first, end = around.rfind(b"\n", 0, place - begin) + 1, around.find(b"\n", place - begin)
        if (first or begin == 0) and end >= 0:
            return around[first : end + 1]
        window *= 4
