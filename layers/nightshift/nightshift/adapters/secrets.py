"""The API key, from Secrets Manager and from nowhere else."""

import json
import re

from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from nightshift.adapters.anthropic_api import KeySource
from nightshift.errors import NotSent, Unauthorized

MAX_AGE_SECONDS = 300
"""A rotated key is picked up after this long, or at once after a 401."""

HOPELESS = frozenset(
    {"ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure", "InvalidRequestException"}
)
"""Answers of Secrets Manager that only a person can mend; a secret without a value is ResourceNotFound."""
KEY = re.compile(r"[!-~]+")
"""What may stand in a header: printable, and without white space."""


def key_source(secret_arn: str) -> KeySource:
    """Return a function that gives the key: cached, or with `fresh` read again."""

    def key(*, fresh: bool) -> str:
        try:
            value = parameters.get_secret(secret_arn, max_age=MAX_AGE_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            code = getattr(error.__cause__ or error.__context__, "response", {}).get("Error", {}).get("Code", "")
            if code not in HOPELESS:
                raise NotSent(f"The secret {secret_arn} cannot be read just now ({code or 'no answer'}).") from None
            message = (
                f"The secret {secret_arn} cannot be read, or has no value yet. Put the key there: "
                'aws secretsmanager put-secret-value --secret-id … --secret-string \'{"api_key": "…"}\''
            )
            raise Unauthorized(message) from None
        return key_of(str(value), secret_arn)

    return key


def key_of(value: str, secret_arn: str) -> str:
    """Read `{"api_key": "…"}`, or the bare key."""
    try:
        key = str(json.loads(value)["api_key"]) if value.lstrip().startswith("{") else value.strip()
    except (ValueError, KeyError):
        message = f'The secret {secret_arn} is JSON, but not {{"api_key": "…"}}.'
        raise Unauthorized(message) from None
    if not KEY.fullmatch(key):
        message = f"The secret {secret_arn} holds no key: it is empty, or has white space or odd characters in it."
        raise Unauthorized(message)
    return key
