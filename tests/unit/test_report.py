"""A report adds up, or the run does not end."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.decision import fingerprint
from nightshift.errors import Conflict
from nightshift.model import Caching, ChunkId, Estimate, Hold, HoldCode, LeftOut, RowClass, RunState, Tally, chunk_id
from nightshift.money import PriceSheet, Rates
from nightshift.report import Reporter
from nightshift.report_model import Report
from nightshift.report_page import page
from nightshift.report_parts import Cost
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.night import Night, ids
from tests.unit.result_lines import canceled, expired, labelled, succeeded

FIRST, SECOND = chunk_id(0, 1), chunk_id(0, 2)
REPORT, PAGE = f"runs/{made.RUN}/report.json", f"runs/{made.RUN}/report.html"
REJECTS = Tally(rows={RowClass.REJECTED: 2, RowClass.DUPLICATE: 1}, changes={LeftOut.TRUNCATED: 3})
MOMENT = "2026-11-22T02:00:00Z"


PER_MILLION = {
    "input_tokens": ("input", "0.05"),
    "output_tokens": ("output", "0.25"),
    "ephemeral_5m_input_tokens": ("cache_write_5m", "0.0625"),
    "ephemeral_1h_input_tokens": ("cache_write_1h", "0.1"),
    "cache_read_input_tokens": ("cache_read", "0.005"),
}
"""USD per million tokens, in a batch; the synchronous API asks twice as much."""
BATCH, STANDARD = 1, 2
PER_SEARCH = Decimal("0.001")
PRICES = PriceSheet(
    model="claude-haiku-5-5",
    source="a list",
    on="2026-11-22",
    batch=Rates(50_000, 250_000, 62_500, 100_000, 5_000, web_search=10**9),
    standard=Rates(100_000, 500_000, 125_000, 200_000, 10_000, web_search=10**9),
)

PILOT_USAGE = {
    "input_tokens": 900,
    "output_tokens": 12,
    "cache_creation_input_tokens": 9000,
    "cache_creation": {"ephemeral_1h_input_tokens": 9000},
    "service_tier": "batch",
}
USAGE = {
    "input_tokens": 1000,
    "output_tokens": 7,
    "cache_creation_input_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 0},
    "cache_read_input_tokens": 8960,
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "batch",
}


def total(usages: list[dict[str, Any]], times: int) -> dict[str, Decimal]:
    """Return what requests cost in USD, by kind, worked out from prices per million."""
    paid = dict.fromkeys(["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"], Decimal(0))
    for name, (kind, price) in PER_MILLION.items():
        used = sum((usage | usage["cache_creation"]).get(name, 0) for usage in usages)
        paid[kind] = times * used * Decimal(price) / 10**6
    searches = sum(usage.get("server_tool_use", {}).get("web_search_requests", 0) for usage in usages)
    return paid | {"web_search": searches * PER_SEARCH}


def total_uncached(usages: list[dict[str, Any]]) -> Decimal:
    """Return what the requests had cost in a batch without a cache."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    plain = [
        usage
        | {"cache_creation": {}, "cache_read_input_tokens": 0, "input_tokens": sum(usage.get(n, 0) for n in names)}
        for usage in usages
    ]
    return sum(total(plain, BATCH).values(), Decimal(0))


def estimate(usd: str, low: str, high: str, bound: str, basis: str) -> Estimate:
    least, most, expected, at_most = (int(Decimal(amount) * 10**12) for amount in (low, high, usd, bound))
    made_at = START - timedelta(minutes=1)
    prompts = Estimate(6, 6, input_cost=1, input_low=1, input_high=1, input_synchronous=1, sample=30, at=made_at)
    return replace(prompts, basis=basis, expected=expected, low=least, high=most, bound=at_most)


def begin_with_money(night: Night) -> None:
    """Begin a night of two chunks, of which the first is a judged pilot and sent, that knows prices and estimates."""
    night.begin(
        chunks=2,
        sent=1,
        leftover=REJECTS,
        prices=PRICES,
        caching=Caching(9000, 512, "1h", "cache breakpoint for 1h: it pays"),
        pilot=3,
        piloted=True,
        estimate=estimate("0.01", "0.001", "0.02", "0.02", "labels"),
        revised=estimate("0.007", "0.0065", "0.009", "0.02", "the pilot"),
    )


def labelled_with(name: str, usage: dict[str, Any], label: str = "billing") -> bytes:
    return succeeded(name, json.dumps({"label": label}), usage=usage)


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def report(night: Night) -> dict[str, Any]:
    """Report, and return what was written."""
    Reporter(night.ledger, night.outputs, night.clock).report(made.RUN)
    written: dict[str, Any] = json.loads(night.outputs.files[REPORT], parse_float=Decimal)
    return written


def the_report(night: Night) -> Report:
    """Return the report that stands, as the published schema has it."""
    return msgspec.json.decode(night.outputs.files[REPORT], type=Report)


def answered(chunk: ChunkId = FIRST) -> list[bytes]:
    return [labelled(name) for name in ids(chunk, 3)]


def counts(**rows: int) -> dict[str, int]:
    return {name: rows.get(name, 0) for name in RowClass}


class TestDone:
    def test_a_run_whose_rows_add_up_is_done_and_its_report_says_all(self, night: Night) -> None:
        begin_with_money(night)
        night.answer(1, *(labelled_with(name, PILOT_USAGE) for name in ids(FIRST, 3)))
        night.clock.move(minutes=30)
        night.collect()
        night.send(SECOND)
        a, b, c = ids(SECOND, 3)
        night.answer(2, labelled_with(a, USAGE, "technical"), succeeded(b, "no", usage=USAGE), canceled(c))
        night.clock.move(minutes=45)
        night.outputs.files[f"runs/{made.RUN}/rejects/last.jsonl"] = (
            b'{"id":null,"code":"BAD_JSON"}\n{"id":"x","code":"BAD_JSON"}\n{"id":"y","code":"DUPLICATE_ROW"}\n'
        )
        night.collect()
        night.clock.move(seconds=7)
        home = f"s3://outputs/runs/{made.RUN}"
        usages = [PILOT_USAGE] * 3 + [USAGE] * 2
        paid, synchronous = total(usages, BATCH), sum(total(usages, STANDARD).values())
        spent, uncached = sum(paid.values()), total_uncached(usages)
        assert report(night) == {
            "run_id": made.RUN,
            "headline": (
                "4 of 9 tickets answered for $0.0050; the same work would have cost $0.0081 synchronously: "
                "$0.0030 saved, 38\N{NO-BREAK SPACE}%"
            ),
            "job": {"name": "triage", "key": "jobs/triage.yaml", "version_id": "v1"},
            "job_file": f"{home}/job.yaml",
            "trigger": "upload",
            "state": "done",
            "hold": None,
            "home": f"{home}/",
            "inputs": [
                {"uri": "s3://inputs/inbox/triage/a.jsonl", "version_id": "v1", "size": 100, "last_modified": MOMENT}
            ],
            "created": MOMENT,
            "first_sent": MOMENT,
            "last_ended": "2026-11-22T02:30:00Z",
            "reported": "2026-11-22T03:15:07Z",
            "rows": 9,
            "counts": counts(answered=4, invalid=1, canceled=1, rejected=2, duplicate=1),
            "waiting": 0,
            "accounted": True,
            "reject_codes": {"BAD_JSON": 2, "DUPLICATE_ROW": 1},
            "changes": {"truncated": 3},
            "reasons": {"not_json": 1, "canceled": 1},
            "answers": {"billing": 3, "technical": 1},
            "usage": {
                "input_tokens": 3 * 900 + 2 * 1000,
                "output_tokens": 3 * 12 + 2 * 7,
                "cache_creation_input_tokens": 3 * 9000 + 2 * 40,
                "ephemeral_5m_input_tokens": 2 * 40,
                "ephemeral_1h_input_tokens": 3 * 9000,
                "cache_read_input_tokens": 2 * 8960,
                "web_search_requests": 2,
            },
            "tokens": {
                "input": 4700,
                "output": 50,
                "cache_write_5m": 80,
                "cache_write_1h": 27000,
                "cache_read": 17920,
                "web_search": 2,
            },
            "service_tiers": {"batch": 5},
            "discount": {"rows": {"batch": 5}, "undiscounted": 0, "warning": ""},
            "cost": {
                "actual_usd": spent,
                "synchronous_usd": synchronous,
                "saved_usd": synchronous - spent,
                "saved_ratio": round((synchronous - spent) / synchronous, 6),
                "uncached_usd": uncached,
                "by_kind": paid,
                "estimated_usd": Decimal("0.007"),
                "first_estimated_usd": Decimal("0.01"),
                "low_usd": Decimal("0.0065"),
                "high_usd": Decimal("0.009"),
                "bound_usd": Decimal("0.02"),
                "basis": "the pilot",
                "sample": 30,
                "estimate_error": round(spent / Decimal("0.007") - 1, 6),
                "prices": {"model": "claude-haiku-5-5", "source": "a list", "on": "2026-11-22"},
            },
            "cache": {
                "verdict": "caching cost $0.00054 more than none; turn it off or make the prefix longer",
                "prefix_tokens": 9000,
                "minimum_tokens": 512,
                "ttl": "1h",
                "why": "cache breakpoint for 1h: it pays",
                "read_tokens": 17920,
                "written_tokens": {"5m": 80, "1h": 27000},
                "hit_rate": round(Decimal(17920) / 45000, 6),
                "saved_usd": uncached - spent,
            },
            "pilot": {"rows": 3, "judged": True, "waited_out": False},
            "timings": {
                "uploaded": MOMENT,
                "created": MOMENT,
                "planned": "2026-11-22T01:59:00Z",
                "first_sent": MOMENT,
                "last_ended": "2026-11-22T02:30:00Z",
                "last_collected": "2026-11-22T03:15:00Z",
                "reported": "2026-11-22T03:15:07Z",
                "waiting_seconds": 0,
                "queue_seconds": 0,
                "processing_seconds": 30 * 60,
                "collecting_seconds": 45 * 60,
            },
            "tickets": {"written": 4, "unchanged": 0, "refused": 0},
            "strange": 0,
            "generations": 1,
            "batches": [
                {
                    "batch_id": f"msgbatch_0{number}",
                    "chunk": chunk,
                    "rows": 3,
                    "state": "COLLECTED",
                    "request_counts": {"processing": 0, "succeeded": 3},
                    "created": at,
                    "ended": at,
                    "adopted": False,
                    "strange": 0,
                    "cost_usd": sum(total(used, BATCH).values()),
                }
                for number, chunk, at, used in (
                    (1, FIRST, MOMENT, usages[:3]),
                    (2, SECOND, "2026-11-22T02:30:00Z", usages[3:]),
                )
            ],
            "files": {
                "output": [f"{home}/output/{chunk}-000000000000.jsonl" for chunk in (FIRST, SECOND)],
                "failed": [f"{home}/failed/{SECOND}-000000000000.jsonl"],
                "rejects": [f"{home}/rejects/last.jsonl"],
                "refused": [],
                "raw": [f"{home}/raw/{FIRST}-msgbatch_01.jsonl", f"{home}/raw/{SECOND}-msgbatch_02.jsonl"],
            },
            "merged": f"{home}/output.jsonl",
            "verification": None,
        }
        assert night.run().state is RunState.DONE

    def test_a_run_of_nothing_but_rejects_is_done(self, night: Night) -> None:
        night.begin(chunks=0, leftover=REJECTS)
        written = report(night)
        assert (written["state"], written["rows"], written["first_sent"]) == ("done", 3, None)

    def test_a_run_that_was_planned_anew_has_the_files_of_that_plan(self, night: Night) -> None:
        night.begin(chunks=0, leftover=REJECTS, plan=2)
        home = f"runs/{made.RUN}"
        for folder, code in (("rejects", "OF_THE_OLD_PLAN"), ("rejects-2", "BAD_JSON")):
            night.outputs.files[f"{home}/{folder}/last.jsonl"] = b'{"code":"%s"}\n' % code.encode()
        written = report(night)
        assert (written["reject_codes"], written["files"]["rejects"], written["job_file"]) == (
            {"BAD_JSON": 1},
            [f"s3://outputs/{home}/rejects-2/last.jsonl"],
            f"s3://outputs/{home}/job-2.yaml",
        )

    def test_a_second_generation_is_counted_and_its_rows_once(self, night: Night) -> None:
        night.rows = 1
        night.begin(max_generations=1)
        night.answer(1, expired(ids(FIRST, 1)[0]))
        night.collect()
        again = chunk_id(1, 1)
        night.plan(again)
        night.ledger.next_generation(night.ledger.run(made.RUN), anew=False)
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


class TestOvertaken:
    def test_a_reporter_that_is_overtaken_leaves_the_newer_report_and_its_page_alone(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered())
        overtaken: list[dict[str, int]] = []

        def late() -> datetime:
            if not overtaken:  # it has read the ledger, and is frozen: the others finish the run meanwhile
                overtaken.append(night.collect())
                report(night)
            return night.clock()

        Reporter(night.ledger, night.outputs, late).report(made.RUN)

        written = json.loads(night.outputs.files[REPORT])
        assert (written["state"], written["accounted"]) == ("done", True)
        assert night.outputs.files[PAGE] == page(the_report(night))
        assert night.run().state is RunState.DONE

    def test_a_run_that_is_resumed_while_its_report_says_held_wants_another_report(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin()
        night.answer(1, *answered())
        night.collect()
        night.ledger.hold(made.RUN, Hold(HoldCode.BY_HAND, "wrong file", night.clock()))
        replace_object = night.outputs.replace

        def freeze(key: str, data: bytes, tag: str) -> bool:
            if key == REPORT and night.run().hold is not None:
                night.ledger.release(night.run(), approve=None)
            return replace_object(key, data, tag)

        monkeypatch.setattr(night.outputs, "replace", freeze)
        assert report(night)["state"] == "held"
        assert night.run().reported != fingerprint(night.run(), night.ledger.chunks(made.RUN))
        assert report(night)["state"] == "done"

    @pytest.mark.parametrize("frozen_before", [REPORT, PAGE])
    def test_whenever_a_reporter_is_frozen_the_page_ends_as_that_of_the_report_that_stands(
        self, night: Night, monkeypatch: pytest.MonkeyPatch, frozen_before: str
    ) -> None:
        night.begin()
        night.answer(1, *answered())
        freezes = iter([True])
        replace_object = night.outputs.replace

        def freeze(key: str, data: bytes, tag: str) -> bool:
            if key == frozen_before and next(freezes, False):
                night.collect()
                report(night)
            return replace_object(key, data, tag)

        monkeypatch.setattr(night.outputs, "replace", freeze)
        report(night)

        assert json.loads(night.outputs.files[REPORT])["state"] == "done"
        assert night.outputs.files[PAGE] == page(the_report(night))

    def test_a_page_that_a_frozen_reporter_put_is_replaced_by_that_of_the_report_that_stands(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        night.begin()
        late = iter([b"of an older report"])
        tag_of = night.outputs.tag

        def tag(key: str) -> str:
            seen = tag_of(key)
            if key == PAGE and (page_of_another := next(late, None)):
                night.outputs.files[PAGE] = page_of_another
            return seen

        monkeypatch.setattr(night.outputs, "tag", tag)
        report(night)
        assert night.outputs.files[PAGE] == page(the_report(night))


class TestMoney:
    def test_a_model_without_a_price_has_no_costs(self, night: Night) -> None:
        night.begin()
        night.answer(1, *answered())
        night.collect()
        written = report(night)
        assert written["cost"] == {**dict.fromkeys(Cost.__struct_fields__)}
        assert (written["batches"][0]["cost_usd"], written["cache"]["saved_usd"]) == (None, None)
        assert written["cache"]["verdict"] == "the cache was used; without a price nobody can say what that saved"
        assert written["headline"] == (
            "3 tickets answered; what that cost is not known, because the model has no known price"
        )

    def test_rows_that_were_not_discounted_are_loud_and_save_nothing(self, night: Night) -> None:
        night.begin(prices=PRICES)
        tiers = ("batch", "standard", "")
        night.answer(
            1,
            *(
                labelled_with(name, PILOT_USAGE | {"service_tier": tier})
                for name, tier in zip(ids(FIRST, 3), tiers, strict=True)
            ),
        )
        night.collect()
        written = report(night)
        assert written["discount"] == {
            "rows": {"batch": 1, "standard": 1, "none": 1},
            "undiscounted": 2,
            "warning": (
                "2 of 3 billed rows were NOT billed at the batch price (service tier none: 1, standard: 1): "
                "ask Anthropic why, with the ids of the batches"
            ),
        }
        in_batch, at_once = (sum(total([PILOT_USAGE], times).values()) for times in (BATCH, STANDARD))
        assert written["cost"]["actual_usd"] == in_batch + 2 * at_once
        assert written["cost"]["synchronous_usd"] == 3 * at_once
        assert written["cost"]["saved_usd"] == at_once - in_batch
        assert '<h2 id="discount">The discount is missing</h2>' in night.outputs.files[PAGE].decode()

    def test_tokens_of_an_api_that_does_not_tell_cache_writes_apart_are_those_of_five_minutes(
        self, night: Night
    ) -> None:
        night.begin(prices=PRICES)
        old = {"input_tokens": 1, "cache_creation_input_tokens": 50, "output_tokens": 1, "service_tier": "batch"}
        night.answer(
            1,
            *(labelled_with(name, usage) for name, usage in zip(ids(FIRST, 3), [old, USAGE, PILOT_USAGE], strict=True)),
        )
        night.collect()
        written = report(night)
        assert (written["tokens"]["cache_write_5m"], written["tokens"]["cache_write_1h"]) == (50 + 40, 9000)
        assert written["cost"]["by_kind"]["cache_write_5m"] == Decimal("0.0625") * 90 / 10**6

    def test_the_error_of_an_estimate_is_not_told_before_every_row_is_in_a_class(self, night: Night) -> None:
        begin_with_money(night)
        night.answer(1, *(labelled_with(name, PILOT_USAGE) for name in ids(FIRST, 3)))
        night.collect()
        written = report(night)
        assert (written["cost"]["estimate_error"], written["accounted"]) == (None, False)
        assert written["cache"]["verdict"].startswith("so far, caching cost $0.0014 more than none; ")
        assert written["headline"].startswith("So far, 3 of 9 tickets answered for ")


class TestNothing:
    def test_a_run_of_no_rows_is_done_and_says_so(self, night: Night) -> None:
        night.begin(chunks=0)
        written = report(night)
        assert (written["state"], written["rows"], written["accounted"]) == ("done", 0, True)
        assert written["headline"] == "There were no rows: nothing was asked, and nothing was paid"
        assert b"There were none." in night.outputs.files[PAGE]

    def test_a_held_run_that_sent_nothing_says_what_to_do(self, night: Night) -> None:
        night.begin(sent=0)
        night.ledger.hold(made.RUN, TestHeld.HOLD)
        written = report(night)
        assert written["headline"] == "Held, and nothing was billed so far: NO_MONEY"
        text = night.outputs.files[PAGE].decode()
        assert f"<code>nightshift resume {made.RUN}</code>" in text
        assert "Raise the limit." in text


class TestVerification:
    FOUND: ClassVar[dict[str, Any]] = {
        "sample": 3,
        "asked": 2,
        "answered": 1,
        "compared": 1,
        "agree": 1,
        "rows": [
            {
                "id": "1",
                "custom_id": "x-g0-000001-000001",
                "batch_class": "answered",
                "batch_answer": "a" * 201,
                "sync_class": "answered",
                "sync_answer": {"text": "b" * 300},
                "agrees": True,
                "batch_cost_usd": 0.000000000001,
                "sync_cost_usd": 0.000000000002,
                "latency_seconds": 1.5,
                "error": "",
            },
            {
                "id": "2",
                "custom_id": "x-g0-000001-000002",
                "batch_class": "invalid",
                "batch_answer": None,
                "sync_class": None,
                "sync_answer": None,
                "agrees": None,
                "batch_cost_usd": None,
                "sync_cost_usd": None,
                "latency_seconds": None,
                "error": "not known",
            },
        ],
        "cost_usd": 0.000000000002,
        "said_usd": 0.01,
        "latency": {"median": 1.5, "max": 1.5},
        "token_classes": {
            "input": {
                "batch_tokens": 1,
                "sync_tokens": 1,
                "batch_usd": 0.000000000001,
                "sync_usd": 0.000000000002,
                "ratio": 2.0,
            }
        },
        "note": "it ended early",
    }

    def test_what_a_verification_found_is_repeated_and_long_answers_are_cut(self, night: Night) -> None:
        night.begin()
        night.outputs.files[f"runs/{made.RUN}/verification.json"] = json.dumps(self.FOUND).encode()
        written = json.loads(json.dumps(report(night)["verification"], default=float))
        rows = self.FOUND["rows"]
        cut = {"batch_answer": "a" * 200 + "…", "sync_answer": '{"text":"' + "b" * 191 + "…"}
        assert written == self.FOUND | {"rows": [rows[0] | cut, rows[1]]}

    def test_a_file_whose_name_begins_alike_is_no_verification(self, night: Night) -> None:
        night.begin()
        night.outputs.files[f"runs/{made.RUN}/verification.json.old"] = b""
        assert report(night)["verification"] is None


def test_reporting_twice_writes_the_same(night: Night) -> None:
    night.begin()
    night.answer(1, *answered())
    night.collect()
    assert report(night) == report(night)


def test_a_report_s_line_of_the_log_has_counts_codes_and_money_and_no_file_s_name(night: Night) -> None:
    night.begin()
    reporter = Reporter(night.ledger, night.outputs, night.clock)
    assert reporter.report(made.RUN).line["hold"] == ""  # not absent: a hold that was lifted would be shown on
    night.ledger.hold(made.RUN, Hold(HoldCode.API_REJECTED, "its words: canary", START))
    line = reporter.report(made.RUN).line
    assert line == {
        "job": "triage",
        "state": "held",
        "hold": "API_REJECTED",
        "rows": 3,
        "answered": 0,
        "cost_usd": None,
    }
