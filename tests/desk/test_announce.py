"""`make local`: a cloud for a person runs until a signal, in whatever way it was started."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path


def test_it_stays_where_its_input_has_ended_and_goes_at_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "local.json"
    with subprocess.Popen(
        [sys.executable, "-m", "local", "--announce", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as cloud:
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
