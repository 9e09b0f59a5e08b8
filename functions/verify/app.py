"""Verify: a sample of a finished run, asked once more at the full price, beside what its batches answered."""

import uuid
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from typing import Any, NotRequired, TypedDict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import clock, wiring
from nightshift.model import RunId
from nightshift.proposing import Wish

logger = Logger()
verifier = cache(wiring.verifier)  # built on first use, kept while the sandbox is warm


class VerifyRequest(TypedDict):
    """What the state machine sends, see `Verify` in statemachine/run.asl.yaml; or, with more, `nightshift verify`."""

    v: int
    run_id: RunId
    sample: NotRequired[int]
    max_usd: NotRequired[float]


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: VerifyRequest, context: LambdaContext) -> dict[str, Any]:
    """Ask the sample, within what it may cost, and write the comparison."""
    logger.append_keys(run_id=event["run_id"])
    deadline = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    wish = Wish(event.get("sample"), event.get("max_usd"))
    done = verifier().verify(event["run_id"], wish, owner=str(uuid.uuid4()), deadline=deadline)
    logger.info("verified", extra=asdict(done))
    return {"v": 1}
