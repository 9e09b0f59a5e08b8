"""Submit: from an upload, the schedule, a person or the loop to batches at the API."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import clock, wiring
from nightshift.errors import BadTrigger

logger = Logger()
submitter = cache(wiring.submitter)  # built on first use, kept while the sandbox is warm


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Open, plan and send what the event stands for; `nightshift.trigger` has the shapes of events."""
    deadline = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    try:
        done = submitter().handle(event, owner=str(uuid.uuid4()), deadline=deadline)
    except BadTrigger as error:
        logger.error("bad trigger", extra={"reason": str(error)})  # noqa: TRY400 - the message says it all
        raise
    logger.info("submitted", extra=asdict(done))
    return {"v": 1}
