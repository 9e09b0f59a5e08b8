"""Tables that fit the terminal: where it is narrow, the columns that matter least are left out, and none is folded."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table

from nightshift_cli.console import console, room

GAP = 2
"""Blanks between two columns."""

LEAST = 20
"""Characters that the last column may always have, to fold its text in."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, with the cells of all rows."""

    name: str
    cells: Sequence[str]
    number: bool = False
    """Numbers stand at the right."""
    spare: int = 0
    """The column with the greatest of these is left out first; 0: it always stays."""
    folds: bool = False
    """A long text, folded where the line ends."""

    @property
    def width(self) -> int:
        """Characters of its longest cell."""
        longest = max(map(cell_len, (self.name, *self.cells)))
        return min(longest, LEAST) if self.folds else longest


def fitting(columns: Sequence[Column], width: int) -> Sequence[Column]:
    """Leave out columns until the others fit, or only those are left that always stay."""
    kept = list(columns)
    while sum(column.width + GAP for column in kept) - GAP > width:
        least = max(kept, key=lambda column: column.spare)
        if not least.spare:
            break
        kept.remove(least)
    return kept


def put_columns(columns: Sequence[Column], styles: Sequence[str | None] | None = None) -> None:
    """Print a table of as many columns as the terminal has room for; `styles`: of its rows."""
    width = room()
    kept = fitting(columns, width)
    left = width - sum(column.width + GAP for column in kept if not column.folds)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in kept:
        if column.folds:
            table.add_column(column.name, overflow="fold", max_width=max(left, LEAST))
        else:
            table.add_column(column.name, justify="right" if column.number else "left", no_wrap=True)
    rows = zip(*(column.cells for column in kept), strict=True)
    for row, style in zip(rows, styles or [None] * len(kept[0].cells), strict=True):
        table.add_row(*row, style=style)
    console().print(table)
