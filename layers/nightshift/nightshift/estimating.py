"""Estimating: what a run will cost, before it costs anything, and again when its pilot has answered.

Prompts are counted by the API, on a sample of the requests that will be sent. The sample is drawn by bytes, at equal
distances over the plan: a request's chance is its size, so the mean of tokens (and of cost) per byte, times the plan's
bytes, is the total without bias, and its spread is small, because tokens follow bytes. The length of the answers is
known to nobody before the pilot: until then the interval reaches from one token each to `max_tokens` each.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, stdev
from typing import Any

from nightshift import run_files
from nightshift.caching import Plan, decide, least_prefix, why_not_at_all
from nightshift.errors import ApiError
from nightshift.job import Job
from nightshift.model import Caching, Chunk, Estimate, Run
from nightshift.money import PriceSheet, Tokens, cost_of, more
from nightshift.ports import BatchApi, Clock, Outputs
from nightshift.requests import params_of, shared_params

SAMPLE = 30
"""Requests whose tokens are counted; a run of no more rows has all of them counted."""
WINDOW = 64 * 1024
"""Bytes before a place in a plan that are searched for the beginning of its line, at first."""
BYTES_PER_TOKEN = 3
"""Where the API cannot be asked: English has about four."""
COUNTED = frozenset(
    {"cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"}
)
"""Params that `count_tokens` takes (API reference)."""
GUESSED_BYTES = 2
"""… and the cost of prompts that are guessed so may be this part of it off, on each side."""
GUESSED = 4
"""Before the pilot, a text is taken to be this part of `max_tokens`."""
WORST_HITS = 0.3
"""The smallest part of cache reads that hit in a batch (documentation of batch processing: 30 % to 98 %)."""
SURE = 2.05
"""Standard errors on each side of the prompts' cost: 95 of 100, for a sample of 30."""
PILOT_SURE = 3.3
"""Standard errors on each side of the answers' length. More than 2.1, because lengths are skewed and pilots small:
`tests/unit/test_estimating.py` holds it to 95 of 100 on lengths of several shapes."""
FEW = 5
"""Answers below which a pilot tells nothing about their length."""
SLACK = 0.02
"""Of the answers' length, on each side, where all of the pilot are equally long."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A sampled request: its line's bytes in the plan, and its prompt's tokens."""

    size: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates runs. Where the API does not answer, tokens are guessed from bytes, and the estimate says so."""

    api: BatchApi
    outputs: Outputs
    clock: Clock

    def caching(self, plan: Plan) -> Caching:
        """Decide about a run's cache breakpoint: counts what its requests share, where that matters."""
        if why := why_not_at_all(plan):
            return Caching(0, least_prefix(plan.job.model), why=why)
        shared = shared_params(plan.job, "") | {"messages": [{"role": "user", "content": "."}]}
        bare = {"model": plan.job.model, "messages": shared["messages"]}
        try:
            tokens = self._count(shared) - self._count(bare)
        except ApiError:
            return decide(plan, len(json.dumps(shared, ensure_ascii=False).encode()) // BYTES_PER_TOKEN, counted=False)
        return decide(plan, tokens, counted=True)

    def estimate(self, run: Run, job: Job, chunks: Sequence[Chunk], until: datetime) -> Estimate | None:
        """Estimate a planned run; None where its model has no price, or nothing is to be sent.

        Args:
            run: with its prices and caching pinned.
            job: the run's.
            chunks: the whole plan.
            until: no further request is counted after this.
        """
        chunks = [chunk for chunk in chunks if chunk.generation == 0]
        if run.prices is None or not chunks:
            return None
        billing = Billing.of(run, run.prices, job)
        return estimated(run, job, billing, chunks, list(self._sample(chunks, until)), self.clock())

    def _sample(self, chunks: Sequence[Chunk], until: datetime) -> Iterator[Counted]:
        """Yield the sample, as far as the API and the time allow."""
        for line in sampled_lines(self.outputs, chunks):
            if self.clock() >= until:
                return
            try:
                yield Counted(len(line), self._count(json.loads(params_of(line))))
            except ApiError:
                return

    def _count(self, params: dict[str, Any]) -> int:
        return self.api.count_tokens({name: value for name, value in params.items() if name in COUNTED})


@dataclass(frozen=True, slots=True)
class Length:
    """How long an answer is, in tokens: on average, and between what."""

    mean: float
    low: float
    high: float
    basis: str


def guess(job: Job) -> Length:
    """Guess the length of an answer that nobody has seen."""
    if job.output.labels is not None and job.thinking == "disabled":
        sizes = [len(json.dumps({"label": label})) / BYTES_PER_TOKEN for label in job.output.labels]
        return Length(min(fmean(sizes), job.max_tokens), 1, job.max_tokens, "labels")
    return Length(max(1, job.max_tokens / GUESSED), 1, job.max_tokens, "a guess")


def measured(lengths: Sequence[int], rest: int, max_tokens: int) -> Length | None:
    """Return the mean length of the answers of `rest` rows, from those of a pilot; None where those are too few.

    The interval is Student's for a mean, made wider for skewed lengths on the side of the tail (Johnson 1978).
    """
    count = len(lengths)
    if count < FEW:
        return None
    mean, spread = fmean(lengths), stdev(lengths)
    half = PILOT_SURE * spread * math.sqrt(1 / count + 1 / max(1, rest)) + SLACK * mean
    third = fmean((length - mean) ** 3 for length in lengths)
    tail = third / (6 * spread**2 * count) if spread else 0.0
    low, high = mean - half + min(0.0, tail), mean + half + max(0.0, tail)
    return Length(mean, max(1.0, low), min(float(max_tokens), high), "the pilot")


@dataclass(frozen=True, slots=True)
class Billing:
    """How a run's requests are billed."""

    prices: PriceSheet
    surcharge: bool
    """True where the job asks for inference in the US."""
    prefix: int
    """Tokens that requests share behind a cache breakpoint; 0: there is none."""
    long_ttl: bool
    """True where they are cached for an hour."""

    @classmethod
    def of(cls, run: Run, prices: PriceSheet, job: Job) -> "Billing":
        """Return the billing of a run."""
        ttl = run.caching.ttl if run.caching is not None else ""
        prefix = run.caching.prefix_tokens if run.caching is not None and ttl else 0
        return cls(prices, job.params.get("inference_geo") == "us", prefix, ttl == "1h")

    def prompt(self, tokens: int) -> int:
        """Return what a prompt costs in a batch, its prefix read from the cache, in picodollars."""
        read = min(self.prefix, tokens)
        return self._cost(Tokens(input=tokens - read, cache_read=read, tier="batch"))

    def prompt_at_once(self, tokens: int) -> int:
        """Return what a prompt costs at the synchronous price, in picodollars; caching there pays in the same way."""
        read = min(self.prefix, tokens)
        return self._cost(Tokens(input=tokens - read, cache_read=read))

    def write(self) -> int:
        """Return how much more a request costs that writes the prefix instead of reading it, in picodollars."""
        long, short = (self.prefix, 0) if self.long_ttl else (0, self.prefix)
        written = Tokens(cache_write_1h=long, cache_write_5m=short, tier="batch")
        return self._cost(written) - self._cost(Tokens(cache_read=self.prefix, tier="batch"))

    def answers(self, tokens: float, prompt: int, *, batch: bool) -> int:
        """Return what so many tokens of answers cost, to prompts of this size, in picodollars."""
        rates = self.prices.rates(prompt, batch=batch)
        cost = round(tokens) * rates.output
        return more(cost) if self.surcharge else cost

    def _cost(self, tokens: Tokens) -> int:
        return cost_of(replace(tokens, surcharge=self.surcharge), self.prices).total


def estimated(
    run: Run,
    job: Job,
    billing: Billing,
    chunks: Sequence[Chunk],
    counted: Sequence[Counted],
    at: datetime,
) -> Estimate:
    """Estimate a run from the requests that were counted."""
    rows, size = sum(chunk.rows for chunk in chunks), sum(chunk.size for chunk in chunks)
    sample = len(counted)
    counted = counted or [Counted(size // rows, size // rows // BYTES_PER_TOKEN)]
    read = [billing.prompt(each.tokens) / each.size for each in counted]
    writers = (run.pilot or rows) if billing.prefix else 0
    expected = size * fmean(read) + writers * billing.write()
    spread = _spread(read) * size if sample < rows else 0.0
    if not sample:
        spread = expected / GUESSED_BYTES
    misses = (rows - writers) * (1 - WORST_HITS) * billing.write()
    at_once = size * fmean(billing.prompt_at_once(each.tokens) / each.size for each in counted)
    prompts = Estimate(
        rows=rows,
        input_tokens=round(size * fmean(each.tokens / each.size for each in counted)),
        input_cost=round(expected),
        input_low=max(0, round(expected - spread)),
        input_high=round(expected + spread + misses),
        input_synchronous=round(at_once),
        sample=sample,
        at=at,
    )
    return with_answers(prompts, job, billing, guess(job))


def with_answers(
    prompts: Estimate, job: Job, billing: Billing, length: Length, *, known: int = 0, known_rows: int = 0
) -> Estimate:
    """Put the answers into an estimate of the prompts.

    Args:
        prompts: the estimate; its answers are replaced.
        job: the run's.
        billing: the run's.
        length: of the answers that are not known.
        known: tokens of those that are.
        known_rows: how many are.
    """
    prompt, rest = prompts.input_tokens // prompts.rows, prompts.rows - known_rows

    def price(each: float, *, batch: bool = True) -> int:
        return billing.answers(known + rest * each, prompt, batch=batch)

    return replace(
        prompts,
        output_tokens=round(known + rest * length.mean),
        expected=prompts.input_cost + price(length.mean),
        low=prompts.input_low + price(length.low),
        high=prompts.input_high + price(length.high),
        bound=prompts.input_high + price(job.max_tokens),
        synchronous=prompts.input_synchronous + price(length.mean, batch=False),
        basis=length.basis,
    )


def revised(run: Run, job: Job, lengths: Sequence[int]) -> Estimate | None:
    """Return a run's estimate with the answers' length as its pilot had it; None where there is none to revise."""
    if run.estimate is None or run.prices is None:
        return None
    length = measured(lengths, run.estimate.rows - len(lengths), job.max_tokens)
    if length is None:
        return run.estimate
    known = {"known": sum(lengths), "known_rows": len(lengths)}
    return with_answers(run.estimate, job, Billing.of(run, run.prices, job), length, **known)


def _spread(values: Sequence[float]) -> float:
    """Return how far the mean of a sample may be from the whole's."""
    return SURE * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def sampled_lines(outputs: Outputs, chunks: Sequence[Chunk]) -> Iterator[bytes]:
    """Yield the lines of a plan that are the sample: all of a small one, else those at equal distances."""
    if sum(chunk.rows for chunk in chunks) <= SAMPLE:
        for chunk in chunks:
            with outputs.open(run_files.plan(chunk.run_id, chunk.id, chunk.plan)) as plan:
                yield from plan
        return
    total = sum(chunk.size for chunk in chunks)
    places = [total * (2 * number + 1) // (2 * SAMPLE) for number in range(SAMPLE)]
    start = 0
    for chunk in chunks:
        for place in places:
            if start <= place < start + chunk.size:
                yield line_at(outputs, run_files.plan(chunk.run_id, chunk.id, chunk.plan), place - start)
        start += chunk.size


def line_at(outputs: Outputs, key: str, place: int) -> bytes:
    """Return the line of an object that holds the byte `place`."""
    window = WINDOW
    while True:
        begin = max(0, place - window)
        with outputs.open(key, begin) as stream:
            before = stream.read(place - begin)
            cut = before.rfind(b"\n")
            if cut >= 0 or begin == 0:
                return before[cut + 1 :] + stream.readline()
        window *= 4
