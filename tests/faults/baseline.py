"""The plain script that everyone writes (create, store the id, poll, save), in the same world, under the same faults.

It runs as a Lambda with the SDK's defaults: a nightly event starts it, Lambda tries it again when it dies, and it is
asked to poll every ten minutes. It does what such scripts do: it stores the id after the create, takes the end of the
stream for the end of the results, and writes tickets as they come. Nothing of it is part of nightshift.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anthropic

from tests.faults import cloud, verdict
from tests.faults.story import WORDS, Story
from tests.faults.world import Invocation, World

ROWS = 6
POLLS = 200
"""Polls, ten minutes apart, before the morning looks at what is there."""

STEPS = ("read", "create", "store", "poll", "results", "save")
"""The boundaries of the script: one call each, before and after."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the script left behind."""

    batches: int
    paid_twice: int
    lost: int


def script(maximum: int | None) -> Callable[[Any, Any], Any]:
    """Return the script as a handler; `maximum` is the SDK's max_retries, None its default of 2."""

    def handler(event: Any, _context: Any) -> None:
        client = anthropic.Anthropic(
            api_key=cloud.GOOD_KEY,
            base_url=cloud.API,
            http_client=anthropic.DefaultHttpxClient(),
            max_retries=anthropic.DEFAULT_MAX_RETRIES if maximum is None else maximum,
        )
        s3: Any = cloud.called("s3")
        if event == "poll":
            _poll(client, s3)
            return
        rows = [json.loads(line) for line in s3.get_object(Bucket=cloud.INPUTS, Key="rows")["Body"].read().splitlines()]
        batch = client.messages.batches.create(requests=[_request(row) for row in rows])
        s3.put_object(Bucket=cloud.OUTPUTS, Key="batch-id", Body=batch.id.encode())

    return handler


def _poll(client: anthropic.Anthropic, s3: Any) -> None:
    batch_id = s3.get_object(Bucket=cloud.OUTPUTS, Key="batch-id")["Body"].read().decode()
    if client.messages.batches.retrieve(batch_id).processing_status != "ended":
        return
    answers = {
        entry.custom_id: entry.result.message.content[0].text  # type: ignore[union-attr]
        for entry in client.messages.batches.results(batch_id)
        if entry.result.type == "succeeded"
    }
    s3.put_object(Bucket=cloud.OUTPUTS, Key="answers", Body=json.dumps(answers).encode())


def _request(row: Mapping[str, str]) -> Any:
    format_ = {"type": "json_schema", "schema": _SCHEMA}
    params = {
        "model": "claude-haiku-5-5",
        "max_tokens": 64,
        "thinking": {"type": "disabled"},
        "messages": [{"role": "user", "content": row["body"]}],
        "output_config": {"format": format_},
    }
    return {"custom_id": row["id"], "params": params}


_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": list(WORDS)}},
    "required": ["label"],
    "additionalProperties": False,
}


def run(wire: Callable[[World], None], upset: tuple[str, str] | None, maximum: int | None, seed: str) -> Outcome:
    """Let the script have a night.

    Args:
        wire: what the API and the network do.
        upset: (step, edge) at which the process dies once; None: nowhere.
        maximum: see `script`.
        seed: of all that is random.
    """
    world = ScriptWorld(seed, upset, {"SubmitFunction": script(maximum)})
    try:
        wire(world)
        rows = [{"id": f"row-{n}", "body": f"row {n} is about {WORDS[n % 2]}"} for n in range(ROWS)]
        cloud.client("s3").put_object(Bucket=cloud.INPUTS, Key="rows", Body="\n".join(map(json.dumps, rows)).encode())
        world.fibers.spawn("night", lambda: _night(world))
        world.fibers.run(until=lambda: world.over)
        return _outcome(world, rows)
    finally:
        world.close()


def _night(world: World) -> None:
    """Start the script, then have it poll until it has saved, or the morning comes."""
    world.fibers.join(world.deliver("SubmitFunction", "start"))
    for _ in range(POLLS):
        world.sleep(600)
        world.fibers.join(world.deliver("SubmitFunction", "poll"))
        if "answers" in cloud.objects("answers") or "batch-id" not in cloud.objects("batch-id"):
            break
    world.over = True


def _outcome(world: World, rows: list[dict[str, str]]) -> Outcome:
    sent = verdict.sent(Story(world))
    twice = sum(sum(s.outcome == "succeeded" for s in each) > 1 for each in sent.values())
    saved = json.loads(cloud.objects("answers").get("answers", b"{}"))
    return Outcome(len(world.api.store.batches), twice, sum(row["id"] not in saved for row in rows))


class ScriptWorld(World):
    """The world of the script: its steps are told apart by what they call."""

    def __init__(self, seed: str, upset: tuple[str, str] | None, handlers: Any) -> None:
        super().__init__(seed, (), {}, handlers)
        self._upset = upset
        self._count: Counter[str] = Counter()

    def _send(self, service: str, operation: str, request: Any, do: Callable[[], Any]) -> Any:
        invocation = self.fibers.current.owner if self.fibers.current is not None else None
        if self._closed or not isinstance(invocation, Invocation):
            return super()._send(service, operation, request, do)
        step = _step(operation, request)
        self._pass(step, "before", invocation)
        self.fibers.sleep(self.rng.uniform(0.05, 1.5))
        answer = do()
        self._pass(step, "after", invocation)
        return answer

    def _pass(self, step: str, edge: str, invocation: Invocation) -> None:
        self._count[f"{step} {edge}"] += 1
        if self._upset == (step, edge) and self._count[f"{step} {edge}"] == 1:
            self.seen.killed += 1
            self._kill(invocation)

    def _plainly(self, _service: str, _operation: str, _request: Any) -> bool:
        return True

    def _during(self) -> None:
        pass


def _step(operation: str, request: Any) -> str:
    """Name the step that a call belongs to."""
    match operation:
        case "GetObject":
            return "read"
        case "PutObject":
            return "save" if "answers" in request.url else "store"
        case "create" | "results":
            return operation
    return "poll"
