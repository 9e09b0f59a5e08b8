"""The one place where nightshift reads the time.

Use cases take a `Clock`, and `wiring.py` gives them `now`. Nothing else in the product may ask the machine for the
time: the local cloud moves a whole night forward by replacing this function (`local/runtime/sitecustomize.py`).
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)
