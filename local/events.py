"""EventBridge: uploads become events, rules and schedules become asynchronous invocations."""

import copy
import itertools
import json
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from moto.events.models import Rule, events_backends
from moto.events.utils import EventTemplateParser
from moto.s3 import notifications
from moto.scheduler.models import Schedule, scheduler_backends

from local import seams
from local.async_invoke import AsyncInvoker
from local.clock import VirtualClock
from local.feed import Feed
from local.function_config import named
from local.iam import Access
from local.seams import Seam
from local.wire import ACCOUNT, REGION, Json

SEAMS = (
    Seam("moto.s3.notifications", "_send_event_bridge_message", ("account_id", "bucket", "event_name", "key")),
    Seam("moto.s3.notifications", "_detail_type", ("event_name",)),
    Seam("moto.events.models", "Rule.send_to_targets", ("self", "original_event", "transform_input")),
    Seam("moto.events.models", "EventPattern.matches_event", ("self", "event")),
    Seam("moto.events.utils", "EventTemplateParser.parse", ("input_template", "input_paths_map", "event")),
)

REASONS = {
    "Put": "PutObject",
    "Post": "POST Object",
    "Copy": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
    "Delete": "DeleteObject",
    "DeleteMarkerCreated": "DeleteObject",
}
"""S3's name in an EventBridge event for what its older notifications call by another."""

KEPT = 10_000
"""Deliveries that are remembered."""


class NoSuchScheduleError(Exception):
    """No schedule has that name."""


class EventBridge:
    """Delivers events to functions for real, and remembers each delivery."""

    def __init__(self, invoker: AsyncInvoker, clock: VirtualClock, feed: Feed, access: Access) -> None:
        """Deliver through `invoker`, if `access` lets the rule or the schedule."""
        self._invoker = invoker
        self._access = access
        self._clock = clock
        self._feed = feed
        self._sequence = itertools.count(0x617F08299329D189)
        self._lock = threading.Lock()
        self.deliveries: deque[Json] = deque(maxlen=KEPT)

    def install(self) -> None:
        """Put our deliveries into moto's S3 and its rules."""
        original = Rule.send_to_targets

        def uploaded(account_id: str, bucket: Any, event_name: str, key: Any) -> None:
            del account_id  # one account
            if "Tagging" not in event_name:  # moto sends one for every upload, tagged or not
                self.publish(self._object_event(bucket, event_name, key))

        def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:  # noqa: FBT001, FBT002, moto
            if rule.state != "ENABLED" or not rule.event_pattern.matches_event(original_event):
                return
            functions = [target for target in rule.targets if ":lambda:" in target["Arn"]]
            for target in functions:
                self._to_function(rule, target, original_event)
            if len(functions) < len(rule.targets):
                others = copy.copy(rule)
                others.targets = [target for target in rule.targets if target not in functions]
                original(others, original_event, transform_input)

        seams.replace(notifications, "_send_event_bridge_message", uploaded)
        seams.replace(Rule, "send_to_targets", send_to_targets)

    def publish(self, event: Any) -> None:
        """Offer an event to every rule."""
        for rule in self._rules():
            rule.send_to_targets(event, transform_input=False)

    def fire(self, name: str, at: datetime | None = None) -> Json:
        """Fire a schedule by hand, whatever its state, as EventBridge Scheduler does at `at` (default: now).

        Raises:
            NoSuchScheduleError: `name` is no schedule.
        """
        schedule, moment = _schedule(name), at or self._clock.now()
        text = schedule.target.get("Input") or "{}"
        attributes = {
            "schedule-arn": schedule.arn,
            "scheduled-time": _iso(moment.astimezone(UTC)),
            "execution-id": str(uuid.uuid4()),
            "attempt-number": "1",
        }
        for attribute, value in attributes.items():
            text = text.replace(f"<aws.scheduler.{attribute}>", value)
        event: Json = json.loads(text)
        target = schedule.target
        if self._access.permits(target["RoleArn"], "lambda:InvokeFunction", target["Arn"]):
            self.deliver(target["Arn"], event, f"schedule/{schedule.name}")
        return event

    def _to_function(self, rule: Rule, target: Json, original: Any) -> None:
        event = {name: value for name, value in original.items() if name != "ingestion-time"}
        if not isinstance(event["time"], str):  # PutEvents: moto keeps a number, of real time
            event["time"] = _iso(self._clock.now())
        if "Input" in target:
            event = json.loads(target["Input"])
        elif transformer := target.get("InputTransformer"):
            paths = transformer.get("InputPathsMap", {})
            parse = EventTemplateParser.parse
            event = parse(input_template=transformer["InputTemplate"], input_paths_map=paths, event=original)
        if self._access.service_permits("events.amazonaws.com", rule.arn, target["Arn"]):
            self.deliver(target["Arn"], event, f"rule/{rule.name}")

    def deliver(self, arn: str, event: Json, source: str) -> None:
        """Hand an event to a function; used as well to deliver a recorded one again."""
        delivery: Json = {"at": self._clock.now().isoformat(), "source": source, "target": arn, "event": event}
        with self._lock:
            self.deliveries.append(delivery)
        self._feed.add("delivery.made", source=source, target=named(arn)[0])
        self._invoker.invoke(arn, json.dumps(event).encode())

    def _object_event(self, bucket: Any, event_name: str, key: Any) -> Json:
        """What S3 sends to EventBridge; moto's own lacks the request's reason, its moment and a sequence."""
        detail_type = notifications._detail_type(event_name)  # noqa: SLF001, a seam
        self._feed.add(detail_type.lower().replace(" ", "."), bucket=bucket.name, key=key.name, size=key.size)
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": "aws.s3",
            "account": ACCOUNT,
            "time": _iso(self._clock.now()),
            "region": REGION,
            "resources": [bucket.arn],
            "detail": self._object_detail(bucket, event_name.rsplit(":", maxsplit=1)[-1], key),
        }

    def _object_detail(self, bucket: Any, kind: str, key: Any) -> Json:
        found = {
            "key": key.name,
            "size": key.size,
            "etag": key.etag.strip('"'),
            "sequencer": f"{next(self._sequence):016X}",
        }
        return {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": found | ({"version-id": key.version_id} if bucket.is_versioned else {}),
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": REASONS.get(kind, kind),
        }

    @staticmethod
    def _rules() -> Iterable[Rule]:
        buses = events_backends[ACCOUNT][REGION].event_buses
        return list(buses["default"].rules.values())  # AWS services send to the default bus only


def _schedule(name: str) -> Schedule:
    groups = scheduler_backends[ACCOUNT][REGION].schedule_groups.values()
    for schedule in (schedule for group in groups for schedule in group.schedules.values()):
        if schedule.name == name:
            return schedule
    raise NoSuchScheduleError(name)


def _iso(moment: datetime) -> str:
    """A moment as AWS writes it in events: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
