"""Where a nightshift is: a CloudFormation stack found with the person's own credentials, or the local cloud."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs, S3Outputs
from nightshift.adapters.stepfunctions import StepFunctionsExecutions
from nightshift.control import Control
from nightshift.errors import NightshiftError
from nightshift.money import amount_of
from nightshift.ports import Clock
from nightshift_cli.options import default_stack

LOCAL_FILE = Path(__file__).parents[2] / ".cache" / "local.json"
"""Where `make local` keeps the line that `python -m local` prints, while it runs."""

OUTPUTS = frozenset(
    {
        "AdminKeySecretArn",
        "AlarmTopicArn",
        "AnthropicBaseUrl",
        "ApiKeySecretArn",
        "DeadLetterQueueUrl",
        "InputBucketName",
        "MonthlyCapUsd",
        "OutputBucketName",
        "PutAdminKeyCommand",
        "PutKeyCommand",
        "RunMachineArn",
        "RunsTableName",
        "SubmitFunctionName",
        "TicketTableName",
        "VerifyFunctionName",
    }
)
"""The outputs of template.yaml that the commands need."""

LOCAL_FLAG = "--local"

TIMEOUT = 5
"""Seconds to wait for a connection, and for the local cloud's answer."""


class StackNotFound(NightshiftError):
    """There is no nightshift where one was looked for."""


class Clients(Protocol):
    """Makes boto3 clients."""

    def __call__(self, service: str) -> Any:
        """Return the client of a service."""
        ...


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed nightshift."""

    flag: str
    """What a command must be given to find it again; empty where that is nothing."""
    outputs: Mapping[str, str]
    clients: Clients
    clock: Clock

    @property
    def local(self) -> bool:
        """True for the cloud of `make local`."""
        return self.flag == LOCAL_FLAG

    @property
    def monthly_cap(self) -> int | None:
        """What all runs of a month may cost, in picodollars; None: there is no cap."""
        return amount_of(self.outputs["MonthlyCapUsd"]) or None

    def ledger(self) -> DynamoLedger:
        """Return its ledger of runs."""
        return DynamoLedger(self.clients("dynamodb"), self.outputs["RunsTableName"])

    def inputs(self) -> S3Inputs:
        """Return its input bucket."""
        return S3Inputs(self.clients("s3"), self.outputs["InputBucketName"])

    def results(self) -> S3Outputs:
        """Return its output bucket."""
        return S3Outputs(self.clients("s3"), self.outputs["OutputBucketName"])

    def control(self) -> Control:
        """Return what holds, cancels and resumes its runs."""
        executions = StepFunctionsExecutions(self.clients("stepfunctions"), self.outputs["RunMachineArn"])
        return Control(self.ledger(), self.inputs(), self.results(), executions, self.clock)

    def command(self, words: str) -> str:
        """Return a command of ours that is about this stack, for pasting."""
        return f"nightshift {words} {self.flag}".rstrip()


def find(name: str, *, local: bool) -> Stack:
    """Find a nightshift.

    Args:
        name: of the CloudFormation stack.
        local: take the running local cloud instead.

    Raises:
        StackNotFound: it is not there, or is something else.
    """
    return _local_cloud(LOCAL_FILE) if local else _on_aws(name)


def _on_aws(name: str) -> Stack:
    config = Config(connect_timeout=TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3})
    clients: Clients = partial(boto3.Session().client, config=config)
    try:
        (stack,) = clients("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise StackNotFound(
            f"There is no stack {name} in this account and region. Name another with --stack, or add --local."
        ) from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if missing := sorted(OUTPUTS - outputs.keys()):
        raise StackNotFound(f"Stack {name} is not a nightshift of this version: it has no output {', '.join(missing)}.")
    flag = "" if name == default_stack() else f"--stack {name}"
    return Stack(flag, outputs, clients, clock.now)


def _local_cloud(file: Path) -> Stack:
    try:
        told = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        raise StackNotFound("No local cloud runs here. `make local` starts one, in a terminal of its own.") from None
    endpoint = told["endpoint"]
    now = partial(_local_time, endpoint)
    now()  # proves that it still runs
    session = local_session(told["region"])
    # A company's proxy knows nothing of this machine's loopback, whatever the shell says.
    config = Config(connect_timeout=TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3}, proxies={})
    return Stack(LOCAL_FLAG, told["outputs"], partial(session.client, endpoint_url=endpoint, config=config), now)


def local_session(region: str) -> boto3.Session:
    """Return the session of a person on the local cloud."""
    return boto3.Session(
        aws_access_key_id="desk",
        aws_secret_access_key="desk",  # noqa: S106 - the local cloud checks none
        region_name=region,
    )


def _local_time(endpoint: str) -> datetime:
    """Return the local cloud's time, which runs ahead of ours: it does not sleep its waits."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", "/_local/clock")
        return datetime.fromisoformat(json.load(connection.getresponse())["now"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise StackNotFound(
            f"The local cloud does not answer at {endpoint}. `make local` starts one, in a terminal of its own."
        ) from error
    finally:
        connection.close()
