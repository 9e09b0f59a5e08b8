"""A ledger and a clock for the use cases: the real adapter over a local AWS, and a time that the test moves."""

import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from nightshift.adapters.dynamodb import DynamoLedger

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    moment: datetime = START

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let child processes take Ctrl-C, also where who runs the tests ignores it, as what a shell puts aside does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def runs_table(aws_endpoint: str) -> Iterator[str]:
    """A table as template.yaml makes it."""
    client = boto3.client("dynamodb", endpoint_url=aws_endpoint)
    name = f"runs-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "kind", "created")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "runs",
                "KeySchema": [
                    {"AttributeName": "kind", "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    yield name
    client.delete_table(TableName=name)


@pytest.fixture
def ledger(aws_endpoint: str, runs_table: str) -> DynamoLedger:
    return DynamoLedger(boto3.client("dynamodb", endpoint_url=aws_endpoint), runs_table)
