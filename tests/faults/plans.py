"""Which histories there are: every boundary that a scenario passes under a wire fault, and what is done to it there.

The list is a function of the code alone. A probe of each pair, in which nothing is done to anybody, tells which
boundaries it passes; a seed shuffles the list, and decides all that is random within a history.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.faults.guards import Ablation
from tests.faults.history import Plan
from tests.faults.scenarios import SCENARIOS
from tests.faults.wires import WIRES
from tests.faults.world import Upset

CREATES = tuple(name for name in WIRES if name.startswith("create:"))
RESULTS = tuple(name for name in WIRES if name.startswith("results:"))

PAIRS: Sequence[tuple[str, str]] = (
    *(("upload", wire) for wire in WIRES),
    *((scenario, "none") for scenario in SCENARIOS if scenario != "upload"),
    *(("not_alone", wire) for wire in CREATES),
    *((scenario, wire) for scenario in ("two_runs", "hold", "cancel", "aborted") for wire in CREATES[:7]),
    *((scenario, wire) for scenario in ("two_runs", "retries", "same_tickets") for wire in RESULTS[:5]),
    ("night", "create: accepted, connection lost"),
    ("retries", "create: accepted, connection lost"),
    ("retries", "rows: overloaded for ever"),
    ("rotated_key", "create: accepted, connection lost"),
    ("rotated_key", "create: 401"),
    ("hold", "retrieve: 404 for a while"),
    ("cancel", "retrieve: 500"),
    ("cancel", "rows: overloaded, then not"),
    ("many_batches", "create: accepted, connection lost"),
    ("many_batches", "list: 529"),
    ("mended_job", "create: 413"),
    ("missed_night", "create: accepted, visible minutes later"),
    ("lost_upload", "create: accepted, connection lost"),
    ("pilot", "count: 529"),
    ("pilot", "create: accepted, connection lost"),
    ("pilot", "rows: overloaded, then not"),
    ("late_pilot", "create: accepted, visible minutes later"),
    ("late_pilot", "results: cut at a line"),
    ("last_dollar", "create: accepted, connection lost"),
    ("last_dollar", "rows: overloaded, then not"),
    ("too_dear", "list: 529"),
)
"""Scenario and wire fault: every wire fault with the plainest scenario, every scenario with none, and the pairs in
which one can make the other worse."""

QUICK_PAIRS = (
    ("upload", "none"),
    ("upload", "create: accepted, connection lost"),
    ("two_runs", "create: accepted, visible minutes later"),
    ("retries", "results: cut at a line"),
    ("not_alone", "create: the second is lost, not accepted"),
    ("aborted", "none"),
    ("cancel", "none"),
    ("orphan_while_held", "none"),
    ("missed_night", "none"),
    ("pilot", "none"),
    ("last_dollar", "none"),
    ("slow_resume", "none"),
)
"""Those of the quick campaign."""

SCRIPT_WIRES = (
    "none",
    "create: accepted, connection lost",
    "create: accepted, silence",
    "create: three answers lost",
    "create: accepted, 500",
    "create: connection lost, not accepted",
    "results: cut at a line",
    "results: closed too early, cleanly",
    "results: connection dropped",
    "rows: overloaded, then not",
)
"""What the plain script has to live with."""

PAUSE, ZOMBIE, SUCCESSOR = 875.0, 2400.0, 962.0
"""Seconds: a process that is frozen within its life; one that outlives it by far; one that wakes when the machine has
given it up and its successor is at work."""
STUBBORN = 6
"""Times in a row that AWS's answer is lost, or AWS refuses: one more than botocore tries."""

TWICE = 0.4
"""The share of histories in which a second thing goes wrong somewhere else."""
RARE = 12
"""Histories that lead to a boundary and are gone through once more, for each that no probe passes."""
TURNS = 80
"""Times that an ablation's plans are gone through, each time with other times, before its guard counts as untested."""

AT_THE_POST = "sending.Sender._send: api.create"
"""Between the last look at the clock and the POST nobody can check anything: who is frozen there for longer than the
grace pays twice, here as anywhere without an idempotency key (docs/reliability.md). So zombies are frozen elsewhere."""


def upsets(site: str, edge: str) -> Iterator[Upset]:
    """Yield what is done at a boundary, one thing a history."""
    match edge:
        case "before":
            yield Upset(site, edge)
            yield Upset(site, edge, kind="refuse", amount=1)
            yield Upset(site, edge, kind="refuse", amount=STUBBORN)
            yield Upset(site, edge, kind="pause", amount=PAUSE)
            yield Upset(site, edge, nth=2)
        case "after":
            yield Upset(site, edge)
            yield Upset(site, edge, nth=2)
            yield Upset(site, edge, kind="pause", amount=ZOMBIE)
            yield Upset(site, edge, kind="pause", amount=SUCCESSOR)
        case "lost":
            yield Upset(site, edge, kind="lose", amount=1)
            yield Upset(site, edge, kind="lose", amount=STUBBORN)
        case "during":
            yield Upset(site, edge)
            yield Upset(site, edge, kind="pause", amount=PAUSE)
    if edge == "before" and site != AT_THE_POST:
        yield Upset(site, edge, kind="pause", amount=ZOMBIE)


def everything(passed: Mapping[tuple[str, str], Sequence[tuple[str, str]]]) -> list[tuple[tuple[str, str], Upset]]:
    """Return every (pair, upset), those first whose boundary few other pairs pass."""
    return [(pair, upset) for pair, seen in passed.items() for boundary in seen for upset in upsets(*boundary)]


def plans(passed: Mapping[tuple[str, str], Sequence[tuple[str, str]]], seed: str, count: int) -> list[Plan]:
    """Return `count` plans: each boundary in turn, rare ones as often as those that every pair passes.

    Args:
        passed: pair → the boundaries that its probe passed.
        seed: another seed takes other ones, in another order, with other times.
        count: how many.
    """
    shuffler = random.Random(seed)  # noqa: S311 - an order, not a secret
    by_boundary: dict[tuple[str, str], list[tuple[tuple[str, str], Upset]]] = defaultdict(list)
    for pair, upset in everything(passed):
        by_boundary[upset.site, upset.edge].append((pair, upset))
    for each in by_boundary.values():
        shuffler.shuffle(each)
    chosen: list[Plan] = [Plan(n, *pair, seed=f"{seed}/{n}") for n, pair in enumerate(passed)][:count]
    boundaries = sorted(by_boundary)
    shuffler.shuffle(boundaries)
    of_pair = {pair: [upset for boundary in seen for upset in upsets(*boundary)] for pair, seen in passed.items()}
    turn = 0
    while len(chosen) < count:
        for boundary in boundaries:
            each = by_boundary[boundary]
            pair, upset = each[turn % len(each)]
            number = len(chosen)
            more = (shuffler.choice(of_pair[pair]),) if shuffler.random() < TWICE else ()
            chosen.append(Plan(number, *pair, (upset, *more), seed=f"{seed}/{number}"))
            if len(chosen) == count:
                break
        turn += 1
    return chosen


def rare(met: Sequence[tuple[Plan, Sequence[tuple[str, str]]]], number: int) -> Iterator[Plan]:
    """Yield histories that were met, once more, with something done at a boundary that no probe passes.

    Args:
        met: plans, and the boundaries that they passed and no probe did.
        number: of the first of these plans.
    """
    led: dict[tuple[str, str], list[Plan]] = defaultdict(list)
    for plan, boundaries in met:
        for boundary in boundaries:
            if len(led[boundary]) < RARE:
                led[boundary].append(plan)
    for boundary, each in sorted(led.items()):
        for plan in each:
            for upset in upsets(*boundary):
                yield Plan(number, plan.scenario, plan.wire, (*plan.upsets, upset), plan.seed)
                number += 1


def for_ablation(
    ablation: Ablation, passed: Mapping[tuple[str, str], Sequence[tuple[str, str]]], seed: str
) -> Iterator[Plan]:
    """Yield the plans that a missing guard is to fail: its pairs as they are, then with something done at its sites."""
    number = 0
    for turn in range(3):
        for pair in ablation.pairs:
            yield Plan(number, *pair, seed=f"{seed}/{turn}/{number}")
            number += 1
    wanted = [
        (pair, upset)
        for pair, upset in everything({pair: passed[pair] for pair in ablation.pairs})
        if upset.site.startswith(ablation.sites) and upset.kind in ablation.kinds
    ]
    random.Random(seed).shuffle(wanted)  # noqa: S311 - an order, not a secret
    for turn in range(TURNS):
        for pair, upset in wanted:
            yield Plan(number, *pair, (upset,), seed=f"{seed}/{turn}/{number}")
            number += 1
