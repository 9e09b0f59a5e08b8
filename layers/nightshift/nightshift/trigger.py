"""Event → trigger: what EventBridge, the schedule, a person or the state machine asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from nightshift.errors import BadTrigger
from nightshift.model import JOB_NAME, RunId

SCHEDULE = "nightshift.schedule"
HAND = "nightshift.hand"
AUDIT = "nightshift.audit"
VERSION = 1
"""Of the state machine's payloads."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An object arrived below `inbox/<job>/`."""

    job: str
    bucket: str
    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Night:
    """The schedule fired."""

    scheduled_at: datetime
    """When it was meant to: the same for every delivery of the event."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """A person wants a job to run over an object."""

    job: str
    key: str
    version_id: str | None
    """None: the newest."""


@dataclass(frozen=True, slots=True)
class Tick:
    """It is time for an audit."""


@dataclass(frozen=True, slots=True)
class LoopEnded:
    """An execution of a run's loop ended red."""

    run_id: RunId
    execution: int


@dataclass(frozen=True, slots=True)
class Continue:
    """The state machine wants a run to go on."""

    run_id: RunId


class IgnoreCode(StrEnum):
    """Why an event starts nothing, on purpose."""

    FOLDER_MARKER = "FOLDER_MARKER"
    """The console makes such objects for empty folders."""
    OUTSIDE_INBOX = "OUTSIDE_INBOX"
    SELF_TRIGGER = "SELF_TRIGGER"
    """Our own output: acting on it would never end."""
    DELETED = "DELETED"
    TEST_EVENT = "TEST_EVENT"
    OTHER_EVENT = "OTHER_EVENT"


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that starts nothing, on purpose."""

    reason: str
    code: IgnoreCode


type Trigger = Uploaded | Night | ByHand | Continue | Ignored

_INBOX = re.compile(rf"inbox/({JOB_NAME})/.+", re.DOTALL)
_RUN_ID = re.compile(rf"{JOB_NAME}-\d{{8}}-[a-z2-7]{{8}}")
_EXECUTION = re.compile(rf"({_RUN_ID.pattern})-c(\d{{4,}})")


def parse(event: Mapping[str, Any]) -> Trigger:
    """Tell what an event asks for.

    Raises:
        BadTrigger: it can start nothing, and is not one of those that are ignored on purpose.
    """
    match event:
        case {"source": "aws.s3", "detail-type": "Object Created", "detail": Mapping() as detail}:
            return _upload(detail)
        case {"source": "aws.s3", "detail-type": str(kind)}:
            code = IgnoreCode.DELETED if kind == "Object Deleted" else IgnoreCode.OTHER_EVENT
            return Ignored(f"an S3 event of the kind {kind}", code)
        case {"source": str(source)} if source == SCHEDULE:
            return Night(_scheduled_time(event.get("scheduled_time")))
        case {"source": str(source)} if source == HAND:
            return _by_hand(event)
        case {"run_id": str(run_id), "v": version}:
            return _continue(run_id, version)
        case {"Event": "s3:TestEvent"}:
            return Ignored("S3's test of a notification", IgnoreCode.TEST_EVENT)
        case {"Records": _}:
            return Ignored("a direct S3 notification: uploads come through EventBridge here", IgnoreCode.OTHER_EVENT)
    raise BadTrigger(f"no event that submit knows: its keys are {sorted(event)[:10]}")


def parse_audit(event: Mapping[str, Any]) -> Tick | Night | LoopEnded:
    """Tell what an event asks of the audit.

    Raises:
        BadTrigger: none of these.
    """
    match event:
        case {"source": str(source)} if source == AUDIT:
            return Tick()
        case {"source": str(source)} if source == SCHEDULE:
            return Night(_scheduled_time(event.get("scheduled_time")))
        case {"source": "aws.states", "detail": {"name": str(name)}} if execution := _EXECUTION.fullmatch(name):
            return LoopEnded(RunId(execution[1]), int(execution[2]))
    raise BadTrigger(f"no event that the audit knows: its keys are {sorted(event)[:10]}")


def _upload(detail: Mapping[str, Any]) -> Uploaded | Ignored:
    # EventBridge gives keys as they are; only direct notifications encode them, so nothing is decoded here.
    match detail:
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key), **rest}}:
            pass
        case _:
            raise BadTrigger("an Object Created event without detail.bucket.name or detail.object.key")
    if key.endswith("/"):
        return Ignored("a folder marker", IgnoreCode.FOLDER_MARKER)
    if key.startswith("runs/"):
        return Ignored("an object of a run's output", IgnoreCode.SELF_TRIGGER)
    inbox = _INBOX.fullmatch(key)
    if inbox is None:
        return Ignored("an object that is not below inbox/<job>/", IgnoreCode.OUTSIDE_INBOX)
    version_id = rest.get("version-id")
    if not isinstance(version_id, str) or not version_id:
        raise BadTrigger("an Object Created event without detail.object.version-id: is the bucket versioned?")
    return Uploaded(inbox[1], bucket, key, version_id)


def _scheduled_time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise BadTrigger('the schedule\'s input must hold "scheduled_time": "<aws.scheduler.scheduled-time>"')
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise BadTrigger("scheduled_time is not an ISO 8601 time, as in 2026-11-22T02:00:00Z") from None
    if time.tzinfo is None:
        raise BadTrigger("scheduled_time has no time zone: it must end in Z or an offset")
    return time.astimezone(UTC)


def _by_hand(event: Mapping[str, Any]) -> ByHand:
    job, key, version_id = event.get("job"), event.get("key"), event.get("version_id")
    if not isinstance(job, str) or not re.fullmatch(JOB_NAME, job):
        raise BadTrigger("`job` must be a job's name: a-z, 0-9 and -, at most 50 characters")
    if not isinstance(key, str) or not re.fullmatch(r"inbox/.*[^/]", key, re.DOTALL):
        raise BadTrigger("`key` must name an object below inbox/")
    if version_id is not None and not (isinstance(version_id, str) and version_id):
        raise BadTrigger("`version_id` must be a text, or null for the newest version")
    return ByHand(job, key, version_id)


def _continue(run_id: str, version: Any) -> Continue:
    if version != VERSION:
        raise BadTrigger(f"a payload of version {VERSION} is wanted: the state machine and the function are apart")
    if not _RUN_ID.fullmatch(run_id):
        raise BadTrigger("`run_id` is not a run's id")
    return Continue(RunId(run_id))
