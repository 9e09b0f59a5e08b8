"""What a function's start costs: importing its handler and building its use case, with byte code and without.

python -m benchmarks.starts
"""

import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import child
from benchmarks.measure import ROOT

ROUNDS = 3
_FUNCTION = re.compile(r"^  (\w+)Function:\n(?:(?!^  \w).*\n)*?      MemorySize: (\d+)", re.MULTILINE)
VARIABLES = {
    **{f"{name}_TABLE": name.lower() for name in ("RUNS", "TICKET")},
    **{f"{name}_BUCKET": f"{name.lower()}s" for name in ("INPUT", "OUTPUT")},
    "API_BASE_URL": "https://api.example",
    "API_KEY_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:key",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:run",
    "POLL_MIN_SECONDS": "30",
    "POLL_MAX_SECONDS": "360",
    "POLL_PERCENT": "5",
    "MAX_TURNS": "1500",
    "MONTHLY_CAP_USD": "0",
    "STACK_NAME": "bench",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
}
"""All that any function reads."""


@dataclass(frozen=True, slots=True)
class Start:
    """A function's start, as measured."""

    function: str
    memory: int
    """MB, in the template."""
    cpu: float
    """Seconds, with byte code."""
    compiling: float
    """Seconds, without."""
    peak: float
    """MB."""


def starts() -> Iterator[Start]:
    """Measure all functions."""
    for function, memory in sizes().items():
        with_code = [_start(function) for _ in range(ROUNDS + 1)][1:]  # the first may have to compile
        compiling, _ = _start(function, compiled=False)
        cpu, peak = (statistics.median(each) for each in zip(*with_code, strict=True))
        yield Start(function, memory, cpu, compiling, peak)


def sizes() -> dict[str, int]:
    """Return the memory of each function, as template.yaml has it."""
    found = _FUNCTION.findall((ROOT / "template.yaml").read_text())
    return {name.lower(): int(size) for name, size in found}


def _start(function: str, *, compiled: bool = True) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as nowhere:
        hidden = {} if compiled else {"PYTHONPYCACHEPREFIX": nowhere, "PYTHONDONTWRITEBYTECODE": "1"}
        environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ} | VARIABLES | hidden
        command = [sys.executable, "-m", "benchmarks.starts", function]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    cpu, peak = json.loads(done.stdout)
    return cpu, peak


def _main(function: str) -> None:
    """Start one, in this process: as the runtime does, and then as its first event does."""
    before = child.used()
    spec = importlib.util.spec_from_file_location("app", ROOT / "functions" / function / "app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    for build in [each for each in vars(app).values() if hasattr(each, "cache_info")]:
        build()
    print(json.dumps([child.used() - before, child.peak()]))


def lines(found: list[Start]) -> Iterator[str]:
    """Write the table in Markdown."""
    yield "| function | memory | init, CPU | without byte code | peak after it |"
    yield "|---|---|---|---|---|"
    for each in found:
        cells = f"{each.memory:,} MB", f"{each.cpu:.2f} s", f"{each.compiling:.2f} s", f"{each.peak:.0f} MB"
        yield f"| {each.function} | {' | '.join(cells)} |"


if __name__ == "__main__":
    if sys.argv[1:]:
        _main(sys.argv[1])
    else:
        print("\n".join(lines(list(starts()))))
