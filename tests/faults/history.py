"""One history: a scenario, what goes wrong in it, and the verdict on what came of it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nightshift.model import HoldCode, RunId, RunState
from tests.faults import cloud, ledger_watch, verdict
from tests.faults.fibers import EndlessError
from tests.faults.scenarios import SCENARIOS
from tests.faults.story import Story, control
from tests.faults.world import START, Invocation, Upset, World

TICK, LATER, TICK_LATER = 1800.0, 3 * 3600.0, 7200.0
"""Seconds between two audits; later on longer, which only makes it harder: a long history is mostly audits."""
LOOK = 240.0
"""Seconds between two looks at whether all is over."""
HORIZON = 3 * 86400.0
"""Seconds after which a history that is not over counts as stranded."""
RESUMES = 6
"""How often the person lets held runs go on before a run counts as held."""
STRANDED = 5400.0
"""Seconds that nothing may live although a run is open: six audits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen."""

    number: int
    scenario: str
    wire: str
    upsets: tuple[Upset, ...] = ()
    seed: str = "0"


@dataclass(slots=True)
class History:
    """What happened."""

    plan: Plan
    paid_twice: int = 0
    lost: int = 0
    applied_twice: int = 0
    residual: int = 0
    """Rows paid for twice because their batch became visible after every grace: what is not promised."""
    problems: list[str] = field(default_factory=list)
    """Everything that must not be, in words; empty for a good history."""
    held: int = 0
    """Runs that a person could not bring to their end: each has its reason."""
    holds: list[HoldCode] = field(default_factory=list)
    """Why runs were held, in order."""
    seconds: float = 0.0
    """Virtual, from the first event to the end of the last run."""
    killed: int = 0
    upset: list[tuple[str, str]] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    posts: int = 0
    digest: str = ""
    """Of everything that happened, in order: the same seed gives the same."""


def run(plan: Plan, handlers: Mapping[str, Any], wires: Mapping[str, Callable[[World], None]]) -> History:
    """Let a history happen, to its end."""
    world = World(f"{plan.seed}/{plan.scenario}/{plan.wire}", plan.upsets, {}, handlers)
    try:
        wires[plan.wire](world)
        story = Story(world)
        SCENARIOS[plan.scenario](story)
        director = Director(story, since=world.now())
        world.fibers.spawn("director", director.direct)
        if "AuditFunction" in handlers:
            world.fibers.spawn("audits", director.audit)
        history = History(plan)
        try:
            world.fibers.run(until=lambda: world.over)
        except EndlessError as error:
            history.problems.append(str(error))
        _judge(history, story, director)
    finally:
        world.close()
    return history


@dataclass(slots=True)
class Director:
    """Audits, looks whether all is over, and plays the person who lets held runs go on."""

    story: Story
    resumes: int = 0
    finished: float = 0.0
    since: float = START
    """From when on audits are frequent, and what is not over in time counts as stranded."""

    def audit(self) -> None:
        """Invoke the audit every quarter of an hour."""
        world = self.story.world
        while not world.over:
            world.sleep(TICK if world.now() - self.since < LATER else TICK_LATER)
            world.deliver("AuditFunction", {"source": "nightshift.audit"})

    def direct(self) -> None:
        """Wait for the end; mend what a person would mend."""
        world = self.story.world
        quiet_since: float | None = None
        while world.now() - self.since < HORIZON:
            world.sleep(LOOK)
            runs = ledger_watch.read().runs.values()
            if self.story.pending or world.loops or world.working:
                quiet_since = None
                continue
            self.finished = self.finished or world.now()
            quiet_since = quiet_since or world.now()
            if all(run.state is RunState.DONE for run in runs) and len(runs) >= self.story.runs:
                break
            held = [run for run in runs if run.hold is not None]
            if held and all(run.hold is not None or run.state is RunState.DONE for run in runs):
                if self.resumes >= RESUMES:
                    break
                self._resume(held)
                quiet_since, self.finished = None, 0.0
            elif world.now() - quiet_since > STRANDED:
                world.seen.problems.append("I6 stranded: a run is open, nothing lives, and no audit mends it")
                break
        world.over = True

    def _resume(self, held: list[Any]) -> None:
        """Mend whatever a person can mend, and let the runs go on."""
        self.resumes += 1
        world = self.story.world
        cloud.put_key((world.api.settings.keys or [cloud.GOOD_KEY])[0])
        world.broken.clear()
        world.api.faults.faults = [fault for fault in world.api.faults.faults if fault.kind != "foreign-results-url"]
        self.story.mend()
        for run in held:
            fiber = world.person(partial(_resume, run.run_id, approve=run.hold.code in self.story.approves))
            world.fibers.join(fiber)


def _resume(run_id: RunId, *, approve: bool) -> None:
    control().resume(run_id, approve=approve)


def _judge(history: History, story: Story, director: Director) -> None:
    world = story.world
    found = verdict.judge(story)
    history.paid_twice, history.lost, history.applied_twice = found.paid_twice, found.lost, found.applied_twice
    history.residual = found.residual
    history.problems += [*world.seen.problems, *found.problems]
    history.held, history.holds = found.held, world.watch.holds
    if (runs := len(ledger_watch.read().runs)) > story.runs:
        history.problems.append(f"{runs} runs of {story.runs}")
    history.seconds = max(0.0, (director.finished or world.now()) - director.since)
    history.killed = world.seen.killed
    history.upset = sorted((str(site), edge) for site, edge in world.seen.upset)
    history.passed = [(str(site), edge) for site, edge in world.seen.passed]
    history.posts = len(world.api.audit.posts)
    history.digest = hashlib.sha256("\n".join(_facts(history, story)).encode()).hexdigest()[:16]


def _facts(history: History, story: Story) -> Iterator[str]:
    yield from (f"{site} {edge} {n}" for (site, edge), n in story.world.seen.passed.items())
    yield from (str(post) for post in story.world.api.audit.posts)
    yield f"{history.seconds} {history.problems}"


__all__ = ["History", "Invocation", "Plan", "run"]
