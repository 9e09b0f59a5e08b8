"""The API key, from Secrets Manager and from nowhere else."""

import json

from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from nightshift.adapters.anthropic_api import KeySource
from nightshift.errors import Unauthorized

MAX_AGE_SECONDS = 300
"""A rotated key is picked up after this long, or at once after a 401."""


def key_source(secret_arn: str) -> KeySource:
    """Return a function that gives the key: cached, or with `fresh` read again."""

    def key(*, fresh: bool) -> str:
        try:
            value = parameters.get_secret(secret_arn, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
        except GetParameterError:
            message = (
                f"The secret {secret_arn} cannot be read, or has no value yet. Put the key there: "
                'aws secretsmanager put-secret-value --secret-id … --secret-string \'{"api_key": "…"}\''
            )
            raise Unauthorized(message) from None
        return _key_of(str(value), secret_arn)

    return key


def _key_of(value: str, secret_arn: str) -> str:
    """Read `{"api_key": "…"}`, or the bare key."""
    if not value.lstrip().startswith("{"):
        return value.strip()
    try:
        return str(json.loads(value)["api_key"])
    except (ValueError, KeyError):
        message = f'The secret {secret_arn} is JSON, but not {{"api_key": "…"}}.'
        raise Unauthorized(message) from None
