"""The API as a person's commands ask it: with the keys of the stack's secrets, read with the person's credentials.

Imported by the commands that ask it, when they do: the SDK alone takes a second.
"""

import os
from collections.abc import Mapping
from typing import Any

import anthropic
import boto3
import httpx2
from botocore.exceptions import ClientError

from nightshift.adapters.anthropic_api import (
    CONNECT_SECONDS,
    READ_SECONDS,
    AnthropicBatches,
    KeySource,
    direct,
    translate,
    variables_of_the_sdk,
)
from nightshift.adapters.secrets import key_of
from nightshift.adapters.signing import AwsWorkspace
from nightshift.errors import Unauthorized
from nightshift_cli.stack import Stack, local_session

NO_WORKSPACE = "none"
"""What the output says where there is a key; stacks before 2026-11-26 have no such output, and a key."""
EMPTY, FORBIDDEN_TO_YOU = "ResourceNotFoundException", "AccessDeniedException"
"""Secrets Manager's words for a secret without a value (or none at all), and for one that the person may not read."""


def batches(stack: Stack) -> AnthropicBatches:
    """Return the Message Batches API as the stack's functions have it."""
    _forget_the_shell()
    return AnthropicBatches(stack.outputs["AnthropicBaseUrl"], _identity(stack))


class Organization:
    """The Admin API. Its key goes to the API's host alone: no redirect is followed, and no proxy asked."""

    def __init__(self, stack: Stack) -> None:
        """Ask with the stack's Admin key.

        Raises:
            Unauthorized: there is none, or the person may not read it.
        """
        _forget_the_shell()
        if stack.outputs.get("ApiWorkspaceId", NO_WORKSPACE) != NO_WORKSPACE:
            raise Unauthorized("Claude Platform on AWS has no such reports: AWS's own bills have what it costs.")
        key = _read(stack, "AdminKeySecretArn", "PutAdminKeyCommand")
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        url = stack.outputs["AnthropicBaseUrl"].rstrip("/")
        self._put_key = stack.outputs["PutAdminKeyCommand"]
        # By the reference of the Admin API; the SDK itself would send the key as a bearer's.
        headers: Any = {"X-Api-Key": key, "Authorization": anthropic.Omit()}
        self._client = anthropic.Anthropic(
            api_key=key, base_url=url, timeout=timeout, http_client=direct(timeout), default_headers=headers
        )

    def get(self, path: str, query: Mapping[str, Any]) -> bytes:
        """Return what the API answers to a GET; the SDK tries again what may pass."""
        options: Any = {"params": query}
        try:
            return self._client.get(path, cast_to=httpx2.Response, options=options).content
        except Exception as error:  # noqa: BLE001 - classed by `translate`, as everywhere
            refused = translate(error)
        if isinstance(refused, Unauthorized):
            raise Unauthorized(f"{refused} It wants an Admin key, sk-ant-admin…; to put one: {self._put_key}")
        raise refused

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class Wire:
    """The API with nothing in between: each answer as it comes, a refusal too, and nothing is asked twice."""

    def __init__(self, stack: Stack) -> None:
        """Ask with the stack's key.

        Raises:
            Unauthorized: there is none, or the person may not read it.
        """
        _forget_the_shell()
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        options: Any = {
            "base_url": stack.outputs["AnthropicBaseUrl"].rstrip("/"),
            "timeout": timeout,
            "http_client": direct(timeout),
            "max_retries": 0,
        }
        identity = _identity(stack)
        self._client = (
            identity.client(**options)
            if isinstance(identity, AwsWorkspace)
            else anthropic.Anthropic(api_key=identity(fresh=True), **options)
        )

    def ask(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Return the answer, whatever its status.

        Raises:
            ApiError: there is none.
        """
        options: Any = {"headers": dict(headers or {})}
        try:
            match method:
                case "GET":
                    return self._client.get(path, cast_to=httpx2.Response, options=options)
                case "DELETE":
                    return self._client.delete(path, cast_to=httpx2.Response, options=options)
                case _:
                    return self._client.post(path, cast_to=httpx2.Response, content=content, options=options)
        except anthropic.APIStatusError as error:
            return error.response
        except Exception as error:  # noqa: BLE001 - classed by `translate`, as everywhere
            raise translate(error) from None

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


def _identity(stack: Stack) -> KeySource | AwsWorkspace:
    """Return the stack's key, or on AWS the person's own credentials."""
    workspace = stack.outputs.get("ApiWorkspaceId", NO_WORKSPACE)
    if workspace == NO_WORKSPACE:
        return _key_source(stack)
    region = stack.clients("sts").meta.region_name
    return AwsWorkspace(workspace, local_session(region) if stack.local else boto3.Session(region_name=region))


def _key_source(stack: Stack) -> KeySource:
    kept: list[str] = []

    def key(*, fresh: bool) -> str:
        if fresh or not kept:
            kept[:] = [_read(stack, "ApiKeySecretArn", "PutKeyCommand")]
        return kept[0]

    return key


def _read(stack: Stack, secret: str, command: str) -> str:
    """Return the key that a secret holds; `secret` and `command` name outputs of the stack."""
    arn = stack.outputs[secret]
    try:
        value = stack.clients("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    except ClientError as error:
        match error.response["Error"]["Code"]:
            case code if code == EMPTY:
                raise Unauthorized(f"{arn} holds no key yet. Put one there: {stack.outputs[command]}") from None
            case code if code == FORBIDDEN_TO_YOU:
                raise Unauthorized(f"Your AWS credentials may not read {arn}.") from None
            case _:
                raise
    return key_of(value, arn)


def _forget_the_shell() -> None:
    """Drop variables of this process by which the SDK would ask another address, or be somebody else."""
    for name in variables_of_the_sdk():
        del os.environ[name]
