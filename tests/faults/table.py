"""What the campaign found, as a table: boundary groups, wire faults, the plain script beside them, the last line."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.boundaries import Sites
from tests.faults.campaign import GOAL, Options, records

HEAD = ("", "histories", "hit", "paid twice", "lost", "applied twice", "worst delay")
SCRIPT_HEAD = ("plain script", "max_retries", "nights", "most batches", "nights paid twice", "nights with rows lost")
GROUPS = {
    "intake": "opening runs",
    "manifests": "opening runs",
    "submit": "opening runs",
    "planning": "planning",
    "skipping": "planning",
    "plan_files": "planning",
    "retry_planning": "planning",
    "estimating": "planning",
    "plan_sample": "planning",
    "budgeting": "reserving money",
    "pilot": "reserving money",
    "sending": "sending and reconciling",
    "matching": "sending and reconciling",
    "status": "looking",
    "results": "collecting",
    "archiving": "archiving",
    "applying": "applying",
    "merging": "reporting",
    "report": "reporting",
    "verifying": "verifying",
    "verification": "verifying",
    "proposing": "verifying",
    "sampling": "verifying",
    "audit": "the audit",
    "loops": "the audit",
    "salvaging": "the audit",
    "deleting": "the audit",
    "control": "a person's commands",
}
"""Module of the core → the row that its boundaries are counted in."""


@dataclass(slots=True)
class Row:
    """One row of the table."""

    histories: int = 0
    hit: int = 0
    paid_twice: int = 0
    lost: int = 0
    applied_twice: int = 0
    delay: float = 0.0
    """Virtual seconds that the worst history took longer than its scenario does when nothing goes wrong."""

    def add(self, record: Mapping[str, Any], normal: float) -> None:
        """Count a history in."""
        self.histories += 1
        self.hit += bool(record["hit"])
        self.paid_twice += record["paid_twice"] > 0
        self.lost += record["lost"] > 0
        self.applied_twice += record["applied_twice"] > 0
        self.delay = max(self.delay, record["seconds"] - normal)

    def cells(self) -> tuple[str, ...]:
        """Return its cells behind the name."""
        counts = (self.histories, self.hit, self.paid_twice, self.lost, self.applied_twice)
        minutes = round(self.delay / 60)
        return (*(f"{n:,}" for n in counts), f"{minutes // 60} h {minutes % 60:02d} min" if minutes else "–")


@dataclass(slots=True)
class Table:
    """All rows."""

    options: Options
    groups: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    wires: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    scenarios: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    total: Row = field(default_factory=Row)
    problems: list[str] = field(default_factory=list)
    boundaries: set[tuple[str, str]] = field(default_factory=set)
    held: int = 0
    killed: int = 0
    residual: int = 0
    """Histories that paid rows twice because a batch became visible an hour late: not promised, but counted."""

    def __post_init__(self) -> None:
        """Add everything up."""
        folder = self.options.folder
        probes = list(records(folder, "probes"))
        normal = {record["scenario"]: record["seconds"] for record in probes if record["wire"] == "none"}
        for phase in ("histories", "rare"):
            for record in records(folder, phase):
                self._add(record, normal.get(record["scenario"], record["seconds"]))
        self.problems += [f"probe {p['scenario']} / {p['wire']}: {x}" for p in probes for x in p["problems"]]

    def _add(self, record: Mapping[str, Any], normal: float) -> None:
        self.total.add(record, normal)
        self.wires[record["wire"]].add(record, normal)
        self.scenarios[record["scenario"]].add(record, normal)
        if record["upsets"]:
            self.groups[GROUPS[record["upsets"][-1]["site"].split(".")[0]]].add(record, normal)
        self.boundaries |= {(site, edge) for site, edge in record["hit"]}
        self.held += record["held"]
        self.killed += record["killed"]
        self.residual += record["residual"] > 0
        where = f"history {record['number']}: {record['scenario']} / {record['wire']} / {record['upsets']}"
        self.problems += [f"{where}: {problem}" for problem in record["problems"]]

    @property
    def every(self) -> set[tuple[str, str]]:
        """Every boundary that the source has."""
        return {(str(site), edge) for site in Sites().all for edge in site.edges}

    @property
    def ablations(self) -> Sequence[Mapping[str, Any]]:
        """What became of each missing guard."""
        return sorted(records(self.options.folder, "ablations"), key=lambda record: record["number"])

    @property
    def script_harmed(self) -> bool:
        """Whether the harness can see failure: the plain script pays twice, and loses."""
        nights = list(records(self.options.folder, "baseline"))
        return any(n["paid_twice"] for n in nights) and any(n["lost"] for n in nights)

    @property
    def good(self) -> bool:
        """Whether the promise held, and every missing guard was noticed."""
        reached = self.options.quick or len(self.boundaries & self.every) >= GOAL * len(self.every)
        noticed = all(record["shown"] for record in self.ablations)
        return not self.problems and noticed and self.script_harmed and reached

    def last_line(self) -> str:
        """Return the campaign's last line."""
        noticed = sum(bool(record["shown"]) for record in self.ablations)
        return (
            f"histories={self.total.histories} boundaries={len(self.boundaries & self.every)}/{len(self.every)} "
            f"paid_twice={self.total.paid_twice} lost={self.total.lost} applied_twice={self.total.applied_twice} "
            f"ablations={noticed}/{len(self.ablations)}"
        )

    def lines(self) -> Iterator[str]:
        """Yield the report for a terminal."""
        yield from (line.replace("|", " ").strip() for line in self.markdown())
        if self.problems:
            yield ""
            yield f"{len(self.problems)} problems; the first ones:"
            yield from self.problems[:20]

    def markdown(self) -> Iterator[str]:
        """Yield the report as docs/reliability.md has it."""
        yield from _table(HEAD, [(f"**{name}**", *row.cells()) for name, row in sorted(self.groups.items())])
        yield ""
        yield from _table(HEAD, [(name, *row.cells()) for name, row in self.wires.items()])
        yield ""
        yield from _table(HEAD, [("**all**", *self.total.cells())])
        yield ""
        count = self.total.histories
        bound = f"{300 / max(1, count):.3f} %"
        yield f"For 0 of {count:,} histories the 95 % bound is {bound} (3/n). Processes killed: {self.killed:,}."
        late = [row for wire, row in self.scenarios.items() if wire.startswith("orphan")]
        yield ""
        yield (
            f"Beyond the promise: in {sum(row.histories for row in late):,} of these a batch became visible an hour "
            f"late, when its create counted as lost; in {self.residual:,} of them its rows were paid for twice."
        )
        yield ""
        yield from _table(("guard removed", "noticed after"), [_ablation(record) for record in self.ablations])
        yield ""
        yield from _table(SCRIPT_HEAD, list(self._script()))
        yield ""
        missed = sorted(self.every - self.boundaries)
        yield f"Boundaries: {len(self.boundaries & self.every)} of {len(self.every)} hit."
        if missed and not self.options.quick:
            yield "Not hit: " + "; ".join(f"{site} ({edge})" for site, edge in missed) + "."

    def _script(self) -> Iterator[tuple[str, ...]]:
        nights: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
        for record in sorted(records(self.options.folder, "baseline"), key=lambda record: record["number"]):
            killed = "killed " if record["kind"] == "kill" else ""
            nights[killed + record["name"], record["max_retries"]].append(record)
        for (name, retries), each in nights.items():
            found = Counter(paid=sum(n["paid_twice"] > 0 for n in each), lost=sum(n["lost"] > 0 for n in each))
            most = max(n["batches"] for n in each)
            yield name, str(retries), str(len(each)), str(most), str(found["paid"]), str(found["lost"])


def _ablation(record: Mapping[str, Any]) -> tuple[str, str]:
    tried = record["tried"]
    told = f"{tried} {'history' if tried == 1 else 'histories'}"
    return record["name"], told if record["shown"] else f"**not noticed** in {tried}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    yield line(head)
    yield f"|{'|'.join(['-' * (widths[0] + 2), *('-' * (w + 1) + ':' for w in widths[1:])])}|"
    yield from map(line, rows)
