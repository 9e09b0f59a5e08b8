"""Messages, conversations and examples: what is sent of them, and what is refused before anything is."""

import hashlib
import json
from io import BytesIO
from typing import Any

import pytest

from nightshift import caching, rows
from nightshift.errors import BadJob
from nightshift.estimating import Estimator
from nightshift.input_codes import InputCode, RowFault
from nightshift.job import Job, parse_job
from nightshift.model import Reject, Row
from nightshift.records import InputSpec
from nightshift.requests import Renderer, asking_digest, question_digest
from tests.unit.conftest import MovableClock
from tests.unit.fakes import MemoryOutputs
from tests.unit.test_requests import job, row
from tests.unit.token_api import WordsApi

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS = {"tools": [{"name": "t", "input_schema": {"type": "object"}}], "output_config": {"effort": "low"}}
ASKED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "é"}]


def sent(made: Job, ttl: str = "", **values: Any) -> Any:
    return json.loads(Renderer(made, ttl).params(row(**values)))["messages"]


def refusal(**fields: Any) -> str:
    """Return what is said of a job that cannot be used."""
    document = {
        "job": "triage",
        "input": {"format": "jsonl"},
        "max_tokens": 64,
        "output": {"labels": ["billing", "other"]},
    }
    with pytest.raises(BadJob) as caught:
        parse_job(json.dumps(document | fields).encode(), name="triage", key="")
    return str(caught.value).replace(":1: ", "", 1)


# ---------------------------------------------------------------- jobs of before


@pytest.mark.parametrize(
    ("changes", "ttl", "digests"),
    [
        ({}, "", ("e5778319bc14c2e2", "cf1b405948b6aa2a", "592852817c1d6e1d")),
        (
            {
                "system": "Sort them: ü\n",
                "output": {"labels": ["billing", "other"], "table": {"key": "id", "attribute": "a"}},
            },
            "1h",
            ("41c37ebc160749e1", "7a4c0e7ac465db64", "0399e5d048c8ac1f"),
        ),
        (
            {
                "system": "s",
                "thinking": "adaptive",
                "prompt": "{{ body | upper }}",
                "params": TOOLS,
                "output": {"schema": SCHEMA},
            },
            "5m",
            ("2bf9fc8788855d93", "7e0a837a1f4a1948", "cab4266e3caef1a0"),
        ),
    ],
    ids=["text", "labels", "schema"],
)
def test_what_a_prompt_alone_asks_has_the_bytes_and_digests_it_always_had(
    changes: dict[str, Any], ttl: str, digests: tuple[str, str, str]
) -> None:
    """Runs that were planned before, and tickets that were answered, hold on to them."""
    made = job(**changes)
    params = Renderer(made, ttl).params(row(body="hi </ticket> é"))
    short = (hashlib.sha256(each).hexdigest()[:16] for each in (params, asking_digest(made).encode()))
    assert (next(short), question_digest(made)[:16], next(short)) == digests


# ---------------------------------------------------------------- several messages


def test_messages_are_sent_in_their_order_each_from_its_template() -> None:
    made = job(
        prompt=None,
        messages=[
            {"role": "user", "content": "<q>{{ question }}</q>"},
            {"role": "assistant", "content": "{{ answer | trim }}"},
            {"role": "user", "content": "Is that right?"},
        ],
    )
    assert made.variables == {"question", "answer"}
    assert sent(made, question="2+2</q>", answer=" 4 ") == [
        {"role": "user", "content": "<q>2+2<\\/q></q>"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "Is that right?"},
    ]


def test_a_message_that_comes_out_empty_rejects_the_row() -> None:
    made = job(prompt=None, messages=[{"role": "user", "content": "{{ a }}"}, {"role": "user", "content": "{{ b }}"}])
    with pytest.raises(RowFault) as caught:
        sent(made, a="x", b=" ")
    assert caught.value.code is InputCode.EMPTY_BODY


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "prompt: is missing: say what to ask for a row, here or in `messages`"),
        ({"prompt": "{{ a }}", "messages": {"column": "a"}}, "prompt: goes without `messages`: delete one of them"),
        ({"messages": []}, "messages: uses no column of the input"),
        ({"messages": "{{ a }}"}, "messages: Input should be a valid dictionary or instance of History"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "messages: uses no column of the input"),
        ({"messages": [{"role": "user", "content": "{{ a"}]}, "messages.0.content: line 1 of the template"),
        ({"messages": [{"role": "system", "content": "{{ a }}"}]}, "messages.0.role: Input should be 'user' or 'assis"),
        (
            {"messages": [{"role": "user", "content": "{{ a }}"}, {"role": "assistant", "content": "{"}]},
            "messages.1.role: the last must be the user's: current models refuse an answer that is begun",
        ),
        (
            {"messages": {"column": "a"}, "input": {"format": "csv", "optional": ["a"]}},
            "messages.column: `a` holds messages: it is no id, not optional and not carried",
        ),
        ({"messages": {"column": "id"}}, "messages.column: `id` holds messages"),
        ({"messages": {"column": "a"}, "output": {"text": True, "carry": ["a"]}}, "messages.column: `a` holds mess"),
    ],
)
def test_messages_that_no_request_can_have_are_refused(fields: dict[str, Any], reason: str) -> None:
    assert refusal(**fields).startswith(reason)


# ---------------------------------------------------------------- a conversation in a column


def read(value: Any, format_: str = "jsonl") -> Row | Reject:
    spec = InputSpec.of(job(input={"format": format_}, prompt=None, messages={"column": "chat"}))
    line = json.dumps({"id": "1", "chat": value}).encode() + b"\n"
    if format_ == "csv":
        line = b'id,chat\n1,"%s"\n' % json.dumps(value, ensure_ascii=False).replace('"', '""').encode()
    (found,) = rows.read(BytesIO(line), spec, file=0, digest="d")
    return found


def test_a_conversation_is_sent_as_it_is_from_a_list_or_from_json_text() -> None:
    found = [read(ASKED), read(json.dumps(ASKED)), read(ASKED, "csv")]

    for each in found:
        assert isinstance(each, Row)
        assert sent(job(prompt=None, messages={"column": "chat"}), **each.values) == ASKED
    assert len({each.digest for each in found if isinstance(each, Row)}) == 1


@pytest.mark.parametrize(
    ("value", "code", "detail"),
    [
        (7, InputCode.BAD_CONVERSATION, "column chat: must be a list of messages"),
        ({"role": "user", "content": "secret"}, InputCode.BAD_CONVERSATION, "column chat: must be a list of messages"),
        ("secret", InputCode.BAD_CONVERSATION, "column chat: is not JSON"),
        ("[" * 100_000, InputCode.BAD_CONVERSATION, "column chat: is not JSON"),
        ([], InputCode.BAD_CONVERSATION, "column chat: must begin and end with a message of the user"),
        (ASKED[:2], InputCode.BAD_CONVERSATION, "column chat: must begin and end with a message of the user"),
        (ASKED[1:], InputCode.BAD_CONVERSATION, "column chat: must begin and end with a message of the user"),
        (["secret"], InputCode.BAD_CONVERSATION, "column chat, message 1: must have `role` and `content`, and nothing"),
        ([ASKED[0] | {"at": "secret"}], InputCode.BAD_CONVERSATION, "column chat, message 1: must have `role` and `co"),
        ([{"role": "system", "content": "x"}], InputCode.BAD_CONVERSATION, "column chat, message 1: the role must be"),
        ([{"role": ["user"], "content": "x"}], InputCode.BAD_CONVERSATION, "column chat, message 1: the role must be"),
        ([{"role": "user", "content": [1]}], InputCode.BAD_CONVERSATION, "column chat, message 1: the content must"),
        ([*ASKED, {"role": "user", "content": " "}], InputCode.BAD_CONVERSATION, "column chat, message 4: the content"),
        ([{"role": "user", "content": "a\0"}], InputCode.BAD_CONVERSATION, "column chat, message 1: has a NUL"),
        ([{"role": "user", "content": "\ud800"}], InputCode.LONE_SURROGATE, "column chat"),
        ([{"role": "user", "content": "a" * 100_000}], InputCode.TOO_LARGE, "column chat: 100,0"),
        (None, InputCode.EMPTY_BODY, "column chat: missing or empty"),
        (" ", InputCode.EMPTY_BODY, "column chat: missing or empty"),
    ],
)
def test_what_is_no_conversation_rejects_the_row_and_says_where_without_its_text(
    value: Any, code: InputCode, detail: str
) -> None:
    found = read(value)
    assert isinstance(found, Reject)
    assert found.code == code
    assert found.detail.startswith(detail)
    assert "secret" not in found.detail


# ---------------------------------------------------------------- examples

EXAMPLES = [{"row": {"body": "my bill</ticket>"}, "answer": "BILLING"}, {"row": {"body": 7}, "answer": "other"}]
LABELS = {"labels": ["billing", "other"]}


def test_examples_are_turns_before_the_rows_own_and_the_cache_breakpoint_is_at_their_end() -> None:
    made = job(system="Be brief.", examples=EXAMPLES, output=LABELS)
    params = json.loads(Renderer(made, "1h").params(row(body="hi")))

    assert params["system"] == [{"type": "text", "text": "Be brief."}]
    last = {"type": "text", "text": '{"label": "other"}', "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert params["messages"] == [
        {"role": "user", "content": "<ticket>my bill<\\/ticket></ticket>"},
        {"role": "assistant", "content": '{"label": "billing"}'},
        {"role": "user", "content": "<ticket>7</ticket>"},
        {"role": "assistant", "content": [last]},
        {"role": "user", "content": "<ticket>hi</ticket>"},
    ]
    assert sent(made, body="hi")[3]["content"] == '{"label": "other"}'


def test_examples_go_through_messages_too() -> None:
    answer = {"a": "x"}
    made = job(
        prompt=None,
        messages={"column": "chat"},
        output={"schema": SCHEMA},
        examples=[{"row": {"chat": ASKED}, "answer": answer}],
    )
    assert sent(made, chat='[{"role":"user","content":"Hi"}]') == [
        *ASKED,
        {"role": "assistant", "content": '{"a": "x"}'},
        {"role": "user", "content": "Hi"},
    ]


def test_the_digest_names_messages_and_examples() -> None:
    one, two = ([{"role": "user", "content": f"{n} {{{{ body }}}}"}] for n in (1, 2))
    made = [
        job(),
        job(prompt=None, messages=one),
        job(prompt=None, messages=two),
        job(prompt=None, messages={"column": "body"}),
        job(betas=["a-2026-01-01"]),
        job(examples=[{"row": {"body": "a"}, "answer": "b"}]),
        job(examples=[{"row": {"body": "a"}, "answer": "c"}]),
    ]
    assert len({question_digest(each) for each in made}) == len(made)
    assert Renderer(made[-1], "1h").digest == Renderer(made[-1]).digest


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ({"row": {"body": "x", "bdy": "x"}, "answer": "other"}, "examples.0.row: the job asks nothing of `bdy`"),
        ({"row": {}, "answer": "other"}, "examples.0.row: `body` is missing or empty"),
        ({"row": {"body": " "}, "answer": "other"}, "examples.0.row: EMPTY_BODY: the prompt comes out empty"),
        ({"row": {"body": True}, "answer": "other"}, "examples.0.row: `body` must be a text or a whole number"),
        (
            {"row": {"body": "x"}, "answer": "spam"},
            "examples.0.answer: is not what `output` says that an answer is (no",
        ),
        ({"row": {"body": "x"}, "answer": {"a": 1}}, "examples.0.answer: is not what `output` says"),
        ({"row": {"body": "x"}}, "examples.0.answer: is missing"),
        ({"row": {"body": "x"}, "answer": "other", "why": "y"}, "examples.0.why: no such field"),
    ],
)
def test_examples_that_do_not_fit_the_job_are_refused(example: Any, reason: str) -> None:
    assert refusal(prompt="{{ body }}", examples=[example]).startswith(reason)


@pytest.mark.parametrize(
    ("output", "answer"), [({"text": True}, 7), ({"text": True}, " "), ({"schema": SCHEMA}, {"a": 1})]
)
def test_an_example_s_answer_is_held_to_the_output(output: Any, answer: Any) -> None:
    said = refusal(prompt="{{ body }}", output=output, examples=[{"row": {"body": "x"}, "answer": answer}])
    assert said.startswith("examples.0.answer: ")


def test_an_example_must_have_every_column_that_is_not_optional() -> None:
    input_ = {"format": "jsonl", "optional": ["b"]}
    fields = {"prompt": "{{ a }} {{ b }}", "input": input_, "examples": [{"row": {"b": "x"}, "answer": "other"}]}
    assert refusal(**fields).startswith("examples.0.row: `a` is missing or empty")


def test_examples_alone_are_worth_a_cache_breakpoint_and_are_counted_for_it(clock: MovableClock) -> None:
    made = job(examples=[{"row": {"body": "one two three"}, "answer": "four five"}])
    plan = caching.Plan(made, None, rows=5000, pilot=20)
    api = WordsApi(clock)
    shared = Estimator(api, MemoryOutputs(), clock).caching(plan)
    assert (caching.why_not_at_all(plan), shared.prefix_tokens) == ("", 5 + 2)  # with the template's own tags
