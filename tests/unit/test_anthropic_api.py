"""The API adapter against a scripted server: one POST per create, whatever the server does, and no secret told."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import httpx2
import pytest

from nightshift.adapters import anthropic_api
from nightshift.adapters.anthropic_api import BLOCK, AnthropicBatches, translate
from nightshift.archiving import archive_results
from nightshift.errors import (
    Ambiguous,
    ApiError,
    MisconfiguredError,
    NoMoney,
    NotAccepted,
    NotSent,
    Redirected,
    Rejected,
    ResultsIncomplete,
    Unauthorized,
)
from nightshift.model import BatchId
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.made import batch
from tests.unit.test_archiving import CHUNK, STREAM

WIRE = {
    "id": "msgbatch_01",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "ended_at": None,
    "created_at": "2026-11-22T02:00:00.000000+00:00",
    "expires_at": "2026-11-23T02:00:00.000000+00:00",
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}
TICKET = b'{"requests":[{"custom_id":"a","params":{"text":"my secret ticket"}}]}'

type Answer = Callable[[BaseHTTPRequestHandler], None]


def say(status: int, body: Any = None, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        request.send_response(status)
        request.send_header("content-length", str(len(data)))
        request.send_header("request-id", "req_1")
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def refuse(
    status: int, kind: str = "some_error", message: str = "no", code: str | None = None, **headers: str
) -> Answer:
    details = {"details": {"error_code": code}} if code else {}
    return say(status, {"type": "error", "error": {"type": kind, "message": message, **details}}, **headers)


def page(status: int, text: str = "<html><h1>gateway</h1></html>") -> Answer:
    """Answer as something in front of the API does."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-type", "text/html")
        request.send_header("content-length", str(len(text)))
        request.end_headers()
        request.wfile.write(text.encode())

    return answer


def packed(data: bytes) -> Answer:
    """Answer with results as a server that compresses sends them: in chunks, without a length."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-encoding", "gzip")
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


@dataclass
class Server:
    """Answers as told; after the last answer, that one again."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def posts(self) -> list[bytes]:
        return [body for method, _, _, body in self.seen if method == "POST"]


@pytest.fixture
def server() -> Iterator[Server]:
    script = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {k.lower(): v for k, v in self.headers.items()}
            script.seen.append((self.command, self.path, headers, body))
            (script.answers.pop(0) if len(script.answers) > 1 else script.answers[0])(self)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield script
    http.shutdown()
    http.server_close()


@dataclass
class Body:
    data: bytes = TICKET
    rows: int = 2

    @property
    def size(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[bytes]:
        yield self.data[:10]
        yield self.data[10:]


OPEN: list[AnthropicBatches] = []


def api(url: str) -> AnthropicBatches:
    OPEN.append(made := AnthropicBatches(url, lambda *, fresh: "sk-fresh" if fresh else "sk-cached"))
    return made


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda made, betas: made.create(Body(), timeout=5, betas=betas), WIRE),
        (lambda made, betas: made.message(TICKET, timeout=5, betas=betas), {"type": "message"}),
        (lambda made, betas: made.count_tokens({"messages": []}, betas), {"input_tokens": 7}),
    ],
    ids=["create", "message", "count_tokens"],
)
def test_the_betas_are_a_header_of_whatever_is_asked(server: Server, ask: Any, answer: dict[str, Any]) -> None:
    server.answers = [say(200, answer), say(200, answer)]

    ask(api(server.url), "a-2026-01-01,b-2026-02-02")
    ask(api(server.url), "")

    assert [headers.get("anthropic-beta") for _, _, headers, _ in server.seen] == ["a-2026-01-01,b-2026-02-02", None]


def test_a_create_sends_the_body_as_it_is_and_returns_the_batch(server: Server) -> None:
    server.answers = [say(200, WIRE)]

    made = api(server.url).create(Body(), timeout=5, betas="")

    counts = {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    assert made == batch("msgbatch_01", request_counts=counts, created_at=datetime(2026, 11, 22, 2, tzinfo=UTC))
    ((method, path, headers, body),) = server.seen
    assert (method, path, body) == ("POST", "/v1/messages/batches", TICKET)
    assert headers["authorization"] == "Bearer sk-cached"
    assert headers["content-length"] == str(len(TICKET))
    assert headers["anthropic-version"] == "2026-10-21"
    assert "transfer-encoding" not in headers


ANSWERS: dict[str, tuple[Answer, type[ApiError]]] = {
    "400": (refuse(400, "invalid_request_error"), Rejected),
    "400 own limit": (refuse(400, message="You have reached your specified API usage limits. You will …"), NoMoney),
    "400 on hold": (refuse(400, code="organization_on_hold"), NoMoney),
    "402": (refuse(402, "billing_error"), NoMoney),
    "404": (refuse(404, "not_found_error"), Rejected),
    "408": (refuse(408), Ambiguous),
    "409": (refuse(409, "conflict_error"), Ambiguous),
    "403": (refuse(403, "permission_error"), Unauthorized),
    "413": (refuse(413, "request_too_large"), Rejected),
    "413 of a gateway": (page(413), Rejected),
    "422": (refuse(422), Rejected),
    "429": (refuse(429, "rate_limit_error", retry_after="17"), NotAccepted),
    "429 enforced limit": (refuse(429, "rate_limit_error", code="enforced_spend_limit_reached"), NoMoney),
    "429 contract limit": (refuse(429, "rate_limit_error", code="contract_spend_limit_reached"), NoMoney),
    "429 linked limit": (refuse(429, "rate_limit_error", code="linked_organization_spend_limit_reached"), NoMoney),
    "403 linked billing": (refuse(403, code="linked_organization_billing_unavailable"), NoMoney),
    "429 full queue": (refuse(429, "rate_limit_error", "Batch requests in the queue", retry_after="60"), NotAccepted),
    "300 to nowhere": (say(300), Redirected),
    "304": (say(304), Redirected),
    "500": (refuse(500, "api_error"), Ambiguous),
    "503": (refuse(503), Ambiguous),
    "504": (refuse(504, "timeout_error"), Ambiguous),
    "529": (refuse(529, "overloaded_error"), Ambiguous),
    "500 retry me": (refuse(500, "api_error", x_should_retry="true"), Ambiguous),
    "200 of something else": (say(200, {"hello": "world"}), Ambiguous),
    "200 of nothing": (say(200), Ambiguous),
    "hung up": (hang_up, Ambiguous),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_to_a_create_has_its_class_and_only_a_refused_key_is_tried_anew(server: Server, name: str) -> None:
    answer, kind = ANSWERS[name]
    server.answers = [answer]

    with pytest.raises(ApiError) as caught:
        api(server.url).create(Body(), timeout=5, betas="")

    assert type(caught.value) is kind
    assert len(server.posts()) == (2 if kind is Unauthorized else 1)
    assert "secret ticket" not in repr(caught.value)
    assert caught.value.__cause__ is None


UNKNOWN: dict[str, tuple[Answer, bool]] = {
    "409": (refuse(409, "conflict_error"), True),
    "500": (refuse(500, "api_error"), True),
    "503": (refuse(503, "api_error"), True),
    "529": (refuse(529, "overloaded_error"), True),
    "408": (refuse(408, "timeout_error"), False),
    "502": (refuse(502, "api_error"), False),
    "504": (refuse(504, "timeout_error"), False),
    "520": (refuse(520, "api_error"), False),
    "500 of a gateway": (page(500), False),
    "503 of a gateway": (page(503), False),
    "504 of a gateway": (page(504), False),
    "500 of nobody": (say(500), False),
    "500 in other words": (say(500, {"message": "Internal server error"}), False),
    "500 without a type": (say(500, {"type": "error", "error": "api_error"}), False),
    "409 of a gateway": (page(409), False),
    "503 as text": (page(503, "upstream connect error"), False),
    "200 of something else": (say(200, {"hello": "world"}), False),
    "hung up": (hang_up, False),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_only_the_api_s_own_error_says_that_the_api_is_done_with_a_create(server: Server, name: str) -> None:
    answer, answered = UNKNOWN[name]
    server.answers = [answer]

    with pytest.raises(Ambiguous) as caught:
        api(server.url).create(Body(), timeout=5, betas="")

    assert caught.value.answered is answered


def test_a_429_says_how_long_to_wait_within_reason(server: Server) -> None:
    for asked, seconds in [("17", 17.0), ("9999999", 3600.0), ("Sun, 22 Nov 2026 02:00:00 GMT", 60.0)]:
        server.answers = [refuse(429, "rate_limit_error", retry_after=asked)]
        with pytest.raises(NotAccepted) as caught:
            api(server.url).create(Body(), timeout=5, betas="")
        assert caught.value.retry_after == seconds


def test_a_server_that_never_answers_is_ambiguous_after_one_post(server: Server) -> None:
    silence = threading.Event()
    server.answers = [lambda _: silence.wait(2) and None]  # type: ignore[list-item]

    with pytest.raises(Ambiguous, match="ReadTimeout"):
        api(server.url).create(Body(), timeout=0.3, betas="")

    silence.set()
    assert len(server.posts()) == 1


def test_a_host_that_is_not_there_was_sent_nothing() -> None:
    with pytest.raises(NotSent):
        api("http://127.0.0.1:1").create(Body(), timeout=5, betas="")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_tickets(server: Server, status: int) -> None:
    server.answers = [say(status, location=f"{server.url}/elsewhere")]

    with pytest.raises(Redirected):
        api(server.url).create(Body(), timeout=5, betas="")

    assert [path for _, path, _, _ in server.seen] == ["/v1/messages/batches"]


def test_a_proxy_of_the_environment_gets_neither_key_nor_tickets(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.answers = [say(200, WIRE)] * 2

    batches = api(server.url)

    assert batches.create(Body(), timeout=5, betas="").id == batches.batch(BatchId("msgbatch_01")).id == "msgbatch_01"


def test_a_rotated_key_is_read_again_once(server: Server) -> None:
    server.answers = [refuse(401, "authentication_error"), say(200, WIRE)]

    assert api(server.url).create(Body(), timeout=5, betas="").id == "msgbatch_01"
    assert [h["authorization"] for _, _, h, _ in server.seen] == ["Bearer sk-cached", "Bearer sk-fresh"]


def test_a_key_that_stays_wrong_is_unauthorized(server: Server) -> None:
    server.answers = [refuse(401, "authentication_error", "API key is invalid.")]

    with pytest.raises(Unauthorized, match=r"API key is invalid\. \(request req_1\)"):
        api(server.url).create(Body(), timeout=5, betas="")
    assert len(server.posts()) == 2


def test_a_message_is_asked_in_the_very_bytes_that_it_was_planned_in(server: Server) -> None:
    said = {"type": "message", "content": [{"type": "text", "text": "billing"}], "usage": {"input_tokens": 7}}
    server.answers = [say(200, said)]
    planned = b'{ "model":"claude-haiku-5-5","max_tokens":64,"messages":[{"role":"user","content":"\xc3\xa9\\u00e9"}]}'

    assert api(server.url).message(planned, timeout=5, betas="") == said

    ((method, path, headers, body),) = server.seen
    assert (method, path, body) == ("POST", "/v1/messages", planned)
    assert (headers["authorization"], headers["content-type"]) == ("Bearer sk-cached", "application/json")


@pytest.mark.parametrize(
    "answer", [say(200), say(200, ["a"]), say(200, "text"), page(200), hang_up, refuse(529)], ids=range(6)
)
def test_what_is_no_message_is_ambiguous_after_one_post_and_tells_no_ticket(server: Server, answer: Answer) -> None:
    server.answers = [answer]

    with pytest.raises(Ambiguous) as caught:
        api(server.url).message(TICKET, timeout=5, betas="")

    assert len(server.posts()) == 1
    assert "secret ticket" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_message_that_never_comes_is_waited_for_as_long_as_was_said(server: Server) -> None:
    silence = threading.Event()
    server.answers = [lambda _: silence.wait(2) and None]  # type: ignore[list-item]

    with pytest.raises(Ambiguous, match="ReadTimeout"):
        api(server.url).message(TICKET, timeout=0.3, betas="")

    silence.set()
    assert len(server.posts()) == 1


@pytest.mark.parametrize(
    "answer", [page(200), say(200), say(200, {}), say(200, ["a"]), say(200, {"input_tokens": "many"})], ids=range(5)
)
def test_what_is_no_count_of_tokens_is_trouble_with_the_api(server: Server, answer: Answer) -> None:
    server.answers = [answer]

    with pytest.raises(Ambiguous):
        api(server.url).count_tokens({"messages": []}, "")


@pytest.mark.parametrize(
    "answer", [page(200), say(200), say(200, {}), say(200, ["a"]), say(200, {"data": None})], ids=range(5)
)
def test_what_is_no_list_of_batches_is_trouble_with_the_api_and_not_an_empty_list(
    server: Server, answer: Answer
) -> None:
    server.answers = [answer]

    with pytest.raises(Ambiguous):
        list(api(server.url).batches(START))


def read_results(made: AnthropicBatches, url: str) -> bytes:
    with made.results(batch(results_url=f"{url}/v1/messages/batches/msgbatch_01/results")) as blocks:
        return b"".join(blocks)


@pytest.mark.parametrize("name", ["batch", "batches"])
def test_a_question_about_batches_is_not_waited_for_as_long_as_results(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = threading.Event()

    def say_nothing(request: BaseHTTPRequestHandler) -> None:
        silence.wait(2)
        hang_up(request)

    server.answers = [say_nothing]
    monkeypatch.setattr(anthropic_api, "POLL_SECONDS", 0.3)

    with pytest.raises(Ambiguous, match="ReadTimeout"):
        READS[name][0](api(server.url), server.url)

    silence.set()
    assert len(server.seen) == 1


PAGE = {"data": [WIRE], "has_more": False, "first_id": "msgbatch_01", "last_id": "msgbatch_01"}
READS: dict[str, tuple[Callable[[AnthropicBatches, str], object], Any]] = {
    "probe": (lambda made, _: made.probe(), PAGE),
    "batch": (lambda made, _: made.batch(BatchId("msgbatch_01")), WIRE),
    "batches": (lambda made, _: list(made.batches(START)), PAGE),
    "cancel": (lambda made, _: made.cancel(BatchId("msgbatch_01")), WIRE),
    "count_tokens": (lambda made, _: made.count_tokens({"messages": []}, ""), {"input_tokens": 7}),
    "results": (read_results, {"custom_id": "a"}),
    "message": (lambda made, _: made.message(TICKET, timeout=5, betas=""), {"type": "message"}),
}


@pytest.mark.parametrize("name", READS)
def test_every_other_call_reads_a_rotated_key_again_once(server: Server, name: str) -> None:
    call, body = READS[name]
    server.answers = [refuse(401, "authentication_error"), say(200, body)]

    call(api(server.url), server.url)

    assert [h["authorization"] for _, _, h, _ in server.seen] == ["Bearer sk-cached", "Bearer sk-fresh"]


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    ("answer", "kind", "calls"),
    [
        (refuse(401, "authentication_error"), Unauthorized, 2),
        (refuse(403, "permission_error"), Unauthorized, 2),
        (refuse(404, "not_found_error"), Rejected, 1),
        (refuse(402, "billing_error"), NoMoney, 1),
        (refuse(429, "rate_limit_error", retry_after="9"), NotAccepted, 1),
        (refuse(500, "api_error", x_should_retry="true"), Ambiguous, 1),
        (say(302, location="http://127.0.0.1:1/elsewhere"), Redirected, 1),
        (say(307, location="http://127.0.0.1:1/elsewhere"), Redirected, 1),
        (hang_up, Ambiguous, 1),
    ],
    ids=["401", "403", "404", "402", "429", "500", "302", "307", "hung-up"],
)
def test_every_other_call_fails_with_the_same_classes_is_not_repeated_and_follows_nothing(
    server: Server, name: str, answer: Answer, kind: type[ApiError], calls: int
) -> None:
    server.answers = [answer]

    with pytest.raises(ApiError) as caught:
        READS[name][0](api(server.url), server.url)

    assert type(caught.value) is kind
    assert len(server.seen) == calls


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx2.ConnectError("x"), NotSent),
        (httpx2.ConnectTimeout("x"), NotSent),
        (httpx2.PoolTimeout("x"), NotSent),
        (httpx2.UnsupportedProtocol("x"), NotSent),
        (httpx2.ReadTimeout("x"), Ambiguous),
        (httpx2.WriteTimeout("x"), Ambiguous),
        (httpx2.ReadError("x"), Ambiguous),
        (httpx2.WriteError("x"), Ambiguous),
        (httpx2.RemoteProtocolError("x"), Ambiguous),
        (httpx2.LocalProtocolError("x"), Ambiguous),
        (ValueError("x"), Ambiguous),
        (None, Ambiguous),
    ],
)
def test_only_a_connection_that_was_never_made_has_sent_nothing(cause: Exception | None, kind: type[ApiError]) -> None:
    lost = anthropic.APIConnectionError(request=httpx2.Request("POST", "https://api.anthropic.com"))
    lost.__cause__ = cause

    assert type(translate(lost)) is kind
    if cause is not None:
        assert type(translate(cause)) is kind


def test_a_plan_that_breaks_off_in_the_middle_of_a_post_leaves_its_outcome_open(server: Server) -> None:
    class Broken(Body):
        def __iter__(self) -> Iterator[bytes]:
            yield self.data[:10]
            raise OSError("my secret ticket")

    server.answers = [hang_up]  # it has not had the whole body

    with pytest.raises(Ambiguous) as caught:
        api(server.url).create(Broken(), timeout=5, betas="")

    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_listing_stops_at_the_first_batch_that_is_too_old(server: Server) -> None:
    def page(*hours: int, more: bool) -> Answer:
        data = [{**WIRE, "id": f"b{h}", "created_at": (START + timedelta(hours=h)).isoformat()} for h in hours]
        return say(200, {"data": data, "has_more": more, "first_id": f"b{hours[0]}", "last_id": f"b{hours[-1]}"})

    server.answers = [page(9, 8, more=True), page(7, 3, 2, more=True)]

    listed = [b.id for b in api(server.url).batches(START + timedelta(hours=3))]

    assert listed == ["b9", "b8", "b7", "b3"]
    assert [path for _, path, _, _ in server.seen] == [
        "/v1/messages/batches?limit=1000",
        "/v1/messages/batches?after_id=b8&limit=1000",
    ]


def test_a_batch_is_canceled_by_its_id(server: Server) -> None:
    server.answers = [say(200, WIRE | {"processing_status": "canceling"})]

    assert api(server.url).cancel(BatchId("msgbatch_01")).processing_status == "canceling"
    assert [(method, path) for method, path, _, _ in server.seen] == [
        ("POST", "/v1/messages/batches/msgbatch_01/cancel")
    ]


def test_results_come_as_they_are(server: Server) -> None:
    server.answers = [say(200, {"custom_id": "a"})]
    ended = batch(results_url=f"{server.url}/v1/messages/batches/msgbatch_01/results")

    with api(server.url).results(ended) as blocks:
        assert b"".join(blocks) == b'{"custom_id": "a"}'


def test_results_that_come_compressed_are_what_they_were(server: Server) -> None:
    lines = b'{"custom_id": "a"}\n' * 50_000
    server.answers = [packed(gzip.compress(lines))]
    ended = batch(results_url=f"{server.url}/results")

    with api(server.url).results(ended) as blocks:
        found = list(blocks)

    assert b"".join(found) == lines
    assert max(map(len, found)) == BLOCK  # not all of it at once
    assert "gzip" in server.seen[0][2]["accept-encoding"]


@pytest.mark.parametrize("lost", [20, 100])
def test_compressed_results_that_end_early_are_found_incomplete(server: Server, lost: int) -> None:
    """Where the HTTP frame is whole, the SDK says nothing of a gzip end that is not there."""
    wire = WIRE | {"id": CHUNK.batch_id, "processing_status": "ended", "results_url": f"{server.url}/results"}
    server.answers = [say(200, wire), packed(gzip.compress(STREAM)[:-lost])]
    outputs = MemoryOutputs()

    with pytest.raises(ResultsIncomplete, match=r"of 5 rows are not in it"):
        archive_results(api(server.url), outputs, MovableClock(), CHUNK, stop_at=START + timedelta(minutes=1))

    assert outputs.files == {}


def test_a_results_stream_that_breaks_is_an_api_error(server: Server) -> None:
    def cut(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", "100")
        request.end_headers()
        request.wfile.write(b"{}\n")
        request.close_connection = True

    server.answers = [cut]
    ended = batch(results_url=f"{server.url}/results")

    with pytest.raises(Ambiguous, match="stream broke"), api(server.url).results(ended) as blocks:
        list(blocks)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/results",
        "http://127.0.0.1:{port}@evil.example/results",
        "http://127.0.0.1.evil.example:{port}/results",
        "https://127.0.0.1:{port}/results",
        "http://127.0.0.1:1/results",
        "http://localhost:{port}/results",
        "//evil.example/results",
        "file:///etc/passwd",
        "/v1/messages/batches/msgbatch_01/results",
        "",
        None,
    ],
)
def test_the_key_is_not_taken_to_another_host(server: Server, url: str | None) -> None:
    hostile = url.format(port=server.url.rsplit(":", 1)[1]) if url else url
    with pytest.raises(Redirected), api(server.url).results(replace(batch(), results_url=hostile)):
        pass

    assert server.seen == []


@pytest.mark.parametrize(
    "name",
    [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_AWS_BASE_URL",
        "ANTHROPIC_LOG",  # at `debug`, the SDK logs bodies
        "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE",  # … and sends them to whoever collects traces
    ],
)
def test_variables_that_redirect_the_sdk_stop_the_function(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(MisconfiguredError, match=name):
        api("https://api.anthropic.com")
