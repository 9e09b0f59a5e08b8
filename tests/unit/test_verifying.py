"""A sample is asked once more, no row twice, for no more than was said, and nothing else of the run is touched."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import (
    Ambiguous,
    ApiError,
    Conflict,
    NoMoney,
    NotAccepted,
    NotSent,
    Redirected,
    Rejected,
    Unauthorized,
)
from nightshift.invariants import Violation, of_months
from nightshift.model import Budget, Run, RunId, RunState, Verifying, chunk_id
from nightshift.money import PICO
from nightshift.prices import price_sheet
from nightshift.proposing import Wish, propose
from nightshift.report import Reporter
from nightshift.requests import request_line
from nightshift.sampling import Bill, bound, places
from nightshift.verification import NOT_KNOWN, mark
from nightshift.verifying import FAILURES, Verified, Verifier
from tests.unit.conftest import MovableClock
from tests.unit.made import MONTH, RUN
from tests.unit.night import JOB, Night, ids
from tests.unit.result_lines import canceled, errored, expired, labelled, succeeded

PRICES = price_sheet("claude-haiku-5-5", date(2026, 11, 22))
FIRST = chunk_id(0, 1)
SYNC_USAGE = {"input_tokens": 26, "output_tokens": 5, "service_tier": "standard"}
BOUND = 16 * 100_000 + 10 * 200_000 + 64 * 500_000
"""Picodollars, by hand: a row's 16 + 10 tokens, the 10 cacheable ones written for an hour, and 64 of answer."""
SYNC = 26 * 100_000 + 5 * 500_000
BATCH = 16 * 50_000 + 2 * 62_500 + 5 * 100_000 + 3 * 5_000 + 5 * 250_000
SCHEMA_JOB = JOB.replace(
    b"labels: [billing, technical]",
    b"schema: {type: object, additionalProperties: false, required: [n, ok], "
    b"properties: {n: {type: integer}, ok: {type: boolean}}}",
)
TEXT_JOB = JOB.replace(b"labels: [billing, technical]", b"text: true")
FILES_JOB = JOB + b"attachments: [{type: image, url: '{{ body }}'}]\nbetas: [files-api-2025-04-14]\n"
TOOLS_JOB = JOB + b"params: {tools: [{type: web_search_20250305, name: web_search}]}\n"


class Killed(BaseException):
    """Whoever is at work dies here."""


@pytest.fixture
def night(ledger: DynamoLedger, clock: MovableClock) -> Night:
    return Night(ledger, clock)


def says(text: str, **changes: Any) -> dict[str, Any]:
    """Return a message as the API writes it."""
    content = [{"type": "text", "text": text}]
    return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": SYNC_USAGE} | changes


def says_label(label: str = "billing") -> dict[str, Any]:
    return says(json.dumps({"label": label}))


def params(name: str) -> bytes:
    """Return a row's request: its bytes are its own."""
    return (
        f'{{"model":"claude-haiku-5-5","max_tokens":64, "messages":[{{"role":"user","content":"{name} é"}}]}}'.encode()
    )


def done(night: Night, *lines: bytes, **run: Any) -> Run:
    """Bring a run of these results to its end, three to a chunk; return it."""
    chunks = len(lines) // night.rows
    night.begin(chunks=chunks, prices=PRICES, **run)
    for number in range(1, chunks + 1):
        plan(night, number)
        night.answer(number, *lines[(number - 1) * night.rows : number * night.rows])
    night.collect()
    Reporter(night.ledger, night.outputs, night.clock).report(RUN)
    assert night.run().state is RunState.DONE
    return night.run()


def plan(night: Night, number: int, generation: int = 0) -> None:
    name = chunk_id(generation, number)
    requests = b"".join(request_line(each, params(each)) for each in ids(name, night.rows))
    night.outputs.files[run_files.plan(RUN, name, 1)] = requests


def verify(night: Night, cap: int | None = None, owner: str = "me", **wish: Any) -> Verified:
    reporter = Reporter(night.ledger, night.outputs, night.clock)
    verifier = Verifier(night.ledger, night.api, night.outputs, reporter.report, night.clock, cap)
    return verifier.verify(RUN, Wish(**wish), owner=owner, deadline=night.deadline)


def found(night: Night) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(night.outputs.files[run_files.verification(RUN)], parse_float=Decimal)
    return record


def rows(night: Night) -> dict[str, dict[str, Any]]:
    return {row["custom_id"]: row for row in found(night)["rows"]}


def answers(**by_number: Any) -> Callable[[bytes], Mapping[str, Any]]:
    """Answer the rows of the first chunk by their number, `r1=…`; an error is raised."""
    by_params = {params(name): by_number[f"r{number}"] for number, name in enumerate(ids(FIRST, 3), start=1)}

    def speak(asked: bytes) -> Mapping[str, Any]:
        answer = by_params[asked]
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    return speak


def usd(picodollars: int) -> Decimal:
    return Decimal(picodollars) / PICO


class TestComparing:
    def test_both_answers_of_each_row_stand_side_by_side_with_what_they_cost(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        done(night, labelled(a), labelled(b, "technical"), succeeded(c, None, stop_reason="refusal"))

        def speak(asked: bytes) -> Mapping[str, Any]:
            night.clock.move(seconds={params(a): 1.5, params(b): 0.25, params(c): 4}[asked])
            return answers(r1=says_label("BILLING"), r2=says_label("billing"), r3=says("", stop_reason="refusal"))(
                asked
            )

        night.api.speak = speak

        assert verify(night) == Verified(asked=3, answered=3, agree=2, spent="$0.000015")

        shared = {"batch_cost_usd": usd(BATCH), "sync_cost_usd": usd(SYNC)}
        billing = {"batch_class": "answered", "batch_answer": "billing", "sync_class": "answered"}
        refused = {"batch_class": "refused", "batch_answer": None, "sync_class": "refused", "sync_answer": None}
        record = found(night)
        assert {row["custom_id"]: row for row in record.pop("rows")} == {
            a: billing
            | {"id": a[9:], "custom_id": a, "sync_answer": "billing", "agrees": True, "error": ""}
            | {"latency_seconds": Decimal("1.5")}
            | shared,
            b: billing
            | {"id": b[9:], "custom_id": b, "batch_answer": "technical", "sync_answer": "billing", "agrees": False}
            | {"latency_seconds": Decimal("0.25"), "error": ""}
            | shared,
            c: refused
            | {"id": c[9:], "custom_id": c, "agrees": True, "latency_seconds": Decimal(4), "error": "refusal"}
            | shared,
        }
        none = {"batch_tokens": 0, "sync_tokens": 0, "sync_usd": 0, "ratio": 0}
        assert record == {
            "sample": 3,
            "asked": 3,
            "answered": 3,
            "compared": 3,
            "agree": 2,
            "cost_usd": usd(3 * SYNC),
            "said_usd": usd(3 * BOUND),
            "latency": {"median": Decimal("1.5"), "max": 4},
            "token_classes": {
                "cache_read": none | {"batch_tokens": 9, "batch_usd": usd(3 * 3 * 5_000)},
                "cache_write_1h": none | {"batch_tokens": 15, "batch_usd": usd(3 * 5 * 100_000)},
                "cache_write_5m": none | {"batch_tokens": 6, "batch_usd": usd(3 * 2 * 62_500)},
                "input": {
                    "batch_tokens": 48,
                    "sync_tokens": 78,
                    "batch_usd": usd(3 * 16 * 50_000),
                    "sync_usd": usd(3 * 26 * 100_000),
                    "ratio": Decimal("3.25"),
                },
                "output": {
                    "batch_tokens": 15,
                    "sync_tokens": 15,
                    "batch_usd": usd(3 * 5 * 250_000),
                    "sync_usd": usd(3 * 5 * 500_000),
                    "ratio": 2,
                },
            },
            "note": "",
        }

    def test_the_very_bytes_of_the_plan_are_asked_each_once(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        night.api.speak = lambda _params: says_label()
        verify(night)
        assert sorted(night.api.asked) == [params(name) for name in ids(FIRST, 3)]

    def test_objects_agree_whatever_the_order_of_their_keys(self, night: Night) -> None:
        night.job = SCHEMA_JOB
        done(night, *(succeeded(name, '{"n": 1, "ok": true}') for name in ids(FIRST, 3)))
        night.api.speak = answers(
            r1=says('{"ok": true, "n": 1}'), r2=says('{"ok": true, "n": 2}'), r3=says('{"ok": "yes", "n": 1}')
        )
        verify(night)
        seen = [(row["sync_class"], row["sync_answer"], row["agrees"]) for _, row in sorted(rows(night).items())]
        assert seen == [
            ("answered", {"n": 1, "ok": True}, True),
            ("answered", {"n": 2, "ok": True}, False),
            ("invalid", None, False),
        ]
        assert (found(night)["compared"], found(night)["agree"]) == (3, 1)

    def test_two_answers_that_are_none_agree_only_where_both_are_none_for_the_same_reason(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        done(night, succeeded(a, None, stop_reason="refusal"), succeeded(b, "no"), labelled(c))
        refusal = says("", stop_reason="refusal")
        night.api.speak = answers(r1=says("no"), r2=says("neither"), r3=refusal)
        verify(night)
        assert {name: row["agrees"] for name, row in rows(night).items()} == {a: False, b: True, c: False}

    def test_texts_are_shown_and_not_judged(self, night: Night) -> None:
        night.job = TEXT_JOB
        done(night, *(succeeded(name, "a text") for name in ids(FIRST, 3)))
        night.api.speak = lambda _params: says("a text")
        verify(night)
        seen = {(row["batch_answer"], row["sync_answer"], row["agrees"]) for row in rows(night).values()}
        assert (seen, found(night)["compared"], found(night)["agree"]) == ({("a text", "a text", None)}, 0, 0)

    def test_where_the_model_did_not_speak_there_is_nothing_to_agree_about(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        done(night, expired(a), errored(b), canceled(c))
        night.api.speak = lambda _params: says_label()
        verify(night)
        seen = [(row["batch_class"], row["agrees"], row["batch_cost_usd"]) for _, row in sorted(rows(night).items())]
        assert seen == [("expired", None, 0), ("errored", None, 0), ("canceled", None, 0)]
        assert found(night)["token_classes"] == {}
        worst = 200_000 * len(params(a)) + 64 * 500_000  # no usage: as many tokens as bytes
        assert found(night)["said_usd"] == usd(3 * worst)


class TestNothingElse:
    def test_the_run_its_tickets_and_its_output_stay_as_they_are(self, night: Night) -> None:
        before = done(night, *map(labelled, ids(FIRST, 3)))
        files, tickets = dict(night.outputs.files), dict(night.tickets.items)
        night.api.speak = lambda _params: says_label("technical")

        verify(night)

        after = night.run()
        assert after == replace(before, verified=True, verify_spent=3 * SYNC, reported=after.reported)
        assert night.tickets.items == tickets
        changed = {key for key, data in night.outputs.files.items() if files.get(key) != data}
        home = f"runs/{RUN}/"
        assert {key.removeprefix(home) for key in changed if not key.startswith(f"{home}verify/")} <= {
            "verification.json",
            "report.json",
            "report.html",
        }

    def test_it_has_no_way_to_a_ticket(self) -> None:
        assert [field.name for field in fields(Verifier)] == ["ledger", "api", "outputs", "report", "clock", "cap"]

    def test_a_run_that_is_not_done_is_left_alone(self, night: Night) -> None:
        night.begin(prices=PRICES)
        before, files = night.run(), dict(night.outputs.files)
        assert verify(night) == Verified(note="the run is not done")
        assert (night.run(), night.outputs.files, night.api.asked) == (before, files, [])


class TestMoney:
    @pytest.mark.parametrize(
        ("max_usd", "asked"),
        [(BOUND - 1, 0), (BOUND, 1), (BOUND + SYNC - 1, 1), (BOUND + SYNC, 2), (BOUND + 2 * SYNC, 3), (10 * BOUND, 3)],
    )
    def test_a_row_is_asked_only_where_it_cannot_cost_more_than_is_left(
        self, night: Night, max_usd: int, asked: int
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        before = night.ledger.budget(MONTH)
        night.api.speak = lambda _params: says_label()

        note = verify(night, max_usd=float(usd(max_usd))).note

        record = found(night)
        assert (len(night.api.asked), record["asked"], record["cost_usd"]) == (asked, asked, usd(asked * SYNC))
        assert record["said_usd"] == usd(min(max_usd, 3 * BOUND))
        assert note.startswith("ended early: the next row may cost $0.000036, and ") == (asked < 3)
        after = night.ledger.budget(MONTH)
        assert after == Budget(before.committed + asked * SYNC, before.spent + asked * SYNC)

    def test_answers_at_their_longest_cost_what_was_said(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        written = {"ephemeral_1h_input_tokens": 10, "ephemeral_5m_input_tokens": 0}
        worst = {"input_tokens": 16, "cache_creation": written, "output_tokens": 64, "service_tier": "standard"}
        night.api.speak = lambda _params: says("", stop_reason="max_tokens", usage=worst)
        verify(night)
        assert (found(night)["cost_usd"], found(night)["said_usd"]) == (usd(3 * BOUND), usd(3 * BOUND))

    @pytest.mark.parametrize(
        ("usage", "geo", "picodollars"),
        [
            ({"input_tokens": 7}, "", 7 * 100_000 + 64 * 500_000),
            ({"input_tokens": 7}, "us", (7 * 100_000 + 64 * 500_000) * 11 // 10),
            ({"input_tokens": 7, "inference_geo": "us"}, "", (7 * 100_000 + 64 * 500_000) * 11 // 10),
            ({"input_tokens": 7, "cache_read_input_tokens": 3}, "", 7 * 100_000 + 3 * 200_000 + 64 * 500_000),
            ({"input_tokens": 100_001}, "", 100_001 * 500_000 + 64 * 2_500_000),
        ],
        ids=["plain", "in the US", "billed in the US", "cached", "long"],
    )
    def test_a_row_costs_at_most_its_prompt_written_to_the_cache_and_its_longest_answer(
        self, usage: dict[str, Any], geo: str, picodollars: int
    ) -> None:
        asked: dict[str, Any] = {"max_tokens": 64} | ({"inference_geo": geo} if geo else {})
        assert bound(json.dumps(asked).encode(), Bill.of(usage, PRICES), PRICES) == picodollars

    def test_what_it_may_cost_is_reserved_while_it_is_at_work(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        before, seen = night.ledger.budget(MONTH), []

        def speak(_params: bytes) -> Mapping[str, Any]:
            seen.append((night.ledger.budget(MONTH), night.run().verifying))
            return says_label()

        night.api.speak = speak
        verify(night)
        mine = Verifying("me", night.deadline, MONTH, 3 * BOUND)
        assert seen == [(replace(before, committed=before.committed + 3 * BOUND), mine)] * 3

    def test_months_and_runs_add_up_while_it_is_at_work_and_after(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)), reserved=0, row_reserve=0)
        wrong: list[Violation] = []

        def speak(_params: bytes) -> Mapping[str, Any]:
            wrong.extend(of_months({MONTH: night.ledger.budget(MONTH)}, [night.run()]))
            return says_label()

        night.api.speak = speak
        verify(night)
        wrong.extend(of_months({MONTH: night.ledger.budget(MONTH)}, [night.run()]))
        assert wrong == []

    @pytest.mark.parametrize(("room", "asked"), [(3 * BOUND, 3), (3 * BOUND - 1, 0)])
    def test_a_month_without_room_for_it_has_nothing_asked(self, night: Night, room: int, asked: int) -> None:
        done(night, *map(labelled, ids(FIRST, 3)), reserved=0, row_reserve=0)
        before = night.ledger.budget(MONTH)
        assert before == Budget(3 * BATCH, 3 * BATCH)
        night.api.speak = lambda _params: says_label()

        note = verify(night, cap=3 * BATCH + room).note

        full = f"nothing was asked: $0.0000081 of {MONTH} are spent or reserved, the sample may cost $0.00011, "
        assert note == ("" if asked else f"{full}and the stack's MonthlyCapUsd is $0.00011")
        assert (len(night.api.asked), found(night)["asked"], found(night)["note"]) == (asked, asked, note)
        assert night.ledger.budget(MONTH) == Budget(3 * BATCH + asked * SYNC, 3 * BATCH + asked * SYNC)
        assert (night.run().verified, night.run().verifying) == (True, None)

    def test_a_model_without_a_price_and_tools_without_a_bound_are_not_verified(self, night: Night) -> None:
        night.job = TOOLS_JOB
        done(night, *map(labelled, ids(FIRST, 3)))
        verify(night)
        assert (found(night)["asked"], found(night)["said_usd"], night.run().verified) == (0, 0, True)
        assert found(night)["note"] == "what server tools add to a request has no bound, and so has its cost"
        unpriced = replace(night.run(), prices=None)
        refusal = propose(night.outputs, unpriced, night.ledger.chunks(RUN), Wish()).refusal
        assert refusal == "claude-haiku-5-5 has no known price, so nobody can say what a sample would cost"
        assert night.api.asked == []


class TestDeaths:
    def test_a_row_that_was_asked_when_its_verifier_died_is_not_known_and_never_asked_again(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        before = night.ledger.budget(MONTH)
        night.api.speak = lambda _params: says_label() if len(night.api.asked) == 1 else kill()
        with pytest.raises(Killed):
            verify(night, owner="the first")
        lost = night.api.asked[1]
        night.api.speak = lambda _params: says_label()

        assert verify(night, owner="too early") == Verified(note="somebody verifies the run already")
        night.clock.move(minutes=15)
        later = verify(night, owner="the next")

        assert sorted(night.api.asked) == [params(name) for name in ids(FIRST, 3)]
        (name,) = [name for name in ids(FIRST, 3) if params(name) == lost]
        row = rows(night)[name]
        assert (row["error"], row["sync_class"], row["sync_cost_usd"], row["agrees"]) == (NOT_KNOWN, None, None, None)
        assert later.note == "what 1 rows cost is not known, at most $0.000036"
        assert (found(night)["asked"], found(night)["answered"], found(night)["cost_usd"]) == (3, 2, usd(2 * SYNC))
        spent = 2 * SYNC + BOUND
        assert night.run().verify_spent == spent
        assert night.ledger.budget(MONTH) == Budget(before.committed + spent, before.spent + spent)

    @pytest.mark.parametrize("after", range(8))  # a mark and an answer for each row, the comparison, the report
    def test_killed_before_any_of_its_writes_it_goes_on_without_asking_or_paying_twice(
        self, night: Night, after: int
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        before = night.ledger.budget(MONTH)
        night.api.speak = lambda _params: says_label()
        night.outputs.before_write = countdown(after)
        with pytest.raises(Killed):
            verify(night)
        night.outputs.before_write = lambda _key: None
        night.clock.move(minutes=15)

        verify(night, owner="the next")

        assert sorted(night.api.asked) == sorted(set(night.api.asked))
        record = found(night)
        lost = record["asked"] - record["answered"]
        assert (record["asked"], lost <= 1) == (3, True)
        spent = record["answered"] * SYNC + lost * BOUND
        assert (night.run().verify_spent, night.run().verifying, night.run().verified) == (spent, None, True)
        assert night.ledger.budget(MONTH) == Budget(before.committed + spent, before.spent + spent)

    @pytest.mark.parametrize("method", ["start_verify", "end_verify"])
    @pytest.mark.parametrize("done_first", [False, True])
    def test_killed_beside_its_money_it_reserves_and_settles_it_once(
        self, night: Night, monkeypatch: pytest.MonkeyPatch, method: str, *, done_first: bool
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        before = night.ledger.budget(MONTH)
        night.api.speak = lambda _params: says_label()
        real = getattr(DynamoLedger, method)

        def mortal(*args: Any, **named: Any) -> None:
            if done_first:
                real(*args, **named)
            raise Killed

        monkeypatch.setattr(DynamoLedger, method, mortal)
        with pytest.raises(Killed):
            verify(night)
        monkeypatch.undo()
        night.clock.move(minutes=15)
        verify(night, owner="the next")

        assert sorted(night.api.asked) == [params(name) for name in ids(FIRST, 3)]
        assert (night.run().verify_spent, night.run().verifying) == (3 * SYNC, None)
        assert night.ledger.budget(MONTH) == Budget(before.committed + 3 * SYNC, before.spent + 3 * SYNC)

    def test_whoever_is_frozen_before_a_mark_does_not_ask_its_row(
        self, night: Night, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        replace_object = night.outputs.replace

        def freeze(key: str, data: bytes, tag: str) -> bool:
            if key.endswith(".asked"):
                night.clock.move(minutes=40)  # whoever came after has counted what is marked, and settled it
            return replace_object(key, data, tag)

        monkeypatch.setattr(night.outputs, "replace", freeze)
        note = "ended early: time was up; what 1 rows cost is not known, at most $0.000036"
        assert verify(night).note == note
        assert night.api.asked == []
        assert night.run().verify_spent == BOUND  # of the one that is marked: nobody asks it any more

    def test_time_that_is_up_ends_a_sample_before_its_next_row(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))

        def speak(_params: bytes) -> Mapping[str, Any]:
            night.clock.move(seconds=361)  # of 900: two answers, and not 120 + 60 more
            return says_label()

        night.api.speak = speak
        assert verify(night).note == "ended early: time was up"
        assert len(night.api.asked) == 2

    def test_a_row_that_somebody_has_marked_meanwhile_is_not_asked(self, night: Night) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))

        def speak(_params: bytes) -> Mapping[str, Any]:
            for name in ids(FIRST, 3):
                night.outputs.files.setdefault(run_files.asked(RUN, name), mark(BOUND))
            return says_label()

        night.api.speak = speak
        verify(night)
        assert (len(night.api.asked), found(night)["asked"], found(night)["answered"]) == (1, 3, 1)

    def test_two_that_begin_at_the_same_moment_are_one(self, night: Night) -> None:
        run = done(night, *map(labelled, ids(FIRST, 3)))
        mine = Verifying("me", night.deadline, MONTH, BOUND)
        before = night.ledger.budget(MONTH)
        assert night.ledger.start_verify(run, mine, None)
        assert night.ledger.start_verify(run, mine, None)  # its answer was lost: it stands
        with pytest.raises(Conflict):
            night.ledger.start_verify(run, replace(mine, id="another"), None)
        assert night.ledger.budget(MONTH) == replace(before, committed=before.committed + BOUND)

    def test_it_ends_once_and_only_by_whom_it_was_begun(self, night: Night) -> None:
        run = done(night, *map(labelled, ids(FIRST, 3)))
        before = night.ledger.budget(MONTH)
        night.ledger.start_verify(run, Verifying("me", night.deadline, MONTH, BOUND), None)
        mine = night.run()
        with pytest.raises(Conflict):
            night.ledger.end_verify(replace(mine, verifying=Verifying("x", night.deadline, MONTH, BOUND)), 7, done=True)
        for _ in range(2):
            night.ledger.end_verify(mine, 7, done=True)
        with pytest.raises(Conflict):
            night.ledger.end_verify(night.run(), 7, done=True)
        assert night.ledger.budget(MONTH) == Budget(before.committed + 7, before.spent + 7)


def kill() -> Mapping[str, Any]:
    raise Killed


def countdown(writes: int) -> Callable[[str], None]:
    """Let so many writes pass, and die before the next."""
    left = [writes]

    def before_write(_key: str) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1

    return before_write


class TestTrouble:
    @pytest.mark.parametrize(
        ("error", "spent"),
        [
            (Rejected("HTTP 400: no"), 0),
            (NotSent("not reached"), 0),
            (NotAccepted("HTTP 429: later", retry_after=60), 0),
            (Ambiguous("HTTP 529: overloaded", answered=True), 0),
            (Ambiguous("the answer was lost"), BOUND),
        ],
        ids=str,
    )
    def test_an_error_costs_its_row_the_answer_and_no_other_row_anything(
        self, night: Night, error: ApiError, spent: int
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        night.api.speak = answers(r1=says_label(), r2=error, r3=says_label())

        verify(night)

        row = rows(night)[ids(FIRST, 3)[1]]
        assert (row["error"], row["agrees"]) == (f"{type(error).__name__}: {error}", None)
        assert (row["sync_cost_usd"], row["latency_seconds"]) == (None if spent else 0, None)
        assert (found(night)["asked"], found(night)["answered"], found(night)["agree"]) == (3, 2, 2)
        assert night.run().verify_spent == 2 * SYNC + spent

    @pytest.mark.parametrize("error", [Unauthorized("HTTP 401: no"), NoMoney("HTTP 402: pay"), Redirected("HTTP 302")])
    def test_what_only_a_person_can_mend_ends_the_sample_at_once(self, night: Night, error: ApiError) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        night.api.speak = lambda _params: throw(error)
        assert verify(night) == Verified(asked=1, spent="$0.00", note=f"ended early: {error}")
        assert len(night.api.asked) == 1

    @pytest.mark.parametrize("kind", [Rejected, Unauthorized])
    def test_what_an_error_says_is_kept_as_far_as_it_can_be_written(self, night: Night, kind: type[ApiError]) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        night.api.speak = lambda _params: throw(kind("HTTP 4xx: \ud800"))
        verify(night)
        assert {row["error"] for row in found(night)["rows"]} == {f"{kind.__name__}: HTTP 4xx: ?"}

    def test_an_api_that_fails_again_and_again_is_left_alone(self, night: Night) -> None:
        done(night, *map(labelled, [*ids(FIRST, 3), *ids(chunk_id(0, 2), 3)]))
        night.api.speak = lambda _params: throw(NotAccepted("later", retry_after=60)) if broken() else says_label()

        def broken() -> bool:
            return len(night.api.asked) != 2

        note = verify(night).note
        assert note == "ended early: the API failed 3 times in a row, at last with NotAccepted"
        assert len(night.api.asked) == 2 + FAILURES

    @pytest.mark.parametrize(
        ("message", "known", "agrees"),
        [
            ({}, False, False),
            (says_label() | {"usage": None}, False, True),
            (says_label() | {"usage": {"input_tokens": "many", "output_tokens": -5}}, False, True),
            (says_label() | {"content": "billing"}, True, False),
            (says_label() | {"content": [{"type": "text", "text": {"label": "billing"}}]}, True, False),
            (says("[" * 5000), True, False),
            (says('{"label": "<script>"}'), True, False),
            (says_label() | {"id": 10**30, "stop_reason": None}, True, False),
        ],
        ids=["empty", "no usage", "no counts", "no blocks", "no text", "deep", "no label", "long number"],
    )
    def test_whatever_comes_as_an_answer_costs_at_most_its_own_row(
        self, night: Night, message: dict[str, Any], *, known: bool, agrees: bool
    ) -> None:
        done(night, *map(labelled, ids(FIRST, 3)))
        night.api.speak = answers(r1=says_label(), r2=message, r3=says_label())

        verify(night)

        row = rows(night)[ids(FIRST, 3)[1]]
        assert (row["sync_cost_usd"] is not None, found(night)["answered"]) == (known, 3)
        assert (row["agrees"], row["sync_answer"]) == (agrees, "billing" if agrees else None)
        assert night.run().verify_spent == 2 * SYNC + (SYNC if known else BOUND)


def throw(error: ApiError) -> Mapping[str, Any]:
    raise error


class TestSample:
    @pytest.mark.parametrize(("total", "size"), [(1, 1), (3, 20), (20, 20), (1_000, 20), (1_000_000, 1_000), (0, 20)])
    def test_a_sample_is_spread_evenly_and_the_same_each_time(self, total: int, size: int) -> None:
        drawn = places(RUN, total, size)
        assert drawn == places(RUN, total, size)
        assert len(set(drawn)) == len(drawn) == min(size, total)
        edges = [-1, *sorted(drawn), total]
        gaps = [b - a for a, b in pairwise(edges)]
        assert max(gaps) <= 3 * total / max(1, len(drawn)) + 1

    def test_a_larger_sample_begins_with_the_smaller_and_another_run_has_another(self) -> None:
        assert places(RUN, 1_000, 50)[:20] == places(RUN, 1_000, 20)
        assert places(RunId("another"), 1_000, 20) != places(RUN, 1_000, 20)

    def test_a_row_with_an_attachment_that_was_not_billed_is_left_out_for_nothing_bounds_it(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        night.job = FILES_JOB
        done(night, labelled(a), errored(b, "invalid_request_error"), canceled(c))
        night.api.speak = lambda _params: says_label()
        verify(night)
        assert (night.api.asked, night.api.betas[-1]) == ([params(a)], "files-api-2025-04-14")
        assert (found(night)["sample"], found(night)["said_usd"]) == (1, usd(BOUND))

    def test_a_person_may_have_more_rows_asked_and_pays_for_those_only(self, night: Night) -> None:
        done(night, *map(labelled, [*ids(FIRST, 3), *ids(chunk_id(0, 2), 3)]))
        night.api.speak = lambda _params: says_label()
        verify(night, sample=2)
        first = list(night.api.asked)
        assert (len(first), found(night)["sample"], found(night)["said_usd"]) == (2, 2, usd(2 * BOUND))

        verify(night, sample=5, owner="again")
        assert (night.api.asked[:2], len(set(night.api.asked)), len(night.api.asked)) == (first, 5, 5)
        assert (found(night)["asked"], found(night)["cost_usd"]) == (5, usd(5 * SYNC))
        assert found(night)["said_usd"] == usd(2 * SYNC + 3 * BOUND)

        verify(night, sample=1, owner="once more")
        assert (len(night.api.asked), found(night)["sample"], found(night)["asked"]) == (5, 5, 5)
        assert night.run().verify_spent == 5 * SYNC

    def test_only_rows_that_ended_with_a_result_are_drawn_each_from_where_it_ended(self, night: Night) -> None:
        a, b, c = ids(FIRST, 3)
        night.begin(prices=PRICES, max_generations=1)
        plan(night, 1)
        night.answer(1, labelled(b), errored(a), labelled(c))
        night.collect()
        again = chunk_id(1, 1)
        (name,) = ids(again, 1)
        night.rows = 1
        plan(night, 1, generation=1)
        night.plan(again)
        night.ledger.next_generation(night.ledger.run(RUN), anew=False)
        night.send(again)
        night.answer(1, labelled(name), generation=1)
        night.collect()
        Reporter(night.ledger, night.outputs, night.clock).report(RUN)
        night.api.speak = lambda _params: says_label()

        verify(night)

        assert rows(night).keys() == {b, c, name}
        assert found(night)["sample"] == 3

    def test_a_row_that_was_cut_off_is_drawn_from_where_it_was_asked_with_more_tokens(self, night: Night) -> None:
        night.job = JOB + b"retry: {cut_off: 2}\n"
        a, b, c = ids(FIRST, 3)
        night.begin(prices=PRICES, max_generations=2)
        plan(night, 1)
        night.answer(1, labelled(b), succeeded(a, "x", stop_reason="max_tokens"), labelled(c))
        night.collect()
        again = chunk_id(1, 1)
        (name,) = ids(again, 1)
        night.rows = 1
        plan(night, 1, generation=1)
        night.plan(again, raised=True)
        night.ledger.next_generation(night.ledger.run(RUN), anew=False)
        night.send(again)
        night.answer(1, succeeded(name, "x", stop_reason="max_tokens"), generation=1)
        night.collect()
        Reporter(night.ledger, night.outputs, night.clock).report(RUN)
        assert night.run().state is RunState.DONE
        night.api.speak = lambda _params: says_label()

        verify(night)

        assert rows(night).keys() == {b, c, name}

    def test_a_row_that_the_api_never_returned_takes_nobody_s_place(self, night: Night) -> None:
        night.begin(prices=PRICES)
        plan(night, 1)
        night.answer(1, labelled(ids(FIRST, 3)[2]))
        for _ in range(3):
            night.collect()
            night.clock.move(hours=2)
        Reporter(night.ledger, night.outputs, night.clock).report(RUN)
        night.api.speak = lambda _params: says_label()
        verify(night, sample=1)
        assert rows(night).keys() == {ids(FIRST, 3)[2]}

    def test_a_run_without_results_has_no_sample(self, night: Night) -> None:
        night.begin(chunks=0, prices=PRICES)
        Reporter(night.ledger, night.outputs, night.clock).report(RUN)
        assert verify(night) == Verified(spent="$0.00", note="no row of the run has a result")
        assert night.run().verified

    @pytest.mark.parametrize(
        ("more", "wish", "said"),
        [
            (b"", {}, (20, PICO)),
            (b"verify: {sample: 4, max_usd: 0.25}\n", {}, (4, PICO // 4)),
            (b"verify: {sample: 4, max_usd: 0.25}\n", {"sample": 5, "max_usd": 0.5}, (5, PICO // 2)),
        ],
    )
    def test_size_and_limit_are_the_person_s_the_job_s_or_the_usual(
        self, night: Night, more: bytes, wish: dict[str, Any], said: tuple[int, int]
    ) -> None:
        night.job, night.rows = JOB + more, 30
        run = done(night, *map(labelled, ids(FIRST, 30)))
        proposal = propose(night.outputs, run, night.ledger.chunks(RUN), Wish(**wish))
        assert (len(proposal.sample), proposal.limit) == said
