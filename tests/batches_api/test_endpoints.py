"""The local Message Batches API: endpoints, errors, lists, times."""

import gzip
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
import pytest

from tests.batches_api.server import MODEL, Desk, Server, params, requests, start, structured

BATCHES = "/v1/messages/batches"


# ---------------------------------------------------------------- the batch object


def test_a_new_batch_looks_as_it_was_recorded(desk: Desk) -> None:
    answer = desk.http.post(desk.url + BATCHES, json={"requests": requests(params(), params())})
    batch = answer.json()

    assert answer.status_code == 200
    assert batch["id"].startswith("msgbatch_01")
    assert batch["created_at"].startswith("2026-11-22T00:00:")
    assert batch["created_at"].endswith("+00:00")
    assert len(batch["created_at"]) == len("2026-11-22T00:00:00.000000+00:00")
    assert batch["expires_at"] == batch["created_at"].replace("11-22", "11-23")
    assert list(batch.items()) == [
        ("id", batch["id"]),
        ("type", "message_batch"),
        ("processing_status", "in_progress"),
        ("request_counts", {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}),
        ("ended_at", None),
        ("created_at", batch["created_at"]),
        ("expires_at", batch["expires_at"]),
        ("archived_at", None),
        ("cancel_initiated_at", None),
        ("results_url", None),
    ]


def test_an_ended_batch_has_its_counts_and_an_address_of_its_results(desk: Desk) -> None:
    batch_id = desk.create(params(), params(stream=True))
    desk.advance(600)

    batch = desk.client.messages.batches.retrieve(batch_id)

    assert batch.processing_status == "ended"
    assert batch.ended_at is not None
    assert (batch.ended_at - batch.created_at).total_seconds() == 600
    assert batch.request_counts.to_dict() == {
        "processing": 0,
        "succeeded": 1,
        "errored": 1,
        "canceled": 0,
        "expired": 0,
    }
    assert batch.results_url == f"{desk.url}{BATCHES}/{batch_id}/results"


def test_counts_stay_in_processing_until_the_end_unless_they_are_progressive(desk: Desk) -> None:
    batch_id = desk.create(*[params(f"text {i}") for i in range(10)])
    desk.advance(301)
    documented = desk.client.messages.batches.retrieve(batch_id).request_counts.to_dict()
    desk.settings(progressive=True)
    progressive = desk.client.messages.batches.retrieve(batch_id).request_counts.to_dict()

    assert documented == {"processing": 10, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    assert progressive == {"processing": 5, "succeeded": 5, "errored": 0, "canceled": 0, "expired": 0}


def test_a_poll_is_told_when_to_come_again_until_the_batch_has_ended(desk: Desk) -> None:
    batch_id = desk.create(params())
    waiting = desk.client.messages.batches.with_raw_response.retrieve(batch_id)
    desk.advance(600)
    over = desk.client.messages.batches.with_raw_response.retrieve(batch_id)

    assert waiting.headers["retry-after"] == "10"
    assert "retry-after" not in over.headers


def test_every_answer_carries_the_services_headers(desk: Desk) -> None:
    headers = desk.http.get(desk.url + BATCHES).headers

    assert headers["request-id"].startswith("req_01")
    assert headers["anthropic-organization-id"]
    assert headers["anthropic-ratelimit-requests-limit"] == "1000000"
    assert int(headers["anthropic-ratelimit-requests-remaining"]) < 1_000_000
    assert headers["anthropic-ratelimit-requests-reset"].startswith("2026-11-22T00:00:")


def test_a_batch_is_seen_in_its_workspace_only(server: Server, desk: Desk) -> None:
    batch_id = desk.create(params())
    with pytest.raises(anthropic.NotFoundError) as error:
        server.desk().client.messages.batches.retrieve(batch_id)

    assert error.value.body == {
        "type": "error",
        "error": {"type": "not_found_error", "message": f"Message Batch {batch_id} not found."},
        "request_id": error.value.response.headers["request-id"],
    }


# ---------------------------------------------------------------- what create refuses


BAD_BODIES: dict[str, tuple[Any, str]] = {
    "a bad character": (
        [{"custom_id": "a b", "params": {}}],
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    ),
    "65 characters": (
        [{"custom_id": "!" * 65, "params": {}}],
        "requests.0.custom_id: String should have at most 64 characters",
    ),
    "a newline at the end": (
        [{"custom_id": "a\n", "params": {}}],
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    ),
    "no custom_id": ([{"params": {}}], "requests.0.custom_id: Field required"),
    "a number": ([{"custom_id": 1, "params": {}}], "requests.0.custom_id: Input should be a valid string"),
    "no params": ([{"custom_id": "a"}], "requests.0.params: Field required"),
    "a key too many": ([{"custom_id": "a", "params": {}, "x": 1}], "requests.0.x: Extra inputs are not permitted"),
    "a duplicate": (
        [{"custom_id": name, "params": {}} for name in ("dup", "other", "dup")],
        "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
    ),
    "an empty list": ([], "requests: List should have at least 1 item after validation, not 0"),
}


@pytest.mark.parametrize(("rows", "message"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_create_refuses_the_whole_batch_for_a_custom_id(desk: Desk, rows: Any, message: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as error:
        desk.client.messages.batches.create(requests=rows)

    body: Any = error.value.body
    assert body["error"] == {"type": "invalid_request_error", "message": message}
    assert desk.client.messages.batches.list().data == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"requests":[{"custom_id":"a","params":{"x":tru}}]}', b'"\\ud800"x'])
def test_create_refuses_what_is_not_json(desk: Desk, body: bytes) -> None:
    answer = desk.http.post(desk.url + BATCHES, content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The request body is not valid JSON: ")


def test_create_refuses_keys_beside_the_requests(desk: Desk) -> None:
    answer = desk.http.post(desk.url + BATCHES, json={"requests": requests(params()), "name": "mine"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "name: Extra inputs are not permitted")


def test_create_refuses_more_requests_than_a_batch_may_have(desk: Desk) -> None:
    desk.settings(max_batch_requests=2)
    with pytest.raises(anthropic.BadRequestError, match="List should have at most 2 items after validation, not 3"):
        desk.create(params(), params(), params())


@pytest.mark.parametrize("html", [False, True])
def test_a_body_that_is_too_large_is_refused_with_413(desk: Desk, html: bool) -> None:  # noqa: FBT001 - a case
    desk.settings(max_batch_bytes=2_000_000, html_413=html)
    with pytest.raises(anthropic.ContentTooLargeError) as error:
        desk.create(params("x" * 2_000_000))

    assert error.value.type == (None if html else "request_too_large")


# ---------------------------------------------------------------- who may call, and how often


def test_a_key_is_taken_from_either_header_and_must_work(desk: Desk) -> None:
    desk.settings(keys=[desk.key])
    version = {"anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=desk.url, headers=version) as http:
        answers = [
            http.get(BATCHES, headers={"x-api-key": desk.key}),
            http.get(BATCHES, headers={"authorization": f"Bearer {desk.key}"}),
            http.get(BATCHES, headers={"authorization": f"Bearer {desk.key}", "x-api-key": "wrong"}),
            http.get(BATCHES),
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert answers[2].json()["error"] == {"type": "authentication_error", "message": "API key is invalid."}


def test_a_version_header_must_be_there_and_known(desk: Desk) -> None:
    with httpx2.Client(base_url=desk.url, headers={"x-api-key": desk.key}) as http:
        missing = http.get(BATCHES)
        unknown = http.get(BATCHES, headers={"anthropic-version": "2020-01-01"})

    assert missing.json()["error"]["message"] == "anthropic-version: header is required"
    assert unknown.json()["error"]["message"] == 'anthropic-version: "2020-01-01" is not a valid version'


def test_the_old_beta_query_is_tolerated_and_unknown_paths_are_not(desk: Desk) -> None:
    assert desk.http.post(f"{desk.url}{BATCHES}?beta=true", json={"requests": requests(params())}).status_code == 200
    assert desk.http.get(f"{desk.url}/v1/nothing").json()["error"] == {
        "type": "not_found_error",
        "message": "Not found",
    }
    assert desk.http.put(f"{desk.url}{BATCHES}").status_code == 405


def test_too_many_requests_a_minute_are_told_to_wait(desk: Desk) -> None:
    desk.advance(60)
    desk.client.messages.batches.list()  # the minute that has passed makes up for the other tests
    desk.settings(rpm=2)
    desk.advance(60)
    for _ in range(2):
        desk.client.messages.batches.list()
    with pytest.raises(anthropic.RateLimitError) as error:
        desk.client.messages.batches.list()
    desk.advance(30)

    assert error.value.response.headers["retry-after"] == "30"
    assert desk.client.messages.batches.list().data == []


def test_a_full_queue_refuses_new_batches_until_some_have_ended(desk: Desk) -> None:
    desk.settings(queue_limit=3)
    desk.create(params(), params())
    with pytest.raises(anthropic.RateLimitError) as error:
        desk.create(params(), params())
    desk.advance(600)

    assert error.value.response.headers["retry-after"] == "60"
    assert desk.create(params(), params())


# ---------------------------------------------------------------- lists


def test_a_list_is_newest_first_and_pages_both_ways(desk: Desk) -> None:
    ids = []
    for _ in range(5):
        ids.append(desk.create(params()))
        desk.advance(1)
    newest = ids[::-1]
    page = desk.client.messages.batches.list(limit=2)
    after = desk.client.messages.batches.list(limit=2, after_id=newest[1])
    before = desk.client.messages.batches.list(limit=2, before_id=newest[3])

    assert [batch.id for batch in page.data] == newest[:2]
    assert (page.has_more, page.first_id, page.last_id) == (True, newest[0], newest[1])
    assert [batch.id for batch in after.data] == newest[2:4]
    assert [batch.id for batch in before.data] == newest[1:3]
    assert before.has_more
    assert [batch.id for batch in desk.client.messages.batches.list(limit=2)] == newest


def test_an_empty_list_has_no_cursors(desk: Desk) -> None:
    assert desk.http.get(desk.url + BATCHES).json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=1001", "limit: Input should be less than or equal to 1000"),
        ("after_id=msgbatch_no", "after_id: msgbatch_no is not a Message Batch of this workspace."),
    ],
)
def test_a_list_refuses_what_it_cannot_page(desk: Desk, query: str, message: str) -> None:
    answer = desk.http.get(f"{desk.url}{BATCHES}?{query}")

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


# ---------------------------------------------------------------- cancel, expiry, archive, delete


def test_a_canceled_batch_ends_with_a_mix_of_answers_and_canceled_rows(desk: Desk) -> None:
    batch_id = desk.create(*[params(f"text {i}") for i in range(10)])
    desk.advance(301)
    canceling = desk.client.messages.batches.cancel(batch_id)
    desk.advance(25)
    ended = desk.client.messages.batches.retrieve(batch_id)
    kinds = sorted(result["type"] for result in desk.results(batch_id).values())

    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    assert canceling.request_counts.processing == 10
    assert ended.processing_status == "ended"
    assert (ended.request_counts.succeeded, ended.request_counts.canceled) == (5, 5)
    assert kinds == ["canceled"] * 5 + ["succeeded"] * 5


def test_a_cancel_that_comes_too_late_changes_nothing(desk: Desk) -> None:
    batch_id = desk.create(params())
    desk.advance(600)
    before = desk.client.messages.batches.retrieve(batch_id)

    assert desk.client.messages.batches.cancel(batch_id) == before


def test_after_24_hours_what_is_left_expires(desk: Desk) -> None:
    desk.settings(duration_seconds=2 * 86_400)
    batch_id = desk.create(*[params(f"text {i}") for i in range(4)])
    desk.advance(86_399)
    before = desk.client.messages.batches.retrieve(batch_id).processing_status
    desk.advance(1)
    ended = desk.client.messages.batches.retrieve(batch_id)

    assert before == "in_progress"
    assert ended.ended_at == ended.expires_at
    assert (ended.request_counts.succeeded, ended.request_counts.expired) == (2, 2)
    assert sorted(r["type"] for r in desk.results(batch_id).values()) == ["expired"] * 2 + ["succeeded"] * 2


def test_results_are_there_for_29_days_from_creation(desk: Desk) -> None:
    batch_id = desk.create(params())
    desk.advance(29 * 86_400 - 60)
    before = desk.raw(batch_id).status_code
    desk.advance(60)
    batch = desk.client.messages.batches.retrieve(batch_id)

    assert before == 200
    assert batch.archived_at is not None
    assert (batch.archived_at - batch.created_at).days == 29
    assert (batch.processing_status, batch.results_url) == ("ended", None)
    assert desk.raw(batch_id).status_code == 404


def test_a_batch_can_be_deleted_once_it_has_ended(desk: Desk) -> None:
    batch_id = desk.create(params())
    with pytest.raises(anthropic.BadRequestError) as error:
        desk.client.messages.batches.delete(batch_id)
    desk.advance(600)
    deleted = desk.client.messages.batches.delete(batch_id)

    body: Any = error.value.body
    expected = "In progress batches cannot be deleted. Consider canceling the batch instead."
    assert body["error"]["message"] == expected
    assert deleted.to_dict() == {"id": batch_id, "type": "message_batch_deleted"}
    assert desk.client.messages.batches.list().data == []


# ---------------------------------------------------------------- results


def test_results_before_the_end_are_not_found_and_not_to_be_retried(desk: Desk) -> None:
    batch_id = desk.create(params())
    answer = desk.raw(batch_id)

    assert answer.status_code == 404
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"] == {
        "type": "not_found_error",
        "message": f"Message Batch {batch_id} has no available results.",
    }


def test_results_are_shuffled_chunked_and_the_same_every_time(desk: Desk) -> None:
    batch_id = desk.create(*[params(f"text {i}") for i in range(50)])
    desk.advance(600)
    first, second = desk.raw(batch_id), desk.raw(batch_id)
    ids = [json.loads(line)["custom_id"] for line in first.text.splitlines()]

    assert first.headers["content-type"] == "application/x-jsonl"
    assert first.headers["transfer-encoding"] == "chunked"
    assert first.content == second.content
    assert sorted(ids) == sorted(f"r-{i}" for i in range(50))
    assert ids != [f"r-{i}" for i in range(50)]


def test_the_sdk_reads_results(desk: Desk) -> None:
    batch_id = desk.create(params(), params(stream=True))
    desk.advance(600)

    types = {row.custom_id: row.result.type for row in desk.client.messages.batches.results(batch_id)}

    assert types == {"r-0": "succeeded", "r-1": "errored"}


def test_results_are_compressed_where_that_is_switched_on(desk: Desk) -> None:
    desk.settings(gzip=True)
    batch_id = desk.create(params())
    desk.advance(600)
    url = f"{desk.url}{BATCHES}/{batch_id}/results"
    with desk.http.stream("GET", url, headers={"accept-encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = desk.http.get(url, headers={"accept-encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content


# ---------------------------------------------------------------- models and the synchronous side


def test_a_model_says_whether_it_lives_and_batches(desk: Desk) -> None:
    haiku = desk.client.models.retrieve(MODEL)
    sonnet = desk.client.models.retrieve("claude-sonnet-4-5")
    desk.advance(9 * 86_400)
    retired = desk.client.models.retrieve("claude-sonnet-4-5")

    assert haiku.capabilities is not None
    assert haiku.capabilities.batch.supported
    assert (haiku.lifecycle, haiku.retires_at, haiku.max_tokens) == ("active", None, 128_000)
    assert sonnet.id == "claude-sonnet-4-5-20250929"
    assert sonnet.retires_at is not None
    assert sonnet.retires_at.isoformat() == "2026-11-30T00:00:00+00:00"
    assert (sonnet.lifecycle, retired.lifecycle) == ("deprecated", "retired")


def test_models_are_listed_and_unknown_ones_not_found(desk: Desk) -> None:
    ids = [model.id for model in desk.client.models.list(limit=5)]
    with pytest.raises(anthropic.NotFoundError, match="model: claude-nobody"):
        desk.client.models.retrieve("claude-nobody")

    assert MODEL in ids
    assert len(ids) == len(set(ids)) > 5


def test_tokens_are_counted_four_characters_each(desk: Desk) -> None:
    counted = desk.client.messages.count_tokens(
        model=MODEL, system="s" * 40, messages=[{"role": "user", "content": "t" * 9}]
    )

    assert counted.input_tokens == 10 + 3


def test_a_message_is_answered_at_once_as_a_batch_would_later(desk: Desk) -> None:
    row = structured("My invoice was billed twice.")
    message = desk.client.messages.create(**row)
    (batched,) = desk.run(row)

    assert message.content[0].to_dict() == batched["message"]["content"][0]
    assert (message.usage.service_tier, batched["message"]["usage"]["service_tier"]) == ("standard", "batch")


def test_a_message_is_refused_at_once_for_what_a_batch_reports_later(desk: Desk) -> None:
    with pytest.raises(anthropic.BadRequestError, match="messages: Field required"):
        desk.client.messages.create(**params(messages=[]), extra_body={"messages": None})
    with pytest.raises(anthropic.NotFoundError, match="model: claude-does-not-exist-9"):
        desk.client.messages.create(**params(model="claude-does-not-exist-9"))


# ---------------------------------------------------------------- the process


def post_and_leave(desk: Desk, rows: list[Any], *, missing: int) -> None:
    """Post a batch without its last bytes, and close the connection without waiting for an answer."""
    body = json.dumps({"requests": rows}).encode()
    address = urlsplit(desk.url)
    head = (
        f"POST {BATCHES} HTTP/1.1\r\nhost: {address.netloc}\r\nx-api-key: {desk.key}\r\n"
        f"anthropic-version: 2026-10-21\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with closing(socket.create_connection((address.hostname, address.port))) as connection:
        connection.sendall(head.encode() + body[: len(body) - missing])


def test_a_body_that_was_not_received_whole_makes_no_batch(desk: Desk) -> None:
    post_and_leave(desk, requests(params()), missing=1)

    assert desk.client.messages.batches.list().data == []
    last = desk.control("audit")["posts"][-1]
    assert last["outcome"] == "not accepted: the client left before the body was complete"


def test_a_client_that_was_killed_behind_its_last_byte_made_a_batch_that_is_listed_at_once(desk: Desk) -> None:
    post_and_leave(desk, requests(*[params("x" * 1000)] * 5000), missing=0)

    assert [batch.request_counts.processing for batch in desk.client.messages.batches.list()] == [5000]


def test_the_process_ends_with_its_parent_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with start(tmp_path) as (process, _, _):
        busy = list(scratch.iterdir())

    assert len(busy) == 1
    assert process.returncode == 0
    assert list(scratch.iterdir()) == []


def test_the_process_ends_by_sigterm_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with start(tmp_path) as (process, _, _):
        process.terminate()
        process.wait(timeout=10)

    assert process.returncode == 0
    assert list(scratch.iterdir()) == []


def test_a_beta_that_there_is_not_is_refused_at_once_and_nothing_is_created(desk: Desk) -> None:
    said = desk.http.post(
        f"{desk.url}{BATCHES}",
        json={"requests": requests(params())},
        headers={"anthropic-beta": "output-300k-2026-03-24,new"},
    )
    assert (said.status_code, said.json()["error"]["message"]) == (
        400,
        "Unexpected value(s) `new` for the `anthropic-beta` header.",
    )
    assert list(desk.client.messages.batches.list()) == []
