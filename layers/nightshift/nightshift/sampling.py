"""Sampling: rows of a finished run, evenly spread over its results, with what was asked and what came of it.

The sample is a function of the run alone, and a larger one begins with the smaller: whoever is stopped goes on with the
same rows, and a person who wants more pays for the additional ones only.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.job import Job
from nightshift.model import Chunk, ChunkState, Outcome, RowClass, Run, RunId
from nightshift.money import Cost, PriceSheet, Tokens, cost_of, tokens_of
from nightshift.outcomes import custom_id_of, outcomes, reader_of
from nightshift.ports import Outputs
from nightshift.requests import params_of

GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples, modulo 2**64, lie evenly, however many of them are taken."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a request used, and what that cost."""

    tokens: Tokens
    cost: Cost

    @classmethod
    def of(cls, usage: Mapping[str, Any], prices: PriceSheet) -> "Bill | None":
        """Return the bill of a `usage` object; None where it tells nothing, not even how long the prompt was."""
        tokens = tokens_of(usage)
        return cls(tokens, cost_of(tokens, prices)) if tokens.prompt else None


@dataclass(frozen=True, slots=True)
class Sampled:
    """A row of the sample."""

    id: str
    outcome: Outcome
    """Of its batch."""
    params: bytes
    """What was asked, byte for byte."""
    bill: Bill | None
    """Of its batch; None where nothing was billed."""
    bound: int
    """Picodollars that the same request costs at most at the synchronous price."""


def sample(
    outputs: Outputs, run: Run, job: Job, prices: PriceSheet, chunks: Sequence[Chunk], size: int
) -> list[Sampled]:
    """Return a run's sample, in the order to ask it in."""
    ends = [(chunk, _ended(chunk)) for chunk in chunks if chunk.state is ChunkState.COLLECTED]
    order = places(run.run_id, sum(rows for _, rows in ends), size)
    found: dict[int, Sampled] = {}
    start = 0
    for chunk, rows in ends:
        if here := {place - start for place in order if start <= place < start + rows}:
            results = islice(_results(outputs, run, job, chunk), max(here) + 1)
            wanted = {start + at: result for at, result in enumerate(results) if at in here}
            found |= dict(zip(wanted, _sampled(outputs, prices, chunk, list(wanted.values())), strict=True))
        start += rows
    # What is attached has no bound in bytes: where the batch told nothing of it, the row is left out.
    return [found[place] for place in order if place in found and (found[place].bill or not job.attachments)]


def places(run_id: RunId, total: int, size: int) -> list[int]:
    """Return `size` of `total` places, evenly spread from the first on, in an order that more of them begin with."""
    start = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8])
    found: dict[int, None] = {}
    number = 0
    while len(found) < min(size, total):
        found[((start + number * GOLDEN) % 2**64) * total >> 64] = None
        number += 1
    return list(found)


def _ended(chunk: Chunk) -> int:
    """Return how many rows of a chunk ended with a result of it; the others are missing, or were asked again."""
    return sum(chunk.tally.rows.values()) - chunk.tally.rows.get(RowClass.MISSING, 0)


def _results(outputs: Outputs, run: Run, job: Job, chunk: Chunk) -> Iterator[Outcome]:
    """Yield the results of a chunk that a row ended with, as its archive has them."""
    read, last = reader_of(job, chunk), chunk.generation >= run.max_generations
    if chunk.archive is not None:
        with outputs.open(chunk.archive.key) as archive:
            found = (each for line in archive for each in outcomes(line, read))
            yield from (each for each in found if last or not each.retryable)


def _sampled(outputs: Outputs, prices: PriceSheet, chunk: Chunk, found: Sequence[Outcome]) -> Iterator[Sampled]:
    """Put results of a chunk beside what was asked for them."""
    names = {outcome.custom_id for outcome in found}
    plan = _lines(outputs, run_files.plan(chunk.run_id, chunk.id, chunk.plan), names)
    rows = _lines(outputs, run_files.ids(chunk.run_id, chunk.id, chunk.plan), names)
    for outcome in found:
        params, bill = params_of(plan[outcome.custom_id]), Bill.of(outcome.usage, prices)
        row_id = _NAMED.decode(rows[outcome.custom_id]).id
        yield Sampled(row_id, outcome, params, bill, bound(params, bill, prices))


def bound(params: bytes, bill: Bill | None, prices: PriceSheet) -> int:
    """Return what a request costs at most at the synchronous price, in picodollars.

    The prompt is as long as it was in the batch, and all of it that can be cached is written, for an hour. Where the
    batch told nothing, no token is shorter than a byte.
    """
    asked, used = json.loads(params), bill.tokens if bill is not None else Tokens()
    worst = Tokens(
        input=used.input,
        cache_write_1h=used.prompt - used.input if bill is not None else len(params),
        output=asked["max_tokens"],
        surcharge=used.surcharge or asked.get("inference_geo") == "us",
    )
    return cost_of(worst, prices).total


def _lines(outputs: Outputs, key: str, names: set[str]) -> dict[str, bytes]:
    """Return the lines of an object that have these custom_ids."""
    with outputs.open(key) as lines:
        named = ((custom_id_of(line) or "", line) for line in lines)
        return dict(islice((each for each in named if each[0] in names), len(names)))


class _Named(msgspec.Struct):
    """A line of `plan/<chunk>.ids`: what is needed here of model.PlannedRow."""

    id: str


_NAMED = msgspec.json.Decoder(_Named)
