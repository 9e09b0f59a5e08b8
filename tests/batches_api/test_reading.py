"""What the stand-in for a model reads out of a text, so that answers of the sample jobs fit their questions."""

from typing import Any

import pytest

from local.batches_api.catalog import MODELS
from local.batches_api.model import answer
from local.batches_api.reading import number
from local.batches_api.schema import Filler

MAIL = "Please send it soon.\nOrder: PO-7\nDelivery: on 2026-12-01\nTotal: 1.234,50 EUR\n"


def filled(schema: dict[str, Any], text: str = MAIL) -> Any:
    return Filler(schema, text).value(schema)


def test_a_value_is_taken_from_the_line_with_a_label_like_its_name() -> None:
    nullable = {"type": ["string", "null"]}
    names: dict[str, Any] = {
        "order_number": nullable,
        "deliver_on": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "total": {"type": "number"},
        "currency": {"anyOf": [{"enum": ["USD", "EUR"]}, {"type": "null"}]},
        "customer": nullable,
        "is_order": {"type": "boolean"},
    }

    assert filled({"type": "object", "properties": names}) == {
        "order_number": "PO-7",
        "deliver_on": "2026-12-01",
        "total": 1234.5,
        "currency": "EUR",
        "customer": None,
        "is_order": True,
    }


@pytest.mark.parametrize(
    ("said", "value"),
    [("12", 12.0), ("€ 3.40", 3.4), ("1,234.50 USD", 1234.5), ("3 480 SEK", 3480.0), ("9,999", 9999.0), ("none", None)],
)
def test_a_number_is_read_as_people_write_it(said: str, value: float | None) -> None:
    assert number(said) == value


def test_scores_are_spread_whatever_digits_the_text_has() -> None:
    scores = {filled({"enum": [1, 2, 3, 4, 5]}, f"row {n}: grade 3 of 5") for n in range(40)}

    assert scores == {1, 2, 3, 4, 5}


def test_a_sheet_of_data_gets_sentences_that_have_its_facts(model: Any) -> None:
    sheet = "Article: Mug\nMaterial: stoneware\nSize: 9 cm\nColour: white"

    text = answer({"max_tokens": 99, "messages": [{"role": "user", "content": sheet}]}, model).content[0]["text"]

    assert text.startswith("Stand-in text ")
    assert "This is about Mug. Its " in text
    assert text.count("Its ") >= 2


@pytest.fixture
def model() -> Any:

    return next(each for each in MODELS if each.id == "claude-opus-4-6")
