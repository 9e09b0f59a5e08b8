"""When the demo believes that a night is over."""

import io
import time
from dataclasses import dataclass, field
from typing import Any, cast

from rich.console import Console

from local.demo.display import Display
from local.demo.faults import FAULTS, Provocation
from local.demo.follow import LATE_SECONDS, Follower
from local.demo.story import Story
from local.running import RunningCloud

STARTED = {"kind": "execution.started", "data": {"execution": "triage-c0001"}}
DELIVERED = {
    "kind": "delivery.made",
    "data": {"source": "rule/Uploaded", "target": "nightshift-SubmitFunction-00000000"},
}
ENDED = {"kind": "invocation.ended", "data": {"function": "SubmitFunction"}}


@dataclass
class Cloud:
    """A cloud that has one run, and whose loop ends when it is asked about."""

    happened: list[dict[str, Any]] = field(default_factory=list)
    run: dict[str, Any] = field(
        default_factory=lambda: {"run_id": "triage", "state": "open", "planned": True, "rows": 0}
    )
    known: bool = True

    def events(self, after: int) -> list[dict[str, Any]]:
        at = "2026-11-22T02:00:00+00:00"
        return [event | {"n": n, "at": at} for n, event in enumerate(self.happened, start=1) if n > after]

    def runs(self) -> list[dict[str, Any]]:
        return [self.run] if self.known else []

    def executions(self, _status: str) -> list[Any]:
        self.run["state"] = "done"
        return []

    def ledger(self, _run_id: str) -> tuple[dict[str, Any], list[Any]]:
        return dict(self.run), []

    def intent(self) -> None:
        return None

    def ask(self, _what: str) -> list[str]:
        return ["a log line"]

    def api(self, what: str, *_: object) -> dict[str, list[Any]]:
        return {what: [], "posts": []}


def follower(cloud: Cloud, fault: str = "") -> Follower:
    running = cast("RunningCloud", cloud)
    display = Display(Console(file=io.StringIO()), story := Story())
    made = Follower(running, story, Provocation(FAULTS.get(fault), running), display)
    made._events()
    return made


def test_a_loop_that_ends_while_the_demo_looks_is_not_one_that_died() -> None:
    assert follower(Cloud([STARTED])).follow() == ""


def test_a_run_whose_loop_has_not_begun_is_not_over() -> None:
    assert follower(Cloud([DELIVERED]))._turn(quiet=True) is None


def test_a_fault_that_was_not_seen_is_waited_for_a_little() -> None:
    late = follower(Cloud([STARTED]), "lost-response")

    assert late._turn(quiet=True) is None
    late.heard = time.monotonic() - LATE_SECONDS
    assert late._turn(quiet=True) == ""
    assert late.provocation.missing


def test_nothing_started_only_when_every_delivery_has_been_dealt_with() -> None:
    one_left = follower(Cloud([DELIVERED, ENDED, DELIVERED], known=False))
    none_left = follower(Cloud([DELIVERED, ENDED, DELIVERED, ENDED], known=False))

    assert one_left._turn(quiet=True) is None
    assert none_left._turn(quiet=True) == "the upload started no run; the functions say:\na log line"
