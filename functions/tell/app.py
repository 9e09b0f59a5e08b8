"""Tell: what the ledger says of runs, as metrics for the dashboard and as events for others to build on."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import wiring
from nightshift.adapters.emf import emit

logger = Logger()
teller = cache(wiring.teller)  # built on first use, kept while the sandbox is warm


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Tell of the run whose execution began or ended, or of all; `nightshift.telling` has the events."""
    told = teller().handle(event)
    for job, metrics in told.measured:
        emit(metrics, job=job)
    emit(told.gauges)
    logger.info("told", extra={"runs": told.runs, "gauges": told.gauges})
    told.raise_surprise()
    return {"v": 1}
