"""`nightshift doctor`: whether all that a night needs is there, and what to do where it is not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.text import Text

from nightshift.adapters.stepfunctions import StepFunctionsExecutions
from nightshift.budgeting import month_of
from nightshift.decision import next_step
from nightshift.errors import ApiError, BadJob, NoPrice, Unauthorized
from nightshift.job import parse_job
from nightshift.money import dollars
from nightshift_cli.console import console, folded, printable, put_json
from nightshift_cli.exits import Exit
from nightshift_cli.options import DEFAULT_STACK, AsJson, Local, StackName
from nightshift_cli.page import OVER
from nightshift_cli.stack import Stack, find
from nightshift_cli.view import POLICY

HEARTBEAT = timedelta(minutes=45)
"""Three audits: as long as the alarm AuditSilent waits."""


INDENT = 19
"""Blanks before what is told of a thing."""


class Level(StrEnum):
    """How a thing was found."""

    OK = "ok"
    WARN = "warn"
    """A night can go well all the same."""
    BAD = "bad"


STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    told: str
    todo: str = ""
    """What to do; empty where that is nothing."""


def doctor(*, json: AsJson = False, stack: StackName = DEFAULT_STACK, local: Local = False) -> None:
    """Look at all that a night needs, and say what to do where something is amiss. It changes and costs nothing."""
    here = find(stack, local=local)
    found: list[Finding] = []
    for what, look in CHECKS.items():
        for finding in _looked(here, what, look):
            found.append(finding)
            if not json:
                _put(finding)
    if json:
        put_json(found)
    if any(finding.level is Level.BAD for finding in found):
        raise typer.Exit(Exit.FOUND)


def _looked(stack: Stack, what: str, look: "Look") -> Sequence[Finding]:
    """Let one check look; what it could not look at is told, and keeps no other from looking."""
    with console(stderr=True).status(f"looking at {what}"):
        try:
            return [Finding(what, *found) for found in look(stack)]
        except (ClientError, BotoCoreError) as error:
            todo = "ask with credentials that may look, or see it in the AWS console"
            return [Finding(what, Level.WARN, f"it could not be looked at: {error}", todo)]


def _put(finding: Finding) -> None:
    line = Text(f"{finding.level:<4}", style=STYLES[finding.level])
    line.append(f"  {finding.what:<12} {folded(printable(finding.told), INDENT)}", style="")
    console().print(line, soft_wrap=True)
    if finding.todo:
        console().print(Text(f"{'':<{INDENT}}{folded(f'→ {printable(finding.todo)}', INDENT)}"), soft_wrap=True)


type Found = tuple[Level, str] | tuple[Level, str, str]
type Look = Callable[[Stack], Iterator[Found]]


def _credentials(stack: Stack) -> Iterator[Found]:
    yield Level.OK, f"you are {stack.clients('sts').get_caller_identity()['Arn']}"


def _key(stack: Stack) -> Iterator[Found]:
    from nightshift_cli.api import NO_WORKSPACE, batches  # noqa: PLC0415 - the SDK takes a second

    url, workspace = stack.outputs["AnthropicBaseUrl"], stack.outputs.get("ApiWorkspaceId", NO_WORKSPACE)
    what, todo = "the stack's key", stack.outputs["PutKeyCommand"]
    if workspace != NO_WORKSPACE:
        what, todo = f"your signature in {workspace}", "have your credentials given aws-external-anthropic:… there"
    with closing(batches(stack)) as api:
        try:
            api.probe()
        except Unauthorized as error:
            yield Level.BAD, f"{url} does not take {what}: {error}", todo
        except ApiError as error:
            yield Level.BAD, f"{url} does not answer as it should: {error}", "look again; https://status.claude.com"
        else:
            yield Level.OK, f"{url} takes {what}"


def _jobs(stack: Stack) -> Iterator[Found]:
    from nightshift.prices import price_sheet  # noqa: PLC0415 - the list of prices takes a quarter of a second

    inputs, today = stack.inputs(), stack.clock().date()
    names = inputs.jobs()
    if not names:
        yield Level.WARN, "no job is stored yet", stack.command("job put JOB.yaml")
    for name in names:
        ref, text = inputs.job(name)
        try:
            job = parse_job(text, name=name, key=ref.key, today=today)
            price_sheet(job.model, today)
        except BadJob as error:
            yield Level.BAD, f"{name} cannot be used: {error}", f"mend it; {stack.command(f'job put {ref.key}')}"
        except NoPrice as error:
            yield Level.WARN, f"{name}: {error}", "choose another model, or say `limits: {unpriced: send}`"
        else:
            yield Level.OK, f"{name} asks {job.model}, whose price is known"


def _money(stack: Stack) -> Iterator[Found]:
    month = month_of(stack.clock())
    budget, cap = stack.ledger().budget(month), stack.monthly_cap
    told = f"{dollars(budget.committed)} of {month} are spent or reserved"
    if cap is None:
        yield Level.WARN, f"{told}, and there is no cap", "deploy with a MonthlyCapUsd"
    elif budget.committed >= cap:
        yield Level.BAD, f"{told}, of {dollars(cap)}: every run is held", "deploy with a higher MonthlyCapUsd"
    else:
        yield Level.OK, f"{told}, of {dollars(cap)}"


def _schedule(stack: Stack) -> Iterator[Found]:
    pages = stack.clients("scheduler").get_paginator("list_schedules").paginate()
    submit = f":{stack.outputs['SubmitFunctionName']}"
    mine = [each for page in pages for each in page["Schedules"] if each["Target"]["Arn"].endswith(submit)]
    if not mine:
        yield Level.BAD, "the stack's schedule is gone", "deploy the stack again"
    elif mine[0]["State"] == "ENABLED":
        yield Level.OK, "it is on: nightly jobs start by themselves"
    else:
        yield Level.WARN, "it is off: nightly jobs start by hand only", "deploy with ScheduleState=ENABLED"


def _alarms(stack: Stack) -> Iterator[Found]:
    topic = stack.outputs["AlarmTopicArn"]
    pages = stack.clients("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    arns = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
    if confirmed := sum(arn.startswith("arn:") for arn in arns):
        yield Level.OK, f"subscriptions that are told of alarms: {confirmed}"
    elif arns:
        yield Level.WARN, "nobody is told of alarms: a subscription is not confirmed", "click the link in its e-mail"
    else:
        yield Level.WARN, "nobody is told of alarms", "deploy with an AlarmEmail"
    alarms = stack.clients("cloudwatch").get_paginator("describe_alarms").paginate(StateValue="ALARM")
    for alarm in (alarm for page in alarms for alarm in page["MetricAlarms"]):
        if topic in alarm["AlarmActions"]:
            yield Level.BAD, f"{alarm['AlarmName']} rings", " ".join(alarm.get("AlarmDescription", "").split())


def _dead_letters(stack: Stack) -> Iterator[Found]:
    url, name = stack.outputs["DeadLetterQueueUrl"], "ApproximateNumberOfMessages"
    answer = stack.clients("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    if count := int(answer["Attributes"][name]):
        todo = f"aws sqs receive-message --queue-url {url}; docs/operations.md, DeadLetters"
        yield Level.BAD, f"{count} events started nothing, after all their tries", todo
    else:
        yield Level.OK, "every event has started what it is for"


def _runs(stack: Stack) -> Iterator[Found]:
    """Look at every run that is not done: one that is held, and one that wants a loop and has none."""
    ledger, now = stack.ledger(), stack.clock()
    executions = StepFunctionsExecutions(stack.clients("stepfunctions"), stack.outputs["RunMachineArn"])
    intent, well = ledger.intent(), 0
    for run in ledger.open_runs():
        step = next_step(run, ledger.chunks(run.run_id), intent, now, POLICY)
        if run.hold is not None:
            yield Level.BAD, f"{run.run_id} is held: {run.hold.code}", stack.command(f"show {run.run_id}")
        elif step.kind not in OVER and not executions.alive(run.run_id, run.execution):
            todo = f"the audit starts it again; or {stack.command(f'resume {run.run_id}')}"
            yield Level.BAD, f"the loop of {run.run_id} does not run", todo
        else:
            well += 1
    yield Level.OK, f"{well} at work, and their loops run"


def _audit(stack: Stack) -> Iterator[Found]:
    now = stack.clock()
    points = stack.clients("cloudwatch").get_metric_statistics(
        Namespace="nightshift",
        MetricName="AuditHeartbeat",
        Dimensions=[{"Name": "service", "Value": stack.outputs["RunMachineArn"].split(":")[-1].removesuffix("-run")}],
        StartTime=now - HEARTBEAT,
        EndTime=now,
        Period=300,
        Statistics=["SampleCount"],
    )["Datapoints"]
    if points:
        latest = max(point["Timestamp"] for point in points)
        yield Level.OK, f"the last one was at {latest:%H:%M}Z"
    elif stack.local:
        endpoint = stack.clients("cloudwatch").meta.endpoint_url
        todo = f"curl -X POST '{endpoint}/_local/fire?name=AuditFunctionRegularly'"
        yield Level.WARN, "no audit in the last 45 minutes: the local cloud's looks when it is asked", todo
    else:
        todo = "nobody notices a loop that died: docs/operations.md, AuditSilent"
        yield Level.WARN, "no audit in the last 45 minutes; a stack that is younger has had none yet", todo


CHECKS: dict[str, Look] = {
    "credentials": _credentials,
    "API key": _key,
    "jobs": _jobs,
    "money": _money,
    "schedule": _schedule,
    "alarms": _alarms,
    "dead letters": _dead_letters,
    "runs": _runs,
    "audit": _audit,
}
