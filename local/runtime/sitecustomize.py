"""What Python runs first in a local Lambda process: virtual time in, and no life beyond the cloud's.

It stands first on the handlers' path and the product knows nothing of it.
"""

import importlib.util
import mmap
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path


def _follow_virtual_time(path: Path) -> None:
    """Replace `nightshift.clock.now`, before anybody imports it, by real time plus the cloud's offset."""
    if importlib.util.find_spec("nightshift") is None:
        return
    import nightshift.clock  # noqa: PLC0415, only there when the function has the code layer

    with path.open("rb") as file:
        offset = memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("d")

    def now() -> datetime:
        """Return the virtual moment, aware, in UTC."""
        return datetime.fromtimestamp(time.time() + offset[0], UTC)

    nightshift.clock.now = now


def _die_with_the_cloud(descriptor: int) -> None:
    """Kill this process when the cloud's end of the pipe closes, however the cloud ended."""

    def watch() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="tether", daemon=True).start()


_die_with_the_cloud(int(os.environ.pop("NIGHTSHIFT_TETHER")))
_follow_virtual_time(Path(os.environ["NIGHTSHIFT_CLOCK"]))
