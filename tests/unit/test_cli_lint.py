"""`nightshift lint`: what it says of a job and of its first rows, where, and with which status."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nightshift import clock
from nightshift.api_rules import RETIRED
from nightshift.job import parse_job
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from nightshift_cli.lint_warnings import SOON, Severity, warnings
from tests.unit.conftest import START

JOB = """\
job: triage
input: {format: jsonl, id: id}
model: claude-haiku-5-5
max_tokens: 64
prompt: "<ticket>{{ body }}</ticket>"
output: {labels: [billing, other], carry: [created_at]}
"""
ROWS = [{"id": str(n), "body": f"ticket {n}", "created_at": "today"} for n in range(5)]


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: START)


def lint(folder: Path, job: str, content: str | None = None, *more: str) -> tuple[int, list[str]]:
    """Return the status and the lines, files without their folder."""
    (file := folder / "triage.yaml").write_text(job)
    (rows := folder / "rows").write_text(content or "")
    command = ["lint", str(file), *([str(rows)] if content is not None else []), *more]
    said = CliRunner().invoke(app, command)
    return said.exit_code, said.stdout.replace(f"{folder}/", "").splitlines()


def lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_good_job_and_a_good_file_have_nothing_to_mend(tmp_path: Path) -> None:
    assert lint(tmp_path, JOB, lines(ROWS)) == (Exit.DONE, [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("temperature: 0.2", "7: error: temperature: the API refuses it since version 2026-10-21, at any value"),
        ("params: {stream: true}", "7: error: params.stream: a batch cannot stream"),
        ("params: {speed: fast}", "7: error: params.speed: fast mode is not available in a batch"),
        ("model: claude-opus-5-5", "error: thinking: `claude-opus-5-5` always thinks: write `thinking: adaptive`"),
        ("model: claude-3-opus-20240229", "error: model: `claude-3-opus-20240229` stops answering on 2026-01-05"),
        ("output: {schema: {type: object}}", "error: output.schema: structured outputs want `additionalProperties"),
        ('prompt: "{{ body"', "error: prompt: line 1 of the template"),
    ],
)
def test_what_is_refused_of_a_job_is_an_error_in_its_line(tmp_path: Path, line: str, said: str) -> None:
    name = line.split(":", 1)[0]
    kept = "".join(each for each in JOB.splitlines(keepends=True) if not each.startswith(f"{name}:"))

    status, (first, *_) = lint(tmp_path, f"{kept}{line}\n")

    assert status == Exit.FOUND
    assert first.startswith("triage.yaml:")
    assert said in first


# ---------------------------------------------------------------- of the job alone


def warned(more: str = "", today: date | None = None) -> list[tuple[str, Severity, str]]:
    """Return what is said of the job with these lines in place of its own."""
    names = {line.split(":")[0] for line in more.splitlines()}
    kept = [line for line in JOB.splitlines() if line.split(":")[0] not in names]
    job = parse_job("\n".join([*kept, more]).encode(), name="triage", key="", today=None)
    return [
        (".".join(map(str, path)), severity, reason) for path, severity, reason in warnings(job, today or START.date())
    ]


def test_a_model_is_told_of_some_time_before_it_retires() -> None:
    (name, day) = "claude-sonnet-4-5", RETIRED["claude-sonnet-4-5"]
    job = f"model: {name}\nlimits: {{unpriced: send}}"

    assert warned(job, day - timedelta(days=SOON + 1)) == []
    assert warned(job, day - timedelta(days=SOON)) == [
        ("model", Severity.WARNING, f"`{name}` stops answering on {day}, in {SOON} days")
    ]


CALLED = (
    "output: {tool: note}\n"
    "params: {tools: [{name: note, strict: true, input_schema: {type: object, additionalProperties: false}}]}"
)


SCORED = (
    "output: {schema: {type: object, additionalProperties: false, required: [score, good], "
    "properties: {score: {type: integer}, good: {type: boolean}, kind: {enum: [short, longer]}, by: {const: me}}}}"
)


@pytest.mark.parametrize(
    "more",
    [
        "max_tokens: 256",
        f"{SCORED}\nmax_tokens: 256",
        f"{SCORED}\nmax_tokens: 9000\nthinking: adaptive",
        f"{SCORED.replace('{const: me}', '{type: string}')}\nmax_tokens: 9000",
        f"{SCORED.replace('{const: me}', '{type: array, items: {type: boolean}}')}\nmax_tokens: 9000",
        "output: {text: true}\nmax_tokens: 9000",
        "attachments: [{type: image, base64: photo}]\nprompt: What is it?",
    ],
)
def test_room_for_an_answer_whose_end_nobody_knows_is_no_waste(more: str) -> None:
    assert warned(more) == []


@pytest.mark.parametrize(
    ("more", "path", "severity", "reason"),
    [
        ("thinking: adaptive", "max_tokens", Severity.WARNING, "thoughts count, and 64 tokens may be all thoughts"),
        ("max_tokens: 5", "max_tokens", Severity.WARNING, "too small for the label `billing`"),
        ("system: Short.", "system", Severity.NOTE, "nothing is cached: rows share about "),
        ("system: Short.\ncache: {when: always}", "system", Severity.WARNING, "nothing is cached: rows share about "),
        (f"system: {'rule ' * 900}\npilot: none", "pilot", Severity.WARNING, "without one nothing fills the cache"),
        (f'system: "{"rule " * 900}{{{{ body }}}}"', "system", Severity.WARNING, "`{{ … }}` is sent as it stands"),
        (
            "max_tokens: 257",
            "max_tokens",
            Severity.NOTE,
            "far above the longest answer, about 11 tokens: what a run may cost at most goes by it",
        ),
        (
            f"{SCORED}\nmax_tokens: 400",
            "max_tokens",
            Severity.NOTE,
            "far above the longest answer, about 40 tokens: before a pilot has answered, what is estimated",
        ),
        (
            "attachments: [{type: image, base64: a}]\nprompt: What is it?\ninput: {format: jsonl, optional: [a]}",
            "attachments",
            Severity.WARNING,
            "a row without any of them asks what all such rows ask",
        ),
        (
            "examples: [{row: {body: x}, answer: Other}]\ncache: {when: never}",
            "examples",
            Severity.NOTE,
            "none is of `billing`: what is never shown tends to be answered less",
        ),
        (
            "examples: [{row: {body: x}, answer: Other}, {row: {body: x}, answer: billing}]",
            "examples",
            Severity.NOTE,
            "nothing is cached: rows share about ",
        ),
        ("limits: {max_usd: null}", "limits.max_usd", Severity.WARNING, "a run may cost whatever it costs"),
        ("model: claude-unheard-of-9", "model", Severity.ERROR, "does not know claude-unheard-of-9: choose another"),
        (
            f"{CALLED}\nmodel: claude-sonnet-5-5",
            "output.tool",
            Severity.WARNING,
            "on `claude-sonnet-5-5`: an answer may be a text, and the row then ends as `invalid`: `no_tool_call`",
        ),
        (
            f"{CALLED}\nthinking: adaptive\nmax_tokens: 1024",
            "output.tool",
            Severity.WARNING,
            "its call cannot be forced on a model that thinks (with `thinking: disabled` it can be)",
        ),
        (
            CALLED.replace("[", "[{type: web_search_20260209, name: web}, "),
            "output.tool",
            Severity.WARNING,
            "its call cannot be forced beside other tools",
        ),
        (
            CALLED.replace("true", "false", 1),
            "params.tools.0",
            Severity.NOTE,
            "without `strict: true` the API does not hold a call to its schema",
        ),
    ],
)
def test_what_a_job_would_waste_is_said(more: str, path: str, severity: Severity, reason: str) -> None:
    (said,) = warned(more)

    assert said[:2] == (path, severity)
    assert reason in said[2]


@pytest.mark.parametrize(
    "more",
    [
        "",
        "thinking: adaptive\nmax_tokens: 1024",
        "model: claude-opus-5-5\nthinking: adaptive\nmax_tokens: 1024",
        f"system: {'rule ' * 900}",
        "system: Short.\ncache: {when: never}",
        "model: claude-unheard-of-9\nlimits: {unpriced: send}",
        CALLED,
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(more: str) -> None:
    assert warned(more) == []


# ---------------------------------------------------------------- of the job and its rows


def test_rows_that_would_be_rejected_are_counted_by_their_reasons(tmp_path: Path) -> None:
    bad = '{"id": "a"\n{"id": "bb"\n{"id": "9"}\n{"id": "1", "body": "other"}\n{"id": "2", "body": "ticket 2"}\n'
    job = JOB + "limits: {max_reject_ratio: 0.5}\n"

    status, said = lint(tmp_path, job, lines(ROWS) + bad, "--json")

    found = json.loads("\n".join(said))
    assert status == Exit.DONE
    assert found["input"] == {
        "rows": 10,
        "rejected": {"BAD_JSON": 2, "EMPTY_BODY": 1, "ID_CONFLICT": 1, "DUPLICATE_ROW": 1},
    }
    assert [(each["file"], each["line"], each["severity"]) for each in found["problems"]] == [
        ("rows", line, "warning") for line in (6, 8, 9, 10)
    ]
    assert found["problems"][0]["reason"].endswith("(2 of 10 rows)")
    assert lint(tmp_path, job, lines(ROWS) + bad, "--strict")[0] == Exit.FOUND
    assert lint(tmp_path, job, lines(ROWS) + bad, "--rows", "5", "--strict") == (Exit.DONE, [])


def test_too_many_rejects_are_an_error_for_they_would_hold_the_run(tmp_path: Path) -> None:
    status, said = lint(tmp_path, JOB, lines(ROWS[:3]) + "no json\n")

    assert status == Exit.FOUND
    assert said[0].endswith("the run would be held: 1 of 4 rows are rejected (TOO_MANY_REJECTS)")


def test_a_column_that_no_row_has_is_told_in_the_job_s_line(tmp_path: Path) -> None:
    status, said = lint(tmp_path, JOB.replace("body", "text9"), lines(ROWS))
    _, carried = lint(tmp_path, JOB.replace("created_at", "day"), lines(ROWS))

    assert status == Exit.FOUND
    assert said[0] == "triage.yaml:5: error: prompt: the file has no column `text9`, or nothing in it"
    assert carried == ["triage.yaml:6: warning: output.carry.0: the file has no column `day`"]


def test_a_file_that_is_refused_whole_is_one_error(tmp_path: Path) -> None:
    status, said = lint(tmp_path, JOB.replace("jsonl", "csv"), "id,text\n1,a\n")

    assert (status, said) == (
        Exit.FOUND,
        ["rows:1: error: BAD_HEADER: the header does not name body, created_at"],
    )
