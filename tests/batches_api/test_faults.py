"""The local Message Batches API: misbehaviour on request, and the audit that tells what was paid for."""

import json
import time
from typing import Any

import anthropic
import httpx2
import pytest

from tests.batches_api.server import MODEL, Desk, params, requests, serve, structured

OUTCOMES: dict[str, dict[str, Any]] = {
    "overloaded": {"type": "overloaded_error", "message": "Overloaded"},
    "api_error": {"type": "api_error", "message": "Internal server error"},
}


def listed(desk: Desk) -> list[str]:
    """Return the ids of the batches that are there."""
    return [batch.id for batch in desk.client.messages.batches.list()]


def last_post(desk: Desk) -> dict[str, Any]:
    """Return what the audit says about the newest create."""
    post: dict[str, Any] = desk.control("audit")["posts"][-1]
    return post


def ended(desk: Desk, rows: int = 4) -> str:
    """Return a batch that has ended."""
    batch_id = desk.create(*[params(f"text {i}") for i in range(rows)])
    desk.advance(600)
    return batch_id


# ---------------------------------------------------------------- create


def test_a_create_whose_answer_is_lost_made_a_batch(desk: Desk) -> None:
    desk.fault("create", "accept-then-close", times=1)
    with pytest.raises(anthropic.APIConnectionError) as error:
        desk.create(params())

    assert isinstance(error.value.__cause__, httpx2.RemoteProtocolError)
    assert len(listed(desk)) == 1
    assert last_post(desk)["outcome"] == "accepted, connection closed"
    assert desk.create(params("another"))


def test_the_sdks_own_retries_make_three_batches_of_it(desk: Desk) -> None:
    desk.fault("create", "accept-then-close")
    with pytest.raises(anthropic.APIConnectionError):
        desk.client.with_options(max_retries=2).messages.batches.create(requests=requests(params("thrice")))

    repeated = desk.control("audit")["custom_ids"]["examples"]
    assert len(listed(desk)) == 3
    assert sorted(listed(desk)) in [sorted(set(example["batches"]) & set(listed(desk))) for example in repeated]


def test_a_create_that_hangs_made_a_batch(desk: Desk) -> None:
    desk.fault("create", "accept-then-hang", times=1)
    with pytest.raises(anthropic.APITimeoutError):
        desk.client.with_options(timeout=0.3).messages.batches.create(requests=requests(params()))

    assert len(listed(desk)) == 1
    assert last_post(desk)["outcome"] == "accepted, no answer"


def test_a_create_that_lands_late_is_seen_late(desk: Desk) -> None:
    desk.fault("create", "accept-late", times=1, seconds=120)
    with pytest.raises(anthropic.APIConnectionError):
        desk.create(params())
    before = listed(desk)
    desk.advance(121)

    assert before == []
    assert len(listed(desk)) == 1


@pytest.mark.parametrize(("accepted", "batches"), [(True, 1), (False, 0)])
def test_a_server_error_may_or_may_not_have_made_a_batch(desk: Desk, accepted: bool, batches: int) -> None:  # noqa: FBT001 - a case
    desk.fault("create", "status:529", times=1, accepted=accepted)
    with pytest.raises(anthropic.OverloadedError):
        desk.create(params())

    assert len(listed(desk)) == batches


@pytest.mark.parametrize("kind", ["close", "hang"])
def test_a_connection_that_is_lost_before_the_work_made_none(desk: Desk, kind: str) -> None:
    desk.fault("create", kind, times=1, seconds=0.1)
    with pytest.raises(anthropic.APIConnectionError):
        desk.create(params())

    assert listed(desk) == []
    assert last_post(desk)["outcome"] == f"not accepted: {kind}"


def test_a_spend_limit_is_told_by_its_error_code(desk: Desk) -> None:
    desk.fault("create", "status:429", times=1, error_code="enforced_spend_limit_reached", message="You will regain …")
    with pytest.raises(anthropic.EnforcedSpendLimitReachedError) as error:
        desk.create(params())

    assert "retry-after" not in error.value.response.headers


def test_a_status_comes_with_the_headers_asked_for(desk: Desk) -> None:
    desk.fault("create", "status:503", times=1, retry_after=7, x_should_retry=False)
    with pytest.raises(anthropic.ServiceUnavailableError) as error:
        desk.create(params())

    assert error.value.response.headers["retry-after"] == "7"
    assert error.value.response.headers["x-should-retry"] == "false"


def test_a_413_may_come_as_html(desk: Desk) -> None:
    desk.fault("create", "html-413", times=1)
    with pytest.raises(anthropic.ContentTooLargeError) as error:
        desk.create(params())

    assert "cloudflare" in error.value.response.text


def test_a_batch_may_expire_as_a_whole_or_be_canceled_by_somebody(desk: Desk) -> None:
    desk.fault("create", "all-expired", times=1)
    expired = desk.create(params(), params())
    desk.fault("create", "canceled", times=1, seconds=0)
    canceled = desk.create(params(), params())
    desk.advance(86_400)

    assert {result["type"] for result in desk.results(expired).values()} == {"expired"}
    assert {result["type"] for result in desk.results(canceled).values()} == {"canceled"}


# ---------------------------------------------------------------- when faults fire


def test_a_fault_waits_and_stops_as_it_was_told(desk: Desk) -> None:
    desk.fault("list", "status:500", after=1, times=2)
    statuses = [desk.http.get(f"{desk.url}/v1/messages/batches").status_code for _ in range(4)]

    assert statuses == [200, 500, 500, 200]
    assert desk.control("faults")[0]["fired"] == 2


def test_a_fault_can_be_about_one_batch(desk: Desk) -> None:
    good, bad = desk.create(params()), desk.create(params())
    desk.fault("retrieve", "status:500", batch_id=bad)
    with pytest.raises(anthropic.InternalServerError):
        desk.client.messages.batches.retrieve(bad)

    assert desk.client.messages.batches.retrieve(good).id == good


def test_a_new_batch_may_not_be_found_at_first(desk: Desk) -> None:
    desk.fault("retrieve", "not-found", seconds=5)
    batch_id = desk.create(params())
    with pytest.raises(anthropic.NotFoundError, match=f"Message Batch {batch_id} not found."):
        desk.client.messages.batches.retrieve(batch_id)
    desk.advance(5)

    assert desk.client.messages.batches.retrieve(batch_id).id == batch_id


def test_faults_and_settings_that_do_not_exist_are_refused(desk: Desk) -> None:
    answers = [
        desk.http.post(f"{desk.url}/_local/faults", json={"endpoint": "list", "kind": "cut-line"}),
        desk.http.post(f"{desk.url}/_local/faults", json={"endpoint": "list", "kind": "close", "often": 1}),
        desk.http.post(f"{desk.url}/_local/settings", json={"speed": 1}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert answers[0].json() == {"error": "list has no fault 'cut-line'"}


# ---------------------------------------------------------------- results


def test_a_stream_may_end_early_without_an_error(desk: Desk) -> None:
    batch_id = ended(desk)
    whole = desk.raw(batch_id).content
    for kind in ("cut-line", "clean-early-close"):
        desk.fault("results", kind, times=1, lines=2)
        assert desk.raw(batch_id).content == b"".join(whole.splitlines(keepends=True)[:2])
    desk.fault("results", "cut-mid-line", times=1, lines=2)
    cut = desk.raw(batch_id).content

    assert whole.startswith(cut)
    assert (cut.count(b"\n"), cut.endswith(b"\n")) == (2, False)
    assert desk.raw(batch_id).content == whole


def test_the_sdks_loop_over_a_stream_that_is_cut_ends_without_an_error(desk: Desk) -> None:
    batch_id = ended(desk)
    desk.fault("results", "cut-line", times=1, share=0.75)

    assert [len(list(desk.client.messages.batches.results(batch_id))) for _ in range(2)] == [3, 4]


def test_a_stream_may_be_dropped(desk: Desk) -> None:
    batch_id = ended(desk)
    desk.fault("results", "drop", times=1, lines=2)
    with pytest.raises(httpx2.RemoteProtocolError):
        desk.raw(batch_id)

    assert len(desk.results(batch_id)) == 4


def test_a_stream_may_be_slow(desk: Desk) -> None:
    batch_id = ended(desk, rows=2)
    desk.fault("results", "slow", times=1, seconds=0.05)
    started = time.monotonic()

    assert len(desk.results(batch_id)) == 2
    assert time.monotonic() - started >= 0.1


def test_a_stream_may_hold_lines_that_should_not_be_there(desk: Desk) -> None:
    batch_id = ended(desk)
    whole = desk.raw(batch_id).text.splitlines()

    def lines(kind: str) -> list[str]:
        desk.fault("results", kind, times=1, lines=1)
        return desk.raw(batch_id).text.split("\n")[:-1]

    assert lines("blank-line") == [whole[0], "", *whole[1:]]
    assert lines("duplicate-line") == [whole[0], whole[1], *whole[1:]]
    assert lines("missing-row") == [whole[0], *whole[2:]]
    assert lines("crlf") == [line + "\r" for line in whole]
    assert json.loads(lines("unknown-id")[1])["custom_id"] == "nobody-sent-this"
    assert "custom_id" not in json.loads(lines("idless-error-line")[1])
    assert lines("blank-line")[2:] == whole[1:]


def test_a_results_url_may_lead_elsewhere(desk: Desk) -> None:
    batch_id = ended(desk)
    desk.fault("retrieve", "foreign-results-url", times=1, url="http://127.0.0.2/results")

    assert desk.client.messages.batches.retrieve(batch_id).results_url == "http://127.0.0.2/results"
    assert str(desk.client.messages.batches.retrieve(batch_id).results_url).startswith(desk.url)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_row_may_end_with_an_error_of_the_service(desk: Desk, kind: str) -> None:
    desk.fault("rows", kind, custom_id_suffix="-1")
    good, bad = desk.run(params(), params())

    assert good["type"] == "succeeded"
    assert bad["error"]["error"] == {"details": {"error_visibility": "user_facing"}, **OUTCOMES[kind]}


def test_a_row_may_end_without_an_answer(desk: Desk) -> None:
    desk.fault("rows", "expired", custom_id_suffix="-0")
    desk.fault("rows", "canceled", custom_id_suffix="-1")
    desk.fault("rows", "errored", custom_id_suffix="-2", error_type="billing_error", message="No.")
    expired, canceled, errored = desk.run(params(), params(), params())

    assert (expired, canceled) == ({"type": "expired"}, {"type": "canceled"})
    assert errored["error"]["error"]["type"] == "billing_error"


def test_a_row_may_be_refused_and_is_still_a_success(desk: Desk) -> None:
    desk.fault("rows", "refusal", text="forbidden")
    good, refused = desk.run(params(), params("something forbidden"))
    message = refused["message"]

    assert good["message"]["stop_reason"] == "end_turn"
    assert (refused["type"], message["stop_reason"], message["content"]) == ("succeeded", "refusal", [])
    assert message["stop_details"] == {"type": "refusal", "category": "general_harms", "explanation": None}


def test_a_structured_answer_may_be_spoiled(desk: Desk) -> None:
    for suffix, kind in (("-0", "enum-case"), ("-1", "invalid-json"), ("-2", "max_tokens")):
        desk.fault("rows", kind, custom_id_suffix=suffix)
    case, broken, cut = (result["message"] for result in desk.run(*[structured("My invoice was billed twice.")] * 3))

    assert json.loads(case["content"][0]["text"])["category"] == "BILLING"
    assert broken["stop_reason"] == "end_turn"
    assert broken["content"][0]["text"].endswith('"')
    assert cut["stop_reason"] == "max_tokens"


def test_a_share_of_the_rows_fails_once_and_succeeds_when_sent_again(desk: Desk) -> None:
    desk.fault("rows", "overloaded", rate=0.5, first_times=1)
    rows = [params(f"text {i}") for i in range(40)]
    first = [result["type"] for result in desk.run(*rows)]
    second = [result["type"] for result in desk.run(*rows)]

    assert 10 < first.count("errored") < 30
    assert second.count("errored") == 0


# ---------------------------------------------------------------- the audit


def test_the_audit_tells_what_was_paid_for_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serve(tmp_path_factory.mktemp("audit")) as server:
        desk = server.desk()
        desk.fault("rows", "overloaded", text="fails", first_times=1)
        desk.run(params("same"), params("other"), params("fails"))
        retried = desk.run(params("another"), params("same"), params("fails"))
        audit = desk.control("audit")
        first, second = desk.control("batches")

    assert retried[2]["type"] == "succeeded"
    assert [post["status"] for post in audit["posts"]] == [200, 200]
    assert (audit["batches"], audit["rows"], audit["billed_rows"]) == (2, 6, 5)
    assert audit["billed_params"]["in_more_than_one_batch"] == 1
    assert audit["billed_params"]["examples"][0]["batches"] == [first["id"], second["id"]]
    assert audit["custom_ids"]["in_more_than_one_batch"] == 3
    assert (first["rows"], first["custom_ids"]["first"], first["custom_ids"]["last"]) == (3, "r-0", "r-2")
    assert first["custom_ids"]["sha256"] == second["custom_ids"]["sha256"]
    assert (first["counts"]["errored"], first["custom_ids_elsewhere"]) == (1, 3)


def test_a_seed_makes_ids_and_results_the_same_every_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    def results() -> bytes:
        with serve(tmp_path_factory.mktemp("seed"), "--seed", "one") as server:
            desk = server.desk()
            return desk.raw(ended(desk, rows=20)).content

    once, again = results(), results()

    assert once == again
    assert once.count(MODEL.encode()) == 20
