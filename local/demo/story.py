"""What happens in the cloud, told in sentences as it happens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from local.running import Item
from local.wire import Json

LOOKS_TOLD = 5
LOOKS_BETWEEN = 20
"""The first looks at the API are told one by one, then every so many: a long night has hundreds."""


@dataclass(slots=True)
class Story:
    """Turns ledger and feed into lines; remembers what it has told."""

    states: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    looks: int = 0
    at: str = ""
    """The virtual moment, as the feed last had it."""

    def happened(self, event: Json) -> Iterator[str]:
        """Tell an event of the feed."""
        self.at = datetime.fromisoformat(event["at"]).strftime("%d %b %H:%M:%S")
        data = event["data"]
        match event["kind"]:
            case "object.created" if data["key"].startswith("inbox/"):
                yield f"uploaded {data['key']} ({data['size']:,} bytes)"
            case "delivery.made":
                yield f"{data['source']} → {data['target']}"
            case "execution.started":
                yield f"the loop runs: {data['execution']}"
            case "wait.started":
                self.looks += 1
                if self.looks <= LOOKS_TOLD or self.looks % LOOKS_BETWEEN == 0:
                    yield f"look {self.looks}: {self.count('SENT')} batches at the API, next in {data['seconds']} s"
            case "invocation.killed":
                yield f"{data['function']} was killed"

    def changed(self, run: Item, chunks: list[Item]) -> Iterator[str]:
        """Tell what the ledger says that it did not say before."""
        if run["planned"]:
            yield from self._once(f"planned {run['rows']:,} rows in {len(chunks)} chunks", "planned")
        for chunk in chunks:
            before, now = self.states.get(chunk["id"]), chunk["state"]
            if before != now:
                self.states[chunk["id"]] = now
                yield from _moved(chunk, now)
        if hold := run.get("hold"):
            yield from self._once(f"HELD ({hold['code']}): {hold['reason']}", hold["at"])

    def count(self, state: str) -> int:
        """Return how many chunks are in a state."""
        return sum(s == state for s in self.states.values())

    def _once(self, line: str, what: str) -> Iterator[str]:
        if what not in self.told:
            self.told.add(what)
            yield line


def _moved(chunk: Item, now: str) -> Iterator[str]:
    match now:
        case "SENT":
            how = "found again" if chunk["adopted"] else "sent"
            yield f"{chunk['id']} {how}: {chunk['batch_id']}, {chunk['rows']:,} rows"
        case "ENDED":
            counts = ", ".join(f"{n} {name}" for name, n in chunk["request_counts"].items() if n)
            yield f"{chunk['id']} ended: {counts}"
        case "COLLECTED":
            classes = ", ".join(f"{n} {name}" for name, n in chunk["tally"]["rows"].items() if n)
            again = f", {chunk['tally']['retryable']} to be asked again" if chunk["tally"]["retryable"] else ""
            yield f"{chunk['id']} collected: {classes or 'nothing'}{again}"
