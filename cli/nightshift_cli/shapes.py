"""What each command prints with --json: its keys. docs/cli.md has them, and tests hold the commands to them.

Amounts that end in `_usd` are US dollars, times are ISO 8601 in UTC, sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys of an object."""

    keys: Mapping[str, str]
    """Name → what it is, where that is not plain."""
    each: str = ""
    """What there is one of the objects for, in an array; empty: it is one object."""

    @property
    def words(self) -> str:
        """Say it in a sentence."""
        keys = ", ".join(f"`{key}`" + f" ({told})" * bool(told) for key, told in self.keys.items())
        return f"an array, for each {self.each} an object with {keys}" if self.each else f"an object with {keys}"


ERROR = {"error": "where it was not done: why", "status": "the exit status"}
"""Keys of an error; it may have those of the command besides."""

_SUMMARY = {
    "run_id": "", "job": "", "state": "`open`, `held`, `done`", "hold": "`code`, `reason`, `at`; or null",
    "trigger": "", "created": "", "rows": "null until they are counted", "batches_in_flight": "", "answered": "",
    "cost_usd": "", "synchronous_usd": "", "saved_usd": "",
}  # fmt: skip
_STOPPING = {
    "run_id": "", "done": "false where it was only said", "state": "", "hold": "", "execution": "of the loop",
    "in_flight": "where it was only said, as are the next: batches, each with `batch_id`, `chunk`, `rows`, `adopted`",
    "sending": "`chunk`, `rows`", "not_sent_rows": "", "planned": "the plan is finished",
}  # fmt: skip
_SUBMIT = {
    "run_id": "null where there is none yet", "state": "`open`, `held`, `done`; or `not seen`, `waits for the night`, "
    "`starts a run`", "hold": "", "ways_out": "what mends the hold", "input": "`bucket`, `key`, `version_id`, `size`",
}  # fmt: skip
_COSTS = {
    "runs": "", "rows": "", "cost_usd": "", "synchronous_usd": "", "saved_usd": "", "saved_ratio": "",
    "estimate_error": "how much more they cost than expected, as a part of that",
}  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    "submit": Shape(_SUBMIT),
    "runs": Shape(_SUMMARY, "run"),
    "show": Shape(
        _SUMMARY | {
            "counts": "rows by class", "usage": "tokens", "tickets": "`written`, `unchanged`, `refused`", "strange":
            "lines of the results that are no row's", "next": "what the loop does next: `kind`, `reason`, …",
            "ways_out": "what a person can do", "execution": "`name`, `status`", "files": "name → address",
            "latest": "what names the job's newest run, where it is this one; or null",
            "run": "as the ledger has it", "chunks": "the same", "intent": "the same, of a create under way; or null",
        }
    ),
    "results": Shape({"run_id": "", "done": "the run is", "files": "on this machine", "fetched": "how many just now"}),
    "report": Shape({"run_id": "", "file": "on this machine"}),
    "watch": Shape(_SUMMARY | {"next": "what the loop does next", "ended": "nothing more comes by itself"}),
    "hold": Shape(_STOPPING),
    "cancel": Shape(_STOPPING),
    "resume": Shape(_STOPPING),
    "retry": Shape(
        {
            "retried": "the run", "rows": "", "classes": "class → rows", "reasons": "reason → rows",
            "file": "`bucket`, `key`, `size`, `uploaded` (before)", "bound_usd": "what they cost at most; or null",
            "answered_since": "newer run → how many of the rows it has answered",
        } | _SUBMIT
    ),
    "replay": Shape({"run_id": "", "done": "", "table": "", "written": "tickets", "unchanged": "", "refused": ""}),
    "restore": Shape(
        {
            "done": "", "table": "", "items": "of the table", "lost": "`runs`, `chunks`, `others` → how many",
            "open": "runs that are held once they are back",
        }
    ),
    "forget": Shape(
        {
            "done": "", "row": "its id", "runs": "that have it", "rewritten": "files: `key`, `size`, `lines`",
            "deleted": "inputs: `key`, `version_id`, `size`, `rows`", "tickets": "`attributes`, `item_deleted`",
            "unread": "inputs that could not be looked into",
        }
    ),
    "orphans": Shape(
        {
            "batch_id": "", "created": "", "status": "", "rows": "", "answered": "",
            "run_id": "whose rows they are; or null", "told": "",
        }, "batch",
    ),
    "verify": Shape(
        {
            "run_id": "", "done": "", "rows": "that are asked", "bound_usd": "what they cost at most",
            "max_usd": "what is not exceeded", "asked_before": "rows of the sample", "spent_usd": "on those",
            "verification": "where the comparison will be",
        }
    ),
    "estimate": Shape(
        {
            "file": "of a file, as are the next", "job": "", "rows": "", "sent": "", "batches": "",
            "reject_codes": "code → rows", "estimate": "`expected_usd`, `low_usd`, `high_usd`, `bound_usd`, …; or null",
            "cache": "", "pilot": "rows", "prices": "`model`, `source`, `on`", "max_usd": "for the run", "month": "",
            "month_committed_usd": "", "monthly_cap_usd": "", "holds": "what the run would be held for",
            "run_id": "of a run, as are the next, and `estimate`", "revised": "after the pilot", "actual_usd": "",
            "tokens": "", "accounted": "every row is in a class", "estimate_error": "",
        }
    ),
    "costs": Shape(
        {
            "month": "", **_COSTS, "verified_usd": "what verifications cost, beside", "budget": "`spent_usd`, "
            "`committed_usd`, `cap_usd`", "by_job": "the same for each", "by_model": "", "by_run": "",
        }
    ),
    "bill": Shape(
        {
            "since": "", "until": "", "workspace": "", "differs": "by more than 1 % and a cent",
            "days": "the lines", "totals": "", "notes": "",
        }
    ),
    "doctor": Shape({"what": "", "level": "`ok`, `warn`, `bad`", "told": "", "todo": ""}, "thing"),
    "probe": Shape(
        {
            "done": "", "bound_usd": "what it costs at most",
            "findings": "each with `question`, `verdict`, `found`, `documented`",
            "left": "batches that could not be deleted",
        }
    ),
    "scan": Shape(
        {"files": "that were read", "unread": "`file`, `reason`", "calls": "", "none_left": "no synchronous call"}
    ),
    "lint": Shape({"problems": "`level`, `told`, and where", "input": "rows that were tried; or null"}),
    "job put": Shape({"done": "", "job": "", "bucket": "", "key": "", "schedule": ""}),
}  # fmt: skip
