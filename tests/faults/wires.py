"""Wire faults: what the API, the network and AWS do to a history, by name; as local/batches_api/faults.py has them."""

from collections.abc import Callable, Mapping

from tests.faults.world import World

type Wire = Callable[[World], None]


def _faults(endpoint: str, kind: str, **more: object) -> Wire:
    return lambda world: world.fault(endpoint, kind, **more)


def _nothing(_world: World) -> None:
    """Nothing goes wrong."""


def _late(world: World) -> None:
    """The connection drops; the batch becomes visible only minutes later, within the grace."""
    world.fault("create", "accept-late", seconds=world.rng.uniform(30, 800), times=1)


def _very_late(world: World) -> None:
    """The batch becomes visible when the grace is over: between the two last looks."""
    world.fault("create", "accept-late", seconds=world.rng.uniform(903, 950), times=1)


def _every_answer_lost(world: World) -> None:
    """Three creates in a row lose their answers."""
    world.fault("create", "accept-then-close", times=3)


def _lists_fail(world: World) -> None:
    """A create is accepted, its answer lost, and when it is time to look for its batch the API is away for a while."""
    world.fault("create", "accept-then-close", times=1)
    world.fault("list", "status:500", after=1, times=3)


def _withheld(world: World) -> None:
    """The API never shows one result of the first batch: nothing can be done about it, and it must be told."""
    world.withheld = True
    world.fault("results", "missing-row", batch_index=0)


WIRES: Mapping[str, Wire] = {
    "none": _nothing,
    "create: accepted, connection lost": _faults("create", "accept-then-close", times=1),
    "create: accepted, silence": _faults("create", "accept-then-hang", times=1),
    "create: accepted, visible minutes later": _late,
    "create: accepted, visible after the grace": _very_late,
    "create: three answers lost": _every_answer_lost,
    "create: accepted, 500": _faults("create", "status:500", accepted=True, times=1),
    "create: accepted, 504": _faults("create", "status:504", accepted=True, times=1),
    "create: accepted, 529": _faults("create", "status:529", accepted=True, times=1),
    "create: connection lost, not accepted": _faults("create", "close", times=1),
    "create: the second is lost, not accepted": _faults("create", "close", times=1, after=1),
    "create: silence, not accepted": _faults("create", "hang", times=1),
    "create: 500": _faults("create", "status:500", times=2),
    "create: 409": _faults("create", "status:409", times=1),
    "create: 429, wait": _faults("create", "status:429", retry_after=90, times=2),
    "create: 429, spend limit": _faults(
        "create", "status:429", error_code="enforced_spend_limit_reached", times=1, after=1
    ),
    "create: accepted, connection lost, and lists fail": _lists_fail,
    "create: 402": _faults("create", "status:402", times=1),
    "create: 401": _faults("create", "status:401", times=2),
    "create: 413": _faults("create", "html-413", times=1),
    "retrieve: 404 for a while": _faults("retrieve", "not-found", seconds=400),
    "retrieve: 500": _faults("retrieve", "status:500", times=3),
    "list: 401": _faults("list", "status:401", times=2),
    "list: 402": _faults("list", "status:402", times=1),
    "list: 529": _faults("list", "status:529", times=3),
    "count: 529": _faults("count_tokens", "status:529", after=2, times=1),
    "results: cut at a line": _faults("results", "cut-line", times=2),
    "results: cut in a line": _faults("results", "cut-mid-line", times=2),
    "results: closed too early, cleanly": _faults("results", "clean-early-close", times=2),
    "results: connection dropped": _faults("results", "drop", times=2),
    "results: a line twice": _faults("results", "duplicate-line"),
    "results: unknown id": _faults("results", "unknown-id"),
    "results: a row is missing, for ever": _withheld,
    "results: a line without an id": _faults("results", "idless-error-line", times=1),
    "results: CRLF and blank lines": _faults("results", "crlf"),
    "results: 404": _faults("results", "not-found", seconds=3000),
    "results: on another host, until mended": _faults("retrieve", "foreign-results-url"),
    "results: an error in each stream, for ever": _faults("results", "idless-error-line"),
    "rows: refusals": _faults("rows", "refusal", rate=0.5),
    "rows: overloaded, then not": _faults("rows", "overloaded", rate=0.7, first_times=1),
    "rows: overloaded for ever": _faults("rows", "overloaded", rate=0.5),
    "rows: canceled": _faults("rows", "canceled", rate=0.5),
    "rows: invalid requests": _faults("rows", "errored", rate=0.5),
    "batch: expires after 24 h": _faults("create", "all-expired", times=1),
    "batch: canceled by somebody": _faults("create", "canceled", seconds=100, times=1),
}
