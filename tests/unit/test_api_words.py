"""What is repeated of the API's words, and what is not."""

import pytest

from nightshift.api_words import repeatable, word
from nightshift.model import Outcome, RowClass
from nightshift.outcomes import counted_reason


@pytest.mark.parametrize(
    "said",
    [
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        "requests.0.custom_id: String should have at most 64 characters",
        "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
        "requests: List should have at least 1 item after validation, not 0",
        "requests.12.params.metadata: Extra inputs are not permitted",
        "messages: Field required",
        "model: claude-does-not-exist-9",
        "max_tokens: must be greater than or equal to 1",
        "max_tokens: 9999999 > 64000, which is the maximum allowed number of output tokens for claude-haiku-5-5",
        '"stream=True" is not supported in the Message Batches API',
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
    ],
)
def test_what_the_api_was_seen_to_say_is_repeated(said: str) -> None:
    assert repeatable(said) == said


@pytest.mark.parametrize(
    "said",
    [
        "messages.0.content: Input should be a valid string, not 'my card is 4111'",
        "my card is 4111: Field required",
        "messages: Field required\nmy card is 4111",
        "model: my card is 4111",
        "The request body is not valid JSON: my card is 4111",
    ],
)
def test_what_may_quote_a_ticket_is_not(said: str) -> None:
    assert repeatable(said) == ""


def test_a_kind_of_error_is_a_word() -> None:
    assert [word(kind) for kind in ("rate_limit_error", "my card", "a" * 61, "", None)] == [
        "rate_limit_error",
        "",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("row_class", "reason", "counted"),
    [
        (RowClass.ERRORED, "api_error: Internal server error", "api_error: Internal server error"),
        (RowClass.ERRORED, "api_error: my card is 4111", "api_error"),
        (RowClass.ERRORED, "my card: is 4111", "errored"),
        (RowClass.REFUSED, "cyber", "cyber"),
        (RowClass.REFUSED, "my card", "refused"),
        (RowClass.INVALID, "not_the_schema: $.a is not a string", "not_the_schema: $.a is not a string"),
    ],
)
def test_a_row_is_counted_under_a_reason_that_quotes_nothing(row_class: RowClass, reason: str, counted: str) -> None:
    assert counted_reason(Outcome("a", row_class, reason=reason)) == counted
