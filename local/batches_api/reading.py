"""What a text says in lines of `Label: value`, as forms and lists of articles do: no more is read by the stand-in."""

import re
from collections.abc import Mapping

LINE = re.compile(r"^[ \t]*([^\W\d_][\w /-]{0,24}?)[ \t]*:[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
WORD = re.compile(r"[^\W_]+")
STEM = 4
"""Letters by which two words count as the same: "billed" is about "billing"."""

DATE = re.compile(r"\d{4}-\d\d-\d\d")
NUMBER = re.compile(r"\d[\d., \u00a0\u202f]*")
DECIMALS = re.compile(r"[.,](\d{1,2})$")

A_SHEET = 4
"""Lines from which on a text counts as a sheet of data."""


def words(text: str) -> frozenset[str]:
    """Return a text's words, by their stems."""
    return frozenset(word[:STEM] for word in WORD.findall(text.lower()))


def facts(text: str) -> Mapping[str, str]:
    """Return what a text says in lines of `Label: value`."""
    return dict(LINE.findall(text))


def number(said: str) -> float | None:
    """Return the first number of a text, be it written 1,234.50 or 1 234,50."""
    found = NUMBER.search(said)
    if found is None:
        return None
    digits = found[0].strip(" .,\u00a0\u202f")
    whole = re.sub(r"\D", "", DECIMALS.sub("", digits))
    decimals = DECIMALS.search(digits)
    return float(f"{whole}.{decimals[1] if decimals else 0}")


def prose(said: Mapping[str, str], salt: int) -> str:
    """Return sentences made of a sheet of data; `salt` turns them, so that not all texts are of one length."""
    (_, subject), *rest = said.items()
    rest = rest[salt % len(rest) :] + rest[: salt % len(rest)]
    kept = rest[: max(2, len(rest) - salt % 3)]
    return " ".join([f"This is about {subject}.", *(f"Its {label.lower()} is {value}." for label, value in kept)])
