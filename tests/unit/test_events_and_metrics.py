"""Events as EventBridge gets them, and metrics as CloudWatch reads them."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from nightshift.adapters.emf import emit
from nightshift.adapters.eventbridge import EventBridgeBus
from nightshift.errors import EventsNotTaken
from nightshift.events import RunCompleted, RunHeld, RunStarted
from nightshift.facts import Metric
from nightshift.model import HoldCode, RowClass
from tests.unit.conftest import START
from tests.unit.made import RUN


@dataclass
class Client:
    """As much of EventBridge as is asked for."""

    refuses: int = 0
    calls: list[list[dict[str, Any]]] = field(default_factory=list)

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.calls.append(Entries)
        failed = [{"ErrorCode": "ThrottlingException"}] * self.refuses
        return {"FailedEntryCount": self.refuses, "Entries": [*failed, {"EventId": "1"}]}


def bus(client: Client) -> EventBridgeBus:
    return EventBridgeBus(cast("Any", client), "prod")


def test_an_event_is_named_after_its_kind_and_has_all_its_fields_and_the_stack_s_name() -> None:
    client = Client()
    counts = {RowClass.ANSWERED: 2, RowClass.REJECTED: 1}
    cost = Decimal("0.00015")
    event = RunCompleted(RUN, "triage", START, 3, counts, cost_usd=cost, estimate_usd=None, files="s3://o/runs/r/")

    bus(client).put([event])

    ((entry,),) = client.calls
    assert entry | {"Detail": json.loads(entry["Detail"])} == {
        "Source": "nightshift",
        "DetailType": "RunCompleted",
        "Time": START,
        "Detail": {
            "v": 1,
            "stack": "prod",
            "run_id": RUN,
            "job": "triage",
            "at": "2026-11-22T02:00:00Z",
            "rows": 3,
            "counts": {"answered": 2, "rejected": 1},
            "cost_usd": 0.00015,
            "estimate_usd": None,
            "files": "s3://o/runs/r/",
        },
    }


def test_no_more_than_ten_events_go_out_at_once_and_none_is_left_behind() -> None:
    client = Client()
    held = [RunHeld(RUN, "triage", START + timedelta(seconds=n), HoldCode.BY_HAND) for n in range(21)]

    bus(client).put(held)

    assert [len(call) for call in client.calls] == [10, 10, 1]
    assert [entry["Time"] for call in client.calls for entry in call] == [event.at for event in held]


def test_an_event_that_is_not_taken_is_an_error_that_says_why() -> None:
    with pytest.raises(EventsNotTaken, match="did not take 1 of 1 events: ThrottlingException"):
        bus(Client(refuses=1)).put([RunStarted(RUN, "triage", START, trigger="upload", inputs=1)])


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "prod")


@pytest.mark.usefixtures("stack")
def test_a_metric_of_a_job_is_one_of_the_stack_too_and_its_unit_is_in_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    emit({Metric.ROWS_IN: 3, Metric.RUN_SECONDS: 2.5, Metric.ACTUAL: 0.02, Metric.COST_PERCENT: 90}, job="triage")

    line = json.loads(capsys.readouterr().out)
    (metrics,) = line.pop("_aws")["CloudWatchMetrics"]
    units = {"RowsIn": "Count", "RunSeconds": "Seconds", "ActualUsd": "None", "CostOfEstimatePercent": "Percent"}
    assert metrics == {
        "Namespace": "nightshift",
        "Dimensions": [["service"], ["service", "job"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    values = {"RowsIn": [3], "RunSeconds": [2.5], "ActualUsd": [0.02], "CostOfEstimatePercent": [90]}
    assert line == {"service": "prod", "job": "triage", **values}


@pytest.mark.usefixtures("stack")
def test_a_metric_of_the_stack_has_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    emit({Metric.MONTH_SPENT: 1})
    line = json.loads(capsys.readouterr().out)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert "job" not in line


@pytest.mark.usefixtures("stack")
def test_nothing_to_measure_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit({})
    assert capsys.readouterr().out == ""
