"""`nightshift replay`: answers from the archive into a ticket table that has lost them, or some."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import Archive, BatchId, ChunkState, RowClass, Tally
from nightshift_cli import consent
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.made import RUN, chunk, run
from tests.unit.night import JOB as TABLE_JOB
from tests.unit.night import ids, planned_line
from tests.unit.result_lines import labelled

ROWS = 3
NEWER = "2027-01-01"


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    """A stack with a run whose rows are all answered, and an empty ticket table."""
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        table = f"tickets-{stack.name}"
        stack.client("dynamodb").create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "ticket_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "ticket_id", "KeyType": "HASH"}],
        )
        plane.stacks[stack.name] = {**plane.stacks[stack.name], "TicketTableName": table}
        first = chunk(rows=ROWS)
        names, raw = ids(first.id, ROWS), run_files.raw(RUN, first.id, BatchId("msgbatch_1"))
        put(stack, run_files.job(RUN, 1), TABLE_JOB)
        rows = b"".join(planned_line(name, number) for number, name in enumerate(names, start=1))
        put(stack, run_files.ids(RUN, first.id, 1), rows)
        put(stack, raw, results := b"".join(map(labelled, names)))
        ledger.create_run(run())
        archive = Archive(raw, len(results), ROWS, "00")
        tally = Tally({RowClass.ANSWERED: ROWS}, tickets_written=ROWS)
        collected = replace(first, state=ChunkState.COLLECTED, archive=archive, applied=len(results), tally=tally)
        ledger.plan_chunk(collected)
        ledger.plan_chunk(chunk(2, ChunkState.PLANNED))
        yield stack


def put(stack: CliStack, key: str, data: bytes) -> None:
    stack.client("s3").put_object(Bucket=stack.outputs, Key=key, Body=data)


def tickets(stack: CliStack) -> dict[str, Any]:
    items = stack.client("dynamodb").scan(TableName=f"tickets-{stack.name}")["Items"]
    return {item["ticket_id"]["S"]: item.get("category", {}).get("S") for item in items}


def said(nightshift: CliStack, words: str, *more: str) -> Said:
    return Said(Exit.DONE, [words.format(table=f"table tickets-{nightshift.name}")], list(more))


def test_without_yes_where_nobody_is_asked_it_only_says_what_would_be_written(nightshift: CliStack) -> None:
    told = "3 tickets would be written in {table}, 0 stay as they are"
    assert nightshift("replay", RUN, "--dry-run") == said(nightshift, told, "nothing is done: this was a dry run")
    assert nightshift("replay", RUN) == replace(said(nightshift, told, consent.UNASKED), status=Exit.USAGE)
    assert tickets(nightshift) == {}


def test_with_yes_the_answers_are_in_the_tickets_and_a_second_time_changes_nothing(nightshift: CliStack) -> None:
    before = nightshift.ledger.chunks(RUN)
    objects = nightshift.client("s3").list_objects_v2(Bucket=nightshift.outputs)["KeyCount"]

    first, dry = nightshift("replay", RUN, "--yes"), nightshift("replay", RUN, "--dry-run")
    again = nightshift("replay", RUN, "--yes")

    assert first == said(nightshift, "3 tickets are written in {table}, 0 stay as they are")
    assert dry.out == ["0 tickets would be written in table tickets-" + f"{nightshift.name}, 3 stay as they are"]
    assert again == said(nightshift, "0 tickets are written in {table}, 3 stay as they are")
    assert set(tickets(nightshift).values()) == {"billing"}
    assert nightshift.ledger.chunks(RUN) == before
    assert nightshift.client("s3").list_objects_v2(Bucket=nightshift.outputs)["KeyCount"] == objects


def test_a_ticket_with_a_newer_answer_stays_as_it_is(nightshift: CliStack) -> None:
    newest = ids(chunk().id, ROWS)[0][9:]
    nightshift.client("dynamodb").put_item(
        TableName=f"tickets-{nightshift.name}",
        Item={"ticket_id": {"S": newest}, "nightshift_order": {"S": NEWER}, "category": {"S": "by hand"}},
    )

    dry = nightshift("replay", RUN, "--dry-run")
    nightshift("replay", RUN, "--yes")

    assert dry.out == [f"2 tickets would be written in table tickets-{nightshift.name}, 1 stay as they are"]
    assert tickets(nightshift)[newest] == "by hand"


def test_as_json_it_has_what_was_or_would_be_written(nightshift: CliStack) -> None:
    table = f"tickets-{nightshift.name}"
    record = {"run_id": RUN, "done": False, "table": table, "written": 3, "unchanged": 0, "refused": 0}

    dry, done = (
        json.loads("\n".join(nightshift("replay", RUN, word, "--json").out)) for word in ("--dry-run", "--yes")
    )

    assert [dry, done] == [record, record | {"done": True}]


def test_a_run_whose_job_writes_no_tickets_is_refused(nightshift: CliStack) -> None:
    put(nightshift, run_files.job(RUN, 1), JOB)
    assert nightshift("replay", RUN, "--yes") == Said(
        Exit.FAILED, [], [f"run {RUN} writes no tickets: its job has no output.table"]
    )
