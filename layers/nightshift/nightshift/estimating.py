"""Estimating: what a run will cost, before it costs anything, and again when its pilot has answered.

Prompts are counted by the API, on a sample of the requests that will be sent (plan_sample.py): more of them, where
their tokens follow their bytes less closely. The length of the answers is known to nobody before the pilot: until then
the interval reaches from one token each to `max_tokens` each.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import fmean, stdev
from typing import Any

from nightshift.api_rules import BETA_PASSED
from nightshift.caching import HITS, WORST_HITS, Plan, decide, least_prefix, why_not_at_all
from nightshift.errors import ApiError
from nightshift.job import Job
from nightshift.model import Caching, Chunk, Estimate, Run
from nightshift.money import PriceSheet, more
from nightshift.plan_sample import BYTES_PER_TOKEN, FEW, SAMPLE, Counted, Sample, bytes_per_token, sampled_lines
from nightshift.ports import BatchApi, Clock, Outputs
from nightshift.requests import params_of, shared_messages, shared_params

CLOSE = 0.015
"""Of the prompts' cost: with a spread of no more, no further request is counted. An error of 3 % is twice as much."""
COUNTING = timedelta(minutes=2)
"""Requests are counted for so long at most: a hundred usually take some fifteen seconds."""
COUNTED = BETA_PASSED | {
    "cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools",
}  # fmt: skip
"""Params that `count_tokens` takes (API reference)."""
GUESSED = 4
"""Before the pilot, a text is taken to be this part of `max_tokens`."""
PILOT_SURE = 2.6
"""Standard errors on each side of the answers' length; more than Student's 2.1, because lengths are skewed and pilots
small. See `measured`."""
SLACK = 0.02
"""Of the answers' length, on each side, where all of the pilot are equally long."""


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
        last = {"role": "user", "content": "."}
        shared = shared_params(plan.job, "") | {"messages": [*shared_messages(plan.job), last]}
        bare = {"model": plan.job.model, "messages": [last]}
        betas = plan.job.beta_header
        try:
            tokens = self._count(shared, betas) - self._count(bare, betas)
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
        sample = self._sample(chunks, billing, until, job.beta_header)
        return estimated(run, job, billing, sample, self.clock())

    def _sample(self, chunks: Sequence[Chunk], billing: "Billing", until: datetime, betas: str) -> Sample:
        """Count requests until their cost is known well enough, as far as the API and the time allow."""
        counted: list[Counted] = []
        sample = Sample(sum(chunk.rows for chunk in chunks), sum(chunk.size for chunk in chunks), counted)
        until = min(until, self.clock() + COUNTING)
        for line in sampled_lines(self.outputs, chunks):
            if self.clock() >= until or (counted and len(counted) % SAMPLE == 0 and _close(sample, billing)):
                break
            params = json.loads(params_of(line))
            try:
                counted.append(Counted(len(line), self._count(params, betas)))
            except ApiError:
                return sample if counted else replace(sample, bytes_per_token=bytes_per_token(len(line), params))
        return sample

    def _count(self, params: dict[str, Any], betas: str) -> int:
        return self.api.count_tokens({name: value for name, value in params.items() if name in COUNTED}, betas)


def _close(sample: Sample, billing: "Billing") -> bool:
    cost, spread = sample.total(lambda each: billing.prompt(each.tokens, 0))
    return spread <= CLOSE * cost


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
        answers = [json.dumps({"label": label}, ensure_ascii=False) for label in job.output.labels]
        sizes = [len(answer.encode()) / BYTES_PER_TOKEN for answer in answers]
        return Length(min(fmean(sizes), job.max_tokens), 1, job.max_tokens, "labels")
    return Length(max(1, job.max_tokens / GUESSED), 1, job.max_tokens, "a guess")


def measured(lengths: Sequence[int], rest: int, max_tokens: int) -> Length | None:
    """Return the mean length of the answers of `rest` rows, from those of a pilot; None where those are too few.

    The interval is symmetrical, but for the skewness of the lengths: by half of it, the side of the tail is wider. With
    pilots of 20 it held the mean in 97 of 100 where lengths are lognormal with a sigma of 1, and in 98 or more where
    they are less skewed, uniform, or of two kinds (`tests/unit/test_estimates_hold.py`). A kind that is rarer than one
    in seven may not be in such a pilot at all: no interval that is made of it holds then.
    """
    count = len(lengths)
    if count < FEW:
        return None
    mean, spread = fmean(lengths), stdev(lengths)
    half = PILOT_SURE * spread * math.sqrt(1 / count + 1 / max(1, rest))
    skew = fmean((length - mean) ** 3 for length in lengths) / spread**3 if spread else 0.0
    low = mean - half * (1 + max(0.0, -skew) / 2) - SLACK * mean
    high = mean + half * (1 + max(0.0, skew) / 2) + SLACK * mean
    return Length(mean, max(0.0, low), max(mean, min(float(max_tokens), high)), "the pilot")


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

    def prompt(self, tokens: int, writing: float, *, batch: bool = True) -> int:
        """Return what a prompt costs on average, in picodollars.

        Args:
            tokens: of the prompt, cached or not.
            writing: the part of all requests that writes the prefix to the cache; the others read it.
            batch: False for the synchronous price.
        """
        rates, shared = self.prices.rates(tokens, batch=batch), min(self.prefix, tokens)
        write = rates.cache_write_1h if self.long_ttl else rates.cache_write_5m
        cached = round(shared * (writing * write + (1 - writing) * rates.cache_read))
        return self._charged((tokens - shared) * rates.input + cached)

    def answers(self, tokens: float, long: float, *, batch: bool) -> int:
        """Return what so many tokens of answers cost, in picodollars, where this part of the prompts is long."""
        rate, higher = (self.prices.rates(size, batch=batch).output for size in (0, self.prices.long_above + 1))
        return self._charged(round(tokens) * round(rate + long * (higher - rate)))

    def long(self, tokens: int) -> bool:
        """Tell whether a prompt is so long that its request pays the long rates."""
        return 0 < self.prices.long_above < tokens

    def _charged(self, amount: int) -> int:
        return more(amount) if self.surcharge else amount


def estimated(run: Run, job: Job, billing: Billing, sample: Sample, at: datetime) -> Estimate:
    """Estimate a run from the requests that were counted."""
    rows = sample.rows
    first = (run.pilot or rows) / rows
    writing, costly = (first + (1 - first) * (1 - hits) for hits in (HITS, WORST_HITS))

    def cost(writing: float, *, batch: bool = True) -> float:
        return sample.total(lambda each: billing.prompt(each.tokens, writing, batch=batch))[0]

    expected, spread = sample.total(lambda each: billing.prompt(each.tokens, writing))
    prompts = Estimate(
        rows=rows,
        input_tokens=round(sample.total(lambda each: each.tokens)[0]),
        input_cost=round(expected),
        input_low=max(0, round(cost(0) - spread)),
        input_high=round(cost(costly) + spread),
        input_synchronous=round(cost(writing, batch=False)),
        sample=len(sample.counted),
        at=at,
        long_rows=min(rows, max(0, round(sample.total(lambda each: billing.long(each.tokens))[0]))),
    )
    return with_answers(prompts, job, billing, guess(job))


def with_answers(
    prompts: Estimate, job: Job, billing: Billing, length: Length, *, known: int = 0, known_rows: int = 0
) -> Estimate:
    """Put the answers into an estimate of the prompts.

    Where the job has rows that were cut off asked once more, the bound has all of them cut off; the expectation none.

    Args:
        prompts: the estimate; its answers are replaced.
        job: the run's.
        billing: the run's.
        length: of the answers that are not known.
        known: tokens of those that are.
        known_rows: how many are.
    """
    long, rest = prompts.long_rows / prompts.rows, prompts.rows - known_rows

    def price(each: float, *, batch: bool = True) -> int:
        return billing.answers(known + rest * each, long, batch=batch)

    return replace(
        prompts,
        output_tokens=round(known + rest * length.mean),
        expected=prompts.input_cost + price(length.mean),
        low=prompts.input_low + price(length.low),
        high=prompts.input_high + price(length.high),
        bound=prompts.input_high + price(max(job.max_tokens, length.high)) + _once_more(prompts, job, billing),
        synchronous=prompts.input_synchronous + price(length.mean, batch=False),
        basis=length.basis,
    )


def _once_more(estimate: Estimate, job: Job, billing: Billing) -> int:
    """Return what all rows cost at most when `max_tokens` has cut them off and a larger one is used, in picodollars."""
    if job.raised_max_tokens is None:
        return 0
    long = estimate.long_rows / estimate.rows
    return estimate.input_high + billing.answers(estimate.rows * job.raised_max_tokens, long, batch=True)


def raised_share(run: Run, job: Job, estimate: Estimate) -> int:
    """Return what is reserved for a row that is asked with a larger `max_tokens`, in picodollars: all it may cost."""
    if run.prices is None:
        return 0
    return -(-_once_more(estimate, job, Billing.of(run, run.prices, job)) // estimate.rows)


def revised(run: Run, job: Job, lengths: Sequence[int]) -> Estimate | None:
    """Return a run's estimate with the answers' length as its pilot had it; None where there is none to revise."""
    if run.estimate is None or run.prices is None:
        return None
    length = measured(lengths, run.estimate.rows - len(lengths), job.max_tokens)
    if length is None:
        return run.estimate
    known = {"known": sum(lengths), "known_rows": len(lengths)}
    return with_answers(run.estimate, job, Billing.of(run, run.prices, job), length, **known)
