"""Programs that nobody wrote: Hypothesis puts uploads, kills, faults, holds and waits in any order.

After each step the ledger is sound and no row is paid for twice; once everything is mended, every run ends well.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nightshift.model import HoldCode
from nightshift.sending import Sender
from tests.faults import cloud, ledger_watch, plans, verdict
from tests.faults.ablations import ABLATIONS
from tests.faults.boundaries import Site
from tests.faults.history import Director
from tests.faults.story import EACH, WORDY, Story
from tests.faults.wires import WIRES
from tests.faults.world import SITES, Upset, World

EXAMPLES = 10
"""Programs in `make test`; EXAMPLES= in the environment asks for more, and for the shortest one of those that fail."""
STEPS = 12
MOST_FILES = 5
"""Uploads of a program: more would only take longer."""
NEAR = 150
"""Boundaries that a run passes in a few minutes: an ambush lies within so many of the next ones."""
SETTLED = 2 * 3600.0
"""Seconds after which a create's outcome is known, once the API answers: its sender's life, the grace, two audits."""

UPSETS = [upset for site in SITES.all for edge in site.edges for upset in plans.upsets(str(site), edge)]
ANY = st.integers(0, len(UPSETS) - 1).map(lambda number: UPSETS[number])
"""One of them; not `sampled_from`, which is a warning as soon as somebody asks for its repr, it is so long."""
UNHEARD = frozenset({"kill", "pause"})
"""What can be done at a boundary that was not known before the call."""
AMBUSHES = st.dictionaries(st.integers(1, NEAR), st.integers(0, 7), max_size=6)
"""Which of the next boundaries are not passed unharmed, whatever they are, and what is done there."""
MOMENTS = st.sampled_from([0.1, 2.0, 30.0, 120.0, 600.0, 1020.0])
"""Seconds that pass after a step; the last is longer than any function lives."""
WAITS = st.sampled_from([3600.0, 6 * 3600.0, 86400.0])
APPROVED = frozenset({HoldCode.BAD_PILOT, HoldCode.OVER_MONTH})
"""What the person who mends everything waves through: nothing else would let these runs come to their end."""


class Nights(RuleBasedStateMachine):
    """One world, and everything that may be done to it."""

    handlers: ClassVar[Mapping[str, cloud.Handler]] = {}

    @initialize(
        seed=st.integers(0, 1_000_000),
        chunk=st.sampled_from([2, 3]),
        generations=st.sampled_from([1, 2]),
        lost_events=st.sampled_from([0.0, 0.5]),
        pilot=st.sampled_from(["none", "{rows: 1, above: 1}", "{rows: 2, above: 2, wait: 1m}"]),
        verify=st.sampled_from(["none", "{sample: 2}"]),
        left=st.sampled_from([None, 4, 8]),
    )
    def begin(
        self, *, seed: int, chunk: int, generations: int, lost_events: float, pilot: str, verify: str, left: int | None
    ) -> None:
        self.world = World(f"property/{seed}", (), {}, self.handlers)
        self.world.lost_events = lost_events
        self.world.passing = self._passing
        self.ambushes: dict[int, int] = {}
        self.passed = 0
        self.story = Story(self.world)
        self.director = Director(self.story)
        self.story.approves = APPROVED
        self.story.job(**WORDY, chunk=chunk, generations=generations, pilot=pilot, verify=verify)
        if left is not None:
            self.story.leave(left * EACH)
        self.world.fibers.spawn("audits", self.director.audit)
        self.story.upload("first", rows=3)

    @rule(
        rows=st.integers(1, 4),
        heard=st.booleans(),
        wire=st.sampled_from(list(WIRES)),
        ambushes=AMBUSHES,
        seconds=MOMENTS,
    )
    def upload(self, *, rows: int, heard: bool, wire: str, ambushes: dict[int, int], seconds: float) -> None:
        if len(self.story.files) < MOST_FILES:
            self.story.upload(f"file{len(self.story.files)}", rows=rows, event=heard)
        WIRES[wire](self.world)
        self._lie_in_wait(ambushes)
        self.world.pass_time(seconds)

    @rule(upsets=st.lists(ANY, max_size=20), ambushes=AMBUSHES, seconds=MOMENTS)
    def upset_whoever_comes_by(self, upsets: list[Upset], ambushes: dict[int, int], seconds: float) -> None:
        for upset in upsets:
            self.world.arm(upset)
        self._lie_in_wait(ambushes)
        self.world.pass_time(seconds)

    @rule(number=st.integers(0, MOST_FILES), seconds=MOMENTS)
    def deliver_an_event_again(self, number: int, seconds: float) -> None:
        if number < len(self.story.files):
            self.story.again(self.story.files[number], 0.0)
        else:
            self.world.deliver("AuditFunction", {"source": "nightshift.audit"})
        self.world.pass_time(seconds)

    @rule(what=st.sampled_from(["hold", "resume", "approve", "cancel"]), seconds=MOMENTS)
    def decide(self, what: str, seconds: float) -> None:
        match what:
            case "hold":
                self.story.by_hand(lambda control, run: control.hold(run, "by hand"), 0.0)
            case "resume":
                self.story.by_hand(lambda control, run: control.resume(run), 0.0)
            case "approve":
                self.story.by_hand(lambda control, run: control.resume(run, approve=True), 0.0)
            case "cancel":
                self.story.by_hand(lambda control, run: control.cancel(run, "by hand"), 0.0)
        self.world.pass_time(seconds)

    @rule(what=st.sampled_from(["stop the loops", "revoke the key", "put the new key"]), seconds=MOMENTS)
    def disturb(self, what: str, seconds: float) -> None:
        match what:
            case "stop the loops":
                self.world.stop_all()
            case "revoke the key":
                self.world.api.settings = self.world.api.settings.patched({"keys": [cloud.OTHER_KEY]})
            case "put the new key":
                cloud.put_key(cloud.OTHER_KEY)
        self.world.pass_time(seconds)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def all_is_well_so_far(self) -> None:
        problems = [*self.world.seen.problems, *ledger_watch.read().violations(self.world.watch.spent_before)]
        problems += [
            f"{sendings[0].custom_id} was paid for twice"
            for sendings in verdict.sent(self.story).values()
            if sum(sending.outcome == "succeeded" for sending in sendings) > 1
        ]
        assert not problems, "\n".join(problems)

    def teardown(self) -> None:
        """Mend everything, let time pass until all is quiet, and judge the whole."""
        if not hasattr(self, "world"):  # Hypothesis gave up before the first step
            return
        try:
            self.all_is_well_so_far()
            self._mend()
            self.world.fibers.spawn("director", self.director.direct)
            self.world.fibers.run(until=lambda: self.world.over)
            problems = [*self.world.seen.problems, *verdict.judge(self.story).problems]
            assert not problems, "\n".join(problems)
        finally:
            self.world.close()

    def _lie_in_wait(self, ambushes: Mapping[int, int]) -> None:
        self.ambushes.update((self.passed + later, choice) for later, choice in ambushes.items())

    def _passing(self, site: Site, edge: str) -> None:
        self.passed += 1
        if (choice := self.ambushes.pop(self.passed, None)) is not None:
            possible = [upset for upset in plans.upsets(str(site), edge) if upset.kind in UNHEARD]
            if possible:
                self.world.arm(replace(possible[choice % len(possible)], nth=1))

    def _mend(self) -> None:
        self.ambushes.clear()
        self.world.disarm()
        cloud.put_key((self.world.api.settings.keys or [cloud.GOOD_KEY])[0])
        mended = self.director.since = self.world.now()
        self.world.pass_time(SETTLED)
        intent = ledger_watch.read().intent
        assert intent is None or intent.created.timestamp() > mended, "an intent stands although audits ran"


def search(handlers: Mapping[str, cloud.Handler]) -> None:
    """Run programs until one fails."""
    Nights.handlers = handlers
    longer = os.environ.get("EXAMPLES")
    run_state_machine_as_test(
        Nights,
        settings=settings(
            max_examples=int(longer or EXAMPLES),
            stateful_step_count=STEPS,
            phases=[Phase.generate, Phase.shrink] if longer else [Phase.generate],  # to shrink may take minutes
            deadline=None,
            database=None,
            derandomize=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_program_pays_twice_or_leaves_a_run_unfinished(handlers: Any) -> None:
    search(handlers)


def test_the_programs_find_a_create_that_nobody_settles(handlers: Any) -> None:
    with patch.object(Sender, "settle", lambda *_: False), pytest.raises(AssertionError, match="although audits ran"):
        search(handlers)


@pytest.mark.parametrize(
    ("guard", "symptom"),
    [("no intent before the create", "I1"), ("money is reserved beyond the month's cap", "more than the cap")],
)
def test_the_programs_find_a_missing_guard(handlers: Any, guard: str, symptom: str) -> None:
    missing = next(ablation for ablation in ABLATIONS if ablation.name == guard)
    with missing.removed(), pytest.raises(AssertionError, match=rf"{missing.symptom}|{symptom}"):
        search(handlers)
