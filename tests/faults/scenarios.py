"""What happens in a history when nothing goes wrong: uploads, nights, holds, cancels, keys that change, other people.

A scenario schedules events and says which rows there are. Texts differ in every row of a history, so that the API's
own record tells rows apart.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs, S3Outputs
from nightshift.adapters.stepfunctions import StepFunctionsExecutions
from nightshift.control import Control
from nightshift.model import HoldCode, RunId, RunState
from nightshift.money import amount_of
from tests.faults import cloud, ledger_watch
from tests.faults.world import START, World

WORDS = ("billing", "technical")

JOB = """\
job: {name}
input: {{format: jsonl, id: id}}
model: {model}
max_tokens: {max_tokens}
thinking: {thinking}
system: {system}
prompt: "{{{{ body }}}}"
output:
  {answer}
  table: {{key: ticket_id, attribute: category}}
pilot: {pilot}
verify: {verify}
cache: {{ttl: 1h, when: always}}
batch: {{max_rows: {chunk}, max_bytes: 50000000}}
limits: {{max_rows: 1000, max_reject_ratio: 0.9, max_usd: {max_usd}}}
retry: {{generations: {generations}}}
schedule: {schedule}
"""

PLAIN: Mapping[str, Any] = {
    "model": "claude-haiku-5-5",
    "max_tokens": 64,
    "thinking": "disabled",
    "system": "Sort it.",
    "answer": f"labels: [{', '.join(WORDS)}]",
    "pilot": "none",
    "verify": "none",
    "max_usd": 25,
    "chunk": 3,
    "generations": 1,
    "schedule": "upload",
}
"""A job like any other."""

WORDY: Mapping[str, Any] = {"answer": "text: true", "max_tokens": 2000}
"""A job whose answers are expected to be far longer than they are: most of what is reserved is not spent."""

EACH = 500 * 250_000
"""Picodollars that a row of a wordy job is expected to cost, or a little more: a quarter of `max_tokens`."""

LONG = "Sort it. " * 240
"""A system prompt that is long enough to be cached."""


@dataclass(slots=True)
class File:
    """An input: what its rows are, and what must become of them."""

    job: str
    key: str
    texts: Mapping[str, str]
    """Ticket → text, of the rows that can be sent."""
    rejects: int
    size: int
    event: Any = None

    @property
    def records(self) -> int:
        """Rows in all."""
        return len(self.texts) + self.rejects


@dataclass(slots=True)
class Story:
    """A scenario at work."""

    world: World
    files: list[File] = field(default_factory=list)
    nightly: bool = False
    mend: Callable[[], None] = lambda: None
    """What a person mends before letting held runs go on, beside key and functions."""
    pending: int = 0
    """Things that are still to happen."""
    full: str = ""
    """A ticket that takes nothing more."""
    foreign: int = 0
    """Batches that somebody else makes in the workspace."""
    approves: frozenset[HoldCode] = frozenset()
    """What the person who lets held runs go on waves through."""
    may_stay: frozenset[HoldCode] = frozenset({HoldCode.SAME_ROWS})
    """Where a person has only to say no. All else that holds a run here can be mended, and is."""

    @property
    def runs(self) -> int:
        """How many runs there must be at the end."""
        return min(1, len(self.files)) if self.nightly else len(self.files)

    # --- what scenarios are made of

    def job(self, name: str = "triage", **fields: Any) -> None:
        """Put a job file. A night makes one run of it, an upload one of each file."""
        filled = {**PLAIN, **fields}
        self.nightly = filled["schedule"] == "nightly"
        text = JOB.format(name=name, **filled)
        cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key=f"jobs/{name}.yaml", Body=text.encode())

    def leave(self, amount: int) -> None:
        """Have this month begin with so many picodollars left to spend."""
        self.world.watch.spend(f"{datetime.fromtimestamp(START, UTC):%Y-%m}", amount_of(cloud.CAP_USD) - amount)

    def upload(
        self, name: str, *, job: str = "triage", rows: int = 5, spoiled: int = 2, tickets: str = "", event: bool = True
    ) -> File:
        """Upload a file: good rows, a broken line, a row that comes twice; EventBridge says so once."""
        tickets = tickets or name
        texts = {f"{tickets}-{n}": f"{name} row {n} is about {WORDS[n % 2]} at {len(self.files)}" for n in range(rows)}
        lines = [json.dumps({"id": ticket, "body": text}) for ticket, text in texts.items()]
        lines[1:1] = ['{"id": "broken'][: spoiled > 0] + lines[:1][: spoiled > 1]
        key = f"inbox/{job}/{name}.jsonl"
        body = ("\n".join(lines) + "\n").encode()
        put = cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key=key, Body=body)
        file = File(job, key, texts, spoiled, len(body), _created(key, put["VersionId"], len(body)))
        self.files.append(file)
        if event:
            self.world.deliver("SubmitFunction", file.event)
        return file

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """Have something happen in so many seconds."""
        self.pending += 1

        def happen() -> None:
            what()
            self.pending -= 1

        self.world.fibers.spawn("story", happen, after=seconds)

    def copy(self, file: File, name: str, seconds: float) -> None:
        """Upload the same bytes once more, under another name."""
        key = f"inbox/{file.job}/{name}.jsonl"

        def upload() -> None:
            source = {"Bucket": cloud.INPUTS, "Key": file.key}
            put = cloud.client("s3").copy_object(Bucket=cloud.INPUTS, Key=key, CopySource=source)
            self.files.append(File(file.job, key, file.texts, file.rejects, file.size))
            self.world.deliver("SubmitFunction", _created(key, put["VersionId"], file.size))

        self.later(seconds, upload)

    def again(self, file: File, seconds: float) -> None:
        """Deliver a file's event a second time."""
        self.later(seconds, lambda: self.world.deliver("SubmitFunction", file.event))

    def night(self, seconds: float, *, heard: bool = True, at: str = "2026-11-22T02:00:00Z") -> None:
        """Have the schedule fire; or be lost on the way to submit, when the audit alone hears of it."""
        event = {"source": "nightshift.schedule", "scheduled_time": at}
        if heard:
            self.later(seconds, lambda: self.world.deliver("SubmitFunction", event))
        if "AuditFunction" in self.world.handlers:
            self.later(seconds, lambda: self.world.deliver("AuditFunction", event))

    def by_hand(self, what: Callable[[Control, RunId], Any], seconds: float) -> None:
        """Have a person do something to every open run, and once more where the terminal died under them."""

        def work() -> None:
            for run in list(ledger_watch.read().runs.values()):
                for _ in range(2):
                    fiber = self.world.person(partial(_do, what, run.run_id))
                    self.world.fibers.join(fiber)
                    if fiber.error is None:
                        break

        self.later(seconds, work)

    def somebody_else(self, rows: int, seconds: float) -> None:
        """Have somebody else make a batch in our workspace, of as many rows as ours have."""

        def make() -> None:
            self.foreign += 1
            params = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
            requests = [
                {"custom_id": f"{ledger_watch.OTHERS}{self.foreign}-{n}", "params": params} for n in range(rows)
            ]
            self.world.create_elsewhere({"requests": requests})

        self.later(seconds, make)


def _do(what: Callable[[Control, RunId], object], run_id: RunId) -> None:
    what(control(), run_id)


def control() -> Control:
    """Return what the command line uses, put together as cli/nightshift_cli/stack.py does."""
    # Its clients are made as the functions' are, so that its calls are boundaries.
    from nightshift import clock, wiring  # noqa: PLC0415 - after the seams are in

    clients = wiring._client
    machine = f"arn:aws:states:{cloud.REGION}:{cloud.ACCOUNT}:stateMachine:{cloud.MACHINE}"
    return Control(
        DynamoLedger(clients("dynamodb"), cloud.RUNS),
        S3Inputs(clients("s3"), cloud.INPUTS),
        S3Outputs(clients("s3"), cloud.OUTPUTS),
        StepFunctionsExecutions(clients("stepfunctions"), machine),
        clock.now,
    )


def _created(key: str, version: str, size: int) -> dict[str, Any]:
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": cloud.INPUTS}, "object": {"key": key, "size": size, "version-id": version}},
    }


# --- the scenarios


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


def retries(story: Story) -> None:
    """Some rows are overloaded the first time; they are asked again, once."""
    story.job(chunk=3, generations=2)
    story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a", rows=6)


def hold(story: Story) -> None:
    """A person holds the run at some moment, and lets it go on later."""
    story.job(chunk=2)
    story.upload("a", rows=5)
    at = story.world.rng.uniform(0.5, 600)
    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(_resume, at + story.world.rng.uniform(30, 1200))


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
    story.by_hand(_resume, 9000)


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
    """The pilot takes longer than the rest waits for it, and is judged when that is in flight."""
    story.job(**WORDY, chunk=5, pilot="{rows: 5, above: 5, wait: 1m}")
    story.upload("a", rows=7)


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
    story.by_hand(_resume, at)


def new_month(story: Story) -> None:
    """A month ends in the middle of a run, which is held in the one, and goes on in the other."""
    story.world.sleep(8 * 86400 + 22 * 3600 - story.world.rng.uniform(5, 900))
    story.job()
    story.world.fault("rows", "overloaded", rate=0.5, first_times=1)
    story.upload("a")
    at = story.world.rng.uniform(3, 400)
    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(_resume, at + 900)


def slow_resume(story: Story) -> None:
    """A held run is let go on, and its loop dies at once: until an audit comes by it is open, and has no money."""
    story.job()
    story.upload("a")
    at = story.world.rng.uniform(3, 12)
    story.world.lost_events = 1.0

    def resume(control: Control, run_id: RunId) -> None:
        _resume(control, run_id)
        story.world.stop_all()

    story.by_hand(lambda control, run: control.hold(run, "by hand"), at)
    story.by_hand(resume, at + story.world.rng.choice([750.0, 2100.0]))


def _resume(control: Control, run_id: RunId) -> None:
    if ledger_watch.read().runs[run_id].state is not RunState.DONE:
        control.resume(run_id)


AUDITED = frozenset({"aborted", "lost_upload", "missed_night"})
"""What only the audit mends."""

SCENARIOS: Mapping[str, Callable[[Story], None]] = {
    scenario.__name__: scenario
    for scenario in (
        upload,
        two_runs,
        night,
        retries,
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
        pilot,
        bad_pilot,
        approved_pilot,
        late_pilot,
        last_dollar,
        too_dear,
        dearer,
        verified,
        no_price,
        new_job,
        new_month,
        slow_resume,
    )
}
