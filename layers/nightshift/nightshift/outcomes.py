"""Outcomes: from the API's result lines to what became of each row.

Decided by the `type` fields alone: the SDK's classes take unknown types for known ones. Only what is needed is decoded.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nightshift.answers import ReadAnswer, answer_reader
from nightshift.api_words import repeatable, word
from nightshift.job import Job
from nightshift.model import MOST_LABELS, OTHER_LABELS, Chunk, Outcome, RowClass, Tally, most_frequent
from nightshift.money import Cost, PriceSheet, cost_of, tokens_of

RETRYABLE = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})
"""Inner error types that may pass; the others need another request, or a person."""

COMPLETE = frozenset({"end_turn", "stop_sequence"})
"""Stop reasons of an answer that says all it had to say; for a job with `output.tool`, `TOOL_USE` is one, too."""

CUT_OFF = "max_tokens"
"""The stop reason of an answer that is as long as it may be, and not at its end."""

TOOL_USE = "tool_use"
"""The model called a tool, and waits for what that returns. Also the type of the block that has the call."""

MAX_REASON = 300
"""Characters of the API's words that are kept."""

MAX_COUNTED_REASON = 100
"""… and by which reasons are told apart where they are counted: a dozen of them lie in each chunk's item."""

NO_TIER = "none"
"""What a billed row that names no service tier is counted under."""

MOST_TOKENS = 10**12
"""More than any row can use: what says more is no count, and would not fit into the ledger either."""


class _Block(msgspec.Struct, gc=False):
    type: str
    text: Any = None
    name: Any = None
    input: msgspec.Raw = msgspec.Raw(b"")
    """Of a call, undecoded: only a job with `output.tool` looks at it."""


class _StopDetails(msgspec.Struct):
    category: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block]
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    usage: dict[str, Any] | None = None


class _InnerError(msgspec.Struct):
    type: str
    message: str = ""


class _Error(msgspec.Struct):
    error: _InnerError


class _Result(msgspec.Struct, gc=False):
    type: str
    message: _Message | None = None
    error: _Error | None = None


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    result: _Result


class _Id(msgspec.Struct, gc=False):
    custom_id: str


_LINE = msgspec.json.Decoder(_Line)
_ID = msgspec.json.Decoder(_Id)


def custom_id_of(line: bytes) -> str | None:
    """Return a result line's custom_id, cheaply; None where it is no whole JSON object that has one."""
    try:
        return _ID.decode(line).custom_id
    except (ValueError, RecursionError):
        found = _loosely(line).get("custom_id")
        return found if isinstance(found, str) else None


def reader_of(job: Job, chunk: Chunk) -> ReadAnswer:
    """Return what reads the answers of a chunk: one that a larger `max_tokens` has cut off is not asked for again."""
    again = job.raised_max_tokens is not None and not chunk.raised
    return answer_reader(job.output, job.params, again=again)


def outcomes(lines: bytes, read: ReadAnswer) -> Iterator[Outcome]:
    """Yield the outcome of each line, in order.

    Args:
        lines: whole lines, each a JSON object with a custom_id.
        read: reads the job's answers.
    """
    try:
        decoded = _LINE.decode_lines(lines)
    except (ValueError, RecursionError):  # one of them is strange: take them one by one
        yield from (_outcome_alone(line, read) for line in lines.split(b"\n") if line)
    else:
        yield from (_outcome(line, read) for line in decoded)


def costs_of(found: Iterable[Outcome], prices: PriceSheet | None) -> list[Cost | None]:
    """Return what each outcome cost; None where nothing was billed, or there is no price."""
    return [cost_of(tokens_of(each.usage), prices) if prices is not None and each.usage else None for each in found]


def tally(found: Sequence[Outcome], costs: Sequence[Cost | None], *, last: bool, labelled: bool = False) -> Tally:
    """Count outcomes and add up their costs.

    Args:
        found: the outcomes.
        costs: what each cost.
        last: there is no further generation, so retryable rows end as what they are.
        labelled: the answers are labels, of which each is counted.
    """
    rows: Counter[RowClass] = Counter()
    usage: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    retryable = synchronous = uncached = 0
    for outcome, cost in zip(found, costs, strict=True):
        if cost is not None:
            for kind, amount in cost.paid.items():
                paid[kind] += amount
            synchronous += cost.synchronous
            uncached += cost.uncached
        if outcome.retryable and not last:
            retryable += 1
        else:
            rows[outcome.row_class] += 1
            if outcome.reason:
                reasons[counted_reason(outcome)] += 1
        for name, count in _tokens(outcome.usage):
            usage[name] += count
        if outcome.usage:
            tiers[_tier(outcome.usage)] += 1
    return Tally(
        rows=dict(rows),
        usage=dict(usage),
        service_tiers=dict(tiers),
        paid=dict(paid),
        synchronous=synchronous,
        uncached=uncached,
        reasons=most_frequent(reasons),
        labels=most_frequent(_labels(found), MOST_LABELS, OTHER_LABELS) if labelled else {},
        retryable=retryable,
    )


def counted_reason(outcome: Outcome) -> str:
    """Return the reason under which a row is counted: in the ledger and the report, where no row's text may be.

    Of a row that the API refused that is what it calls the error, and its words where they are of a known shape; all
    of them are in the row's own file.
    """
    kind, _, said = outcome.reason.partition(": ")
    if outcome.row_class in {RowClass.ERRORED, RowClass.REFUSED} and not (word(said) or repeatable(said)):
        return word(kind) or outcome.row_class.value
    return outcome.reason[:MAX_COUNTED_REASON]


def _labels(found: Iterable[Outcome]) -> Counter[str]:
    return Counter(each.answer for each in found if each.row_class is RowClass.ANSWERED)


def _tier(usage: Mapping[str, Any]) -> str:
    tier = usage.get("service_tier")
    return tier[:MAX_REASON] if isinstance(tier, str) and tier else NO_TIER


def _tokens(usage: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield every count of a `usage` object, those one level down included (`cache_creation`, `server_tool_use`)."""
    for name, value in usage.items():
        if isinstance(value, dict):
            yield from ((below, count) for below, count in value.items() if _is_count(below, count))
        elif _is_count(name, value):
            yield name, value


def _is_count(name: str, value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_TOKENS and name != ""


def _outcome_alone(line: bytes, read: ReadAnswer) -> Outcome:
    try:
        return _outcome(_LINE.decode(line), read)
    except (ValueError, RecursionError):
        return _unreadable(line, read)


def _outcome(line: _Line, read: ReadAnswer) -> Outcome:
    result = line.result
    match result.type:
        case "succeeded" if result.message is not None:
            return _succeeded(line.custom_id, result.message, read)
        case "errored" if result.error is not None:
            inner = result.error.error
            reason = f"{inner.type}: {inner.message}"[:MAX_REASON]
            return Outcome(line.custom_id, RowClass.ERRORED, reason=reason, retryable=inner.type in RETRYABLE)
        case "expired":
            return Outcome(line.custom_id, RowClass.EXPIRED, reason="expired", retryable=True)
        case "canceled":
            return Outcome(line.custom_id, RowClass.CANCELED, reason="canceled")
        case _:
            return Outcome(line.custom_id, RowClass.ERRORED, reason=f"unknown_type: {result.type}"[:MAX_REASON])


def _succeeded(custom_id: str, message: _Message, read: ReadAnswer) -> Outcome:
    usage = message.usage or {}
    if message.stop_reason == "refusal":
        category = message.stop_details.category if message.stop_details else None
        return Outcome(custom_id, RowClass.REFUSED, reason=category or "refusal", usage=usage)
    if message.stop_reason not in COMPLETE and (read.tool is None or message.stop_reason != TOOL_USE):
        reason = f"stopped: {message.stop_reason}"[:MAX_REASON]
        again = read.again and message.stop_reason == CUT_OFF
        return Outcome(custom_id, RowClass.INVALID, reason=reason, retryable=again, usage=usage)
    said, reason = _text(message.content) if read.tool is None else _call(message.content, read.tool)
    answer, reason = (None, reason) if reason else read.read(said)
    if reason:
        return Outcome(custom_id, RowClass.INVALID, reason=reason, usage=usage)
    return Outcome(custom_id, RowClass.ANSWERED, answer=answer, usage=usage)


def _text(content: Iterable[_Block]) -> tuple[str, str]:
    """Return what a model wrote, or the reason why there is nothing."""
    # A thinking block may come first, and citations split the text.
    text = "".join([block.text for block in content if block.type == "text" and isinstance(block.text, str)])
    return text, "" if text.strip() else "empty"


def _call(content: Iterable[_Block], tool: str) -> tuple[msgspec.Raw, str]:
    """Return what a model called the tool with, or the reason why that is nothing, or nobody knows what.

    Of several calls none is taken: which of them is meant is not ours to guess.
    """
    calls = [block.input for block in content if block.type == TOOL_USE and block.name == tool]
    if len(calls) == 1:
        return calls[0], ""
    return msgspec.Raw(), "several_tool_calls" if calls else "no_tool_call"


def _unreadable(line: bytes, read: ReadAnswer) -> Outcome:
    """Classify a line that is not as the API documents it: it costs one row, and what was billed is still counted."""
    loose = _loosely(line)
    result = loose["result"] if isinstance(loose.get("result"), dict) else {}
    message = result["message"] if isinstance(result.get("message"), dict) else {}
    usage = message["usage"] if isinstance(message.get("usage"), dict) else {}
    # Not from `loose`: where that is empty, the archive still has the line for the custom_id that was read there.
    name, kind = custom_id_of(line) or "", result.get("type")
    if isinstance(kind, str) and kind not in {"succeeded", "errored"} and _writable(kind):
        return _outcome(_Line(name, _Result(kind)), read)  # the type says it all, whatever comes with it
    row_class = RowClass.INVALID if kind == "succeeded" else RowClass.ERRORED
    return Outcome(name, row_class, reason="unreadable_result", usage=usage if _writable(usage) else {})


def _writable(value: Any) -> bool:
    """Tell whether a value can be JSON again: half of a surrogate pair cannot."""
    try:
        msgspec.json.encode(value)
    except ValueError:
        return False
    return True


def _loosely(line: bytes) -> dict[str, Any]:
    """Decode what strict decoding refuses, such as half of a surrogate pair; an empty dict where even that fails."""
    try:
        found = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
