"""What happens in a history when nothing goes wrong: uploads, nights, holds, cancels, keys that change, other people.

A scenario schedules events and says which rows there are. Those about money are in money_scenarios.py.
"""

from collections.abc import Callable, Mapping

from tests.faults import cloud
from tests.faults.money_scenarios import MONEY
from tests.faults.story import Story, resume


def upload(story: Story) -> None:
    """One file, one batch or two; now and then its event comes twice."""
    story.job(chunk=story.world.rng.choice([3, 5]))
    file = story.upload("a")
    if story.world.rng.random() < 0.5:
        story.again(file, story.world.rng.uniform(0, 400))


def two_runs(story: Story) -> None:
    """Two files at once, each event twice."""
    story.job()
    for name in ("a", "b"):
        file = story.upload(name, rows=4)
        story.again(file, story.world.rng.uniform(0, 3))


def night(story: Story) -> None:
    """A nightly job over two files; the schedule fires twice."""
    story.job(schedule="nightly", chunk=4)
    story.upload("a", rows=3)
    story.upload("b", rows=3)
    story.night(5)
    story.night(story.world.rng.uniform(5, 200))


def manifest(story: Story) -> None:
    """Two files that belong together: their own events start nothing, their manifest's comes twice."""
    story.job(schedule="manifest", chunk=4)
    story.upload("a", rows=3)
    story.upload("b", rows=3)
    story.manifest(5, story.world.rng.uniform(5, 200))


def retries(story: Story) -> None:
    """Some rows are overloaded the first time; they are asked again, once."""
    story.job(chunk=3, generations=2)
    story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a", rows=6)


def cut_off(story: Story) -> None:
    """Some rows are cut off, others overloaded; each is asked again, and where that is cut off, too, it was enough."""
    story.job(chunk=3, generations=2, cut_off="2.0")
    story.raised = 128
    story.world.fault("rows", "overloaded", rate=0.4, first_times=1)
    story.world.fault("rows", "max_tokens", rate=0.5)
    story.upload("b", rows=7)


def deleted(story: Story) -> None:
    """The job wants its batches deleted at the API when they are collected; twelve audits may fail at that."""
    story.job(chunk=3, generations=2, delete="true")
    story.deletes = True
    story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a", rows=5)
    story.later(30 * 3600, lambda: None)


def hold(story: Story) -> None:
    """A person holds the run at some moment, and lets it go on later."""
    story.job(chunk=2)
    story.upload("a", rows=5)
    at = story.world.rng.uniform(0.5, 600)
    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(resume, at + story.world.rng.uniform(30, 1200))


def cancel(story: Story) -> None:
    """A person cancels the run at some moment."""
    story.job(chunk=2)
    story.upload("a", rows=5)
    story.by_hand(lambda control, run: control.cancel(run, "wrong file"), story.world.rng.uniform(0.5, 500))


def rotated_key(story: Story) -> None:
    """The key is revoked in mid-run, and the new one put into the secret only a while later."""
    story.job(chunk=2)
    story.upload("a", rows=5)
    at = story.world.rng.uniform(0.5, 400)

    def revoke() -> None:
        story.world.api.settings = story.world.api.settings.patched({"keys": [cloud.OTHER_KEY]})

    story.later(at, revoke)
    story.later(at + story.world.rng.choice([0.0, 60.0, 900.0]), lambda: cloud.put_key(cloud.OTHER_KEY))


def same_tickets(story: Story) -> None:
    """Two files answer the same tickets; the newer one must win, whichever run is faster."""
    story.job(chunk=5)
    story.upload("old", rows=4, tickets="t")
    story.world.sleep(2)
    story.upload("new", rows=4, tickets="t")


def same_rows(story: Story) -> None:
    """The same file is uploaded twice, under two names: the second run is held, and nobody approves of it."""
    story.job(chunk=3)
    first = story.upload("a", rows=4)
    story.copy(first, "b", story.world.rng.uniform(0.1, 300))


def two_nights(story: Story) -> None:
    """A file lies there for two nights: the second takes only what is new."""
    story.job(schedule="nightly", chunk=4)
    story.upload("a", rows=3)
    story.night(5)
    story.night(1500, at="2026-11-23T02:00:00Z")


def not_alone(story: Story) -> None:
    """Somebody else makes batches of the same size in the same workspace, at the same time."""
    story.job(chunk=3)
    story.upload("a", rows=6)
    for _ in range(story.world.rng.randint(1, 3)):
        story.somebody_else(3, story.world.rng.uniform(0.2, 60))


def aborted(story: Story) -> None:
    """The execution is stopped, once or twice; its event may be lost, and the audit finds the run."""
    story.job(chunk=3)
    story.upload("a", rows=6)
    story.world.lost_events = 0.5
    for _ in range(2):
        story.later(story.world.rng.uniform(2, 900), story.world.stop_all)


def many_batches(story: Story) -> None:
    """More batches in flight than are asked for one by one."""
    story.job(chunk=1)
    story.upload("a", rows=5)


def mended_job(story: Story) -> None:
    """The API refuses the batch whole; the job is mended, and the run planned anew."""
    story.job(chunk=3)
    story.upload("a", rows=5)
    story.mend = lambda: story.job(chunk=2)


def refused_ticket(story: Story) -> None:
    """A ticket is full: its answer cannot be written to it, and must be in the files."""
    story.job()
    file = story.upload("a")
    ticket = next(iter(file.texts))
    full = {"ticket_id": {"S": ticket}, "notes": {"S": "x" * 404_900}}  # moto's limit is 405,000 bytes
    cloud.client("dynamodb").put_item(TableName=cloud.TICKETS, Item=full)
    story.full = ticket


def submit_breaks(story: Story) -> None:
    """Submit fails whatever it is asked, until the run is held for it and somebody mends it."""
    story.job()
    story.upload("a")
    story.later(story.world.rng.uniform(0.2, 3), lambda: story.world.broken.add("SubmitFunction"))


def loop_dies(story: Story) -> None:
    """Every execution is stopped soon after it began, for hours: the run is held, and goes on when resumed."""
    story.job()
    story.upload("a")
    story.world.lost_events = 0.3

    def stop() -> None:
        for _ in range(60):
            story.world.sleep(100)
            story.world.stop_all()

    story.later(2, stop)


def orphan_while_held(story: Story) -> None:
    """A batch becomes visible an hour late, when its create counts as lost; the run is held meanwhile: it is used."""
    story.job(chunk=5)
    story.world.fault("create", "accept-late", seconds=3600, times=1)
    story.upload("a")
    story.by_hand(lambda control, run: control.hold(run, "by hand"), story.world.rng.uniform(5, 600))
    story.by_hand(resume, 9000)


def orphan_beside_another(story: Story) -> None:
    """A batch becomes visible an hour late, its rows sent again and not begun: it is used, and the other canceled."""
    story.job(chunk=5)
    story.world.fault("create", "accept-late", seconds=3600, times=1)
    story.world.fault("create", "all-expired", times=1)
    story.upload("a")


def lost_upload(story: Story) -> None:
    """The upload's event never comes."""
    story.job()
    story.upload("a", event=False)


def missed_night(story: Story) -> None:
    """The schedule's event for submit never comes."""
    story.job(schedule="nightly", chunk=4)
    story.upload("a", rows=5)
    story.night(5, heard=False)


SCENARIOS: Mapping[str, Callable[[Story], None]] = {
    scenario.__name__: scenario
    for scenario in (
        upload,
        two_runs,
        night,
        manifest,
        retries,
        cut_off,
        deleted,
        hold,
        cancel,
        rotated_key,
        same_tickets,
        same_rows,
        two_nights,
        not_alone,
        aborted,
        many_batches,
        mended_job,
        refused_ticket,
        submit_breaks,
        loop_dies,
        orphan_while_held,
        orphan_beside_another,
        lost_upload,
        missed_night,
        *MONEY,
    )
}
