"""Verification: what a sample of a run says when it is asked again at once, beside what its batches said.

`verification.json` is a function of the sample and of the files below `verify/`. Its fields:

sample          rows that were to be asked
asked           rows that were; they are in `rows`
answered        rows that the API answered
compared        rows where both answers, or what stands in their place (a refusal, an unusable answer), can be told
                equal or not: none where the job's answer is text
agree           … of those, the equal ones
rows            [{id, custom_id, batch_class, batch_answer, sync_class, sync_answer, agrees (null: not compared),
                batch_cost_usd, sync_cost_usd (null: not known), latency_seconds, error}], as they were asked in turn
cost_usd        what the synchronous answers cost, as far as it is known
said_usd        what they were allowed to cost; an answer that was lost is taken to have cost what it could at most
latency         {median, max}, seconds until the whole answer was there; null without an answer
token_classes   {class of tokens: {batch_tokens, sync_tokens, batch_usd, sync_usd, ratio}}, over rows billed both times;
                `ratio` is sync_usd / batch_usd, null where the batch paid nothing
note            why it ended early, or nothing was asked; empty where there is nothing to say
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.answers import ReadAnswer
from nightshift.errors import ApiError
from nightshift.model import Outcome, RowClass, RunId
from nightshift.money import PriceSheet, dollars, usd
from nightshift.outcomes import outcomes
from nightshift.ports import Outputs
from nightshift.sampling import Bill, Sampled

NOT_KNOWN = "not known: it was asked, and no answer was kept"

SPOKEN = frozenset({RowClass.ANSWERED, RowClass.REFUSED, RowClass.INVALID})
"""Classes of rows that the model had its say about."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a row that was asked of the synchronous API."""

    bound: int
    """Picodollars that it costs at most."""
    outcome: Outcome | None = None
    """None: no answer was kept."""
    latency: float | None = None
    """Seconds; None where the API gave no answer."""
    bill: Bill | None = None
    billed: bool = True
    """False where the API refused it before it could cost anything. True without a bill: nobody knows."""

    @property
    def cost(self) -> int | None:
        """Picodollars; None where nobody knows."""
        if self.bill is not None:
            return self.bill.cost.total
        return None if self.billed else 0

    @property
    def spent(self) -> int:
        """Picodollars, at most where nobody knows."""
        return self.bound if self.cost is None else self.cost


class _Mark(msgspec.Struct):
    bound: int


class _Kept(msgspec.Struct):
    latency_seconds: float | None
    billed: bool


def mark(bound: int) -> bytes:
    """Return the content of the mark that a row is being asked."""
    return msgspec.json.encode(_Mark(bound))


def kept(custom_id: str, result: Mapping[str, Any], *, latency: float | None, billed: bool) -> bytes:
    """Return what is kept of an answer: a line as a batch's results have it, and more."""
    line = {"custom_id": custom_id, "result": result, "latency_seconds": latency, "billed": billed}
    return msgspec.json.encode(line) + b"\n"


def succeeded(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result that a message is."""
    return {"type": "succeeded", "message": message}


def errored(error: ApiError) -> Mapping[str, Any]:
    """Return the result that an error of the API is."""
    return {"type": "errored", "error": {"error": {"type": type(error).__name__, "message": words(error)}}}


def words(error: ApiError) -> str:
    """Return what an error says, as text that can be written: half of a surrogate pair cannot."""
    return str(error).encode(errors="replace").decode()


def read_asked(outputs: Outputs, run_id: RunId, read: ReadAnswer, prices: PriceSheet) -> dict[str, Answered]:
    """Return all rows of a run that were ever asked of the synchronous API, by custom_id."""
    keys = set(outputs.keys(run_files.verify(run_id)))
    found: dict[str, Answered] = {}
    for key in sorted(key for key in keys if key.endswith(".asked")):
        name = key.removeprefix(run_files.verify(run_id)).removesuffix(".asked")
        with outputs.open(key) as stream:
            bound = msgspec.json.decode(stream.read(), type=_Mark).bound
        found[name] = Answered(bound)
        if (answer := run_files.answered(run_id, name)) in keys:
            with outputs.open(answer) as stream:
                found[name] = answered(bound, stream.read(), read, prices)
    return found


def answered(bound: int, line: bytes, read: ReadAnswer, prices: PriceSheet) -> Answered:
    """Read what was kept of an answer."""
    (outcome,) = outcomes(line, read)
    seen = msgspec.json.decode(line, type=_Kept)
    return Answered(bound, outcome, seen.latency_seconds, Bill.of(outcome.usage, prices), billed=seen.billed)


@dataclass(frozen=True, slots=True)
class Verification:
    """A sample, and what came of it."""

    sample: Sequence[Sampled]
    asked: Mapping[str, Answered]
    is_text: bool
    """The job's answers are texts, which nothing can tell equal or not."""
    said: int
    """Picodollars that all of it may cost."""
    note: str

    @property
    def pairs(self) -> list[tuple[Sampled, Answered]]:
        """The rows of the sample that were asked."""
        return [(row, self.asked[name]) for row in self.sample if (name := row.outcome.custom_id) in self.asked]

    def record(self) -> Mapping[str, Any]:
        """Return what verification.json has."""
        pairs = self.pairs
        agreed = [self._agrees(row, answer) for row, answer in pairs]
        waits = [answer.latency for _, answer in pairs if answer.latency is not None]
        return {
            "sample": len(self.sample),
            "asked": len(pairs),
            "answered": len(waits),
            "compared": sum(each is not None for each in agreed),
            "agree": sum(each is True for each in agreed),
            "rows": [self._row(row, answer) for row, answer in pairs],
            "cost_usd": _usd(sum(answer.cost or 0 for _, answer in pairs)),
            "said_usd": _usd(self.said),
            "latency": {"median": median(waits) if waits else None, "max": max(waits, default=None)},
            "token_classes": _classes([(row.bill, answer.bill) for row, answer in pairs]),
            "note": "; ".join(filter(None, (self.note, _unknown([answer for _, answer in pairs])))),
        }

    def _row(self, row: Sampled, answer: Answered) -> Mapping[str, Any]:
        ours, theirs = row.outcome, answer.outcome
        return {
            "id": row.id,
            "custom_id": ours.custom_id,
            "batch_class": ours.row_class,
            "batch_answer": ours.answer,
            "sync_class": theirs.row_class if theirs is not None else None,
            "sync_answer": theirs.answer if theirs is not None else None,
            "agrees": self._agrees(row, answer),
            "batch_cost_usd": _usd(row.bill.cost.total if row.bill is not None else 0),
            "sync_cost_usd": _usd(answer.cost) if answer.cost is not None else None,
            "latency_seconds": answer.latency,
            "error": theirs.reason if theirs is not None else NOT_KNOWN,
        }

    def _agrees(self, row: Sampled, answer: Answered) -> bool | None:
        ours, theirs = row.outcome, answer.outcome
        if self.is_text or theirs is None or not {ours.row_class, theirs.row_class} <= SPOKEN:
            return None
        return (ours.row_class, ours.answer) == (theirs.row_class, theirs.answer)


def _classes(bills: Sequence[tuple[Bill | None, Bill | None]]) -> Mapping[str, Any]:
    """Compare what each class of tokens cost both ways, over the rows that were billed both times."""
    both = [(ours, theirs) for ours, theirs in bills if ours is not None and theirs is not None]
    batch, sync = (_Sum.of([pair[side] for pair in both]) for side in (0, 1))
    return {
        kind: {
            "batch_tokens": batch.tokens[kind],
            "sync_tokens": sync.tokens[kind],
            "batch_usd": _usd(batch.paid[kind]),
            "sync_usd": _usd(sync.paid[kind]),
            "ratio": round(sync.paid[kind] / batch.paid[kind], 4) if batch.paid[kind] else None,
        }
        for kind in sorted(batch.paid.keys() | sync.paid.keys())
    }


@dataclass(frozen=True, slots=True)
class _Sum:
    tokens: Counter[str]
    paid: Counter[str]

    @classmethod
    def of(cls, bills: Sequence[Bill]) -> "_Sum":
        tokens: Counter[str] = Counter()
        paid: Counter[str] = Counter()
        for bill in bills:
            paid.update(bill.cost.paid)
            tokens.update({kind: getattr(bill.tokens, kind) for kind in bill.cost.paid})
        return cls(tokens, paid)


def _unknown(answers: Sequence[Answered]) -> str:
    lost = [answer.bound for answer in answers if answer.cost is None]
    return f"what {len(lost)} rows cost is not known, at most {dollars(sum(lost))}" if lost else ""


def written(record: Mapping[str, Any]) -> bytes:
    """Return a record as the text of verification.json."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _usd(amount: int) -> msgspec.Raw:
    """Write an amount to the last digit."""
    return msgspec.Raw(f"{usd(amount).normalize():f}".encode())
