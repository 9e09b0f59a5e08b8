"""`nightshift runs`, `show`, `hold`, `cancel` and `resume`, over a ledger of a local AWS."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from nightshift import clock, run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.merging import Pointer
from nightshift.model import (
    Archive,
    BatchId,
    Caching,
    Chunk,
    ChunkState,
    Estimate,
    Hold,
    HoldCode,
    IntentNote,
    RowClass,
    Run,
    RunId,
    Tally,
)
from nightshift.prices import price_sheet
from nightshift_cli import columns, consent
from nightshift_cli import stack as stacks
from nightshift_cli.console import span
from nightshift_cli.exits import Exit
from nightshift_cli.mending import WAYS_OUT
from nightshift_cli.stack import OUTPUTS
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, batch, chunk, input_ref, intent, run

NOW = START + timedelta(hours=4, minutes=5)
OTHER = RunId("triage-20261122-bbbbbbbb")
ANSWERED = Tally(
    rows={RowClass.ANSWERED: 2, RowClass.REFUSED: 1},
    usage={"input_tokens": 1200, "output_tokens": 15},
    tickets_written=2,
)


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def collected(ledger: DynamoLedger, number: int, tally: Tally) -> Chunk:
    done = chunk(
        number,
        ChunkState.COLLECTED,
        batch_id=BatchId(f"msgbatch_{number}"),
        attempt=1,
        tally=tally,
        adopted=number == 2,
    )
    ledger.plan_chunk(done)
    return done


def sent(ledger: DynamoLedger, number: int, *, adopted: bool = False) -> None:
    ledger.plan_chunk(planned := chunk(number))
    ledger.start_send(planned, sending := intent(number))
    ledger.sent(sending, batch(f"msgbatch_{number}"), adopted=adopted)


def finish_plan(ledger: DynamoLedger, rows: int) -> None:
    ledger.finish_plan(run(rows=rows, plan_digest="d"))


def test_runs_lists_the_newest_first_with_what_is_in_flight_and_answered(nightshift: CliStack) -> None:
    later = START + timedelta(hours=1)
    hold = Hold(HoldCode.SAME_ROWS, "same rows as another run", later)
    nightshift.ledger.create_run(run())
    nightshift.ledger.create_run(run(OTHER, inputs=(input_ref("inbox/triage/b.jsonl"),), created=later, hold=hold))
    collected(nightshift.ledger, 1, ANSWERED)
    sent(nightshift.ledger, 2)
    finish_plan(nightshift.ledger, 1006)

    head, day, money = f"{'run':<24}", "2026-11-22", "cost  saved"
    assert nightshift("runs") == Said(
        Exit.DONE,
        [
            f"{head}  job     state            created                      age   rows  in flight  answered  {money}",
            f"{OTHER}  triage  held: SAME_ROWS  {day} 03:00:00Z  3 h 05 min      –          0         0     –      –",
            f"{RUN}  triage  open             {day} 02:00:00Z  4 h 05 min  1,006          1         2     –      –",
        ],
        [],
    )
    assert [line.split()[0] for line in nightshift("runs", "--limit", "1").out] == ["run", OTHER]
    assert json.loads("\n".join(nightshift("runs", "--json").out)) == [
        {
            "run_id": OTHER,
            "job": "triage",
            "state": "held",
            "hold": {"code": "SAME_ROWS", "reason": "same rows as another run", "at": "2026-11-22T03:00:00Z"},
            "trigger": "upload",
            "created": "2026-11-22T03:00:00Z",
            "rows": None,
            "batches_in_flight": 0,
            "answered": 0,
            "cost_usd": None,
            "synchronous_usd": None,
            "saved_usd": None,
        },
        {
            "run_id": RUN,
            "job": "triage",
            "state": "open",
            "hold": None,
            "trigger": "upload",
            "created": "2026-11-22T02:00:00Z",
            "rows": 1006,
            "batches_in_flight": 1,
            "answered": 2,
            "cost_usd": None,
            "synchronous_usd": None,
            "saved_usd": None,
        },
    ]


def test_runs_tells_what_each_has_cost_and_saved_in_as_many_columns_as_the_terminal_has_room_for(
    nightshift: CliStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift.ledger.create_run(run(prices=price_sheet("claude-haiku-5-5", date(2026, 11, 25))))
    collected(
        nightshift.ledger, 1, Tally({RowClass.ANSWERED: 3}, paid={"output": 12 * 10**11}, synchronous=24 * 10**11)
    )

    monkeypatch.setattr(columns, "room", lambda: 80)
    narrow = nightshift("runs").out
    monkeypatch.setattr(columns, "room", lambda: 140)
    wide = nightshift("runs").out

    assert narrow == [
        f"{'run':<24}  state         age  rows  answered   cost  saved",
        f"{RUN}  open   4 h 05 min     –         3  $1.20  $1.20",
    ]
    assert wide == [
        f"{'run':<24}  job     state  created                      age  rows  in flight  answered   cost  saved",
        f"{RUN}  triage  open   2026-11-22 02:00:00Z  4 h 05 min     –          0         3  $1.20  $1.20",
    ]
    assert max(map(len, narrow)) <= 80
    assert [
        json.loads("\n".join(nightshift("runs", "--json").out))[0][f"{name}_usd"] for name in ("cost", "saved")
    ] == [
        1.2,
        1.2,
    ]


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ({"seconds": -3}, "0 s"),
        ({"seconds": 59.9}, "59 s"),
        ({"seconds": 61}, "1 min"),
        ({"hours": 23, "minutes": 59}, "23 h 59 min"),
        ({"days": 2, "hours": 3, "minutes": 59}, "2 d 03 h"),
    ],
)
def test_a_span_is_told_in_two_units_at_most(time: dict[str, float], words: str) -> None:
    assert span(timedelta(**time)) == words


def test_a_text_that_folds_does_so_where_the_terminal_ends_and_no_other_cell_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(columns, "room", lambda: 40)
    table = [columns.Column("id", ["x" * 30]), columns.Column("n", ["1"], spare=1)]

    columns.put_columns([*table, columns.Column("error", ["word " * 8], folds=True)])

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        f"{'id':<30}  error",
        f"{'x' * 30}  word word word word",
        f"{'':<30}  word word word word",
    ]


def test_where_there_are_no_runs_it_says_how_to_start_one(nightshift: CliStack) -> None:
    assert nightshift("runs") == Said(Exit.DONE, [], ["no runs yet; nightshift submit FILE --job JOB starts one"])
    assert nightshift("runs", "--json") == Said(Exit.DONE, ["[]"], [])


def test_show_tells_all_about_a_run_at_work(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    collected(nightshift.ledger, 1, ANSWERED)
    collected(nightshift.ledger, 2, ANSWERED)
    sent(nightshift.ledger, 3)
    finish_plan(nightshift.ledger, 9)
    nightshift.start_loop(RUN)

    assert nightshift("show", RUN) == Said(
        Exit.DONE,
        [
            "run       triage-20261122-abcdefgh",
            "job       triage (jobs/triage.yaml, version v1)",
            "created   2026-11-22 02:00:00Z, 4 h 05 min ago, upload",
            "input     s3://inputs/inbox/triage/a.jsonl (100 bytes, version v1)",
            "state     open",
            "next      wait: 1 batches in flight",
            "loop      triage-20261122-abcdefgh-c0001 RUNNING",
            "rows      9: 4 answered, 2 refused, 3 waiting",
            "cost      not known: the model has no price",
            "cost      $0.0010 reserved in 2026-11",
            "tokens    2,400 input_tokens, 30 output_tokens",
            "tickets   4 written, 0 unchanged, in table tickets",
            f"files     s3://{nightshift.outputs}/runs/triage-20261122-abcdefgh/",
            "          output/ failed/ rejects/ raw/",
            "",
            "chunk      state      batch                 rows  answered  attempt  failures",
            "g0-000001  COLLECTED  msgbatch_1               3         2        1         0",
            "g0-000002  COLLECTED  msgbatch_2 (adopted)     3         2        1         0",
            "g0-000003  SENT       msgbatch_3               3         0        1         0",
        ],
        [],
    )


def test_show_tells_what_keeps_a_chunk_back_and_when_a_lost_create_is_decided(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.plan_chunk(
        chunk(1, not_before=START + timedelta(minutes=9), failures=2, error="429: slow down\x1b[2J")
    )
    nightshift.ledger.plan_chunk(planned := chunk(2))
    nightshift.ledger.start_send(planned, sending := intent(2))
    nightshift.ledger.note_intent(sending, IntentNote.CONNECTION_LOST, START + timedelta(minutes=1))
    nightshift.start_loop(RUN)

    shown = nightshift("show", RUN)

    at, gone = "2026-11-22 02", "\N{REPLACEMENT CHARACTER}"
    assert shown.status == Exit.DONE
    assert [line for line in shown.out if line.startswith(("rows", "sending"))] == [
        f"sending   chunk g0-000002, attempt 1, since {at}:00:00Z (connection-lost); decided from {at}:16:00Z on",
        "rows      not counted yet",
    ]
    assert shown.out[-3:] == [
        "chunk      state    batch  rows  answered  attempt  failures  not before            error",
        f"g0-000001  PLANNED  –         3         0        0         2  {at}:09:00Z  429: slow down{gone}[2J",
        "g0-000002  SENDING  –         3         0        1         0  –                     –",
    ]


def test_show_tells_ten_inputs_and_how_many_more_there_are(nightshift: CliStack) -> None:
    many = tuple(replace(run().inputs[0], key=f"inbox/triage/{n:02}") for n in range(13))
    nightshift.ledger.create_run(run(inputs=many))

    lines = nightshift("show", RUN).out

    assert [line[:9].strip() for line in lines[3:14]] == ["input"] * 10 + [""]
    assert lines[13].strip() == "and 3 more"


def test_show_tells_what_a_run_costs_and_is_expected_to(nightshift: CliStack) -> None:
    expected = Estimate(
        9, 90, 1, 1, 1, 1, 9, START, 45, expected=2 * 10**9, low=10**9, high=3 * 10**9, bound=10**10, basis="the pilot"
    )
    prices = price_sheet("claude-haiku-5-5", date(2026, 11, 25))
    caching = Caching(10, 512, why="no cache breakpoint: requests share 10 tokens")
    nightshift.ledger.create_run(run(prices=prices, caching=caching, revised=expected))
    paid = Tally(rows={RowClass.ANSWERED: 3}, paid={"input": 10**8, "output": 10**9}, synchronous=22 * 10**8)
    collected(nightshift.ledger, 1, paid)

    lines = nightshift("show", RUN).out

    assert [line for line in lines if line.startswith(("cost", "cache"))] == [
        "cost      $0.0011 so far; $0.0011 saved (50 %): $0.0022 at once",
        "cost      $0.0020 expected ($0.0010 to $0.0030; answers' length from the pilot)",
        "cost      $0.0010 reserved in 2026-11",
        "cache     no cache breakpoint: requests share 10 tokens",
    ]


def test_show_tells_why_a_run_is_held_and_what_mends_it_and_its_status_says_so(nightshift: CliStack) -> None:
    hold = Hold(HoldCode.BAD_JOB, "jobs/triage.yaml:3: a: is missing\njobs/triage.yaml:4: b: is missing", START)
    nightshift.ledger.create_run(
        run(hold=hold, reported="x", approved=(HoldCode.SAME_ROWS,), state="open", reserved=None)
    )

    shown = nightshift("show", RUN)

    assert shown.status == Exit.HELD
    assert shown.out[4:] == [
        "state     held since 2026-11-22 02:00:00Z: BAD_JOB",
        "          jobs/triage.yaml:3: a: is missing",
        "          jobs/triage.yaml:4: b: is missing",
        "          → mend jobs/triage.yaml",
        "          → nightshift job put jobs/triage.yaml",
        "          → nightshift resume triage-20261122-abcdefgh",
        "approved  SAME_ROWS",
        "next      report: nothing is in flight",
        "loop      triage-20261122-abcdefgh-c0001 NOT_STARTED",
        "rows      not counted yet",
        f"files     s3://{nightshift.outputs}/runs/triage-20261122-abcdefgh/",
        "          output/ failed/ rejects/ raw/ report.json",
    ]


def test_show_tells_how_to_start_a_dead_loop_again_and_resume_does(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.client("stepfunctions").stop_execution(executionArn=nightshift.start_loop(RUN))

    dead = nightshift("show", RUN)
    resumed = nightshift("resume", RUN)

    assert dead.out[4:8] == [
        "state     open",
        "          → nightshift resume triage-20261122-abcdefgh",
        "next      submit: the plan is not finished",
        "loop      triage-20261122-abcdefgh-c0001 ABORTED",
    ]
    assert resumed == Said(Exit.DONE, [], ["goes on, in execution 2; nightshift show triage-20261122-abcdefgh"])
    assert nightshift("show", RUN).out[4:7] == [
        "state     open",
        "next      submit: the plan is not finished",
        "loop      triage-20261122-abcdefgh-c0002 RUNNING",
    ]


def test_show_of_a_run_that_is_done_names_the_one_file_of_all_answers_and_whether_it_is_the_latest(
    nightshift: CliStack,
) -> None:
    nightshift.ledger.create_run(run())
    home = f"s3://{nightshift.outputs}/runs/{RUN}/"
    put(nightshift, run_files.merged(RUN, "csv"), b"")
    before = nightshift("show", RUN).out
    nightshift.ledger.reported(RUN, "f", done=True)
    nightshift.start_loop(RUN)

    done = nightshift("show", RUN).out
    point_to(nightshift, OTHER)
    older = json.loads("\n".join(nightshift("show", RUN, "--json").out))
    point_to(nightshift, RUN)
    latest, record = nightshift("show", RUN).out, json.loads("\n".join(nightshift("show", RUN, "--json").out))

    files = "          output.csv output/ failed/ rejects/ raw/ report.json"
    assert before[-1] == "          output/ failed/ rejects/ raw/"
    assert done[-1] == files
    assert latest[-2:] == [files, f"latest    s3://{nightshift.outputs}/latest/triage/run.json names this run"]
    assert record["files"]["output.csv"] == f"{home}output.csv"
    assert (older["latest"], record["latest"]) == (None, f"s3://{nightshift.outputs}/latest/triage/run.json")


def put(nightshift: CliStack, key: str, data: bytes) -> None:
    nightshift.client("s3").put_object(Bucket=nightshift.outputs, Key=key, Body=data)


def point_to(nightshift: CliStack, run_id: RunId) -> None:
    pointer = Pointer("triage", run_id, "2026-11-22", "s3://…", 1, 1, "s3://…", "s3://…", "s3://…")
    put(nightshift, run_files.latest("triage"), msgspec.json.encode(pointer))


def test_show_as_json_has_the_run_its_chunks_and_what_a_person_can_do(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    collected(nightshift.ledger, 1, ANSWERED)
    nightshift.ledger.hold(RUN, Hold(HoldCode.API_KEY, "401", START))

    shown = nightshift("show", RUN, "--json")

    record = json.loads("\n".join(shown.out))
    assert shown.status == Exit.HELD
    assert record["ways_out"] == ["aws secretsmanager put-secret-value …", f"nightshift resume {RUN}"]
    assert record["counts"] == dict.fromkeys(RowClass, 0) | {"answered": 2, "refused": 1}
    assert record["usage"] == {"input_tokens": 1200, "output_tokens": 15}
    assert record["tickets"] == {"written": 2, "unchanged": 0, "refused": 0}
    assert record["strange"] == 0
    assert record["execution"] == {"name": f"{RUN}-c0001", "status": "NOT_STARTED"}
    assert record["files"]["output/"] == f"s3://{nightshift.outputs}/runs/{RUN}/output/"
    assert (record["run"]["run_id"], record["chunks"][0]["batch_id"], record["intent"]) == (RUN, "msgbatch_1", None)


def test_show_tells_of_tickets_that_were_refused_and_of_strange_lines(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    archive = Archive("raw/a", size=9, lines=3, sha256="00", strange=4)
    nightshift.ledger.plan_chunk(
        chunk(1, ChunkState.COLLECTED, batch_id=BatchId("b"), archive=archive, tally=Tally(tickets_refused=3))
    )

    shown = nightshift("show", RUN).out

    assert "tickets   0 written, 0 unchanged, 3 refused (refused/ says why), in table tickets" in shown
    assert "strange   4 lines of the results are no result of a row; they are kept in raw/" in shown
    assert "          output/ failed/ rejects/ raw/ refused/" in shown


def test_every_reason_for_a_hold_has_a_way_out() -> None:
    assert WAYS_OUT.keys() == set(HoldCode)


def test_a_hold_keeps_its_first_reason_and_resume_lifts_it(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.put_job()

    first = nightshift("hold", RUN, "--reason", "wrong file")
    again = nightshift("hold", RUN, "--reason", "another reason")
    held = nightshift.ledger.run(RUN).hold
    resumed = nightshift("resume", RUN)

    assert first == Said(Exit.DONE, [], ["held; nightshift resume triage-20261122-abcdefgh lets it go on"])
    assert again == Said(Exit.DONE, [], ["run triage-20261122-abcdefgh is held already, BY_HAND: wrong file"])
    assert held is not None
    assert (held.code, held.reason) == (HoldCode.BY_HAND, "wrong file")
    assert resumed.status == Exit.DONE
    assert nightshift.ledger.run(RUN).hold is None


def test_cancel_first_only_says_what_would_be_canceled(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    collected(nightshift.ledger, 1, ANSWERED)
    sent(nightshift.ledger, 2)
    sent(nightshift.ledger, 3, adopted=True)
    for number in (4, 5, 6):
        nightshift.ledger.plan_chunk(chunk(number))
    nightshift.ledger.start_send(chunk(4), intent(4))
    before = nightshift.ledger.run(RUN)

    said = nightshift("cancel", RUN, "--reason", "wrong prompt", "--dry-run")
    unasked = nightshift("cancel", RUN, "--reason", "wrong prompt")

    assert (unasked.status, unasked.out, unasked.err) == (Exit.USAGE, said.out, [consent.UNASKED])
    assert said == Said(
        Exit.DONE,
        [
            "run       triage-20261122-abcdefgh",
            "state     open",
            "in flight msgbatch_2: 3 rows of g0-000002",
            "          msgbatch_3: 3 rows of g0-000003; adopted, so it may be another's, and runs on",
            "sending   3 rows of g0-000004: their batch is canceled if its create is answered",
            "not sent  6 rows in 2 chunks; the plan is not finished",
        ],
        ["nothing is done: this was a dry run"],
    )
    assert nightshift.ledger.run(RUN) == before


def test_cancel_with_yes_holds_the_run_and_starts_the_execution_that_cancels(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(hold=Hold(HoldCode.API_KEY, "401", START), planned=True))

    looked = nightshift("cancel", RUN, "--reason", "wrong prompt", "--dry-run")
    said = nightshift("cancel", RUN, "--reason", "wrong prompt", "--yes")

    assert looked.out[1:] == ["state     held: API_KEY", "in flight no batch", "not sent  0 rows in 0 chunks"]
    assert said == Said(
        Exit.DONE, [], ["held; execution 2 cancels its batches; nightshift show triage-20261122-abcdefgh"]
    )
    shown = nightshift("show", RUN)
    assert shown.status == Exit.HELD
    assert [line.split(": ", 1)[1] for line in shown.out if line.startswith("state")] == ["CANCELED"]
    assert [line.strip() for line in shown.out if "→" in line or "wrong prompt" in line] == [
        "wrong prompt (was held before, API_KEY: 401)",
        "→ nothing, if it shall stay so",
        "→ or send what was never sent: nightshift resume triage-20261122-abcdefgh",
    ]
    assert "loop      triage-20261122-abcdefgh-c0002 RUNNING" in shown.out


@pytest.mark.parametrize("words", [("hold", RUN, "--reason", "x"), ("resume", RUN), ("cancel", RUN, "--reason", "x")])
def test_a_dry_run_tells_what_there_is_to_be_stopped_and_changes_nothing(
    nightshift: CliStack, words: tuple[str, ...]
) -> None:
    nightshift.ledger.create_run(run())
    sent(nightshift.ledger, 1, adopted=True)
    nightshift.ledger.plan_chunk(chunk(2))
    before = nightshift.ledger.run(RUN)

    said, as_json = nightshift(*words, "--dry-run"), nightshift(*words, "--dry-run", "--json")

    assert said.status == as_json.status == Exit.DONE
    assert said.out[-1] == "not sent  3 rows in 1 chunks; the plan is not finished"
    assert said.err == ["nothing is done: this was a dry run"]
    assert json.loads("\n".join(as_json.out)) == {
        "run_id": RUN,
        "done": False,
        "state": "open",
        "hold": None,
        "execution": f"{RUN}-c0001",
        "in_flight": [{"batch_id": "msgbatch_1", "chunk": "g0-000001", "rows": 3, "adopted": True}],
        "sending": [],
        "not_sent_rows": 3,
        "planned": False,
    }
    assert nightshift.ledger.run(RUN) == before


def test_hold_cancel_and_resume_tell_programs_how_the_run_is_now(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.put_job()

    told = [
        json.loads("\n".join(nightshift(*words, "--json").out))
        for words in (
            ("hold", RUN, "--reason", "wrong file"),
            ("hold", RUN, "--reason", "another"),
            ("cancel", RUN, "--reason", "wrong prompt", "--yes"),
            ("resume", RUN),
        )
    ]

    holds = [each["hold"] and (each["hold"]["code"], each["hold"]["reason"]) for each in told]
    canceled = ("CANCELED", "wrong prompt (was held before, BY_HAND: wrong file)")
    assert holds == [("BY_HAND", "wrong file"), ("BY_HAND", "wrong file"), canceled, None]
    assert [each["done"] for each in told] == [True, False, True, True]
    assert [each["execution"][-5:] for each in told] == ["c0001", "c0001", "c0002", "c0003"]


def test_resume_with_approve_waves_the_reason_through(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(hold=Hold(HoldCode.SAME_ROWS, "as before", START)))
    nightshift.put_job()

    assert nightshift("resume", RUN, "--approve").status == Exit.DONE

    resumed = nightshift.ledger.run(RUN)
    assert (resumed.hold, resumed.approved) == (None, (HoldCode.SAME_ROWS,))


def test_resume_refuses_a_job_file_that_still_cannot_be_used(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(hold=Hold(HoldCode.BAD_JOB, "bad", START)))
    nightshift.put_job(JOB.replace(b"max_tokens: 64\n", b"temperature: 1\n"))

    said = nightshift("resume", RUN)

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert [line.split(": ")[0] for line in said.err] == ["jobs/triage.yaml:1", "jobs/triage.yaml:3"]
    assert nightshift.ledger.run(RUN).hold is not None


def test_a_run_that_is_done_is_neither_held_nor_canceled_nor_resumed(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.reported(RUN, "f", done=True)

    assert nightshift("hold", RUN, "--reason", "late") == Said(
        Exit.FAILED, [], ["run triage-20261122-abcdefgh is done; there is nothing to hold"]
    )
    assert nightshift("cancel", RUN, "--reason", "late") == Said(
        Exit.FAILED, [], ["run triage-20261122-abcdefgh is done; there is nothing to cancel"]
    )
    assert nightshift("cancel", RUN, "--reason", "late", "--yes") == Said(
        Exit.FAILED, [], ["run triage-20261122-abcdefgh is done; there is nothing to cancel"]
    )
    assert nightshift("resume", RUN) == Said(
        Exit.FAILED, [], ["Run triage-20261122-abcdefgh is done; there is nothing to resume."]
    )


@pytest.mark.parametrize(
    "command",
    [
        ["show", "no-run"],
        ["hold", "no-run", "--reason", "x"],
        ["cancel", "no-run", "--reason", "x"],
        ["cancel", "no-run", "--reason", "x", "--yes"],
        ["resume", "no-run"],
    ],
)
def test_a_run_that_does_not_exist_is_one_line_and_a_status(
    nightshift: CliStack, runs_table: str, command: list[str]
) -> None:
    assert nightshift(*command) == Said(Exit.FAILED, [], [f"There is no run no-run in table {runs_table}."])


def test_a_named_stack_is_named_in_the_commands_that_are_shown(nightshift: CliStack) -> None:
    said = nightshift("runs", "--stack", nightshift.name, NIGHTSHIFT_STACK=None)

    assert said.err == [f"no runs yet; nightshift submit FILE --job JOB --stack {nightshift.name} starts one"]


def test_a_stack_that_is_not_there_or_is_none_of_ours_is_one_line_and_a_status(nightshift: CliStack) -> None:
    nightshift.plane.stacks["somebody-elses"] = {"Url": "https://example.com/?a&b"}

    assert nightshift("runs", "--stack", "nowhere") == Said(
        Exit.FAILED,
        [],
        ["There is no stack nowhere in this account and region. Name another with --stack, or add --local."],
    )
    assert nightshift("runs", "--stack", "somebody-elses") == Said(
        Exit.FAILED,
        [],
        [f"Stack somebody-elses is not a nightshift of this version: it has no output {', '.join(sorted(OUTPUTS))}."],
    )


def test_who_has_no_credentials_is_told_so(nightshift: CliStack) -> None:
    said = nightshift("runs", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_SESSION_TOKEN=None)

    assert said == Said(
        Exit.FAILED,
        [],
        ["No AWS credentials. Set AWS_PROFILE or log in; for the local cloud of `make local`, add --local."],
    )


def test_an_aws_that_does_not_answer_is_one_line_and_a_status(nightshift: CliStack) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"

        said = nightshift("runs", AWS_ENDPOINT_URL_CLOUDFORMATION=nobody)

    assert said == Said(Exit.FAILED, [], [f'Could not connect to the endpoint URL: "{nobody}/"'])


def test_a_local_cloud_that_is_not_there_or_has_gone_is_told_with_the_word_that_starts_one(
    nightshift: CliStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")

    assert nightshift("runs", "--local") == Said(
        Exit.FAILED, [], ["No local cloud runs here. `make local` starts one, in a terminal of its own."]
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        file.write_text(json.dumps({"endpoint": endpoint, "region": "us-east-1", "outputs": {}}))
        assert nightshift("runs", "--local") == Said(
            Exit.FAILED,
            [],
            [f"The local cloud does not answer at {endpoint}. `make local` starts one, in a terminal of its own."],
        )


def test_the_help_tells_every_exit_status(nightshift: CliStack) -> None:
    shown = " ".join(" ".join(nightshift("--help").out).split())

    assert all(f"{code.value} {code.meaning}" in shown for code in Exit)


def test_a_command_line_that_is_wrong_has_a_status_of_its_own(nightshift: CliStack) -> None:
    assert nightshift("hold", RUN).status == Exit.USAGE
    assert nightshift("cancel", RUN, "--yes").status == Exit.USAGE
    assert nightshift("nap").status == Exit.USAGE


def test_ctrl_c_is_one_line_and_a_status_of_its_own(nightshift: CliStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(DynamoLedger, "run", interrupted)

    assert nightshift("show", RUN) == Said(Exit.INTERRUPTED, [], ["interrupted"])
