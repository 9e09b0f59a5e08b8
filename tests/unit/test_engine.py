"""The fixtures themselves: the engine that answers for DynamoDB is the one that was asked for."""

import boto3
import pytest
from botocore.exceptions import ClientError


def test_the_engine_that_was_asked_for_answers(aws_endpoint: str, runs_table: str, pytestconfig: pytest.Config) -> None:
    """A number of 39 digits tells them apart: DynamoDB refuses it, moto keeps it."""
    client = boto3.client("dynamodb", endpoint_url=aws_endpoint)
    item = {"pk": {"S": "number"}, "sk": {"S": "long"}, "value": {"N": "1" * 39}}
    if pytestconfig.getoption("dynamodb") == "local":
        with pytest.raises(ClientError, match="up to 38 digits"):
            client.put_item(TableName=runs_table, Item=item)
    else:
        assert client.put_item(TableName=runs_table, Item=item)["ResponseMetadata"]["HTTPStatusCode"] == 200
