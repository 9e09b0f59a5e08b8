"""Executions over a local Step Functions: started once by their name, and seen to run or not."""

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest

from nightshift.adapters.stepfunctions import StepFunctionsExecutions, execution_name
from tests.unit.made import RUN

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


@dataclass
class Machine:
    """A state machine whose executions run until they are stopped, as moto's do by default."""

    client: "SFNClient"
    arn: str

    @property
    def executions(self) -> StepFunctionsExecutions:
        return StepFunctionsExecutions(self.client, self.arn)

    def arns(self) -> list[str]:
        return [e["executionArn"] for e in self.client.list_executions(stateMachineArn=self.arn)["executions"]]


@pytest.fixture
def machine(aws_endpoint: str) -> Machine:
    client = boto3.client("stepfunctions", endpoint_url=aws_endpoint)
    role = "arn:aws:iam::123456789012:role/loop"
    name = f"loop-{uuid.uuid4().hex[:8]}"
    made = client.create_state_machine(name=name, definition=json.dumps(MACHINE), roleArn=role)
    return Machine(client, made["stateMachineArn"])


def test_an_execution_is_started_once_and_lives_until_it_ends(machine: Machine) -> None:
    machine.executions.start(RUN, 1)
    machine.executions.start(RUN, 1)

    (arn,) = machine.arns()
    assert arn.endswith(f":{execution_name(RUN, 1)}")
    assert machine.executions.alive(RUN, 1)
    machine.client.stop_execution(executionArn=arn)
    assert not machine.executions.alive(RUN, 1)


def test_an_execution_that_was_never_started_is_not_alive(machine: Machine) -> None:
    assert not machine.executions.alive(RUN, 7)
