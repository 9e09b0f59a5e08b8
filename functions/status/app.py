"""Status: the state machine's look at a run."""

from functools import cache
from typing import Any, TypedDict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import wiring
from nightshift.model import RunId

logger = Logger()
watcher = cache(wiring.watcher)  # built on first use, kept while the sandbox is warm


class StatusRequest(TypedDict):
    """What the state machine sends; see `Check Status` in statemachine/run.asl.yaml."""

    v: int
    run_id: RunId
    execution: str
    turn: int


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: StatusRequest, _context: LambdaContext) -> dict[str, Any]:
    """Look at the run's batches and say what comes next."""
    logger.append_keys(run_id=event["run_id"], execution=event["execution"], turn=event["turn"])
    look = watcher().look(event["run_id"], execution=event["execution"], turn=event["turn"])
    step = look.step
    seen = {"ended": look.ended, "canceled": look.canceled, "trouble": look.trouble}
    logger.info("looked", extra={"step": step.kind, "why": step.reason, **seen})
    return {
        "v": 1,
        "run_id": event["run_id"],
        "turn": event["turn"] + 1 + step.workers,  # a turn is 9 events of the history, and so is each collector
        "step": step.kind,
        "wait_seconds": step.wait_seconds,
        "workers": list(range(1, step.workers + 1)),
    }
