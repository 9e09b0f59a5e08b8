"""The error envelope, and the errors the service is known to answer with.

{"type": "error", "error": {"type": …, "message": … [, "details": {"error_code": …}]}, "request_id": "req_…"}
"""

from typing import Any

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Status → `error.type`. The sheet names no type for 408, 422 and 503; they get the one of their hundred."""

STATUSES = {kind: status for status, kind in KINDS.items()}
"""`error.type` → status, for a row's error that the synchronous endpoint answers with."""


class ApiError(Exception):
    """An answer that is not 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        error_code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Name the answer; `kind` is `error.type` where the status does not say it."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or KINDS.get(status) or KINDS[500 if status >= 500 else 400]  # noqa: PLR2004 - HTTP's own
        self.error_code = error_code
        self.headers = headers or {}

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the body."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid_request(message: str) -> ApiError:
    """Return a 400."""
    return ApiError(400, message)


def batch_not_found(batch_id: str) -> ApiError:
    """Return the 404 for a batch that is not there, or not in this workspace."""
    return ApiError(404, f"Message Batch {batch_id} not found.")


def no_results(batch_id: str) -> ApiError:
    """Return the 404 for results that are not there yet, or no longer."""
    headers = {"x-should-retry": "false"}
    return ApiError(404, f"Message Batch {batch_id} has no available results.", headers=headers)
