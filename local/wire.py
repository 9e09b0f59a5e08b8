"""The shape of what travels between the cloud's parts."""

from typing import Any

type Json = dict[str, Any]
"""A JSON object, as AWS sends and takes them."""

ACCOUNT = "123456789012"
"""The account id that moto gives to every caller."""

REGION = "us-east-1"
"""The desk's only region: the one that moto's S3 assumes for unsigned requests."""
