"""The failures of the drill."""

from datetime import timedelta

from tests.drill.drill import ROWS, Drill, Failure, settings, stored

TICKETS = "ResultsFunctionRole"


def start(drill: Drill, more: str = "schedule: upload") -> None:
    """Put the job, and upload its rows."""
    drill.job(more)
    drill.upload(drill.rows(ROWS))


# ---------------------------------------------------------------- the key


def key_revoked(drill: Drill) -> None:
    """Let the stack's key be one that works no longer."""
    settings(drill, keys=["sk-ant-the-new-key"])
    start(drill)
    drill.until(drill.held)


def new_key(drill: Drill) -> None:
    """Have the new key in a file."""
    (drill.person.folder / "api-key.txt").write_text("sk-ant-the-new-key\n")
    assert stored(drill, drill.cloud.outputs["ApiKeySecretArn"]) != "sk-ant-the-new-key"


# ---------------------------------------------------------------- the queue is full


def queue_full(drill: Drill) -> None:
    """Let the API have no room for hours: no batch is taken, and each time it says to come again in half an hour."""
    drill.fault("create", "status:429", error_type="rate_limit_error", message="queue full", retry_after=1800)
    start(drill)
    drill.watch_until(lambda: "UnsentTooLong" in drill.rang())


# ---------------------------------------------------------------- the table


def table_throttled(drill: Drill) -> None:
    """Let the table of tickets take nothing."""
    tickets = f"*/{drill.cloud.outputs['TicketTableName']}"
    drill.cloud.misbehave("ResultsFunctionRole", "dynamodb:UpdateItem", resource=tickets, kind="throttle")
    start(drill)
    drill.watch_until(lambda: "TableThrottled" in drill.rang(), every=timedelta(minutes=5))


FAILURES = (
    Failure(
        "the API key is revoked",
        frozenset({"RunHeld"}),
        key_revoked,
        ("RunHeld", "API_KEY"),
        doctor=r"does not take the stack's key",
        show=r"API_KEY",
        outside=new_key,
    ),
    Failure(
        "the API's queue is full for hours",
        frozenset({"UnsentTooLong"}),
        queue_full,
        ("UnsentTooLong",),
        doctor=r"UnsentTooLong.* rings",
        show=r"queue full",
    ),
    Failure(
        "the table of tickets is throttled",
        frozenset({"TableThrottled"}),
        table_throttled,
        ("TableThrottled",),
        doctor=r"TableThrottled.* rings",
        show=r"TicketsBusy|no room in 8 tries",
        outside=lambda drill: drill.cloud.behave(),
        before_looking=timedelta(minutes=2),  # each try takes its time, and that is real
    ),
)
