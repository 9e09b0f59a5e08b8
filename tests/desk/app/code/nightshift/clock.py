"""The one function that the local cloud replaces in every process."""

from datetime import datetime


def now() -> datetime:
    """Fail unless somebody replaced it."""
    raise NotImplementedError
