"""Result lines become outcomes; no line, however strange, costs more than its row."""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.answers import answer_reader
from nightshift.job_sections import Output
from nightshift.model import Chunk, Outcome, RowClass, Tally
from nightshift.outcomes import costs_of, custom_id_of, outcomes, reader_of, tally
from nightshift.prices import price_sheet
from tests.unit import made
from tests.unit.night import JOB, parsed
from tests.unit.result_lines import USAGE, canceled, errored, expired, labelled, line, succeeded

LABELS = Output(labels=("billing", "Feature Request"))
TEXT = Output(text=True)
PRICES = price_sheet("claude-haiku-5-5", date(2026, 11, 25))


def counted(found: Iterable[Outcome], *, last: bool) -> Tally:
    found = list(found)
    return tally(found, costs_of(found, PRICES), last=last)


SCHEMA = Output.model_validate(
    {
        "schema": {
            "type": "object",
            "properties": {
                "severity": {"type": "string", "enum": ["High", "Low"]},
                "score": {"type": ["number", "null"]},
                "count": {"type": "integer"},
                "sure": {"type": "boolean"},
                "kind": {"const": "ticket"},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
                "who": {"anyOf": [{"type": "string", "enum": ["Us"]}, {"type": "integer"}]},
            },
            "required": ["severity"],
            "additionalProperties": False,
            "$defs": {
                "part": {
                    "allOf": [
                        {
                            "type": "object",
                            "properties": {"name": {"enum": ["Engine", 1, True]}},
                            "required": ["name"],
                            "additionalProperties": False,
                        }
                    ]
                }
            },
        }
    }
)


TOOL = Output(tool="note")
TOOLS = {
    "tools": [
        {"type": "web_search_20260209", "name": "search"},
        {"name": "note", "input_schema": SCHEMA.json_schema},
        {"name": "other", "input_schema": {"type": "object"}},
    ]
}


def call(name: str = "note", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_01", "name": name, "input": given}


def classify(data: bytes, output: Output = LABELS) -> Outcome:
    (outcome,) = outcomes(data, answer_reader(output, TOOLS))
    return outcome


def invalid(reason: str) -> Outcome:
    return Outcome("a", RowClass.INVALID, reason=reason, usage=USAGE)


class TestClasses:
    def test_an_answer_with_a_label_is_answered(self) -> None:
        assert classify(labelled("a")) == Outcome("a", RowClass.ANSWERED, answer="billing", usage=USAGE)

    def test_a_refusal_is_refused_with_its_category_and_without_the_models_words(self) -> None:
        details = {"type": "refusal", "category": "cyber", "explanation": "secret words"}
        refused = classify(succeeded("a", "I cannot", stop_reason="refusal", stop_details=details))
        assert refused == Outcome("a", RowClass.REFUSED, reason="cyber", usage=USAGE)

    def test_a_refusal_without_details_is_refused_all_the_same(self) -> None:
        assert classify(succeeded("a", stop_reason="refusal")) == Outcome(
            "a", RowClass.REFUSED, reason="refusal", usage=USAGE
        )

    @pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "pause_turn", "tool_use", None])
    def test_an_answer_that_was_cut_short_is_invalid_even_where_it_looks_whole(self, reason: str | None) -> None:
        assert classify(succeeded("a", '{"label": "billing"}', stop_reason=reason)) == invalid(f"stopped: {reason}")

    def test_an_answer_at_a_stop_sequence_is_whole(self) -> None:
        assert classify(succeeded("a", "fine", stop_reason="stop_sequence"), TEXT).answer == "fine"

    @pytest.mark.parametrize("text", [None, "", " \n"])
    def test_an_answer_without_text_is_invalid(self, text: str | None) -> None:
        assert classify(succeeded("a", text), TEXT) == invalid("empty")

    @pytest.mark.parametrize("kind", ["api_error", "overloaded_error", "rate_limit_error", "timeout_error"])
    def test_an_error_that_may_pass_is_retryable(self, kind: str) -> None:
        assert classify(errored("a", kind, "Busy")) == Outcome(
            "a", RowClass.ERRORED, reason=f"{kind}: Busy", retryable=True
        )

    @pytest.mark.parametrize(
        "kind", ["invalid_request_error", "not_found_error", "permission_error", "billing_error", "a_new_error"]
    )
    def test_any_other_error_is_final(self, kind: str) -> None:
        assert classify(errored("a", kind, "No")) == Outcome("a", RowClass.ERRORED, reason=f"{kind}: No")

    def test_a_long_error_is_cut(self) -> None:
        assert len(classify(errored("a", "api_error", "x" * 5000)).reason) == 300

    def test_an_expired_row_is_retryable_and_a_canceled_one_is_not(self) -> None:
        assert classify(expired("a")) == Outcome("a", RowClass.EXPIRED, reason="expired", retryable=True)
        assert classify(canceled("a")) == Outcome("a", RowClass.CANCELED, reason="canceled")

    def test_an_unknown_type_is_an_error_by_its_name(self) -> None:
        assert classify(line("a", {"type": "postponed"})) == Outcome(
            "a", RowClass.ERRORED, reason="unknown_type: postponed"
        )


class TestText:
    def test_thinking_comes_first_and_is_passed_over(self) -> None:
        content = [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": '{"label":'},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}, "text": {"not": "a text"}},
            {"type": "text", "text": '"billing"}', "citations": []},
        ]
        assert classify(succeeded("a", content=content)).answer == "billing"

    def test_a_text_is_given_as_it_is(self) -> None:
        assert classify(succeeded("a", " Dear\n\u2028customer \x00"), TEXT).answer == " Dear\n\u2028customer \x00"


class TestLabels:
    @pytest.mark.parametrize(
        "text", ['{"label": "feature request"}', '"FEATURE REQUEST"', ' {"category":" Feature Request "}\n']
    )
    def test_a_label_comes_out_in_the_jobs_spelling(self, text: str) -> None:
        assert classify(succeeded("a", text)).answer == "Feature Request"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ('{"label": "secret"}', "not_a_label"),
            ('{"label": 1}', "not_a_label"),
            ('{"label": "billing", "more": 1}', "not_a_label"),
            ("{}", "not_a_label"),
            ('["billing"]', "not_a_label"),
            ("billing", "not_json"),
            ('{"label": "billing"', "not_json"),
            ('{"label": "billing"} and more', "not_json"),
            ("[" * 100_000, "not_json"),
        ],
    )
    def test_anything_else_is_invalid_and_not_quoted(self, text: str, reason: str) -> None:
        assert classify(succeeded("a", text)) == invalid(reason)


class TestSchemas:
    def test_an_answer_comes_out_with_the_schemas_spelling(self) -> None:
        answer: dict[str, Any] = {
            "severity": "HIGH",
            "score": None,
            "count": 2,
            "sure": True,
            "kind": "Ticket",
            "who": "us",
        }
        answer["parts"] = [{"name": "engine"}, {"name": 1}, {"name": True}]
        assert classify(succeeded("a", json.dumps(answer)), SCHEMA).answer == answer | {
            "severity": "High",
            "kind": "ticket",
            "who": "Us",
            "parts": [{"name": "Engine"}, {"name": 1}, {"name": True}],
        }

    @pytest.mark.parametrize(
        ("changes", "place"),
        [
            ({"severity": "secret"}, "$.severity: enum"),
            ({"severity": None}, "$.severity: type"),
            ({"score": "1"}, "$.score: type"),
            ({"score": True}, "$.score: type"),
            ({"count": 1.5}, "$.count: type"),
            ({"sure": 1}, "$.sure: type"),
            ({"kind": "other"}, "$.kind: const"),
            ({"parts": {}}, "$.parts: type"),
            ({"parts": [{"name": "engine"}, {}]}, "$.parts[1].name: required"),
            ({"parts": [{"name": False}]}, "$.parts[0].name: enum"),
            ({"who": "them"}, "$.who: anyOf"),
            ({"secret": 1}, "$: additionalProperties"),
        ],
    )
    def test_a_misfit_is_named_by_its_place_and_never_quoted(self, changes: dict[str, Any], place: str) -> None:
        text = json.dumps({"severity": "Low"} | changes)
        assert classify(succeeded("a", text), SCHEMA) == invalid(f"not_the_schema: {place}")

    def test_a_missing_property_is_named(self) -> None:
        assert classify(succeeded("a", "{}"), SCHEMA) == invalid("not_the_schema: $.severity: required")

    def test_a_whole_number_with_a_point_is_an_integer(self) -> None:
        assert classify(succeeded("a", '{"severity": "Low", "count": 2.0}'), SCHEMA).answer["count"] == 2

    @pytest.mark.parametrize("text", ["", "not json", '{"severity":', '{"severity": NaN}', '{"score": 1e999}'])
    def test_what_is_no_json_is_invalid(self, text: str) -> None:
        assert classify(succeeded("a", text or " x"), SCHEMA) == invalid("not_json")

    @pytest.mark.parametrize("ref", ["#/$defs/nowhere", "#/type/x", "https://example.com/schema"])
    def test_a_reference_to_nowhere_costs_the_row_and_nothing_else(self, ref: str) -> None:
        output = Output.model_validate({"schema": {"type": "object", "properties": {"a": {"$ref": ref}}}})
        assert classify(succeeded("a", '{"a": 1}'), output) == invalid("not_the_schema: $.a: $ref")

    def test_a_schema_that_refers_to_itself_ends(self) -> None:
        output = Output.model_validate({"schema": {"$ref": "#"}})
        assert classify(succeeded("a", "{}"), output) == invalid("too_deep")


class TestCutOff:
    @pytest.mark.parametrize(("chunk", "retryable"), [(made.chunk(), True), (made.chunk(raised=True), False)])
    def test_a_row_that_was_cut_off_may_be_asked_once_more_with_more_tokens(
        self, chunk: Chunk, *, retryable: bool
    ) -> None:
        read = reader_of(parsed(JOB + b"retry: {cut_off: 2}\n"), chunk)
        (found,) = outcomes(succeeded("a", '{"label": "bil', stop_reason="max_tokens"), read)
        assert found == Outcome("a", RowClass.INVALID, reason="stopped: max_tokens", retryable=retryable, usage=USAGE)

    @pytest.mark.parametrize(
        "changes",
        [
            {"stop_reason": "refusal"},
            {"stop_reason": "model_context_window_exceeded"},
            {"stop_reason": "pause_turn"},
            {"stop_reason": "tool_use"},
            {"text": "no label"},
        ],
    )
    def test_no_other_row_that_was_billed_is_asked_again(self, changes: dict[str, Any]) -> None:
        read = reader_of(parsed(JOB + b"retry: {cut_off: 2}\n"), made.chunk())
        (found,) = outcomes(succeeded("a", **changes), read)
        assert not found.retryable

    def test_a_job_that_does_not_say_so_asks_none_again(self) -> None:
        (found,) = outcomes(succeeded("a", stop_reason="max_tokens"), reader_of(parsed(), made.chunk()))
        assert not found.retryable


class TestCalls:
    def test_what_the_tool_was_called_with_is_the_answer_in_the_schemas_spelling(self) -> None:
        content = [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "I will note that."},
            {"type": "server_tool_use", "id": "s", "name": "note", "input": {"severity": "High"}},
            call(severity="LOW", count=2),
        ]
        found = classify(succeeded("a", content=content, stop_reason="tool_use"), TOOL)
        assert found == Outcome("a", RowClass.ANSWERED, answer={"severity": "Low", "count": 2}, usage=USAGE)

    @pytest.mark.parametrize("reason", ["end_turn", "stop_sequence"])
    def test_a_call_at_the_end_of_a_turn_is_one(self, reason: str) -> None:
        found = classify(succeeded("a", content=[call(severity="Low")], stop_reason=reason), TOOL)
        assert found.answer == {"severity": "Low"}

    @pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "pause_turn", None])
    def test_a_call_that_was_cut_short_is_invalid_even_where_it_looks_whole(self, reason: str | None) -> None:
        found = classify(succeeded("a", content=[call(severity="Low")], stop_reason=reason), TOOL)
        assert found == invalid(f"stopped: {reason}")

    def test_a_refusal_is_refused_whatever_was_called_before_it(self) -> None:
        found = classify(succeeded("a", content=[call(severity="Low")], stop_reason="refusal"), TOOL)
        assert found == Outcome("a", RowClass.REFUSED, reason="refusal", usage=USAGE)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ([], "no_tool_call"),
            ([{"type": "text", "text": '{"severity": "Low"}'}], "no_tool_call"),
            ([call("other", severity="Low")], "no_tool_call"),
            ([call(severity="Low"), call(severity="Low")], "several_tool_calls"),
            ([call(severity="secret")], "not_the_schema: $.severity: enum"),
            ([call()], "not_the_schema: $.severity: required"),
            ([call() | {"input": ["Low"]}], "not_the_schema: $: type"),
            ([{"type": "tool_use", "id": "t", "name": "note"}], "not_json"),
        ],
    )
    def test_anything_else_is_invalid_and_not_quoted(self, content: list[dict[str, Any]], reason: str) -> None:
        assert classify(succeeded("a", content=content, stop_reason="tool_use"), TOOL) == invalid(reason)

    def test_half_a_surrogate_pair_in_a_call_costs_its_row(self) -> None:
        strange = succeeded("b", content=[call(severity="Low", parts="\ud800")], stop_reason="tool_use")
        data = labelled("a") + strange + succeeded("c", content=[call(severity="Low")], stop_reason="tool_use")
        found = list(outcomes(data, answer_reader(TOOL, TOOLS)))
        assert [each.row_class for each in found] == [RowClass.INVALID, RowClass.INVALID, RowClass.ANSWERED]
        assert found[1].usage == USAGE

    @pytest.mark.parametrize("output", [LABELS, TEXT, SCHEMA])
    def test_a_job_that_wants_no_call_gets_no_answer_from_one(self, output: Output) -> None:
        found = succeeded("a", content=[call(severity="Low")], stop_reason="tool_use")
        assert classify(found, output) == invalid("stopped: tool_use")


class TestStrangeLines:
    def test_one_strange_line_costs_one_row(self) -> None:
        strange = (
            b'{"custom_id":"b","result":{"type":"succeeded","message":{"content":"x","usage":{"input_tokens":4}}}}\n'
        )
        data = labelled("a") + strange + labelled("c")
        assert list(outcomes(data, answer_reader(LABELS, {}))) == [
            Outcome("a", RowClass.ANSWERED, answer="billing", usage=USAGE),
            Outcome("b", RowClass.INVALID, reason="unreadable_result", usage={"input_tokens": 4}),
            Outcome("c", RowClass.ANSWERED, answer="billing", usage=USAGE),
        ]

    def test_one_strange_line_among_100000_costs_one_row(self) -> None:
        lines = [expired(f"a-{number}") for number in range(100_000)]
        lines[54_321] = b'{"custom_id":"a-54321","result":{"type":"succeeded","message":7}}\n'
        found = [each.reason for each in outcomes(b"".join(lines), answer_reader(TEXT, {}))]
        assert found == ["expired"] * 54_321 + ["unreadable_result"] + ["expired"] * 45_678

    def test_half_a_surrogate_pair_costs_its_row_and_its_tokens_are_counted(self) -> None:
        assert classify(succeeded("a", "\ud800"), TEXT) == invalid("unreadable_result")

    @pytest.mark.parametrize(
        "usage",
        [b'{"input_tokens":' + b"1" * 5000 + b"}", b'{"service_tier":"\\ud800"}'],
        ids=["a number without end", "half a surrogate pair"],
    )
    def test_usage_that_cannot_be_kept_costs_its_row_and_the_row_keeps_its_name(self, usage: bytes) -> None:
        strange = succeeded("b", "x").replace(json.dumps(USAGE).encode(), usage)
        assert custom_id_of(strange) == "b"
        first, found = outcomes(labelled("a") + strange, answer_reader(LABELS, {}))
        assert (first.custom_id, found.custom_id, found.reason) == ("a", "b", "unreadable_result")
        msgspec.json.encode(found.usage)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("expired", Outcome("a", RowClass.EXPIRED, reason="expired", retryable=True)),
            ("canceled", Outcome("a", RowClass.CANCELED, reason="canceled")),
            ("paused", Outcome("a", RowClass.ERRORED, reason="unknown_type: paused")),
            ("\ud800", Outcome("a", RowClass.ERRORED, reason="unreadable_result")),
        ],
    )
    def test_a_type_that_says_it_all_counts_whatever_comes_with_it(self, kind: str, expected: Outcome) -> None:
        assert classify(line("a", {"type": kind, "message": {"no": "message"}})) == expected

    @pytest.mark.parametrize("result", [None, 1, [], {}, {"type": None}, {"type": "errored", "error": None}])
    def test_a_result_of_another_shape_is_an_error(self, result: Any) -> None:
        assert classify(line("a", result)).row_class is RowClass.ERRORED

    @settings(derandomize=True, deadline=None, database=None)
    @given(
        st.dictionaries(
            st.sampled_from(["type", "message", "error"]),
            st.recursive(
                st.sampled_from([None, True, 0, 1.5, "", "succeeded", "errored", "end_turn"]),
                lambda below: (
                    st.lists(below, max_size=3)
                    | st.dictionaries(st.sampled_from(["content", "usage", "type", "error", "text"]), below)
                ),
                max_leaves=8,
            ),
        )
    )
    def test_no_result_whatever_its_shape_breaks_the_block(self, result: dict[str, Any]) -> None:
        first, strange, last = outcomes(labelled("a") + line("b", result) + labelled("c"), answer_reader(LABELS, {}))
        assert [first.custom_id, strange.custom_id, last.custom_id] == ["a", "b", "c"]
        assert strange.row_class is not RowClass.ANSWERED
        counted([first, strange, last], last=True)

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b'{"custom_id":"a","result":{}}', "a"),
            (b'{"custom_id":"a","result":"\\ud800"}', "a"),
            (b'{"custom_id":null}', None),
            (b'{"type":"error","error":{}}', None),
            (b'{"custom_id":"a","result":{', None),
            (b'{"custom_id":"a"} {}', None),
            (b"[]", None),
            (b"<html>", None),
            (b'{"custom_id":"a","x":' + b"[" * 100_000, None),
        ],
    )
    def test_a_custom_id_is_read_from_whole_objects_only(self, data: bytes, found: str | None) -> None:
        assert custom_id_of(data) == found


class TestTally:
    def test_rows_tokens_and_tiers_add_up(self) -> None:
        data = labelled("a") + succeeded("b", "x") + errored("c", "not_found_error") + expired("d") + canceled("e")
        expected = Tally(
            rows={RowClass.ANSWERED: 1, RowClass.INVALID: 1, RowClass.ERRORED: 1, RowClass.CANCELED: 1},
            usage={
                "input_tokens": 32,
                "cache_creation_input_tokens": 14,
                "cache_read_input_tokens": 6,
                "ephemeral_5m_input_tokens": 4,
                "ephemeral_1h_input_tokens": 10,
                "output_tokens": 10,
            },
            service_tiers={"batch": 2},
            paid={  # picodollars per token of claude-haiku-5-5 in a batch
                "input": 32 * 50_000,
                "output": 10 * 250_000,
                "cache_write_5m": 4 * 62_500,
                "cache_write_1h": 10 * 100_000,
                "cache_read": 6 * 5_000,
            },
            synchronous=2 * (32 * 50_000 + 10 * 250_000 + 4 * 62_500 + 10 * 100_000 + 6 * 5_000),
            uncached=(32 + 4 + 10 + 6) * 50_000 + 10 * 250_000,
            reasons={"not_json": 1, "not_found_error: Overloaded": 1, "canceled": 1},
            retryable=1,
        )
        assert counted(outcomes(data, answer_reader(LABELS, {})), last=False) == expected

    @pytest.mark.parametrize(
        "usage", [{"input_tokens": 10**40}, {"input_tokens": -1}, {"": 1}, {"a": {"": 1, "b": 10**13}}, {"a": True}]
    )
    def test_what_is_no_count_of_tokens_is_not_counted(self, usage: dict[str, Any]) -> None:
        found = succeeded("a", "x", usage=usage | {"output_tokens": 5, "service_tier": {"no": "tier"}})
        total = counted(outcomes(found, answer_reader(LABELS, {})), last=True)
        assert (total.usage, total.service_tiers) == ({"output_tokens": 5}, {"none": 1})

    def test_a_billed_row_that_names_no_service_tier_counts_as_one_without(self) -> None:
        data = succeeded("a", "x", usage={"output_tokens": 5}) + labelled("b") + expired("c")
        assert counted(outcomes(data, answer_reader(LABELS, {})), last=True).service_tiers == {"none": 1, "batch": 1}

    def test_labels_are_counted_and_the_rarest_of_very_many_are_one(self) -> None:
        many = tuple(f"label-{number:03}" for number in range(120))
        data = b"".join(labelled(f"{number}-{label}", label) for number, label in enumerate((*many, *many[50:])))
        found = list(outcomes(data + succeeded("x", "no"), answer_reader(Output(labels=many), {})))
        frequent = dict.fromkeys(many[50:], 2)
        kept = dict.fromkeys(many[:29], 1) | {"other labels": 21}
        assert tally(found, costs_of(found, None), last=True, labelled=True).labels == frequent | kept

    def test_answers_that_are_no_labels_are_not_counted(self) -> None:
        found = list(outcomes(succeeded("a", "a text of a person"), answer_reader(TEXT, {})))
        assert tally(found, costs_of(found, None), last=True).labels == {}

    def test_in_the_last_generation_retryable_rows_end_as_what_they_are(self) -> None:
        total = counted(outcomes(expired("a") + errored("b"), answer_reader(LABELS, {})), last=True)
        reasons = {"expired": 1, "overloaded_error: Overloaded": 1}
        assert total == Tally(rows={RowClass.EXPIRED: 1, RowClass.ERRORED: 1}, reasons=reasons)
