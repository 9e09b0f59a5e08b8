"""Does what the first step of the plan in its input says, and hands the rest of the plan on."""

import os
import time
from collections.abc import Callable
from typing import Any

from nightshift import clock

FAILED: set[str] = set()


class FlakyError(Exception):
    """Raised once by each process for each step that asks for it."""


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Take one step."""
    if event["do"] == "each":
        return {"item": event["item"] * 2, "pid": os.getpid()}
    state = event["state"]
    seen = [*state.get("seen", []), clock.now().timestamp()]
    verb, value = state["plan"][0] if state["plan"] else ("done", None)
    kept = {**state, "seen": seen[-20:], "pid": os.getpid(), "answer": os.environ["ANSWER"], "plan": state["plan"][1:]}
    return kept | STEPS[verb](value, kept["plan"])


def _turns(count: int, plan: list[Any]) -> dict[str, Any]:
    return {"step": "wait", "seconds": 60, "plan": [["turns", count - 1], *plan] if count > 1 else plan}


def _flaky(name: str, _plan: list[Any]) -> dict[str, Any]:
    if name not in FAILED:
        FAILED.add(name)
        raise FlakyError(name)
    return {"step": "wait", "seconds": 1}


def _break(reason: str, _plan: list[Any]) -> dict[str, Any]:
    raise RuntimeError(reason)


def _sleep(seconds: float, _plan: list[Any]) -> dict[str, Any]:
    time.sleep(seconds)
    return {"step": "wait", "seconds": 1}


def _allocate(megabytes: int, _plan: list[Any]) -> dict[str, Any]:
    return {"step": "wait", "seconds": 1, "allocated": len(bytearray(megabytes * 1024 * 1024))}


STEPS: dict[str, Callable[[Any, list[Any]], dict[str, Any]]] = {
    "done": lambda _value, _plan: {"step": "done"},
    "wait": lambda seconds, _plan: {"step": "wait", "seconds": seconds},
    "spread": lambda items, _plan: {"step": "spread", "items": items},
    "exit": lambda status, _plan: os._exit(status),
    "environment": lambda _value, _plan: {"step": "done", "environment": sorted(os.environ)},
    "turns": _turns,
    "flaky": _flaky,
    "break": _break,
    "sleep": _sleep,
    "allocate": _allocate,
}
