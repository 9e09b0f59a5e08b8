"""The demo's own judgement: what it tells of the ledger, and when it says that all is well."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.demo import story
from local.demo.harvest import Harvest
from local.demo.verdict import judge
from nightshift.adapters.items import encode
from nightshift.decision import settles_at
from nightshift.model import Intent, IntentNote
from tests.unit import made

LATER = made.intent().created + timedelta(minutes=40)
REPORT = {"accounted": True, "rows": 3}
ONE_BATCH: dict[str, Any] = {"posts": [{}], "batches": 1, "billed_rows": 3}


def home(*, billed: int = 3, repeated: int = 0, output: int = 3) -> Harvest:
    return Harvest(Path(), Counter(output=output), repeated, billed, REPORT)


@pytest.mark.parametrize(
    "intent",
    [
        made.intent(),
        *(replace(made.intent(), note=note, noted_at=LATER) for note in IntentNote),
        replace(made.intent(), note=IntentNote.HTTP_ERROR, noted_at=LATER, none_seen_at=LATER + timedelta(minutes=7)),
        replace(made.intent(), retry_at=LATER + timedelta(hours=1)),
        replace(made.intent(), retry_at=made.intent().created),
    ],
)
def test_the_demo_says_of_a_standing_intent_what_the_product_decides_by(intent: Intent) -> None:
    assert story.settles_at(encode(intent)) == settles_at(intent)


def test_an_intent_is_told_when_its_answer_was_lost_and_not_while_it_is_under_way() -> None:
    told, due = story.Story(), LATER + timedelta(minutes=15)
    lost = replace(made.intent(), note=IntentNote.CONNECTION_LOST, noted_at=LATER)

    assert list(told.changed({}, [], encode(made.intent()))) == []
    assert list(told.changed({}, [], encode(lost))) == [
        f"the intent stands: nothing is sent until {due:%H:%M:%S}, when the API's list is read"
    ]
    assert list(told.changed({}, [], encode(lost))) == []


def test_an_intent_is_told_when_its_sender_was_killed_and_not_when_it_is_younger() -> None:
    told, old = story.Story(), made.intent()
    killed = {"function": "SubmitFunction", "invocation": 1}
    list(told.happened({"n": 1, "at": LATER.isoformat(), "kind": "invocation.killed", "data": killed}))

    assert list(told.changed({}, [], encode(replace(old, created=LATER + timedelta(seconds=1))))) == []
    assert list(told.changed({}, [], encode(old))) != []


def test_a_chunk_that_passed_several_states_between_two_looks_is_told_with_each_of_them() -> None:
    told = story.Story()
    chunk = {"id": "g0-000001", "rows": 3, "batch_id": "b1", "adopted": True, "request_counts": {"succeeded": 3}}

    assert list(told.changed({}, [chunk | {"state": "SENDING"}], None)) == []
    assert list(told.changed({}, [chunk | {"state": "ENDED"}], None)) == [
        "g0-000001 found in the API's list and adopted: b1, 3 rows",
        "g0-000001 ended: 3 succeeded",
    ]
    assert list(told.changed({}, [chunk | {"state": "ENDED"}], None)) == []


def test_a_night_is_clean_when_every_row_is_at_home_once_and_billed_once() -> None:
    verdict = judge(ONE_BATCH, home(), shown=True)

    assert (verdict.posts, verdict.batches, verdict.billed, verdict.twice) == (1, 1, 3, 0)
    assert verdict.clean


def test_a_held_night_is_sound_while_rows_wait_and_not_when_one_is_billed_twice() -> None:
    assert judge(ONE_BATCH | {"billed_rows": 2}, home(billed=2, output=2), shown=True).sound
    assert not judge(ONE_BATCH, home(billed=2, output=2), shown=True).sound
    assert not judge(ONE_BATCH, home(output=2), shown=False).sound


@pytest.mark.parametrize(
    ("record", "got", "shown"),
    [
        (ONE_BATCH | {"batches": 2, "billed_rows": 6}, home(), True),
        (ONE_BATCH, home(billed=2), True),
        (ONE_BATCH | {"billed_rows": 2}, home(), True),
        (ONE_BATCH, home(output=2), True),
        (ONE_BATCH, home(repeated=1), True),
        (ONE_BATCH, home(), False),
    ],
    ids=["second batch", "billed and not at home", "at home and not billed", "lost", "repeated", "fault not seen"],
)
def test_a_night_is_not_clean_with(record: dict[str, Any], got: Harvest, shown: bool) -> None:  # noqa: FBT001
    assert not judge(record, got, shown=shown).clean
