"""All answers of a run in one file, and where the newest one of a job is."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import merging
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.merging import Format, harmless, merge, point
from nightshift.model import RowClass, Run, RunId, Tally
from nightshift.report import Reporter
from tests.unit import made
from tests.unit.conftest import MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.night import JOB, Night, ids
from tests.unit.result_lines import succeeded

HOME = f"runs/{made.RUN}/"
LATEST = "latest/triage/run.json"
PARTS: dict[str, Any] = {
    f"{HOME}output/g0-000001-000000000000.jsonl": [{"id": "a", "class": "answered", "answer": "x", "cost_usd": 1e-05}],
    f"{HOME}output/g1-000001-000000000000.jsonl": [
        {"id": "b", "class": "answered", "answer": "=1+1", "carry": {"n": -1.50}},
        {"id": "+c", "class": "answered", "answer": 'say "hi",\nthere', "carry": {"n": None, "who": "@me"}},
    ],
}
SCHEMA = "schema: {type: object, properties: {score: {}, why: {}}}"


def outputs_of(output: str, parts: dict[str, Any] | None = None, *, more: str = "") -> MemoryOutputs:
    files = {
        key: b"".join(json.dumps(line).encode() + b"\n" for line in lines) for key, lines in (parts or PARTS).items()
    }
    return MemoryOutputs(files | {f"{HOME}job.yaml": f"job: triage\noutput: {{{output}}}\n{more}\n".encode()})


def table(outputs: MemoryOutputs) -> list[list[str]]:
    text = outputs.files[merge(outputs, made.run())].decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_the_parts_become_one_file_byte_for_byte() -> None:
    outputs = outputs_of("text: true")
    assert merge(outputs, made.run()) == f"{HOME}output.jsonl"
    assert outputs.files[f"{HOME}output.jsonl"] == b"".join(outputs.files[key] for key in PARTS)


def test_as_csv_each_row_has_its_answer_what_was_carried_and_its_cost() -> None:
    outputs = outputs_of("text: true, format: csv, carry: [n, who]")
    assert merge(outputs, made.run()) == f"{HOME}output.csv"
    assert table(outputs) == [
        ["id", "answer", "carry.n", "carry.who", "cost_usd"],
        ["a", "x", "", "", "1e-05"],
        ["b", "'=1+1", "-1.5", "", ""],
        ["'+c", 'say "hi",\nthere', "", "'@me", ""],
    ]


CALLED = f"params: {{tools: [{{type: mcp_toolset}}, {{name: x}}, {{name: note, input_{SCHEMA}}}]}}"


@pytest.mark.parametrize(("output", "more"), [(SCHEMA, ""), ("tool: note", CALLED)])
def test_as_csv_an_answer_that_is_an_object_has_a_column_for_each_property(output: str, more: str) -> None:
    answers = [{"score": 12345678901234567890.5, "why": "- no"}, {"score": [1, "=a"], "more": 1}]
    part = {f"{HOME}output/g0-000001-000000000000.jsonl": [{"id": str(n), "answer": a} for n, a in enumerate(answers)]}
    assert table(outputs_of(f"{output}, format: csv", part, more=more)) == [
        ["id", "answer.score", "answer.why", "cost_usd"],
        ["0", "1.2345678901234567e+19", "'- no", ""],
        ["1", '[1, "=a"]', "", ""],
    ]


def test_numbers_keep_every_digit() -> None:
    form = Format("csv", carry=["n"])
    line = b'{"id":"a","answer":"x","carry":{"n":1234567890.12345678901234567890}}\n'
    assert form.cells(line) == ["a", "x", "1234567890.12345678901234567890", ""]


def test_a_run_without_answers_has_a_file_without_rows() -> None:
    outputs = MemoryOutputs(outputs_of("text: true, format: csv", {"none": []}).files)
    assert table(outputs) == [["id", "answer", "cost_usd"]]


def test_long_parts_are_passed_on_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "BLOCK", 1)
    outputs = outputs_of("text: true")
    merge(outputs, made.run())
    assert outputs.files[f"{HOME}output.jsonl"] == b"".join(outputs.files[key] for key in PARTS)


def test_what_stands_is_not_written_again() -> None:
    outputs = outputs_of("text: true")
    outputs.files[f"{HOME}output.jsonl"] = b"of the first\n"
    merge(outputs, made.run())
    assert outputs.files[f"{HOME}output.jsonl"] == b"of the first\n"


# ---------------------------------------------------------------- formulas

FORMULAS = "=+-@\uff1d\uff0b\uff0d\uff20"
BLANKS = " \t\r\n\0\u00a0\u200b\ufeff"


@given(
    before=st.text(st.sampled_from(BLANKS), max_size=3),
    sign=st.sampled_from(FORMULAS),
    rest=st.text(max_size=5),
    column=st.sampled_from(["id", "answer", "who"]),
)
def test_no_cell_of_any_column_is_a_formula(before: str, sign: str, rest: str, column: str) -> None:
    told = f"{before}{sign}{rest}".encode(errors="replace").decode()
    values = {"id": "a", "answer": "b", "who": "c"} | {column: told}
    line = {"id": values["id"], "answer": values["answer"], "carry": {"who": values["who"]}}
    cells = Format("csv", carry=["who"]).cells(json.dumps(line).encode())
    assert cells == [f"'{told}" if name == column else value for name, value in values.items()] + [""]


@given(name=st.text(st.sampled_from(FORMULAS + "a"), min_size=1, max_size=3))
def test_no_column_is_named_like_a_formula(name: str) -> None:
    header = Format("csv", [name], [name]).header
    assert header == ["id", f"answer.{name}", f"carry.{name}", "cost_usd"]
    assert all(harmless(cell) == cell for cell in header)


@pytest.mark.parametrize("text", ["", "a=b", "1-2", "it's", "'=", "[=1]", "(-1)", "a\t="])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize("first", ["\t", "\r", "\0"])
def test_a_cell_that_starts_with_a_control_character_is_quoted(first: str) -> None:
    assert harmless(f"{first}a") == f"'{first}a"


# ---------------------------------------------------------------- the newest


def pointed(outputs: MemoryOutputs, *runs: Run) -> str:
    for run in runs:
        point(outputs, run, Tally(rows={RowClass.ANSWERED: 2, RowClass.INVALID: 1}), f"runs/{run.run_id}/output.jsonl")
    return str(json.loads(outputs.files[LATEST])["run_id"])


def test_the_pointer_says_which_run_is_the_newest_and_where_what_it_made_is() -> None:
    outputs = MemoryOutputs()
    pointed(outputs, replace(made.run(), rows=4))
    at = "s3://outputs/" + HOME
    assert json.loads(outputs.files[LATEST]) == {
        "job": "triage",
        "run_id": made.RUN,
        "created": "2026-11-22T02:00:00.000000+00:00",
        "output": f"{at}output.jsonl",
        "rows": 4,
        "answered": 2,
        "failed": f"{at}failed/",
        "rejects": f"{at}rejects/",
        "report": f"{at}report.json",
    }


def test_an_older_run_that_is_done_later_does_not_take_its_place() -> None:
    old = made.run()
    new = replace(old, run_id=RunId("triage-20261123-abcdefgh"), created=old.created + timedelta(days=1))
    assert pointed(MemoryOutputs(), old, new) == new.run_id
    assert pointed(MemoryOutputs(), new, old) == new.run_id


def test_of_two_that_point_at_once_the_newer_one_stands() -> None:
    old = made.run()
    new = replace(old, run_id=RunId("triage-20261123-abcdefgh"), created=old.created + timedelta(days=1))
    outputs, raced = MemoryOutputs(), MemoryOutputs()
    pointed(raced, new)
    replace_, tries = outputs.replace, iter([True])

    def overtaken(key: str, data: bytes, tag: str) -> bool:
        if next(tries, False):
            outputs.files[LATEST] = raced.files[LATEST]
        return replace_(key, data, tag)

    outputs.replace = overtaken  # type: ignore[method-assign]
    assert pointed(outputs, old) == new.run_id


# ---------------------------------------------------------------- with the report


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock, rows=1, job=JOB.replace(b"labels: [billing, technical]", b"text: true"))


def test_a_run_that_is_done_has_one_file_and_a_report_that_names_it(night: Night) -> None:
    night.begin(chunks=2)
    night.answer(1, succeeded(_name(1), "first"))
    night.answer(2, succeeded(_name(2), "second"))
    reporter = Reporter(night.ledger, night.outputs, night.clock)
    assert reporter.report(made.RUN).merged is None
    assert not {f"{HOME}output.jsonl", LATEST} & night.outputs.files.keys()
    night.collect()
    assert reporter.report(made.RUN).merged == f"s3://outputs/{HOME}output.jsonl"
    lines = [json.loads(line) for line in night.outputs.files[f"{HOME}output.jsonl"].splitlines()]
    assert [line["answer"] for line in lines] == ["first", "second"]
    assert json.loads(night.outputs.files[LATEST])["answered"] == 2
    assert b"all answers" in night.outputs.files[f"{HOME}report.html"]


def test_a_report_of_a_run_that_is_done_already_writes_neither_again(night: Night) -> None:
    night.begin()
    night.answer(1, succeeded(_name(1), "first"))
    night.collect()
    reporter = Reporter(night.ledger, night.outputs, night.clock)
    reporter.report(made.RUN)
    del night.outputs.files[LATEST]  # whoever reports now, such as verify, may neither read nor write there
    written: list[str] = []
    night.outputs.before_write = written.append
    assert reporter.report(made.RUN).merged == f"s3://outputs/{HOME}output.jsonl"
    assert written == [f"{HOME}report.json", f"{HOME}report.html"]


def _name(chunk: int) -> str:
    return ids(made.chunk(chunk).id, 1)[0]
