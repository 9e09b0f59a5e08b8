"""The local Message Batches API: what a row ends as, what its answer is, what it costs."""

import json
from base64 import b64encode
from math import ceil
from typing import Any

import pytest

from tests.batches_api.server import MODEL, Desk, params, structured


def marked(text: str, ttl: str = "1h") -> list[dict[str, Any]]:
    """Return a system prompt with a cache breakpoint at its end."""
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": ttl}}]


def blocks(*values: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    """Return a conversation: a turn of these blocks, behind a plain one."""
    return [{"role": "user", "content": "Hello."}, {"role": role, "content": list(values)}]


def tool(**changes: Any) -> dict[str, Any]:
    """Return a tool that the client runs."""
    schema = {"type": "object", "properties": {"team": {"enum": ["billing"]}}}
    return {"name": "route", "input_schema": schema} | changes


def encoded(type_: str, media_type: str, content: bytes, data: str = "") -> dict[str, Any]:
    """Return a block of a file in base64; with `data`, of that."""
    source = {"type": "base64", "media_type": media_type, "data": data or b64encode(content).decode()}
    return {"type": type_, "source": source}


# ---------------------------------------------------------------- deferred errors

SOURCE = "messages.1.content.0.image.source.base64"

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": (params(messages=None), "messages: Field required"),
    "stream": (params(stream=True), '"stream=True" is not supported in the Message Batches API'),
    "max_tokens 0": (params(max_tokens=0), "max_tokens: must be greater than or equal to 1"),
    "max_tokens too big": (
        params(model="claude-haiku-4-5", max_tokens=9999999),
        "max_tokens: 9999999 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
    ),
    "no max_tokens": (params(max_tokens=None), "max_tokens: Field required"),
    "unknown key": (params(betas=["x"]), "betas: Extra inputs are not permitted"),
    "temperature": (params(temperature=1), "temperature: Extra inputs are not permitted"),
    "top_p": (params(top_p=1), "top_p: Extra inputs are not permitted"),
    "manual thinking": (
        params(thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048),
        (
            '"thinking.type.enabled" is not supported for this model.'
            ' Use "thinking.type.adaptive" and "output_config.effort"'
        ),
    ),
    "forced tool that is not there": (
        params(tools=[tool()], tool_choice={"type": "tool", "name": "does_not_exist"}),
        "Tool 'does_not_exist' not found in provided tools",
    ),
    "forced tool and thinking": (
        params(tools=[tool()], tool_choice={"type": "any"}, thinking={"type": "adaptive"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "forced tool on a model that takes none": (
        params(model="claude-sonnet-5-5", tools=[tool()], tool_choice={"type": "tool", "name": "route"}),
        '"tool_choice.type.tool" is not supported for this model.',
    ),
    "forced tool without tools": (
        params(tool_choice={"type": "any"}),
        "tool_choice.any may only be specified while providing tools",
    ),
    "two tools of a name": (params(tools=[tool(), tool()]), "tools: Tool names must be unique."),
    "tool without a name": (params(tools=[tool(name=None)]), "tools.0.custom.name: Field required"),
    "tool with a name of its own": (
        params(tools=[tool(name="a b")]),
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "tool without a schema": (
        params(tools=[{"name": "a"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    "tool with an empty schema": (
        params(tools=[tool(input_schema={})]),
        "tools.0.custom.input_schema.type: Field required",
    ),
    "tool with a schema of no object": (
        params(tools=[tool(input_schema={"type": "array"})]),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    "strict tool left open": (
        params(tools=[tool(strict=True)]),
        "tools.0.custom.input_schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    "image that cannot be fetched": (
        params(messages=blocks({"type": "image", "source": {"type": "url", "url": "https://nowhere.invalid/a.png"}})),
        "Unable to download the file. Please verify the URL and try again.",
    ),
    "image from an open address": (
        params(messages=blocks({"type": "image", "source": {"type": "url", "url": "http://a.example/a.png"}})),
        "messages.1.content.0.image.source.url.url: Only HTTPS URLs are supported.",
    ),
    "image of a kind that there is not": (
        params(messages=blocks(encoded("image", "image/bmp", b"BM"))),
        f"{SOURCE}.media_type: Input should be 'image/jpeg' or 'image/png' or 'image/gif' or 'image/webp'",
    ),
    "image of another kind": (
        params(messages=blocks(encoded("image", "image/png", b"GIF89a"))),
        "messages.1.content.0.image.source.base64: image does not match the provided media type image/png",
    ),
    "image that is too large": (
        params(messages=blocks(encoded("image", "image/gif", b"GIF89a" + bytes(3_932_160)))),
        "messages.1.content.0.image.source.base64: image exceeds 5 MB maximum: 5242888 bytes > 5242880 bytes",
    ),
    "document that is no base64": (
        params(messages=blocks(encoded("document", "application/pdf", b"", "%PDF-1.7"))),
        "messages.1.content.0.document.source.base64: invalid base64 data",
    ),
    "document without its data": (
        params(messages=blocks(encoded("document", "application/pdf", b""))),
        "messages.1.content.0.document.source.base64.data: Field required",
    ),
    "prefill": (
        params(messages=blocks({"type": "text", "text": "The answer is"}, role="assistant")),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "unknown message key": (
        params(messages=[{"role": "user", "content": "a", "name": "b"}]),
        "messages.0.name: Extra inputs are not permitted",
    ),
    "citations on user text": (
        params(messages=blocks({"type": "text", "text": "a", "citations": [{}]})),
        "messages.1.content.0.text.citations: Extra inputs are not permitted",
    ),
    "empty text": (
        params(messages=blocks({"type": "text", "text": ""})),
        "messages: text content blocks must be non-empty",
    ),
    "object schema left open": (
        params(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    "recursive schema": (
        params(output_config={"format": {"type": "json_schema", "schema": {"$ref": "#"}}}),
        "output_config.format.schema: Recursive schemas are not supported",
    ),
    "five breakpoints": (
        params(system=marked("a") * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "1h behind 5m": (
        params(system=[*marked("a", "5m"), *marked("b")]),
        (
            "system.1.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control"
            " block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        ),
    ),
    "prompt too long": (
        params("x" * 900_000, model="claude-haiku-4-5"),
        "prompt is too long: 225000 tokens > 200000 maximum",
    ),
}


@pytest.mark.parametrize(("row", "message"), INVALID.values(), ids=INVALID)
def test_create_accepts_what_then_errors_in_its_row(desk: Desk, row: dict[str, Any], message: str) -> None:
    assert desk.row_error(row) == ("invalid_request_error", message)


@pytest.mark.parametrize("row", [{}, {"messages": 1}, params(messages=[1]), params(tools="x"), params(metadata=[])])
def test_no_shape_of_params_is_more_than_a_row_error(desk: Desk, row: dict[str, Any]) -> None:
    assert desk.row_error(row)[0] == "invalid_request_error"


def test_an_errored_row_looks_as_it_was_recorded(desk: Desk) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://nowhere.invalid/a.png"}}
    unknown, unfetched = desk.run(params(model="claude-does-not-exist-9"), params(messages=blocks(image)))

    assert unknown == {
        "type": "errored",
        "error": {
            "type": "error",
            "error": {
                "details": {"error_visibility": "user_facing"},
                "type": "not_found_error",
                "message": "model: claude-does-not-exist-9",
            },
            "request_id": None,
        },
    }
    assert unfetched["error"]["request_id"].startswith("workerreq_")


def test_the_older_api_version_still_takes_a_temperature(desk: Desk) -> None:
    older = desk.client.with_options(default_headers={"anthropic-version": "2023-06-01"})
    row: Any = params(temperature=0)
    batch_id = older.messages.batches.create(requests=[{"custom_id": "r-0", "params": row}]).id
    desk.advance(600)

    assert desk.results(batch_id)["r-0"]["type"] == "succeeded"


def test_a_model_that_retires_while_a_batch_runs_errors_the_rows_that_come_later(desk: Desk) -> None:
    desk.settings(retired_models={MODEL: "2026-11-22T00:05:01Z"})
    results = desk.run(*[params(f"text {i}") for i in range(10)])
    errors = [result["error"]["error"] for result in results if result["type"] == "errored"]

    assert [(error["type"], error["message"]) for error in errors] == [("not_found_error", f"model: {MODEL}")] * 5


def test_a_model_that_has_retired_is_not_found(desk: Desk) -> None:
    before = desk.run(params(model="claude-sonnet-4-5"))
    desk.advance(9 * 86_400)

    assert before[0]["message"]["model"] == "claude-sonnet-4-5-20250929"
    assert desk.row_error(params(model="claude-sonnet-4-5")) == ("not_found_error", "model: claude-sonnet-4-5")


def test_a_longer_output_needs_its_beta_header(desk: Desk) -> None:
    row: Any = params(max_tokens=300_000)
    (without,) = desk.run(row)
    batch = desk.client.beta.messages.batches.create(
        requests=[{"custom_id": "r-0", "params": row}], betas=["output-300k-2026-03-24"]
    )
    desk.advance(600)

    assert without["type"] == "errored"
    assert desk.results(batch.id)["r-0"]["type"] == "succeeded"


# ---------------------------------------------------------------- answers


def test_a_succeeded_row_looks_as_it_was_recorded(desk: Desk) -> None:
    row = structured("My invoice was billed twice.")
    (result,) = desk.run(row)
    message = result["message"]
    added_by_the_format = len(json.dumps(row["output_config"]["format"], separators=(",", ":")))
    answered = len(message["content"][0]["text"])

    assert message.pop("id").startswith("msg_01")
    assert message["content"][0]["text"].startswith('{"category":"billing","confidence":"')
    del message["content"]
    assert result == {
        "type": "succeeded",
        "message": {
            "model": MODEL,
            "type": "message",
            "role": "assistant",
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                "input_tokens": ceil(added_by_the_format / 4) + 7,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": ceil(answered / 4),
                "service_tier": "batch",
                "inference_geo": "not_available",
            },
        },
    }


def test_the_same_request_is_answered_the_same_in_every_batch(desk: Desk) -> None:
    rows = [structured(f"Nothing that a label says, {i}.") for i in range(8)]
    first = [result["message"]["content"] for result in desk.run(*rows)]
    second = [result["message"]["content"] for result in desk.run(*rows)]

    assert first == second
    assert len({str(content) for content in first}) > 1


def test_any_schema_is_filled_with_what_conforms(desk: Desk) -> None:
    schema = {
        "type": "object",
        "properties": {
            "reply": {"type": "string"},
            "when": {"type": "string", "format": "date"},
            "urgent": {"type": "boolean"},
            "score": {"type": "number"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
            "kind": {"const": "ticket"},
            "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "$defs": {"tag": {"type": "string", "enum": ["refund"]}},
        "required": ["reply"],
        "additionalProperties": False,
    }
    row = params("Where is it?", output_config={"format": {"type": "json_schema", "schema": schema}}, max_tokens=200)
    (result,) = desk.run(row)

    assert result["message"]["content"][0]["text"].startswith(
        '{"reply":"Stand-in reply: Where is it?","when":"2026-11-22"'
    )
    assert result["message"]["content"][0]["text"].endswith('"tags":["refund"],"kind":"ticket","note":null}')


def test_a_free_text_answer_says_what_it_is(desk: Desk) -> None:
    (result,) = desk.run(params("Where is my parcel?"))

    assert result["message"]["content"][0]["text"].startswith("Stand-in answer ")
    assert result["message"]["content"][0]["text"].endswith(" to: Where is my parcel?")


def test_an_answer_that_does_not_fit_is_cut(desk: Desk) -> None:
    (result,) = desk.run(structured("My invoice was billed twice.", max_tokens=4))

    assert result["message"]["stop_reason"] == "max_tokens"
    assert result["message"]["usage"]["output_tokens"] == 4
    assert result["message"]["content"] == [{"type": "text", "text": '{"category":"bil'}]


def test_thinking_that_nobody_switched_off_uses_up_a_small_max_tokens(desk: Desk) -> None:
    small, large = desk.run(params(thinking=None), params(thinking=None, max_tokens=128))

    assert [block["type"] for block in small["message"]["content"]] == ["thinking"]
    assert small["message"]["stop_reason"] == "max_tokens"
    assert [block["type"] for block in large["message"]["content"]] == ["thinking", "text"]
    assert large["message"]["usage"]["output_tokens_details"] == {"thinking_tokens": 64}
    assert 64 < large["message"]["usage"]["output_tokens"] <= 128


def test_a_stop_sequence_ends_an_answer(desk: Desk) -> None:
    (result,) = desk.run(params("Where is my parcel?", stop_sequences=[" to:"]))

    assert (result["message"]["stop_reason"], result["message"]["stop_sequence"]) == ("stop_sequence", " to:")


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "route"}])
def test_a_forced_tool_is_used(desk: Desk, choice: dict[str, Any]) -> None:
    tools = [{"type": "web_search_20260209", "name": "web_search"}, tool()]
    (result,) = desk.run(params(tools=tools, tool_choice=choice))
    block = result["message"]["content"][0]

    assert (block["type"], block["name"], block["input"]) == ("tool_use", "route", {"team": "billing"})
    assert result["message"]["stop_reason"] == "tool_use"


def test_a_tool_that_nobody_forces_is_used_mostly_and_one_that_is_forbidden_never(desk: Desk) -> None:
    free = desk.run(*(params(f"Ticket {n}", tools=[tool()]) for n in range(60)))
    forbidden = desk.run(*(params(f"Ticket {n}", tools=[tool()], tool_choice={"type": "none"}) for n in range(60)))

    reasons = [result["message"]["stop_reason"] for result in free]
    assert 45 <= reasons.count("tool_use") < 60
    assert reasons.count("tool_use") + reasons.count("end_turn") == 60
    assert {result["message"]["stop_reason"] for result in forbidden} == {"end_turn"}


def test_a_call_that_does_not_fit_max_tokens_has_an_empty_input(desk: Desk) -> None:
    (result,) = desk.run(params(tools=[tool()], tool_choice={"type": "any"}, max_tokens=2))

    assert [(block["type"], block["input"]) for block in result["message"]["content"]] == [("tool_use", {})]
    assert result["message"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(("fault", "called"), [("enum-case", {"team": "BILLING"}), ("invalid-json", {})])
def test_faults_spoil_a_call_as_they_spoil_a_text(desk: Desk, fault: str, called: dict[str, str]) -> None:
    desk.fault(endpoint="rows", kind=fault)
    (result,) = desk.run(params(tools=[tool()], tool_choice={"type": "any"}))

    assert result["message"]["content"][0]["input"] == called
    assert result["message"]["stop_reason"] == "tool_use"


# ---------------------------------------------------------------- the cache

PREFIX = "s" * 4 * 512
"""512 tokens: the least that Haiku 5.5 caches."""


def usage(result: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return tokens: not cached, written for 5 minutes, written for an hour, read."""
    use = result["message"]["usage"]
    assert use["cache_creation_input_tokens"] == sum(use["cache_creation"].values())
    written = (use["cache_creation"][f"ephemeral_{ttl}_input_tokens"] for ttl in ("5m", "1h"))
    return (use["input_tokens"], *written, use["cache_read_input_tokens"])


def test_the_requests_of_a_cold_batch_all_write_and_those_of_the_next_read(desk: Desk) -> None:
    rows = [params("t" * 8, system=marked(PREFIX)), params("u" * 8, system=marked(PREFIX))]

    assert [usage(result) for result in desk.run(*rows)] == [(2, 0, 512, 0), (2, 0, 512, 0)]
    assert [usage(result) for result in desk.run(*rows)] == [(2, 0, 0, 512), (2, 0, 0, 512)]


def test_requests_see_their_own_batchs_writes_where_that_is_switched_on(desk: Desk) -> None:
    desk.settings(cache_within_batch=True)
    rows = [params("t" * 8, system=marked(PREFIX)), params("u" * 8, system=marked(PREFIX))]

    assert sorted(usage(result) for result in desk.run(*rows)) == [(2, 0, 0, 512), (2, 0, 512, 0)]


def test_a_prefix_below_the_models_minimum_is_silently_not_cached(desk: Desk) -> None:
    short, other = desk.run(
        params("t" * 8, system=marked(PREFIX[4:])), params("t" * 8, model="claude-sonnet-5", system=marked(PREFIX))
    )

    assert usage(short) == (2 + 511, 0, 0, 0)
    assert usage(other) == (2 + 512, 0, 0, 0)


def test_a_prefix_is_forgotten_when_its_time_is_over(desk: Desk) -> None:
    desk.settings(duration_seconds=1)
    row = params("t" * 8, system=marked(PREFIX, "5m"))
    first = desk.run(row)
    second = desk.run(row)  # 600 s later

    assert [usage(result) for result in (*first, *second)] == [(2, 512, 0, 0), (2, 512, 0, 0)]


def test_a_longer_prompt_reads_the_shared_part_and_writes_the_rest(desk: Desk) -> None:
    longer = [*marked(PREFIX), *marked("x" * 40, "5m")]
    desk.run(params("t" * 8, system=marked(PREFIX)))
    (result,) = desk.run(params("t" * 8, system=longer))

    assert usage(result) == (2, 10, 0, 512)


def test_another_output_format_is_another_prefix(desk: Desk) -> None:
    desk.run(structured("t" * 8, system=marked(PREFIX)))
    (result,) = desk.run(params("t" * 8, system=marked(PREFIX)))

    assert usage(result) == (2, 0, 512, 0)


def test_reads_miss_as_often_as_the_settings_say(desk: Desk) -> None:
    desk.settings(cache_hit_rate=0.5)
    rows = [params(f"{i:08}", system=marked(PREFIX)) for i in range(60)]
    desk.run(*rows)
    uses = [usage(result) for result in desk.run(*rows)]

    assert set(uses) == {(2, 0, 0, 512), (2, 0, 512, 0)}
    assert 15 < uses.count((2, 0, 0, 512)) < 45


def test_automatic_caching_marks_the_last_block(desk: Desk) -> None:
    row = params("t" * 8, system=PREFIX, cache_control={"type": "ephemeral"})
    (result,) = desk.run(row)

    assert usage(result) == (0, 514, 0, 0)
