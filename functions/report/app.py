"""Report: what became of a run, once nothing of it is in flight."""

from functools import cache
from typing import Any, TypedDict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import wiring
from nightshift.model import RunId

logger = Logger()
reporter = cache(wiring.reporter)  # built on first use, kept while the sandbox is warm


class ReportRequest(TypedDict):
    """What the state machine sends; see `Report` in statemachine/run.asl.yaml."""

    v: int
    run_id: RunId


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: ReportRequest, _context: LambdaContext) -> dict[str, Any]:
    """Write the run's report, and end the run where every row is accounted for."""
    logger.append_keys(run_id=event["run_id"])
    report = reporter().report(event["run_id"])
    logger.info("reported", extra=report.line)
    return {"v": 1}
