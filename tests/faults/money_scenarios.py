"""Scenarios about money: pilots, caps of a month and of a run, models without a price, samples, plans made anew."""

from collections.abc import Callable, Sequence

from nightshift.control import Control
from nightshift.model import HoldCode, RunId
from tests.faults import ledger_watch
from tests.faults.story import EACH, WORDY, Story, resume

LONG = "Sort it. " * 240
"""A system prompt that is long enough to be cached."""


def pilot(story: Story) -> None:
    """The first rows go alone, fill the cache, and show that the rest will cost less than was reserved."""
    story.job(**WORDY, chunk=5, system=LONG, pilot="{rows: 5, above: 5}")
    story.upload("a", rows=7)


def bad_pilot(story: Story, wait: str = "2h") -> None:
    """Every row of the pilot is refused, and nobody approves of that: nothing else is sent."""
    story.job(pilot=f"{{rows: 2, above: 2, wait: {wait}}}")
    story.world.fault("rows", "refusal", batch_index=0)
    story.upload("a")
    story.may_stay |= {HoldCode.BAD_PILOT}


def approved_pilot(story: Story) -> None:
    """Every row of the pilot is refused, and a person has the rest sent all the same; or it is in flight by then."""
    bad_pilot(story, wait=story.world.rng.choice(["1m", "2h"]))
    story.approves = frozenset({HoldCode.BAD_PILOT})


def late_pilot(story: Story) -> None:
    """The pilot takes longer than the rest waits for it, and is judged when that is in flight.

    Or while it is collected: a person has started another loop.
    """
    story.job(**WORDY, chunk=5, pilot="{rows: 5, above: 5, wait: 1m}")
    story.upload("a", rows=7)
    if story.world.rng.random() < 0.5:
        story.by_hand(resume, story.world.rng.uniform(400, 1500))


def last_dollar(story: Story) -> None:
    """Two runs want the rest of the month: one gets it, the other waits for what it gives back, or is approved."""
    story.job(**WORDY)
    story.leave(6 * EACH)
    for name in ("a", "b"):
        story.upload(name, rows=4)
    if story.world.rng.random() < 0.5:
        story.approves = frozenset({HoldCode.OVER_MONTH})


def too_dear(story: Story) -> None:
    """The run is expected to cost more than its job allows: a person approves, or raises the limit."""
    story.job(max_usd="0.000001")
    story.upload("a")
    if story.world.rng.random() < 0.5:
        story.approves = frozenset({HoldCode.OVER_MAX_USD})
    else:
        story.mend = story.job


def dearer(story: Story) -> None:
    """Rows cost more than was thought, and the run more than its job allows: seen at its pilot, or at its retries."""
    retried = story.world.rng.random() < 0.5
    pilot = "none" if retried else "{rows: 2, above: 2}"
    story.job(answer="text: true", max_tokens=24, pilot=pilot, max_usd="0.000014")
    if retried:
        story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a")
    story.approves = frozenset({HoldCode.OVER_MAX_USD})


def no_price(story: Story) -> None:
    """Nobody knows the model's price, and a person has the run sent all the same."""
    story.job(model="claude-mythos-5", thinking="adaptive", max_tokens=400)
    story.upload("a")
    story.approves = frozenset({HoldCode.NO_PRICE})


def verified(story: Story) -> None:
    """A sample of the run is asked once more, of the synchronous API; afterwards a person wants a larger one."""
    story.job(verify="{sample: 2}")
    story.upload("a")

    def more() -> None:
        for run_id in ledger_watch.read().runs:
            story.world.deliver("VerifyFunction", {"v": 1, "run_id": run_id, "sample": 3})

    story.later(story.world.rng.uniform(900, 2500), more)


def new_job(story: Story) -> None:
    """A person holds the run before anything of it is sent, mends its job, and lets it go on: it is planned anew."""
    story.job()
    story.upload("a")
    at = story.world.rng.uniform(0.3, 3)
    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    at += story.world.rng.uniform(0.2, 400)
    story.later(at, lambda: story.job(chunk=2))
    story.by_hand(resume, at)


def new_month(story: Story) -> None:
    """A month ends in the middle of a run, which is held in the one, and goes on in the other."""
    story.world.sleep(8 * 86400 + 22 * 3600 - story.world.rng.uniform(5, 900))
    story.job()
    story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a")
    at = story.world.rng.uniform(3, 400)
    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(resume, at + 900)


def slow_resume(story: Story) -> None:
    """A held run is let go on, and its loop dies at once: until an audit comes by it is open, and has no money."""
    story.job()
    story.upload("a")
    at = story.world.rng.uniform(3, 12)
    story.world.lost_events = 1.0

    def resume_in_vain(control: Control, run_id: RunId) -> None:
        resume(control, run_id)
        story.world.stop_all()

    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(resume_in_vain, at + story.world.rng.choice([750.0, 2100.0]))


MONEY: Sequence[Callable[[Story], None]] = (
    pilot,
    bad_pilot,
    approved_pilot,
    late_pilot,
    last_dollar,
    too_dear,
    dearer,
    no_price,
    verified,
    new_job,
    new_month,
    slow_resume,
)
"""All of them."""
