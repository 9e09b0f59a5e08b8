"""`make local`: a cloud for a person runs until a signal, in whatever way it was started."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def cloud_of_a_person(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a cloud that hears when its terminal is closed, also where whoever runs the tests does not (`nohup`)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    command = [sys.executable, "-m", "local", "--announce", str(file)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as cloud:
        signal.signal(signal.SIGHUP, before)
        try:
            yield cloud
        finally:
            cloud.terminate()  # where a test has failed: it would be waited for


def test_it_stays_where_its_input_has_ended_and_goes_at_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "local.json"
    with cloud_of_a_person(file) as cloud:
        until = time.monotonic() + 120
        while not file.exists():
            assert cloud.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        assert json.loads(file.read_text())["endpoint"].startswith("http://127.0.0.1:")
        time.sleep(1)  # in which it would notice the end of its input
        assert cloud.poll() is None

        cloud.send_signal(signal.SIGHUP)
        assert cloud.wait(60) == 0
    assert not file.exists()
