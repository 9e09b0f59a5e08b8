"""CloudWatch's metrics: what functions print as lines of EMF, and what AWS counts by itself, at virtual times."""

import json
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends

from local.seams import Seam
from local.wire import ACCOUNT, REGION, Json

SEAMS = (Seam("moto.cloudwatch.models", "CloudWatchBackend.put_metric_data", ("self", "namespace", "metric_data")),)

KEPT = 100_000
"""Data points of one metric that are remembered: a year of one each five minutes."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What CloudWatch tells metrics apart by."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def metric(namespace: str, name: str, **dimensions: str) -> Metric:
    """Name a metric."""
    return Metric(namespace, name, frozenset(dimensions.items()))


class Metrics:
    """Every data point, by metric, in the order of time."""

    def __init__(self, timestamp: Callable[[], float]) -> None:
        """Date each data point with `timestamp`, virtual seconds since the epoch."""
        self._timestamp = timestamp
        self._points: dict[Metric, list[tuple[float, float]]] = defaultdict(list)
        self._lock = threading.Lock()

    def put(self, what: Metric, value: float, at: float | None = None) -> None:
        """Add a data point of now, or of `at`, here and where `GetMetricStatistics` finds it."""
        at = self._timestamp() if at is None else at
        with self._lock:
            points = self._points[what]
            points.append((at, value))
            del points[:-KEPT]
        datum = {
            "MetricName": what.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in what.dimensions],
            "Timestamp": datetime.fromtimestamp(at, UTC).replace(tzinfo=None),  # moto compares it with such ones
            "Value": value,
        }
        backend: CloudWatchBackend = cloudwatch_backends[ACCOUNT][REGION]
        backend.put_metric_data(what.namespace, [datum])

    def line(self, text: str) -> None:
        """Take the metrics of a line of a log, if it is one of EMF."""
        if text.startswith("{") and '"_aws"' in text:
            line = json.loads(text)
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
                self._of_directive(line, directive)

    def known(self) -> Sequence[Metric]:
        """Return every metric that has a data point."""
        with self._lock:
            return list(self._points)

    def between(self, what: Metric, start: float, end: float) -> Sequence[tuple[float, float]]:
        """Return the data points (time, value) from `start` on and before `end`."""
        with self._lock:
            points = self._points.get(what, [])
            return points[bisect_left(points, (start,)) : bisect_left(points, (end,))]

    def record(self) -> Sequence[Json]:
        """Return all of it, for `GET /_local/metrics`."""
        return [
            {
                "namespace": each.namespace,
                "name": each.name,
                "dimensions": dict(each.dimensions),
                "points": self.between(each, 0, float("inf")),
            }
            for each in self.known()
        ]

    def _of_directive(self, line: Mapping[str, Any], directive: Mapping[str, Any]) -> None:
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, str(line[name])) for name in names)
            for defined in directive["Metrics"]:
                value = line[defined["Name"]]
                for each in value if isinstance(value, list) else [value]:
                    self.put(Metric(directive["Namespace"], defined["Name"], dimensions), float(each))
