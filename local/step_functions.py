"""Step Functions: moto's interpreter, with its waits on the virtual clock and its Lambda tasks in real processes.

A Task's and a machine's TimeoutSeconds stay in real time: the first bounds code that really runs, the second would
need a clock that the interpreter does not have. A machine's time-out therefore never fires because a night was skipped.
"""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

from local import seams
from local.clock import VirtualClock
from local.feed import Feed
from local.function_config import LATEST, named
from local.iam import Access
from local.lambda_plane import LambdaPlane, NoSuchFunctionError, ThrottledError
from local.metrics import Metrics, metric
from local.seams import Seam
from local.wire import ACCOUNT, REGION, Json

_ASL = "moto.stepfunctions.parser.asl"
SEAMS = (
    Seam(f"{_ASL}.utils.json_path", "parse", None),
    Seam(
        f"{_ASL}.component.state.wait.wait_function.wait_function",
        "WaitFunction._wait_interval",
        ("self", "env", "wait_seconds"),
    ),
    Seam(f"{_ASL}.component.common.retry.retrier_decl", "time.sleep", None),
    Seam(
        f"{_ASL}.component.state.exec.state_task.lambda_eval_utils",
        "_invoke_lambda_function",
        ("parameters", "region", "state_credentials"),
    ),
    Seam(
        f"{_ASL}.eval.event.event_manager",
        "EventManager.add_event",
        ("self", "context", "event_type", "event_details", "timestamp", "update_source_event_id"),
    ),
    Seam(f"{_ASL}.eval.event.event_manager", "EventManager._get_current_timestamp", ()),
    Seam("moto.stepfunctions.parser.backend.execution", "Execution.start", ("self",)),
    Seam("moto.stepfunctions.parser.backend.execution", "BaseExecutionWorkerCommunication.terminated", ("self",)),
)


COUNTED = {
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}
"""How an execution ended → what Step Functions counts."""

type Publish = Callable[[Json], None]


def install(
    plane: LambdaPlane, clock: VirtualClock, feed: Feed, access: Access, publish: Publish, metrics: Metrics
) -> None:
    """Hook the interpreter to our clock, our functions and, with `publish`, our event bus."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    # Else a parser is made for each path of each state.
    seams.replace(json_path, "parse", cache(json_path.parse))  # type: ignore[attr-defined] # moto hides it
    _hook_waits(clock, feed)
    _hook_history(clock)
    _hook_executions(clock, feed, publish, metrics)
    _hook_lambda(plane, access)


def _hook_waits(clock: VirtualClock, feed: Feed) -> None:
    def wait_interval(_self: WaitFunction, env: Environment, wait_seconds: float) -> None:
        context = env.states.context_object.context_object_data
        feed.add("wait.started", execution=context["Execution"]["Name"], seconds=wait_seconds)
        clock.wait(wait_seconds, env.is_running)

    seams.replace(WaitFunction, "_wait_interval", wait_interval)
    # Only this module's view of `time`: the back-off of a Retry.
    seams.replace(retrier_decl, "time", SimpleNamespace(sleep=clock.wait))


def _hook_history(clock: VirtualClock) -> None:
    """Stamp the history with virtual time, and take each event as a sign of life."""
    original = EventManager.add_event

    def add_event(self: EventManager, *args: Any, **kwargs: Any) -> int:
        clock.touch()
        return original(self, *args, **kwargs)

    seams.replace(EventManager, "add_event", add_event)
    seams.replace(EventManager, "_get_current_timestamp", staticmethod(clock.now))


def _hook_executions(clock: VirtualClock, feed: Feed, publish: Publish, metrics: Metrics) -> None:
    start, terminated = Execution.start, BaseExecutionWorkerCommunication.terminated

    def start_at_virtual_time(self: Execution) -> None:
        self.start_date = clock.now()
        feed.add("execution.started", execution=self.name, input=self.input_data)
        start(self)
        metrics.put(metric("AWS/States", "ExecutionsStarted", StateMachineArn=self.state_machine_arn), 1)
        publish(_status_change(self, "RUNNING", self.start_date, None))

    def terminated_at_virtual_time(self: BaseExecutionWorkerCommunication) -> None:
        terminated(self)
        execution = self.execution
        execution.stop_date = clock.now()
        feed.add(
            "execution.ended",
            execution=execution.name,
            status=execution.status,
            error=execution.error,
            cause=execution.cause,
        )
        if name := COUNTED.get(str(execution.status)):
            metrics.put(metric("AWS/States", name, StateMachineArn=execution.state_machine_arn), 1)
        publish(_status_change(execution, execution.status, execution.stop_date, execution.stop_date))

    seams.replace(Execution, "start", start_at_virtual_time)
    seams.replace(BaseExecutionWorkerCommunication, "terminated", terminated_at_virtual_time)


def _status_change(execution: Execution, status: str, at: datetime, stopped: datetime | None) -> Json:
    """Return what Step Functions tells EventBridge of an execution (the input and output left out)."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": [execution.exec_arn],
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine_arn,
            "name": execution.name,
            "status": status,
            "startDate": int(execution.start_date.timestamp() * 1000),
            "stopDate": int(stopped.timestamp() * 1000) if stopped else None,
        },
    }


def _hook_lambda(plane: LambdaPlane, access: Access) -> None:
    """Let a `lambda:invoke` task call the process directly: through HTTP, moto builds a client for each task."""

    def invoke(parameters: Json, region: str, state_credentials: Any) -> Json:  # noqa: ARG001, moto's signature
        name = parameters["FunctionName"]
        try:
            config, (_, qualifier) = plane.config(name), named(name)
            arn = config.arn if qualifier == LATEST else f"{config.arn}:{qualifier}"
            if not access.permits(state_credentials.role_arn, "lambda:InvokeFunction", arn):
                raise _client_error("AccessDeniedException", f"not authorized to invoke {arn}", 403)
            outcome = plane.invoke(name, parameters.get("Payload") or b"{}")
        except NoSuchFunctionError as error:
            raise _client_error("ResourceNotFoundException", f"Function not found: {name}", 404) from error
        except ThrottledError as error:
            raise _client_error("TooManyRequestsException", "Rate Exceeded.", 429) from error
        answer: Json = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": _decoded(outcome.payload)}
        return answer | ({"FunctionError": outcome.error} if outcome.error else {})

    seams.replace(lambda_eval_utils, "_invoke_lambda_function", invoke)


def _decoded(payload: bytes) -> Any:
    text = payload.decode()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _client_error(code: str, message: str, status: int) -> ClientError:
    """What boto3 would raise; the interpreter makes `Lambda.<code>` of it."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "local"},
    }
    return ClientError(response, "Invoke")
