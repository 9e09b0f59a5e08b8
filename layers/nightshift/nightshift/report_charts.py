"""The charts of a report's page: what each bar and each point stands for, and where it is, in percent of the width."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from nightshift.model import REJECT_CLASSES, RowClass
from nightshift.report_model import Report
from nightshift.report_words import KINDS, MEANINGS, column, count, money

THIN = 0.6
"""The least width of what is there at all: a row among a million is to be seen."""

MARGIN = 8
"""Left and right of the estimate's chart."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its name and its number."""

    name: str
    width: float
    told: str
    look: str = ""
    """A class of the style sheet."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class KindRow:
    """A kind of tokens: how many, and what they cost."""

    name: str
    tokens: str
    tokens_width: float
    cost: str
    cost_width: float


@dataclass(frozen=True, slots=True)
class PairedRow:
    """A kind of tokens: what it cost in the batch, and synchronously."""

    name: str
    batch: str
    sync: str
    ratio: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time from the upload to the last ticket."""

    name: str
    note: str
    look: str
    seconds: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate's interval, the estimate in it, and what it came to."""

    low: float
    high: float
    expected: float
    actual: float


def bars(counts: Mapping[str, int], look: str = "") -> list[Bar]:
    """Return a bar for each count, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = max(counts.values(), default=0)
    return [Bar(name, _width(number, most), count(number), look) for name, number in ordered]


def outcome_bars(report: Report) -> list[Bar]:
    """Return a bar for each class that a row is in, and one for those in none yet."""
    counts = {RowClass(name): number for name, number in report.counts.items() if number}
    most = max([*counts.values(), report.waiting], default=0)
    found = [
        Bar(name.value, _width(number, most), count(number), _look(name), MEANINGS[name])
        for name, number in counts.items()
    ]
    if report.waiting:
        note = "in flight, planned, or to be asked again"
        found.append(Bar("waiting", _width(report.waiting, most), count(report.waiting), "rest", note))
    return found


def _look(row_class: RowClass) -> str:
    if row_class is RowClass.ANSWERED:
        return "paid"
    return "rest" if row_class in REJECT_CLASSES else "bad"


def price_bars(report: Report) -> list[Bar]:
    """Return what the tokens cost, and would have cost."""
    cost = report.cost
    if cost.actual_usd is None or cost.synchronous_usd is None or cost.uncached_usd is None:
        return []
    cached = bool(report.cache.read_tokens or sum(report.cache.written_tokens.values()))
    alike = ", cached alike" if cached else ""
    told = [("Synchronous API", cost.synchronous_usd, "rest", f"the same tokens{alike}, at the full price")]
    if cached:
        told.append(("Batch, without the cache", cost.uncached_usd, "rest", "the same tokens, none of them cached"))
    told.append(("Batch, with the cache" if cached else "Batch", cost.actual_usd, "paid", "what was paid"))
    most = max(amount for _, amount, _, _ in told)
    return [Bar(name, _width(amount, most), money(amount), look, note) for name, amount, look, note in told]


def kind_rows(report: Report) -> list[KindRow]:
    """Return where the tokens and the money went, kinds that were not used left out."""
    paid = report.cost.by_kind or {}
    used = [kind for kind in KINDS if report.tokens.get(kind, 0)]
    amounts = [paid.get(kind, Decimal(0)) for kind in used]
    all_tokens = sum(report.tokens[kind] for kind in used if kind != "web_search")
    return [
        KindRow(
            KINDS[kind],
            count(report.tokens[kind]),
            _width(report.tokens[kind], all_tokens) if kind != "web_search" else 0,
            told if paid else "–",
            _width(amount, sum(amounts)),
        )
        for kind, amount, told in zip(used, amounts, column(amounts), strict=True)
    ]


def paired_rows(report: Report) -> list[PairedRow]:
    """Return what each kind of tokens of the verification's sample cost both ways."""
    classes = report.verification.token_classes if report.verification else {}
    found = [(KINDS[kind], classes[kind]) for kind in KINDS if kind in classes]
    costs = column([amount for _, both in found for amount in (both.batch_usd, both.sync_usd)])
    return [
        PairedRow(name, batch, sync, f"{both.ratio:.2f}" if both.ratio is not None else "–")
        for (name, both), batch, sync in zip(found, costs[::2], costs[1::2], strict=True)
    ]


def phases(report: Report) -> list[Phase]:
    """Return the parts of the time that are known, side by side."""
    times = report.timings
    known = [
        (name, note, look, seconds)
        for name, note, look, seconds in (
            ("Waiting", "from the upload to the run", "wait", times.waiting_seconds),
            ("Queue", "read, planned, estimated, and sent", "queue", times.queue_seconds),
            ("Processing", "from the first batch to the end of the last one", "paid", times.processing_seconds),
            ("Collecting", "to the last row’s file and ticket", "collect", times.collecting_seconds),
        )
        if seconds is not None
    ]
    return list(_side_by_side(known))


def _side_by_side(known: Sequence[tuple[str, str, str, float]]) -> Iterable[Phase]:
    whole = sum(seconds for _, _, _, seconds in known)
    widths = [_width(seconds, whole) for _, _, _, seconds in known]
    left, scale = 0.0, 100 / (sum(widths) or 1)
    for (name, note, look, seconds), width in zip(known, widths, strict=True):
        yield Phase(name, note, look, seconds, round(left * scale, 2), round(width * scale, 2))
        left += width


def interval(report: Report) -> Interval | None:
    """Return the estimate's chart; None where there is no estimate, or nothing to hold against it."""
    cost = report.cost
    if None in {cost.low_usd, cost.high_usd, cost.estimated_usd, cost.actual_usd} or cost.estimate_error is None:
        return None
    points = [float(each or 0) for each in (cost.low_usd, cost.high_usd, cost.estimated_usd, cost.actual_usd)]
    least, most = min(points), max(points)
    if least == most:
        return None
    places = [MARGIN + (100 - 2 * MARGIN) * (point - least) / (most - least) for point in points]
    return Interval(*(round(place, 2) for place in places))


def _width(part: Decimal | float, whole: Decimal | float) -> float:
    """Return a part in percent."""
    if not part or not whole:
        return 0.0
    return round(max(THIN, 100 * float(part) / float(whole)), 2)
