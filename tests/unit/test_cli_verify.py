"""`nightshift verify` says what it costs before it does anything, and then leaves it to the function."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import Archive, BatchId, ChunkState, RowClass, Tally, Verifying
from nightshift.prices import price_sheet
from nightshift.requests import request_line
from nightshift.verification import mark
from nightshift_cli import consent
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, run
from tests.unit.night import ids, planned_line
from tests.unit.result_lines import labelled

PRICES = price_sheet("claude-haiku-5-5", date(2026, 11, 22))
PARAMS = b'{"model":"claude-haiku-5-5","max_tokens":64,"messages":[]}'
ROWS = 3
BOUND = 35_600_000
"""Picodollars of a row, at most (test_verifying.py has the sum)."""


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def finished(nightshift: CliStack, **changes: Any) -> None:
    """Put a run whose rows are all answered, and end it."""
    first = chunk(rows=ROWS)
    names, raw = ids(first.id, ROWS), run_files.raw(RUN, first.id, BatchId("msgbatch_1"))
    put(nightshift, run_files.job(RUN, 1), JOB)
    put(nightshift, run_files.plan(RUN, first.id, 1), b"".join(request_line(name, PARAMS) for name in names))
    rows = b"".join(planned_line(name, number) for number, name in enumerate(names, start=1))
    put(nightshift, run_files.ids(RUN, first.id, 1), rows)
    put(nightshift, raw, results := b"".join(map(labelled, names)))
    made = run(**{"prices": PRICES} | changes)
    nightshift.ledger.create_run(made)
    archive = Archive(raw, len(results), ROWS, "00")
    collected = replace(first, state=ChunkState.COLLECTED, archive=archive, tally=Tally({RowClass.ANSWERED: ROWS}))
    nightshift.ledger.plan_chunk(collected)
    nightshift.ledger.finish_plan(replace(made, rows=ROWS, plan_digest="d"))
    nightshift.ledger.reported(RUN, "seen", done=True)


def put(nightshift: CliStack, key: str, data: bytes) -> None:
    nightshift.client("s3").put_object(Bucket=nightshift.outputs, Key=key, Body=data)


def test_without_yes_where_nobody_is_asked_it_only_says_what_it_costs(nightshift: CliStack) -> None:
    finished(nightshift)
    told = ["3 rows cost $0.00011 at most, at the synchronous price"]
    assert nightshift("verify", RUN, "--dry-run") == Said(Exit.DONE, told, ["nothing is done: this was a dry run"])
    assert nightshift("verify", RUN) == Said(Exit.USAGE, told, [consent.UNASKED])
    assert nightshift.plane.invoked == []


def test_with_yes_the_function_is_told_what_the_person_wants_and_the_place_of_the_comparison_is_printed(
    nightshift: CliStack,
) -> None:
    finished(nightshift)

    said = nightshift("verify", RUN, "--sample", "2", "--max-usd", "0.00004", "--yes")

    assert said == Said(
        Exit.DONE,
        [f"s3://{nightshift.outputs}/runs/{RUN}/verification.json"],
        [
            "2 rows cost $0.000071 at most, at the synchronous price",
            "it ends before it costs more than $0.000040",
            "it is being asked; in a few minutes the comparison is there, and in the report",
        ],
    )
    event = {"v": 1, "run_id": RUN, "sample": 2, "max_usd": 0.00004}
    assert nightshift.plane.invoked == [("Event", event)]
    nightshift("verify", RUN, "--yes")
    assert nightshift.plane.invoked[1:] == [("Event", {"v": 1, "run_id": RUN})]


def test_rows_that_were_asked_before_are_named_and_cost_nothing_more(nightshift: CliStack) -> None:
    finished(nightshift)
    for name in ids(chunk().id, 3)[:2]:
        put(nightshift, run_files.asked(RUN, name), mark(BOUND))
    assert nightshift("verify", RUN, "--dry-run").out == [
        "1 rows cost $0.000036 at most, at the synchronous price",
        "2 more of the sample were asked before, for $0.000071, and are not asked again",
    ]


def test_as_json_it_has_what_it_costs_and_where_the_comparison_will_be(nightshift: CliStack) -> None:
    finished(nightshift)
    uri = f"s3://{nightshift.outputs}/runs/{RUN}/verification.json"
    record = {
        "run_id": RUN, "done": False, "rows": 3, "bound_usd": 0.0001068, "max_usd": 0.0001068, "asked_before": 0,
        "spent_usd": 0.0, "verification": uri,
    }  # fmt: skip

    dry, done = (
        json.loads("\n".join(nightshift("verify", RUN, word, "--json").out)) for word in ("--dry-run", "--yes")
    )

    assert [dry, done] == [record, record | {"done": True}]
    assert nightshift.plane.invoked == [("Event", {"v": 1, "run_id": RUN})]


def test_show_names_the_comparison_and_what_makes_one_where_the_loop_ended_without(nightshift: CliStack) -> None:
    finished(nightshift, verify=20)
    loop = nightshift.start_loop(RUN)
    assert not [line for line in nightshift("show", RUN).out if "nightshift verify" in line]

    nightshift.client("stepfunctions").stop_execution(executionArn=loop)
    assert [line.strip() for line in nightshift("show", RUN).out if "→" in line] == [f"→ nightshift verify {RUN} --yes"]

    nightshift.ledger.start_verify(nightshift.ledger.run(RUN), Verifying("me", START, "2026-11", 0), None)
    nightshift.ledger.end_verify(nightshift.ledger.run(RUN), 0, done=True)
    shown = nightshift("show", RUN).out
    assert [line for line in shown if "→" in line] == []
    assert [line.strip() for line in shown if "report.json" in line] == [
        "output/ failed/ rejects/ raw/ report.json verification.json"
    ]


def test_what_cannot_be_verified_is_refused_with_the_reason(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    assert nightshift("verify", RUN) == Said(
        Exit.FAILED, [], [f"run {RUN} is not done; only a finished run has all its answers"]
    )


def test_a_run_without_a_price_is_not_verified_however_often_one_says_yes(nightshift: CliStack) -> None:
    finished(nightshift, prices=None)
    said = nightshift("verify", RUN, "--yes")
    why = "claude-haiku-5-5 has no known price, so nobody can say what a sample would cost"
    assert said == Said(Exit.FAILED, [], [f"run {RUN} cannot be verified: {why}"])
    assert nightshift.plane.invoked == []
