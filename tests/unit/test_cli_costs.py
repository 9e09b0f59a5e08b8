"""`nightshift costs`: a month's runs added up, as a table, for programs, and as a page."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger, budget_key, run_key
from nightshift.adapters.items import Change, to_wire
from nightshift.model import (
    BatchId,
    Budget,
    ChunkState,
    Estimate,
    Hold,
    HoldCode,
    JobRef,
    RowClass,
    Run,
    RunId,
    RunState,
    Tally,
)
from nightshift.money import amount_of
from nightshift.prices import price_sheet
from nightshift_cli.costs_page import day_bars, page
from nightshift_cli.exits import Exit
from nightshift_cli.month import Costs, Month, RunCost
from nightshift_cli.view import Summary
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import chunk, input_ref, run

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HAIKU = price_sheet("claude-haiku-5-5", date(2026, 11, 22))
OPUS = price_sheet("claude-opus-5-5", date(2026, 11, 22))
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\N{RIGHT-TO-LEFT OVERRIDE}'


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with serving() as plane:
        yield CliStack(aws_endpoint, plane, ledger, runs_table)


def expecting(usd: str) -> Estimate:
    return Estimate(
        rows=1,
        input_tokens=1,
        input_cost=1,
        input_low=1,
        input_high=1,
        input_synchronous=1,
        sample=1,
        at=START,
        expected=amount_of(usd),
    )


def made(name: str, created: datetime, **changes: Any) -> Run:
    job = name.rsplit("-", 2)[0]
    usual: dict[str, Any] = {"job": JobRef(job, f"jobs/{job}.yaml", "v1"), "planned": True, "rows": 3}
    usual["state"] = RunState.DONE
    return run(RunId(name), created=created, inputs=(input_ref(name),), **(usual | changes))


def cost(paid: str, synchronous: str, rows: int = 3) -> Tally:
    return Tally(rows={RowClass.ANSWERED: rows}, paid={"input": amount_of(paid)}, synchronous=amount_of(synchronous))


def month(ledger: DynamoLedger) -> None:
    """Put the runs of a November, and two that are of the months beside it."""
    runs = [
        (
            made("triage-20261031-aaaaaaaa", datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), prices=HAIKU),
            cost("9", "9"),
        ),
        (
            made("triage-20261101-bbbbbbbb", datetime(2026, 11, 1, tzinfo=UTC), prices=HAIKU, estimate=expecting("2")),
            cost("1.5", "3"),
        ),
        (
            made(
                "grading-20261122-cccccccc",
                START,
                prices=OPUS,
                estimate=expecting("5"),
                revised=expecting("10"),
                verify_spent=amount_of("0.25"),
            ),
            cost("11", "20"),
        ),
        (
            made(
                "triage-20261122-dddddddd",
                START + timedelta(hours=1),
                prices=HAIKU,
                estimate=expecting("7"),
                state=RunState.OPEN,
                hold=Hold(HoldCode.OVER_MONTH, "no room", START),
            ),
            cost("0.5", "1", rows=2),  # one is still to come
        ),
        (made("odd-20261122-eeeeeeee", START + timedelta(hours=2), rows=7), Tally(rows={RowClass.ANSWERED: 7})),
        (made("triage-20261201-ffffffff", datetime(2026, 12, 1, tzinfo=UTC), prices=HAIKU), cost("9", "9")),
    ]
    for number, (each, tally) in enumerate(runs, 1):
        put(ledger, each, BatchId(f"msgbatch_{number}"), tally)


def put(ledger: DynamoLedger, finished: Run, batch_id: BatchId, tally: Tally) -> None:
    """Put a run as it is in the end, with a collected chunk: that one was planned while the run was open."""
    ledger.create_run(replace(finished, planned=False, hold=None, state=RunState.OPEN))
    ledger.plan_chunk(chunk(run_id=finished.run_id, state=ChunkState.COLLECTED, batch_id=batch_id, tally=tally))
    ledger._client.delete_item(TableName=ledger._table, Key=to_wire(run_key(finished.run_id)))
    ledger.create_run(finished)


def words(said: Said) -> list[str]:
    """Return the lines of stdout, without the blanks between columns."""
    return [" ".join(line.split()) for line in said.out]


def test_a_month_is_told_run_by_run_by_job_by_model_and_as_a_whole(nightshift: CliStack) -> None:
    month(nightshift.ledger)

    said = nightshift("costs")

    assert (said.status, said.err) == (Exit.DONE, [])
    assert words(said) == [
        "created run model state rows cost at once saved error",
        "2026-11-22 04:00Z odd-20261122-eeeeeeee – done 7 – – – –",
        "2026-11-22 03:00Z triage-20261122-dddddddd claude-haiku-5-5 held: OVER_MONTH 3 $0.5000 $1.0000 $0.5000 –",
        "2026-11-22 02:00Z grading-20261122-cccccccc claude-opus-5-5 done 3 $11.0000 $20.0000 $9.0000 +10.0 %",
        "2026-11-01 00:00Z triage-20261101-bbbbbbbb claude-haiku-5-5 done 3 $1.5000 $3.0000 $1.5000 -25.0 %",
        "",
        "job runs rows cost at once saved error",
        "grading 1 3 $11.0000 $20.0000 $9.0000 +10.0 %",
        "triage 2 6 $2.0000 $4.0000 $2.0000 -25.0 %",
        "odd 1 7 – – – –",
        "",
        "model runs rows cost at once saved error",
        "claude-opus-5-5 1 3 $11.0000 $20.0000 $9.0000 +10.0 %",
        "claude-haiku-5-5 2 6 $2.0000 $4.0000 $2.0000 -25.0 %",
        "– 1 7 – – – –",
        "",
        "$13.00 for 16 rows in 4 runs; $11.00 saved (46 %)",
        "7 rows of 1 runs have no price: they are in no sum",
        "$0.25 for verifications, beside that",
        "$0.00 are spent in 2026-11, $0.00 spent or reserved; the cap is $500.00",
    ]


def test_another_month_can_be_named_and_one_without_runs_has_its_money_all_the_same(nightshift: CliStack) -> None:
    month(nightshift.ledger)
    nightshift.plane.stacks[nightshift.name] = {**nightshift.plane.stacks[nightshift.name], "MonthlyCapUsd": "0"}
    nightshift.ledger._items.apply(
        Change(budget_key("2026-02"), adds={"spent": amount_of(2), "committed": amount_of(3)}, kind="Update")
    )

    held = made("triage-20261030-hhhhhhhh", datetime(2026, 10, 30, tzinfo=UTC), planned=False, rows=0)
    nightshift.ledger.create_run(held)  # it has no price, and no rows that lack one

    october = nightshift("costs", "--month", "2026-10")

    assert words(october)[1:3] == [
        "2026-10-31 23:59Z triage-20261031-aaaaaaaa claude-haiku-5-5 done 3 $9.0000 $9.0000 $0.0000 –",
        "2026-10-30 00:00Z triage-20261030-hhhhhhhh – done 0 – – – –",
    ]
    assert words(october)[-2:] == [
        "$9.00 for 3 rows in 2 runs; $0.00 saved (0 %)",
        "$0.00 are spent in 2026-10, $0.00 spent or reserved; there is no cap (MonthlyCapUsd)",
    ]
    assert nightshift("costs", "--month", "2026-02") == Said(
        Exit.DONE,
        ["$2.00 are spent in 2026-02, $3.00 spent or reserved; there is no cap (MonthlyCapUsd)"],
        ["no runs were created in 2026-02"],
    )
    assert nightshift("costs", "--month", "2026-00").status == Exit.USAGE


def test_programs_get_the_same_exactly(nightshift: CliStack) -> None:
    month(nightshift.ledger)

    told = json.loads("\n".join(nightshift("costs", "--json").out))

    def sums(runs: int, rows: int, money: tuple[float, float] | None, error: float | None) -> dict[str, Any]:
        paid, synchronous = money or (None, None)
        saved = None if money is None else round(money[1] - money[0], 9)
        ratio = None if money is None else saved / money[1]  # type: ignore[operator]
        return {
            "runs": runs,
            "rows": rows,
            "cost_usd": paid,
            "synchronous_usd": synchronous,
            "saved_usd": saved,
            "saved_ratio": ratio,
            "estimate_error": error,
        }

    by_run = told.pop("by_run")
    assert told == {
        "month": "2026-11",
        **sums(4, 16, (13.0, 24.0), 0.5 / 12),  # 12.5 paid for what was expected to cost 2 and 10
        "verified_usd": 0.25,
        "budget": {"spent_usd": 0.0, "committed_usd": 0.0, "cap_usd": 500.0},
        "by_job": {
            "grading": sums(1, 3, (11.0, 20.0), 0.1),
            "triage": sums(2, 6, (2.0, 4.0), -0.25),
            "odd": sums(1, 7, None, None),
        },
        "by_model": {
            "claude-opus-5-5": sums(1, 3, (11.0, 20.0), 0.1),
            "claude-haiku-5-5": sums(2, 6, (2.0, 4.0), -0.25),
            "": sums(1, 7, None, None),
        },
    }
    assert [each["run_id"][-8:] for each in by_run] == ["eeeeeeee", "dddddddd", "cccccccc", "bbbbbbbb"]
    assert by_run[1] == {
        "run_id": "triage-20261122-dddddddd",
        "created": "2026-11-22T03:00:00Z",
        "job": "triage",
        "model": "claude-haiku-5-5",
        "state": "held",
        **{name: value for name, value in sums(1, 3, (0.5, 1.0), None).items() if name != "runs"},
    }


def test_a_page_is_written_where_it_is_wanted_and_its_place_is_told(nightshift: CliStack, tmp_path: Path) -> None:
    month(nightshift.ledger)
    file = tmp_path / "costs.html"

    said = nightshift("costs", "--html", file)

    assert said == Said(Exit.DONE, [], [f"written {file}"])
    text = Text.of(file.read_bytes())
    assert "16 rows for $13.00; at once they would have cost $24.00: $11.00 saved, 46\N{NO-BREAK SPACE}%." in text.seen
    assert text.seen.count("triage-20261122-dddddddd") == 1
    assert text.seen[text.seen.index("Cap") + 2] == "$500.00"


class Text(HTMLParser):
    """What a page has: its elements with their attributes, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[tuple[str, ...]] = set()
        self.seen: list[str] = []

    @classmethod
    def of(cls, content: bytes) -> "Text":
        found = cls()
        found.feed(content.decode())
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add((tag, *sorted(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.seen += [" ".join(data.split(" ")).strip()] if data.strip() else []


def a_month(job: str, model: str = "claude-haiku-5-5", **changes: Any) -> Month:
    ref = JobRef(job, "k", "v1")
    priced = replace(HAIKU, model=model)
    one = made("triage-20261122-dddddddd", START, job=ref, prices=priced, estimate=expecting("1"), **changes)
    done = chunk(run_id=one.run_id, state=ChunkState.COLLECTED, tally=cost("1.5", "3"))
    costs = Costs([RunCost(Summary(replace(one, run_id=RunId(job)), [done]))])
    return Month("2026-11", costs, Budget(committed=amount_of(2), spent=amount_of(1)), amount_of(8))


def test_nothing_that_came_from_data_becomes_an_element_or_an_attribute() -> None:
    tame, wild = (Text.of(page(a_month(*names), NOW)) for names in (("job", "model"), (HOSTILE, HOSTILE)))

    assert wild.elements == tame.elements
    assert wild.seen.count(HOSTILE) == 4  # the job, the model, and the run with its model
    assert {tag for tag, *_ in wild.elements} & {"script", "img", "a", "link", "iframe", "form"} == set()


def test_a_page_asks_the_network_for_nothing() -> None:
    text = page(a_month("job"), NOW).decode()

    assert "default-src 'none'" in text
    assert [word for word in ("http", "//", "url(", "@import", "src=", "href=") if word in text] == ["http"]
    assert text.count("http") == 1  # `http-equiv`


def test_a_page_of_a_month_without_runs_says_so() -> None:
    empty = Text.of(page(Month("2026-02", Costs([]), Budget(), None), NOW))

    assert "No runs were created in February 2026." in empty.seen
    assert empty.seen[empty.seen.index("Cap") + 2] == "none"


def test_the_chart_has_a_bar_for_each_day_as_high_as_its_part_of_the_highest() -> None:
    first, second = made("a-20261101-aaaaaaaa", datetime(2026, 11, 1, tzinfo=UTC)), made("a-20261130-bbbbbbbb", START)
    runs = [
        RunCost(Summary(each, [chunk(run_id=each.run_id, tally=tally)]))
        for each, tally in ((first, cost("1", "4")), (second, cost("0.001", "2")))
    ]

    bars = day_bars(Month("2026-11", Costs(runs), Budget(), None))

    assert len(bars) == 30
    shown = {bar.day.day: (bar.paid, bar.synchronous) for bar in bars if bar.costs.runs}
    assert shown == {1: (25.0, 100.0), 22: (0.6, 50.0)}  # what is there at all is to be seen
    assert [bar.day.day for bar in bars if bar.labelled] == [1, 5, 10, 15, 20, 25, 30]
    assert len(day_bars(Month("2026-02", Costs([]), Budget(), None))) == 28
