"""`nightshift estimate`: a file planned here and counted by the local Batches API; and a run's own estimate."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.errors import NotSent
from nightshift.estimating import Estimator
from nightshift.model import Budget, Estimate, HoldCode, JobRef, RowClass, Run, Tally
from nightshift.money import amount_of
from nightshift.planning import Planner
from nightshift.prices import SOURCE, price_sheet
from nightshift_cli.exits import Exit
from nightshift_cli.rehearsal import RUN, Rehearsal, money_holds
from tests.batches_api.server import start
from tests.unit import parquet_cases, xlsx_cases
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fakes import MemoryInputs, MemoryOutputs, MemoryPlanLedger
from tests.unit.made import RUN as MADE
from tests.unit.made import run
from tests.unit.test_cli_bill import billed

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JOB = """\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
system: "{system}"
prompt: "<ticket>{{{{ body }}}}</ticket>"
output: {{labels: [billing, other]}}
schedule: upload
{more}
"""
PRICES = price_sheet("claude-haiku-5-5", date(2026, 11, 25))
UNPRIMED = "no cache breakpoint: without a pilot nothing fills the cache, and each row would pay for writing it"


def job(more: str = "", system: str = "Sort it.") -> bytes:
    return JOB.replace("{format: jsonl, id: id}", "{{format: jsonl, id: id}}").format(more=more, system=system).encode()


def rows(count: int, vary: int = 7) -> str:
    return "".join(json.dumps({"id": str(i), "body": "word " * (5 + i % vary)}) + "\n" for i in range(count))


# ---------------------------------------------------------------- the rehearsal


def rehearse(folder: Path, text: bytes, content: str | bytes, api: FakeApi, moment: MovableClock) -> Any:
    (file := folder / "tickets.jsonl").write_bytes(content.encode() if isinstance(content, str) else content)
    (plan := folder / "plan").mkdir()
    return Rehearsal(file, JobRef("triage", "jobs/triage.yaml", "v1"), text, plan, api, moment).plan()


@pytest.mark.parametrize(("form", "data"), [("parquet", parquet_cases.TEXTS), ("xlsx", xlsx_cases.TEXTS)])
def test_a_rehearsal_reads_the_formats_whose_readers_seek(
    tmp_path: Path, clock: MovableClock, form: str, data: bytes
) -> None:
    rehearsed = rehearse(tmp_path, job().replace(b"jsonl", form.encode()), data, FakeApi(clock), clock)
    assert (rehearsed.run.rows, [chunk.rows for chunk in rehearsed.chunks], rehearsed.holds) == (2, [2], [])


@pytest.mark.parametrize("count", [7, 1500])
def test_a_rehearsal_plans_and_estimates_as_a_run_does(tmp_path: Path, clock: MovableClock, count: int) -> None:
    content = rows(count) + '{"id": "0", "body": "word"}\n{"id": "x"}\nno json\n'
    text = job("batch: {max_rows: 600}\nlimits: {max_reject_ratio: 1}", system="rule " * 3000)
    inputs, outputs, ledger = MemoryInputs(), MemoryOutputs(), MemoryPlanLedger()
    inputs.files = {"jobs/triage.yaml": text, "inbox/triage/tickets.jsonl": content.encode()}
    run = Run(RUN, JobRef("triage", "jobs/triage.yaml", "v1"), (inputs.pin("inbox/triage/tickets.jsonl"),), START, "x")
    estimator = Estimator(FakeApi(clock), outputs, clock)
    planner: Any = Planner
    assert planner(ledger, inputs, outputs, clock, estimator, price_sheet).plan(run, clock().replace(year=2027))
    assert ledger.finished is not None

    rehearsed = rehearse(tmp_path, text, content, FakeApi(clock), clock)

    assert rehearsed.chunks == ledger.chunks(RUN)
    assert rehearsed.run == replace(ledger.finished, inputs=rehearsed.run.inputs, trigger="by hand")
    assert rehearsed.run.estimate is not None
    assert rehearsed.rejects == {"BAD_JSON": 1, "ID_CONFLICT": 1, "EMPTY_BODY": 1}
    assert rehearsed.holds == []
    assert bool(rehearsed.run.pilot) is (count > 1000)


def test_a_rehearsal_goes_on_behind_a_hold_that_a_person_could_approve_of_and_tells_each(
    tmp_path: Path, clock: MovableClock
) -> None:
    text = job("limits: {max_rows: 9, max_reject_ratio: 0}")

    rehearsed = rehearse(tmp_path, text, rows(10) + "no json\n", FakeApi(clock), clock)

    assert [hold.code for hold in rehearsed.holds] == [HoldCode.TOO_MANY_ROWS, HoldCode.TOO_MANY_REJECTS]
    assert rehearsed.holds[0].reason.endswith("or send them anyway with `nightshift resume RUN --approve`")
    assert (rehearsed.run.planned, rehearsed.run.rows, sum(chunk.rows for chunk in rehearsed.chunks)) == (True, 11, 10)


def test_a_file_that_no_approval_helps_is_held_and_that_is_all(tmp_path: Path, clock: MovableClock) -> None:
    rehearsed = rehearse(tmp_path, job(), "\x00\x00", FakeApi(clock), clock)

    assert [hold.code for hold in rehearsed.holds] == [HoldCode.NO_USABLE_INPUT]
    assert (rehearsed.run.planned, rehearsed.chunks) == (False, [])


def test_a_model_without_a_price_is_held_for_that_and_has_rows_and_no_estimate(
    tmp_path: Path, clock: MovableClock
) -> None:
    rehearsed = rehearse(tmp_path, job("model: claude-mythos-5-1\nthinking: adaptive"), rows(3), FakeApi(clock), clock)

    assert [hold.code for hold in rehearsed.holds] == [HoldCode.NO_PRICE]
    assert (rehearsed.run.planned, rehearsed.run.rows, rehearsed.run.estimate) == (True, 3, None)


def test_an_api_that_is_away_leaves_a_guess(tmp_path: Path, clock: MovableClock) -> None:
    rehearsed = rehearse(tmp_path, job(), rows(3), FakeApi(clock, down=NotSent("away")), clock)

    assert (rehearsed.run.estimate.sample, rehearsed.run.estimate.expected > 0) == (0, True)


@pytest.mark.parametrize(
    ("limit", "committed", "cap", "codes"),
    [
        ("0.05", "0", None, []),
        ("0.049", "0", None, [HoldCode.OVER_MAX_USD]),
        ("0", "99", None, []),
        ("0", "0.95", "1", []),
        ("0", "0.951", "1", [HoldCode.OVER_MONTH]),
        ("0.01", "2", "1", [HoldCode.OVER_MAX_USD, HoldCode.OVER_MONTH]),
    ],
)
def test_money_holds_a_run_as_it_will(
    tmp_path: Path, clock: MovableClock, limit: str, committed: str, cap: str | None, codes: list[HoldCode]
) -> None:
    rehearsed = rehearse(tmp_path, job(), rows(5), FakeApi(clock), clock)
    estimate = replace(rehearsed.run.estimate, rows=5, expected=amount_of("0.05"))
    dear = replace(rehearsed, run=replace(rehearsed.run, estimate=estimate, max_usd=amount_of(limit)))
    budget = Budget(committed=amount_of(committed))

    holds = list(money_holds(dear, budget, amount_of(cap) if cap else None, clock))

    assert [hold.code for hold in holds] == codes


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start(tmp_path_factory.mktemp("api")) as (_, url, _clock):
        yield url


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, api: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        outputs = dict(plane.stacks[stack.name]) | {"AnthropicBaseUrl": api}
        plane.stacks[stack.name] = outputs
        stack.client("secretsmanager").create_secret(Name=outputs["ApiKeySecretArn"], SecretString="sk-ant-secret")
        yield stack


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.jsonl"
    path.write_text(rows(40, vary=1) + "no json\n")
    return path


def test_a_file_is_estimated_before_anything_is_uploaded_or_written(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(job("limits: {max_usd: 2}"))

    said = nightshift("estimate", file, "--job", "triage")

    # By hand: each prompt has 55 tokens at $0.05 a million, an answer from 1 to 64 tokens at $0.25.
    assert said == Said(
        Exit.DONE,
        [
            f"file      {file}, for job triage (jobs/triage.yaml)",
            "rows      41: 40 would be sent, in 1 batches; not: 1 BAD_JSON",
            "expected  $0.00017, from $0.00012 to $0.00075; $0.00075 at most",
            "at once   $0.00035 by the synchronous API; $0.00017 saved (50 %)",
            "tokens    2,200 of prompts, counted on 40 rows; 253 of answers, from labels",
            f"cache     {UNPRIMED}",
            "pilot     none: a run has one above 1,000 rows",
            f"prices    of claude-haiku-5-5, by {SOURCE}, 2026-11-25",
            "caps      $2.00 for a run (limits.max_usd)",
            "          $500.00 for the month; $0.00 of 2026-11 are spent or reserved",
            "held      no",
        ],
        [],
    )
    assert nightshift.keys() == ["jobs/triage.yaml"]
    assert nightshift.ledger.runs(9) == []
    assert nightshift.client("s3").list_objects_v2(Bucket=nightshift.outputs).get("Contents", []) == []


def test_programs_get_what_a_file_would_cost(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(job())

    told = json.loads("\n".join(nightshift("estimate", file, "--job", "triage", "--json").out))

    assert told["job"].pop("version_id")
    assert told["estimate"].pop("at").startswith("2026-11-25T12:00:00")
    assert told == {
        "file": str(file),
        "job": {"name": "triage", "key": "jobs/triage.yaml"},
        "rows": 41,
        "sent": 40,
        "batches": 1,
        "reject_codes": {"BAD_JSON": 1},
        "estimate": {
            "expected_usd": pytest.approx(2200 * 0.05e-6 + 253 * 0.25e-6),
            "low_usd": pytest.approx(2200 * 0.05e-6 + 40 * 0.25e-6),
            "high_usd": pytest.approx(2200 * 0.05e-6 + 40 * 64 * 0.25e-6),
            "bound_usd": pytest.approx(2200 * 0.05e-6 + 40 * 64 * 0.25e-6),
            "synchronous_usd": pytest.approx(2200 * 0.1e-6 + 253 * 0.5e-6),
            "input_cost_usd": pytest.approx(2200 * 0.05e-6),
            "rows": 40,
            "input_tokens": 2200,
            "output_tokens": 253,
            "sample": 40,
            "basis": "labels",
        },
        "cache": {"prefix_tokens": 0, "least": 512, "ttl": "", "why": UNPRIMED, "counted": True},
        "pilot": 0,
        "prices": {"model": "claude-haiku-5-5", "source": SOURCE, "on": "2026-11-25"},
        "max_usd": 25.0,
        "month": "2026-11",
        "month_committed_usd": 0.0,
        "monthly_cap_usd": 500.0,
        "holds": [],
    }


def test_a_run_that_would_be_held_has_a_status_of_its_own_and_says_each_reason(
    nightshift: CliStack, file: Path
) -> None:
    nightshift.plane.stacks[nightshift.name] = {**nightshift.plane.stacks[nightshift.name], "MonthlyCapUsd": "0.0001"}
    nightshift.put_job(job("limits: {max_rows: 40}"))

    said = nightshift("estimate", file, "--job", "triage")

    assert (said.status, said.err) == (Exit.HELD, [])
    assert said.out[-4:-2] == [
        "caps      $25.00 for a run (limits.max_usd)",
        "          $0.00010 for the month; $0.00 of 2026-11 are spent or reserved",
    ]
    rows_, month = said.out[-2:]
    assert rows_.startswith(
        "held      TOO_MANY_ROWS: 41 rows up to inbox/triage/tickets.jsonl, and limits.max_rows of "
    )
    assert month.startswith(
        "          OVER_MONTH: $0.00 of 2026-11 are spent or reserved, this run wants $0.00017 more"
    )


def test_a_large_file_has_a_pilot_and_a_cache_and_a_month_without_a_cap_says_so(
    nightshift: CliStack, file: Path
) -> None:
    nightshift.plane.stacks[nightshift.name] = {**nightshift.plane.stacks[nightshift.name], "MonthlyCapUsd": "0"}
    file.write_text(rows(1001))
    nightshift.put_job(job("limits: {max_usd: null}", system="rule " * 1000))

    said = nightshift("estimate", file, "--job", "triage")

    assert said.status == Exit.DONE
    # By hand: 1,292 tokens, written 69 times at $0.10 a million and read 932 times at $0.005; or 1,001 times at $0.05.
    shared = "69 rows are expected to write the 1,292 tokens that all share, 932 to read them"
    cached = f"{shared}: $0.015 instead of $0.065 for them"
    assert said.out[-6:-1] == [
        f"cache     cache breakpoint for 1h: {cached}",
        "pilot     20 rows, alone, before the rest is sent",
        f"prices    of claude-haiku-5-5, by {SOURCE}, 2026-11-25",
        "caps      none for a run (limits.max_usd)",
        "          none for the month; $0.00 of 2026-11 are spent or reserved",
    ]


def test_a_job_file_of_this_machine_can_be_tried_before_it_is_put(
    nightshift: CliStack, file: Path, tmp_path: Path
) -> None:
    (mine := tmp_path / "triage.yaml").write_bytes(job("model: claude-opus-5-5\nthinking: adaptive"))

    said = nightshift("estimate", file, "--job", mine)

    assert said.out[0] == f"file      {file}, for job triage ({mine})"
    assert f"prices    of claude-opus-5-5, by {SOURCE}, 2026-11-25" in said.out
    assert nightshift.keys() == []


def test_a_job_that_cannot_be_used_is_told_line_by_line(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(job("temperature: 1"))

    said = nightshift("estimate", file, "--job", "triage")

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert said.err[0].startswith("jobs/triage.yaml:8: temperature: ")


def test_without_a_key_tokens_are_guessed_and_that_is_said(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(job())
    secrets, name = nightshift.client("secretsmanager"), f"api-key-{nightshift.name}"
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    secrets.create_secret(Name=name)

    said = nightshift("estimate", file, "--job", "triage")

    assert said.status == Exit.DONE
    reason = f"{name} holds no key yet. Put one there: aws secretsmanager put-secret-value …"
    assert said.err == [f"tokens are guessed from bytes, for the API does not count them: {reason}"]
    assert " of prompts, guessed from bytes; 253 of answers, from labels" in said.out[4]


def test_the_shell_s_own_key_and_address_count_for_nothing(nightshift: CliStack, file: Path) -> None:
    nightshift.put_job(job())

    said = nightshift(
        "estimate", file, "--job", "triage", ANTHROPIC_API_KEY="mine", ANTHROPIC_BASE_URL="http://127.0.0.1:9"
    )

    assert (said.status, said.err) == (Exit.DONE, [])


def test_a_file_or_a_job_that_is_not_there_is_told(nightshift: CliStack, file: Path) -> None:
    assert nightshift("estimate", file.parent / "none.jsonl", "--job", "triage").status == Exit.USAGE
    assert nightshift("estimate", file, "--job", "none.yaml").status == Exit.USAGE
    assert nightshift("estimate", file, "--job", "triage").err == [
        f"no job file s3://{nightshift.inputs}/jobs/triage.yaml that may be read: NoSuchKey. Put it there."
    ]
    assert nightshift("estimate", "no-run").status == Exit.FAILED


# ---------------------------------------------------------------- a run

FIRST = Estimate(
    rows=3,
    input_tokens=1_500_000,
    input_cost=1,
    input_low=1,
    input_high=1,
    input_synchronous=1,
    sample=30,
    at=START,
    output_tokens=50_000,
    expected=amount_of("0.1"),
    low=amount_of("0.05"),
    high=amount_of("0.2"),
    bound=amount_of("0.3"),
    synchronous=amount_of("0.2"),
    basis="labels",
)


def a_run(ledger: DynamoLedger, **changes: Any) -> None:
    ledger.create_run(run(prices=PRICES, **changes))
    billed(ledger)
    ledger.finish_plan(run(rows=3, plan_digest="d", prices=PRICES, **changes))


def test_a_run_s_estimates_are_shown_beside_what_it_cost(nightshift: CliStack) -> None:
    a_run(nightshift.ledger, estimate=FIRST, revised=replace(FIRST, expected=amount_of("0.064"), basis="the pilot"))

    assert nightshift("estimate", MADE) == Said(
        Exit.DONE,
        [
            f"run       {MADE}",
            "expected  $0.10, from $0.050 to $0.20; $0.30 at most",
            "at once   $0.20 by the synchronous API; $0.10 saved (50 %)",
            "tokens    1,500,000 of prompts, counted on 30 rows; 50,000 of answers, from labels",
            "then      by its pilot:",
            "expected  $0.064, from $0.050 to $0.20; $0.30 at most",
            "at once   $0.20 by the synchronous API; $0.14 saved (68 %)",
            "tokens    1,500,000 of prompts, counted on 30 rows; 50,000 of answers, from the pilot",
            "actual    $0.080: 25.0 % more than expected",
            "          1,200,000 tokens of prompts, 40,000 of answers",
        ],
        [],
    )
    told = json.loads("\n".join(nightshift("estimate", MADE, "--json").out))
    assert (told["estimate"]["expected_usd"], told["revised"]["expected_usd"]) == (0.1, 0.064)
    assert {name: told[name] for name in ("run_id", "actual_usd", "accounted", "estimate_error")} == {
        "run_id": MADE,
        "actual_usd": 0.08,
        "accounted": True,
        "estimate_error": 0.25,
    }


def test_a_run_at_work_is_not_held_against_its_estimate_yet(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger, tally=Tally(rows={RowClass.ANSWERED: 1}, paid={"input": amount_of("0.01")}))
    nightshift.ledger.finish_plan(run(rows=3, plan_digest="d", prices=PRICES, estimate=FIRST))

    assert nightshift("estimate", MADE).out[-2:] == [
        "actual    $0.010 so far",
        "          0 tokens of prompts, 0 of answers",
    ]


def test_a_run_that_is_not_planned_or_has_no_price_has_no_estimate(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(prices=None))
    before = nightshift("estimate", MADE).out[1]
    nightshift.ledger.finish_plan(run(rows=3, plan_digest="d"))

    assert (before, nightshift("estimate", MADE).out[1]) == (
        "expected  not estimated yet",
        "expected  not known: the model has no price",
    )
