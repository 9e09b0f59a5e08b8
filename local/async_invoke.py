"""Lambda's asynchronous invocation: a queue, two retries, then the on-failure destination."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from local.clock import VirtualClock
from local.environment import Outcome
from local.feed import Feed
from local.function_config import named
from local.lambda_plane import LambdaPlane, ThrottledError

logger = logging.getLogger(__name__)

RETRY_SECONDS = (60.0, 120.0)
"""Lambda retries a failed asynchronous invocation after one minute, then after two more (virtual seconds)."""

THROTTLE_SECONDS = 1.0
"""A throttled event goes back to Lambda's queue; its first back-off is one second."""


@dataclass(frozen=True, slots=True)
class AsyncSettings:
    """What AWS::Lambda::EventInvokeConfig says."""

    retries: int = 2
    longest_age: float = 21_600
    """Virtual seconds that an event may wait in Lambda's queue."""
    on_failure: str | None = None
    """ARN of a queue."""


@dataclass(slots=True)
class _Event:
    """An event in Lambda's queue."""

    function: str
    """Its name."""
    qualifier: str
    payload: bytes
    born: float
    attempts: int = 0


class AsyncInvoker:
    """Invokes functions without anybody waiting for the answer."""

    def __init__(
        self,
        plane: LambdaPlane,
        clock: VirtualClock,
        feed: Feed,
        send: Callable[[str, str, str], None],
    ) -> None:
        """`send(function, arn, body)` puts a message into a queue in the function's name."""
        self._plane = plane
        self._clock = clock
        self._feed = feed
        self._send = send
        self._settings: dict[tuple[str, str], AsyncSettings] = {}

    def configure(self, function: str, qualifier: str, settings: AsyncSettings) -> None:
        """Set the retries and the destination of what is invoked by this very qualifier of a function's name."""
        self._settings[function, qualifier] = settings

    def invoke(self, function: str, payload: bytes) -> None:
        """Queue one event and return; `function` is a name or an ARN, qualified or not."""
        name, qualifier = self._plane.config(function).name, named(function)[1]
        self._start(_Event(name, qualifier, payload, self._clock.timestamp()))

    def _start(self, event: _Event) -> None:
        """Attempt in a thread; the clock is held from now on, not from when the thread runs."""
        self._clock.start_work()
        threading.Thread(target=self._attempt, args=(event,), name=f"event for {event.function}", daemon=True).start()

    def _attempt(self, event: _Event) -> None:
        try:
            outcome = self._plane.invoke(event.function, event.payload)
        except ThrottledError:
            self._clock.call_later(THROTTLE_SECONDS, lambda: self._start(event))
        else:
            event.attempts += 1
            if outcome.error:
                self._failed(event, outcome)
        finally:
            self._clock.end_work()

    def _failed(self, event: _Event, outcome: Outcome) -> None:
        """Try again later, or give up."""
        settings = self._settings.get((event.function, event.qualifier), AsyncSettings())
        if event.attempts > settings.retries:
            self._give_up(event, outcome, settings, "RetriesExhausted")
            return
        pause = RETRY_SECONDS[event.attempts - 1]
        if self._clock.timestamp() + pause - event.born > settings.longest_age:
            self._give_up(event, outcome, settings, "EventAgeExceeded")
            return
        self._feed.add("delivery.retried", function=event.function, attempt=event.attempts, seconds=pause)
        self._clock.call_later(pause, lambda: self._start(event))

    def _give_up(self, event: _Event, outcome: Outcome, settings: AsyncSettings, condition: str) -> None:
        logger.warning("%s failed %s times: %s", event.function, event.attempts, condition)
        self._feed.add("delivery.failed", function=event.function, condition=condition)
        if settings.on_failure is None:
            return
        record = {
            "version": "1.0",
            "timestamp": self._clock.now().isoformat(),
            "requestContext": {
                "requestId": outcome.request_id,
                "functionArn": f"{self._plane.config(event.function).arn}:{event.qualifier}",
                "condition": condition,
                "approximateInvokeCount": event.attempts,
            },
            "requestPayload": json.loads(event.payload),
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": outcome.error},
            "responsePayload": json.loads(outcome.payload),
        }
        self._send(event.function, settings.on_failure, json.dumps(record))
