"""What happens in the cloud, told in sentences as it happens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local.running import Item
from local.wire import Json

LOOKS_TOLD = 5
LOOKS_BETWEEN = 20
"""The first looks at the API are told one by one, then every so many: a long night has hundreds."""

PHYSICAL = re.compile(r"[a-z-]+-(\w+)-[0-9a-f]{8}")
"""A resource's name on the desk: the stack's, its own in the template, eight characters that nobody reads."""

STATES = ("PLANNED", "SENDING", "SENT", "ENDED", "ARCHIVED", "COLLECTED")
"""Of a chunk, in order: between two looks at the ledger it may pass several."""

GRACES = {"http-error": timedelta(minutes=2), "connection-lost": timedelta(minutes=15)}
MOMENTS = ("none_seen_at", "noted_at", "deadline", "retry_at")
SENDER_DEAD = timedelta(minutes=15)
SECOND_READ = timedelta(minutes=1)
"""What `nightshift.decision` waits before a create whose outcome is not known is settled; a test compares them."""


@dataclass(slots=True)
class Story:
    """Turns ledger and feed into lines; remembers what it has told."""

    states: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    looks: int = 0
    at: str = ""
    """The virtual moment, as the feed last had it."""
    killed: datetime | None = None
    """When a submit was last killed."""

    def happened(self, event: Json) -> Iterator[str]:
        """Tell an event of the feed."""
        now, data = datetime.fromisoformat(event["at"]), event["data"]
        self.at = now.strftime("%d %b %H:%M:%S")
        match event["kind"]:
            case "object.created" if data["key"].startswith("inbox/"):
                yield f"uploaded {data['key']} ({data['size']:,} bytes)"
            case "delivery.made":
                yield f"{PHYSICAL.sub(r'\1', data['source'])} → {PHYSICAL.sub(r'\1', data['target'])}"
            case "execution.started":
                yield f"the loop runs: {data['execution']}"
            case "wait.started":
                self.looks += 1
                if self.looks <= LOOKS_TOLD or self.looks % LOOKS_BETWEEN == 0:
                    yield f"look {self.looks}: {self._in_flight()}, next in {data['seconds']} s"
            case "invocation.killed":
                self.killed = now if data["function"] == "SubmitFunction" else self.killed
                yield f"{data['function']} was killed"

    def planned(self, run: Item, chunks: list[Item]) -> Iterator[str]:
        """Tell that the plan is made."""
        if run["planned"]:
            yield from self._once(f"planned {run['rows']:,} rows in {len(chunks)} chunks", "planned")

    def changed(self, run: Item, chunks: list[Item], intent: Item | None) -> Iterator[str]:
        """Tell what else the ledger says that it did not say before."""
        for chunk in chunks:
            before, now = self.states.get(chunk["id"]), chunk["state"]
            if before is None and (generation := chunk["id"][1 : chunk["id"].index("-")]) != "0":
                yield f"{chunk['id']} planned: retry generation {generation} with {chunk['rows']:,} rows"
            self.states[chunk["id"]] = now
            for passed in STATES[STATES.index(before) + 1 if before else 0 : STATES.index(now) + 1]:
                yield from _moved(chunk, passed)
            if error := chunk.get("error"):
                again = f"; again at {_clock(chunk['not_before'])}" if chunk.get("not_before") else ""
                yield from self._once(f"{chunk['id']} waits: {error}{again}", f"{chunk['id']} {error}")
        if intent is not None and self._stands(intent):
            due = _clock(settles_at(intent))
            seen = "not in the API's list" if "none_seen_at" in intent else "the intent stands"
            what = f"{seen}: nothing is sent until {due}, when the API's list is read"
            yield from self._once(what, f"intent {due}")
        if hold := run.get("hold"):
            yield from self._once(f"HELD ({hold['code']}): {hold['reason']}", hold["at"])

    def count(self, state: str) -> int:
        """Return how many chunks are in a state."""
        return sum(s == state for s in self.states.values())

    def _in_flight(self) -> str:
        """Say what the ledger knows to be at the API."""
        return f"{count} batches at the API" if (count := self.count("SENT")) else "no batch known to be in flight"

    def _stands(self, intent: Item) -> bool:
        """Tell a create whose outcome is not known from one that is under way."""
        dead = self.killed is not None and datetime.fromisoformat(intent["created"]) < self.killed
        return "note" in intent or dead

    def _once(self, line: str, what: str) -> Iterator[str]:
        if what not in self.told:
            self.told.add(what)
            yield line


def settles_at(intent: Item) -> datetime:
    """Return when a create whose outcome is not known may be settled, as the ledger has it."""
    moments = {name: datetime.fromisoformat(value) for name, value in intent.items() if name in MOMENTS}
    if "none_seen_at" in moments:
        due = moments["none_seen_at"] + SECOND_READ
    elif "note" in intent:
        due = moments["noted_at"] + GRACES[intent["note"]]
    else:
        due = moments["deadline"] + SENDER_DEAD
    return max(due, moments.get("retry_at", due))


def _clock(moment: datetime | str) -> str:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return at.strftime("%H:%M:%S")


def _moved(chunk: Item, now: str) -> Iterator[str]:
    match now:
        case "SENT":
            how = "found in the API's list and adopted" if chunk["adopted"] else "sent"
            yield f"{chunk['id']} {how}: {chunk['batch_id']}, {chunk['rows']:,} rows"
        case "ENDED":
            counts = ", ".join(f"{n} {name}" for name, n in chunk["request_counts"].items() if n)
            yield f"{chunk['id']} ended: {counts}"
        case "COLLECTED":
            classes = ", ".join(f"{n} {name}" for name, n in chunk["tally"]["rows"].items() if n)
            again = f", {chunk['tally']['retryable']} to be asked again" if chunk["tally"]["retryable"] else ""
            yield f"{chunk['id']} collected: {classes or 'nothing'}{again}"
