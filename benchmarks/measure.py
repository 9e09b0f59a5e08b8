"""Measuring: each piece of work in a process of its own, in interleaved rounds, beside what it is compared with.

CPU is user and system time of the process from the moment it begins the work, so without its imports; peak memory is of
the whole process. What is compared is measured in the same round, and a ratio is the median of the rounds' ratios: on a
machine with other work on it, that is what can be repeated.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import made

ROOT = Path(__file__).parents[1]
CPUS = sorted(os.sched_getaffinity(0))
"""The first is the sink's, the last the measured process's."""
AWS = "[default]\ns3 =\n  payload_signing_enabled = false\n"
"""Over plain http, boto3 would sign what it uploads with a SHA-256 of it; over https, as on AWS, it does not."""

type Counts = Mapping[str, Any]
type Begun = Callable[[], Counts | None]
"""What a piece of work returns when it is set up: the part that is measured."""


@dataclass(frozen=True, slots=True)
class Work:
    """A function that sets up some work, and its arguments."""

    function: str
    """`<module>:<name>`."""
    arguments: Mapping[str, Any]
    python: str = sys.executable


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    cpu: float
    """Seconds, of all threads."""
    wall: float
    peak: float
    """MB of the whole process."""
    counts: Counts
    """What the work said of itself."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is promised."""

    name: str
    measured: float
    goal: float
    must: float
    form: str = "{:.1f}×"
    """How the numbers are written."""
    least: bool = True
    """True: the more, the better."""
    note: str = ""
    """What it is made of."""

    def holds(self, bound: float) -> bool:
        """Tell whether the measured number is on the right side of a bound."""
        return self.measured >= bound if self.least else self.measured <= bound

    def cells(self) -> tuple[str, str, str, str, str]:
        """Write it as a row of a table: figure, goal, must, measured, verdict."""
        sign = "≥" if self.least else "≤"
        goal, must = (f"{sign} {self.form.format(bound)}" for bound in (self.goal, self.must))
        verdict = "goal" if self.holds(self.goal) else "must" if self.holds(self.must) else "MISSED"
        return self.name, goal, must, self.form.format(self.measured), verdict


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how much is measured."""

    url: str
    folder: Path
    """Of the sink: what is written there is in its buckets."""
    rows: int = 100_000
    rounds: int = 3
    told: dict[str, float] = field(default_factory=dict)
    """What the scale model is fed with: name → number."""

    @property
    def quick(self) -> bool:
        """True for fewer rows: the figures tell a direction, and nothing is promised for them."""
        return self.rows < 100_000  # noqa: PLR2004 - what the figures are promised for

    def bucket(self, key: str, content: Path | bytes) -> None:
        """Put an object into a bucket of the sink, past its door."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.hardlink_to(content)

    def work(self, function: Callable[..., Begun], **arguments: Any) -> Work:
        """Describe work on this bench."""
        return Work(f"{function.__module__}:{function.__name__}", {"url": self.url, **arguments})

    def taken(self) -> dict[str, int]:
        """Return what the sink has counted since it was last asked."""
        with urllib.request.urlopen(f"{self.url}/counts") as answer:  # noqa: S310 - our own sink
            counts: dict[str, int] = json.load(answer)
        return counts

    def sample(self, work: Work) -> Sample:
        """Do some work in a process of its own."""
        command = [work.python, "-m", "benchmarks.child", str(CPUS[-1]), work.function, json.dumps(work.arguments)]
        environment = {
            **{name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ},
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(made.FOLDER / "aws.ini"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
        sample = Sample(**json.loads(done.stdout))
        print(f"    {work.function} {sample.cpu:.2f} s CPU, {sample.wall:.2f} s, {sample.peak:.0f} MB", file=sys.stderr)
        return sample

    def rounds_of(self, works: Mapping[str, Work]) -> list[dict[str, Sample]]:
        """Measure all, one after the other, round by round."""
        return [{name: self.sample(work) for name, work in works.items()} for _ in range(self.rounds)]


def median(rounds: list[dict[str, Sample]], of: Callable[[dict[str, Sample]], float]) -> float:
    """Return the median over the rounds of something that is computed within each."""
    return statistics.median(map(of, rounds))


@contextlib.contextmanager
def bench(*, rows: int = 100_000, rounds: int = 3) -> Iterator[Bench]:
    """Start a sink, for as long as the bench is used."""
    made.FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sink-", dir=made.FOLDER))
    (made.FOLDER / "aws.ini").write_text(AWS)
    command = [sys.executable, "-m", "benchmarks.sinks", str(folder), str(CPUS[0])]
    sink = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        yield Bench(f"http://127.0.0.1:{int(sink.stdout.readline())}", folder, rows, rounds)
    finally:
        sink.terminate()
        sink.communicate()
        shutil.rmtree(folder)
