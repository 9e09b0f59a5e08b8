"""Lambda's Invoke, for whoever calls it through AWS's API: the command line, `aws lambda invoke`, other functions."""

import base64
from collections.abc import Mapping, MutableMapping

from moto.awslambda.models import LambdaBackend
from moto.core.exceptions import JsonRESTError

from local import seams
from local.async_invoke import AsyncInvoker
from local.function_config import named
from local.lambda_plane import LambdaPlane, ThrottledError
from local.seams import Seam

SEAMS = (
    Seam(
        "moto.awslambda.models",
        "LambdaBackend.invoke",
        ("self", "function_name", "qualifier", "body", "headers", "response_headers"),
    ),
    Seam("moto.awslambda.models", "LambdaBackend.get_function", ("self", "function_name_or_arn", "qualifier")),
)

LOG_TAIL = 4096
"""Bytes of the log that a synchronous caller may ask for."""


class _TooManyRequests(JsonRESTError):
    """What Lambda answers to one invocation too many."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


def install(plane: LambdaPlane, invoker: AsyncInvoker) -> None:
    """Replace moto's invocation, which wants Docker."""

    def invoke(
        backend: LambdaBackend,
        function_name: str,
        qualifier: str | None,
        body: str | bytes,
        headers: Mapping[str, str],
        response_headers: MutableMapping[str, str],
    ) -> bytes:
        found = backend.get_function(function_name, qualifier)  # or moto's own error
        name = f"{found.function_name}:{qualifier or named(function_name)[1]}"
        payload = (body.encode() if isinstance(body, str) else body) or b"{}"
        match headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "Event":
                invoker.invoke(name, payload)
                return b""
            case "DryRun":
                return b""
            case _:
                return _wait_for(plane, name, payload, response_headers)

    seams.replace(LambdaBackend, "invoke", invoke)


def _wait_for(plane: LambdaPlane, name: str, payload: bytes, response_headers: MutableMapping[str, str]) -> bytes:
    try:
        outcome = plane.invoke(name, payload)
    except ThrottledError as error:
        raise _TooManyRequests from error
    response_headers["x-amz-executed-version"] = "$LATEST"
    response_headers["x-amz-log-result"] = base64.b64encode("\n".join(outcome.log).encode()[-LOG_TAIL:]).decode()
    if outcome.error:
        response_headers["x-amz-function-error"] = outcome.error
    return outcome.payload
