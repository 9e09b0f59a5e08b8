"""The ledger in DynamoDB: one table, every edge a conditional write (docs/architecture.md has its items and states)."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any, cast

from nightshift.adapters.items import Change, Item, Items, Key, decode, encode, from_wire, timestamp, to_wire
from nightshift.errors import Conflict, RunNotFound
from nightshift.model import (
    Archive,
    BatchId,
    BatchView,
    Budget,
    Caching,
    Chunk,
    ChunkId,
    ChunkState,
    Claim,
    Estimate,
    Hold,
    HoldCode,
    InputRef,
    Intent,
    IntentNote,
    JobRef,
    Run,
    RunId,
    RunState,
    Tally,
    Verifying,
    Worker,
)
from nightshift.money import PriceSheet

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

INTENT: Key = {"pk": "CREATE", "sk": "INTENT"}
"""The one create that may be under way in this stack."""

ABSENT = "attribute_not_exists(#pk)"

OPEN, DONE = "OPEN", "RUN"
"""What a run is listed under in the index, by time: open ones are found whatever their age."""

DELETES = 99
"""Chunks that are forgotten in one transaction: DynamoDB takes 100 changes, and one is the run's."""


def run_key(run_id: RunId) -> Key:
    """Return the key of a run."""
    return {"pk": f"RUN#{run_id}", "sk": "META"}


def chunk_key(run_id: RunId, chunk: ChunkId) -> Key:
    """Return the key of a chunk."""
    return {"pk": f"RUN#{run_id}", "sk": f"CHUNK#{chunk}"}


def batch_key(batch_id: BatchId) -> Key:
    """Return the key of a batch's claim."""
    return {"pk": f"BATCH#{batch_id}", "sk": "CLAIM"}


def input_key(ref: InputRef) -> Key:
    """Return the key of an input version's claim."""
    return {"pk": f"INPUT#{ref.bucket}/{ref.key}#{ref.version_id}", "sk": "CLAIM"}


def night_key(at: datetime) -> Key:
    """Return the key of a night."""
    return {"pk": "NIGHT", "sk": timestamp(at)}


def budget_key(month: str) -> Key:
    """Return the key of a month's money."""
    return {"pk": f"BUDGET#{month}", "sk": "MONTH"}


class DynamoLedger:
    """`ports.Ledger` over one DynamoDB table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Keep the ledger in `table`."""
        self._items = Items(client, table)
        self._client = client
        self._table = table

    # --- runs

    def create_run(self, run: Run) -> bool:
        """See `ports.Ledger`."""
        meta = Change(run_key(run.run_id), {**encode(run), "kind": OPEN}, when=ABSENT, kind="Put")
        claims = [
            Change(
                input_key(ref),
                {"run_id": run.run_id},
                when=f"{ABSENT} OR #run_id = :me",
                values={"me": run.run_id},
                kind="Put",
            )
            for ref in run.claimed
        ]
        try:
            self._items.apply_all([meta, *claims])
        except Conflict:
            if self._items.get(run_key(run.run_id)) is not None:
                return False
            raise
        return True

    def run(self, run_id: RunId) -> Run:
        """See `ports.Ledger`."""
        item = self._items.get(run_key(run_id))
        if item is None:
            message = f"There is no run {run_id} in table {self._table}."
            raise RunNotFound(message)
        return decode(item, Run)

    def runs(self, limit: int) -> Sequence[Run]:
        """See `ports.Ledger`."""
        return self._runs((OPEN, DONE), limit=limit)[:limit]

    def runs_since(self, since: datetime) -> Sequence[Run]:
        """See `ports.Ledger`."""
        return self._runs((OPEN, DONE), since)

    def open_runs(self) -> Sequence[Run]:
        """See `ports.Ledger`."""
        return self._runs((OPEN,))

    def _runs(self, kinds: Sequence[str], since: datetime | None = None, limit: int | None = None) -> list[Run]:
        """List runs of these kinds, newest first; a run that is done just now may be of both, or of none."""
        when, values = ("kind = :kind AND created >= :since", timestamp(since)) if since else ("kind = :kind", "")
        found: dict[RunId, Run] = {}
        for kind in kinds:
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName="runs",
                KeyConditionExpression=when,
                ExpressionAttributeValues=to_wire({":kind": kind} | ({":since": values} if since else {})),
                ScanIndexForward=False,
                PaginationConfig=cast("Any", {"MaxItems": limit}),
            )
            items = (from_wire(item) for page in pages for item in page["Items"])
            found |= {run.run_id: run for run in (decode(item, Run) for item in items)}
        return sorted(found.values(), key=lambda run: run.created, reverse=True)

    def unclaimed(self, refs: Iterable[InputRef]) -> Sequence[InputRef]:
        """See `ports.Ledger`."""
        refs = list(refs)
        taken = {item["pk"] for item in self._items.get_many([input_key(ref) for ref in refs])}
        return [ref for ref in refs if input_key(ref)["pk"] not in taken]

    def work_until(self, run_id: RunId, until: datetime | None) -> None:
        """See `ports.Ledger`."""
        self._change_run(run_id, working_until=until)

    def hold(self, run_id: RunId, hold: Hold) -> bool:
        """See `ports.Ledger`."""
        when = "attribute_not_exists(#hold) AND #state = :open"
        try:
            self._change_run(run_id, when, {"open": RunState.OPEN}, hold=hold)
        except Conflict:
            return False
        return True

    def cancel(self, run_id: RunId, hold: Hold) -> bool:
        """See `ports.Ledger`."""
        sets: dict[str, Any] = {"hold": hold, "fruitless": 0, "retry_at": None, "dispatched": False}
        try:
            self._change_run(run_id, "#state = :open", {"open": RunState.OPEN}, **sets)
        except Conflict:
            return False
        return True

    def release(self, run: Run, *, approve: HoldCode | None) -> Run:
        """See `ports.Ledger`."""
        approved = run.approved if approve is None or approve in run.approved else (*run.approved, approve)
        for chunk in self.chunks(run.run_id):
            if chunk.failures:
                self._change_chunk(chunk, chunk.state, None, failures=0, not_before=None)
        forgotten: dict[str, Any] = {"fruitless": 0, "retry_at": None, "dispatched": False, "unsent_since": None}
        seen: tuple[str, dict[str, Any]] = ("attribute_not_exists(#hold)", {})
        if run.hold is not None:
            seen = ("#hold.#at = :seen", {"seen": timestamp(run.hold.at)})
        self._change_run(run.run_id, *seen, hold=None, approved=approved, restarts=0, restarted_at="", **forgotten)
        return self.run(run.run_id)

    def replan(self, run: Run, job: JobRef, at: datetime) -> None:
        """See `ports.Ledger`."""
        chunks = self.chunks(run.run_id)
        if run.hold is None or run.reserved is not None or any(c.state is not ChunkState.PLANNED for c in chunks):
            message = f"Run {run.run_id} is not held, or has money, or has sent something; its plan stands."
            raise Conflict(message)
        held = "#hold.#at = :held AND #plan = :plan"
        values = {"held": timestamp(run.hold.at), "plan": run.plan}
        unplanned = Change(run_key(run.run_id), {"planned": False}, when=held, values=values)
        # The last first: killed between, what is left is the beginning of the old plan, and can be gone on with.
        for some in batched(reversed(chunks), DELETES, strict=False):
            self._items.apply_all([unplanned, *(_forget(chunk) for chunk in some)])
        sets: dict[str, Any] = {"job": job, "planned": False, "rows": 0, "leftover": Tally(), "plan_digest": ""}
        sets |= {"caching": None, "prices": None, "estimate": None, "pilot": 0, "plan": run.plan + 1}
        self._change_run(run.run_id, held, values, replanned_at=at, **sets)

    def next_execution(self, run_id: RunId, number: int) -> bool:
        """See `ports.Ledger`."""
        try:
            self._change_run(run_id, "#execution = :before", {"before": number - 1}, execution=number)
        except Conflict:
            return False
        return True

    def restart(self, run: Run, fingerprint: str) -> bool:
        """See `ports.Ledger`."""
        restarts = run.restarts + 1 if run.restarted_at == fingerprint else 1
        sets: dict[str, Any] = {"execution": run.execution + 1, "restarts": restarts, "restarted_at": fingerprint}
        try:
            self._change_run(run.run_id, "#execution = :before", {"before": run.execution}, **sets)
        except Conflict:
            return False
        return True

    def looked(self, run: Run) -> None:
        """See `ports.Ledger`."""
        self._change_run(
            run.run_id,
            changed_at=run.changed_at,
            progress=run.progress,
            dispatched=run.dispatched,
            fruitless=run.fruitless,
            retry_at=run.retry_at,
            unsent_since=run.unsent_since,
        )

    def reported(self, run_id: RunId, fingerprint: str, *, done: bool) -> None:
        """See `ports.Ledger`."""
        if done:
            self._change_run(
                run_id, "attribute_not_exists(#hold)", reported=fingerprint, state=RunState.DONE, kind=DONE
            )
        else:
            self._change_run(run_id, reported=fingerprint)

    def batches_deleted(self, run_id: RunId) -> None:
        """See `ports.Ledger`."""
        self._change_run(run_id, batches_deleted=True)

    def _change_run(self, run_id: RunId, when: str = "", values: dict[str, Any] | None = None, **sets: Any) -> None:
        when = f"attribute_exists(#pk) AND ({when})" if when else "attribute_exists(#pk)"
        self._items.apply(Change(run_key(run_id), _encoded(sets), when=when, values=values or {}))

    # --- nights

    def night_due(self, at: datetime) -> None:
        """See `ports.Ledger`."""
        with suppress(Conflict):  # it is known, and opened
            self._items.apply(Change(night_key(at), {"opened": False}, when=ABSENT, kind="Put"))

    def night_opened(self, at: datetime) -> None:
        """See `ports.Ledger`."""
        self._items.apply(Change(night_key(at), {"opened": True}, kind="Put"))

    def nights(self, since: datetime) -> Mapping[datetime, bool]:
        """See `ports.Ledger`."""
        items = self._items.query("NIGHT", since=timestamp(since))
        return {datetime.fromisoformat(item["sk"]): item["opened"] for item in items}

    # --- the plan

    def plan_chunk(self, chunk: Chunk) -> bool:
        """See `ports.Ledger`."""
        unplanned = "#planned = :no" if chunk.generation == 0 else "#generation = :before"
        values: dict[str, Any] = {"no": False} if chunk.generation == 0 else {"before": chunk.generation - 1}
        key = chunk_key(chunk.run_id, chunk.id)
        try:
            self._items.apply_all(
                [
                    Change(
                        run_key(chunk.run_id),
                        when=f"{unplanned} AND {_SAME_PLAN}",
                        values={**values, "plan": chunk.plan},
                        kind="ConditionCheck",
                    ),
                    Change(key, encode(chunk), when=ABSENT, kind="Put"),
                ]
            )
        except Conflict:
            if self._items.get(key) is not None:
                return False
            raise
        return True

    def claim_digest(self, job: str, digest: str, run_id: RunId) -> RunId:
        """See `ports.Ledger`."""
        key: Key = {"pk": f"DIGEST#{job}#{digest}", "sk": "CLAIM"}
        try:
            self._items.apply(Change(key, {"run_id": run_id}, when=ABSENT, kind="Put"))
        except Conflict:
            return RunId((self._items.get(key) or {})["run_id"])
        return run_id

    def pin(self, run: Run, *, prices: PriceSheet | None, caching: Caching, pilot: int) -> Run:
        """See `ports.Ledger`."""
        try:
            self._change_run(
                run.run_id,
                f"attribute_not_exists(#caching) AND {_SAME_PLAN}",
                {"plan": run.plan},
                prices=prices,
                caching=caching,
                pilot=pilot,
            )
        except Conflict:
            found = self.run(run.run_id)
            if found.caching is None or found.hold is not None or found.plan != run.plan:
                raise
            return found
        return self.run(run.run_id)

    def finish_plan(self, run: Run) -> None:
        """See `ports.Ledger`."""
        self._change_run(
            run.run_id,
            f"#planned = :no AND {_SAME_PLAN}",
            {"no": False, "plan": run.plan},
            planned=True,
            rows=run.rows,
            plan_digest=run.plan_digest,
            leftover=run.leftover,
            max_generations=run.max_generations,
            pilot_wait=run.pilot_wait,
            estimate=run.estimate,
            max_usd=run.max_usd,
            verify=run.verify,
            delete_batches=run.delete_batches,
        )

    # --- money

    def budget(self, month: str) -> Budget:
        """See `ports.Ledger`."""
        item = self._items.get(budget_key(month))
        return decode(item, Budget) if item is not None else Budget()

    def reserve(self, run: Run, *, per_row: int, rows: int, month: str, cap: int | None) -> bool:
        """See `ports.Ledger`."""
        sets: dict[str, Any] = {"reserved": per_row * rows, "row_reserve": per_row, "budget_month": month}
        mine = Change(
            run_key(run.run_id), sets, when=f"#planned = :yes AND attribute_not_exists(#reserved) AND {_SENDS}",
            values={"yes": True, "open": RunState.OPEN},
        )  # fmt: skip
        return self._commit(mine, month, per_row * rows, cap)

    def revise(self, run: Run, estimate: Estimate | None, *, per_row: int, rows: int, cap: int | None) -> bool:
        """See `ports.Ledger`."""
        sets = {"piloted": True, "revised": estimate, "row_reserve": per_row, "reserved": per_row * rows}
        mine = Change(
            run_key(run.run_id), _encoded(sets), when=f"#piloted = :no AND #reserved = :seen AND {_SENDS}",
            values={"no": False, "seen": run.reserved, "open": RunState.OPEN},
        )  # fmt: skip
        return self._commit(mine, run.budget_month, per_row * rows - (run.reserved or 0), cap)

    def _commit(self, mine: Change, month: str, amount: int, cap: int | None) -> bool:
        """Change a run and commit money of its month, or find that the month has no room for it."""
        room, values = "", {}
        if cap is not None and amount > 0:
            room, values = "attribute_not_exists(#committed) OR #committed <= :room", {"room": cap - amount}
            if cap < amount:
                return False
        try:
            self._items.apply_all(
                [mine, Change(budget_key(month), adds={"committed": amount}, when=room, values=values)]
            )
        except Conflict:
            if cap is None or self.budget(month).committed + amount <= cap:
                raise  # it was not the room: the run has moved on
            return False
        return True

    def settle_nothing_more(self, run: Run) -> None:
        """See `ports.Ledger`."""
        if run.reserved is None:
            return
        mine = Change(
            run_key(run.run_id),
            {"reserved": None},
            when="#reserved = :seen AND #budget_month = :month AND (attribute_exists(#hold) OR #state = :done)",
            values={"seen": run.reserved, "month": run.budget_month, "done": RunState.DONE},
        )
        with suppress(Conflict):  # somebody did it, or the run goes on
            self._items.apply_all([mine, Change(budget_key(run.budget_month), adds={"committed": -run.reserved})])

    def start_verify(self, run: Run, verifying: Verifying, cap: int | None) -> bool:
        """See `ports.Ledger`."""
        mine = Change(
            run_key(run.run_id),
            _encoded({"verifying": verifying}),
            when="attribute_not_exists(#verifying) AND #state = :done",
            values={"done": RunState.DONE},
        )
        return self._commit(mine, verifying.month, verifying.said, cap)

    def end_verify(self, run: Run, spent: int, *, done: bool) -> None:
        """See `ports.Ledger`."""
        if run.verifying is None:
            raise Conflict(f"nobody verifies {run.run_id}")
        sets: dict[str, Any] = {"verifying": None, "verify_spent": spent, "verified": run.verified or done}
        mine = Change(run_key(run.run_id), sets, when="#verifying.#id = :me", values={"me": run.verifying.id})
        paid, said = spent - run.verify_spent, run.verifying.said
        self._items.apply_all(
            [mine, Change(budget_key(run.verifying.month), adds={"spent": paid, "committed": paid - said})]
        )

    def next_generation(self, run: Run, *, anew: bool) -> bool:
        """See `ports.Ledger`."""
        sets: dict[str, Any] = {"generation": run.generation + 1}
        when, values, months = "#generation = :before", dict[str, Any](before=run.generation), list[Change]()
        if anew and run.reserved is not None:
            sets["reserved"] = None
            when = f"{when} AND #reserved = :seen AND #budget_month = :month"
            values |= {"seen": run.reserved, "month": run.budget_month}
            months = [Change(budget_key(run.budget_month), adds={"committed": -run.reserved})]
        try:
            self._items.apply_all([Change(run_key(run.run_id), sets, when=when, values=values), *months])
        except Conflict:
            return False
        return True

    def chunks(self, run_id: RunId) -> Sequence[Chunk]:
        """See `ports.Ledger`."""
        return [decode(item, Chunk) for item in self._items.query(run_key(run_id)["pk"], "CHUNK#")]

    # --- sending

    def intent(self) -> Intent | None:
        """See `ports.Ledger`."""
        item = self._items.get(INTENT)
        return decode(item, Intent) if item is not None else None

    def start_send(self, chunk: Chunk, intent: Intent) -> None:
        """See `ports.Ledger`."""
        self._items.apply_all(
            [
                Change(INTENT, encode(intent), when=ABSENT, kind="Put"),
                Change(
                    chunk_key(chunk.run_id, chunk.id),
                    {"state": ChunkState.SENDING, "attempt": intent.attempt, "not_before": None},
                    when="#state = :planned AND #attempt = :before AND #sha256 = :plan",
                    values={"planned": ChunkState.PLANNED, "before": intent.attempt - 1, "plan": chunk.sha256},
                ),
                Change(
                    run_key(chunk.run_id),
                    when=f"attribute_exists(#reserved) AND {_SENDS}",
                    values={"open": RunState.OPEN},
                    kind="ConditionCheck",
                ),
            ]
        )

    def note_intent(self, intent: Intent, note: IntentNote, at: datetime) -> None:
        """See `ports.Ledger`."""
        self._change_intent(intent, note=note, noted_at=at)

    def none_seen(self, intent: Intent, at: datetime) -> None:
        """See `ports.Ledger`."""
        self._change_intent(intent, none_seen_at=at)

    def look_again(self, intent: Intent, at: datetime) -> None:
        """See `ports.Ledger`."""
        self._change_intent(intent, retry_at=at)

    def _change_intent(self, intent: Intent, **sets: Any) -> None:
        """Change the intent if it is still this one; somebody else's is left alone."""
        try:
            self._items.apply(Change(INTENT, _encoded(sets), when=_SAME_INTENT, values=_same_intent(intent)))
        except Conflict:
            return  # it was settled meanwhile: nothing is left to write down

    def sent(self, intent: Intent, batch: BatchView, *, adopted: bool) -> None:
        """See `ports.Ledger`."""
        self._items.apply_all(
            [
                Change(INTENT, when=_SAME_INTENT, values=_same_intent(intent), kind="Delete"),
                _settle(
                    intent,
                    state=ChunkState.SENT,
                    batch_id=batch.id,
                    adopted=adopted,
                    sent_at=batch.created_at,
                    error="",
                ),
                _claim(intent.run_id, intent.chunk, batch),
            ]
        )

    def not_sent(self, intent: Intent, *, not_before: datetime | None, error: str) -> None:
        """See `ports.Ledger`."""
        self._items.apply_all(
            [
                Change(INTENT, when=_SAME_INTENT, values=_same_intent(intent), kind="Delete"),
                _settle(intent, state=ChunkState.PLANNED, not_before=not_before, error=error),
            ]
        )

    def claims(self, ids: Iterable[BatchId]) -> Mapping[BatchId, Claim]:
        """See `ports.Ledger`."""
        found = self._items.get_many([batch_key(i) for i in dict.fromkeys(ids)])
        return {BatchId(item["pk"].removeprefix("BATCH#")): decode(item, Claim) for item in found}

    def salvage(self, chunk: Chunk, batch: BatchView) -> None:
        """See `ports.Ledger`."""
        self._items.apply_all(
            [self._paid_already(chunk, ChunkState.PLANNED, batch), _claim(chunk.run_id, chunk.id, batch)]
        )

    def swap(self, chunk: Chunk, batch: BatchView) -> None:
        """See `ports.Ledger`."""
        mine: dict[str, Any] = {"run": chunk.run_id, "chunk": chunk.id}
        old = Change(
            batch_key(BatchId(chunk.batch_id or "")),
            {"foreign" if chunk.adopted else "superseded": True},
            when="#run_id = :run AND #chunk = :chunk",
            values=mine,
        )
        self._items.apply_all(
            [self._paid_already(chunk, ChunkState.SENT, batch), _claim(chunk.run_id, chunk.id, batch), old]
        )

    def _paid_already(self, chunk: Chunk, was: ChunkState, batch: BatchView) -> Change:
        """Give a chunk a batch of its rows that was paid for already, if its plan and its own batch still stand."""
        when, values = "#sha256 = :plan", {"plan": chunk.sha256}
        if chunk.batch_id is not None:
            when, values = f"{when} AND #batch_id = :own", values | {"own": chunk.batch_id}
        sets: dict[str, Any] = {"state": ChunkState.SENT, "batch_id": batch.id, "sent_at": batch.created_at}
        return self._chunk_change(chunk, was, None, when, values, adopted=True, not_before=None, error="", **sets)

    # --- collecting

    def ended(self, chunk: Chunk, batch: BatchView) -> None:
        """See `ports.Ledger`."""
        when, values = "#batch_id = :batch", {"batch": batch.id}
        sets: dict[str, Any] = {"ended_at": batch.ended_at, "request_counts": dict(batch.request_counts)}
        self._change_chunk(chunk, ChunkState.SENT, None, when, values, state=ChunkState.ENDED, **sets)

    def take(self, chunk: Chunk, worker: Worker, now: datetime) -> Chunk | None:
        """See `ports.Ledger`."""
        free = "#state = :was AND (attribute_not_exists(#worker) OR #worker.#until <= :now)"
        values = {"was": chunk.state, "now": timestamp(now)}
        key = chunk_key(chunk.run_id, chunk.id)
        try:
            self._items.apply(Change(key, {"worker": encode(worker)}, when=free, values=values))
        except Conflict:
            return None
        return decode(self._must(key), Chunk)

    def archived(self, chunk: Chunk, worker: Worker, archive: Archive) -> Chunk:
        """See `ports.Ledger`."""
        return self._change_chunk(
            chunk, ChunkState.ENDED, worker, state=ChunkState.ARCHIVED, archive=archive, failures=0, error=""
        )

    def applied(self, chunk: Chunk, worker: Worker, offset: int, tally: Tally) -> Chunk:
        """See `ports.Ledger`."""
        when, values = "#applied = :from", {"from": chunk.applied}
        return self._change_chunk(chunk, ChunkState.ARCHIVED, worker, when, values, applied=offset, tally=tally)

    def collected(self, chunk: Chunk, worker: Worker, run: Run, month: str) -> None:
        """See `ports.Ledger`."""
        sets: dict[str, Any] = {"state": ChunkState.COLLECTED, "collected_at": chunk.collected_at}
        whole = "#applied = #archive.#size"
        edge = self._chunk_change(chunk, ChunkState.ARCHIVED, worker, whole, worker=None, error="", **sets)
        paid, freed = sum(chunk.tally.paid.values()), 0
        when, values = "attribute_not_exists(#reserved)", {}
        if run.reserved is not None:
            month, freed = run.budget_month, run.row_reserve * (chunk.rows - chunk.tally.retryable)
            when, values = "attribute_exists(#reserved) AND #row_reserve = :per_row", {"per_row": run.row_reserve}
        adds = {"spent": paid} | ({"reserved": -freed} if freed else {})
        settled = Change(run_key(chunk.run_id), adds=adds, when=when, values=values)
        self._items.apply_all(
            [edge, settled, Change(budget_key(month), adds={"spent": paid, "committed": paid - freed})]
        )

    def postpone(self, chunk: Chunk, *, not_before: datetime, error: str) -> None:
        """See `ports.Ledger`."""
        self._change_chunk(chunk, ChunkState.PLANNED, None, not_before=not_before, error=error)

    def let_go(self, chunk: Chunk, worker: Worker) -> None:
        """See `ports.Ledger`."""
        self._change_chunk(chunk, chunk.state, worker, worker=None)

    def failed(self, chunk: Chunk, *, not_before: datetime, error: str) -> None:
        """See `ports.Ledger`."""
        self._change_chunk(
            chunk,
            chunk.state,
            chunk.worker,
            failures=chunk.failures + 1,
            not_before=not_before,
            error=error,
            worker=None,
        )

    def disown(self, chunk: Chunk, worker: Worker, intent: Intent) -> None:
        """See `ports.Ledger`."""
        if chunk.batch_id is None:
            message = f"{chunk.run_id} {chunk.id} has no batch to disown."
            raise Conflict(message)
        self._items.apply_all(
            [
                Change(INTENT, encode(intent), when=ABSENT, kind="Put"),
                self._chunk_change(
                    chunk,
                    ChunkState.ENDED,
                    worker,
                    state=ChunkState.SENDING,
                    batch_id=None,
                    worker=None,
                    ended_at=None,
                    request_counts={},
                    adopted=False,
                ),
                Change(
                    batch_key(chunk.batch_id), {"foreign": True}, when="#chunk = :chunk", values={"chunk": chunk.id}
                ),
            ]
        )

    def _change_chunk(self, *args: Any, **sets: Any) -> Chunk:
        change = self._chunk_change(*args, **sets)
        self._items.apply(change)
        return decode(self._must(change.key), Chunk)

    def _chunk_change(
        self,
        chunk: Chunk,
        was: ChunkState,
        owner: Worker | None,
        when: str = "",
        values: dict[str, Any] | None = None,
        **sets: Any,
    ) -> Change:  # the positional ones are the guard, the named ones what is set
        """Guard a change of a chunk by its state, its attempt, and the worker that has it."""
        guard = "#state = :was AND #attempt = :attempt"
        values = {**(values or {}), "was": was, "attempt": chunk.attempt}
        if owner is not None:
            guard += " AND #worker.#id = :owner"
            values["owner"] = owner.id
        when = f"{guard} AND {when}" if when else guard
        return Change(chunk_key(chunk.run_id, chunk.id), _encoded(sets), when=when, values=values)

    def _must(self, key: Key) -> Item:
        item = self._items.get(key)
        if item is None:
            message = f"{key['pk']}/{key['sk']} is gone from table {self._table}."
            raise Conflict(message)
        return item


_SENDS = "attribute_not_exists(#hold) AND #state = :open"

_SAME_PLAN = "attribute_not_exists(#hold) AND #plan = :plan"
"""A hold forbids planning, and after it the plan may be another: a planner that lived on must stop."""

_SAME_INTENT = "#run_id = :run AND #chunk = :chunk AND #attempt = :attempt AND #owner = :owner"


def _same_intent(intent: Intent) -> dict[str, Any]:
    return {"run": intent.run_id, "chunk": intent.chunk, "attempt": intent.attempt, "owner": intent.owner}


def _settle(intent: Intent, **sets: Any) -> Change:
    """Move the chunk of an intent out of SENDING."""
    return Change(
        chunk_key(intent.run_id, intent.chunk),
        _encoded(sets),
        when="#state = :sending",  # the attempt is the intent's, which the same transaction holds to be this one
        values={"sending": ChunkState.SENDING},
    )


def _claim(run_id: RunId, chunk: ChunkId, batch: BatchView) -> Change:
    """Claim a batch for a chunk, unless it is a chunk's already; that it was taken for another's is forgotten."""
    claim = {"run_id": run_id, "chunk": chunk}
    free = f"{ABSENT} OR #foreign = :yes"
    return Change(batch_key(batch.id), claim, when=free, values={"yes": True}, kind="Put")


def _forget(chunk: Chunk) -> Change:
    """Delete a chunk that was never sent."""
    when, values = "#state = :planned", {"planned": ChunkState.PLANNED}
    return Change(chunk_key(chunk.run_id, chunk.id), when=when, values=values, kind="Delete")


def _encoded(sets: dict[str, Any]) -> dict[str, Any]:
    return {k: None if v is None else encode(v) for k, v in sets.items()}
