"""How a report's page writes numbers, times and classes for people."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from nightshift.model import LeftOut, RowClass
from nightshift.money import amount_of, dollars
from nightshift.report_parts import Kind

MEANINGS: dict[RowClass, str] = {
    RowClass.ANSWERED: "in output/",
    RowClass.REFUSED: "the model refused",
    RowClass.INVALID: "cut short, or not what the job asked for",
    RowClass.ERRORED: "the API failed, or would not take it",
    RowClass.EXPIRED: "not done within 24 hours",
    RowClass.CANCELED: "canceled before it was done",
    RowClass.MISSING: "absent from the API’s results",
    RowClass.REJECTED: "never sent: not a usable row",
    RowClass.DUPLICATE: "never sent: the same as an earlier row",
    RowClass.SKIPPED: "never sent: answered before",
}

CHANGES: dict[LeftOut, str] = {
    LeftOut.UNUSED_COLUMNS: "asked without columns that the job does not use",
    LeftOut.NUL_STRIPPED: "asked without NUL characters",
    LeftOut.TRUNCATED: "asked with the beginning of a longer text",
}

KINDS: dict[Kind, str] = {
    "input": "Input",
    "output": "Output",
    "cache_write_5m": "Cache writes, 5 minutes",
    "cache_write_1h": "Cache writes, 1 hour",
    "cache_read": "Cache reads",
    "web_search": "Web searches",
}

SPACE = "\N{NO-BREAK SPACE}"


def money(amount: Decimal) -> str:
    """Write an amount by itself: cents, and below one dollar as many digits as tell something."""
    told = dollars(amount_of(abs(amount)))
    return f"−{told}" if amount < 0 else told


def column(amounts: list[Decimal]) -> list[str]:
    """Write the amounts of a column, all with as many digits as the largest is worth."""
    largest = max(map(abs, amounts), default=Decimal(0))
    digits = 2 if largest >= 100 else 4 if largest >= 1 else 6  # noqa: PLR2004 - about four that tell something
    return [f"${amount:,.{digits}f}" for amount in amounts]


def count(number: int) -> str:
    """Write a count."""
    return f"{number:,}"


def percent(ratio: float) -> str:
    """Write a ratio; one that is close to none or all, but is not, with a digit more."""
    close = 0 < abs(ratio) < 0.01 or 0.99 < abs(ratio) < 1  # noqa: PLR2004 - what would be 0 % or 100 %
    return f"{ratio * 100:.{1 if close else 0}f}{SPACE}%"


def duration(seconds: float) -> str:
    """Write how long something took, in its two largest units."""
    whole = round(seconds)
    for size, unit, below, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{SPACE}{unit}" + (f" {rest}{SPACE}{part}" if rest else "")
    return f"{whole}{SPACE}s"


def moment(at: datetime) -> str:
    """Write a moment, to the minute."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC".replace(" ", SPACE)


def octets(size: int) -> str:
    """Write a number of bytes."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f}{SPACE}{unit}"
    return f"{size}{SPACE}B"


def sentence(text: str) -> str:
    """Make a sentence of a text that may stand in the middle of one."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def answer(value: Any) -> str:
    """Write an answer: a text as it is, anything else as JSON."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
