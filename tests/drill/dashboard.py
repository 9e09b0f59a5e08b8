"""The stack's dashboard, drawn from what the drill captured: each widget, each metric, and whether it has data."""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.running import RunningCloud

type Json = dict[str, Any]
type Points = Sequence[Sequence[float]]

WIDTH, HEIGHT = 320, 60
"""Of a line's picture, in pixels."""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one widget."""

    widget: str
    name: str
    points: Points
    """Time and value; none where nothing was ever measured under that name and those dimensions."""


def body(cloud: RunningCloud) -> Json:
    """Return the body of the dashboard as it is deployed."""
    cloudwatch = cloud.client("cloudwatch")
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    found: Json = json.loads(cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"])
    return found


def lines(dashboard: Json, metrics: Sequence[Json]) -> Iterator[Line]:
    """Yield every metric that the dashboard shows; what one searches for, once for each that is found."""
    known = {(m["namespace"], m["name"], frozenset(m["dimensions"].items())): m["points"] for m in metrics}
    for widget in dashboard["widgets"]:
        title = widget["properties"].get("title", widget["type"])
        for shown in widget["properties"].get("metrics", ()):
            if isinstance(shown[0], str):
                namespace, name, *rest = (part for part in shown if isinstance(part, str))
                key = (namespace, name, frozenset(zip(rest[::2], rest[1::2], strict=True)))
                yield Line(title, name, known.get(key, ()))
            elif search := re.search(r'MetricName="(\w+)" service="([\w-]+)"', shown[0]["expression"]):
                yield from _found(title, search, known)


def _found(title: str, search: re.Match[str], known: Mapping[Any, Points]) -> Iterator[Line]:
    for (_, name, dimensions), points in known.items():
        if name == search[1] and {key for key, _ in dimensions} == {"service", "job"}:
            yield Line(title, f"{name} of {dict(dimensions)['job']}", points)


def last_runs(dashboard: Json, logs: Sequence[Json]) -> Sequence[Json]:
    """Return what the widget of Logs Insights would show: of each run, the latest line that its filter lets through."""
    (widget,) = (each for each in dashboard["widgets"] if each["type"] == "log")
    query = widget["properties"]["query"]
    (wanted,) = re.findall(r"filter message = '(\w+)'", query)
    columns = re.findall(r"latest\((\w+)\) as (\w+)", query)
    runs: dict[str, Json] = {}
    for entry in logs:
        line = json.loads(entry["line"]) if entry["line"].startswith("{") else {}
        if line.get("message") == wanted:
            run = runs.pop(line["run_id"], {})
            runs[line["run_id"]] = run | {name: line[field] for field, name in columns if line.get(field) is not None}
    return [{"run_id": run_id, **run} for run_id, run in reversed(runs.items())][:20]


def page(drawn: Sequence[Line], runs: Sequence[Json], alarms: Mapping[str, str]) -> str:
    """Return it as a page."""
    parts = [
        "<meta charset=utf-8><title>Dashboard</title><style>body{font:14px sans-serif} td{padding:2px 8px}</style>"
    ]
    parts += [f"<p>{html.escape(name)}: <b>{state}</b>" for name, state in alarms.items() if state != "OK"]
    for widget in dict.fromkeys(line.widget for line in drawn):
        parts.append(f"<h3>{html.escape(widget)}</h3><table>")
        parts += [_row(line) for line in drawn if line.widget == widget]
        parts.append("</table>")
    parts.append("<h3>The last 20 runs</h3><table>")
    parts += [f"<tr>{''.join(f'<td>{html.escape(str(value))}' for value in run.values())}" for run in runs]
    return "\n".join(parts) + "</table>\n"


def _row(line: Line) -> str:
    if not line.points:
        return f"<tr><td>{html.escape(line.name)}<td><i>no data</i>"
    times, values = [point[0] for point in line.points], [point[1] for point in line.points]
    first, span, top = times[0], (times[-1] - times[0]) or 1, max(*values, 1)
    path = " ".join(
        f"{(at - first) / span * WIDTH:.1f},{HEIGHT - value / top * HEIGHT:.1f}" for at, value in line.points
    )
    svg = f"<svg width={WIDTH} height={HEIGHT}><polyline fill=none stroke=#1f77b4 points='{path}'/></svg>"
    told = f"latest {values[-1]:g}, most {max(values):g}, {len(values)} points"
    return f"<tr><td>{html.escape(line.name)}<td>{svg}<td>{told}"
