"""A worker of the campaign: its share of the probes, the histories, the ablations or the script's nights."""

import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import baseline, cloud, plans
from tests.faults.ablations import ABLATIONS
from tests.faults.campaign import Options, records, write
from tests.faults.guards import PAUSES, Ablation
from tests.faults.history import History, Plan, run
from tests.faults.wires import WIRES
from tests.faults.world import Upset

SCRIPT_SEEDS = 10
"""Nights of the script for each fault."""
A_LIFE = 500
"""Pieces that a worker does before another takes its place: moto forgets nothing, and slows down."""
MOST, QUICK_MOST = 1000, 100
"""Histories in which a missing guard must be noticed, in the full campaign and in the quick one."""

type Handlers = Mapping[str, Any]
type Passed = Mapping[tuple[str, str], list[tuple[str, str]]]


def work(phase: str, share: int, options: Options) -> bool:
    """Do every `options.jobs`-th piece of a phase that is not done yet, up to `A_LIFE`. Tells whether there is more."""
    pieces = 0
    handlers = cloud.start()
    path = options.folder / f"{phase}-{share}.jsonl"
    _mend(path)
    done = {record["number"] for record in records(options.folder, phase)}
    doers: Mapping[str, Callable[[Handlers, Options], Iterator[tuple[int, Callable[[], Any]]]]] = {
        "probes": _probes,
        "histories": _histories,
        "rare": _rare,
        "ablations": _ablations,
        "baseline": _baseline,
    }
    for number, do in doers[phase](handlers, options):
        if number % options.jobs == share and number not in done:
            write(path, {"number": number} | do())
            pieces += 1
            if pieces == A_LIFE:
                return True
    return False


def _mend(path: Path) -> None:
    """Cut off a last line that a killed worker did not finish."""
    if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])


def _probes(handlers: Handlers, options: Options) -> Iterator[tuple[int, Callable[[], Any]]]:
    for number, pair in enumerate(plans.QUICK_PAIRS if options.quick else plans.PAIRS):
        yield number, partial(_one, Plan(0, *pair), handlers)


def _histories(handlers: Handlers, options: Options) -> Iterator[tuple[int, Callable[[], Any]]]:
    seen = passed(options)
    common = {boundary for each in seen.values() for boundary in each}
    for plan in plans.plans(seen, options.seed, options.histories):
        yield plan.number, partial(_one, plan, handlers, common)


def _rare(handlers: Handlers, options: Options) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Go once more to where only something that had gone wrong before had led, and do something to somebody there."""
    if options.quick:
        return
    met = sorted(records(options.folder, "histories"), key=lambda record: record["number"])
    found = [(_plan(record), [(site, edge) for site, edge in record["rare"]]) for record in met]
    for plan in plans.rare(found, options.histories):
        yield plan.number, partial(_one, plan, handlers)


def _one(plan: Plan, handlers: Handlers, common: AbstractSet[tuple[str, str]] | None = None) -> Any:
    return _record(run(plan, handlers, WIRES), common)


def _plan(record: Mapping[str, Any]) -> Plan:
    upsets = tuple(Upset(**upset) for upset in record["upsets"])
    return Plan(record["number"], record["scenario"], record["wire"], upsets, record["seed"])


def _ablations(handlers: Handlers, options: Options) -> Iterator[tuple[int, Callable[[], Any]]]:
    for number, ablation in enumerate(ABLATIONS):
        if not options.quick or ablation.kinds != PAUSES:
            yield number, partial(_without, ablation, handlers, options)


def _without(ablation: Ablation, handlers: Handlers, options: Options) -> Any:
    """Run histories without a guard until one shows it."""
    seen = {pair: run(Plan(0, *pair), handlers, WIRES).passed for pair in ablation.pairs}
    tried = 0
    with ablation.removed():
        for plan in plans.for_ablation(ablation, seen, options.seed):
            tried += 1
            history = run(plan, handlers, WIRES)
            told = [*history.problems, *["residual"] * (history.residual > 0)]
            shown = next((problem for problem in told if re.search(ablation.symptom, problem)), None)
            if shown is not None or tried == (QUICK_MOST if options.quick else MOST):
                return {"name": ablation.name, "tried": tried, "shown": shown}
    return {"name": ablation.name, "tried": tried, "shown": None}


def _baseline(_handlers: Handlers, options: Options) -> Iterator[tuple[int, Callable[[], Any]]]:
    nights: list[tuple[str, str, tuple[str, str] | None]] = [("wire", name, None) for name in plans.SCRIPT_WIRES]
    nights += [("kill", f"{edge} {step}", (step, edge)) for step in baseline.STEPS for edge in ("before", "after")]
    seeds = 1 if options.quick else SCRIPT_SEEDS
    number = 0
    for kind, name, upset in nights:
        for maximum in (None, 0):
            for seed in range(seeds):
                wire = WIRES[name] if kind == "wire" else WIRES["none"]
                facts = {"kind": kind, "name": name, "max_retries": 2 if maximum is None else maximum}
                night = partial(baseline.run, wire, upset, maximum, f"{options.seed}/{seed}")
                yield number, partial(_night, facts, night)
                number += 1


def _night(facts: Mapping[str, Any], night: Callable[[], baseline.Outcome]) -> Any:
    return {**facts, **asdict(night())}


def passed(options: Options) -> Passed:
    """Return what the probes passed."""
    return {
        (record["scenario"], record["wire"]): [(site, edge) for site, edge in record["passed"]]
        for record in sorted(records(options.folder, "probes"), key=lambda record: record["number"])
    }


def _record(history: History, common: AbstractSet[tuple[str, str]] | None = None) -> Any:
    """Return what is kept of a history; with what is `common`, also the boundaries that it passed beside those."""
    plan = history.plan
    return {
        "seed": plan.seed,
        "upsets": [asdict(upset) for upset in plan.upsets],
        "rare": [boundary for boundary in history.passed if boundary not in common] if common is not None else [],
        "scenario": plan.scenario,
        "wire": plan.wire,
        "hit": history.upset,
        "killed": history.killed,
        "paid_twice": history.paid_twice,
        "lost": history.lost,
        "applied_twice": history.applied_twice,
        "residual": history.residual,
        "held": history.held,
        "problems": history.problems,
        "seconds": round(history.seconds, 1),
        "digest": history.digest,
        "passed": [] if plan.upsets else history.passed,
    }
