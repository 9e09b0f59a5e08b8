"""One request of a client, and what several endpoints make of it."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp

from .desk import Caller
from .errors import ApiError, invalid_request
from .faults import Fault
from .store import LONGEST_PAGE
from .wire import Dropped, Silence, refuse, too_large

DEFAULT_PAGE = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a client."""

    request: Request
    caller: Caller
    headers: dict[str, str]
    """What every answer carries."""
    now: float
    fault: Fault | None = None

    @property
    def batch_id(self) -> str:
        """The batch it is about."""
        return str(self.request.path_params["batch_id"])


def misbehave(fault: Fault, headers: dict[str, str]) -> ASGIApp:
    """Return what is answered instead."""
    if fault.kind == "html-413":
        return too_large(headers, html=True)
    if fault.status is None:
        return Silence(fault.seconds) if fault.kind.endswith("hang") else Dropped()
    extra = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    if fault.x_should_retry is not None:
        extra["x-should-retry"] = str(fault.x_should_retry).lower()
    message = fault.message or f"Fault on request: {fault.status}"
    error = ApiError(fault.status, message, kind=fault.error_type, error_code=fault.error_code, headers=extra)
    return refuse(error, headers)


def limit_of(value: str | None) -> int:
    """Return the page size; the messages are assumed, in pydantic's words."""
    if value is None:
        return DEFAULT_PAGE
    if not value.isdecimal():
        raise invalid_request("limit: Input should be a valid integer, unable to parse string as an integer")
    if int(value) < 1:
        raise invalid_request("limit: Input should be greater than or equal to 1")
    if int(value) > LONGEST_PAGE:
        raise invalid_request(f"limit: Input should be less than or equal to {LONGEST_PAGE}")
    return int(value)


def page_of(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page as lists answer it; its cursors are null where it is empty."""
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": has_more, "first_id": ends[0], "last_id": ends[1]}
