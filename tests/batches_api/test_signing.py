"""Claude Platform on AWS: the real adapter signs, and the local API makes each signature again."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth

from nightshift.adapters.anthropic_api import AnthropicBatches
from nightshift.adapters.signing import AwsWorkspace
from nightshift.errors import Rejected, Unauthorized
from tests.batches_api.server import Desk
from tests.batches_api.test_adapter import Body

START = datetime(2026, 11, 1, tzinfo=UTC)
WORKSPACE = "wrkspc_01Local"
BETA = "output-300k-2026-03-24"
PARAMS = b'{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


def session(its_secret: str = "local") -> boto3.Session:  # noqa: S107 - the local cloud's, which is none
    return boto3.Session("LSIAME", its_secret, region_name="eu-central-1")


def signing_as(desk: Desk, who: boto3.Session | None, workspace: str = WORKSPACE) -> AnthropicBatches:
    return AnthropicBatches(desk.url, AwsWorkspace(workspace, who))


@pytest.fixture
def api(desk: Desk) -> Iterator[AnthropicBatches]:
    with closing(signing_as(desk, session())) as made:
        yield made


def signed(desk: Desk) -> set[str]:
    actions: list[list[str]] = desk.control("signed")
    return {action.removeprefix("aws-external-anthropic:") for _, action in actions}


def test_every_call_of_the_adapter_is_signed_and_is_the_action_that_iam_knows(
    desk: Desk, api: AnthropicBatches
) -> None:
    api.probe()
    made = api.create(Body(), timeout=5, betas="")
    assert api.batch(made.id) == made
    assert list(api.batches(START)) == [made]
    assert api.cancel(made.id).processing_status == "canceling"
    desk.advance(60)
    with api.results(api.batch(made.id)) as blocks:
        assert b"".join(blocks).count(b'"canceled"') == made.rows
    assert api.count_tokens({"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "hi"}]}, "") > 0
    assert api.message(PARAMS, timeout=5, betas="")["type"] == "message"
    api.delete(made.id)

    assert signed(desk) == {
        "CancelBatchInference",
        "CountTokens",
        "CreateBatchInference",
        "CreateInference",
        "DeleteBatchInference",
        "GetBatchInference",
        "ListBatchInferences",
    }


def test_a_batch_is_seen_in_its_own_workspace_only(desk: Desk, api: AnthropicBatches) -> None:
    api.create(Body(), timeout=5, betas="")

    with closing(signing_as(desk, session(), "wrkspc_01Other")) as other:
        assert list(other.batches(START)) == []


def test_a_signature_with_another_secret_is_refused_and_not_tried_again(desk: Desk) -> None:
    before = len(desk.control("audit")["posts"])
    with closing(signing_as(desk, session("another"))) as stranger:
        with pytest.raises(Unauthorized, match="HTTP 403"):
            stranger.probe()
        with pytest.raises(Unauthorized, match="HTTP 403"):
            stranger.create(Body(), timeout=5, betas="")
    assert len(desk.control("audit")["posts"]) == before + 1


@pytest.mark.parametrize("header", ["anthropic-workspace-id", "x-amz-date"])
def test_what_must_be_signed_cannot_be_left_out_of_the_signature(
    api: AnthropicBatches, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    add_auth = SigV4Auth.headers_to_sign

    def without(self: SigV4Auth, request: Any) -> Any:
        headers = add_auth(self, request)
        del headers[header]
        return headers

    monkeypatch.setattr(SigV4Auth, "headers_to_sign", without)

    with pytest.raises(Unauthorized):
        api.probe()


def test_a_body_that_is_not_the_signed_one_is_refused(desk: Desk, api: AnthropicBatches) -> None:
    class Swapped(Body):
        def __iter__(self) -> Iterator[bytes]:
            self.readings = getattr(self, "readings", 0) + 1
            data = b"".join(super().__iter__())
            yield data if self.readings == 1 else data.replace(b"claude-haiku", b"claude-hAiku")

    before = len(desk.control("batches"))
    with pytest.raises(Unauthorized, match="HTTP 403"):
        api.create(Swapped(), timeout=5, betas="")
    assert len(desk.control("batches")) == before


def test_betas_reach_the_api_with_each_request_that_has_them(api: AnthropicBatches) -> None:
    asked = {"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "hi"}]}

    assert api.create(Body(), timeout=5, betas=BETA).rows == Body().rows
    assert api.count_tokens(asked, BETA) > 0
    assert api.message(PARAMS, timeout=5, betas=BETA)["type"] == "message"
    for ask in (
        lambda: api.create(Body(), timeout=5, betas="no-such-beta"),
        lambda: api.count_tokens(asked, "no-such-beta"),
        lambda: api.message(PARAMS, timeout=5, betas="no-such-beta"),
    ):
        with pytest.raises(Rejected, match="HTTP 400"):
            ask()


def test_betas_are_in_the_signature(api: AnthropicBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    add_auth = SigV4Auth.add_auth

    def swapped(self: SigV4Auth, request: Any) -> None:
        add_auth(self, request)
        request.headers.replace_header("anthropic-beta", "output-128k-2025-02-19")

    monkeypatch.setattr(SigV4Auth, "add_auth", swapped)

    with pytest.raises(Unauthorized, match="HTTP 403"):
        api.create(Body(), timeout=5, betas=BETA)


def test_a_plan_is_read_twice_and_never_kept(api: AnthropicBatches) -> None:
    class Watched(Body):
        whole = 0

        def __iter__(self) -> Iterator[bytes]:
            yield from super().__iter__()
            self.whole += 1

    body = Watched()
    api.create(body, timeout=5, betas="")

    assert body.whole == 2  # once for its digest, once for the wire


def test_without_credentials_nothing_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda _self: None)

    with pytest.raises(Unauthorized, match="no AWS credentials"):
        signing_as(desk, None).probe()


def test_without_a_region_nothing_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    nowhere = boto3.Session("LSIAME", "local")

    with pytest.raises(Unauthorized, match="no region"):
        signing_as(desk, nowhere).probe()


def test_no_secret_of_a_signature_is_in_an_error(desk: Desk) -> None:
    mine = boto3.Session("LSIAME", "local", "the-session-token", region_name="eu-central-1")
    desk.fault("list", "status:403", message="the-session-token is not good")

    with closing(signing_as(desk, mine)) as api, pytest.raises(Unauthorized, match="… is not good"):
        api.probe()
