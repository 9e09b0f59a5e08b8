"""Every error nightshift raises. The leaf names are a contract: the state machine's Retry and Catch match on them.

NightshiftError
├── BadTrigger          an event that can start nothing
├── BadJob              a job file that cannot be used; the message names file, line and reason
├── NoPrice             a model whose batch price is not known
├── BadInput            an input file that is refused whole; carries a code of input_codes.py
├── RunNotFound         no such run in the ledger
├── Conflict            a conditional write lost: somebody else moved the item first
├── MisconfiguredError  the function's environment is not usable (missing or forbidden variables)
├── ResultsIncomplete   a results stream that did not hold every planned custom_id once, and nothing else
├── ForeignBatch        a claimed batch whose results are not this chunk's
├── TicketsRefused      the ticket table takes none of a block's answers
├── TicketsBusy         the ticket table has no room now
├── EventsNotTaken      the event bus did not take all events
└── ApiError            the Message Batches API did not do what was asked
    ├── NotSent         nothing left this machine: safe to send again
    ├── NotAccepted     429: not now; carries `retry_after`
    ├── Rejected        400, 404, 413, 422: never with this body
    ├── Unauthorized    401, 403: the key
    ├── NoMoney         402 and the spend limits: only a person helps
    ├── Redirected      3xx: the base URL is not the API
    └── Ambiguous       anything else: the API may or may not have done it
"""


class NightshiftError(Exception):
    """The root: catch this to catch everything nightshift raises on purpose."""


class BadTrigger(NightshiftError):
    """An event that can start nothing; the message says which part of it is wrong."""


class BadJob(NightshiftError):
    """A job file that cannot be used; the message names file, line and reason, and what to do."""


class NoPrice(NightshiftError):
    """A model whose batch price is not known: what it costs can neither be estimated nor capped."""


class BadInput(NightshiftError):
    """An input file that is refused whole, before any of its rows counts."""

    def __init__(self, code: str, detail: str, *, line: int | None = None) -> None:
        """Refuse a file: `code` as in input_codes.py, `detail` for a person, `line` physical, from 1."""
        super().__init__(f"{code}: {detail}" if line is None else f"{code}: line {line}: {detail}")
        self.code = code
        self.detail = detail
        self.line = line


class RunNotFound(NightshiftError):
    """No such run in the ledger."""


class Conflict(NightshiftError):
    """A conditional write lost: somebody else moved the item first. Look again before doing anything."""


class MisconfiguredError(NightshiftError):
    """The function's environment is not usable: variables are missing, or forbidden ones are set."""


class ResultsIncomplete(NightshiftError):
    """A results stream without every planned custom_id, or with other lines. It can be read again for 29 days."""

    def __init__(self, message: str, *, reading: int = 0) -> None:
        """Describe what is wrong; `reading` counts the readings in a row that found the very same."""
        super().__init__(message)
        self.reading = reading


class ForeignBatch(NightshiftError):
    """A claimed batch whose results carry another run's token or another chunk: it was never ours."""


class TicketsRefused(NightshiftError):
    """The ticket table takes none of a block's answers: that is about the table or the job, not about a row."""


class TicketsBusy(NightshiftError):
    """The ticket table throttles, or its items are in other transactions: later, or with a table that takes more."""


class EventsNotTaken(NightshiftError):
    """The event bus did not take all events; those that it took may come again."""


class ApiError(NightshiftError):
    """The Message Batches API did not do what was asked. The message never holds a request body."""

    def __init__(self, message: str, *, status: int | None = None, request_id: str | None = None) -> None:
        """Describe a refusal: `status` is the HTTP status, `request_id` the API's own, for its support."""
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class NotSent(ApiError):
    """Nothing left this machine: safe to send again."""


class NotAccepted(ApiError):
    """429 that says wait: the batch was not created."""

    def __init__(
        self, message: str, *, retry_after: float, status: int | None = None, request_id: str | None = None
    ) -> None:
        """Say how long to wait: `retry_after` in seconds."""
        super().__init__(message, status=status, request_id=request_id)
        self.retry_after = retry_after


class Rejected(ApiError):
    """400, 404, 413 or 422: never with this body."""


class Unauthorized(ApiError):
    """401 or 403: the key is wrong, rotated, or not allowed."""


class NoMoney(ApiError):
    """402, or a spend limit: only a person helps. Never retried."""


class Redirected(ApiError):
    """3xx: the base URL is not the API. Not followed: ticket texts would go with it."""


class Ambiguous(ApiError):
    """Timeout, lost connection, 408, 409, 5xx: the API may or may not have done it. Only reconciliation decides."""

    def __init__(
        self, message: str, *, answered: bool = False, status: int | None = None, request_id: str | None = None
    ) -> None:
        """Say who spoke: `answered` only where it was the API, whose work on the request is over, and not a gateway."""
        super().__init__(message, status=status, request_id=request_id)
        self.answered = answered
