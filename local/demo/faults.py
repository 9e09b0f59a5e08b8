"""What can be made to go wrong while a person watches: `make demo FAULTS=<name>`.

A fault is a script that runs beside the night. Its first step, before anything is uploaded, makes it ready; then it is
asked again and again, and yields what there is to tell, or an empty line where there is nothing yet. It tells what the
API has on record, what was done to the functions and what they log, never what the ledger believes. A script that has
come to its end has shown its fault.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from local.running import Item, RunningCloud

type Script = Iterator[str]

SHARE = Fraction(1, 3)
"""Of the rows: how many are overloaded, and how many come before the results are cut."""
SUBMIT = "SubmitFunction"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    warning: str
    """What will happen, in a sentence."""
    script: Callable[[RunningCloud], Script]
    otherwise: str
    """What a plain script makes of it, from documents and not measured here; docs/local.md has the sources."""


class Provocation:
    """A fault, made ready, and then watched."""

    def __init__(self, fault: Fault | None, cloud: RunningCloud) -> None:
        """Make the fault ready; None is a night in which nothing goes wrong."""
        self._script = fault.script(cloud) if fault else iter(())
        next(self._script, None)
        self.missing = fault is not None
        """Whether it, or what shows it, is still to come."""

    def news(self) -> Iterator[str]:
        """Yield what there is to tell since the last call."""
        while line := next(self._script, None):
            yield line
        self.missing = line is not None


def _misbehave(cloud: RunningCloud, endpoint: str, kind: str, **more: object) -> None:
    cloud.api("faults", "POST", {"endpoint": endpoint, "kind": kind, **more})


def _seen[T](look: Callable[[], T | None]) -> Generator[str, None, T]:
    """Have nothing to tell until there is something to see; return it."""
    while (found := look()) is None:
        yield ""
    return found


def _lost_response(cloud: RunningCloud) -> Script:
    _misbehave(cloud, "create", "accept-then-close", times=1)
    post = yield from _seen(lambda: _unanswered(cloud))
    yield f"the API made {post['batch_id']} of {post['rows']:,} rows, and its answer was lost"


def _kill_submit(cloud: RunningCloud) -> Script:
    _misbehave(cloud, "create", "accept-then-hang", times=1)
    post = yield from _seen(lambda: _unanswered(cloud))
    yield f"the API made {post['batch_id']} of {post['rows']:,} rows; {SUBMIT} is in the POST, without its answer"
    cloud.ask("kill", post=True, function=SUBMIT)


def _cut_results(cloud: RunningCloud) -> Script:
    _misbehave(cloud, "results", "cut-line", times=1, batch_index=0, share=float(SHARE))
    yield from _seen(lambda: cloud.api("faults")[0]["fired"] or None)
    batch = cloud.api("batches")[0]
    yield f"the results stream of {batch['id']} ended after {int(batch['rows'] * SHARE):,} of {batch['rows']:,} rows"
    yield from _seen(lambda: _said(cloud, "ResultsFunction", lambda line: line.get("failed")))
    yield "results counted: it is not whole, and nothing of it is kept; it is read again"


def _duplicate_event(cloud: RunningCloud) -> Script:
    run = yield from _seen(lambda: next(iter(cloud.runs()), None))
    event = [made for made in cloud.ask("deliveries") if SUBMIT in made["target"]][-1]["event"]
    if "scheduled_time" in event:
        cloud.ask("fire", post=True, name=f"{SUBMIT}Nightly", at=event["scheduled_time"])
    else:
        cloud.ask("deliver", post=True, body=event)
    yield f"the same {'firing' if 'scheduled_time' in event else 'upload event'} was delivered a second time"
    yield from _seen(lambda: _said(cloud, SUBMIT, lambda line: run["run_id"] in line.get("known", ())))
    yield f"submit knows {run['run_id']} already: the second delivery starts nothing and sends nothing"


def _expired(cloud: RunningCloud) -> Script:
    _misbehave(cloud, "create", "all-expired", times=1)
    batch = yield from _seen(lambda: _ended_with(cloud, "expired"))
    lost = batch["counts"]["expired"]
    yield f"24 hours are over: {batch['id']} ended with {lost:,} of {batch['rows']:,} rows expired, none of them billed"


def _overloaded(cloud: RunningCloud) -> Script:
    _misbehave(cloud, "rows", "overloaded", rate=float(SHARE), first_times=1)
    batch = yield from _seen(lambda: _ended_with(cloud, "errored"))
    lost = batch["counts"]["errored"]
    yield f"{batch['id']} ended with {lost:,} of {batch['rows']:,} rows overloaded, none of them billed"


def _unanswered(cloud: RunningCloud) -> Item | None:
    """Return the POST of which a batch came, and no answer."""
    posts = cloud.api("audit")["posts"]
    return next((post for post in posts if post["batch_id"] and post["status"] is None), None)


def _ended_with(cloud: RunningCloud, result: str) -> Item | None:
    """Return the first batch that ended with such results."""
    batches = cloud.api("batches")
    return next((batch for batch in batches if batch["status"] == "ended" and batch["counts"][result]), None)


def _said(cloud: RunningCloud, function: str, what: Callable[[Item], object]) -> bool | None:
    """Return True once a function has logged a line that says so."""
    lines = [entry["line"] for entry in cloud.ask("logs") if entry["function"] == function]
    return any(what(json.loads(line)) for line in lines if line.startswith("{")) or None


FAULTS: Mapping[str, Fault] = {
    "lost-response": Fault(
        "the answer to the create will be lost: the API makes the batch, we never hear of it",
        _lost_response,
        "With the SDK's defaults, a script sends the create again: up to 3 POSTs, up to 3 batches, each billed.",
    ),
    "kill-submit": Fault(
        "submit will be killed in the middle of the POST: the API makes the batch, nobody is left to write it down",
        _kill_submit,
        "A script that is killed there has no trace of its batch; started again, it makes and pays a second one.",
    ),
    "cut-results": Fault(
        "the results will end early, and without an error: two thirds of the rows are not in them",
        _cut_results,
        "The SDK's loop over results ends there like any other: a script that does not count loses the rest.",
    ),
    "duplicate-event": Fault(
        "the event that starts the run will be delivered twice: at least once is what AWS promises",
        _duplicate_event,
        "A function that makes a batch of each event makes two, and pays both.",
    ),
    "expired": Fault(
        "the API will not get to the batch within 24 hours: every row expires",
        _expired,
        "The SDK's retries do not reach into a batch: a script has to find the expired rows and ask for them again.",
    ),
    "overloaded": Fault(
        "a third of the rows will come back with an error, overloaded, instead of an answer",
        _overloaded,
        "The SDK's retries do not reach into a batch: a script has to find these rows and ask for them again.",
    ),
}
