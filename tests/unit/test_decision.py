"""next_step is a table: what the ledger says, and what comes next."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nightshift.decision import Policy, fingerprint, next_step, settles_at
from nightshift.model import (
    Chunk,
    ChunkState,
    Hold,
    HoldCode,
    Intent,
    IntentNote,
    Run,
    RunState,
    Step,
    StepKind,
    Tally,
    Worker,
)
from tests.unit.conftest import START
from tests.unit.made import chunk, intent, run

POLICY = Policy(poll_min_seconds=30, poll_max_seconds=360, poll_percent=5, max_turns=1500)
MINUTE = timedelta(minutes=1)
HELD = Hold(HoldCode.BY_HAND, "because", START)
PLANNED = run(planned=True, max_generations=2)
PILOTED = run(planned=True, pilot=3, pilot_wait=3600)
RETRYABLE = Tally(retryable=1)
CANCELED = Hold(HoldCode.CANCELED, "because", START)
LOST = chunk(state=ChunkState.SENT, sent_at=START - timedelta(hours=26, seconds=1))
COLLECTED = chunk(state=ChunkState.COLLECTED)


def reported(state: Run, *chunks: Chunk) -> Run:
    return replace(state, reported=fingerprint(state, chunks))


@pytest.mark.parametrize(
    ("state", "chunks", "standing", "kind"),
    [
        (run(), [], None, StepKind.SUBMIT),
        (run(), [chunk()], None, StepKind.SUBMIT),
        (run(working_until=START + MINUTE), [], None, StepKind.WAIT),
        (run(working_until=START), [], None, StepKind.SUBMIT),
        (PLANNED, [chunk()], None, StepKind.SUBMIT),
        (PLANNED, [chunk(not_before=START + MINUTE)], None, StepKind.WAIT),
        (PLANNED, [chunk(not_before=START + MINUTE), chunk(2)], None, StepKind.WAIT),
        (PLANNED, [chunk(not_before=START), chunk(2)], None, StepKind.SUBMIT),
        (replace(PLANNED, reserved=None), [chunk()], None, StepKind.SUBMIT),
        (replace(PLANNED, reserved=None, hold=HELD), [chunk()], None, StepKind.REPORT),
        (replace(PLANNED, reserved=None), [chunk(1, generation=1), COLLECTED], None, StepKind.REPORT),
        (replace(PLANNED, state=RunState.DONE, verify=3), [COLLECTED], None, StepKind.VERIFY),
        (replace(PLANNED, state=RunState.DONE, verify=3, verified=True), [COLLECTED], None, StepKind.DONE),
        (PILOTED, [chunk(), chunk(2)], None, StepKind.SUBMIT),
        (PILOTED, [chunk(state=ChunkState.SENT, sent_at=START), chunk(2)], None, StepKind.WAIT),
        (PILOTED, [chunk(state=ChunkState.SENT, sent_at=START - 60 * MINUTE), chunk(2)], None, StepKind.SUBMIT),
        (PILOTED, [chunk(state=ChunkState.ENDED, sent_at=START - 59 * MINUTE), chunk(2)], None, StepKind.COLLECT),
        (PILOTED, [COLLECTED, chunk(2)], None, StepKind.SUBMIT),
        (replace(PILOTED, hold=HELD), [COLLECTED, chunk(2)], None, StepKind.REPORT),
        (replace(PILOTED, piloted=True), [COLLECTED, chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (replace(PILOTED, reserved=None), [COLLECTED, chunk(2)], None, StepKind.SUBMIT),
        (replace(PILOTED, reserved=None), [COLLECTED], None, StepKind.REPORT),
        (PLANNED, [chunk()], intent(2), StepKind.WAIT),
        (PLANNED, [chunk()], intent(2, deadline=START - 15 * MINUTE), StepKind.SUBMIT),
        (PLANNED, [chunk(state=ChunkState.SENDING)], intent(), StepKind.WAIT),
        (
            run(planned=True, hold=HELD),
            [chunk(state=ChunkState.SENDING)],
            intent(deadline=START - 15 * MINUTE),
            StepKind.SUBMIT,
        ),
        (PLANNED, [chunk(state=ChunkState.SENT)], None, StepKind.WAIT),
        (PLANNED, [chunk(state=ChunkState.ENDED)], None, StepKind.COLLECT),
        (PLANNED, [chunk(state=ChunkState.ARCHIVED)], None, StepKind.COLLECT),
        (PLANNED, [chunk(state=ChunkState.ENDED), chunk(2)], None, StepKind.SUBMIT),
        (PLANNED, [chunk(state=ChunkState.ENDED, worker=Worker("w", START + MINUTE))], None, StepKind.WAIT),
        (PLANNED, [chunk(state=ChunkState.ENDED, worker=Worker("w", START))], None, StepKind.COLLECT),
        (PLANNED, [chunk(state=ChunkState.ENDED, not_before=START + MINUTE)], None, StepKind.WAIT),
        (PLANNED, [chunk(state=ChunkState.COLLECTED, tally=RETRYABLE)], None, StepKind.SUBMIT),
        (PLANNED, [chunk(state=ChunkState.COLLECTED, tally=RETRYABLE), chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (run(planned=True), [chunk(state=ChunkState.COLLECTED, tally=RETRYABLE)], None, StepKind.REPORT),
        (PLANNED, [COLLECTED], None, StepKind.REPORT),
        (PLANNED, [COLLECTED, chunk(1, generation=1)], None, StepKind.REPORT),
        (PLANNED, [], None, StepKind.REPORT),
        (run(hold=HELD), [], None, StepKind.REPORT),
        (run(planned=True, hold=HELD), [chunk(), chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (run(planned=True, hold=HELD), [chunk(), chunk(2, ChunkState.ENDED)], None, StepKind.COLLECT),
        (reported(run(hold=HELD)), [], None, StepKind.HELD),
        (reported(run(planned=True, hold=HELD), chunk()), [chunk()], None, StepKind.HELD),
        (run(planned=True, hold=HELD, fruitless=10), [chunk(2, ChunkState.ENDED)], None, StepKind.HELD),
        (run(planned=True, hold=HELD, fruitless=10), [chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (run(planned=True, hold=HELD, fruitless=10), [LOST], None, StepKind.HELD),
        (run(planned=True, hold=HELD), [LOST], None, StepKind.REPORT),
        (run(planned=True, hold=HELD), [LOST, chunk(2, ChunkState.ENDED)], None, StepKind.COLLECT),
        (run(planned=True, hold=HELD), [LOST, chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (run(planned=True, hold=HELD), [chunk(state=ChunkState.ENDED, failures=10)], None, StepKind.REPORT),
        (run(planned=True, hold=CANCELED), [chunk(), chunk(2, ChunkState.SENT)], None, StepKind.WAIT),
        (run(planned=True, hold=CANCELED), [chunk(), chunk(2, ChunkState.ENDED)], None, StepKind.COLLECT),
        (run(planned=True, hold=CANCELED), [chunk(), COLLECTED], None, StepKind.REPORT),
        (
            run(planned=True, hold=CANCELED),
            [chunk(state=ChunkState.SENDING)],
            intent(deadline=START - 15 * MINUTE),
            StepKind.SUBMIT,
        ),
        (reported(run(planned=True, hold=CANCELED), chunk()), [chunk()], None, StepKind.HELD),
        (PLANNED, [chunk(state=ChunkState.ENDED, failures=9)], None, StepKind.COLLECT),
        (run(state=RunState.DONE), [COLLECTED], None, StepKind.DONE),
    ],
)
def test_the_next_step_follows_from_the_ledger(
    state: Run, chunks: list[Chunk], standing: Intent | None, kind: StepKind
) -> None:
    assert next_step(state, chunks, standing, START, POLICY).kind is kind


def test_as_many_workers_start_as_there_are_batches_to_collect_up_to_eight() -> None:
    ended = [chunk(n, ChunkState.ENDED) for n in range(1, 13)]

    assert next_step(PLANNED, ended[:3], None, START, POLICY) == Step(
        StepKind.COLLECT, workers=3, reason="3 batches to collect"
    )
    assert next_step(PLANNED, ended, None, START, POLICY).workers == 8


@pytest.mark.parametrize(("age_minutes", "seconds"), [(1, 30), (10, 30), (20, 60), (60, 180), (600, 360)])
def test_the_wait_is_five_percent_of_the_age_between_its_bounds(age_minutes: int, seconds: int) -> None:
    state = run(planned=True, changed_at=START)

    step = next_step(state, [chunk(state=ChunkState.SENT)], None, START + age_minutes * MINUTE, POLICY)

    assert step.wait_seconds == seconds


def test_a_wait_ends_when_the_next_thing_is_due() -> None:
    waiting = chunk(not_before=START + timedelta(seconds=7.2))

    assert next_step(PLANNED, [waiting], None, START, POLICY).wait_seconds == 8


@pytest.mark.parametrize(
    ("changes", "minutes"),
    [
        ({}, 30),  # the sender died: its deadline plus 15 minutes
        ({"note": IntentNote.HTTP_ERROR, "noted_at": START}, 2),
        ({"note": IntentNote.CONNECTION_LOST, "noted_at": START}, 15),
        ({"none_seen_at": START + 40 * MINUTE}, 41),
        ({"none_seen_at": START + 40 * MINUTE, "retry_at": START + 50 * MINUTE}, 50),
    ],
)
def test_an_unknown_create_is_settled_after_the_grace_of_its_kind(changes: dict[str, Any], minutes: int) -> None:
    assert settles_at(intent(**changes)) == START + minutes * MINUTE


def test_the_fingerprint_moves_with_chunks_and_not_with_the_loops_own_notes() -> None:
    before = fingerprint(PLANNED, [chunk()])

    assert fingerprint(run(planned=True, max_generations=2, fruitless=3, progress="x"), [chunk()]) == before
    assert fingerprint(PLANNED, [chunk(attempt=1)]) != before
    assert fingerprint(PLANNED, [chunk(failures=1)]) != before
    assert fingerprint(PLANNED, [chunk(), chunk(2)]) != before
