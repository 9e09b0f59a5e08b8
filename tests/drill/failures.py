"""The failures of the drill."""

from datetime import timedelta

from tests.drill.drill import QUARTER, ROWS, Drill, Failure, settings, stored
from tests.integration.conftest import JOB


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


# ---------------------------------------------------------------- a function, and a bucket


def status_fails(drill: Drill) -> None:
    """Take a right from the function that looks at runs: the loop dies, and dies again each time it is started."""
    drill.cloud.misbehave("StatusFunctionRole", "dynamodb:Query")
    start(drill)
    drill.watch_until(drill.held, every=QUARTER)


def bucket_denied(drill: Drill) -> None:
    """Take the right to write answers: ten tries over four hours, then the run is held."""
    bucket = f"arn:aws:s3:::{drill.cloud.outputs['OutputBucketName']}/*"
    drill.cloud.misbehave("ResultsFunctionRole", "s3:PutObject", resource=bucket)
    start(drill)
    drill.watch_until(drill.held)


# ---------------------------------------------------------------- the cliff


def nobody_came(drill: Drill) -> None:
    """Let the API have no results to give, the run be held for that, and nobody see it for 22 days."""
    drill.fault("results", "status:500")
    start(drill)
    drill.watch_until(drill.held)
    for days in (8, 14):
        drill.watch(timedelta(days=days))


# ---------------------------------------------------------------- money


def budget_gone(drill: Drill) -> None:
    """Let other runs of the month have spent what the cap allows."""
    spend(drill, 500 * 10**12)
    start(drill)
    drill.until(drill.held)


def spend(drill: Drill, amount: int) -> None:
    """Add picodollars to what is spent of this month."""
    names = {"committed": {"N": str(amount)}, "spent": {"N": str(amount)}}
    drill.cloud.client("dynamodb").update_item(
        TableName=drill.cloud.outputs["RunsTableName"],
        Key={"pk": {"S": f"BUDGET#{drill.now():%Y-%m}"}, "sk": {"S": "MONTH"}},
        UpdateExpression="ADD committed :committed, spent :spent",
        ExpressionAttributeValues={f":{name}": value for name, value in names.items()},
    )


# ---------------------------------------------------------------- the API


def api_away(drill: Drill) -> None:
    """Let the API answer nothing but 529 until the audit has seen that for an hour; each of the SDK's tries is real."""
    for endpoint in ("create", "list", "retrieve", "results", "models", "count_tokens"):
        drill.fault(endpoint, "status:529", error_type="overloaded_error", message="Overloaded")
    start(drill)
    drill.watch_until(lambda: "ChecksFail" in drill.rang(), every=QUARTER)


def create_unresolved(drill: Drill) -> None:
    """Kill submit in the middle of a POST of which a batch came, and let nobody list batches for an hour."""
    drill.fault("create", "accept-then-hang", times=1)
    start(drill)
    drill.until(lambda: any(fault["fired"] for fault in drill.cloud.api("faults")))
    drill.until(lambda: drill.cloud.api("batches")[-1]["rows"] == ROWS)
    drill.fault("list", "status:500", error_type="api_error", message="Internal server error")
    drill.kill("SubmitFunction")
    drill.watch_until(lambda: "IntentStands" in drill.rang(), every=QUARTER)


# ---------------------------------------------------------------- the loop, the night, the job


def execution_aborted(drill: Drill) -> None:
    """Let somebody stop the execution in the console, and the event that would tell the audit be lost."""
    settings(drill, duration_seconds=80_000, jitter=0)
    drill.cloud.client("events").disable_rule(Name=loop_ended(drill))
    start(drill)
    drill.until(lambda: drill.runs() and drill.batches(drill.run))
    machine = drill.cloud.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:")
    drill.cloud.client("stepfunctions").stop_execution(executionArn=f"{machine}:{drill.run['run_id']}-c0001")
    drill.until(lambda: not drill.loops())


def loop_ended(drill: Drill) -> str:
    """Return the name of the rule that tells the audit of an execution's end."""
    rules = drill.cloud.client("events").list_rules()["Rules"]
    (rule,) = [each["Name"] for each in rules if "LoopEnded" in each["Name"]]
    return str(rule)


def night_missed(drill: Drill) -> None:
    """Let a night be due, and the schedule that starts it be off."""
    drill.job("schedule: nightly")
    drill.upload(drill.rows(ROWS))
    due = drill.now().replace(microsecond=0)
    drill.cloud.ask("fire", post=True, name="AuditFunctionNightDue", at=due.isoformat())
    drill.watch(timedelta(minutes=70))


def job_broken(drill: Drill) -> None:
    """Let the job file name a field that there is not."""
    start(drill, "schedule: upload\nmax_tokn: 64")
    drill.until(drill.held)


def mended_job(drill: Drill) -> None:
    """Have the job file mended, where the runbook looks for it."""
    (folder := drill.person.folder / "jobs").mkdir()
    (folder / f"{drill.name}.yaml").write_text(JOB.format(name=drill.name, more="schedule: upload"))


# ---------------------------------------------------------------- rows, and events


def rows_missing(drill: Drill) -> None:
    """Let the API never give the result of one row."""
    drill.fault("results", "missing-row", lines=5)
    start(drill)
    drill.watch_until(drill.done)


def rows_expire(drill: Drill) -> None:
    """Let the API never get to any of the rows, three days and generations long."""
    drill.fault("create", "all-expired", times=3)
    start(drill)
    for _ in range(3):
        drill.watch(timedelta(days=1))
    drill.watch_until(drill.done)


def event_lost(drill: Drill) -> None:
    """Take a right from submit until the upload's event has had all its tries."""
    drill.cloud.misbehave("SubmitFunctionRole", "dynamodb:*")
    start(drill)

    def rang() -> bool:
        drill.cloud.pass_time(60)
        return "DeadLetters" in drill.rang()

    drill.until(rang)


def everybody_may(drill: Drill) -> None:
    """Have the stack deployed again, and with it the rights that it gives."""
    drill.cloud.behave()


def api_well(drill: Drill) -> None:
    """Have the API do what it should."""
    drill.cloud.api("faults", "DELETE")


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
        show=r"HTTP 429 rate_limit_error",
    ),
    Failure(
        "the table of tickets is throttled",
        frozenset({"TableThrottled"}),
        table_throttled,
        ("TableThrottled",),
        doctor=r"TableThrottled.* rings",
        show=r"TicketsBusy|no room in 8 tries",
        outside=everybody_may,
        before_looking=timedelta(minutes=2),  # each try takes its time, and that is real
    ),
    Failure(
        "the status function always fails",
        frozenset({"FunctionErrors", "RunFailed", "RunHeld"}),
        status_fails,
        ("FunctionErrors", "RunHeld", "LOOP_DIES"),
        doctor=r"is held: LOOP_DIES",
        show=r"Executions 1 to 4 died",
        outside=everybody_may,
    ),
    Failure(
        "the output bucket is denied",
        frozenset({"FunctionErrors", "Uncollected", "RunHeld"}),
        bucket_denied,
        ("RunHeld", "CHUNK_FAILS"),
        doctor=r"is held: CHUNK_FAILS",
        show=r"unexpected; see the log of the results function",
        outside=everybody_may,
    ),
    Failure(
        "a batch is not collected for 22 days",
        frozenset({"Uncollected", "UncollectedForAWeek", "UncollectedForThreeWeeks", "RunHeld"}),
        nobody_came,
        ("UncollectedForThreeWeeks",),
        doctor=r"UncollectedForThreeWeeksAlarm.* rings",
        show=r"HTTP 500",
    ),
    Failure(
        "the month's budget is gone",
        frozenset({"Budget80", "Budget100", "RunHeld"}),
        budget_gone,
        ("Budget100", "OVER_MONTH"),
        doctor=r"every run is held",
        show=r"OVER_MONTH",
        outside=lambda drill: spend(drill, -500 * 10**12),
    ),
    Failure(
        "the API is away for more than an hour",
        frozenset({"ChecksFail"}),
        api_away,
        ("ChecksFail",),
        doctor=r"does not answer as it should",
        show=r"HTTP 529",
        before_looking=timedelta(minutes=2),
    ),
    Failure(
        "the answer to a create is lost, and nobody can list batches",
        frozenset({"ChecksFail", "IntentStands"}),
        create_unresolved,
        ("IntentStands",),
        doctor=r"IntentStandsAlarm.* rings",
        show=r"sending",
    ),
    Failure(
        "a person aborts the execution",
        frozenset({"RunFailed"}),
        execution_aborted,
        ("RunFailed",),
        doctor=r"the loop of job-\S+ does not run",
        show=r"ABORTED",
        outside=lambda drill: drill.cloud.client("events").enable_rule(Name=loop_ended(drill)),
        before_looking=timedelta(minutes=2),
        audited=False,
    ),
    Failure(
        "the schedule is off, and a night is missed",
        frozenset({"MissedRun"}),
        night_missed,
        ("MissedRun",),
        doctor=r"it is off: nightly jobs start by hand only",
        show=r"nightly",
        outside=lambda _: None,
    ),
    Failure(
        "the job file is broken",
        frozenset({"RunHeld"}),
        job_broken,
        ("RunHeld", "BAD_JOB"),
        doctor=r"cannot be used: .*max_tokn",
        show=r"BAD_JOB",
        outside=mended_job,
    ),
    Failure(
        "a row's result never comes",
        frozenset({"RowsMissing"}),
        rows_missing,
        ("RowsMissing",),
        doctor="",  # the alarm is over in minutes: nothing stands that would have to be mended
        show=r"missing",
        counts={"answered": ROWS - 1, "missing": 1},
    ),
    Failure(
        "no row is answered within 24 hours, three times over",
        frozenset({"RowsExpire"}),
        rows_expire,
        ("RowsExpire",),
        while_mended=frozenset({"RunHeld"}),
        doctor=r"RowsExpireAlarm.* rings",
        show=r"expired",
    ),
    Failure(
        "an event starts nothing",
        frozenset({"FunctionErrors", "DeadLetters"}),
        event_lost,
        ("Events that started nothing",),
        doctor=r"1 events started nothing",
        show="",
        outside=everybody_may,
        before_looking=timedelta(minutes=2),
        audited=False,
    ),
)
