"""One piece of work, in this process: what benchmarks/measure.py starts. Imports nothing that the work does not."""

import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Set the work up, do it, and print its sample."""
    cpu, function, arguments = sys.argv[1:]
    os.sched_setaffinity(0, {int(cpu)})
    module, name = function.split(":")
    work = getattr(import_module(module), name)(**json.loads(arguments))
    before, began = used(), time.perf_counter()
    counts = work() or {}
    sample = {"cpu": used() - before, "wall": time.perf_counter() - began, "peak": peak(), "counts": counts}
    print(json.dumps(sample))


def used() -> float:
    """Return the seconds of CPU, user and system, that this process has had."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak() -> float:
    """Return the most memory that this process has had, in MB. Not `ru_maxrss`, which a parent's size is part of."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1_000_000


if __name__ == "__main__":
    main()
