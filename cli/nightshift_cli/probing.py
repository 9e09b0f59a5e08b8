"""What is not written down of the Message Batches API, asked of it: a few tiny batches, read, canceled and deleted.

What was documented or seen before is from Anthropic's documents (August to November 2026) and recordings of others
(September 2026). A request without `messages` ends as an error and is not billed: most of what is sent here is that.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from nightshift.errors import Ambiguous
from nightshift.money import PriceSheet, Tokens, cost_of
from nightshift_cli.exits import Refused

if TYPE_CHECKING:
    import httpx2

PATH = "/v1/messages/batches"
MODEL = "claude-haiku-5-5"
OK_ROWS = 3
BILLED_ROWS = OK_ROWS + 2
"""Those that are answered, and two that would be, did the API take what it says it refuses."""
PROMPT_TOKENS, ANSWER_TOKENS = 100, 8
"""Of a billed row, at most: its prompt has 30 bytes."""
TOO_MANY = 100_001
RESULTS_DAYS = 29
CLEAN_SECONDS = 300
"""A canceled batch has ended after half a minute, as far as anybody saw."""
RPM = frozenset({"1000", "2000", "4000"})
"""Requests a minute of the tiers Start, Build and Scale."""

_FREE: Mapping[str, Any] = {"model": MODEL, "max_tokens": ANSWER_TOKENS}
_ASKED = {**_FREE, "thinking": {"type": "disabled"}, "messages": [{"role": "user", "content": "Say OK and no more."}]}

ROW_ERRORS: dict[str, tuple[Mapping[str, Any], str]] = {
    "stream": ({**_ASKED, "stream": True}, '"stream=True" is not supported in the Message Batches API'),
    "max_tokens-0": ({**_ASKED, "max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
    "no-messages": (_FREE, "messages: Field required"),
    "no-such-model": ({**_ASKED, "model": "claude-does-not-exist-9"}, "model: claude-does-not-exist-9"),
}
"""Rows that the create takes and that end as errors: custom_id → params, and the recorded error."""

SAMPLING = {**_ASKED, "temperature": 1}


class Verdict(StrEnum):
    """What a finding is beside what was known."""

    AS_DOCUMENTED = "as documented"
    DIFFERS = "differs"
    SETTLED = "was open"
    """Nothing was known, and now it is."""
    OPEN = "still open"


@dataclass(frozen=True, slots=True)
class Finding:
    """One question, and what the API says to it."""

    question: str
    verdict: Verdict
    found: str
    documented: str


type Answer = httpx2.Response

type Ask = Callable[..., Answer]
"""`api.Wire.ask`."""


def bound(prices: PriceSheet) -> int:
    """Return what a probe costs at most, in picodollars."""
    tokens = Tokens(input=PROMPT_TOKENS, output=ANSWER_TOKENS, tier="batch")
    return BILLED_ROWS * cost_of(tokens, prices).total


@dataclass
class Probe:
    """One probe of the API."""

    ask: Ask
    every: float
    """Seconds between two looks at a batch."""
    patience: float
    """Seconds that a batch may take."""
    today: date
    made: list[str] = field(default_factory=list)
    """Ids of the batches that it made and has not deleted."""

    def findings(self) -> Iterator[Finding]:
        """Ask everything, and yield each finding as it is made.

        Raises:
            Refused: no batch can be made at all.
            ApiError: the API gives no answer.
        """
        yield from self._listed()
        batch_id, sampling = self._main()
        if sampling is not None:
            yield sampling
        yield from self._before_the_end(batch_id)
        yield from self._encodings()
        yield self._too_many()
        if not (yield from self._counts(batch_id)):
            yield _open(
                "results, and cancel and delete of a batch that has ended", f"it has not ended in {self.patience:g} s"
            )
            return
        yield from self._results(batch_id, sampled=sampling is None)
        yield _judge("cancel of a batch that has ended", self.ask("POST", f"{PATH}/{batch_id}/cancel", b""), None)
        yield _judge(
            "delete of a batch that has ended", self.ask("DELETE", f"{PATH}/{batch_id}"), (200, "message_batch_deleted")
        )
        self.made.remove(batch_id)
        yield _open("the words of a 429 for a full queue", "it would take 200,000 requests")

    def clean(self) -> list[str]:
        """Cancel and delete what was made; return the ids of what could not be."""
        until = time.monotonic() + CLEAN_SECONDS
        for batch_id in self.made:
            self.ask("POST", f"{PATH}/{batch_id}/cancel", b"")
        while self.made:
            self.made = [each for each in self.made if not self._deleted(each)]
            if not self.made or time.monotonic() > until:
                break
            time.sleep(self.every)
        return self.made

    def _deleted(self, batch_id: str) -> bool:
        return self.ask("DELETE", f"{PATH}/{batch_id}").status_code in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}

    def _create(self, rows: Mapping[str, Mapping[str, Any]], encoding: str = "", pack: Any = bytes) -> Answer:
        body = json.dumps({"requests": [{"custom_id": name, "params": row} for name, row in rows.items()]}).encode()
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
        answer = self.ask("POST", PATH, pack(body), headers)
        if answer.status_code == HTTPStatus.OK:
            self.made.append(str(_json(answer)["id"]))
        return answer

    def _listed(self) -> Iterator[Finding]:
        answer = self.ask("GET", f"{PATH}?limit=1000")
        if answer.status_code != HTTPStatus.OK:
            raise Refused(f"the API does not list batches: {_told(answer)}")
        limit = answer.headers.get("anthropic-ratelimit-requests-limit", "none")
        tiers = "1000, 2000 or 4000 requests a minute, by tier"
        same = Verdict.AS_DOCUMENTED if limit in RPM else Verdict.DIFFERS
        yield Finding("the rate limit that answers name", same, f"anthropic-ratelimit-requests-limit: {limit}", tiers)
        yield self._old(_json(answer)["data"])

    def _old(self, batches: list[Any]) -> Finding:
        question = f"results after {RESULTS_DAYS} days"
        last = self.today - timedelta(days=RESULTS_DAYS + 1)
        old = [each for each in batches if datetime.fromisoformat(each["created_at"]).date() < last]
        if not old:
            return _open(question, "none of the workspace's newest 1,000 batches is so old")
        return _judge(question, self.ask("GET", f"{PATH}/{old[0]['id']}/results"), None)

    def _main(self) -> tuple[str, Finding | None]:
        """Create the batch that all else is about; a finding where the create is refused for its sampling parameter."""
        rows = {f"ok-{n}": _ASKED for n in range(OK_ROWS)} | {name: row for name, (row, _) in ROW_ERRORS.items()}
        answer = self._create(rows | {"temperature": SAMPLING})
        if answer.status_code == HTTPStatus.OK:
            return self.made[-1], None
        refused = Finding(SAMPLING_QUESTION, Verdict.SETTLED, f"at create: {_told(answer)}", "")
        answer = self._create(rows)
        if answer.status_code != HTTPStatus.OK:
            raise Refused(f"the API takes no batch: {_told(answer)}")
        return self.made[-1], refused

    def _before_the_end(self, batch_id: str) -> Iterator[Finding]:
        yield self._visible(batch_id)
        shown = self.ask("GET", f"{PATH}/{batch_id}")
        after = shown.headers.get("retry-after", "none")
        same = Verdict.AS_DOCUMENTED if after == "10" else Verdict.DIFFERS
        yield Finding("retry-after of a batch at work", same, f"retry-after: {after}", "10")
        early = f"{PATH}/{batch_id}/results"
        yield _judge("results before the end", self.ask("GET", early), (404, "has no available results"))
        known = (400, "In progress batches cannot be deleted")
        yield _judge("delete before the end", self.ask("DELETE", f"{PATH}/{batch_id}"), known)

    def _visible(self, batch_id: str) -> Finding:
        """Tell how soon a batch is in the list: what reconciliation waits for."""
        start = time.monotonic()
        until = start + self.patience
        while time.monotonic() < until:
            if any(each["id"] == batch_id for each in self._shown(f"{PATH}?limit=20", until)["data"]):
                found = f"{time.monotonic() - start:.1f} s after the answer to its create"
                return Finding("when a batch is in the list", Verdict.SETTLED, found, "")
            time.sleep(self.every)
        return _open("when a batch is in the list", f"not within {self.patience:g} s")

    def _shown(self, path: str, until: float) -> Any:
        """Return what a GET answers, asked again while the API has trouble: in an hour of looks it may have some.

        Raises:
            Ambiguous: it still has at `until`, in seconds of the monotonic clock.
        """
        while (answer := self.ask("GET", path)).status_code != HTTPStatus.OK:
            if time.monotonic() > until:
                raise Ambiguous(f"GET {path} is answered {_told(answer)}, at each of the looks until now")
            time.sleep(self.every)
        return _json(answer)

    def _encodings(self) -> Iterator[Finding]:
        """Send packed bodies; cancel the first batch that comes of it, or of a plain one."""
        packed: Mapping[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress}
        for encoding, pack in packed.items():
            answer = self._create({"packed": _FREE}, encoding, pack)
            yield _judge(f"a body with content-encoding {encoding}", answer, None)
        if self._create({"canceled": _FREE, "canceled-2": _FREE}).status_code == HTTPStatus.OK:
            answer = self.ask("POST", f"{PATH}/{self.made[-1]}/cancel", b"")
            yield _judge("cancel of a batch at work", answer, (200, "canceling"))

    def _too_many(self) -> Finding:
        rows: Mapping[str, Any] = {f"{n:06d}": {} for n in range(TOO_MANY)}
        known = (400, f"requests: List should have at most 100000 items after validation, not {TOO_MANY}")
        return _judge(f"a create of {TOO_MANY:,} requests", self._create(rows), known)

    def _counts(self, batch_id: str) -> Generator[Finding, None, bool]:
        """Look at the batch until it has ended; return whether it has."""
        looks, moved, until = 0, "", time.monotonic() + self.patience
        while True:
            shown = self._shown(f"{PATH}/{batch_id}", until)
            counts = shown["request_counts"]
            if shown["processing_status"] == "ended" or time.monotonic() > until:
                break
            looks += 1
            if any(count for name, count in counts.items() if name != "processing"):
                moved = moved or json.dumps(counts)
            time.sleep(self.every)
        question, known = "counts before the end", "all requests are in `processing` until the batch has ended"
        if moved:
            yield Finding(question, Verdict.DIFFERS, f"they moved: {moved}", known)
        else:
            yield Finding(question, Verdict.AS_DOCUMENTED, f"none had moved at any of {looks} looks", known)
        return bool(shown["processing_status"] == "ended")

    def _results(self, batch_id: str, *, sampled: bool) -> Iterator[Finding]:
        answer = self.ask("GET", f"{PATH}/{batch_id}/results")
        kind = answer.headers.get("content-type", "none")
        direct = answer.status_code == HTTPStatus.OK
        where = f", to {answer.headers.get('location')}" if answer.status_code in range(300, 400) else ""
        same = direct and kind.startswith("application/x-jsonl")
        verdict = Verdict.AS_DOCUMENTED if same else Verdict.DIFFERS
        yield Finding("results", verdict, f"{answer.status_code}{where}, {kind}", "200, application/x-jsonl, direct")
        if not direct:
            return
        rows = {line["custom_id"]: line["result"] for line in map(json.loads, answer.text.splitlines())}
        if sampled:
            yield Finding(SAMPLING_QUESTION, Verdict.SETTLED, f"row by row: {_row(rows.get('temperature'))}", "")
        for name, (_, known) in ROW_ERRORS.items():
            found = _row(rows.get(name))
            verdict = Verdict.AS_DOCUMENTED if known in found else Verdict.DIFFERS
            yield Finding(f"a row with {name}", verdict, found, known)


SAMPLING_QUESTION = "where `temperature` is refused"


def _judge(question: str, answer: Answer, known: tuple[int, str] | None) -> Finding:
    """Compare an answer with the status and the words that are known, if any are."""
    told = _told(answer)
    if known is None:
        return Finding(question, Verdict.SETTLED, told, "")
    status, words = known
    same = answer.status_code == status and words in answer.text
    return Finding(question, Verdict.AS_DOCUMENTED if same else Verdict.DIFFERS, told, f"{status} {words}")


def _open(question: str, why: str) -> Finding:
    return Finding(question, Verdict.OPEN, why, "")


def _told(answer: Answer) -> str:
    """Say what an answer says: its status and the API's own words."""
    try:
        said = _json(answer)
    except ValueError:
        return f"{answer.status_code} {answer.headers.get('content-type', '')}"
    match said:
        case {"error": {"type": kind, "message": message}}:
            return f"{answer.status_code} {kind}: {message}"
        case {"processing_status": status, "request_counts": counts}:
            return f"{answer.status_code} {status}, {json.dumps(counts)}"
        case {"type": kind}:
            return f"{answer.status_code} {kind}"
        case _:
            return str(answer.status_code)


def _row(result: Any) -> str:
    match result:
        case {"type": "errored", "error": {"error": {"type": kind, "message": message}}}:
            return f"{kind}: {message}"
        case {"type": kind}:
            return str(kind)
        case _:
            return "no result"


def _json(answer: Answer) -> Any:
    return json.loads(answer.content)
