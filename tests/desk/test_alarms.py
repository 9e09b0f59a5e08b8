"""Alarms on the desk against what CloudWatch documents."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.alarms import Alarms
from local.metrics import Metrics, metric
from local.wire import LocalError

NOON = 1_800_000_000.0
"""A whole minute, and a whole quarter of an hour."""
PLAIN = {
    "Namespace": "n",
    "MetricName": "M",
    "Dimensions": [{"Name": "service", "Value": "s"}],
    "Statistic": "Maximum",
    "Period": 300,
    "EvaluationPeriods": 3,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 1,
}
WATCHED = metric("n", "M", service="s")


@dataclass
class Room:
    """Alarms whose time and data are the test's."""

    now: float = NOON
    metrics: Metrics = field(init=False)
    alarms: Alarms = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: self.now)
        self.alarms = Alarms(self.metrics, lambda: self.now, lambda _name, _state: None)

    def state(self) -> str:
        record: dict[str, Any] = self.alarms.record()
        return str(record["states"]["alarm"])


# What the CloudWatch user guide says of 3 of 3 data points, "How alarm state is evaluated when data is missing":
# five periods, oldest first; 0 within the threshold, X beyond it, - missing.
@pytest.mark.parametrize(
    ("periods", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", "OK", "OK", "OK", "OK"),
        ("-----", "INSUFFICIENT_DATA", "kept", "ALARM", "OK"),
        ("0----", "OK", "OK", "OK", "OK"),
        ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", "ALARM", "kept", "ALARM", "OK"),
    ],
)
def test_missing_data_is_treated_as_the_user_guide_says(
    periods: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    expected = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for treatment, state in expected.items():
        room = Room()
        for number, sign in enumerate(periods):
            room.now = NOON + 300 * number + 10
            if sign != "-":
                room.metrics.put(WATCHED, 2 if sign == "X" else 0)
        room.now = NOON + 300 * len(periods)
        room.alarms.add("alarm", PLAIN | {"TreatMissingData": treatment})
        before = "INSUFFICIENT_DATA"
        room.alarms._alarms["alarm"].seen = room.now

        assert room.state() == (before if state == "kept" else state), treatment


def test_an_alarm_rings_in_the_minute_after_the_data_and_each_change_is_kept() -> None:
    room = Room()
    room.alarms.add("alarm", PLAIN | {"EvaluationPeriods": 1, "TreatMissingData": "notBreaching"})
    room.now = NOON + 30
    room.metrics.put(WATCHED, 5)
    assert room.state() == "OK"

    room.now = NOON + 60
    assert room.state() == "ALARM"
    room.now = NOON + 7200
    assert room.state() == "OK"
    assert [change["state"] for change in room.alarms.record()["changes"]] == ["OK", "ALARM", "OK"]


def test_an_alarm_that_rang_while_nobody_looked_is_in_the_changes() -> None:
    room = Room()
    room.alarms.add("alarm", PLAIN | {"EvaluationPeriods": 1, "TreatMissingData": "notBreaching"})
    room.now = NOON + 30
    room.metrics.put(WATCHED, 5)
    room.now = NOON + 7200

    assert room.state() == "OK"
    assert [(c["state"], c["values"]) for c in room.alarms.record()["changes"]] == [("ALARM", [5.0]), ("OK", [])]


def stat(key: str, name: str) -> Any:
    what = {"Namespace": "n", "MetricName": name, "Dimensions": [{"Name": "service", "Value": "s"}]}
    return {"Id": key, "ReturnData": False, "MetricStat": {"Stat": "Sum", "Period": 300, "Metric": what}}


@pytest.mark.parametrize(
    ("expression", "part", "whole", "state"),
    [
        ("IF(whole >= 50, 100 * part / whole, 0)", 2, 100, "ALARM"),
        ("IF(whole >= 50, 100 * part / whole, 0)", 1, 100, "OK"),
        ("IF(whole >= 50, 100 * part / whole, 0)", 40, 49, "OK"),
        ("SUM(METRICS())", 1, 1, "ALARM"),
        ("SUM(METRICS())", None, 1, "OK"),
        ("SUM(METRICS())", None, None, "OK"),
        ("FILL(part, 9)", None, 1, "ALARM"),
    ],
)
def test_the_expressions_of_the_template_are_evaluated(
    expression: str, part: float | None, whole: float | None, state: str
) -> None:
    room = Room()
    queries = [{"Id": "all", "Expression": expression}, stat("part", "P"), stat("whole", "W")]
    rest = {name: PLAIN[name] for name in ("ComparisonOperator", "Threshold")}
    room.alarms.add("alarm", {"Metrics": queries, "EvaluationPeriods": 1, "TreatMissingData": "notBreaching", **rest})
    for name, value in (("P", part), ("W", whole)):
        if value is not None:
            room.metrics.put(metric("n", name, service="s"), value)
    room.now += 60

    assert room.state() == state


def test_metric_math_that_is_not_known_here_is_an_error_and_no_silence() -> None:
    room = Room()
    queries = [{"Id": "all", "Expression": "RATE(part)"}, stat("part", "P")]
    rest = {name: PLAIN[name] for name in ("ComparisonOperator", "Threshold")}
    room.alarms.add("alarm", {"Metrics": queries, "EvaluationPeriods": 1, **rest})
    with pytest.raises(LocalError, match="RATE"):
        room.state()


def test_a_line_of_emf_is_one_data_point_for_each_of_its_sets_of_dimensions() -> None:
    metrics = Metrics(lambda: NOON)
    directive = {"Namespace": "n", "Dimensions": [["service"], ["service", "job"]], "Metrics": [{"Name": "Rows"}]}
    line = {"_aws": {"CloudWatchMetrics": [directive]}, "service": "s", "job": "j", "Rows": [3.0]}

    metrics.line(json.dumps(line))
    metrics.line("no JSON at all")
    metrics.line('{"message": "plain"}')

    both = [metric("n", "Rows", service="s"), metric("n", "Rows", service="s", job="j")]
    assert metrics.known() == both
    assert [metrics.between(each, 0, NOON + 1) for each in both] == [[(NOON, 3.0)]] * 2
