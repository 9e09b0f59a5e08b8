"""What all parts of the cloud share: the shape of JSON, the account, the error that ends a start."""

from typing import Any

type Json = dict[str, Any]
"""A JSON object, as AWS sends and takes them."""


class LocalError(Exception):
    """The cloud cannot start; the message is for the person who started it."""


ACCOUNT = "123456789012"
"""The account id that moto gives to every caller."""

REGION = "us-east-1"
"""The desk's only region: the one that moto's S3 assumes for unsigned requests."""
