"""One history's world: functions, machine, API and time, and everything that is to go wrong in it."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import yaml
from botocore.exceptions import ConnectionClosedError

from local.batches_api import app as batches_app
from local.batches_api.desk import Desk
from local.batches_api.faults import Fault
from local.batches_api.settings import Settings
from tests.faults import cloud, ledger_watch, wire
from tests.faults.boundaries import Site, Sites, UnknownPlace
from tests.faults.cloud import Current
from tests.faults.fibers import Fiber, Fibers
from tests.faults.machine import Execution, TaskFailedError

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC).timestamp()
PORTS = {"sfn": "executions", "api": "api"}
LATENCY = {"api": (0.05, 1.5)}
"""Seconds a call takes, from and to; AWS's are (0.005, 0.05)."""

PARTS, BLOCKS = 0.15, 0.3
"""The share of histories in which uploads have several parts, archives several blocks: they take longer."""

SITES = Sites()


class Killed(BaseException):
    """A process that dies where it is. Nothing that catches errors catches it."""


@dataclass(frozen=True, slots=True)
class Upset:
    """One thing that goes wrong at a boundary, the nth time that somebody passes it."""

    site: str
    edge: str
    nth: int = 1
    kind: str = "kill"
    """`kill`; `lose` (the answer; `amount` times); `pause` (`amount` seconds, alive or not); `refuse` (AWS or the
    network says no before anything was done, `amount` times)."""
    amount: float = 1


@dataclass(slots=True, eq=False)
class Invocation:
    """A process: of a function, or of a person at a terminal."""

    function: str
    deadline: float
    dead: bool = False
    zombie: bool = False
    """It outlives its deadline: what no Lambda does, and what the deadline check is for."""

    function_version = "1"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    @property
    def function_name(self) -> str:
        """Return the function's name, as the Lambda context has it."""
        return self.function

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left, as the Lambda context does."""
        return max(0, int((self.deadline - Current.now()) * 1000))


@dataclass(slots=True)
class Seen:
    """What a history came by."""

    passed: Counter[tuple[Site, str]] = field(default_factory=Counter)
    upset: Counter[tuple[Site, str]] = field(default_factory=Counter)
    """Boundaries at which something was done to somebody."""
    killed: int = 0
    first_upset: float | None = None
    problems: list[str] = field(default_factory=list)
    """What is never allowed, as it happened."""


class World:
    """AWS, the API, and time."""

    def __init__(self, seed: str, upsets: Iterable[Upset], settings: Mapping[str, Any], handlers: Any) -> None:
        """Begin with an empty AWS and an API that behaves."""
        cloud.empty(seed)
        self.rng = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        cloud.cut_small(parts=self.rng.random() < PARTS, blocks=self.rng.random() < BLOCKS)
        self.fibers = Fibers(START, fatal=(UnknownPlace,))
        self.seen = Seen()
        self.watch = ledger_watch.LedgerWatch()
        self.dead_letters: list[Any] = []
        self.lost_events = 0.0
        """The share of the machine's failure events that never arrive."""
        self.broken: set[str] = set()
        """Functions that fail whatever they are asked, until a person mends them."""
        self.withheld = False
        """The API keeps a result back for ever."""
        self.over = False
        self.passing: Callable[[Site, str], None] = lambda _site, _edge: None
        """Is told of each boundary that somebody is about to pass."""
        self.handlers = handlers
        self._upsets = {(upset.site, upset.edge): upset for upset in upsets}
        self._left = {id(upset): upset.amount for upset in upsets}
        self._folder = Path(tempfile.mkdtemp(prefix="history-"))
        self._known: dict[str, Fiber] = {}
        self._living: list[Fiber] = []
        self._closed = False
        self._streaming: Site | None = None
        clock: Any = self  # the API's clock has one method, `now`
        chosen = Settings().patched({"duration_seconds": 240.0, "jitter": 0.5, **settings})
        self.api = Desk(clock, self._folder / "batches", chosen, seed)
        self.api._worker = wire.AtOnce()  # type: ignore[assignment]
        self._app = batches_app.build(self.api)
        self._rough = {upset.site for upset in self._upsets.values() if upset.kind in {"lose", "refuse"}}
        Current.plainly = self._plainly
        Current.now, Current.sleep = self.now, self.fibers.sleep
        Current.send, Current.during, Current.app = self._send, self._during, lambda: self._app

    def now(self) -> float:
        """Return the moment, in seconds since the epoch."""
        return self.fibers.now

    def arm(self, upset: Upset) -> None:
        """Have something go wrong the next time that somebody passes a boundary."""
        self._upsets[upset.site, upset.edge] = upset
        self._left[id(upset)] = upset.amount
        if upset.kind in {"lose", "refuse"}:
            self._rough.add(upset.site)

    def disarm(self) -> None:
        """Let nothing more go wrong; what was done to rows of batches that stand is done."""
        self._upsets.clear()
        self._rough.clear()
        self.api.faults.faults.clear()

    def pass_time(self, seconds: float) -> None:
        """Run the world for so many seconds, from outside of it."""
        time = self.fibers.spawn("time", partial(self.sleep, seconds))
        self.fibers.run(until=lambda: time.done)

    def close(self) -> None:
        """End whatever still lives, and remove the files of the API."""
        self._closed = True
        self.fibers.close()
        shutil.rmtree(self._folder)

    # --- what happens

    def fault(self, endpoint: str, kind: str, **more: Any) -> None:
        """Have the API misbehave."""
        self.api.faults.faults.append(Fault(endpoint=endpoint, kind=kind, **more))  # type: ignore[arg-type]

    def create_elsewhere(self, body: Any) -> None:
        """Make a batch as somebody else who has our key."""
        headers = {"authorization": f"Bearer {cloud.GOOD_KEY}", "anthropic-version": "2026-10-21"}
        request = httpx2.Request("POST", f"{cloud.API}/v1/messages/batches", headers=headers, json=body)
        board = self.api.faults.faults
        self.api.faults.faults = []  # what is to go wrong is to go wrong with ours
        Current.api.answer(request, request.content)
        self.api.faults.faults = board

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.fibers.sleep(seconds)

    def start(self, function: str, event: Any) -> tuple[Invocation, Fiber]:
        """Invoke a function, and do not wait for it."""
        invocation = Invocation(function, self.now() + TIMEOUTS[function])
        work = partial(self._live, invocation, lambda: self._handle(function, event, invocation))
        fiber = self.fibers.spawn(function, work, owner=invocation, after=self.rng.uniform(0.05, 0.4))
        self._living = [other for other in self._living if not other.done] + [fiber]
        return invocation, fiber

    def person(self, what: Callable[[], Any]) -> Fiber:
        """Have a person do something at a terminal, which may die under them."""
        invocation = Invocation("Terminal", self.now() + 3600)
        return self.fibers.spawn("Terminal", partial(self._live, invocation, what), owner=invocation)

    def _handle(self, function: str, event: Any, invocation: Invocation) -> Any:
        if function in self.broken:
            raise RuntimeError("broken on purpose")
        return self.handlers[function](event, invocation)

    def _live(self, invocation: Invocation, work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            invocation.dead = True

    def call(self, function: str, payload: Any, timeout: float) -> Any:
        """Invoke a function and wait, as the machine does; see `machine.Surroundings`."""
        _, fiber = self.start(function, payload)
        if not self.fibers.join(fiber, timeout):
            raise TaskFailedError("States.Timeout")
        if fiber.error is not None:
            killed = isinstance(fiber.error, Killed)
            raise TaskFailedError("Lambda.Unknown" if killed else type(fiber.error).__name__)
        return fiber.value

    def together(self, works: list[Callable[[], object]]) -> None:
        """See `machine.Surroundings`."""
        branches = [self.fibers.spawn("branch", work) for work in works]
        for branch in branches:
            self.fibers.join(branch)

    def deliver(self, function: str, event: Any, *, after: float = 0.0) -> Fiber:
        """Invoke a function asynchronously: Lambda tries it again 1 and 2 min after a failure, then gives up."""

        def tries() -> None:
            for pause in (60, 120, None):
                try:
                    self.call(function, event, 960)
                except TaskFailedError:
                    if pause is None:
                        self.dead_letters.append(event)
                    else:
                        self.sleep(pause)
                else:
                    return

        fiber = self.fibers.spawn(f"deliver to {function}", tries, owner=NOBODY, after=after)
        self._living.append(fiber)
        return fiber

    def stop_all(self) -> None:
        """Abort every execution that runs."""
        for name in self.loops:
            self.stop_execution(name)

    def stop_execution(self, name: str) -> None:
        """Abort an execution; the functions that it has started go on."""
        record = next((e for e in cloud.executions() if e.name == name and e.status == "RUNNING"), None)
        if record is not None:
            self.fibers.abandon(self._known[name])
            self._ended(record, "ABORTED")

    @property
    def working(self) -> bool:
        """Tell whether any process lives, or an event is still to be delivered, the audit's own ticks left out."""
        return any(not fiber.done for fiber in self._living)

    @property
    def loops(self) -> list[str]:
        """The executions that run."""
        return [e.name for e in cloud.executions() if e.status == "RUNNING"]

    def _look_for_executions(self) -> None:
        for record in cloud.executions():
            if record.name not in self._known:
                entry = yaml.safe_load(record.execution_input)
                execution = Execution(self, record.name, entry)

                def walk(execution: Execution = execution, record: Any = record) -> None:
                    status = execution.run()
                    if record.status == "RUNNING":
                        self._ended(record, status)

                self._known[record.name] = self.fibers.spawn(record.name, walk, owner=NOBODY)

    def _ended(self, record: Any, status: str) -> None:
        record.status = status
        if status != "SUCCEEDED" and "AuditFunction" in self.handlers and self.rng.random() >= self.lost_events:
            self.deliver("AuditFunction", machine_event(record.name, status), after=1.0)

    # --- the seams

    def _send(self, service: str, operation: str, request: Any, do: Callable[[], Any]) -> Any:
        """Pass one call of AWS or the API, unless something goes wrong with it."""
        if self._closed:
            raise Killed
        invocation = self.fibers.current.owner if self.fibers.current is not None else None
        port = _port(service, operation, request)
        if not port or not isinstance(invocation, Invocation):
            return do()
        self._alive(invocation)
        site = SITES.of_caller(port)
        if self._at(site, "before", invocation) == "refuse":
            return _refused(service, request)
        self.fibers.sleep(self.rng.uniform(*LATENCY.get(service, (0.005, 0.05))))
        self._alive(invocation)
        answer = None
        try:
            answer = do()
        finally:
            self._look_around(service, operation, request, answer)
        self._at(site, "after", invocation)
        if "lost" in site.edges and self._at(site, "lost", invocation) == "lose":
            raise _lost(service, request)
        if operation == "results":
            self._streaming = site
        return answer

    def _plainly(self, service: str, operation: str, request: Any) -> bool:
        """Tell whether AWS answers this call, and its answer arrives."""
        invocation = self.fibers.current.owner if self.fibers.current is not None else None
        if not isinstance(invocation, Invocation):
            return True
        return str(SITES.of_caller(_port(service, operation, request))) not in self._rough

    def _during(self) -> None:
        invocation = self.fibers.current.owner if self.fibers.current is not None else None
        if isinstance(invocation, Invocation) and self._streaming is not None:
            self._at(self._streaming, "during", invocation)

    def _look_around(self, service: str, operation: str, request: Any, answer: Any) -> None:
        if service == "sfn":
            self._look_for_executions()
        elif service == "dynamodb" and operation not in {"GetItem", "Query", "BatchGetItem"}:
            self.seen.problems += self.watch.changes(request, answer, self.now())
        elif operation == "create":
            self.seen.problems += self.watch.posted(self.api)

    def _alive(self, invocation: Invocation) -> None:
        if invocation.dead or (self.now() >= invocation.deadline and not invocation.zombie):
            self._kill(invocation)

    def _kill(self, invocation: Invocation) -> None:
        invocation.dead = True
        raise Killed

    def _at(self, site: Site, edge: str, invocation: Invocation) -> str:
        """Pass a boundary. Returns what the caller is to do about it: `refuse`, `lose`, or nothing."""
        self.seen.passed[site, edge] += 1
        self.passing(site, edge)
        upset = self._upsets.get((str(site), edge))
        if upset is None or self.seen.passed[site, edge] < upset.nth or self._left[id(upset)] <= 0:
            return ""
        if self.seen.first_upset is None:
            self.seen.first_upset = self.now()
        self.seen.upset[site, edge] += 1
        if upset.kind in {"kill", "pause"}:
            self._left[id(upset)] = 0
        else:
            self._left[id(upset)] -= 1
        match upset.kind:
            case "kill":
                self.seen.killed += 1
                self._kill(invocation)
            case "pause":
                invocation.zombie = True
                self.fibers.sleep(upset.amount + self.rng.uniform(-2.5, 2.5))
        return upset.kind


NOBODY = object()
"""The owner of what is no process: an execution outlives whoever started it."""


def machine_event(execution: str, status: str) -> dict[str, Any]:
    """Return what EventBridge says when an execution ends badly."""
    return {
        "version": "0",
        "id": "5a1d3a0c-0f4e-4a67-9d55-5a0b1c2d3e4f",
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "account": cloud.ACCOUNT,
        "region": cloud.REGION,
        "time": "2026-11-22T02:00:00Z",
        "resources": [],
        "detail": {
            "executionArn": f"arn:aws:states:{cloud.REGION}:{cloud.ACCOUNT}:execution:{cloud.MACHINE}:{execution}",
            "stateMachineArn": f"arn:aws:states:{cloud.REGION}:{cloud.ACCOUNT}:stateMachine:{cloud.MACHINE}",
            "name": execution,
            "status": status,
        },
    }


def _port(service: str, operation: str, request: Any) -> str:
    """Return which port of the core a call belongs to.

    None for the secret, and none for the abort of an upload: whoever dies in an upload never comes to it.
    """
    if operation == "AbortMultipartUpload":
        return ""
    if service == "dynamodb":
        return "tickets" if f'"{cloud.TICKETS}"'.encode() in request.body else "ledger"
    if service == "s3":
        return "inputs" if cloud.INPUTS in request.url.split("?")[0].split("/runs/")[0] else "outputs"
    return PORTS.get(service, "")


def _refused(service: str, request: Any) -> Any:
    match service:
        case "api":
            raise httpx2.ConnectError("connection refused, on purpose", request=request)
        case "s3":
            return wire.refusal(service, 503, "SlowDown")
        case "dynamodb":
            return wire.refusal(service, 400, "com.amazonaws.dynamodb.v20120810#ThrottlingException")
    return wire.refusal(service, 500, "InternalServerError")


def _lost(service: str, request: Any) -> Exception:
    if service == "api":
        return httpx2.RemoteProtocolError("Server disconnected without sending a response.", request=request)
    return ConnectionClosedError(endpoint_url=request.url)


def _timeouts() -> dict[str, int]:
    """Read the functions' time-outs from the template."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    resources = yaml.load((cloud.ROOT / "template.yaml").read_text(), Loader)["Resources"]  # noqa: S506 - a SafeLoader
    return {
        name: resource["Properties"]["Timeout"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


TIMEOUTS = _timeouts()
