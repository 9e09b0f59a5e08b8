"""Misbehaviour on request: `POST`, `GET` and `DELETE /_local/faults`.

A fault names an endpoint and a kind. It fires on each matching call, `times` times (for ever without it), after letting
`after` matching calls pass. On any endpoint:

    status:<code>   an error, with `retry_after`, `error_code`, `error_type`, `message`, `x_should_retry` as given;
                    on create with `accepted: true`, after the batch was made
    close           the connection is dropped, nothing was done
    hang            nothing is done or said until the client leaves, or for `seconds` (real)

On `create`: `accept-then-close`, `accept-then-hang` (the batch exists, its answer never comes), `accept-late` (the
connection is dropped, the batch exists only `seconds` (virtual) later), `html-413`, `all-expired` (the batch never
gets to its requests), `canceled` (somebody cancels it after `seconds`, virtual). On `retrieve` and `results`:
`not-found` for `seconds` (virtual) after create. On `retrieve` and `list`: `foreign-results-url` (`url`).

On `results`, after the first `lines` lines, or a `share` of all: `cut-line` (the stream ends cleanly), `cut-mid-line`,
`clean-early-close` (a body that ends with the connection, cut at a line), `drop` (connection lost in the middle of a
chunk), `blank-line`, `duplicate-line`, `unknown-id`, `missing-row`, `idless-error-line`; and on the whole stream `crlf`
and `slow` (`seconds`, real, before each further line).

On `rows`, fixed when a batch is created: `refusal`, `max_tokens`, `overloaded`, `api_error`, `expired`, `canceled`,
`errored` (`error_type`, `message`), `enum-case`, `invalid-json`; for the rows whose custom_id ends with
`custom_id_suffix`, whose user text contains `text`, and of those a share `rate` (the same rows each time); with
`first_times`, only in the first so many batches that contain the row, so that a retry succeeds. Here `times` and
`after` count batches.
"""

from typing import Literal

import msgspec

type Endpoint = Literal[
    "create",
    "retrieve",
    "list",
    "cancel",
    "delete",
    "results",
    "models",
    "messages",
    "count_tokens",
    "rows",
    "usage_report",
    "cost_report",
]

ANYWHERE = frozenset({"close", "hang"})
DAMAGES = (
    "cut-line",
    "cut-mid-line",
    "clean-early-close",
    "drop",
    "blank-line",
    "duplicate-line",
    "unknown-id",
    "missing-row",
    "idless-error-line",
)
UNHAPPY = ("refusal", "max_tokens", "overloaded", "api_error", "invalid-json")
KINDS: dict[str, frozenset[str]] = {
    "create": frozenset(
        {"accept-then-close", "accept-then-hang", "accept-late", "html-413", "all-expired", "canceled"}
    ),
    "retrieve": frozenset({"not-found", "foreign-results-url"}),
    "list": frozenset({"foreign-results-url"}),
    "results": frozenset({"not-found", "crlf", "slow", *DAMAGES}),
    "rows": frozenset({"expired", "canceled", "errored", "enum-case", *UNHAPPY}),
}
STATUS = "status:"


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One misbehaviour, and when it fires."""

    endpoint: Endpoint
    kind: str
    times: int | None = None
    after: int = 0
    batch_index: int | None = None
    """Only for the batch created as the nth of this server, from 0."""
    batch_id: str | None = None
    seconds: float | None = None
    lines: int = 1
    share: float | None = None
    """Of the batch's lines, instead of `lines`."""
    url: str = "https://elsewhere.invalid/results"
    accepted: bool = False
    retry_after: float | None = None
    error_code: str | None = None
    error_type: str | None = None
    message: str | None = None
    x_should_retry: bool | None = None
    custom_id_suffix: str = ""
    text: str = ""
    rate: float = 1.0
    first_times: int | None = None
    fired: int = 0
    """How often it has; only the server writes this."""

    def __post_init__(self) -> None:
        """Refuse a kind that the endpoint does not have."""
        if self.endpoint != "rows" and (self.kind in ANYWHERE or self.status is not None):
            return
        if self.kind not in KINDS.get(self.endpoint, frozenset()):
            message = f"{self.endpoint} has no fault {self.kind!r}"
            raise ValueError(message)

    @property
    def status(self) -> int | None:
        """The HTTP status of `status:<code>`."""
        code = self.kind.removeprefix(STATUS)
        return int(code) if self.kind.startswith(STATUS) and code.isdecimal() else None

    @property
    def before_work(self) -> bool:
        """Whether it fires instead of the work."""
        return self.kind in ANYWHERE or self.kind == "html-413" or (self.status is not None and not self.accepted)


class FaultBoard:
    """The faults that are switched on."""

    def __init__(self) -> None:
        """Start well-behaved."""
        self.faults: list[Fault] = []

    def take(
        self, endpoint: Endpoint, *, index: int | None, batch_id: str | None = None, age: float = 0.0
    ) -> Fault | None:
        """Return the fault that fires on this call, and count it.

        Args:
            endpoint: what is called.
            index: which batch it is about, or would become; None where it is about none.
            batch_id: that batch's id.
            age: virtual seconds since it was created.
        """
        for fault in self.faults:
            if fault.endpoint != endpoint or not _matches(fault, index, batch_id, age):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif fault.times is None or fault.fired < fault.times:
                fault.fired += 1
                return fault
        return None

    def for_rows(self, index: int) -> list[Fault]:
        """Return the row faults of a batch that is being created, each counted once."""
        chosen = []
        for fault in self.faults:
            if fault.endpoint == "rows" and fault.batch_index in {None, index}:
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times is None or fault.fired < fault.times:
                    fault.fired += 1
                    chosen.append(fault)
        return chosen


def _matches(fault: Fault, index: int | None, batch_id: str | None, age: float) -> bool:
    if fault.batch_index is not None and fault.batch_index != index:
        return False
    if fault.batch_id is not None and fault.batch_id != batch_id:
        return False
    return fault.kind != "not-found" or age < (fault.seconds or 1.0)
