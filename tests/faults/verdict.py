"""The verdict on a history, from what the API accepted and from what lies in buckets and tables: not from counters.

Three questions: was a row paid for twice, is a row lost, was an answer applied twice. And whether the ledger is sound.
"""

import hashlib
import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from local.batches_api.intake import REQUESTS
from local.batches_api.lifecycle import Batch, standing
from local.batches_api.processing import DIGESTS
from local.batches_api.results import lines as result_lines
from nightshift import invariants, run_files
from nightshift.model import Chunk, ChunkState, Run, RunState, run_token
from tests.faults import cloud, ledger_watch
from tests.faults.story import File, Story

RETRYABLE = frozenset({"expired", "overloaded_error", "api_error", "rate_limit_error", "timeout_error"})
"""How a row may have ended that is asked again; the API bills none of these."""
PRICES = {
    "input_tokens": 50_000,
    "output_tokens": 250_000,
    "cache_read_input_tokens": 5_000,
    "ephemeral_5m_input_tokens": 62_500,
    "ephemeral_1h_input_tokens": 100_000,
}
"""Picodollars of a token of claude-haiku-5-5 in a batch, by hand: 0.05, 0.25, 0.005, 0.0625 and 0.10 USD a million."""
SYNCHRONOUS = 2
"""Times that, what the synchronous API asks."""
BEYOND = 1000.0
"""Seconds between a POST and its batch's becoming visible that are more than any grace: the residual risk R1."""
FAR = 40 * 3600.0
"""Seconds after which every batch has ended."""

_value = TypeDeserializer().deserialize


@dataclass(slots=True)
class Verdict:
    """What was found."""

    paid_twice: int = 0
    lost: int = 0
    applied_twice: int = 0
    residual: int = 0
    """Rows that were paid for twice because their batch became visible after every grace."""
    held: int = 0
    problems: list[str] = field(default_factory=list)


def judge(story: Story) -> Verdict:
    """Judge a history that is over."""
    found = Verdict()
    ledger = ledger_watch.read()
    rows = sent(story)
    _judge_money(rows, found, _late(story), story.raised)
    _judge_tickets(story, found)
    found.problems += ledger.violations(story.world.watch.spent_before)
    cost = _costs(rows)
    for run in ledger.runs.values():
        chunks = ledger.chunks.get(run.run_id, [])
        found.problems += _spent(run, chunks, cost)
        if run.state is RunState.DONE:
            found.problems += _archives(run, chunks)
        elif run.hold is not None:
            found.held += 1
            if run.reserved:
                found.problems.append(f"{run.run_id} stays held: {run.reserved} are reserved for nothing")
            if run.hold.code not in story.may_stay:
                found.problems.append(f"{run.run_id} stays held: {run.hold.code}: {run.hold.reason}")
        else:
            found.problems.append(f"I6 {run.run_id} is open and not held at the end")
        found.problems += _deleted(story, run, chunks)
    found.problems += _verified(story, list(ledger.runs.values()))
    if ledger.intent is not None and not found.held:
        found.problems.append("an intent stands at the end")
    _judge_rows(story, list(ledger.runs.values()), rows, found)
    return found


# --- money


@dataclass(slots=True)
class Sending:
    """One row in one batch."""

    batch: Batch
    custom_id: str
    outcome: str
    """`succeeded`, or the type of what kept it from that."""
    cost: int
    """Picodollars that the API bills for it, by its own record of the tokens."""
    cut: bool
    """It succeeded, and `max_tokens` cut it off."""
    question: str
    """What was asked, without `max_tokens`."""
    max_tokens: int


def sent(story: Story) -> Mapping[int, list[Sending]]:
    """Return for each request (a digest of its params) where it was sent and how it ended, as the API has it."""
    found: dict[int, list[Sending]] = defaultdict(list)
    end = story.world.now() + FAR
    for batch in sorted(story.world.api.store.batches.values(), key=lambda b: b.index):
        digests = array("Q")
        with (batch.folder / DIGESTS).open("rb") as file:
            digests.fromfile(file, 2 * batch.rows)
        asked = _asked(batch)
        for digest, line in zip(digests[::2], result_lines(batch, standing(batch, end)), strict=True):
            row = json.loads(line)
            if not row["custom_id"].startswith(ledger_watch.OTHERS):
                name, result = row["custom_id"], row["result"]
                cut = result["type"] == "succeeded" and result["message"]["stop_reason"] == "max_tokens"
                found[digest].append(Sending(batch, name, _outcome(result), _cost(result), cut, *asked[name]))
    return found


def _asked(batch: Batch) -> Mapping[str, tuple[str, int]]:
    """Return what each request of a batch asked, and its `max_tokens`: custom_id → both."""
    found = {}
    for line in (batch.folder / REQUESTS).read_bytes().splitlines():
        request = json.loads(line)
        max_tokens = request["params"].pop("max_tokens")
        found[request["custom_id"]] = json.dumps(request["params"], sort_keys=True), max_tokens
    return found


def _cost(result: Any) -> int:
    if result["type"] != "succeeded":
        return 0
    usage = result["message"]["usage"]
    return sum(price * (usage | usage["cache_creation"])[name] for name, price in PRICES.items())


def _costs(rows: Mapping[int, list[Sending]]) -> Mapping[tuple[str, str], int]:
    """Return what each row of each batch cost: (batch, custom_id) → picodollars."""
    return {(each.batch.id, each.custom_id): each.cost for sendings in rows.values() for each in sendings}


def _spent(run: Run, chunks: list[Chunk], cost: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Hold what a run says it spent against what the API billed for its batches."""
    collected = {chunk.batch_id for chunk in chunks if chunk.state is ChunkState.COLLECTED}
    unseen = _missing(run)
    billed = sum(paid for (batch, row), paid in cost.items() if batch in collected and row not in unseen)
    if run.spent != (billed if run.prices is not None else 0):
        yield f"{run.run_id} has spent {run.spent}, and the API billed {billed}"


def _deleted(story: Story, run: Run, chunks: list[Chunk]) -> Iterator[str]:
    """Hold what the API has deleted against what the job wants, of a run that is done; of another, nothing may be."""
    batches = story.world.api.store.batches
    gone = sum(batches[chunk.batch_id].deleted for chunk in chunks if chunk.batch_id is not None)
    wanted = len(chunks) if story.deletes and run.state is RunState.DONE else 0
    if gone != wanted and not _missing(run):
        yield f"{run.run_id}, {run.state}: {gone} batches are deleted at the API, and {wanted} should be"


def _outcome(result: Any) -> str:
    return str(result["error"]["error"]["type"] if result["type"] == "errored" else result["type"])


def _late(story: Story) -> set[str]:
    """Return the batches that became visible after every grace: without an idempotency key, nobody can know of them."""
    batches = story.world.api.store.batches
    posts = [post for post in story.world.api.audit.posts if post["batch_id"] is not None]
    return {
        post["batch_id"]
        for post in posts
        if batches[post["batch_id"]].created_at - datetime.fromisoformat(post["at"]).timestamp() > BEYOND
    }


def _judge_money(rows: Mapping[int, list[Sending]], found: Verdict, late: set[str], raised: int | None) -> None:
    for sendings in rows.values():
        twice = sum(sending.outcome == "succeeded" for sending in sendings) > 1
        if any(sending.batch.id in late for sending in sendings):
            found.residual += twice
            continue
        found.paid_twice += twice
        for before, after in pairwise(sendings):
            if before.outcome not in RETRYABLE:
                found.problems.append(f"{after.custom_id} was sent again, and had ended {before.outcome}")
            elif standing(before.batch, after.batch.created_at).ended_at is None:
                found.problems.append(f"{after.custom_id} was sent while {before.custom_id} was in flight")
    if found.paid_twice:
        found.problems.append(f"{found.paid_twice} rows were paid for twice")
    found.problems += _judge_raises(rows, late, raised)


def _judge_raises(rows: Mapping[int, list[Sending]], late: set[str], raised: int | None) -> Iterator[str]:
    """Hold what was asked with another `max_tokens` against what came of it before: cut off, and asked so once."""
    questions: dict[str, list[list[Sending]]] = defaultdict(list)
    for sendings in rows.values():
        questions[sendings[0].question].append(sendings)
    for asked in questions.values():
        asked.sort(key=lambda sendings: sendings[0].max_tokens)
        if any(sending.batch.id in late for sendings in asked for sending in sendings):
            continue
        if len(asked) > 1 and [sendings[0].max_tokens for sendings in asked[1:]] != [raised]:
            yield f"{asked[1][0].custom_id} was asked with {asked[1][0].max_tokens} tokens, and {raised} are said"
        for before, after in pairwise(asked):
            if not before[-1].cut:
                yield f"{after[0].custom_id} was asked for more, and had ended {before[-1].outcome}"
            elif standing(before[-1].batch, after[0].batch.created_at).ended_at is None:
                yield f"{after[0].custom_id} was asked for more while {before[-1].custom_id} was in flight"


def _verified(story: Story, runs: list[Run]) -> Iterator[str]:
    """Hold what the synchronous API answered against the rows that were marked, and what runs say that it cost."""
    answered = story.world.api.answered
    marked = sum(key.endswith(".asked") for key in cloud.objects("runs/"))
    if len(answered) > marked:
        yield f"the synchronous API answered {len(answered)} rows, and {marked} are marked as asked"
    cost = sum(SYNCHRONOUS * price * use.tokens[name] for use in answered for name, price in PRICES.items())
    said = sum(run.verify_spent + (run.verifying.said if run.verifying is not None else 0) for run in runs)
    if said < cost:
        yield f"the samples cost {cost}, and the runs say at most {said}"


# --- tickets


def _judge_tickets(story: Story, found: Verdict) -> None:
    watch = story.world.watch
    found.applied_twice = sum(times > 1 for times in watch.writes.values())
    if found.applied_twice:
        found.problems.append(f"{found.applied_twice} answers were applied twice")


# --- rows


def _archives(run: Run, chunks: list[Chunk]) -> Iterator[str]:
    """I5: hold each archive against its plan."""
    files = cloud.objects(f"runs/{run.run_id}/")
    for chunk in chunks:
        if chunk.archive is None:
            continue
        data = files.get(chunk.archive.key, b"")
        ids = files[run_files.ids(run.run_id, chunk.id, chunk.plan)]
        planned = {json.loads(line)["custom_id"] for line in ids.splitlines()}
        archived = {json.loads(line)["custom_id"] for line in data.splitlines()}
        missing = chunk.tally.rows.get(_MISSING, 0)
        sha256 = hashlib.sha256(data).hexdigest()
        for violation in invariants.of_archive(planned, archived, chunk.archive, sha256, missing):
            yield f"{violation.code} {violation.what}"


def _judge_rows(story: Story, runs: list[Run], rows: Mapping[int, list[Sending]], found: Verdict) -> None:
    """Hold every row of every file against where it ended."""
    tokens = {run_token(run.run_id): run for run in runs}
    succeeded = {s.custom_id: s for each in rows.values() for s in each if s.outcome == "succeeded"}
    for run in runs:
        files = [f for f in story.files if any(ref.key == f.key for ref in run.inputs)]
        if run.state is RunState.DONE:
            _judge_done(run, files, found, full=story.full)
    for custom_id in succeeded:
        run_of = tokens.get(custom_id.split("-")[0])
        if run_of is None:
            found.lost += 1
            found.problems.append(f"{custom_id} was paid for, and no run has it")
        elif run_of.state is RunState.DONE and custom_id not in _kept(run_of, withheld=story.world.withheld):
            found.lost += 1
            found.problems.append(f"{custom_id} was paid for, and its answer is nowhere")
    started = {ref.key for run in runs for ref in run.inputs}
    for file in story.files:
        if file.key not in started:
            found.lost += len(file.texts)
            found.problems.append(f"{file.key} has no run")


def _judge_done(run: Run, files: list[File], found: Verdict, *, full: str) -> None:
    """Every row is in exactly one file, once; the report adds up; every answer is on its ticket, or a newer one is."""
    objects = cloud.objects(f"runs/{run.run_id}/")
    rows: Counter[str] = Counter()
    rejects = 0
    for key, data in objects.items():
        part = key.split("/")[2]
        if part in {"output", "failed"}:
            rows.update(json.loads(line)["id"] for line in data.splitlines())
        elif key.startswith(run_files.rejects(run.run_id, run.plan)):
            rejects += len(data.splitlines())
    wanted = {ticket for file in files for ticket in file.texts}
    for ticket in wanted - rows.keys():
        found.lost += 1
        found.problems.append(f"{run.run_id}: row {ticket} is in no file")
    found.problems += [f"{run.run_id}: row {t} is in {n} lines" for t, n in rows.items() if n > 1]
    if rejects != sum(file.rejects for file in files):
        found.problems.append(f"{run.run_id}: {rejects} rejects")
    report = json.loads(objects[f"runs/{run.run_id}/report.json"])
    if not report["accounted"] or report["rows"] != sum(file.records for file in files):
        found.problems.append(f"{run.run_id}: the report does not add up")
    found.problems += _tickets_of(run, objects, full)


def _tickets_of(run: Run, objects: Mapping[str, bytes], full: str) -> Iterator[str]:
    tickets = {
        item["ticket_id"]["S"]: {name: _value(value) for name, value in item.items()}
        for item in cloud.items(cloud.TICKETS)
    }
    modified = max(ref.last_modified for ref in run.inputs).astimezone(UTC).isoformat(timespec="microseconds")
    for key, data in objects.items():
        if key.split("/")[2] != "output":
            continue
        for line in map(json.loads, data.splitlines()):
            ticket = tickets.get(line["id"])
            if line["id"] == full:
                refused = [
                    json.loads(each)["id"]
                    for name, part in objects.items()
                    if "/refused/" in name
                    for each in part.splitlines()
                ]
                if refused != [full]:
                    yield f"{run.run_id}: the table refused {full}, and {refused} are told"
            elif ticket is None:
                yield f"{run.run_id}: the answer of {line['id']} is on no ticket"
            elif ticket["nightshift_run"] == run.run_id:
                if ticket["category"] != line["answer"]:
                    yield f"{run.run_id}: ticket {line['id']} says {ticket['category']}, the answer is {line['answer']}"
            elif ticket["nightshift_order"] < modified:
                yield f"{run.run_id}: ticket {line['id']} has an older answer"


_MISSING: Any = "missing"


def _missing(run: Run) -> set[str]:
    """Return the custom_ids of rows whose results the API never showed."""
    files = cloud.objects(f"runs/{run.run_id}/failed/")
    rows = (json.loads(line) for data in files.values() for line in data.splitlines())
    return {row["custom_id"] for row in rows if row["class"] == _MISSING}


def _kept(run: Run, *, withheld: bool) -> set[str]:
    """Return the custom_ids whose results are in the run's files: answered, or kept with what they cost.

    A row that is said to be missing is not kept, unless the API withholds it for ever.
    """
    kept = set()
    for key, data in cloud.objects(f"runs/{run.run_id}/").items():
        rows = map(json.loads, data.splitlines())
        match key.split("/")[2]:
            case "output" | "failed":
                kept |= {row["custom_id"] for row in rows if withheld or row["class"] != _MISSING}
            case "retry":  # cut off, and asked once more
                kept |= {row["custom_id"] for row in rows if row["class"] == "invalid"}
    return kept
