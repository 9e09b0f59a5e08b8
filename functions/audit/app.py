"""Audit: what nobody else would notice, every quarter of an hour, and at once when a loop ends red."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from nightshift import clock, wiring
from nightshift.adapters.emf import emit

logger = Logger()
auditor = cache(wiring.auditor)  # built on first use, kept while the sandbox is warm


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look after what the event names, or after everything; `nightshift.trigger.parse_audit` has the events."""
    deadline = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    audited = auditor().handle(event, owner=str(uuid.uuid4()), deadline=deadline)
    emit(audited.metrics)
    logger.info("audited", extra={"metrics": audited.metrics, "findings": audited.findings})
    audited.raise_surprise()
    return {"v": 1}
