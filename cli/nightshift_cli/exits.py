"""What the command's exit status means."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from nightshift.errors import NightshiftError


class Exit(IntEnum):
    """Each is told in the help of the command, and held to it by a test."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    HELD = 3
    NOT_SEEN = 4
    DIFFERS = 5
    FOUND = 6
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What happened, for the help."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "not done, or no such thing: the message says why",
    Exit.USAGE: "the command line is wrong, or lacks --yes where nobody can be asked",
    Exit.HELD: "the run is held: a person must decide (submit, retry, show, watch); or would be (estimate)",
    Exit.NOT_SEEN: "the file is uploaded, and its run has not appeared in time (submit, retry)",
    Exit.DIFFERS: "the vendor's bill differs from the ledger by more than 1 % and a cent (bill)",
    Exit.FOUND: "something is to be mended: an error in a job or its file (lint), a synchronous call (scan), "
    "what is bad (doctor), a run's batch that it does not have (orphans); or the API is not as documented (probe)",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}


class Refused(NightshiftError):
    """A command does not do what it was asked to; the message says why, and what to do."""

    def __init__(self, message: str, status: Exit = Exit.FAILED, told: Mapping[str, Any] | None = None) -> None:
        """Refuse with an exit status; `told` is what --json has beside the message."""
        super().__init__(message)
        self.status = status
        self.told = told or {}
