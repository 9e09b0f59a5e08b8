"""Alarms and dashboard: what they watch is what the code emits, and what they say leads to where it is mended."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from nightshift import audit, facts
from nightshift.facts import Execution, of_execution, of_run
from nightshift.model import Hold, HoldCode, RunState
from nightshift.prices import price_sheet
from nightshift.trigger import LoopEnded
from nightshift_cli.app import app
from tests.contract import sources
from tests.contract.test_commands import commands
from tests.contract.test_docs import DOCS, sections
from tests.unit.conftest import START
from tests.unit.made import RUN, run
from tests.unit.test_facts import COLLECTED, ESTIMATE, HOME

type Json = dict[str, Any]

TEMPLATE = sources.template()
ALARMS = {name: r["Properties"] for name, r in sources.resources("AWS::CloudWatch::Alarm").items()}
REPORT_MODEL = sources.ROOT / "layers" / "nightshift" / "nightshift" / "report_model.py"
STACK = [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
EMITTED = {str(metric) for metric in (*facts.Metric, *audit.Metric)}
"""All by `emf.emit`, with the dimension `service`; of runs, with `service` and `job` as well."""

NO_ALARM = {
    "BatchSeconds": "the API's business, and InFlightTooLong has its end",
    "BatchesAdopted": "the protocol at work",
    "BatchesSalvaged": "the audit at work",
    "BatchesSent": "what is meant to be",
    "CollectSeconds": "Uncollected has what takes too long",
    "EstimatedUsd": "limits.max_usd holds the run",
    "ActualUsd": "CostsMore and the budget have it",
    "LoopsEnded": "RunHeld and RunFailed tell the two apart",
    "LoopsGivenUp": "the run is held: RunHeld",
    "LoopsRestarted": "RunFailed came before it",
    "LostUploads": "the audit has opened them",
    "MonthCommittedUsd": "BudgetUsedPercent is it, against the cap",
    "MonthSpentUsd": "BudgetUsedPercent",
    "NightsDue": "what is meant to be",
    "RowsAnswered": "what is meant to be",
    "RowsCanceled": "a person did it",
    "RowsRefused": "the model's answer to some rows",
    "RowsRetried": "RowsExpire and RowsFail have what comes of it",
    "RunSeconds": "RunsLate knows what is too long",
    "RunsDone": "what is meant to be",
    "RunsOpen": "what is meant to be",
    "RunsStarted": "MissedRun has its absence",
}
"""Metrics that wake nobody → why."""


def watched(alarm: Json) -> Iterator[tuple[str, str, Any]]:
    """Yield (namespace, name, dimensions) of each metric of an alarm."""
    if "Metrics" not in alarm:
        yield alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]
    for part in alarm.get("Metrics", ()):
        if "MetricStat" in part:
            metric = part["MetricStat"]["Metric"]
            yield metric["Namespace"], metric["MetricName"], metric["Dimensions"]


def ours() -> set[str]:
    """Return the names of our metrics that some alarm watches."""
    return {name for alarm in ALARMS.values() for space, name, _ in watched(alarm) if space == "nightshift"}


def test_every_metric_of_ours_that_an_alarm_watches_is_emitted_under_that_name_and_dimension() -> None:
    assert ours() - EMITTED == set()
    for name, alarm in ALARMS.items():
        assert [d for space, _, d in watched(alarm) if space == "nightshift" and d != STACK] == [], name


def test_every_metric_that_is_emitted_has_an_alarm_or_a_reason_for_none() -> None:
    assert EMITTED - ours() - {"RowsEnded", "RowsIn"} == set(NO_ALARM)
    assert {"RowsEnded", "RowsIn"} <= ours()


def test_each_metric_of_runs_is_of_some_fact_or_a_gauge() -> None:
    done = run(state=RunState.DONE, prices=price_sheet("claude-haiku-4-5", START.date()), estimate=ESTIMATE)
    held = run(hold=Hold(HoldCode.BY_HAND, "why", START))
    failed = Execution(LoopEnded(RUN, 1), "FAILED", START)
    told = [*of_run(done, [COLLECTED], HOME), *of_run(held, [], HOME), *of_execution(run(), failed)]
    gauges = {"RunsOpen", "RunsLate", "MonthSpentUsd", "MonthCommittedUsd", "BudgetUsedPercent"}
    assert {str(name) for fact in told for name in fact.metrics} | gauges == {str(name) for name in facts.Metric}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_to_type_and_names_its_section_of_the_runbook(name: str) -> None:
    text = ALARMS[name]["AlarmDescription"]
    section = name.removesuffix("Alarm")
    assert text.endswith(f" docs/operations.md, {section}.")
    assert len(text) <= 1024  # CloudWatch's limit
    typed = re.findall(r"`(nightshift|sam|aws) ([a-z]+(?: [a-z-]+)?)", text)
    assert typed
    known = set(commands(typer.main.get_command(app)))
    words = [word for program, word in typed if program == "nightshift"]
    assert [word for word in words if not known & {word, word.split()[0]}] == []


def test_the_runbook_has_a_section_for_every_alarm_and_for_no_other() -> None:
    (text,) = re.findall(r"^## Alarms\n(.*?)(?=^## )", (DOCS / "operations.md").read_text(), re.MULTILINE | re.DOTALL)
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [name.removesuffix("Alarm") for name in ALARMS]


def test_every_section_that_the_runbook_s_alarms_point_to_is_there() -> None:
    (text,) = re.findall(r"^## Alarms\n(.*?)(?=^## )", (DOCS / "operations.md").read_text(), re.MULTILINE | re.DOTALL)
    named = re.findall(r"\*([A-Z][\w ,]+)\*(?:, above|\))", re.sub(r"\s+", " ", text))
    assert len(named) > 10
    known = {*sections(DOCS / "operations.md"), "What was settled"}
    assert [name for name in named if name not in known] == []


def test_the_runbook_has_every_metric() -> None:
    text = (DOCS / "operations.md").read_text()
    rows = "\n".join(re.findall(r"^\| (`[A-Z].*?) \| ", text, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) & EMITTED == EMITTED


def test_every_alarm_tells_the_topic() -> None:
    assert [name for name, alarm in ALARMS.items() if alarm["AlarmActions"] != [{"Ref": "AlarmTopic"}]] == []


def test_the_watcher_s_silence_is_an_alarm_and_nobody_else_s_is() -> None:
    silent = {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"}
    assert silent == {"AuditSilentAlarm"}
    alarm = ALARMS["AuditSilentAlarm"]
    filled, heartbeat = alarm["Metrics"]
    assert filled["Expression"] == f"FILL({heartbeat['Id']}, 0)"
    assert alarm["EvaluationPeriods"] * heartbeat["MetricStat"]["Period"] == 45 * 60


def test_errors_and_throttles_are_watched_of_every_function() -> None:
    for name, metric in {"FunctionErrorsAlarm": "Errors", "FunctionThrottlesAlarm": "Throttles"}.items():
        expected = [
            ("AWS/Lambda", metric, [{"Name": "FunctionName", "Value": {"Ref": f}}]) for f in sources.functions()
        ]
        assert sorted(watched(ALARMS[name]), key=str) == sorted(expected, key=str)


def test_nobody_is_mailed_unless_an_address_is_given_and_no_report_unless_somebody_wants_it() -> None:
    (mail,) = sources.resources("AWS::SNS::Subscription").values()
    assert mail["Condition"] == "HasAlarmEmail"
    assert TEMPLATE["Parameters"]["AlarmEmail"]["Default"] == ""
    rule = TEMPLATE["Resources"]["ReportMail"]["Properties"]
    assert rule["State"] == {"Ref": "ReportEmails"}
    assert TEMPLATE["Parameters"]["ReportEmails"]["Default"] == "DISABLED"


# ---------------------------------------------------------------- the dashboard


def dashboard() -> Json:
    """Return the dashboard's body, `${…}` left as it is."""
    text = TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    body: Json = json.loads(text.replace("${MonthlyCapUsd}", "500"))
    return body


WIDGETS = dashboard()["widgets"]
METRICS = [m for widget in WIDGETS for m in widget["properties"].get("metrics", ())]


def test_the_dashboard_shows_only_metrics_that_are_emitted_for_this_stack() -> None:
    shown = [m for m in METRICS if m[0] == "nightshift"]
    assert len(shown) > 30
    assert {m[1] for m in shown} - EMITTED == set()
    assert [m for m in shown if m[2:4] != ["service", "${AWS::StackName}"]] == []
    searched = [m[0]["expression"] for m in METRICS if isinstance(m[0], dict) and "SEARCH" in m[0]["expression"]]
    assert len(searched) == 1
    (name,) = re.findall(r'{nightshift,service,job} MetricName="(\w+)"', searched[0])
    assert name in {str(metric) for metric in facts.Metric}


def test_the_dashboard_shows_every_alarm_and_names_only_what_the_template_has() -> None:
    (alarms,) = (widget["properties"]["alarms"] for widget in WIDGETS if widget["type"] == "alarm")
    assert alarms == [f"${{{name}.Arn}}" for name in ALARMS]
    named = set(re.findall(r"\${(\w+)[.}]", json.dumps(WIDGETS)))
    assert named - set(TEMPLATE["Resources"]) == set()


def test_the_funnel_the_cliff_and_the_cap_are_on_the_dashboard() -> None:
    lines = {
        line["label"]: line["value"]
        for widget in WIDGETS
        for line in widget["properties"].get("annotations", {}).get("horizontal", ())
    }
    assert lines == {"dropped": 29, "last call": 21, "MonthlyCapUsd (0: none)": 500}
    funnel = [m[1] for m in WIDGETS[1]["properties"]["metrics"]]
    assert funnel[:4] == ["RowsIn", "RowsRejected", "RowsEnded", "RowsAnswered"]
    assert set(funnel[3:]) == {str(metric) for metric in facts.OF_CLASSES.values()}


def test_the_table_of_runs_reads_what_the_report_logs() -> None:
    (query,) = (widget["properties"]["query"] for widget in WIDGETS if widget["type"] == "log")
    assert "filter message = 'reported'" in query
    source = (sources.ROOT / "functions" / "report" / "app.py").read_text()
    assert 'logger.info("reported", extra=report.line)' in source
    (line,) = re.findall(r"def line\(self\).*?return {(.*?)}", REPORT_MODEL.read_text(), re.DOTALL)
    assert set(re.findall(r"latest\((\w+)\)", query)) == set(re.findall(r'^ +"(\w+)": ', line, re.MULTILINE))


def test_no_two_widgets_lie_on_each_other() -> None:
    taken = [
        (x, y) for w in WIDGETS for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
