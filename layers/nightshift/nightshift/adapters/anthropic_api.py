"""The Message Batches API through the official SDK: its authentication, clients and error classes.

The SDK sends a create up to three times by default, and the API takes no idempotency key; so every create here is one
POST, on a fresh connection, with redirects off. On the two hot paths the SDK's raw interfaces are used and its models
are not.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

import anthropic
import httpx2
import msgspec
from anthropic.types import MessageTokensCount
from anthropic.types.messages import MessageBatch

from nightshift.adapters.signing import AwsWorkspace
from nightshift.api_words import LEFT_OUT, repeatable, word
from nightshift.errors import (
    Ambiguous,
    ApiError,
    MisconfiguredError,
    NoMoney,
    NotAccepted,
    NotSent,
    Redirected,
    Rejected,
    Unauthorized,
)
from nightshift.model import BatchId, BatchView
from nightshift.ports import RequestBody


class KeySource(Protocol):
    """Where the API key comes from."""

    def __call__(self, *, fresh: bool) -> str:
        """Return the key; with `fresh`, read again past every cache: it may have been rotated."""
        ...


PATH = "/v1/messages/batches"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
COUNT_SECONDS = 10.0
"""For each count: an estimate is made of a hundred or more, and can do without."""
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
"""For small answers and between two blocks of results; a create's own timeout comes from its caller."""
POLL_SECONDS = 10.0
"""For each question about batches: a look makes several, in the two minutes that its function has."""
CANCEL_SECONDS = 10.0
"""For each of the cancels that one look makes, and of an audit's deletions: one that is slow shall not use up the time
of the others."""
BLOCK = 256 * 1024
"""Bytes: a results stream is read in blocks of this size; the SDK's own iterator reads 64 bytes at a time."""
PAGE = 1000
"""Batches a list call returns at most (API reference, List Message Batches)."""
RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX = 60.0, 3600.0
"""Seconds: where a 429 does not say how long, and the longest we believe."""
SPEND_LIMITS = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "organization_on_hold",
    }
)
"""`error.details.error_code` values that only a person can mend (SDK 2.12, `_error_classes.py`)."""
OWN_SPEND_LIMIT = "You have reached your specified API usage limits"
"""A 400 without a code that means the same (API reference, Errors)."""
SECRET_HEADERS = ("authorization", "x-api-key", "x-amz-security-token")
"""Of a request; with them, who has them is who we are."""
NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: Rejected,
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Unauthorized,
    HTTPStatus.NOT_FOUND: Rejected,
    HTTPStatus.CONTENT_TOO_LARGE: Rejected,
    HTTPStatus.UNPROCESSABLE_CONTENT: Rejected,
}
"""Definite answers to a create; any status that is not here (408, 409, 5xx, 529) leaves it open what the API did."""

_OVER = frozenset({HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE, 529})
"""With the API's own error in the body, these say that it works on the request no more. 408, 502 and 504 come from
whoever gave up waiting, in front of the API or within it: the work may go on (docs/decisions/0011)."""


def variables_of_the_sdk() -> list[str]:
    """Return the names of the variables by which the SDK could be led to another address, identity or log."""
    return sorted(name for name in os.environ if name.startswith("ANTHROPIC_"))


def refuse_redirecting_variables() -> None:
    """Raise MisconfiguredError where the environment would send tickets or the key elsewhere."""
    if found := variables_of_the_sdk():
        raise MisconfiguredError(f"Remove {', '.join(found)} from this function: the template's parameters decide.")


def direct(timeout: httpx2.Timeout) -> httpx2.Client:
    """Make connections to the API's host alone: no redirect is followed, no proxy asked, nothing of the shell's taken.

    `trust_env=False` alone would not do: the SDK's client asks the environment for proxies by itself.
    """
    return anthropic.DefaultHttpxClient(
        follow_redirects=False,
        trust_env=False,
        timeout=timeout,
        mounts=dict.fromkeys(("all://", "http://", "https://")),
    )


class AnthropicBatches:
    """`ports.BatchApi` over the Anthropic SDK."""

    def __init__(self, base_url: str, identity: KeySource | AwsWorkspace) -> None:
        """Talk to `base_url` and to no other host: with a key, or signed with AWS credentials in a workspace."""
        refuse_redirecting_variables()
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes a line for every request
        self._base_url = base_url.rstrip("/")
        self._identity = identity
        self._kept: anthropic.Anthropic | None = None
        self._kept_for = ""

    def _key(self) -> str:
        """Return the key, or an empty text where requests are signed instead."""
        return "" if isinstance(self._identity, AwsWorkspace) else self._identity(fresh=False)

    def probe(self) -> None:
        """See `ports.BatchApi`."""
        self._call(lambda client: client.messages.batches.list(limit=1))

    def create(self, body: RequestBody, timeout: float, betas: str) -> BatchView:
        """See `ports.BatchApi`."""
        try:
            return self._post(body, timeout, betas, self._key())
        except Unauthorized:
            if isinstance(self._identity, AwsWorkspace):
                raise  # there is no fresher signature
            fresh = self._identity(fresh=True)  # a 401 created nothing, so with a rotated key one more POST is safe
            return self._post(body, timeout, betas, fresh)

    def batch(self, batch_id: BatchId) -> BatchView:
        """See `ports.BatchApi`."""
        return _view(self._call(lambda client: client.messages.batches.retrieve(batch_id, timeout=POLL_SECONDS)))

    def batches(self, since: datetime) -> Iterator[BatchView]:
        """See `ports.BatchApi`."""
        after: str | None = None
        while True:
            page = self._page(after)
            for batch in page.data:
                view = _view(batch)
                if view.created_at < since:
                    return
                yield view
            if not page.has_more or not page.last_id:
                return
            after = page.last_id

    def cancel(self, batch_id: BatchId) -> BatchView:
        """See `ports.BatchApi`."""
        return _view(self._call(lambda client: client.messages.batches.cancel(batch_id, timeout=CANCEL_SECONDS)))

    def delete(self, batch_id: BatchId) -> None:
        """See `ports.BatchApi`."""
        try:
            self._call(lambda client: client.messages.batches.delete(batch_id, timeout=CANCEL_SECONDS))
        except Rejected as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def count_tokens(self, params: Mapping[str, Any], betas: str) -> int:
        """See `ports.BatchApi`."""
        options: Any = {"timeout": COUNT_SECONDS, "headers": _beta(betas)}
        # Not the SDK's own method, which warns of old models and takes no key that it does not know.
        counted: object = self._call(
            lambda client: client.post(COUNT_PATH, cast_to=MessageTokensCount, body=params, options=options)
        )
        tokens = getattr(counted, "input_tokens", None)  # what is no JSON comes as a text, in spite of `cast_to`
        if not isinstance(tokens, int):
            raise Ambiguous("The API answered 200 with something that is not a count of tokens.")
        return tokens

    def message(self, params: bytes, timeout: float, betas: str) -> Mapping[str, Any]:
        """See `ports.BatchApi`. A 401 has cost nothing, so with a rotated key one more POST is safe."""
        options: Any = {
            "headers": {"Content-Type": "application/json"} | _beta(betas),
            "timeout": httpx2.Timeout(timeout, connect=CONNECT_SECONDS),
        }
        # Not the SDK's own method: it would not send these very bytes, and it refuses answers that may take long.
        response = self._call(
            lambda client: client.post(MESSAGES_PATH, cast_to=httpx2.Response, content=params, options=options)
        )
        return _message(response.content)

    def _page(self, after: str | None) -> Any:
        start = after or anthropic.omit
        page = self._call(lambda client: client.messages.batches.list(limit=PAGE, after_id=start, timeout=POLL_SECONDS))
        if not isinstance(page.data, list):
            raise Ambiguous("The API answered 200 with something that is not a list of batches.")
        return page

    @contextmanager
    def results(self, batch: BatchView) -> Iterator[Iterator[bytes]]:
        """See `ports.BatchApi`."""
        url = self._own(batch)
        raw = {"X-Stainless-Raw-Response": "stream"}  # what the SDK's with_streaming_response sets
        response: Any = self._call(lambda client: client.get(url, cast_to=httpx2.Response, options={"headers": raw}))
        with closing(response):
            yield _blocks(response)

    def _own(self, batch: BatchView) -> str:
        """Return the results URL, if it is the API's own: the key goes where this URL points.

        On AWS it is not asked for: which host it names there is not documented, and where results are is.
        """
        if isinstance(self._identity, AwsWorkspace):
            return f"{PATH}/{batch.id}/results"
        url, base = httpx2.URL(batch.results_url or ""), httpx2.URL(self._base_url)
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise Redirected(f"The results of {batch.id} are said to be at {url.host}, not at {base.host}; not asked.")
        return str(url)

    def _post(self, body: RequestBody, timeout: float, betas: str, key: str) -> BatchView:
        headers = {"Content-Type": "application/json", "Content-Length": str(body.size)} | _beta(betas)
        limits = httpx2.Timeout(timeout, connect=CONNECT_SECONDS)
        try:
            with self._client(key, limits) as client:
                batch = client.post(PATH, cast_to=MessageBatch, content=body, options={"headers": headers})
                return _view(batch)
        except ApiError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it was not a 200: `translate` classes it
            raise translate(error) from None  # the SDK's error holds the request, and that the tickets

    def _call[T](self, ask: Callable[[anthropic.Anthropic], T]) -> T:
        """Ask something that may be asked again, once more with a fresh key where the key is refused."""
        try:
            return self._ask(ask, self._key())
        except Unauthorized:
            if isinstance(self._identity, AwsWorkspace):
                raise
            return self._ask(ask, self._identity(fresh=True))

    def _ask[T](self, ask: Callable[[anthropic.Anthropic], T], key: str) -> T:
        try:
            return ask(self._reader(key))
        except ApiError:
            raise
        except Exception as error:  # noqa: BLE001 - classed by `translate`
            raise translate(error) from None

    def _reader(self, key: str) -> anthropic.Anthropic:
        """Return the client for everything but creates, kept while the key is the same: making one takes 50 ms."""
        if self._kept is None or self._kept_for != key:
            self.close()
            self._kept = self._client(key, httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS))
            self._kept_for = key
        return self._kept

    def close(self) -> None:
        """Close the connections that are kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _client(self, key: str, timeout: httpx2.Timeout) -> anthropic.Anthropic:
        """Make a client that follows no redirect, takes nothing from the environment, and never retries.

        The SDK would send a create again, and sleep for as long as a `retry-after` says, beyond any Lambda's life.
        Whoever asks here looks again later anyway.
        """
        options: Any = {
            "base_url": self._base_url,
            "max_retries": 0,
            "timeout": timeout,
            "http_client": direct(timeout),
        }
        if isinstance(self._identity, AwsWorkspace):
            return self._identity.client(**options)
        return anthropic.Anthropic(api_key=key, **options)


def _beta(betas: str) -> dict[str, str]:
    return {"anthropic-beta": betas} if betas else {}


def _blocks(response: Any) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes(BLOCK)
    except httpx2.HTTPError as error:
        message = f"The results stream broke ({type(error).__name__}); it can be read again."
        raise Ambiguous(message) from None


def _message(body: bytes) -> Mapping[str, Any]:
    """Read a message; what is no JSON object is an answer that tells nothing."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise Ambiguous("The API answered 200 with something that is not a message.") from None


def _view(batch: MessageBatch) -> BatchView:
    """Read a batch; what does not look like one is an answer we cannot trust."""
    try:
        return BatchView(
            id=BatchId(batch.id),
            processing_status=batch.processing_status,
            request_counts=batch.request_counts.to_dict(),  # type: ignore[arg-type] # a model of ints only
            created_at=_aware(batch.created_at),
            ended_at=_aware(batch.ended_at) if batch.ended_at is not None else None,
            results_url=batch.results_url,
        )
    except (AttributeError, TypeError, ValueError):
        message = "The API answered 200 with something that is not a Message Batch."
        raise Ambiguous(message) from None


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        message = "a time without its zone"
        raise ValueError(message)
    return moment


def translate(error: Exception) -> ApiError:
    """Turn what the SDK or the connection raised into one of our classes (docs/architecture.md, Sending)."""
    if isinstance(error, anthropic.APIStatusError):
        return _refusal(error)
    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
    if isinstance(cause, NEVER_CONNECTED):
        return NotSent(f"The API could not be reached ({type(cause).__name__}).")
    return Ambiguous(f"The answer was lost ({type(cause or error).__name__}).")


def _refusal(error: anthropic.APIStatusError) -> ApiError:
    status, said = error.status_code, error.api_message or ""
    where: dict[str, Any] = {"status": status, "request_id": error.request_id}
    message = f"HTTP {status} {word(error.type)}: {_repeatable(said, error.request)} (request {error.request_id})"
    own_limit = status == HTTPStatus.BAD_REQUEST and said.startswith(OWN_SPEND_LIMIT)
    if status == HTTPStatus.PAYMENT_REQUIRED or error.error_code in SPEND_LIMITS or own_limit:
        return NoMoney(message, **where)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return NotAccepted(message, retry_after=_retry_after(error.response.headers), **where)
    if error.response.is_redirect:
        return Redirected(message, **where)
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind(message, **where)
    return Ambiguous(message, answered=status in _OVER and _is_own(error.body), **where)


def _repeatable(said: str, request: httpx2.Request) -> str:
    """Return what may be repeated of the API's words: they reach logs and the ledger, and an answer may quote.

    About a request with a body, and so with tickets, only words of a known shape are kept. A request without one has
    nothing to quote but its secrets.
    """
    if request.headers.get("content-length", "0") != "0":
        return repeatable(said) or LEFT_OUT
    for name in SECRET_HEADERS:
        if secret := request.headers.get(name, "").removeprefix("Bearer "):
            said = said.replace(secret, "…")
    return said[:300]


def _is_own(body: object) -> bool:
    """Tell whether an answer's body is the API's error envelope, `{"type": "error", "error": {"type": …}}`."""
    match body:
        case {"type": "error", "error": {"type": str()}}:
            return True
        case _:
            return False


def _retry_after(headers: httpx2.Headers) -> float:
    """Return the seconds a 429 asks for, within reason."""
    try:
        asked = float(headers.get("retry-after", RETRY_AFTER_DEFAULT))
    except ValueError:  # a date: rare, and a minute is as good
        asked = RETRY_AFTER_DEFAULT
    return min(max(asked, 1.0), RETRY_AFTER_MAX)
