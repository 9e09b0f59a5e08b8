"""Guards, each removed in turn: whoever removes one must see the campaign fail, or nothing tests it.

An ablation (guards.py) is a name, how to take the guard out of the running code, and where its absence shows: scenarios
and wire faults that need it. Guards of money are in money_ablations.py.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from nightshift import archiving, audit, decision, intake, outcomes, results, sending, submit
from nightshift.adapters import anthropic_api, dynamodb, multipart, tickets
from nightshift.adapters.items import Change
from nightshift.errors import ResultsIncomplete
from nightshift.loops import LoopKeeper, LoopState
from nightshift.model import ChunkState, Intent
from nightshift.salvaging import Salvager
from tests.faults.guards import PAUSES, Ablation, Remove, put, without
from tests.faults.money_ablations import MONEY


def _retries_on(stack: ExitStack) -> None:
    """Let the SDK send a create as often as it does by default."""
    make = anthropic_api.AnthropicBatches._client

    def client(self: Any, key: str, timeout: Any) -> Any:
        return make(self, key, timeout).with_options(max_retries=2)

    stack.enter_context(patch.object(anthropic_api.AnthropicBatches, "_client", client))


def _no_intent(stack: ExitStack) -> None:
    """Write down the batch after the create, and nothing before: what most scripts do."""
    ledger = dynamodb.DynamoLedger

    def sent(self: Any, intent: Intent, batch: Any, *, adopted: bool) -> None:
        chunk = next(c for c in self.chunks(intent.run_id) if c.id == intent.chunk)
        sets = {"batch_id": batch.id, "adopted": adopted, "sent_at": batch.created_at, "error": ""}
        self._change_chunk(chunk, ChunkState.PLANNED, None, state=ChunkState.SENT, **sets)
        self._items.apply(
            Change(dynamodb.batch_key(batch.id), {"run_id": intent.run_id, "chunk": intent.chunk}, kind="Put")
        )

    for name, value in (("start_send", _nothing), ("not_sent", _nothing), ("note_intent", _nothing), ("sent", sent)):
        stack.enter_context(patch.object(ledger, name, value))


def _nothing(*_args: Any, **_named: Any) -> None:
    pass


def _ambiguous_is_not_sent(stack: ExitStack) -> None:
    def note(self: Any, intent: Intent, _note: Any, _at: Any) -> None:
        self.not_sent(intent, not_before=None, error="taken for not sent")

    stack.enter_context(patch.object(dynamodb.DynamoLedger, "note_intent", note))


def _no_last_bytes(stack: ExitStack) -> None:
    """Let go of a body's last bytes whatever the time is."""
    read = sending.PlanBody.__iter__

    def whole(self: Any) -> Iterator[bytes]:
        self.deadline += timedelta(days=1)
        yield from read(self)

    stack.enter_context(patch.object(sending.PlanBody, "__iter__", whole))


def _no_grace(stack: ExitStack) -> None:
    for name in ("GRACE_HTTP", "GRACE_LOST", "SECOND_READ"):
        stack.enter_context(patch.object(decision, name, timedelta()))
    stack.enter_context(patch.object(decision, "settles_at", lambda intent: intent.created))
    stack.enter_context(patch.object(sending, "settles_at", lambda intent: intent.created))
    stack.enter_context(patch.object(audit, "settles_at", lambda intent: intent.created))


def _one_read(stack: ExitStack) -> None:
    """Settle a create as lost after one look that found nothing."""
    decide = sending.Sender._decide

    def at_once(self: Any, intent: Intent, matching: Any, now: Any) -> bool:
        return decide(self, replace(intent, none_seen_at=intent.none_seen_at or now), matching, now)

    stack.enter_context(patch.object(sending.Sender, "_decide", at_once))


def _no_ticket_condition(stack: ExitStack) -> None:
    make = tickets.DynamoTickets._item

    def item(self: Any, key: Any, update: Any) -> Any:
        made: Any = make(self, key, update)
        made["Update"].pop("ConditionExpression")
        made["Update"]["ExpressionAttributeNames"].pop("#order")
        # Still written last in the expression, so that the harness sees which order it was.
        made["Update"]["UpdateExpression"] += ", #seen = :order"
        made["Update"]["ExpressionAttributeNames"]["#seen"] = "seen_order"
        return made

    stack.enter_context(patch.object(tickets.DynamoTickets, "_item", item))


def _random_ids(stack: ExitStack) -> None:
    """Name each delivery's run anew, and let it have inputs that another run has."""

    def run_id(job: str, day: Any, _seed: str) -> str:
        return f"{job}-{day:%Y%m%d}-{uuid.uuid4().hex[:8].translate(str.maketrans('0189', 'abcd'))}"

    stack.enter_context(patch.object(intake, "_run_id", run_id))
    without("attribute_not_exists(#pk) OR #run_id = :me", pk="INPUT#")(stack)
    stack.enter_context(patch.object(dynamodb.DynamoLedger, "claim_digest", lambda _self, _job, _digest, run: run))


def _any_generation(stack: ExitStack) -> None:
    """Ask failed rows again before the rest of their generation has come back."""

    def due(run: Any, chunks: Any) -> bool:
        current = [c for c in chunks if c.generation == run.generation]
        return bool(run.planned and run.generation < run.max_generations and any(c.tally.retryable for c in current))

    stack.enter_context(patch.object(decision, "next_generation_due", due))
    stack.enter_context(patch.object(submit, "next_generation_due", due))


def _no_foreign(stack: ExitStack) -> None:
    """Take results that are all another's for ours, with all rows missing."""

    def missing(text: str) -> ResultsIncomplete:
        return ResultsIncomplete(text)

    stack.enter_context(patch.object(archiving, "ForeignBatch", missing))


LOST, SILENT = "create: accepted, connection lost", "create: accepted, silence"
LATE, VERY_LATE = "create: accepted, visible minutes later", "create: accepted, visible after the grace"
NOT_ACCEPTED, SECOND_LOST = "create: connection lost, not accepted", "create: the second is lost, not accepted"
PLAIN = (("upload", "none"), ("two_runs", "none"), ("retries", "none"))
PAID = r"paid for twice|was sent again|was sent while"
MISSED = r"is in no file|answer is nowhere|has no run|not in the results|does not add up|stays held"


def _all(*removes: Remove) -> Remove:
    def remove(stack: ExitStack) -> None:
        for each in removes:
            each(stack)

    return remove


def _collectable(chunk: Any, now: Any) -> bool:
    ended = chunk.state in {ChunkState.ENDED, ChunkState.ARCHIVED}
    return bool(ended and (chunk.not_before is None or chunk.not_before <= now))


_SAME = put(dynamodb.DynamoLedger, "claim_digest", lambda _self, _job, _digest, run: run)

ABLATIONS: Sequence[Ablation] = (
    Ablation("the SDK's retries are on", _retries_on, PAID, [("upload", LOST), ("upload", SILENT)]),
    Ablation(
        "no intent before the create", _no_intent, PAID, [("upload", "none")], "sending.Sender._send: ledger.sent"
    ),
    Ablation(
        "an unknown outcome counts as not sent", _ambiguous_is_not_sent, PAID, [("upload", LOST), ("upload", SILENT)]
    ),
    Ablation(
        "the intent is not exclusive",
        without(dynamodb.ABSENT, pk="CREATE", kind="Put"),
        rf"{PAID}|I6",
        [("two_runs", LOST), ("two_runs", LATE)],
    ),
    Ablation(
        "a chunk is sent whatever its state",
        without("#state = :planned AND #attempt = :before", pk="RUN#", kind="Update"),
        PAID,
        [("upload", "none"), ("two_runs", "none")],
        "sending.",
        PAUSES,
    ),
    Ablation(
        "no look at the clock before the POST, nor in it",
        _all(put(sending, "LEAST_TIME", timedelta(days=-1)), _no_last_bytes),
        PAID,
        [("upload", "none"), ("two_runs", "none")],
        "sending.",
        PAUSES,
    ),
    Ablation("no grace", _no_grace, PAID, [("upload", LATE), ("two_runs", LATE)]),
    Ablation("one look that finds nothing is enough", _one_read, PAID, [("upload", VERY_LATE)]),
    Ablation(
        "a batch may be claimed twice",
        _all(
            without(f"{dynamodb.ABSENT} OR #foreign = :yes", pk="BATCH#", kind="Put"),
            put(dynamodb.DynamoLedger, "claims", lambda _self, _ids: {}),
        ),
        "I1",
        [("not_alone", SECOND_LOST), ("retries", SECOND_LOST)],
    ),
    Ablation(
        "results are not held against the token",
        _no_foreign,
        MISSED,
        [("not_alone", NOT_ACCEPTED), ("not_alone", SECOND_LOST)],
    ),
    Ablation(
        "no look at the hold before sending",
        without("attribute_not_exists(#hold) AND ", pk="RUN#", kind="ConditionCheck"),
        "sent although held",
        [("hold", "none"), ("cancel", "none")],
        "sending.",
        PAUSES,
    ),
    Ablation(
        "results are not held against the plan",
        put(archiving.ResultsCheck, "finish", lambda _self, _batch: None),
        "is nowhere",
        [("upload", "results: cut at a line"), ("upload", "results: cut in a line")],
    ),
    Ablation(
        "archives are written over", put(multipart, "_condition", lambda **_: {}), "I5", PLAIN, "archiving.", PAUSES
    ),
    Ablation(
        "a ticket takes an older or equal answer",
        _no_ticket_condition,
        "applied twice|out of order",
        [("same_tickets", "none"), ("upload", "none")],
        "applying.",
    ),
    Ablation(
        "a chunk is taken from a worker that lives",
        _all(
            without("(attribute_not_exists(#worker) OR #worker.#until <= :now)", pk="RUN#"),
            put(decision, "collectable", _collectable),
            put(results, "collectable", _collectable),
        ),
        "from a worker that lives",
        [("two_runs", "none"), ("retries", "none"), ("not_alone", "none")],
    ),
    Ablation(
        "a run is put over one that stands",
        without(dynamodb.ABSENT, pk="RUN#", kind="Put", sets="opened_by"),
        "was put over",
        [("upload", "none"), ("two_runs", "none")],
    ),
    Ablation("runs are not named for their events", _random_ids, PAID, PLAIN),
    Ablation(
        "inputs are not claimed",
        _all(
            without("attribute_not_exists(#pk) OR #run_id = :me", pk="INPUT#"),
            put(dynamodb.DynamoLedger, "unclaimed", lambda _self, refs: list(refs)),
        ),
        "2 runs of 1",
        [("two_nights", "none")],
    ),
    Ablation("the same rows are sent again", _SAME, PAID, [("same_rows", "none")]),
    Ablation(
        "a generation begins before the last has ended",
        _any_generation,
        "I1|ROWS_ASTRAY|is in no file",
        [("retries", "none"), ("upload", "rows: overloaded, then not")],
        "results.Collector.",
    ),
    Ablation(
        "what cannot succeed is asked again",
        put(outcomes, "RETRYABLE", outcomes.RETRYABLE | {"invalid_request_error"}),
        PAID,
        [("upload", "rows: invalid requests")],
    ),
    Ablation(
        "dead loops are not restarted",
        put(LoopKeeper, "keep", lambda *_, **__: LoopState.ALIVE),
        "I6",
        [("aborted", "none")],
    ),
    Ablation(
        "uploads are not looked for",
        put(intake.Intake, "_forgotten", lambda _self: iter(())),
        "has no run",
        [("lost_upload", "none")],
    ),
    Ablation(
        "missed nights are not looked for",
        put(audit.Auditor, "_nights", _nothing),
        "has no run",
        [("missed_night", "none")],
    ),
    Ablation(
        "orphans are not looked for",
        put(Salvager, "look", lambda *_: iter(())),
        "residual",
        [("orphan_while_held", "none"), ("orphan_beside_another", "none")],
    ),
    *MONEY,
)
