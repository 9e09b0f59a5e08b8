"""The desk's own interface, below /_local/ on the cloud's endpoint: look inside, and make things happen."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from local.alarms import Alarms
from local.aws_faults import AwsFaults
from local.clock import VirtualClock
from local.events import EventBridge, NoSuchScheduleError
from local.feed import Feed
from local.iam import Access
from local.lambda_plane import LambdaPlane, NoSuchFunctionError, access_key_id
from local.metrics import Metrics
from local.wire import Json

STEP = 600.0
"""Virtual seconds that the clock is let jump at most while time is made to pass."""

type Answer = tuple[HTTPStatus, object]


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers GET and POST below /_local/."""

    clock: VirtualClock
    feed: Feed
    plane: LambdaPlane
    events: EventBridge
    access: Access
    faults: AwsFaults
    metrics: Metrics
    alarms: Alarms
    resources: dict[str, str]
    """Logical id → physical id; filled in by the deployment."""

    def answer(self, method: str, name: str, query: dict[str, str], body: bytes) -> Answer:
        """Return a status and a JSON value."""
        looks: dict[str, Callable[[], object]] = {
            "alarms": self.alarms.record,
            "calls": lambda: list(self.plane.calls),
            "clock": lambda: {"now": self.clock.now().isoformat(), "offset": self.clock.file.seconds},
            "deliveries": lambda: list(self.events.deliveries),
            "events": lambda: self.feed.after(int(query.get("after", 0))),
            "faults": self.faults.record,
            "iam": self.access.report,
            "signers": lambda: {c.logical_id: access_key_id(c.name) for c in self.plane.configs},
            "logs": lambda: list(self.plane.lines),
            "metrics": self.metrics.record,
        }
        if method == "GET" and name in looks:
            return HTTPStatus.OK, looks[name]()
        deeds: dict[str, Callable[[], Answer]] = {
            "DELETE faults": self._well_again,
            "POST deliver": lambda: self._deliver(json.loads(body)),
            "POST faults": lambda: self._misbehave(json.loads(body)),
            "POST fire": lambda: self._fire(query),
            "POST kill": lambda: self._kill(query["function"]),
            "POST pass": lambda: self._pass(float(query["seconds"])),
        }
        if (what := f"{method} {name}") not in deeds:
            return HTTPStatus.NOT_FOUND, {"error": f"no {what} here"}
        try:
            return deeds[what]()
        except (NoSuchScheduleError, NoSuchFunctionError, KeyError) as error:
            return HTTPStatus.NOT_FOUND, {"error": f"not found: {error}"}
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}

    def _fire(self, query: dict[str, str]) -> Answer:
        """Fire a schedule by physical or logical name."""
        name = self.resources.get(query["name"], query["name"])
        at = datetime.fromisoformat(query["at"]) if "at" in query else None
        return HTTPStatus.ACCEPTED, self.events.fire(name, at)

    def _deliver(self, event: Json) -> Answer:
        """Deliver an event once more, as EventBridge may: to every rule that matches."""
        self.events.publish(event)
        return HTTPStatus.ACCEPTED, {}

    def _misbehave(self, fault: Json) -> Answer:
        """Let AWS refuse or throttle somebody."""
        self.faults.add(fault)
        return HTTPStatus.OK, self.faults.record()

    def _well_again(self) -> Answer:
        """Let AWS do for everybody what it should."""
        self.faults.clear()
        return HTTPStatus.OK, self.faults.record()

    def _pass(self, seconds: float) -> Answer:
        """Let virtual time pass, and all that is due in it happen; answer when it has."""
        while (
            seconds > 0
        ):  # in steps: where the machine is busy the clock may jump while something is between two waits
            self.clock.wait(min(seconds, STEP))
            seconds -= STEP
        return HTTPStatus.OK, {"now": self.clock.now().isoformat()}

    def _kill(self, function: str) -> Answer:
        if self.plane.kill(function):
            return HTTPStatus.OK, {"killed": function}
        return HTTPStatus.NOT_FOUND, {"error": f"no process of {function} is working"}
