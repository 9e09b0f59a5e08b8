"""Where the story is told: a live display on a terminal, plain lines elsewhere."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.demo.story import STATES, Story

LINES = 14
"""Lines of the story that stay in sight; all of them are on the terminal when the night is over."""


class Display:
    """Tells a story line by line; on a terminal, with a picture of the chunks below it."""

    def __init__(self, console: Console, story: Story) -> None:
        """Draw on `console`."""
        self._console = console
        self._story = story
        self._live: Live | None = None
        self._lines: deque[Text] = deque(maxlen=LINES)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the picture alive while the night goes on; it is wiped at its end."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8, transient=True) as self._live:
            yield
        self._live = None

    def say(self, line: str, style: str = "") -> None:
        """Tell one thing."""
        text = Text(line, style="bold red" if line.startswith("HELD") else style)
        at = Text(f"{self._story.at}  " if self._story.at else "", style="cyan")
        if self._console.is_terminal:  # long lines are wrapped behind the time; elsewhere they are one line each
            table = Table.grid()
            table.add_column(no_wrap=True)
            table.add_row(at, text)
            self._console.print(table)
        else:
            self._console.print(at + text, soft_wrap=True)

    def refresh(self) -> None:
        """Draw the picture anew."""
        if self._live is not None:
            self._live.update(self._picture())

    def _picture(self) -> Panel:
        states = Counter(self._story.states.values())
        table = Table.grid(padding=(0, 2))
        for state in STATES:
            table.add_row(state.lower(), str(states[state]))
        total = sum(states.values()) or 1
        bar = ProgressBar(total=total, completed=states["COLLECTED"], width=50)
        clock = Text(f"virtual time {self._story.at} · {self._story.looks} looks at the API")
        return Panel(Group(clock, table, bar), title="chunks", border_style="cyan", expand=False)
