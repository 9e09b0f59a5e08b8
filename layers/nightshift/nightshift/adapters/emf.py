"""Metrics as lines of the log (EMF): CloudWatch makes metrics of them, for the stack and for each job."""

from collections.abc import Mapping
from enum import StrEnum

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "nightshift"

_UNITS = {"Seconds": MetricUnit.Seconds, "Percent": MetricUnit.Percent, "Usd": MetricUnit.NoUnit}


def unit_of(name: str) -> MetricUnit:
    """Return the unit that a metric's name ends in."""
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), MetricUnit.Count)


def emit[Metric: StrEnum](metrics: Mapping[Metric, float], *, job: str = "") -> None:
    """Print metrics with the dimensions `service` (the stack) and, of a job, `service` and `job` as well."""
    if not metrics:
        return
    line = EphemeralMetrics(namespace=NAMESPACE)  # `service` is POWERTOOLS_SERVICE_NAME
    if job and line.service:
        line.add_dimensions(service=line.service, job=job)
    for name, value in metrics.items():
        line.add_metric(name, unit_of(name), value)
    line.flush_metrics()
