"""docs/operations.md as a person on call uses it: the section of an alarm, and the commands that stand in it."""

import re
from collections.abc import Iterator

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "operations.md"


def section(title: str) -> str:
    """Return the text of a section, up to the next heading."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", _without_code(), re.MULTILINE | re.DOTALL)
    return _with_code(str(text))


def commands(title: str) -> Iterator[str]:
    """Yield the commands that a section says to type, each on one line, without its remark.

    Raises:
        ValueError: there is no such section, or it says nothing to type.
    """
    blocks = re.findall(r"^```sh\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)
    if not blocks:
        message = f"docs/operations.md, {title}: nothing to type"
        raise ValueError(message)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if typed := re.sub(r"(^|\s+)# .*$", "", line).strip():
                yield typed


def _without_code() -> str:
    """Return the page with the marks of remarks in code made other: they are no headings."""
    return re.sub(
        r"^```sh\n.*?^```$", lambda code: code[0].replace("#", "\0"), PAGE.read_text(), flags=re.MULTILINE | re.DOTALL
    )


def _with_code(text: str) -> str:
    return text.replace("\0", "#")
