"""Our own adapter against the local Batches API: what a create or a read that goes wrong there is to us."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from nightshift.adapters.anthropic_api import AnthropicBatches
from nightshift.errors import Ambiguous, ApiError, NoMoney, NotAccepted, Redirected, Rejected, Unauthorized
from nightshift.model import BatchId
from tests.batches_api.server import START, Desk, params, requests


@dataclass
class Body:
    """A create's body of so many rows."""

    rows: int = 4

    @property
    def data(self) -> bytes:
        return msgspec.json.encode({"requests": requests(*[params(f"text {i}") for i in range(self.rows)])})

    @property
    def size(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[bytes]:
        yield self.data


@pytest.fixture
def api(desk: Desk) -> Iterator[AnthropicBatches]:
    made = AnthropicBatches(desk.url, lambda *, fresh: f"{desk.key}-rotated" if fresh else desk.key)
    yield made
    made.close()


GATEWAY_TIMED_OUT: dict[str, Any] = {"error_type": "timeout_error", "message": "Gateway timeout", "accepted": True}

CREATES: dict[str, tuple[str, dict[str, Any], type[ApiError], int]] = {
    "spend limit": ("status:429", {"error_code": "enforced_spend_limit_reached"}, NoMoney, 0),
    "no credit": ("status:402", {"error_type": "billing_error", "message": "no credit"}, NoMoney, 0),
    "slow down": ("status:429", {"error_type": "rate_limit_error", "retry_after": 17}, NotAccepted, 0),
    "too large": ("html-413", {}, Rejected, 0),
    "closed": ("close", {}, Ambiguous, 0),
    "closed behind the work": ("accept-then-close", {}, Ambiguous, 1),
    "overloaded": ("status:529", {"error_type": "overloaded_error"}, Ambiguous, 0),
    "a gateway gave up": ("status:504", GATEWAY_TIMED_OUT, Ambiguous, 1),
}


@pytest.mark.parametrize("name", CREATES)
def test_a_create_that_goes_wrong_has_its_class_and_is_posted_once(
    desk: Desk, api: AnthropicBatches, name: str
) -> None:
    kind, details, wanted, batches = CREATES[name]
    desk.fault("create", kind, **details)
    before = len(desk.control("audit")["posts"])

    with pytest.raises(ApiError) as caught:
        api.create(Body(), timeout=5, betas="")

    assert type(caught.value) is wanted
    assert getattr(caught.value, "answered", False) is (name == "overloaded")
    assert len(desk.control("audit")["posts"]) == before + 1
    assert len(list(api.batches(START))) == batches


def test_a_full_queue_says_when_to_come_again_and_made_no_batch(desk: Desk, api: AnthropicBatches) -> None:
    desk.settings(queue_limit=5, queue_retry_after=90)
    made = api.create(Body(), timeout=5, betas="")

    with pytest.raises(NotAccepted) as caught:
        api.create(Body(2), timeout=5, betas="")

    assert (caught.value.status, caught.value.retry_after) == (429, 90)
    assert [batch.id for batch in api.batches(START)] == [made.id]


def test_a_key_that_is_rotated_in_mid_run_is_read_again_by_every_call(desk: Desk, api: AnthropicBatches) -> None:
    made = api.create(Body(), timeout=5, betas="")
    new = f"{desk.key}-rotated"
    desk.settings(keys=[new], workspaces={desk.key: desk.key, new: desk.key})

    assert api.batch(made.id) == made
    assert list(api.batches(START)) == [made]
    assert api.create(Body(3), timeout=5, betas="").rows == 3
    assert api.cancel(made.id).processing_status == "canceling"
    desk.advance(26)
    with api.results(api.batch(made.id)) as blocks:
        assert b"".join(blocks).count(b'"canceled"') == 4


def test_a_key_that_is_wrong_in_mid_run_is_refused_by_every_call_and_makes_nothing(
    desk: Desk, api: AnthropicBatches
) -> None:
    made = api.create(Body(), timeout=5, betas="")
    desk.advance(600)
    ended = api.batch(made.id)
    desk.settings(keys=["another"])

    for call in (
        api.probe,
        lambda: api.batch(made.id),
        lambda: list(api.batches(START)),
        lambda: api.create(Body(), timeout=5, betas=""),
        lambda: api.cancel(made.id),
        lambda: api.results(ended).__enter__(),
    ):
        with pytest.raises(Unauthorized):
            call()

    desk.settings(keys=None)
    assert [batch.id for batch in api.batches(START)] == [made.id]


def test_a_batch_that_is_not_found_at_first_is_found_later_and_so_are_its_results(
    desk: Desk, api: AnthropicBatches
) -> None:
    desk.fault("retrieve", "not-found", seconds=120)
    desk.fault("results", "not-found", seconds=700)
    made = api.create(Body(), timeout=5, betas="")

    with pytest.raises(Rejected) as caught:
        api.batch(made.id)
    assert caught.value.status == 404
    desk.advance(600)
    ended = api.batch(made.id)
    with pytest.raises(Rejected), api.results(ended):
        pass
    desk.advance(101)
    with api.results(ended) as blocks:
        assert b"".join(blocks).count(b"\n") == 4


def test_results_that_are_said_to_be_elsewhere_are_not_asked_for(desk: Desk, api: AnthropicBatches) -> None:
    made = api.create(Body(), timeout=5, betas="")
    desk.advance(600)
    desk.fault("retrieve", "foreign-results-url", url="https://elsewhere.example/results")

    with pytest.raises(Redirected, match=r"elsewhere\.example"), api.results(api.batch(made.id)):
        pass


def test_a_cancel_twice_or_too_late_changes_nothing_and_of_a_stranger_is_refused(
    desk: Desk, api: AnthropicBatches
) -> None:
    made = api.create(Body(), timeout=5, betas="")
    desk.advance(300)

    states = [api.cancel(made.id).processing_status for _ in range(2)]
    desk.advance(26)
    late = api.cancel(made.id)

    assert (states, late.processing_status) == (["canceling", "canceling"], "ended")
    assert (late.request_counts["succeeded"], late.request_counts["canceled"]) == (2, 2)
    with pytest.raises(Rejected):
        api.cancel(BatchId("msgbatch_of_nobody"))


def test_a_batch_that_has_ended_is_deleted_with_its_results_and_one_that_is_gone_counts_as_deleted(
    desk: Desk, api: AnthropicBatches
) -> None:
    made = api.create(Body(2), timeout=5, betas="")
    with pytest.raises(Rejected):
        api.delete(made.id)  # it has not ended
    desk.advance(600)

    api.delete(made.id)
    api.delete(made.id)

    with pytest.raises(Rejected):
        api.batch(made.id)
