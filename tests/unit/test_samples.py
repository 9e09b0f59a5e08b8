"""The sample jobs and their inputs: what is in them is meant, the bad rows too."""

import re
from collections import Counter
from pathlib import Path

import pytest

from local.demo.__main__ import SAMPLES
from nightshift import caching, rows
from nightshift.job import parse_job
from nightshift.model import Reject
from nightshift.records import InputSpec
from nightshift.requests import Renderer
from tests.conftest import ROOT
from tests.unit.conftest import START

REJECTS = {
    "ticket-triage": {"BAD_JSON": 1, "EMPTY_BODY": 1},
    "eval-grading": {"BAD_JSON": 1, "EMPTY_BODY": 1, "MISSING_ID": 1},
    "product-descriptions": {"EMPTY_BODY": 1, "FIELD_COUNT": 1, "MISSING_ID": 1},
    "order-extraction": {"BAD_JSON": 1, "BAD_TYPE": 1, "EMPTY_BODY": 1},
}
"""Why rows of each sample are not read; those with an id that came before are found later."""


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_s_rows_are_requests_of_its_job_but_for_the_bad_ones_that_belong_in_it(name: str) -> None:
    job = parse_job((ROOT / f"jobs/{name}.yaml").read_bytes(), name=name, key=name, today=START.date())
    spec, renderer = InputSpec.of(job), Renderer(job)
    with (ROOT / SAMPLES[name]).open("rb") as stream:
        records = rows.check(stream, spec)
    with (ROOT / SAMPLES[name]).open("rb") as stream:
        read = [*rows.read(stream, spec, file=0, digest="d")]

    rejects = Counter(row.code for row in read if isinstance(row, Reject))
    asked = {renderer.params(row) for row in read if not isinstance(row, Reject)}
    assert dict(rejects) == REJECTS[name]
    assert 40 <= records == len(read)
    assert len(asked) >= 0.9 * records


def test_the_page_on_the_samples_counts_their_rows() -> None:
    page = (ROOT / "docs/samples.md").read_text(encoding="utf-8")
    told = re.findall(
        r"^\| `([\w-]+)` .*\| `(samples/\S+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE
    )

    assert {name for name, *_ in told} == set(SAMPLES)
    for name, file, *counts in told:
        job = parse_job((ROOT / f"jobs/{name}.yaml").read_bytes(), name=name, key=name, today=START.date())
        with (ROOT / file).open("rb") as stream:
            read = [*rows.read(stream, InputSpec.of(job), file=0, digest="d")]
        good = [row for row in read if not isinstance(row, Reject)]
        asked = {row.id: row.digest for row in reversed(good)}  # the first of an id counts
        again = Counter(row.digest == asked[row.id] for row in good)
        rejected = len(read) - len(good) + again[False]
        assert [*map(int, counts)] == [len(read), len(asked), rejected, again[True] - len(asked)], name


def test_every_job_that_needs_no_data_set_has_a_sample() -> None:
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.yaml")}

    assert jobs - {"banking-intents"} == set(SAMPLES)
    assert {path.name for path in (ROOT / "samples").iterdir()} == {Path(path).name for path in SAMPLES.values()}


def test_the_rubric_of_the_graders_is_long_enough_to_be_cached_with_room_to_spare() -> None:
    job = parse_job((ROOT / "jobs/eval-grading.yaml").read_bytes(), name="eval-grading", key="")
    characters_per_token = 5  # more than there are

    assert len(job.system) / characters_per_token > caching.least_prefix(job.model)
