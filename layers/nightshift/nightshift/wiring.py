"""The composition root: which adapter stands behind which port. Use cases are built here and nowhere else.

Adapters are imported where they are used, so that a function pays only for its own (`import anthropic` alone costs
0.9 s of CPU and 75 MB).
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from nightshift import clock

if TYPE_CHECKING:
    from datetime import date

    from nightshift.adapters.anthropic_api import AnthropicBatches
    from nightshift.audit import Auditor
    from nightshift.money import PriceSheet
    from nightshift.report import Reporter
    from nightshift.results import Collector
    from nightshift.settings import AuditSettings, ResultsSettings, StatusSettings, SubmitSettings, VerifySettings
    from nightshift.status import Watcher
    from nightshift.submit import Submitter
    from nightshift.telling import Teller
    from nightshift.verifying import Verifier

    type Asking = SubmitSettings | StatusSettings | ResultsSettings | VerifySettings | AuditSettings

# ruff: noqa: PLC0415 - late imports are this module's purpose


@cache
def _client(service: str) -> Any:
    """Return the boto3 client of a service, made once per sandbox."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=16,
        parameter_validation=False,  # a walk through a hundred updates costs more than sending them; types are checked
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload] # the service is a variable


def _batches(settings: "Asking") -> "AnthropicBatches":
    from nightshift.adapters.anthropic_api import AnthropicBatches
    from nightshift.adapters.secrets import key_source
    from nightshift.adapters.signing import AwsWorkspace

    if settings.api_workspace_id:
        return AnthropicBatches(settings.api_base_url, AwsWorkspace(settings.api_workspace_id))
    return AnthropicBatches(settings.api_base_url, key_source(settings.api_key_secret_arn))


def submitter() -> "Submitter":
    """Build the submit use case."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.s3 import S3Inputs, S3Outputs
    from nightshift.adapters.stepfunctions import StepFunctionsExecutions
    from nightshift.adapters.tickets import DynamoTickets
    from nightshift.budgeting import Budgeter
    from nightshift.estimating import Estimator
    from nightshift.intake import Intake
    from nightshift.money import amount_of
    from nightshift.planning import Planner
    from nightshift.sending import Sender
    from nightshift.settings import SubmitSettings, load
    from nightshift.submit import Submitter

    settings = load(SubmitSettings)
    ledger = DynamoLedger(_client("dynamodb"), settings.runs_table)
    inputs = S3Inputs(_client("s3"), settings.input_bucket)
    outputs = S3Outputs(_client("s3"), settings.output_bucket)
    executions = StepFunctionsExecutions(_client("stepfunctions"), settings.state_machine_arn)
    api, cap = _batches(settings), amount_of(settings.monthly_cap_usd) or None
    tickets = DynamoTickets(_client("dynamodb"), settings.ticket_table)
    return Submitter(
        ledger,
        Intake(ledger, inputs, executions, clock.now),
        Planner(ledger, inputs, outputs, clock.now, Estimator(api, outputs, clock.now), _price_sheet, tickets),
        Budgeter(ledger, outputs, clock.now, cap),
        Sender(ledger, api, outputs, clock.now, cap),
        clock.now,
    )


def _price_sheet(model: str, on: "date") -> "PriceSheet":
    """Return a model's prices; the package that knows them is imported when a run is planned, and not before."""
    from nightshift.prices import price_sheet

    return price_sheet(model, on)


def watcher() -> "Watcher":
    """Build the status use case."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.stepfunctions import StepFunctionsExecutions
    from nightshift.decision import Policy
    from nightshift.settings import StatusSettings, load
    from nightshift.status import Watcher

    settings = load(StatusSettings)
    return Watcher(
        DynamoLedger(_client("dynamodb"), settings.runs_table),
        _batches(settings),
        StepFunctionsExecutions(_client("stepfunctions"), settings.state_machine_arn),
        clock.now,
        Policy(settings.poll_min_seconds, settings.poll_max_seconds, settings.poll_percent, settings.max_turns),
    )


def collector() -> "Collector":
    """Build the results use case."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.s3 import S3Outputs
    from nightshift.adapters.tickets import DynamoTickets
    from nightshift.results import Collector
    from nightshift.settings import ResultsSettings, load

    settings = load(ResultsSettings)
    return Collector(
        DynamoLedger(_client("dynamodb"), settings.runs_table),
        _batches(settings),
        S3Outputs(_client("s3"), settings.output_bucket),
        DynamoTickets(_client("dynamodb"), settings.ticket_table),
        clock.now,
    )


def reporter() -> "Reporter":
    """Build the report use case."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.s3 import S3Outputs
    from nightshift.report import Reporter
    from nightshift.settings import ReportSettings, load

    settings = load(ReportSettings)
    return Reporter(
        DynamoLedger(_client("dynamodb"), settings.runs_table),
        S3Outputs(_client("s3"), settings.output_bucket),
        clock.now,
    )


def verifier() -> "Verifier":
    """Build the verify use case. No tickets: a synchronous answer never gets there."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.s3 import S3Outputs
    from nightshift.money import amount_of
    from nightshift.report import Reporter
    from nightshift.settings import VerifySettings, load
    from nightshift.verifying import Verifier

    settings = load(VerifySettings)
    ledger = DynamoLedger(_client("dynamodb"), settings.runs_table)
    outputs = S3Outputs(_client("s3"), settings.output_bucket)
    reporter, cap = Reporter(ledger, outputs, clock.now), amount_of(settings.monthly_cap_usd) or None
    return Verifier(ledger, _batches(settings), outputs, reporter.report, clock.now, cap)


def auditor() -> "Auditor":
    """Build the audit use case."""
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.s3 import S3Inputs, S3Outputs
    from nightshift.adapters.stepfunctions import StepFunctionsExecutions
    from nightshift.audit import Auditor
    from nightshift.deleting import Deleter
    from nightshift.intake import Intake
    from nightshift.loops import LoopKeeper
    from nightshift.salvaging import Salvager
    from nightshift.sending import Sender
    from nightshift.settings import AuditSettings, load

    settings = load(AuditSettings)
    ledger, api = DynamoLedger(_client("dynamodb"), settings.runs_table), _batches(settings)
    outputs = S3Outputs(_client("s3"), settings.output_bucket)
    executions = StepFunctionsExecutions(_client("stepfunctions"), settings.state_machine_arn)
    return Auditor(
        ledger,
        Intake(ledger, S3Inputs(_client("s3"), settings.input_bucket), executions, clock.now),
        Sender(ledger, api, outputs, clock.now),
        Salvager(ledger, api, clock.now),
        Deleter(ledger, api, clock.now),
        LoopKeeper(ledger, executions, clock.now),
        clock.now,
    )


def teller() -> "Teller":
    """Build the tell use case."""
    from nightshift.adapters.diary import DynamoDiary
    from nightshift.adapters.dynamodb import DynamoLedger
    from nightshift.adapters.eventbridge import EventBridgeBus
    from nightshift.money import amount_of
    from nightshift.settings import TellSettings, load
    from nightshift.telling import Teller

    settings = load(TellSettings)
    return Teller(
        DynamoLedger(_client("dynamodb"), settings.runs_table),
        DynamoDiary(_client("dynamodb"), settings.runs_table),
        EventBridgeBus(_client("events"), settings.stack_name),
        clock.now,
        f"s3://{settings.output_bucket}/",
        amount_of(settings.monthly_cap_usd) or None,
    )
