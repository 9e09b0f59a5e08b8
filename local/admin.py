"""The desk's own interface, below /_local/ on the cloud's endpoint: look inside, and make things happen."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from local.clock import VirtualClock
from local.events import EventBridge, NoSuchScheduleError
from local.feed import Feed
from local.iam import Access
from local.lambda_plane import LambdaPlane, NoSuchFunctionError
from local.wire import Json

type Answer = tuple[HTTPStatus, object]


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers GET and POST below /_local/."""

    clock: VirtualClock
    feed: Feed
    plane: LambdaPlane
    events: EventBridge
    access: Access
    resources: dict[str, str]
    """Logical id → physical id; filled in by the deployment."""

    def answer(self, method: str, name: str, query: dict[str, str], body: bytes) -> Answer:
        """Return a status and a JSON value."""
        looks: dict[str, Callable[[], object]] = {
            "calls": lambda: list(self.plane.calls),
            "clock": lambda: {"now": self.clock.now().isoformat(), "offset": self.clock.file.seconds},
            "deliveries": lambda: list(self.events.deliveries),
            "events": lambda: self.feed.after(int(query.get("after", 0))),
            "iam": self.access.report,
            "logs": lambda: list(self.plane.lines),
        }
        if method == "GET" and name in looks:
            return HTTPStatus.OK, looks[name]()
        try:
            match method, name:
                case "POST", "fire":
                    return self._fire(query)
                case "POST", "deliver":
                    return self._deliver(json.loads(body))
                case "POST", "kill":
                    return self._kill(query["function"])
        except (NoSuchScheduleError, NoSuchFunctionError, KeyError) as error:
            return HTTPStatus.NOT_FOUND, {"error": f"not found: {error}"}
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}
        return HTTPStatus.NOT_FOUND, {"error": f"no {method} {name} here"}

    def _fire(self, query: dict[str, str]) -> Answer:
        """Fire a schedule by physical or logical name."""
        name = self.resources.get(query["name"], query["name"])
        at = datetime.fromisoformat(query["at"]) if "at" in query else None
        return HTTPStatus.ACCEPTED, self.events.fire(name, at)

    def _deliver(self, event: Json) -> Answer:
        """Deliver an event once more, as EventBridge may: to every rule that matches."""
        self.events.publish(event)
        return HTTPStatus.ACCEPTED, {}

    def _kill(self, function: str) -> Answer:
        if self.plane.kill(function):
            return HTTPStatus.OK, {"killed": function}
        return HTTPStatus.NOT_FOUND, {"error": f"no process of {function} is working"}
