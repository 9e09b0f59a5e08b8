"""Does what the first step of the plan in its input says, and hands the rest of the plan on."""

import os
import time
from typing import Any

from nightshift import clock

FAILED: list[str] = []


class FlakyError(Exception):
    """Raised once for each step that asks for it."""


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Take one step."""
    if event["do"] == "each":
        return {"item": event["item"] * 2, "pid": os.getpid()}
    state = event["state"]
    seen = [*state.get("seen", []), clock.now().timestamp()]
    plan = state["plan"]
    kept = {**state, "seen": seen[-20:], "pid": os.getpid(), "answer": os.environ["ANSWER"], "plan": plan[1:]}
    if not plan:
        return {**kept, "step": "done"}
    verb, value = plan[0]
    match verb:
        case "wait":
            return {**kept, "step": "wait", "seconds": value}
        case "turns":
            more = [["turns", value - 1]] if value > 1 else []
            return {**kept, "step": "wait", "seconds": 60, "plan": [*more, *plan[1:]]}
        case "spread":
            return {**kept, "step": "spread", "items": value}
        case "flaky" if value not in FAILED:
            FAILED.append(value)
            raise FlakyError(value)
        case "break":
            raise RuntimeError(value)
        case "sleep":
            time.sleep(value)
        case "exit":
            os._exit(value)
        case "allocate":
            kept["allocated"] = len(bytearray(value * 1024 * 1024))
        case "see":
            kept["path"] = sorted(name for name in os.environ if name.startswith(("HOME", "VIRTUAL", "PYTEST")))
    return {**kept, "step": "wait", "seconds": 1}
