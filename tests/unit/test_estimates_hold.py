"""Estimates hold: against what jobs of three shapes turn out to cost, with texts and answers nobody has seen before."""

import io
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, BinaryIO

import pytest

from nightshift import run_files
from nightshift.estimating import Estimator, measured, revised
from nightshift.job import Job
from nightshift.model import Caching, Estimate, Row, chunk_id
from nightshift.prices import price_sheet
from nightshift.requests import Renderer, request_line
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fakes import MemoryOutputs
from tests.unit.list_prices import LISTED
from tests.unit.made import RUN, chunk, run

# ---------------------------------------------------------------- how long answers are: unknown to the estimator

LENGTHS: Mapping[str, Callable[[random.Random], float]] = {
    "constant": lambda _: 1.0,
    "uniform": lambda rng: rng.uniform(0.05, 2),
    "lognormal, sigma 0.5": lambda rng: rng.lognormvariate(0, 0.5),
    "lognormal, sigma 1": lambda rng: rng.lognormvariate(0, 1),
    "one long in five": lambda rng: rng.uniform(3, 5) if rng.random() < 0.2 else rng.uniform(0.4, 0.6),
    "one short in five": lambda rng: rng.uniform(0.1, 0.3) if rng.random() < 0.2 else rng.uniform(1, 1.5),
    "half and half": lambda rng: rng.uniform(0.2, 0.3) if rng.random() < 0.5 else rng.uniform(1.5, 2),
}
"""In parts of a job's typical answer."""


def answers(shape: str, rng: random.Random, typical: int, longest: int, count: int) -> list[int]:
    draw = LENGTHS[shape]
    return [min(longest, max(1, round(typical * draw(rng)))) for _ in range(count)]


@pytest.mark.parametrize("shape", LENGTHS)
def test_the_mean_length_is_in_its_interval_in_95_of_100_pilots_of_20(shape: str) -> None:
    rng, pilots = random.Random(shape), 1000  # noqa: S311 - a seed, not a secret
    everything = answers(shape, rng, 200, 4096, 50_000)
    inside = 0
    for _ in range(pilots):
        found = measured(rng.choices(everything, k=20), 500, 4096)
        assert found is not None
        inside += found.low <= sum(rng.choices(everything, k=500)) / 500 <= found.high
    assert inside >= 0.95 * pilots


# ---------------------------------------------------------------- what rows say, and how many tokens that is

ENGLISH = re.findall(
    r"\S+",
    """the a to my in of is and for not it on with was this invoice account password error export report login
    reset refund charged twice subscription cancellation unfortunately configuration webhook integration timeout
    authentication dashboard please help urgently customer organization internationalization, thanks! why? (again)""",
)
GERMAN = re.findall(
    r"\S+",
    """der die Rechnung Kündigungsbestätigung über für Zahlungsdienstleister nicht Überweisung geändert, bitte
    möglichst schnell zurücküberweisen größere Störung""",
)
NUMBERS = re.findall(r"\S+", "4711 2026-11-02 INV-20393 https://example.com/a/b?c=d 0x7f3a 12:45:01 e4b1f7c9")
PIECES = re.compile(r"[^\W\d]+|\d{1,3}|[^\w\s]|_")


def text(rng: random.Random, words: float) -> str:
    """Write a text of about so many words, in English or German, more or less full of numbers."""
    vocabulary, numbers = (GERMAN if rng.random() < 0.1 else ENGLISH), rng.uniform(0, 0.15)
    count = max(1, round(words * rng.lognormvariate(0, 0.6)))
    common = rng.choices(vocabulary, k=count)
    return " ".join(rng.choice(NUMBERS) if rng.random() < numbers else word for word in common)


def pieces(rng: random.Random, content: str) -> int:
    """Count as a tokenizer does: words in pieces, digits and signs apart; and differently for each text."""
    count = sum(1 + (len(piece) - 1) // 6 + 2 * (not piece.isascii()) for piece in PIECES.findall(content))
    return max(1, round(count * rng.uniform(0.93, 1.07)))


def quarters(_: random.Random, content: str) -> int:
    """Count as the local API does: a token for every four characters begun."""
    return -(-len(content) // 4)


COUNTERS = {"pieces": pieces, "quarters": quarters}


@dataclass(frozen=True)
class Shape:
    """A kind of job."""

    job: Job
    words: float
    """Of a row's text."""
    shared: int
    """Tokens of what all rows share."""
    typical: int
    """Tokens of an answer."""
    cached: bool = False


def job(**changes: Any) -> Job:
    fields = {"job": "triage", "input": {"format": "jsonl"}, "prompt": "<ticket>{{ body }}</ticket>"}
    return Job.model_validate(fields | changes)


VERDICT = {
    "type": "object",
    "properties": {"grade": {"type": "integer"}, "because": {"type": "string"}},
    "required": ["grade", "because"],
    "additionalProperties": False,
}
SHAPES = {
    "short texts, labels": Shape(
        job(system="Sort it.", max_tokens=64, output={"labels": ["billing", "technical", "other"]}), 40, 60, 9
    ),
    "a long rubric, objects": Shape(
        job(model="claude-sonnet-5-5", system="A rule. " * 900, max_tokens=600, output={"schema": VERDICT}),
        words=90,
        shared=1900,
        typical=60,
        cached=True,
    ),
    "long documents, texts": Shape(
        job(model="claude-opus-5-5", system="Sum it up.", max_tokens=4096, output={"text": True}), 400, 8, 300
    ),
}


TEXTS, ROWS, PILOT = 2000, 1200, 20


@dataclass(frozen=True)
class Corpus:
    """Rows of a shape: their requests' contents, and their lines of a plan."""

    contents: Sequence[str]
    lines: Sequence[bytes]


@cache
def corpus(shape: str) -> Corpus:
    of, rng, contents, lines = SHAPES[shape], random.Random(shape), [], []  # noqa: S311 - a seed, not a secret
    renderer = Renderer(of.job, "1h" if of.cached else "")
    for number in range(TEXTS):
        params = renderer.params(Row("1", {"body": f"{number} {text(rng, of.words)}"}, 0, 1, 1, "0" * 16))
        contents.append(json.loads(params)["messages"][0]["content"])
        lines.append(request_line(f"abcdefgh-g0-000001-{number:06d}", params))
    return Corpus(contents, lines)


@cache
def tokens(shape: str, counter: str) -> Mapping[str, int]:
    """Return how many tokens each content of a shape is, with what all rows share."""
    rng = random.Random(counter)  # noqa: S311 - a seed, not a secret
    return {content: SHAPES[shape].shared + COUNTERS[counter](rng, content) for content in corpus(shape).contents}


@dataclass
class Counter(FakeApi):
    """Counts by a table."""

    table: Mapping[str, int] = field(default_factory=dict)

    def count_tokens(self, params: Mapping[str, Any], betas: str) -> int:  # noqa: ARG002 - none here
        return self.table[params["messages"][0]["content"]]


class Plan(MemoryOutputs):
    """A bucket that copies no more than is asked for."""

    @contextmanager
    def open(self, key: str, start: int = 0, size: int | None = None) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.files[key][start : None if size is None else start + size])


@dataclass(frozen=True)
class Played:
    """A run: what it was thought to cost, and did."""

    before: Estimate
    after: Estimate
    prompts: Decimal
    """What they cost, in picodollars."""
    total: Decimal

    @property
    def off(self) -> float:
        """How far the prompts' estimate was off, as a part of what they cost."""
        return abs(float(self.before.input_cost / self.prompts - 1))


def play(shape: str, counter: str, seed: int, *, hits: float = 0.95) -> Played:
    """Estimate a run of rows drawn by a seed, before its pilot and after, and work out what it costs.

    Such a part of the rows behind the pilot find in the cache what it wrote.
    """
    of, rng = SHAPES[shape], random.Random(seed)  # noqa: S311 - a seed, not a secret
    drawn = rng.sample(range(TEXTS), ROWS)
    lines = [corpus(shape).lines[number] for number in drawn]
    plan, clock = Plan(), MovableClock()
    parts = (lines[:PILOT], lines[PILOT:])
    for number, part in enumerate(parts, 1):
        plan.files[run_files.plan(RUN, chunk_id(0, number), 1)] = b"".join(part)
    chunks = [chunk(number, rows=len(part), size=sum(map(len, part))) for number, part in enumerate(parts, 1)]
    api = Counter(clock, table=tokens(shape, counter))
    caching = Caching(of.shared, 512, "1h" if of.cached else "")
    planned = run(prices=price_sheet(of.job.model, date(2026, 11, 25)), pilot=PILOT, caching=caching)
    before = Estimator(api, plan, clock).estimate(planned, of.job, chunks, START + timedelta(hours=1))
    lengths = answers([*LENGTHS][seed % len(LENGTHS)], rng, of.typical, of.job.max_tokens, ROWS)
    after = revised(replace(planned, estimate=before), of.job, lengths[:PILOT])
    assert before is not None
    assert after is not None
    asked = sum(api.table[corpus(shape).contents[number]] for number in drawn)
    return Played(before, after, *actual(of, asked, sum(lengths), round(hits * (ROWS - PILOT))))


def actual(of: Shape, asked: int, answered: int, hits: int) -> tuple[Decimal, Decimal]:
    """Return what a run's prompts, and all, cost by the list prices; rows that do not read a cached prefix write it."""
    price = {kind: each * 10**6 for kind, each in LISTED[of.job.model].per_mtok(0, batch=True).items()}
    shared = of.shared if of.cached else 0
    cached = shared * ((ROWS - hits) * price["cache_write_1h"] + hits * price["cache_read"])
    prompts = (asked - ROWS * shared) * price["input"] + cached
    return prompts, prompts + answered * price["output"]


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_are_estimated_to_3_percent_and_the_total_is_in_its_interval_in_95_of_100_runs(
    shape: str, counter: str
) -> None:
    runs = [play(shape, counter, seed) for seed in range(100)]

    assert max(each.off for each in runs) <= 0.03
    for estimates in ([each.before for each in runs], [each.after for each in runs]):
        inside = [e.low <= each.total <= e.high for e, each in zip(estimates, runs, strict=True)]
        assert sum(inside) >= 95
    assert {each.after.basis for each in runs} == {"the pilot"}


@pytest.mark.parametrize("hits", [0.3, 0.6, 0.98, 1])
def test_the_total_is_in_its_interval_with_any_rate_of_cache_hits_that_is_documented(hits: float) -> None:
    runs = [play("a long rubric, objects", "pieces", seed, hits=hits) for seed in range(20)]
    assert sum(each.after.low <= each.total <= each.after.high for each in runs) >= 19


def test_a_pilot_makes_the_interval_much_narrower() -> None:
    played = play("long documents, texts", "pieces", 1)
    assert played.after.high - played.after.low < (played.before.high - played.before.low) / 5
