"""The one protocol that matters: how a planned chunk becomes exactly one batch (docs/architecture.md, Sending).

`batches.create` has no idempotency key, so an intent goes before it and only reconciliation removes one that stands:

    PLANNED ──start_send──► SENDING + intent ──POST──► 200: SENT          (one transaction each)
       ▲                        │                └──► refused: PLANNED, or the run is held
       └───── reconcile ────────┴──── not known: the intent stays
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift import budgeting, run_files
from nightshift.decision import sendable, settles_at
from nightshift.errors import (
    Ambiguous,
    ApiError,
    Conflict,
    NoMoney,
    NotAccepted,
    NotSent,
    Redirected,
    Rejected,
    Unauthorized,
)
from nightshift.matching import made_by
from nightshift.model import BatchView, Chunk, Hold, HoldCode, Intent, IntentNote, RunId
from nightshift.ports import BatchApi, Clock, Ledger, Outputs

LEAST_TIME = timedelta(seconds=200)
"""A send is not begun with less left: an upload, the API's answer and our own writes must fit."""
LAST_WRITES = timedelta(seconds=30)
"""Kept back from a POST's time-out for writing down what came of it."""
LOOK_AGAIN = timedelta(minutes=1)
BLOCK = 1 << 20
"""Bytes read from a plan at a time."""

_OPENING, _CLOSING = b'{"requests":[', b"]}"


@dataclass(slots=True)
class PlanBody:
    """A create's body, straight from the plan object: sized, re-readable, never a list of dicts.

    A plan has one compact JSON request per line and no newline elsewhere, so joining the lines with commas is a
    byte-for-byte replacement, and the size is known before the first byte is sent.

    The last two bytes are let go only while the sender may live. Without them the body is no JSON, and shorter than was
    said: nothing can come of it. So a sender that is frozen in the middle of a POST, or S3 that fails there, costs no
    grace.
    """

    outputs: Outputs
    key: str
    plan_size: int
    rows: int
    clock: Clock
    deadline: datetime
    """When the sender must be dead."""
    whole: bool = False
    """True once the last bytes were let go, the last time that the body was read."""

    @property
    def size(self) -> int:
        """Bytes of the body: the last line's newline becomes nothing."""
        return len(_OPENING) + self.plan_size - 1 + len(_CLOSING)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body from its first byte.

        Raises:
            NotSent: the sender is beyond its deadline.
        """
        self.whole = False
        yield _OPENING
        left = self.plan_size - 1
        with self.outputs.open(self.key) as plan:
            while left > 0 and (block := plan.read(min(BLOCK, left))):
                left -= len(block)
                yield block.replace(b"\n", b",")
        if self.clock() >= self.deadline:
            raise NotSent("The sender's time was up in the middle of the POST; its last bytes were kept back.")
        self.whole = True
        yield _CLOSING


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends a run's planned chunks, one create at a time in the whole stack."""

    ledger: Ledger
    api: BatchApi
    outputs: Outputs
    clock: Clock
    cap: int | None = None
    """Of a month, in picodollars; None: there is none."""

    def send(self, run_id: RunId, *, owner: str, deadline: datetime) -> int:
        """Send until nothing is left, something says wait, or time runs short. Returns the batches created.

        Args:
            run_id: the run.
            owner: uuid of this invocation.
            deadline: when this invocation must be dead.
        """
        done = 0
        while True:
            intent = self.ledger.intent()
            if intent is not None:
                if not self.settle(intent):
                    return done
                continue
            chunk = self._next(run_id)
            if chunk is None or self.clock() + LEAST_TIME > deadline:
                return done
            if done == 0 and not self._probe(chunk):
                return done
            if not self._send(chunk, owner, deadline):
                return done
            done += 1

    def _next(self, run_id: RunId) -> Chunk | None:
        run, now = self.ledger.run(run_id), self.clock()
        chunk = next(iter(sendable(run, self.ledger.chunks(run_id), now)), None)
        if chunk is None:
            return None
        if hold := budgeting.over(run, self.ledger.budget(run.budget_month), self.cap, now):
            self.ledger.hold(run_id, hold)  # what was collected costs more than was expected
            return None
        return chunk

    def _probe(self, chunk: Chunk) -> bool:
        """Fail before the intent where the API is away, or the key or the money: a standing intent blocks every run."""
        try:
            self.api.probe()
        except ApiError as error:
            now = self.clock()
            if (hold := hold_for(error, now)) is not None:
                self.ledger.hold(chunk.run_id, hold)
            else:
                self.ledger.postpone(chunk, not_before=now + LOOK_AGAIN, error=str(error))
            return False
        return True

    def _check_plan(self, chunk: Chunk) -> None:
        """Read the plan once before its intent: what cannot be read, or is not what was planned, is never half sent."""
        digest = hashlib.sha256()
        with self.outputs.open(run_files.plan(chunk.run_id, chunk.id, chunk.plan)) as plan:
            while block := plan.read(BLOCK):
                digest.update(block)
        if digest.hexdigest() != chunk.sha256:
            message = f"{run_files.plan(chunk.run_id, chunk.id, chunk.plan)} is not what was planned; it is not sent."
            raise Conflict(message)

    def _send(self, chunk: Chunk, owner: str, deadline: datetime) -> bool:
        """Send one chunk. True where it is now a batch."""
        self._check_plan(chunk)
        intent = Intent(
            chunk.run_id, chunk.id, chunk.attempt + 1, chunk.rows, owner, created=self.clock(), deadline=deadline
        )
        try:
            self.ledger.start_send(chunk, intent)
        except Conflict:
            return False  # somebody else is sending, or the run was held: the next look decides
        plan = run_files.plan(chunk.run_id, chunk.id, chunk.plan)
        body = PlanBody(self.outputs, plan, chunk.size, chunk.rows, self.clock, deadline)
        now = self.clock()
        if now + LEAST_TIME > deadline:  # checked again here: this invocation may have been frozen meanwhile
            self.ledger.not_sent(intent, not_before=None, error="the sender's time ran short before the POST")
            return False
        try:
            batch = self.api.create(body, (deadline - now - LAST_WRITES).total_seconds(), chunk.betas)
        except Ambiguous as error:
            if not body.whole:
                self._refused(intent, NotSent(f"The POST broke off before its last bytes. {error}"))
                return False
            note = IntentNote.HTTP_ERROR if error.answered else IntentNote.CONNECTION_LOST
            self.ledger.note_intent(intent, note, self.clock())
            return False
        except ApiError as error:
            self._refused(intent, error)
            return False
        self.ledger.sent(intent, batch, adopted=False)
        return True

    def _refused(self, intent: Intent, error: ApiError) -> None:
        """Nothing was created, for certain: back to PLANNED, and hold where trying again cannot help."""
        now = self.clock()
        wait = error.retry_after if isinstance(error, NotAccepted) else LOOK_AGAIN.total_seconds()
        # First: while the intent stands, no run of the stack sends anything.
        self.ledger.not_sent(intent, not_before=now + timedelta(seconds=wait), error=str(error))
        if (hold := hold_for(error, now)) is not None:
            self.ledger.hold(intent.run_id, hold)

    def settle(self, intent: Intent) -> bool:
        """Reconcile a create whose outcome is not known, when its grace has passed. True where the intent is gone."""
        now = self.clock()
        if settles_at(intent) > now:
            return False
        try:
            matching = made_by(intent, self.ledger, self.api, now)
        except ApiError:
            self.ledger.look_again(intent, now + LOOK_AGAIN)
            return False
        try:
            return self._decide(intent, matching, now)
        except Conflict:
            return False  # another invocation reconciles too: one of us wins, and the next look sees it

    def _decide(self, intent: Intent, matching: list[BatchView] | None, now: datetime) -> bool:
        if matching is None:  # it cannot be told yet: results will tell
            self.ledger.look_again(intent, now + LOOK_AGAIN)
            return False
        if matching:
            self.ledger.sent(intent, matching[0], adopted=True)
            return True
        if intent.none_seen_at is None:  # one read is not enough: a batch may be slow to become visible
            self.ledger.none_seen(intent, now)
            return False
        self.ledger.not_sent(intent, not_before=None, error="the create was lost; no batch came of it")
        return True


def hold_for(error: ApiError, now: datetime) -> Hold | None:
    """Return the hold that a refusal means, or None where waiting is enough."""
    match error:
        case NoMoney():
            return Hold(
                HoldCode.NO_MONEY, f"The API refuses work until a spend limit is raised or a bill is paid: {error}", now
            )
        case Unauthorized():
            mend = "Put a valid key into the secret, or mend the rights of the role that signs, then resume."
            return Hold(HoldCode.API_KEY, f"{mend} {error}", now)
        case Rejected():
            return Hold(HoldCode.API_REJECTED, f"The API refuses this batch whole, and would again: {error}", now)
        case Redirected():
            return Hold(HoldCode.API_REDIRECTED, f"AnthropicBaseUrl redirects, which is never followed: {error}", now)
        case _:  # not now, not reached, not known: waiting or reconciling is enough
            return None
