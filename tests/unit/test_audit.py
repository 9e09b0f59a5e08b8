"""The audit: every check has its turn, what it finds is counted and said, and nothing starts that nobody asked for."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.audit import OF_BATCHES, OF_RUNS, Audited, Auditor, Metric
from nightshift.decision import fingerprint
from nightshift.deleting import Deleter
from nightshift.errors import Ambiguous, BadTrigger
from nightshift.intake import Intake
from nightshift.loops import LoopKeeper
from nightshift.model import Hold, HoldCode, RunId, custom_id
from nightshift.salvaging import Salvager
from nightshift.sending import Sender
from tests.unit.conftest import START, MovableClock
from tests.unit.fake_api import FakeApi
from tests.unit.fakes import MemoryInputs, MemoryOutputs, Started
from tests.unit.made import RUN, chunk, intent, run

TICK = {"source": "nightshift.audit"}
ZEROS = {Metric.INTENT_AGE, Metric.MISSED_NIGHTS, Metric.FAILED, *OF_RUNS, *OF_BATCHES}
NIGHT = {"source": "nightshift.schedule", "scheduled_time": "2026-11-22T02:00:00Z"}
JOB = b"""\
job: mail
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output: {labels: [a, b], table: none}
schedule: %s
"""


@dataclass
class Desk:
    """A stack in memory but for its ledger, and its audit."""

    ledger: DynamoLedger
    clock: MovableClock
    inputs: MemoryInputs = field(default_factory=MemoryInputs)
    executions: Started = field(default_factory=Started)

    def __post_init__(self) -> None:
        self.api = FakeApi(self.clock)
        self.auditor = Auditor(
            self.ledger,
            Intake(self.ledger, self.inputs, self.executions, self.clock),
            Sender(self.ledger, self.api, MemoryOutputs(), self.clock),
            Salvager(self.ledger, self.api, self.clock),
            Deleter(self.ledger, self.api, self.clock),
            LoopKeeper(self.ledger, self.executions, self.clock),
            self.clock,
        )

    def handle(self, event: dict[str, Any]) -> Audited:
        return self.auditor.handle(event, owner="me", deadline=self.clock() + timedelta(minutes=10))

    def tick(self) -> Audited:
        audited = self.handle(TICK)
        audited.raise_surprise()
        return audited

    def run(self, **changes: Any) -> None:
        """Put a run with one planned chunk, whose loop lives."""
        self.ledger.create_run(run(**changes))
        self.ledger.plan_chunk(chunk())
        self.ledger.finish_plan(run(rows=3, plan_digest="d"))
        self.executions.start(RUN, 1)

    def files(self, schedule: bytes) -> None:
        self.inputs.files = {"jobs/mail.yaml": JOB % schedule, "inbox/mail/a.jsonl": b'{"id":1,"body":"x"}\n'}


@pytest.fixture
def desk(ledger: DynamoLedger, clock: MovableClock) -> Desk:
    return Desk(ledger, clock)


def counted(audited: Audited) -> dict[Metric, int]:
    """Return what is not zero, the heartbeat left out."""
    return {name: value for name, value in audited.metrics.items() if value and name is not Metric.HEARTBEAT}


def test_where_all_is_well_only_the_heart_beats(desk: Desk) -> None:
    desk.run()

    audited = desk.tick()

    assert audited.findings == []
    assert audited.metrics == {Metric.HEARTBEAT: 1} | dict.fromkeys(ZEROS, 0)
    assert desk.executions.names == [(RUN, 1)]


def test_a_dead_loop_gets_its_next_execution(desk: Desk) -> None:
    desk.run()
    desk.executions.dead.add((RUN, 1))
    desk.clock.move(minutes=6)

    audited = desk.tick()

    assert counted(audited) == {Metric.LOOPS_RESTARTED: 1}
    assert audited.findings == [f"loop of {RUN}, execution 1: restarted"]
    assert desk.executions.names == [(RUN, 1), (RUN, 2)]


def test_a_run_of_long_ago_that_is_still_open_is_looked_after_too(desk: Desk) -> None:
    desk.run()
    desk.executions.dead.add((RUN, 1))
    orphan = desk.api.add(3)
    desk.clock.move(days=36)
    desk.api.stored[orphan.id] = replace(orphan, created_at=desk.clock() - timedelta(hours=1))
    desk.api.end(orphan.id, f'{{"custom_id": "{custom_id(RUN, chunk().id, 1)}"}}\n'.encode())

    audited = desk.tick()

    assert (audited.metrics[Metric.LOOPS_RESTARTED], audited.metrics[Metric.SALVAGED]) == (1, 1)


def test_a_loop_that_is_told_to_have_ended_is_started_again_at_once(desk: Desk) -> None:
    desk.run()
    desk.executions.dead.add((RUN, 1))

    audited = desk.handle({"source": "aws.states", "detail": {"name": f"{RUN}-c0001"}})

    assert counted(audited) == {Metric.LOOPS_ENDED: 1, Metric.LOOPS_RESTARTED: 1}
    assert desk.executions.names == [(RUN, 1), (RUN, 2)]


def test_a_loop_that_keeps_dying_holds_its_run(desk: Desk) -> None:
    desk.run()
    for number in (1, 2, 3):
        desk.executions.dead.add((RUN, number))
        desk.clock.move(minutes=15)
        desk.tick()
    desk.executions.dead.add((RUN, 4))
    desk.clock.move(minutes=15)

    assert counted(desk.tick())[Metric.LOOPS_GIVEN_UP] == 1

    hold = desk.ledger.run(RUN).hold
    assert hold is not None
    assert hold.code is HoldCode.LOOP_DIES
    desk.clock.move(minutes=15)
    assert desk.tick().findings[-1] == f"loop of {RUN}, execution 4: given up"


def test_a_create_whose_outcome_is_not_known_is_settled_when_it_is_time(desk: Desk) -> None:
    desk.run()
    desk.ledger.start_send(chunk(), intent())
    desk.api.add(3)
    desk.clock.move(minutes=29)
    early = desk.tick()
    assert (counted(early), early.findings) == ({Metric.INTENT_AGE: 29 * 60}, [])

    desk.clock.move(minutes=1)
    audited = desk.tick()

    assert audited.metrics[Metric.INTENT_AGE] == 30 * 60
    assert audited.findings == [f"the create of {RUN} g0-000001: settled"]
    assert (desk.ledger.intent(), desk.ledger.chunks(RUN)[0].batch_id) == (None, "msgbatch_01")


def test_an_orphan_is_salvaged_and_the_loop_that_its_held_run_wants_again_is_started(desk: Desk) -> None:
    desk.run()
    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    desk.ledger.reported(RUN, fingerprint(desk.ledger.run(RUN), desk.ledger.chunks(RUN)), done=False)
    desk.executions.dead.add((RUN, 1))
    orphan = desk.api.add(3)
    desk.api.end(orphan.id, f'{{"custom_id": "{custom_id(RUN, chunk().id, 1)}"}}\n'.encode())
    desk.clock.move(hours=1)

    audited = desk.tick()

    assert audited.metrics[Metric.SALVAGED] == 1
    assert audited.findings[0] == f"batch msgbatch_01: salvaged: {RUN} g0-000001 was planned, and has it now"
    assert desk.executions.names[-1] == (RUN, 2)


def test_a_batch_that_nobody_knows_is_counted(desk: Desk) -> None:
    desk.api.add(7)
    desk.clock.move(hours=1)

    assert counted(desk.tick()) == {Metric.ORPHANS: 1}


def test_an_upload_whose_event_was_lost_is_opened_and_left_to_its_loop(desk: Desk) -> None:
    desk.files(b"upload")
    desk.clock.move(minutes=16)

    audited = desk.tick()

    assert counted(audited) == {Metric.LOST_UPLOADS: 1}
    (opened,) = desk.ledger.runs(2)
    assert (opened.trigger, opened.working_until) == ("upload", None)
    assert desk.executions.names == [(opened.run_id, 1)]
    assert counted(desk.tick()) == {}


def test_a_night_that_submit_never_heard_of_is_opened_an_hour_late(desk: Desk) -> None:
    desk.files(b"nightly")
    due = desk.handle(NIGHT)
    assert (counted(due), due.findings) == ({Metric.NIGHTS_DUE: 1}, ["a night is due: 2026-11-22T02:00:00+00:00"])
    desk.clock.move(minutes=59)
    assert counted(desk.tick()) == {}

    desk.clock.move(minutes=1)
    audited = desk.tick()

    assert counted(audited) == {Metric.MISSED_NIGHTS: 1}
    (opened,) = desk.ledger.runs(2)
    assert (opened.trigger, desk.ledger.nights(START)) == ("nightly", {START: True})
    assert counted(desk.tick()) == {}


def test_a_night_that_submit_has_opened_is_not_missed(desk: Desk) -> None:
    desk.handle(NIGHT)
    desk.ledger.night_opened(START - timedelta(minutes=15))  # the other schedule's, of a rate(…)
    desk.clock.move(hours=2)

    assert counted(desk.tick()) == {}


def test_a_night_of_long_ago_is_not_opened_late(desk: Desk) -> None:
    desk.files(b"nightly")
    desk.handle(NIGHT)
    desk.clock.move(days=2, seconds=1)

    assert counted(desk.tick()) == {}
    assert desk.ledger.runs(2) == []


def test_the_ages_are_those_of_the_oldest_in_flight_and_of_the_oldest_that_has_ended(desk: Desk) -> None:
    desk.run()
    desk.ledger.plan_chunk(chunk(generation=1))
    desk.ledger.start_send(chunk(), intent())
    desk.ledger.sent(intent(), made := desk.api.add(3), adopted=False)
    desk.clock.move(minutes=40)
    assert counted(desk.tick())[Metric.OLDEST_IN_FLIGHT] == 40 * 60

    desk.api.end(made.id)
    desk.ledger.ended(desk.ledger.chunks(RUN)[0], desk.api.batch(made.id))
    desk.clock.move(minutes=3)
    audited = desk.tick()

    assert audited.metrics[Metric.OLDEST_IN_FLIGHT] == 0
    assert audited.metrics[Metric.OLDEST_UNCOLLECTED] == 3 * 60


def test_the_age_of_what_could_not_be_sent_is_measured_unless_the_run_is_held(desk: Desk) -> None:
    desk.run()
    desk.ledger.looked(run(unsent_since=START, changed_at=START))
    desk.clock.move(minutes=40)
    assert counted(desk.tick()) == {Metric.OLDEST_UNSENT: 40 * 60}

    desk.ledger.hold(RUN, Hold(HoldCode.BY_HAND, "because", START))
    assert counted(desk.tick()) == {}


def test_what_must_not_be_is_told_once_a_second_reading_finds_it_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run()
    desk.clock.move(minutes=46)
    audited = desk.tick()
    assert counted(audited) == {Metric.VIOLATIONS: 1}
    assert audited.findings == [f"I6: {RUN} has not changed since 2026-11-22 02:00 UTC"]

    moved = chunk(not_before=desk.clock() + timedelta(minutes=1))
    readings = iter([[chunk()], [chunk()], [moved]])  # the loop's, and two of the invariants'
    monkeypatch.setattr(desk.ledger, "chunks", lambda _run_id: next(readings))
    assert Metric.VIOLATIONS not in counted(desk.tick())


def test_a_check_that_fails_keeps_no_other_from_its_turn_and_is_raised_at_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run()
    desk.executions.dead.add((RUN, 1))
    desk.clock.move(minutes=6)
    monkeypatch.setattr(desk.inputs, "jobs", _broken)
    monkeypatch.setattr(desk.ledger, "nights", _broken)

    audited = desk.handle(TICK)

    assert audited.metrics[Metric.LOOPS_RESTARTED] == 1
    assert audited.metrics[Metric.FAILED] == 2
    assert audited.findings[:2] == ["nights: unexpected ZeroDivisionError", "uploads: unexpected ZeroDivisionError"]
    with pytest.raises(ZeroDivisionError):
        audited.raise_surprise()


def test_an_api_that_is_away_is_told_and_is_no_surprise(desk: Desk) -> None:
    desk.run()
    desk.api.down = Ambiguous("away")

    audited = desk.tick()

    assert audited.findings == ["batches: away"]
    assert counted(audited) == {Metric.FAILED: 1}


@pytest.mark.parametrize(
    ("port", "method", "unseen"),
    [
        ("api", "batches", set(OF_BATCHES)),
        ("ledger", "nights", {Metric.MISSED_NIGHTS}),
        ("ledger", "intent", {Metric.INTENT_AGE, *OF_RUNS, *OF_BATCHES}),
        ("ledger", "chunks", set(OF_RUNS)),
        ("executions", "alive", set(OF_RUNS)),
    ],
)
def test_what_could_not_be_looked_for_is_not_said_to_be_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, port: str, method: str, unseen: set[Metric]
) -> None:
    desk.run()
    monkeypatch.setattr(getattr(desk, port), method, _broken)

    audited = desk.handle(TICK)

    assert audited.metrics.keys() == {Metric.HEARTBEAT, *ZEROS} - unseen
    assert audited.metrics[Metric.FAILED] >= 1


def test_loops_are_looked_at_though_results_hang_until_time_is_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run()
    desk.executions.dead.add((RUN, 1))
    for _ in range(20):
        desk.api.end(desk.api.add(3).id)
    desk.clock.move(hours=1)

    def hang(_batch: object) -> Any:
        desk.clock.move(seconds=170)
        raise Ambiguous("silence")

    monkeypatch.setattr(desk.api, "results", hang)
    began = desk.clock()

    audited = desk.tick()

    assert desk.executions.names[-1] == (RUN, 2)
    assert audited.metrics[Metric.ORPHANS] == 20
    assert desk.clock() - began < timedelta(minutes=10)  # its function's time is not up


def test_one_run_s_surprise_is_not_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = RunId("triage-20261122-zzzzzzzz")
    desk.run()
    desk.ledger.create_run(run(other, inputs=()))
    desk.clock.move(minutes=6)
    monkeypatch.setattr(desk.executions, "alive", lambda run_id, _number: run_id != other and 1 / 0)

    audited = desk.handle(TICK)

    assert desk.executions.names[-1] == (other, 2)
    assert f"{RUN}: unexpected ZeroDivisionError" in audited.findings
    with pytest.raises(ZeroDivisionError):
        audited.raise_surprise()


def test_an_event_of_another_kind_is_refused(desk: Desk) -> None:
    with pytest.raises(BadTrigger):
        desk.handle({"source": "aws.s3"})


def _broken(*_args: Any) -> Any:
    return 1 / 0
