"""The local API's reports of an organization: what was used, and what it cost, by hand calculation."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.batches_api.server import MODEL, Desk, params, structured

ADMIN = "sk-ant-admin01-tests"
USAGE, COST = "usage_report/messages", "cost_report"
DAY = "2026-11-22T00:00:00Z"
CLASSES = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "output_tokens",
)
LIST_PRICES = {
    "claude-fable-5-2": ("8", "40"),
    "claude-mythos-5-2": ("8", "40"),
    "claude-fable-5-1": ("10", "50"),
    "claude-mythos-5-1": ("10", "50"),
    "claude-fable-5": ("10", "50"),
    "claude-mythos-5": ("10", "50"),
    "claude-opus-5-5": ("4", "20"),
    "claude-opus-5": ("5", "25"),
    "claude-opus-4-8": ("5", "25"),
    "claude-opus-4-7": ("5", "25"),
    "claude-opus-4-6": ("5", "25"),
    "claude-opus-4-5-20251101": ("5", "25"),
    "claude-sonnet-5-5": ("2", "10"),
    "claude-sonnet-5": ("2", "10"),
    "claude-sonnet-4-6": ("3", "15"),
    "claude-sonnet-4-5-20250929": ("3", "15"),
    "claude-haiku-5-5": ("0.10", "0.50"),
    "claude-haiku-4-5-20251001": ("1", "5"),
}
"""USD per million tokens, synchronous: input and output (pricing page, November 2026)."""


def ask(desk: Desk, report: str, key: str = ADMIN, **query: Any) -> Any:
    """Ask for a report."""
    named = {f"{name}[]" if isinstance(value, list) else name: value for name, value in query.items()}
    return desk.http.get(
        f"{desk.url}/v1/organizations/{report}",
        params={"starting_at": DAY, **named},
        headers={"authorization": f"Bearer {key}"},
    )


def results(desk: Desk, report: str, *groups: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Return this workspace's results, bucket by bucket."""
    body = ask(desk, report, group_by=[*groups, "workspace_id"], **query).json()
    return [[item for item in bucket["results"] if item["workspace_id"] == desk.key] for bucket in body["data"]]


def tokens(item: dict[str, Any]) -> dict[str, int]:
    flat = item | item["cache_creation"]
    return {name: flat[name] for name in CLASSES if flat[name]}


def used(messages: Iterator[dict[str, Any]]) -> Counter[str]:
    """Add up what answers say they used, by the classes of the report."""
    total: Counter[str] = Counter()
    for message in messages:
        usage = message["usage"]
        total.update(usage["cache_creation"], uncached_input_tokens=usage["input_tokens"])
        total.update({name: usage[name] for name in ("cache_read_input_tokens", "output_tokens")})
    return total


def answers(desk: Desk, batch_id: str) -> Iterator[dict[str, Any]]:
    return (row["message"] for row in desk.results(batch_id).values() if row["type"] == "succeeded")


def cents(items: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(item["amount"]) for item in items), Decimal())


def test_usage_is_what_the_answers_said_they_used_by_model_and_tier(desk: Desk) -> None:
    system = [{"type": "text", "text": "rule " * 1000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    batch_id = desk.create(*[params(f"text {i}", system=system) for i in range(4)], params(model="claude-haiku-4-5"))
    desk.advance(600)
    message = desk.client.messages.create(**params("at once", system=system)).to_dict()
    mine = list(answers(desk, batch_id))

    (found,) = results(desk, USAGE, "model", "service_tier")

    assert [(item["model"], item["service_tier"]) for item in found] == [
        ("claude-haiku-4-5-20251001", "batch"),
        (MODEL, "batch"),
        (MODEL, "standard"),
    ]
    assert [tokens(item) for item in found] == [
        +used(m for m in mine if m["model"] == "claude-haiku-4-5-20251001"),
        +used(m for m in mine if m["model"] == MODEL),
        +used(iter([message])),
    ]
    assert found[1]["cache_creation"]["ephemeral_1h_input_tokens"] == 4 * 1250


def test_a_result_has_the_fields_of_the_reference_and_null_for_what_it_is_not_grouped_by(desk: Desk) -> None:
    desk.run(params("seven words of text in one row"))

    ((usage,),) = results(desk, USAGE)
    ((cost,),) = results(desk, COST)

    assert usage == {
        "account_id": None,
        "api_key_id": None,
        "service_account_id": None,
        "context_window": None,
        "inference_geo": None,
        "model": None,
        "service_tier": None,
        "workspace_id": desk.key,
        "uncached_input_tokens": 8,
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
        "cache_read_input_tokens": 0,
        "output_tokens": usage["output_tokens"],
        "server_tool_use": {"web_search_requests": 0},
    }
    assert cost == {
        "context_window": None,
        "cost_type": None,
        "description": None,
        "inference_geo": None,
        "model": None,
        "service_tier": None,
        "token_type": None,
        "workspace_id": desk.key,
        "amount": f"{(8 * Decimal('0.05') + usage['output_tokens'] * Decimal('0.25')) / 10**4:f}",
        "currency": "USD",
    }


def test_the_default_workspace_has_no_id(desk: Desk) -> None:
    desk.settings(workspaces={})
    desk.run(structured("my invoice"))

    body = ask(desk, USAGE, group_by=["workspace_id"]).json()

    assert None in {item["workspace_id"] for item in body["data"][0]["results"]}


def test_each_model_costs_what_the_list_says_and_half_of_it_in_a_batch(desk: Desk) -> None:
    rows = [params("a text of some length", model=model, thinking=None, max_tokens=2048) for model in LIST_PRICES]
    known = {model.id for model in desk.client.models.list()}
    desk.run(*rows)
    for row in rows:  # without the SDK, which warns of models that will be retired
        assert desk.http.post(f"{desk.url}/v1/messages", json=row).status_code == 200

    (costs,) = results(desk, COST, "description")
    (usage,) = results(desk, USAGE, "model", "service_tier")

    assert known == set(LIST_PRICES)
    expected = {}
    for item in usage:
        half = Decimal("0.5") if item["service_tier"] == "batch" else Decimal(1)
        for name, price in zip(("uncached_input_tokens", "output_tokens"), LIST_PRICES[item["model"]], strict=True):
            expected[item["model"], item["service_tier"], name] = item[name] * Decimal(price) * half / 10**4
    assert {(c["model"], c["service_tier"], c["token_type"]): Decimal(c["amount"]) for c in costs} == expected
    assert len(expected) == 2 * 2 * len(LIST_PRICES)


def test_the_cache_costs_its_own_prices_by_lifetime(desk: Desk) -> None:
    def marked(ttl: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": f"{ttl} " * 2000, "cache_control": {"type": "ephemeral", "ttl": ttl}}]

    desk.run(params(system=marked("1h")), params(system=marked("5m")))
    desk.run(params(system=marked("1h")))

    (costs,) = results(desk, COST, "description")

    assert {item["token_type"]: Decimal(item["amount"]) for item in costs if "output" not in item["token_type"]} == {
        "uncached_input_tokens": 3 * 7 * Decimal("0.05") / 10**4,
        "cache_creation.ephemeral_1h_input_tokens": 1500 * Decimal("0.1") / 10**4,
        "cache_creation.ephemeral_5m_input_tokens": 1500 * Decimal("0.0625") / 10**4,
        "cache_read_input_tokens": 1500 * Decimal("0.005") / 10**4,
    }
    assert {item["description"] for item in costs if item["token_type"] == "cache_read_input_tokens"} == {
        "Claude Haiku 5.5 Usage - Input Tokens, Cache Read, Batch"
    }


def test_a_long_prompt_of_haiku_costs_five_times_as_much_and_one_token_less_does_not(desk: Desk) -> None:
    desk.run(params("x" * 400_000))
    (before,) = results(desk, COST, "description")
    desk.run(params("x" * 400_004))
    (after,) = results(desk, COST, "description")

    amounts = [
        Decimal(item["amount"]) for found in (before, after) for item in found if item["token_type"] != "output_tokens"
    ]
    assert amounts == [Decimal("0.5"), Decimal("0.5") + 100_001 * Decimal("0.25") / 10**4]


def test_what_was_not_processed_or_ended_in_an_error_costs_nothing(desk: Desk) -> None:
    batch_id = desk.create(*[params(f"text {i}") for i in range(10)], *[params(stream=True)] * 10)
    desk.advance(300)
    desk.client.messages.batches.cancel(batch_id)
    desk.advance(60)
    mine = list(answers(desk, batch_id))

    (found,) = results(desk, USAGE)

    assert 0 < len(mine) < 10
    assert [tokens(item) for item in found] == [+used(iter(mine))]


def test_rows_are_reported_on_the_day_they_were_answered_not_on_that_of_their_batch_s_end(desk: Desk) -> None:
    desk.advance(86_400 - 305)  # a row a minute: five before midnight
    batch_id = desk.create(*[params(f"text {i}") for i in range(10)])
    desk.advance(600)

    first, second = results(desk, USAGE)
    hours = [len(hour) for hour in results(desk, USAGE, bucket_width="1h", starting_at="2026-11-22T22:30:00Z")]

    assert (first[0]["uncached_input_tokens"], second[0]["uncached_input_tokens"]) == (10, 10)
    assert desk.client.messages.batches.retrieve(batch_id).ended_at.isoformat()[:10] == "2026-11-23"  # type: ignore[union-attr]
    assert hours == [0, 1, 1]


def test_pages_are_of_buckets_and_one_leads_to_the_next(desk: Desk) -> None:
    desk.advance(3 * 86_400)
    desk.run(params())
    first = ask(desk, USAGE, limit=2, ending_at="2026-11-25T12:00:00Z").json()
    second = ask(desk, USAGE, limit=2, ending_at="2026-11-25T12:00:00Z", page=first["next_page"]).json()
    to_the_end = ask(desk, COST).json()

    assert first["next_page"] == "page_MjAyNi0xMS0yNFQwMDowMDowMFo="  # 2026-11-24T00:00:00Z
    assert first["has_more"] is True
    assert [bucket["starting_at"] for bucket in first["data"]] == [DAY, "2026-11-23T00:00:00Z"]
    assert second == {
        "data": [{"starting_at": "2026-11-24T00:00:00Z", "ending_at": "2026-11-25T00:00:00Z", "results": []}],
        "has_more": False,
        "next_page": None,
    }
    assert (len(to_the_end["data"]), to_the_end["has_more"]) == (4, False)
    assert cents(to_the_end["data"][3]["results"]) > 0


def test_reports_can_be_some_minutes_behind(desk: Desk) -> None:
    desk.settings(usage_delay_seconds=300)
    desk.run(params())
    desk.advance(299)
    (before,) = results(desk, COST)
    desk.advance(2)
    (after,) = results(desk, COST)

    assert (before, len(after)) == ([], 1)


def test_reports_can_be_of_some_models_tiers_and_workspaces(desk: Desk) -> None:
    desk.run(params(), params(model="claude-opus-5"))
    desk.client.messages.create(**params())

    def counted(**query: Any) -> list[tuple[str, str]]:
        (found,) = results(desk, USAGE, "model", "service_tier", **query)
        return [(item["model"], item["service_tier"]) for item in found]

    assert counted(models=["claude-opus-5"]) == [("claude-opus-5", "batch")]
    assert counted(service_tiers=["standard"]) == [(MODEL, "standard")]
    assert counted(workspace_ids=[desk.key], models=[MODEL]) == [(MODEL, "batch"), (MODEL, "standard")]
    assert counted(workspace_ids=["wrkspc_none"]) == []


def test_reports_are_for_an_admin_key_alone_and_an_admin_key_is_for_nothing_else(desk: Desk) -> None:
    refused = ask(desk, USAGE, key="sk-ant-api03-tests")
    message = desk.http.post(f"{desk.url}/v1/messages", json=params(), headers={"authorization": f"Bearer {ADMIN}"})
    desk.settings(keys=[desk.key])
    unknown = ask(desk, COST)

    assert [answer.status_code for answer in (refused, message, unknown)] == [401, 401, 401]
    assert {answer.json()["error"]["message"] for answer in (refused, message, unknown)} == {"API key is invalid."}


@pytest.mark.parametrize(
    ("report", "query", "message"),
    [
        (COST, {"bucket_width": "1h"}, "bucket_width: Input should be '1d'"),
        (USAGE, {"group_by": ["api_key_id"]}, "group_by: Input should be 'context_window' or 'inference_geo' or "),
        (COST, {"group_by": ["model"]}, "group_by: Input should be 'description' or 'workspace_id'"),
        (USAGE, {"limit": 32}, "limit: Input should be a valid integer from 1 to 31"),
        (USAGE, {"limit": 0}, "limit: Input should be a valid integer from 1 to 31"),
        (USAGE, {"limit": 169, "bucket_width": "1h"}, "limit: Input should be a valid integer from 1 to 168"),
        (USAGE, {"starting_at": "2026-11-22"}, "starting_at: Input should be a valid datetime with a time zone"),
        (USAGE, {"page": "page_nonsense"}, "page: Invalid page token"),
        (COST, {"models": [MODEL]}, "models[]: Extra inputs are not permitted"),
    ],
)
def test_what_is_not_served_is_refused(desk: Desk, report: str, query: dict[str, Any], message: str) -> None:
    answer = ask(desk, report, **query)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


def test_a_report_can_be_had_to_fail(desk: Desk) -> None:
    desk.fault("cost_report", "status:529", times=1)

    assert [ask(desk, COST).status_code for _ in range(2)] == [529, 200]
