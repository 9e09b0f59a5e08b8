"""Row → request: the params of one Messages call, as the exact bytes that go over the wire."""

import hashlib
import json
import re
from typing import Any

from nightshift import api_rules
from nightshift.conversation import opening
from nightshift.examples import answered, asked
from nightshift.input_codes import InputCode, RowFault
from nightshift.job import Job
from nightshift.job_sections import Budget
from nightshift.model import Row
from nightshift.prompt import text

_ID_START = b'{"custom_id":"'
_PARAMS = b'","params":'
_END = b"}\n"
_TAIL = b"]}"
_MAX_TOKENS = re.compile(rb'(?<="max_tokens":)\d+')
"""Where `shared_params` has it: near the beginning, and before anything that a row says."""
_MOST_BYTES = 4
"""Of a token, in text that people write: a row that is too long by this measure is too long by the API's."""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Renderer:
    """Renders the rows of one job. What all rows share is made once; a row only adds its prompt."""

    def __init__(self, job: Job, ttl: str = "") -> None:
        """Render for this job, with a cache breakpoint of `ttl` at the end of what rows share; empty: none."""
        self._turns = job.conversation.turns
        self._columns = tuple(sorted(job.variables))
        self._head = _head(job, ttl)
        self._files = job.conversation.files
        self._most_tokens = job.limits.max_prompt_tokens or api_rules.window(job.model)
        self.digest = question_digest(job)
        """Names everything that the job adds to a row: equal digests and equal rows ask the same. The cache is not in
        it: it changes what an answer costs, and not what was asked."""

    def params(self, row: Row) -> bytes:
        """Return the row's params: compact UTF-8 JSON without a raw newline.

        Raises:
            RowFault: the prompt fails with this row, comes out empty, or is longer than a request may be.
        """
        values = {column: text(row.values.get(column)) for column in self._columns}
        made = self._head + self._turns(values) + _TAIL
        tokens = (len(made) - sum(len(values[column]) for column in self._files)) // _MOST_BYTES
        if tokens > self._most_tokens:
            raise RowFault(
                InputCode.TOO_MANY_TOKENS, f"about {tokens:,} tokens; at most {self._most_tokens:,} are sent"
            )
        return made


def question_digest(job: Job) -> str:
    """Name everything that a job adds to a row, the cache aside."""
    own = b"\0" + job.model_dump_json(include={"prompt", "messages", "attachments", "betas"}).encode()
    if job.messages is None and not job.attachments and not job.betas:
        # As it was when there were only prompts: plans and tickets have these digests.
        own = opening("user") + b"\0" + (job.prompt or "").encode()
    return hashlib.sha256(_head(job, "") + own).hexdigest()


def asking_digest(job: Job) -> str:
    """Name what a job asks, and where on a ticket it puts the answer."""
    table = job.output.table.model_dump_json(exclude_defaults=True) if job.output.table is not None else ""
    return f"{job.job}\0{table}\0{question_digest(job)}"


def asked_digest(asking: str, row: str) -> str:
    """Name what a ticket's answer is the answer to: a job's `asking_digest`, and a row's digest."""
    return hashlib.sha256(f"{asking}\0{row}".encode()).hexdigest()[:32]


def request_line(custom_id: str, params: bytes) -> bytes:
    """Return a line of a plan: one request of a batch."""
    return _ID_START + custom_id.encode() + _PARAMS + params + _END


def params_of(line: bytes) -> bytes:
    """Return the params of a plan's line, byte for byte."""
    return line[line.index(_PARAMS) + len(_PARAMS) : -len(_END)]


def with_max_tokens(params: bytes, max_tokens: int) -> bytes:
    """Return a request's params with another `max_tokens`, and every other byte as it was."""
    return _MAX_TOKENS.sub(str(max_tokens).encode(), params, count=1)


def _head(job: Job, ttl: str) -> bytes:
    return _json(shared_params(job, ttl)).removesuffix("}").encode() + b',"messages":[' + _examples(job, ttl)


def _examples(job: Job, ttl: str) -> bytes:
    """Return the messages of the examples, each with a comma behind it."""
    shown = b""
    for number, example in enumerate(job.examples, 1):
        said: Any = answered(example, job.output)
        if ttl and number == len(job.examples):
            said = [_cached({"type": "text", "text": said}, ttl)]
        shown += (
            asked(example, job.conversation, job.required) + b"," + opening("assistant") + _json(said).encode() + b"},"
        )
    return shown


def shared_messages(job: Job) -> list[Any]:
    """Return the messages that stand before those of every row: the examples."""
    shown: list[Any] = json.loads(b"[" + _examples(job, "").removesuffix(b",") + b"]")
    return shown


def shared_params(job: Job, ttl: str) -> dict[str, Any]:
    """Return the params of every row, all but its messages.

    With a `ttl`, a cache breakpoint stands at the end of `system`, unless examples come behind it.
    """
    thinking = job.thinking.model_dump() if isinstance(job.thinking, Budget) else {"type": job.thinking}
    shared: dict[str, Any] = {"model": job.model, "max_tokens": job.max_tokens, "thinking": thinking}
    if job.system.strip():
        block: dict[str, Any] = {"type": "text", "text": job.system}
        shared["system"] = [_cached(block, ttl) if ttl and not job.examples else block]
    shared |= job.params
    if schema := answer_schema(job):
        format_ = {"type": "json_schema", "schema": schema}
        shared["output_config"] = job.params.get("output_config", {}) | {"format": format_}
    if job.output.tool is not None:
        shared["tool_choice"] = tool_choice(job, job.output.tool)
    return shared


def tool_choice(job: Job, tool: str) -> dict[str, Any]:
    """Return how the model is told to call the tool whose call is the answer.

    It has to, once, where that tool is alone and the API lets one be forced. Beside other tools, such as those that the
    API runs, it may call others first, and nothing but its instructions makes it end with a call of this one.
    """
    if len(job.params["tools"]) > 1:
        return {"type": "auto"}
    kind = job.thinking if isinstance(job.thinking, str) else job.thinking.type
    forced = {"type": "tool", "name": tool} if api_rules.forces_tools(job.model, kind) else {"type": "auto"}
    return forced | {"disable_parallel_tool_use": True}


def _cached(block: dict[str, Any], ttl: str) -> dict[str, Any]:
    return block | {"cache_control": {"type": "ephemeral", "ttl": ttl}}


def answer_schema(job: Job) -> dict[str, Any] | None:
    """Return the JSON Schema that an answer's text is held to; None for a text without one, and for a tool's call."""
    if job.output.labels is None:
        return job.output.json_schema
    label = {"type": "string", "enum": list(job.output.labels)}
    return {"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": False}
