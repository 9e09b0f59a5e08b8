"""`nightshift watch`: what it tells of a run at work, and how it ends."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import ChunkState, Hold, HoldCode, IntentNote, RowClass, Tally
from nightshift.prices import price_sheet
from nightshift_cli import watch as watching
from nightshift_cli.exits import Exit
from nightshift_cli.view import view
from nightshift_cli.watch import waits
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, batch, chunk, intent, run

NOW = START + timedelta(hours=1)
PRICED: dict[str, Any] = {"prices": price_sheet("claude-haiku-5-5", date(2026, 11, 22))}


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def between_looks(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """Let something happen after each look in place of the pause; Ctrl-C comes after the last."""
    todo = iter(steps)

    def pause(_seconds: float) -> None:
        step = next(todo, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(time, "sleep", pause)


def at_work(nightshift: CliStack) -> None:
    """Put a run with one chunk collected and one in flight."""
    nightshift.ledger.create_run(run(**PRICED))
    tally = Tally({RowClass.ANSWERED: 3}, paid={"output": 12 * 10**11}, synchronous=24 * 10**11)
    nightshift.ledger.plan_chunk(chunk(1, ChunkState.COLLECTED, tally=tally))
    nightshift.ledger.plan_chunk(chunk(2))
    nightshift.ledger.start_send(chunk(2), intent(2))
    nightshift.ledger.sent(intent(2), batch(), adopted=False)
    nightshift.ledger.finish_plan(run(rows=6, plan_digest="d", **PRICED))
    nightshift.start_loop(RUN)


def finish(nightshift: CliStack) -> None:
    nightshift.ledger.reported(RUN, "f", done=True)
    arn = nightshift.machine.replace(":stateMachine:", ":execution:") + f":{RUN}-c0001"
    nightshift.client("stepfunctions").stop_execution(executionArn=arn)


FLYING = "open; 3 of 6 rows done, 3 answered; batches: 1 in flight, 1 collected; $1.20, $1.20 saved"
DONE = "done; 3 of 6 rows done, 3 answered; batches: 1 in flight, 1 collected; $1.20, $1.20 saved"


def test_in_a_pipe_it_is_a_line_for_each_change_until_the_run_is_done(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work(nightshift)
    between_looks(monkeypatch, lambda: None, lambda: finish(nightshift))

    assert nightshift("watch", RUN) == Said(Exit.DONE, [FLYING, DONE], [])


def test_a_run_that_is_done_and_still_compares_a_sample_has_not_ended(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift.ledger.create_run(run(verify=20))
    nightshift.ledger.reported(RUN, "f", done=True)
    nightshift.start_loop(RUN)
    between_looks(monkeypatch)

    assert nightshift("watch", RUN).out == ["done; 0 rows planned so far; batches: none yet; no price; next verify"]


def test_ctrl_c_stops_the_watching_and_says_that_the_run_goes_on(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work(nightshift)
    between_looks(monkeypatch)

    told = f"no longer watched; the run goes on. nightshift show {RUN}"
    assert nightshift("watch", RUN) == Said(Exit.INTERRUPTED, [FLYING], [told])


def test_a_run_that_is_held_and_has_nothing_in_flight_ends_it_with_what_mends_it(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(hold=Hold(HoldCode.API_KEY, "401", START), fruitless=10))

    said = nightshift("watch", RUN)

    ways = ["  → aws secretsmanager put-secret-value …", f"  → nightshift resume {RUN}"]
    assert said == Said(Exit.HELD, ["held: API_KEY; 0 rows planned so far; batches: none yet; no price"], ways)


def test_as_json_a_line_is_an_object(nightshift: CliStack, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work(nightshift)
    between_looks(monkeypatch, lambda: finish(nightshift))

    said = nightshift("watch", RUN, "--json")

    lines = [json.loads(line) for line in said.out]
    assert [(line["state"], line["answered"], line["cost_usd"], line["ended"]) for line in lines] == [
        ("open", 3, 1.2, False),
        ("done", 3, 1.2, True),
    ]


def test_on_a_terminal_it_is_one_picture_and_the_last_one_stays(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work(nightshift)
    between_looks(monkeypatch, lambda: finish(nightshift))
    monkeypatch.setattr(watching, "on_terminal", lambda: True)

    said = nightshift("watch", RUN)

    assert said.status == Exit.DONE
    assert said.out == [
        f"run       {RUN}, 1 h 00 min old",
        "state     done",
        f"          {'━' * 20}{'─' * 20}",
        "rows      3 of 6 rows done, 3 answered",
        "batches   1 in flight, 1 collected",
        "cost      $1.20, $1.20 saved",
    ]


def told(nightshift: CliStack) -> list[str]:
    from nightshift_cli.stack import find  # noqa: PLC0415 - below the environment of the test

    return list(waits(view(find(nightshift.name, local=False), RUN)))


@pytest.fixture
def here(nightshift: CliStack, monkeypatch: pytest.MonkeyPatch) -> CliStack:
    """The stack, for asking without a command."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", nightshift.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", nightshift.plane.endpoint)
    return nightshift


def test_it_says_what_a_run_waits_for_and_until_when(here: CliStack) -> None:
    here.ledger.create_run(run(pilot=3, pilot_wait=7200))
    here.ledger.plan_chunk(chunk(1))
    here.ledger.start_send(chunk(1), intent(1))
    here.ledger.sent(intent(1), batch(), adopted=False)
    here.ledger.plan_chunk(chunk(2, not_before=NOW + timedelta(minutes=9), error="429: later"))
    here.ledger.finish_plan(run(rows=6, plan_digest="d", pilot=3, pilot_wait=7200))

    assert told(here) == [
        "the pilot, 3 rows; the rest waits for it until 11-22 04:00Z",
        "a batch, the oldest sent 1 h 00 min ago; each ends 24 h after it was sent",
        "g0-000002, kept back until 11-22 03:09Z: 429: later",
    ]


def test_it_says_of_a_create_without_an_answer_when_it_is_decided(here: CliStack) -> None:
    here.ledger.create_run(run())
    here.ledger.plan_chunk(chunk(1))
    here.ledger.start_send(chunk(1), intent(1))
    here.ledger.note_intent(intent(1), IntentNote.CONNECTION_LOST, START + timedelta(minutes=1))

    assert told(here)[0] == "the answer to a create, sent for 1 h 00 min; decided from 11-22 02:16Z on"


def test_it_says_what_the_loop_does_next_where_it_waits_for_nothing(here: CliStack) -> None:
    here.ledger.create_run(run())

    assert told(here) == ["submit: the plan is not finished"]
