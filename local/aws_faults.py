"""AWS misbehaving on request: `GET`, `POST` and `DELETE /_local/faults`. moto refuses and throttles nobody by itself.

A fault names who is struck (a role of the template, `ResultsFunctionRole`), at which action, on which resource, the
last two as IAM writes patterns. `deny` is what AWS answers to a caller whose right was taken away; `throttle` what a
table answers that has no room. Each stands until it is taken back, or has struck `times` times.
"""

import fnmatch
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from local.iam import Call
from local.metrics import Metrics, metric
from local.wire import Json

READS = frozenset({"BatchGetItem", "GetItem", "Query", "Scan"})
"""Actions of DynamoDB whose throttling is counted as reads."""


@dataclass(slots=True)
class AwsFault:
    """One misbehaviour of AWS."""

    who: str
    action: str
    resource: str = "*"
    kind: Literal["deny", "throttle"] = "deny"
    times: int | None = None
    struck: int = 0

    def strikes(self, who: str, call: Call) -> bool:
        """Whether a call of a role is struck."""
        return (
            who == self.who
            and fnmatch.fnmatch(call.action, self.action)
            and fnmatch.fnmatchcase(call.resource, self.resource)
            and (self.times is None or self.struck < self.times)
        )


class AwsFaults:
    """The faults that are switched on."""

    def __init__(self, metrics: Metrics) -> None:
        """Count throttled requests in `metrics`, as DynamoDB does."""
        self._metrics = metrics
        self._faults: list[AwsFault] = []
        self._lock = threading.Lock()

    def add(self, asked: Json) -> None:
        """Switch one on.

        Raises:
            ValueError: it is none.
        """
        try:
            fault = AwsFault(**asked)
        except TypeError as error:
            raise ValueError(str(error)) from error
        if fault.kind not in {"deny", "throttle"}:
            message = f"no such kind: {fault.kind}"
            raise ValueError(message)
        self._faults.append(fault)

    def clear(self) -> None:
        """Switch all off."""
        self._faults.clear()

    def record(self) -> Sequence[Json]:
        """Return those that are on."""
        return [asdict(fault) for fault in self._faults]

    def strike(self, who: str, calls: Iterable[Call]) -> str | None:
        """Return the kind of the fault that strikes a request of a role, and count it; None: nothing does."""
        made = list(calls)
        with self._lock:
            fault = next((each for each in self._faults for call in made if each.strikes(who, call)), None)
            if fault is None:
                return None
            fault.struck += 1
        if fault.kind == "throttle":
            for call in made:
                self._count(call)
        return fault.kind

    def _count(self, call: Call) -> None:
        """Count each item of a request that was throttled, as DynamoDB does."""
        _, table = call.resource.split(":table/")
        kind = "Read" if call.action.split(":")[1] in READS else "Write"
        self._metrics.put(metric("AWS/DynamoDB", f"{kind}ThrottleEvents", TableName=table.split("/")[0]), 1)
