"""CloudWatch's alarms, evaluated over the desk's metrics as their definitions say, in virtual time.

CloudWatch looks once a minute; here it is done when somebody asks, for each minute since the last time in which a data
point came, and for now. What is implemented is what the template uses: one metric, or metrics and one expression; M of
N data points; the four ways to treat missing ones. As on AWS a window reaches back beyond the periods that count: an
alarm is judged by its newest data points, and only what is still missing then is filled.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from local.metrics import Metric, Metrics
from local.seams import Seam
from local.wire import ACCOUNT, REGION, Json, LocalError

SEAMS = (
    Seam(
        "moto.cloudwatch.models",
        "CloudWatchBackend.set_alarm_state",
        ("self", "alarm_name", "reason", "reason_data", "state_value"),
    ),
)

MINUTE = 60
BEYOND = 2
"""Periods that CloudWatch looks back beyond those it counts. It says of 3 that it looks at 5, and not of others."""

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Average": lambda values: sum(values) / len(values),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One metric of an alarm, and how its data points become one a period."""

    metric: Metric
    statistic: str


@dataclass(slots=True)
class Alarm:
    """An alarm as it is deployed, and how it stands."""

    name: str
    description: str
    parts: Mapping[str, Part]
    """By the id that the expression knows them by."""
    expression: str
    """Over the parts; empty: the only part is it."""
    period: int
    """Seconds."""
    periods: int
    to_alarm: int
    comparison: str
    threshold: float
    missing: str
    state: str = "INSUFFICIENT_DATA"
    seen: float = 0.0
    """Until when data points were judged."""
    changes: list[Json] = field(default_factory=list)

    def judge(self, metrics: Metrics, end: float) -> None:
        """Take the state that CloudWatch would give the alarm at `end`, a whole minute."""
        values = [self._value(metrics, end - n * self.period) for n in range(self.periods + BEYOND)]
        newest = [value for value in values if value is not None][: self.periods]
        breaching = [value for value in newest if COMPARISONS[self.comparison](value, self.threshold)]
        state = self._state(len(newest), len(breaching))
        if state != self.state:
            self.state = state
            at = datetime.fromtimestamp(end, UTC).isoformat()
            self.changes.append({"alarm": self.name, "at": at, "state": state, "values": newest})

    def minutes(self, metrics: Metrics, now: float) -> Iterator[float]:
        """Yield the ends of the minutes in which data points came since the alarm was judged last."""
        since, self.seen = self.seen, _minute(now)
        times = (at for part in self.parts.values() for at, _ in metrics.between(part.metric, since, self.seen))
        yield from sorted({_minute(at) + MINUTE for at in times} - {self.seen})

    def _state(self, found: int, breaching: int) -> str:
        lacking = self.periods - found
        if self.missing == "breaching":
            breaching += lacking
        if breaching >= self.to_alarm or (self.missing == "missing" and found == breaching > 0):
            return "ALARM"
        if not found and self.missing == "missing":
            return "INSUFFICIENT_DATA"
        if self.missing == "ignore" and found - breaching <= self.periods - self.to_alarm:
            return self.state
        return "OK"

    def _value(self, metrics: Metrics, end: float) -> float | None:
        known: dict[str, float | None] = {}
        for key, part in self.parts.items():
            values = [value for _, value in metrics.between(part.metric, end - self.period, end)]
            known[key] = STATISTICS[part.statistic](values) if values else None
        if not self.expression:
            return known.popitem()[1]
        return _evaluate(ast.parse(self.expression, mode="eval").body, known)


class Alarms:
    """All alarms of the stack."""

    def __init__(
        self, metrics: Metrics, timestamp: Callable[[], float], tell: Callable[[str, str], None] | None = None
    ) -> None:
        """Judge them by `metrics`, at `timestamp`, virtual seconds since the epoch.

        Args:
            metrics: what they watch.
            timestamp: the moment.
            tell: is given an alarm's name and its new state; by default moto is, for `DescribeAlarms`.
        """
        self._metrics = metrics
        self._tell = tell or _tell_moto
        self._timestamp = timestamp
        self._alarms: dict[str, Alarm] = {}
        self._gauges: list[tuple[Metric, Callable[[], float]]] = []

    def gauge(self, what: Metric, read: Callable[[], float]) -> None:
        """Measure something whenever the alarms are looked at: what AWS measures each minute."""
        self._gauges.append((what, read))

    def add(self, name: str, properties: Mapping[str, Any]) -> None:
        """Watch from now on what AWS::CloudWatch::Alarm says."""
        self._alarms[name] = _alarm(name, properties)

    def look(self) -> None:
        """Bring every alarm's state up to now, also where `DescribeAlarms` finds it."""
        now = self._timestamp()
        for what, read in self._gauges:
            self._metrics.put(what, read(), _minute(now) - 1)
        for alarm in self._alarms.values():
            before = alarm.state
            for minute in [*alarm.minutes(self._metrics, now), _minute(now)]:
                alarm.judge(self._metrics, minute)
            if alarm.state != before:
                self._tell(alarm.name, alarm.state)

    def record(self) -> Json:
        """Return how each stands, and every change, for `GET /_local/alarms`."""
        self.look()
        changes = [change for alarm in self._alarms.values() for change in alarm.changes]
        return {
            "states": {alarm.name: alarm.state for alarm in self._alarms.values()},
            "changes": sorted(changes, key=lambda change: str(change["at"])),
        }


def _tell_moto(name: str, state: str) -> None:
    cloudwatch_backends[ACCOUNT][REGION].set_alarm_state(name, "as its metric says", "{}", state)


def _minute(at: float) -> float:
    return at - at % MINUTE


def _alarm(name: str, properties: Mapping[str, Any]) -> Alarm:
    parts: dict[str, Part] = {}
    expression, periods = "", {int(properties["Period"])} if "Period" in properties else set()
    if "MetricName" in properties:
        parts["it"] = Part(_metric(properties), properties["Statistic"])
    for query in properties.get("Metrics", ()):
        if "Expression" in query:
            expression = query["Expression"]
        else:
            stat = query["MetricStat"]
            periods.add(int(stat["Period"]))
            parts[query["Id"]] = Part(_metric(stat["Metric"]), stat["Stat"])
    (period,) = periods
    count = int(properties["EvaluationPeriods"])
    return Alarm(
        name=name,
        description=properties.get("AlarmDescription", ""),
        parts=parts,
        expression=expression,
        period=period,
        periods=count,
        to_alarm=int(properties.get("DatapointsToAlarm", count)),
        comparison=properties["ComparisonOperator"],
        threshold=float(properties["Threshold"]),
        missing=properties.get("TreatMissingData", "missing"),
    )


def _metric(properties: Mapping[str, Any]) -> Metric:
    dimensions = frozenset((each["Name"], each["Value"]) for each in properties.get("Dimensions", ()))
    return Metric(properties["Namespace"], properties["MetricName"], dimensions)


def _evaluate(node: ast.expr, known: Mapping[str, float | None]) -> float | None:
    """Evaluate an expression of metric math for one period; None: there is no data point.

    Raises:
        LocalError: it uses what is not known here.
    """
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return known[name]
        case ast.Call(func=ast.Name(id="SUM"), args=[ast.Call(func=ast.Name(id="METRICS"))]):
            values = [value for value in known.values() if value is not None]
            return sum(values) if values else None
        case ast.Call(func=ast.Name(id="FILL"), args=[value, other]):
            found = _evaluate(value, known)
            return _evaluate(other, known) if found is None else found
        case ast.Call(func=ast.Name(id="IF"), args=[condition, yes, no]):
            met = _evaluate(condition, known)
            return None if met is None else _evaluate(yes if met else no, known)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return _both(operator.mul if isinstance(op, ast.Mult) else operator.truediv, left, right, known)
        case ast.Compare(left=left, ops=[ast.GtE()], comparators=[right]):
            return _both(operator.ge, left, right, known)
    message = f"no metric math that is known here: {ast.unparse(node)}"
    raise LocalError(message)


def _both(
    work: Callable[[float, float], float], left: ast.expr, right: ast.expr, known: Mapping[str, float | None]
) -> float | None:
    first, second = _evaluate(left, known), _evaluate(right, known)
    return None if first is None or second is None else float(work(first, second))
