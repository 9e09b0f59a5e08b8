"""What happens to one row: the error it may end with, and its line in the results."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row ends as `errored`."""

    kind: str
    """The inner `error.type`."""
    message: str
    by_worker: bool = False
    """Whether a worker met it, whose id then stands in `request_id`; validation leaves that null."""

    def result(self, worker_id: str) -> dict[str, Any]:
        """Return the row's `result`."""
        error = {"details": {"error_visibility": "user_facing"}, "type": self.kind, "message": self.message}
        request_id = worker_id if self.by_worker else None
        return {"type": "errored", "error": {"type": "error", "error": error, "request_id": request_id}}


def invalid(message: str) -> RowError:
    """Return an error in the request itself."""
    return RowError("invalid_request_error", message)


def required(path: str) -> RowError:
    """Return the error for a field that is not there."""
    return invalid(f"{path}: Field required")


def extra(path: str) -> RowError:
    """Return the error for a field that should not be there."""
    return invalid(f"{path}: Extra inputs are not permitted")
