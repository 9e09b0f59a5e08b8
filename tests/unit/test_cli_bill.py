"""`nightshift bill`: the ledger held against a vendor that bills what the test wants."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nightshift import clock, run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import BatchId, ChunkState, RowClass, RunId, RunState, Tally
from nightshift.money import amount_of
from nightshift.prices import price_sheet
from nightshift_cli import columns
from nightshift_cli.bills import Amount, Pair
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import JOB, CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, input_ref, run
from tests.unit.vendor import COST, USAGE, Vendor, billing

ADMIN_KEY = "sk-ant-admin01-secret"
MODEL = "claude-haiku-5-5"
PRICES = price_sheet(MODEL, date(2026, 11, 22))
DAY, NEXT = date(2026, 11, 22), date(2026, 11, 23)
DAYS = ("--since", "2026-11-22", "--until", "2026-11-23")
TALLY = Tally(
    rows={RowClass.ANSWERED: 3},
    usage={"input_tokens": 1_000_000, "output_tokens": 40_000, "ephemeral_1h_input_tokens": 200_000},
    service_tiers={"batch": 3},
    paid={"input": amount_of("0.05"), "output": amount_of("0.01"), "cache_write_1h": amount_of("0.02")},
)
SAME: dict[str, Any] = {"input": (1_000_000, "0.05"), "output": (40_000, "0.01"), "cache_write_1h": (200_000, "0.02")}
"""What the vendor bills for it, if it agrees."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with billing() as vendor:
        yield vendor


@pytest.fixture
def nightshift(
    aws_endpoint: str, ledger: DynamoLedger, runs_table: str, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliStack]:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 25, 12, tzinfo=UTC))
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        outputs = dict(plane.stacks[stack.name]) | {"AnthropicBaseUrl": vendor.url}
        plane.stacks[stack.name] = outputs
        stack.client("secretsmanager").create_secret(Name=outputs["AdminKeySecretArn"], SecretString=ADMIN_KEY)
        yield stack


def billed(ledger: DynamoLedger, **changes: Any) -> None:
    """Put a chunk whose batch has ended and is collected."""
    usual: dict[str, Any] = {
        "batch_id": BatchId("msgbatch_1"),
        "attempt": 1,
        "tally": TALLY,
        "sent_at": START,
        "ended_at": START + timedelta(hours=1),
    }
    number = changes.pop("number", 1)
    ledger.plan_chunk(chunk(number, **({"state": ChunkState.COLLECTED} | usual | changes)))


def table(said: Said) -> list[str]:
    """Return the lines of a table, without the blanks between columns."""
    return [" ".join(line.split()) for line in said.out]


def test_bills_that_agree_are_shown_by_day_and_kind_and_nothing_is_said_against_them(
    nightshift: CliStack, vendor: Vendor
) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, **SAME)

    said = nightshift("bill", *DAYS)

    assert (said.status, said.err) == (Exit.DONE, [])
    assert table(said) == [
        "day model tier kind ledger vendor difference ledger USD vendor USD difference %",
        "2026-11-22 claude-haiku-5-5 batch all 1,240,000 1,240,000 = 0.0800 0.0800 = =",
        "all claude-haiku-5-5 batch cache_write_1h 200,000 200,000 = 0.0200 0.0200 = =",
        "all claude-haiku-5-5 batch input 1,000,000 1,000,000 = 0.0500 0.0500 = =",
        "all claude-haiku-5-5 batch output 40,000 40,000 = 0.0100 0.0100 = =",
        "all claude-haiku-5-5 batch all 1,240,000 1,240,000 = 0.0800 0.0800 = =",
    ]


def test_in_a_narrow_terminal_columns_are_left_out_and_the_money_stays(
    nightshift: CliStack, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "room", lambda: 80)
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, **SAME)

    said = nightshift("bill", *DAYS)

    assert table(said)[0] == "day model kind ledger USD vendor USD %"
    assert max(map(len, said.out)) <= 80


def test_bills_that_differ_have_a_status_of_their_own_and_say_of_what_and_why_perhaps(
    nightshift: CliStack, vendor: Vendor
) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, **SAME | {"output": (440_000, "0.11")})

    said = nightshift("bill", *DAYS)

    assert (said.status, table(said)[1:3]) == (
        Exit.DIFFERS,
        [
            "2026-11-22 claude-haiku-5-5 batch all 1,240,000 1,640,000 +400,000 0.0800 0.1800 +0.1000 +125.00 %",
            "output 40,000 440,000 +400,000 0.0100 0.1100 +0.1000 +1000.00 %",
        ],
    )
    assert said.err == [
        "· they differ: by what else uses the workspace (other programs or stacks, the Console), or as below"
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "differs"),
    [
        ("1", "1", False),
        ("1", "1.02", True),
        ("1.02", "1", True),
        ("100", "100.99", False),  # less than 1 %
        ("0.01", "0.02", False),  # not more than a cent
        ("0.01", "0.0200001", True),
        ("0", "0.011", True),
        ("0.011", "0", True),
        ("0", "0", False),
    ],
)
def test_a_difference_is_more_than_one_percent_and_more_than_a_cent(ours: str, theirs: str, *, differs: bool) -> None:
    assert Pair(Amount(0, amount_of(ours)), Amount(0, amount_of(theirs))).differs is differs


def test_programs_get_every_item_of_every_day_and_the_sums(nightshift: CliStack, vendor: Vendor) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, input=(1_000_000, "0.05"))
    vendor.bill(NEXT, MODEL, output=(40_000, "0.01"), cache_write_1h=(200_000, "0.02"))

    told = json.loads("\n".join(nightshift("bill", *DAYS, "--json").out))

    def line(day: str, kind: str, ours: tuple[int, float], theirs: tuple[int, float]) -> dict[str, Any]:
        cost = round(theirs[1] - ours[1], 9)
        return {
            "day": day,
            "model": MODEL,
            "tier": "batch",
            "kind": kind,
            "ledger": {"tokens": ours[0], "usd": ours[1]},
            "vendor": {"tokens": theirs[0], "usd": theirs[1]},
            "difference": {"tokens": theirs[0] - ours[0], "usd": cost, "ratio": cost / ours[1] if ours[1] else None},
        }

    assert told == {
        "since": "2026-11-22",
        "until": "2026-11-23",
        "workspace": None,
        "differs": False,  # the period's sums are the same
        "days": [
            line("2026-11-22", "cache_write_1h", (200_000, 0.02), (0, 0)),
            line("2026-11-22", "input", (1_000_000, 0.05), (1_000_000, 0.05)),
            line("2026-11-22", "output", (40_000, 0.01), (0, 0)),
            line("2026-11-23", "cache_write_1h", (0, 0), (200_000, 0.02)),
            line("2026-11-23", "output", (0, 0), (40_000, 0.01)),
        ],
        "totals": [
            line("all", "cache_write_1h", (200_000, 0.02), (200_000, 0.02)),
            line("all", "input", (1_000_000, 0.05), (1_000_000, 0.05)),
            line("all", "output", (40_000, 0.01), (40_000, 0.01)),
        ],
        "notes": [],
    }


def test_two_models_whose_differences_cancel_out_differ(nightshift: CliStack, vendor: Vendor) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, "claude-sonnet-5-5", **SAME)

    assert nightshift("bill", *DAYS).status == Exit.DIFFERS


def test_a_batch_counts_on_the_day_it_ended_and_one_of_another_day_does_not(nightshift: CliStack) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    for number, ended in enumerate((START, midnight - timedelta(seconds=1), midnight, midnight + timedelta(days=1)), 1):
        billed(nightshift.ledger, number=number, batch_id=BatchId(f"msgbatch_{number}"), sent_at=START, ended_at=ended)

    told = json.loads("\n".join(nightshift("bill", *DAYS, "--json").out))

    inputs = {item["day"]: item["ledger"]["tokens"] for item in told["days"] if item["kind"] == "input"}
    assert inputs == {"2026-11-22": 2_000_000, "2026-11-23": 1_000_000}
    assert told["notes"][1].startswith("1 batches ran across a midnight (UTC): the vendor bills each row on the day ")


def test_runs_of_some_weeks_before_are_looked_at_and_runs_of_days_after_are_not(
    nightshift: CliStack, vendor: Vendor
) -> None:
    old, late, unsent = (RunId(f"triage-2026{day}-aaaaaaaa") for day in ("1020", "1124", "1122"))
    nightshift.ledger.create_run(run(old, prices=PRICES, created=START - timedelta(days=33)))
    nightshift.ledger.create_run(run(late, prices=None, created=START + timedelta(days=2), inputs=(input_ref("b"),)))
    billed(nightshift.ledger, run_id=old)
    nightshift.ledger.create_run(run(unsent, prices=None, inputs=(input_ref("c"),)))
    billed(nightshift.ledger, run_id=late)  # without the file of its job, which nobody asks for; as of the next one
    nightshift.ledger.plan_chunk(chunk(run_id=unsent))
    vendor.bill(DAY, MODEL, **SAME)

    assert nightshift("bill", *DAYS).status == Exit.DONE


def test_what_the_vendor_may_count_otherwise_is_told(nightshift: CliStack, vendor: Vendor) -> None:
    nightshift.ledger.create_run(run(prices=None))
    nightshift.client("s3").put_object(Bucket=nightshift.outputs, Key=run_files.job(RUN, 1), Body=JOB)
    billed(nightshift.ledger, state=ChunkState.ARCHIVED, tally=Tally(usage={"input_tokens": 7}))
    billed(nightshift.ledger, number=2, tally=Tally(service_tiers={"batch": 2, "standard": 1}))
    billed(nightshift.ledger, number=3, state=ChunkState.SENT, ended_at=None)
    vendor.bill(DAY, "claude-haiku-5-5", input=(7, "0.0000004"))
    vendor.bill(DAY, "claude-opus-5-5", "standard", "wrkspc_other", input=(10_000_000, "40"))

    said = nightshift("bill", "--since", "2026-11-22")

    assert said.status == Exit.DONE
    assert said.err == [
        "· this is of all workspaces (default, wrkspc_other): name the stack's with --workspace",
        "· the vendor's reports are about five minutes behind, at times more",
        "· $40.00 of tiers that this stack used nothing of are left out",
        "· 1 batches have ended, and are not collected: the ledger lacks their cost",
        "· 1 batches have not ended: the vendor bills what they have done, the ledger not",
        "· the ledger has tokens and no cost of claude-haiku-5-5: there was no price",
        "· the API billed rows of batches by another tier (standard: 1); here they are among the batches",
    ]


def test_one_workspace_can_be_named_the_default_one_too(nightshift: CliStack, vendor: Vendor) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, workspace="wrkspc_mine", **SAME)
    vendor.bill(DAY, MODEL, **SAME)

    assert nightshift("bill", *DAYS).status == Exit.DIFFERS
    assert nightshift("bill", *DAYS, "--workspace", "wrkspc_mine") == nightshift(
        "bill", *DAYS, "--workspace", "default"
    )
    assert nightshift("bill", *DAYS, "--workspace", "wrkspc_mine").status == Exit.DONE
    unknown = nightshift("bill", *DAYS, "--workspace", "wrkspc_none")
    assert (unknown.status, unknown.err[1:]) == (
        Exit.DIFFERS,
        ["· workspace wrkspc_none used nothing; those that did: default, wrkspc_mine"],
    )


def test_a_model_that_a_job_names_by_its_alias_is_the_one_that_is_billed_with_its_date(
    nightshift: CliStack, vendor: Vendor
) -> None:
    nightshift.ledger.create_run(run(prices=price_sheet("claude-haiku-4-5", date(2026, 11, 22))))
    billed(nightshift.ledger)
    vendor.bill(DAY, "claude-haiku-4-5-20251001", **SAME)

    assert nightshift("bill", *DAYS).status == Exit.DONE


def test_a_verification_is_held_against_the_synchronous_tier_by_the_files_of_its_answers(
    nightshift: CliStack, vendor: Vendor
) -> None:
    nightshift.ledger.create_run(run(prices=PRICES, state=RunState.DONE, verified=True))
    billed(nightshift.ledger)
    usage = {"input_tokens": 300_000, "output_tokens": 1, "service_tier": "standard"}
    kept = {"custom_id": "c", "result": {"type": "succeeded", "message": {"content": [], "usage": usage}}}
    lost = {"custom_id": "d", "result": {"type": "errored"}}
    for name, content in {"c.json": kept, "c.asked": {"bound": 1}, "d.json": lost}.items():
        key = f"{run_files.verify(RUN)}{name}"
        nightshift.client("s3").put_object(Bucket=nightshift.outputs, Key=key, Body=json.dumps(content).encode())
    stored = nightshift.client("s3").head_object(Bucket=nightshift.outputs, Key=f"{run_files.verify(RUN)}c.json")
    day = stored["LastModified"].date()
    vendor.bill(DAY, MODEL, **SAME)
    vendor.bill(day, MODEL, "standard", input=(300_000, "0.15"), output=(1, "0.0000025"))  # long: five times as much
    later = datetime.combine(max(day, NEXT), datetime.min.time(), UTC) + timedelta(days=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: later)
        told = json.loads("\n".join(nightshift("bill", "--since", "2026-11-22", "--json").out))
        after = json.loads("\n".join(nightshift("bill", "--since", later.date().isoformat(), "--json").out))

    standard = {item["kind"]: item for item in told["totals"] if item["tier"] == "standard"}
    assert standard["input"]["ledger"] == standard["input"]["vendor"] == {"tokens": 300_000, "usd": 0.15}
    assert standard["output"]["ledger"] == standard["output"]["vendor"] == {"tokens": 1, "usd": 2.5e-06}
    assert (told["differs"], after["totals"]) == (False, [])


def test_searches_are_compared_where_the_ledger_has_any(nightshift: CliStack, vendor: Vendor) -> None:
    nightshift.ledger.create_run(run(prices=PRICES))
    billed(nightshift.ledger)
    vendor.bill(DAY, MODEL, **SAME)
    vendor.search(DAY, 100, "1")
    without = nightshift("bill", *DAYS)
    searched = Tally(usage={"web_search_requests": 100}, paid={"web_search": amount_of(1)})
    billed(nightshift.ledger, number=2, batch_id=BatchId("msgbatch_2"), tally=searched)

    said = nightshift("bill", *DAYS)

    assert without.err == ["· $1.00 of tiers that this stack used nothing of are left out"]
    assert (said.status, said.err) == (Exit.DONE, [])
    assert any(line.split()[:4] == ["all", "web_search", "100", "100"] for line in said.out)


def test_both_reports_are_asked_for_whole_days_page_by_page_with_the_admin_key_alone(
    nightshift: CliStack, vendor: Vendor
) -> None:
    vendor.page = 1
    vendor.bill(NEXT, MODEL, **SAME)

    said = nightshift("bill", *DAYS, ANTHROPIC_API_KEY="sk-ant-api03-mine", ANTHROPIC_BASE_URL="http://127.0.0.1:9")

    days = {"starting_at": ["2026-11-22T00:00:00Z"], "ending_at": ["2026-11-24T00:00:00Z"], "limit": ["31"]}
    usage = days | {"bucket_width": ["1d"], "group_by[]": ["model", "service_tier", "workspace_id"]}
    cost = days | {"group_by[]": ["description", "workspace_id"]}
    page, keys = {"page": ["2026-11-23T00:00:00Z"]}, (ADMIN_KEY, None)
    assert vendor.asked == [
        (USAGE, usage, keys),
        (USAGE, usage | page, keys),
        (COST, cost, keys),
        (COST, cost | page, keys),
    ]
    assert said.status == Exit.DIFFERS
    assert [line.split()[0] for line in said.out[1:2]] == ["2026-11-23"]


def test_a_vendor_whose_pages_never_end_is_asked_no_more_often_than_there_are_days(
    nightshift: CliStack, vendor: Vendor
) -> None:
    body = json.dumps({"data": [], "has_more": True, "next_page": "page_again"}).encode()
    vendor.answer = (200, {}, body)

    assert nightshift("bill", *DAYS).status == Exit.DONE
    assert len(vendor.asked) == 4


def test_without_an_admin_key_it_says_how_to_put_one(nightshift: CliStack, vendor: Vendor) -> None:
    name = f"admin-key-{nightshift.name}"
    secrets = nightshift.client("secretsmanager")
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    secrets.create_secret(Name=name)

    assert nightshift("bill", *DAYS) == Said(
        Exit.FAILED,
        [],
        [f"{name} holds no key yet. Put one there: aws secretsmanager put-secret-value … admin-key.txt"],
    )
    assert vendor.asked == []


def test_a_key_that_the_vendor_refuses_is_told_and_never_shown(nightshift: CliStack, vendor: Vendor) -> None:
    error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    vendor.answer = (401, {"request-id": "req_1"}, json.dumps(error).encode())

    refused = "HTTP 401 authentication_error: invalid x-api-key (request req_1)"
    way_out = "It wants an Admin key, sk-ant-admin…; to put one: aws secretsmanager put-secret-value … admin-key.txt"
    assert nightshift("bill", *DAYS) == Said(Exit.FAILED, [], [f"{refused} {way_out}"])


def test_the_admin_key_follows_no_redirect(nightshift: CliStack, vendor: Vendor) -> None:
    with billing() as elsewhere:
        vendor.answer = (307, {"Location": f"{elsewhere.url}{USAGE}"}, b"")

        said = nightshift("bill", *DAYS)

        assert (said.status, elsewhere.asked) == (Exit.FAILED, [])
        assert said.err[0].startswith("HTTP 307")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "JSON is malformed"),
        (
            b'{"data": [{"starting_at": "2026-11-22T00:00:00Z", "results": [{}]}], "has_more": false}',
            "missing required",
        ),
    ],
)
def test_a_report_that_is_none_is_one_line(nightshift: CliStack, vendor: Vendor, body: bytes, words: str) -> None:
    vendor.answer = (200, {}, body)

    said = nightshift("bill", *DAYS)

    assert (said.status, said.out, len(said.err)) == (Exit.FAILED, [], 1)
    assert said.err[0].startswith(f"{USAGE} answers what its reference does not know: ")
    assert words in said.err[0]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({"currency": "EUR"}, f"{COST} bills in EUR; the ledger is in USD."),
        ({"amount": "much"}, f"{COST} has an amount that is no number."),
    ],
)
def test_money_that_is_no_dollars_is_not_taken_for_any(
    nightshift: CliStack, vendor: Vendor, amount: dict[str, str], words: str
) -> None:
    vendor.bill(DAY, MODEL, **SAME)
    vendor.billed[DAY][0] |= amount

    assert nightshift("bill", *DAYS) == Said(Exit.FAILED, [], [words])


@pytest.mark.parametrize(
    ("options", "period"),
    [
        ((), ("2026-11-01", "2026-11-25")),
        (("--month", "2026-10"), ("2026-10-01", "2026-10-31")),
        (("--month", "2026-02"), ("2026-02-01", "2026-02-28")),
        (("--month", "2026-11"), ("2026-11-01", "2026-11-25")),
        (("--since", "2026-11-20"), ("2026-11-20", "2026-11-25")),
        (("--since", "2026-11-20", "--until", "2026-11-20"), ("2026-11-20", "2026-11-20")),
        (("--since", "2026-11-20", "--until", "2027-11-20"), ("2026-11-20", "2026-11-25")),
    ],
)
def test_days_are_whole_both_included_and_none_is_in_the_future(
    nightshift: CliStack, options: tuple[str, ...], period: tuple[str, str]
) -> None:
    told = json.loads("\n".join(nightshift("bill", *options, "--json").out))

    assert (told["since"], told["until"]) == period


@pytest.mark.parametrize(
    "options",
    [
        ("--month", "2026-13"),
        ("--month", "november"),
        ("--month", "2026-12"),
        ("--month", "2026-11", "--since", "2026-11-02"),
        ("--until", "2026-11-02"),
        ("--since", "2026-11-20", "--until", "2026-11-19"),
        ("--since", "yesterday"),
    ],
)
def test_days_that_are_none_are_wrong_usage(nightshift: CliStack, vendor: Vendor, options: tuple[str, ...]) -> None:
    assert nightshift("bill", *options).status == Exit.USAGE
    assert vendor.asked == []
