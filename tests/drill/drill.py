"""One failure from end to end: it happens, an alarm rings, the command line says what, the runbook mends it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.running import Item, RunningCloud
from tests.drill import runbook
from tests.drill.person import Person, Said
from tests.integration.conftest import Night

ROWS = 60
"""More than the 50 below which shares of rows are not judged."""
DAYS = 240
"""Real seconds that days may take."""
MINUTE = 61.0
"""Virtual seconds after which a data point is one of a minute that is over."""
QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)
QUIET = timedelta(hours=4)
"""After so long without anything new, each alarm is as it will stay: the longest looks back over three hours."""


class Drill(Night):
    """A night in which something fails, and the person who is called for it."""

    def __init__(self, cloud: RunningCloud, folder: Path) -> None:
        """Start from a cloud in which all is well."""
        super().__init__(cloud, folder)
        self.person = Person(cloud, folder / "person")
        self.began = self.now()

    def now(self) -> datetime:
        """Return the virtual moment."""
        return datetime.fromisoformat(self.cloud.ask("clock")["now"])

    def hours(self) -> float:
        """Return the virtual hours since the drill began."""
        return (self.now() - self.began).total_seconds() / 3600

    def watch(self, after: timedelta = QUARTER, *, audited: bool = True) -> None:
        """Let time pass, and then audit and tell look; a minute later their metrics are what alarms are judged by."""
        self.cloud.pass_time(after.total_seconds() - MINUTE)
        if audited:
            self.cloud.ask("fire", post=True, name="AuditFunctionRegularly")
        self.cloud.ask("fire", post=True, name="TellFunctionSoon")
        self.cloud.pass_time(MINUTE)

    def watch_until(self, true: Callable[[], object], every: timedelta = HOUR) -> None:
        """Let time pass, and audit and tell look, until something is so."""

        def looked() -> object:
            return true() or self.watch(every)  # type: ignore[func-returns-value] # it is not so yet

        self.until(looked, seconds=DAYS, pause=0)

    def rang(self) -> Mapping[str, str]:
        """Return the alarms that have rung since the drill began, without the stack's name, and when each did first."""
        changes = self.cloud.ask("alarms")["changes"]
        since = [c for c in changes if c["state"] == "ALARM" and datetime.fromisoformat(c["at"]) >= self.began]
        return {alarm_name(c["alarm"]): c["at"] for c in reversed(since)}

    def findings(self) -> list[str]:
        """Return what the audits of late have found."""
        lines = [entry["line"] for entry in self.cloud.ask("logs") if entry["function"] == "AuditFunction"]
        audited = [json.loads(line) for line in lines if '"audited"' in line]
        return [finding for line in audited[-20:] for finding in line["findings"]]

    def ringing(self) -> set[str]:
        """Return the alarms that ring now."""
        states = self.cloud.ask("alarms")["states"]
        return {alarm_name(name) for name, state in states.items() if state == "ALARM"}

    @property
    def run(self) -> Item:
        """The newest run of this drill's job."""
        return self.runs()[0]

    def held(self) -> bool:
        """Whether the run is held, and its loop has ended."""
        return bool(self.runs()) and "hold" in self.run and not self.loops()

    def done(self) -> bool:
        """Whether the run is done, and its loop has ended."""
        return bool(self.runs()) and self.run["state"] == "done" and not self.loops()

    def all_done(self) -> bool:
        """Whether every run is done, and every loop has ended."""
        return all(run["state"] == "done" for run in self.runs()) and not self.loops()

    def loops(self) -> list[str]:
        """Return the executions that run."""
        return [each["name"] for each in self.cloud.executions("RUNNING")]

    def words(self) -> dict[str, str]:
        """Return what the runbook's words in capitals stand for."""
        known = {"NAME": self.name}
        return known | ({"RUN": self.run["run_id"]} if self.runs() else {})


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that goes wrong, how it is told, and how it is mended."""

    title: str
    alarms: frozenset[str]
    """All that ring, and no other does."""
    fail: Callable[[Drill], None]
    """Let it happen, until nothing more comes of it."""
    sections: tuple[str, ...]
    """Of docs/operations.md: where the alarm's text leads, and where that leads."""
    doctor: str
    """What `nightshift doctor` says, a regular expression; empty where it has nothing to say."""
    show: str
    """What `nightshift show RUN` says; empty where there is no run yet."""
    outside: Callable[[Drill], None] = field(default=lambda drill: drill.cloud.api("faults", "DELETE"))
    """What is mended elsewhere, before or while the runbook's commands are typed."""
    counts: Mapping[str, int] = field(default_factory=lambda: {"answered": ROWS})
    while_mended: frozenset[str] = frozenset()
    """Alarms that ring once more is done than what failed: they are mended by the same commands."""
    posts: int = 1
    """Batches that were made."""
    before_looking: timedelta = QUARTER
    """How long it takes the person to come."""
    audited: bool = True
    """Whether the audit looks before: it mends some of this by itself."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went, for the table."""

    failure: Failure
    said: str
    typed: tuple[str, ...]
    ended: str

    def row(self) -> str:
        """Return the table's row."""
        cells = (
            self.failure.title,
            ", ".join(sorted(self.failure.alarms)),
            self.said,
            "<br>".join(f"`{command}`" for command in self.typed),
            self.ended,
        )
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def carry_out(drill: Drill, failure: Failure) -> Ended:
    """Let it fail, be told, be mended, and end.

    Raises:
        AssertionError: something of it was not as it must be.
    """
    failure.fail(drill)
    drill.watch(failure.before_looking, audited=failure.audited)
    assert set(drill.rang()) - SILENCE == failure.alarms, drill.findings()

    expected = {"nightshift doctor": failure.doctor, "nightshift show RUN": failure.show}
    said = [
        must_say(drill.person.types(command, drill.words()).text, sentence)
        for command, sentence in expected.items()
        if sentence
    ]

    failure.outside(drill)
    typed = follow(drill, failure.sections)
    drill.watch_until(drill.all_done)
    ended = check(drill, failure)

    quiet_until = drill.now() + QUIET
    drill.watch_until(lambda: drill.now() > quiet_until)
    assert drill.ringing() - SILENCE == set()
    assert set(drill.rang()) - SILENCE == failure.alarms | failure.while_mended
    return Ended(failure, " … ".join(said), tuple(each.typed for each in typed), ended)


SILENCE = frozenset({"AuditSilent"})
"""The drill fires the audit when it wants it to look, and lets days pass without one."""


def follow(drill: Drill, sections: tuple[str, ...]) -> list[Said]:
    """Type what the sections of the runbook say, in their order."""
    return [drill.person.types(command, drill.words()) for title in sections for command in runbook.commands(title)]


def check(drill: Drill, failure: Failure) -> str:
    """Hold the run's end against what was promised; return it in words."""
    assert all(drill.harvest(run).complete for run in drill.runs())
    run = drill.run
    got = drill.harvest(run)
    counts = {name: count for name, count in got.report["counts"].items() if count}
    assert counts == dict(failure.counts)
    assert len(drill.tickets(run)) == failure.counts["answered"]
    assert drill.paid_twice() == 0
    assert len(drill.batches(run)) == failure.posts
    rows = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"done: {rows}; {failure.posts} batch{'es' * (failure.posts > 1)}, 0 rows paid twice"


def must_say(text: str, sentence: str) -> str:
    """Return the line that says it, in one line."""
    found = next((line for line in text.splitlines() if re.search(sentence, line)), None)
    assert found is not None, f"nothing says {sentence!r}:\n{text}"
    return " ".join(found.split())


def alarm_name(physical: str) -> str:
    """Return an alarm's name as the runbook has it."""
    (name,) = re.findall(r"-(\w+)Alarm-", physical)
    return str(name)


def settings(drill: Drill, **given: Any) -> None:
    """Set facts of the local Message Batches API."""
    drill.cloud.api("settings", "POST", given)


def stored(drill: Drill, secret: str) -> str:
    """Return the API key that a secret of the stack holds."""
    text = drill.cloud.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    return str(json.loads(text)["api_key"]) if text.startswith("{") else str(text)
