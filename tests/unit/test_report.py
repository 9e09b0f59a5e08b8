"""A report adds up, or the run does not end."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.decision import fingerprint
from nightshift.errors import Conflict
from nightshift.model import ChunkId, Hold, HoldCode, RowClass, RunState, Tally, chunk_id
from nightshift.report import Reporter
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.night import Night, ids
from tests.unit.result_lines import canceled, expired, labelled, succeeded

FIRST = chunk_id(0, 1)
REJECTS = Tally(rows={RowClass.REJECTED: 2, RowClass.DUPLICATE: 1})
MOMENT = "2026-11-22T02:00:00Z"


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def report(night: Night) -> dict[str, Any]:
    """Report, and return what was written."""
    Reporter(night.ledger, night.outputs, night.clock).report(made.RUN)
    written: dict[str, Any] = json.loads(night.outputs.files[f"runs/{made.RUN}/report.json"])
    return written


def answered(chunk: ChunkId = FIRST) -> list[bytes]:
    return [labelled(name) for name in ids(chunk, 3)]


def counts(**rows: int) -> dict[str, int]:
    return {name: rows.get(name, 0) for name in RowClass}


class TestDone:
    def test_a_run_whose_rows_add_up_is_done_and_its_report_says_all(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        night.begin(leftover=REJECTS)
        night.answer(1, labelled(a), succeeded(b, "no"), canceled(c))
        night.outputs.files[f"runs/{made.RUN}/rejects/last.jsonl"] = (
            b'{"id":null,"code":"BAD_JSON"}\n{"id":"x","code":"BAD_JSON"}\n{"id":"y","code":"DUPLICATE_ROW"}\n'
        )
        night.collect()
        home = f"s3://outputs/runs/{made.RUN}"
        assert report(night) == {
            "run_id": made.RUN,
            "job": {"name": "triage", "key": "jobs/triage.yaml", "version_id": "v1"},
            "trigger": "upload",
            "state": "done",
            "hold": None,
            "inputs": [
                {"uri": "s3://inputs/inbox/triage/a.jsonl", "version_id": "v1", "size": 100, "last_modified": MOMENT}
            ],
            "created": MOMENT,
            "first_sent": MOMENT,
            "last_ended": MOMENT,
            "reported": MOMENT,
            "rows": 6,
            "counts": counts(answered=1, invalid=1, canceled=1, rejected=2, duplicate=1),
            "waiting": 0,
            "accounted": True,
            "reject_codes": {"BAD_JSON": 2, "DUPLICATE_ROW": 1},
            "usage": {
                "input_tokens": 32,
                "cache_creation_input_tokens": 14,
                "cache_read_input_tokens": 6,
                "ephemeral_5m_input_tokens": 4,
                "ephemeral_1h_input_tokens": 10,
                "output_tokens": 10,
            },
            "service_tiers": {"batch": 2},
            "tickets": {"written": 1, "unchanged": 0, "refused": 0},
            "strange": 0,
            "generations": 1,
            "batches": [
                {
                    "batch_id": "msgbatch_01",
                    "chunk": FIRST,
                    "rows": 3,
                    "state": "COLLECTED",
                    "request_counts": {"processing": 0, "succeeded": 3},
                    "created": MOMENT,
                    "ended": MOMENT,
                    "adopted": False,
                    "strange": 0,
                }
            ],
            "files": {
                "output": [f"{home}/output/{FIRST}-000000000000.jsonl"],
                "failed": [f"{home}/failed/{FIRST}-000000000000.jsonl"],
                "rejects": [f"{home}/rejects/last.jsonl"],
                "refused": [],
                "raw": [f"{home}/raw/{FIRST}-msgbatch_01.jsonl"],
            },
        }
        assert night.run().state is RunState.DONE

    def test_a_run_of_nothing_but_rejects_is_done(self, night: Night) -> None:
        night.begin(chunks=0, leftover=REJECTS)
        written = report(night)
        assert (written["state"], written["rows"], written["first_sent"]) == ("done", 3, None)

    def test_a_second_generation_is_counted_and_its_rows_once(self, night: Night) -> None:
        night.rows = 1
        night.begin(max_generations=1)
        night.answer(1, expired(ids(FIRST, 1)[0]))
        night.collect()
        again = chunk_id(1, 1)
        night.plan(again)
        night.ledger.next_generation(made.RUN, 1)
        night.send(again)
        night.answer(1, labelled(ids(again, 1)[0]), generation=1)
        night.collect()
        written = report(night)
        assert (written["state"], written["counts"], written["generations"]) == ("done", counts(answered=1), 2)


class TestOpen:
    def test_rows_that_may_be_asked_again_keep_the_run_open(self, night: Night) -> None:
        night.begin(max_generations=1)
        night.answer(1, *answered()[:2], expired(ids(FIRST, 3)[2]))
        night.collect()
        written = report(night)
        assert (written["state"], written["waiting"], written["accounted"]) == ("open", 1, False)
        assert night.run().state is RunState.OPEN

    def test_chunks_that_are_not_collected_keep_the_run_open(self, night: Night) -> None:
        night.begin(chunks=2, sent=1)
        night.answer(1, *answered())
        night.collect()
        written = report(night)
        assert (written["state"], written["rows"], written["waiting"]) == ("open", 6, 3)
        assert [batch["chunk"] for batch in written["batches"]] == [FIRST]

    def test_the_loop_can_tell_that_this_report_is_up_to_date(self, night: Night) -> None:
        night.begin(chunks=2, sent=1)
        report(night)
        assert night.run().reported == fingerprint(night.run(), night.ledger.chunks(made.RUN))


class TestHeld:
    HOLD = Hold(HoldCode.NO_MONEY, "Raise the limit.", START)

    def test_a_held_run_is_reported_and_not_done(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered())
        night.collect()
        night.ledger.hold(made.RUN, self.HOLD)
        written = report(night)
        assert written["state"] == "held"
        assert written["hold"] == {"code": "NO_MONEY", "reason": "Raise the limit.", "at": MOMENT}
        assert night.run().state is RunState.OPEN

    def test_a_run_held_before_its_plan_is_reported(self, night: Night) -> None:
        night.ledger.create_run(made.run())
        night.ledger.hold(made.RUN, self.HOLD)
        written = report(night)
        assert (written["state"], written["rows"], written["accounted"]) == ("held", 0, False)

    def test_rows_that_do_not_add_up_hold_the_run(self, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
        night.begin(leftover=REJECTS)
        night.answer(1, *answered())
        night.collect()
        load = night.ledger.run
        monkeypatch.setattr(night.ledger, "run", lambda run_id: replace(load(run_id), rows=7))
        written = report(night)
        assert (written["state"], written["accounted"], written["waiting"]) == ("held", False, 1)
        assert written["hold"]["code"] == "ROWS_ASTRAY"
        assert written["hold"]["reason"].startswith(
            "Everything is collected, but 7 rows were read and 6 are in a class."
        )
        assert (night.run().state, night.run().hold is not None) == (RunState.OPEN, True)
        assert night.run().reported == fingerprint(night.run(), night.ledger.chunks(made.RUN))

    def test_a_hold_that_comes_while_the_report_is_written_keeps_the_run_from_ending(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin()
        night.answer(1, *answered())
        night.collect()

        def hold(_key: str) -> None:
            night.ledger.hold(made.RUN, self.HOLD)

        monkeypatch.setattr(night.outputs, "before_write", hold)
        with pytest.raises(Conflict):
            report(night)
        assert night.run().state is RunState.OPEN


def test_a_reporter_that_is_overtaken_leaves_the_newer_report_alone(night: Night) -> None:
    night.begin()
    night.answer(1, *answered())
    overtaken: list[dict[str, int]] = []

    def late() -> datetime:
        if not overtaken:  # it has read the ledger, and is frozen: the others finish the run meanwhile
            overtaken.append(night.collect())
            report(night)
        return night.clock()

    Reporter(night.ledger, night.outputs, late).report(made.RUN)

    written = json.loads(night.outputs.files[f"runs/{made.RUN}/report.json"])
    assert (written["state"], written["accounted"]) == ("done", True)
    assert night.run().state is RunState.DONE


def test_reporting_twice_writes_the_same(night: Night) -> None:
    night.begin()
    night.answer(1, *answered())
    night.collect()
    assert report(night) == report(night)
