"""Starting the run's state machine, and looking whether it runs."""

import json
from typing import TYPE_CHECKING

from nightshift.model import RunId

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class StepFunctionsExecutions:
    """`ports.Executions` over Step Functions."""

    def __init__(self, client: "SFNClient", machine_arn: str) -> None:
        """Start executions of one machine."""
        self._client = client
        self._machine = machine_arn

    def start(self, run_id: RunId, number: int) -> None:
        """See `ports.Executions`. Same name and input while it runs: Step Functions returns the running one."""
        entry = json.dumps({"v": 1, "run_id": run_id, "turn": 0})
        try:
            self._client.start_execution(
                stateMachineArn=self._machine, name=execution_name(run_id, number), input=entry
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return  # it has run already

    def alive(self, run_id: RunId, number: int) -> bool:
        """See `ports.Executions`."""
        machine, name = self._machine.replace(":stateMachine:", ":execution:"), execution_name(run_id, number)
        try:
            execution = self._client.describe_execution(executionArn=f"{machine}:{name}")
        except self._client.exceptions.ExecutionDoesNotExist:
            return False
        return execution["status"] == "RUNNING"


def execution_name(run_id: RunId, number: int) -> str:
    """Name the `number`-th execution of a run: at most 75 of the 80 characters allowed."""
    return f"{run_id}-c{number:04d}"
