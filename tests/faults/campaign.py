"""The crash campaign: every boundary, every wire fault, every guard removed, and the same for a plain script.

    python -m tests.faults.campaign [--seed 1] [--histories 20000] [--jobs 2] [--quick] [--out DIR]

Prints a table; its last line is `histories=N boundaries=H/T paid_twice=0 lost=0 applied_twice=0 ablations=F/A`. Exit
status 0 only when nothing was paid twice, lost or applied twice, every run came to its end, and every missing guard
was noticed. What was done lies in DIR, and is not done again as long as the code is the same: it may be stopped.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES = ("layers/nightshift/nightshift", "functions", "statemachine", "local/batches_api", "tests/faults")
PHASES = ("probes", "ablations", "baseline", "histories", "rare")
QUICK = 120
"""Histories of the quick campaign."""
GOAL = 0.95
"""The share of boundaries at which somebody must have been hit, in the full campaign."""
MORE = 3
"""A worker's exit status when it has done its part and there is more: a new process remembers nothing."""
EVERY = 20.0
"""Seconds between two lines about how far it is."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the campaign is run."""

    seed: str
    histories: int
    jobs: int
    quick: bool
    folder: Path


def main() -> int:
    """Run the campaign, or one worker of it."""
    arguments = _arguments()
    if arguments.worker is not None:
        phase, share = arguments.worker
        from tests.faults import worker  # noqa: PLC0415 - it puts seams into this process, which the parent does not want

        options = Options(arguments.seed, arguments.histories, arguments.jobs, arguments.quick, arguments.out)
        return MORE if worker.work(phase, int(share), options) else 0
    folder = arguments.out / f"{arguments.seed}-{'quick' if arguments.quick else 'full'}-{digest()}"
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(arguments.seed, arguments.histories, arguments.jobs, arguments.quick, folder)
    begin = time.monotonic()
    for phase in PHASES:
        _run(phase, options, begin)
        if phase == "probes" and (broken := list(_broken(folder))):
            print("\n".join(["nothing was done to anybody, and yet:", *broken]), file=sys.stderr)
            return 1
    from tests.faults import table  # noqa: PLC0415 - the worker has no need of it

    told = table.Table(options)
    print("\n".join(told.lines()))
    (folder / "table.md").write_text("\n".join(told.markdown()) + "\n")
    print(told.last_line())
    return 0 if told.good else 1


def digest() -> str:
    """Name the code: results of other code are of no use."""
    found = hashlib.sha256()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*")):
            if path.suffix in {".py", ".yaml"}:
                found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def _broken(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the probes: attacking what does not work by itself would take for ever, for nothing."""
    for record in records(folder, "probes"):
        for problem in record["problems"]:
            yield f"{record['scenario']}, {record['wire']}: {problem}"


def _run(phase: str, options: Options, begin: float) -> None:
    """Let the workers do one phase, side by side.

    Raises:
        SystemExit: one of them failed.
    """
    command = [sys.executable, "-m", "tests.faults.campaign", "--seed", options.seed, "--out", str(options.folder)]
    command += ["--histories", str(options.histories), "--jobs", str(options.jobs)] + ["--quick"] * options.quick

    def worker(share: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "--worker", phase, str(share)], cwd=ROOT, stdin=subprocess.DEVNULL)

    workers = [worker(share) for share in range(options.jobs)]
    told = time.monotonic()
    try:
        while any(one.poll() in {None, MORE} for one in workers):
            workers = [worker(share) if one.poll() == MORE else one for share, one in enumerate(workers)]
            time.sleep(0.2)
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                done = sum(1 for _ in records(options.folder, phase))
                print(f"{told - begin:6.0f} s  {phase}: {done:,} done", file=sys.stderr, flush=True)
    finally:
        for one in workers:
            one.terminate()
    if any(one.wait() for one in workers):
        sys.exit(f"a worker of {phase} failed; its reason is above")


def records(folder: Path, phase: str) -> Iterator[dict[str, Any]]:
    """Yield what the workers of a phase wrote down, the last line left out where it was cut."""
    for path in sorted(folder.glob(f"{phase}-*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield json.loads(line)


def write(path: Path, value: Any) -> None:
    """Write one line down, at once."""
    with path.open("ab") as file:
        file.write(json.dumps(value).encode() + b"\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--seed", default="1", help="another seed: other histories")
    parser.add_argument("--histories", type=int, help=f"how many; 20,000, or {QUICK} with --quick")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument(
        "--quick", action="store_true", help="few histories, and the guards whose absence shows at once"
    )
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "faults", help="where what was done is kept")
    parser.add_argument("--worker", nargs=2, metavar=("PHASE", "SHARE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.histories = arguments.histories or (QUICK if arguments.quick else 20_000)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
