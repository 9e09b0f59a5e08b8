"""A pilot's verdict: which rows speak against the prompt, how many may, and what is said without a word of theirs."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import Conflict
from nightshift.job import Job
from nightshift.model import Archive
from nightshift.pilot import Verdict, judge
from tests.unit.fakes import MemoryOutputs
from tests.unit.made import RUN, chunk, run
from tests.unit.result_lines import USAGE, canceled, errored, expired, labelled, line, succeeded

SECRET = "my card is 4111-1111"
"""What a customer wrote, and the model repeats."""


def job(**changes: Any) -> Job:
    fields = {
        "job": "triage",
        "input": {"format": "jsonl"},
        "max_tokens": 64,
        "prompt": "{{ body }}",
        "output": {"labels": ["billing", "other"]},
    }
    return Job.model_validate(fields | changes)


def verdict_on(*lines: bytes, made: Job | None = None) -> Verdict:
    outputs = MemoryOutputs({"raw": b"".join(lines)})
    return judge(outputs, made or job(), chunk(archive=Archive("raw", 1, len(lines), "00")))


def verdict(bad: int, judged: int) -> Verdict:
    return Verdict(judged, {"not_a_label": bad} if bad else {}, ())


def test_rows_that_were_cut_off_speak_against_the_job_also_where_they_are_asked_once_more() -> None:
    asked_again = job(retry={"cut_off": 2.0})
    found = verdict_on(succeeded("a", stop_reason="max_tokens"), labelled("b"), made=asked_again)
    assert (found.judged, found.reasons) == (2, {"stopped: max_tokens": 1})
    assert f"The rows are in runs/{RUN}/failed/, those that were cut off in retry/; nothing" in found.bad(
        run(), asked_again
    )


NO_TOKENS = "invalid_request_error: max_tokens: Field required"


@pytest.mark.parametrize(
    ("result", "judged", "reasons"),
    [
        (labelled("a"), 1, {}),
        (succeeded("a", json.dumps({"label": SECRET})), 1, {"not_a_label": 1}),
        (succeeded("a", SECRET), 1, {"not_json": 1}),
        (succeeded("a", " \n"), 1, {"empty": 1}),
        (succeeded("a", SECRET, stop_reason="refusal", stop_details={"category": "cyber"}), 1, {"cyber": 1}),
        (succeeded("a", SECRET, stop_reason="refusal"), 1, {"refusal": 1}),
        (succeeded("a", SECRET, stop_reason="max_tokens"), 1, {"stopped: max_tokens": 1}),
        (errored("a", "invalid_request_error", "max_tokens: Field required"), 1, {NO_TOKENS: 1}),
        (errored("a", "invalid_request_error", SECRET), 1, {"invalid_request_error": 1}),
        (errored("a", "not_found_error", "model: x"), 1, {"not_found_error: model: x": 1}),
        (line("a", {"type": "from-the-future"}), 1, {"unknown_type: from-the-future": 1}),
        (errored("a", "overloaded_error"), 0, {}),
        (errored("a", "rate_limit_error"), 0, {}),
        (errored("a", "api_error"), 0, {}),
        (errored("a", "timeout_error"), 0, {}),
        (expired("a"), 0, {}),
        (canceled("a"), 0, {}),
    ],
)
def test_rows_are_judged_by_what_the_model_or_the_api_s_rules_made_of_them(
    result: bytes, judged: int, reasons: dict[str, int]
) -> None:
    found = verdict_on(result)
    assert (found.judged, found.reasons) == (judged, reasons)


def test_a_pilot_s_reasons_are_counted() -> None:
    found = verdict_on(labelled("a"), succeeded("b", "x"), succeeded("c", "y"), succeeded("d", ""), expired("e"))
    assert (found.judged, found.reasons) == (4, {"not_json": 2, "empty": 1})


def test_lengths_are_those_of_every_answer_that_was_billed_thinking_included() -> None:
    thought = USAGE | {"output_tokens": 900, "output_tokens_details": {"thinking_tokens": 850}}
    found = verdict_on(
        labelled("a"),
        succeeded("b", "{}", usage=thought),
        succeeded("c", "", stop_reason="max_tokens", usage=USAGE | {"output_tokens": 64}),
        succeeded("d", "", stop_reason="refusal", usage={}),
        errored("e"),
        errored("f", "invalid_request_error"),
        expired("g"),
    )
    assert found.lengths == (5, 900, 64)


def test_a_text_job_has_no_wrong_labels() -> None:
    found = verdict_on(succeeded("a", "anything"), made=job(output={"text": True}))
    assert found == Verdict(1, {}, (5,))


def test_a_pilot_without_an_archive_cannot_be_judged() -> None:
    with pytest.raises(Conflict, match="chunk g0-000001 has no archive"):
        judge(MemoryOutputs(), job(), chunk())


@pytest.mark.parametrize(
    ("max_bad", "bad", "judged", "held"),
    [
        (0.2, 4, 20, False),
        (0.2, 5, 20, True),
        (0.29, 29, 100, False),  # a product of floats would be 28.999…
        (0.29, 30, 100, True),
        (0, 0, 20, False),
        (0, 1, 20, True),
        (1, 20, 20, False),
        (0.2, 0, 0, False),
        (0, 0, 0, False),
    ],
)
def test_a_pilot_passes_with_exactly_as_many_bad_answers_as_it_may_have(
    max_bad: float, bad: int, judged: int, *, held: bool
) -> None:
    found = verdict(bad, judged).bad(run(), job(pilot={"max_bad": max_bad}))
    assert (found != "") is held


@given(judged=st.integers(1, 1000), bad=st.integers(0, 1000), percent=st.integers(0, 100))
def test_no_ratio_is_missed_by_its_last_bit(judged: int, bad: int, percent: int) -> None:
    said = verdict(min(bad, judged), judged).bad(run(), job(pilot={"max_bad": float(f"{percent / 100:.2f}")}))
    assert (said != "") is (Fraction(min(bad, judged), judged) > Fraction(percent, 100))


def test_a_job_without_a_pilot_of_its_own_holds_no_run() -> None:
    assert verdict(20, 20).bad(run(), job(pilot="none")) == ""


def test_a_bad_pilot_is_told_with_its_five_most_frequent_reasons_where_its_rows_are_and_what_to_do() -> None:
    reasons = {"empty": 2, "not_json": 9, "refusal": 1, "stopped: max_tokens": 4, "cyber": 3, "not_a_label": 8}

    said = Verdict(40, reasons, ()).bad(run(), job(pilot={"max_bad": 0.25}))

    assert said == (
        "27 of the 40 pilot rows got no usable answer, and pilot.max_bad of jobs/triage.yaml is 0.25: 9 x not_json, "
        "8 x not_a_label, 4 x stopped: max_tokens, 3 x cyber, 2 x empty. The rows are in "
        f"runs/{RUN}/failed/; nothing more is sent. Mend the job, put it, and submit the input again; or send the "
        f"rest with `nightshift resume {RUN} --approve`"
    )


def test_nothing_that_a_row_or_the_model_says_is_in_the_text() -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"type": "string", "enum": ["a"]}},
        "required": ["kind"],
        "additionalProperties": False,
    }
    texts = [SECRET, json.dumps({"kind": SECRET}), json.dumps({SECRET: 1}), json.dumps({"kind": "a", SECRET: 1})]
    lines = [succeeded(f"a{n}", text) for n, text in enumerate(texts)]
    lines += [succeeded(f"b{n}", SECRET, stop_reason=reason) for n, reason in enumerate(["refusal", "max_tokens"])]
    refused = {"type": "refusal", "category": None, "explanation": SECRET}
    lines.append(succeeded("c", SECRET, stop_reason="refusal", stop_details=refused))

    for made in (job(), job(output={"schema": schema})):
        found = verdict_on(*lines, made=made)
        assert found.judged == sum(found.reasons.values()) == len(lines)
        assert SECRET not in found.bad(run(), made) + " ".join(found.reasons)
