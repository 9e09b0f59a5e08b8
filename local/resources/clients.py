"""What the makers of resources share: clients of the local AWS, and what plain HTTP asks for."""

import json
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config

from local.wire import REGION, Json

type Client = Any
"""A boto3 client; the desk has no stubs for them."""


class Clients:
    """boto3 clients of the cloud itself, made once."""

    def __init__(self, endpoint: str) -> None:
        """Talk to `endpoint` and nowhere else: no profile, no proxy, no metadata service is asked."""
        self._endpoint = endpoint
        self._session = boto3.Session(aws_access_key_id="desk", aws_secret_access_key="desk", region_name=REGION)
        self._made: dict[str, Client] = {}

    def __call__(self, service: str) -> Client:
        """Return the client of a service."""
        if service not in self._made:
            config = Config(retries={"total_max_attempts": 1}, proxies={})
            self._made[service] = self._session.client(service, endpoint_url=self._endpoint, config=config)
        return self._made[service]


def without_tls_only(statements: Sequence[Json]) -> list[Json]:
    """Drop the statements that forbid plain HTTP and old TLS: the desk has only HTTP, and moto ignores conditions."""
    conditions = ((statement, json.dumps(statement.get("Condition", {}))) for statement in statements)
    return [each for each, said in conditions if "aws:SecureTransport" not in said and "s3:TlsVersion" not in said]
