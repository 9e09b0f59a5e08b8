"""The batch endpoints."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp

from .call import Call, limit_of, misbehave, page_of
from .desk import Desk
from .errors import invalid_request, no_results
from .lifecycle import Batch, Status, describe, standing
from .results import ResultsResponse
from .wire import Dropped, respond, too_large

BATCHES = "/v1/messages/batches"
POLL_SECONDS = 10
"""`retry-after` of a batch that has not ended, on a 200."""


async def create(desk: Desk, call: Call) -> ASGIApp:
    """Make a batch, and write down how that ended."""
    body = desk.store.folder / f"body-{uuid4().hex}"
    try:
        try:
            with desk.arrival():
                complete = await _receive(call.request, body, desk.settings.max_batch_bytes)
        except ClientDisconnect:
            desk.audit.post(call.now, "not accepted: the client left before the body was complete", status=None)
            return Dropped()
        if not complete:
            desk.audit.post(call.now, "refused: the body is too large", status=413)
            return too_large(call.headers, html=desk.settings.html_413)
        return await _create(desk, call, body)
    finally:
        body.unlink(missing_ok=True)


async def _receive(request: Request, body: Path, limit: int) -> bool:
    """Spool the body; False if it is larger than the limit (it is read to its end, so that the answer is heard)."""
    size = 0
    with body.open("wb") as out:
        async for block in request.stream():
            size += len(block)
            if size <= limit:
                out.write(block)
    return size <= limit


async def _create(desk: Desk, call: Call, body: Path) -> ASGIApp:
    fault = desk.faults.take("create", index=desk.next_index)
    if fault is not None and fault.before_work:
        desk.audit.post(call.now, f"not accepted: {fault.kind}", status=fault.status)
        return misbehave(fault, call.headers)
    batch = await desk.accept(body, call.caller, fault)
    if fault is None or fault.kind in {"all-expired", "canceled"}:
        desk.audit.post(call.now, "accepted", status=200, batch=batch)
        return respond(_describe(desk, call, batch, desk.clock.now()), call.headers)
    silent = "no answer" if fault.kind == "accept-then-hang" else "connection closed"
    what = silent if fault.status is None else f"answered {fault.status}"
    desk.audit.post(call.now, f"accepted, {what}", status=fault.status, batch=batch)
    return misbehave(fault, call.headers)


def _describe(desk: Desk, call: Call, batch: Batch, now: float) -> dict[str, Any]:
    url = f"{str(call.request.base_url).rstrip('/')}{BATCHES}/{batch.id}/results"
    if call.fault is not None and call.fault.kind == "foreign-results-url":
        url = call.fault.url
    return describe(batch, standing(batch, now), url, progressive=desk.settings.progressive)


def _find(desk: Desk, call: Call) -> Batch:
    """Return the batch a call is about; with a fault, the 404 of a batch that is not visible yet."""
    hidden = call.fault is not None and call.fault.kind == "not-found"
    return desk.store.get(call.batch_id, call.caller.workspace, float("-inf") if hidden else call.now)


async def list_batches(desk: Desk, call: Call) -> ASGIApp:
    """Answer a page of the list."""
    query = call.request.query_params
    limit = limit_of(query.get("limit"))
    page = desk.store.page(
        call.caller.workspace, call.now, limit=limit, after=query.get("after_id"), before=query.get("before_id")
    )
    data = [_describe(desk, call, batch, call.now) for batch in page.batches]
    return respond(page_of(data, has_more=page.has_more), call.headers)


async def retrieve(desk: Desk, call: Call) -> ASGIApp:
    """Answer a batch, and when to ask again."""
    batch = _find(desk, call)
    headers = dict(call.headers)
    if standing(batch, call.now).status is not Status.ENDED:
        headers["retry-after"] = str(POLL_SECONDS)
    return respond(_describe(desk, call, batch, call.now), headers)


async def cancel(desk: Desk, call: Call) -> ASGIApp:
    """Start canceling a batch; one that is canceling or has ended stays as it is (assumed for the latter)."""
    batch = _find(desk, call)
    if batch.cancel_at is None and standing(batch, call.now).status is Status.IN_PROGRESS:
        batch.cancel_at = call.now
    return respond(_describe(desk, call, batch, call.now), call.headers)


async def delete(desk: Desk, call: Call) -> ASGIApp:
    """Delete a batch that has ended."""
    batch = _find(desk, call)
    if standing(batch, call.now).status is not Status.ENDED:
        raise invalid_request("In progress batches cannot be deleted. Consider canceling the batch instead.")
    batch.deleted = True
    return respond({"id": batch.id, "type": "message_batch_deleted"}, call.headers)


async def results(desk: Desk, call: Call) -> ASGIApp:
    """Stream a batch's results."""
    batch = _find(desk, call)
    state = standing(batch, call.now)
    if state.status is not Status.ENDED or state.archived_at is not None:
        raise no_results(batch.id)
    gzip = desk.settings.gzip and "gzip" in call.request.headers.get("accept-encoding", "")
    return ResultsResponse(batch, state, call.headers, call.fault, gzip)
