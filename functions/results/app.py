"""Results: one of up to eight collectors, side by side."""

from datetime import timedelta
from functools import cache
from typing import Any, TypedDict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import clock, wiring
from nightshift.model import RunId

logger = Logger()
collector = cache(wiring.collector)  # built on first use, kept while the sandbox is warm


class ResultsRequest(TypedDict):
    """What the state machine sends; see `Collect Batches` in statemachine/run.asl.yaml."""

    v: int
    run_id: RunId
    worker: int


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: ResultsRequest, context: LambdaContext) -> dict[str, Any]:
    """Archive and apply ended batches until none is left or the time is up."""
    logger.append_keys(run_id=event["run_id"], worker=event["worker"])
    deadline = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    counts = collector().collect(event["run_id"], event["worker"], deadline)
    logger.info("collected", extra=dict(counts))
    return {"v": 1}
