"""After the night: what the API was asked for and paid for, by its own record, held against the rows at home."""

from dataclasses import dataclass

from local.demo.harvest import Harvest
from local.wire import Json


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all adds up. The API's record knows nothing of runs, chunks and the ledger."""

    posts: int
    """POSTs that reached create, whatever became of them."""
    batches: int
    billed: int
    """Rows that are billed, or may still come to be."""
    twice: int
    """How many of these are more than one for each row at home that has a usage."""
    complete: bool
    """Whether every row is in exactly one file, once."""
    shown: bool
    """Whether the fault that was asked for, if one was, has been seen."""

    @property
    def sound(self) -> bool:
        """True where nothing is amiss so far; rows of a run that is held may still wait."""
        return self.shown and self.twice == 0

    @property
    def clean(self) -> bool:
        """True where nothing is amiss, and nothing waits."""
        return self.sound and self.complete


def judge(record: Json, got: Harvest, *, shown: bool) -> Verdict:
    """Hold the record of the local Message Batches API, its `/_local/audit`, against the harvest."""
    billed = record["billed_rows"]
    return Verdict(
        posts=len(record["posts"]),
        batches=record["batches"],
        billed=billed,
        twice=billed - got.billed,
        complete=got.complete,
        shown=shown,
    )
