"""Answers as DynamoDB attribute values: whatever JSON a model can write has a place there."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

DIGITS = 38
"""Significant digits of a DynamoDB number."""

LEAST, MOST = -130, 125
"""Powers of ten that a DynamoDB number reaches."""


def to_attribute(value: Any) -> UniversalAttributeValueTypeDef:
    """Return a JSON value as an attribute value. Numbers that DynamoDB cannot hold become strings, digit for digit."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float() | Decimal():
            return _number(value)
        case list() | tuple():
            return {"L": [to_attribute(item) for item in value]}
        case dict():
            return {"M": {str(name): to_attribute(item) for name, item in value.items()}}
        case _:
            message = f"a {type(value).__name__} is no JSON value"
            raise TypeError(message)


def _number(value: float | Decimal) -> UniversalAttributeValueTypeDef:
    text = str(value)  # a float's shortest text: 0.1 stays 0.1
    number = Decimal(text)
    if not number.is_finite():
        return {"S": text}
    significant = "".join(map(str, number.as_tuple().digits)).strip("0")
    fits = len(significant) <= DIGITS and (not number or LEAST <= number.adjusted() <= MOST)
    return {"N": text} if fits else {"S": text}
