"""What became of a row, by class, reason, file and whether it is asked again: the table of docs/job-reference.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightshift.applying import NOT_THERE
from nightshift.model import Outcome, RowClass
from nightshift.outcomes import outcomes, reader_of
from tests.unit import made
from tests.unit.night import parsed
from tests.unit.result_lines import canceled, errored, expired, labelled, line, succeeded

PAGE = (Path(__file__).parents[2] / "docs" / "job-reference.md").read_text()
SCHEMA = "{type: object, properties: {score: {type: integer}, a: {$ref: '#'}}, additionalProperties: false}"
LABELS, TEXT = "{labels: [billing, other]}", "{text: true}"
OBJECT, TOOL = f"{{schema: {SCHEMA}}}", "{tool: note}"
CALL = {"type": "tool_use", "id": "toolu_01", "name": "note", "input": {"score": 1}}
DEEP = '{"a":' * 5000 + "{}" + "}" * 5000


def stopped(reason: str, **more: Any) -> bytes:
    return succeeded("a", "x", stop_reason=reason, **more)


ROWS: dict[str, tuple[str, bytes]] = {
    "an answer that is what `output` says": (LABELS, labelled("a")),
    "a refusal that has a category": (LABELS, stopped("refusal", stop_details={"category": "cyber"})),
    "a refusal": (LABELS, stopped("refusal")),
    "an answer that was cut off by `max_tokens`": (LABELS, stopped("max_tokens")),
    "an answer that was cut off by the context window": (LABELS, stopped("model_context_window_exceeded")),
    "the call of a tool, without `output.tool`": (TEXT, stopped("tool_use", content=[CALL])),
    "a pause of a tool that the API runs": (TEXT, stopped("pause_turn")),
    "a text, with `output.tool`": (TOOL, succeeded("a", '{"score": 1}')),
    "several calls of the tool of `output.tool`": (TOOL, stopped("tool_use", content=[CALL, CALL])),
    "an answer without text": (TEXT, succeeded("a", " ")),
    "a label that is none of the job's": (LABELS, labelled("a", "mine")),
    "no JSON, with `labels` or a schema": (LABELS, succeeded("a", "billing")),
    "JSON that breaks the schema, with where and which rule": (OBJECT, succeeded("a", '{"score": "1"}')),
    "JSON that is nested too deeply": (OBJECT, succeeded("a", DEEP)),
    "a succeeded result that cannot be read": (TEXT, line("a", {"type": "succeeded", "message": 1})),
    "an error that may pass: `api_error`, `overloaded_error`, `rate_limit_error`, `timeout_error`": (
        TEXT,
        errored("a", "overloaded_error", "Overloaded"),
    ),
    "any other error": (TEXT, errored("a", "not_found_error", "model: x")),
    "a result of a type that is not known": (TEXT, line("a", {"type": "postponed"})),
    "nothing, for the batch has expired": (TEXT, expired("a")),
    "nothing, for the batch was canceled": (TEXT, canceled("a")),
}
MISSING = "nothing: the row is not in the results"


def told() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the page's table."""
    section = PAGE.split("## Rows without an answer\n", 1)[1].split("\n## ", 1)[0]
    for row in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
        yield tuple(row.split(" | "))


def became(output: str, result: bytes) -> Outcome:
    job = JOB.replace("OUTPUT", output).encode()
    (found,) = outcomes(result, reader_of(parsed(job), made.chunk()))
    return found


JOB = f"""\
job: triage
input: {{format: jsonl, id: id}}
max_tokens: 64
prompt: "{{{{ body }}}}"
params: {{tools: [{{name: note, input_schema: {SCHEMA}}}]}}
output: OUTPUT
retry: {{cut_off: 2}}
"""


@pytest.mark.parametrize("what", ROWS)
def test_a_row_becomes_what_the_page_says(what: str) -> None:
    found = became(*ROWS[what])
    again = "no" if not found.retryable else "as it was"
    if found.row_class is RowClass.INVALID and found.retryable:
        again = "once, with `retry.cut_off`"
    file = "`output/`" if found.row_class is RowClass.ANSWERED else "`failed/`"
    (page,) = (row for row in told() if row[0] == what)
    assert page == (what, f"`{found.row_class}`", f"`{found.reason}`" if found.reason else "–", file, again)


def test_the_page_has_every_class_and_no_row_that_is_not_tried() -> None:
    page = list(told())
    assert [row[0] for row in page] == [*ROWS, MISSING]
    assert page[-1][1:] == (f"`{RowClass.MISSING}`", f"`{NOT_THERE}`", "`failed/`", "no")
    sent = {RowClass.ANSWERED, RowClass.REFUSED, RowClass.INVALID, RowClass.ERRORED, RowClass.EXPIRED}
    assert {row[1].strip("`") for row in page} == sent | {RowClass.CANCELED, RowClass.MISSING}
