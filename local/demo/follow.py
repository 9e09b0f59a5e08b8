"""The night, followed and told until it is over."""

import time
from collections import Counter
from dataclasses import dataclass, field

from local.demo.display import Display
from local.demo.faults import Provocation
from local.demo.story import Story
from local.running import Item, RunningCloud

TICK_SECONDS = 0.2
SILENCE_SECONDS = 300
"""Without any event for so long, in real time, something hangs."""
LATE_SECONDS = 5
"""Real time that what shows a fault may come after everything else."""
SUBMIT = "SubmitFunction"


@dataclass(slots=True)
class Follower:
    """Asks the cloud again and again what is new."""

    cloud: RunningCloud
    story: Story
    provocation: Provocation
    display: Display
    run_id: str | None = None
    """The run, once one has begun."""
    last: int = 0
    """The last event that was told."""
    heard: float = field(default_factory=time.monotonic)
    """When it was."""
    counts: Counter[str] = field(default_factory=Counter)
    """Events by kind: of the submit function, and of executions."""

    def follow(self) -> str:
        """Tell the night until it is over. Returns what went wrong; empty if nothing did."""
        while (trouble := self._turn(quiet=not self._events())) is None:
            if self._silence() > SILENCE_SECONDS:
                return f"nothing has happened for {SILENCE_SECONDS} s; giving up"
            self.display.refresh()
            time.sleep(TICK_SECONDS)
        return trouble

    def _silence(self) -> float:
        return time.monotonic() - self.heard

    def _events(self) -> bool:
        """Tell what happened; True if anything did."""
        events = self.cloud.events(self.last)
        for event in events:
            self.last, self.heard = event["n"], time.monotonic()
            data = event["data"]
            if "execution" in data or SUBMIT in data.get("target", data.get("function", "")):
                self.counts[event["kind"]] += 1
            for line in self.story.happened(event):
                self.display.say(line)
        return bool(events)

    def _turn(self, *, quiet: bool) -> str | None:
        """Tell what the ledger has new. Returns None while the night goes on; then what went wrong, or nothing."""
        self.run_id = self.run_id or next((run["run_id"] for run in self.cloud.runs()), None)
        if self.run_id is None:
            idle = self.counts["invocation.ended"] >= self.counts["delivery.made"] > 0
            return self._with_logs("the upload started no run; the functions say:") if quiet and idle else None
        running = self.cloud.executions("RUNNING")  # asked first: what the loop wrote before it ended is told, too
        run = self._tell(self.run_id)
        awaited = self.provocation.missing and self._silence() < LATE_SECONDS
        if not quiet or running or awaited or not self.counts["execution.started"]:
            return None
        if run["state"] == "done" or run.get("hold"):
            return ""
        return self._with_logs("the loop ended before the run did; the functions' logs say why:")

    def _tell(self, run_id: str) -> Item:
        """Tell the fault before what came of it: the ledger is read first. Returns the run."""
        (run, chunks), intent = self.cloud.ledger(run_id), self.cloud.intent()
        for line in self.story.planned(run, chunks):
            self.display.say(line)
        for line in self.provocation.news():
            self.display.say(line, "bold yellow")
        for line in self.story.changed(run, chunks, intent):
            self.display.say(line)
        return run

    def _with_logs(self, what: str) -> str:
        return "\n".join([what, *(str(line) for line in self.cloud.ask("logs")[-20:])])
