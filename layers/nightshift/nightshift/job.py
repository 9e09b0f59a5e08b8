"""A job: what to ask for each row. The model of `jobs/<name>.yaml`, and its JSON Schema (`python -m nightshift.job`).

What the API would refuse row by row is refused here (api_rules.py, schema_rules.py), before anything costs money.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from nightshift import api_rules
from nightshift.conversation import Conversation
from nightshift.errors import BadJob
from nightshift.examples import ExampleError, answered, asked
from nightshift.job_sections import (
    ROW_NUMBER,
    Attachment,
    Batch,
    Beta,
    Budget,
    Cache,
    Example,
    Input,
    Limits,
    Messages,
    Output,
    Pilot,
    ReadyBy,
    Retry,
    Section,
    Template,
    Thinking,
    Verify,
    none_is_null,
    or_file,
)
from nightshift.model import JOB_NAME
from nightshift.schema_rules import Problem, schema_problems
from nightshift.yaml_lines import Document, Path, YamlError, load

MAX_FILE = 1_000_000
"""Bytes of a job file: a system prompt of 200,000 tokens fits."""

__all__ = ["Batch", "Cache", "Input", "Job", "Limits", "Output", "Retry", "json_schema", "parse_job"]


_NOTHING_ASKED: Problem = ("prompt",), "is missing: say what to ask for a row, here or in `messages`"
MOST_ATTACHED = 20
"""Attachments of a job: with more, the API takes smaller pictures only (documentation of vision)."""
MOST = 200
"""Examples of a job."""


class Job(Section):
    """What to ask for each row."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}]})

    job: Annotated[str, StringConstraints(pattern=f"^{JOB_NAME}$")]
    """The job's name: that of its file."""
    input: Input
    model: str = "claude-haiku-5-5"
    """The model that is asked."""
    max_tokens: int = Field(ge=1, le=api_rules.MAX_TOKENS)
    """The longest answer, in tokens; thinking counts."""
    thinking: Thinking = "disabled"
    system: Annotated[str, or_file(str)] = ""
    """What all rows share, or `{file: NAME}`; the cache breakpoint stands at its end."""
    prompt: Template | None = None
    """What is asked for a row: a Jinja template over its columns."""
    messages: Messages | None = None
    """In place of a prompt: several messages, or the column that holds them; the last is the user's."""
    attachments: Annotated[tuple[Attachment, ...], Field(strict=False, max_length=MOST_ATTACHED)] = ()
    """Pictures and documents of a row, in front of the last message's text."""
    examples: Annotated[tuple[Example, ...], or_file(tuple[Example, ...]), Field(strict=False, max_length=MOST)] = ()
    """Rows with the answers that they should get, shown to the model before each row; or `{file: NAME}`, JSON Lines."""
    betas: Annotated[tuple[Beta, ...], Field(strict=False, max_length=10)] = ()
    """Beta features that requests use, by the names of the `anthropic-beta` header: those of the batch as a whole."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Anything else that a Messages request takes in a batch."""
    output: Output
    pilot: Annotated[Pilot | None, none_is_null(Pilot)] = Pilot()
    """The first rows of a large run, sent alone; or `none`."""
    cache: Cache = Cache()
    batch: Batch = Batch()
    limits: Limits = Limits()
    retry: Retry = Retry()
    verify: Annotated[Verify | None, none_is_null(Verify)] = None
    """A sample that is asked of the synchronous API, too; or `none`."""
    skip: Literal["none", "answered"] = "none"
    """`answered`: rows whose ticket has this job's answer to this text already are not asked again."""
    schedule: Literal["nightly", "upload", "manifest"] = "nightly"
    """When a run starts: once a night over all that lies there, once per uploaded file, or once per manifest."""
    ready_by: ReadyBy | None = None
    """Time of day (UTC) by which a run is to be done; one that is not is late, and an alarm says so."""

    @property
    def beta_header(self) -> str:
        """The value of the `anthropic-beta` header of all that is asked; empty: there is none."""
        return ",".join(self.betas)

    @cached_property
    def conversation(self) -> Conversation:
        """What a row's messages are made with."""
        return Conversation(self.prompt or "", self.messages, self.attachments)

    @property
    def variables(self) -> frozenset[str]:
        """The columns that the prompt uses: a row's body."""
        return self.conversation.columns

    @cached_property
    def required(self) -> frozenset[str]:
        """The columns that a row must have and that must not be empty."""
        return self.variables - set(self.input.optional)

    @property
    def raised_max_tokens(self) -> int | None:
        """`max_tokens` of rows that are asked once more because it cut them off; None: none are."""
        if self.retry.cut_off is None:
            return None
        raised = min(math.ceil(self.max_tokens * self.retry.cut_off), api_rules.most_tokens(self.model, self.betas))
        return raised if raised > self.max_tokens else None


def parse_job(
    text: bytes,
    *,
    name: str,
    key: str,
    today: date | None = None,
    lint: Callable[[Job], Iterable[Problem]] = lambda _: (),
) -> Job:
    """Read a job file.

    Args:
        text: the file.
        name: the job it must hold.
        key: what messages call the file.
        today: the day it is to be used; None for a job that was accepted already: no rule of the API is held against
            it again, lest a stricter version of nightshift abandons what was paid for.
        lint: says what else is wrong with a well-formed job.

    Raises:
        BadJob: it cannot be used; one line for each reason, `<key>:<line>: <reason>`.
    """
    if len(text) > MAX_FILE:
        raise BadJob(f"{key}:1: longer than {MAX_FILE:,} bytes")
    try:
        document = load(text)
    except YamlError as error:
        raise BadJob(f"{key}:{error.line}: {error}") from None
    try:
        job = Job.model_validate(document.data)
    except ValidationError as error:
        problems = [_problem(each) for each in error.errors(include_url=False)]
        if not {"prompt", "messages"} & document.data.keys():
            problems.append(_NOTHING_ASKED)
        raise _bad_job(key, document, iter(problems)) from None
    if problems := [*_problems(job, name, today), *lint(job)]:
        raise _bad_job(key, document, iter(problems))
    return job


def _bad_job(key: str, document: Document, problems: Iterator[Problem]) -> BadJob:
    placed = sorted({(document.line(path), ".".join(map(str, path)), reason) for path, reason in problems})
    return BadJob("\n".join(f"{key}:{line}: {path}: {reason}" for line, path, reason in placed))


def _problems(job: Job, name: str, today: date | None) -> Iterator[Problem]:
    """Yield what is wrong with a well-formed job."""
    if job.job != name:
        yield ("job",), f"the file is named {name}, so this must be `job: {name}`"
    table = job.output.table
    if table is None and job.skip == "answered":
        yield ("skip",), "only a ticket tells whether a row is answered: say `output.table`"
    if table is not None and table.key_type == "number" and job.input.id == ROW_NUMBER:
        yield ("output", "table", "key_type"), "row numbers are texts: name the column with the ids in `input.id`"
    schema = job.output.object_schema(job.params)
    if job.output.tool is not None and schema is None:
        yield ("output", "tool"), f"`params.tools` has no tool `{job.output.tool}` with an `input_schema`"
    for attribute, wanted in table.attributes.items() if table is not None else ():
        properties = (schema or {}).get("properties")
        if not isinstance(properties, dict) or wanted not in properties:
            where = "`output.schema`" if job.output.tool is None else f"the tool `{job.output.tool}`"
            yield ("output", "table", "attributes", attribute), f"{where} has no property `{wanted}`"
    yield from _asking_problems(job)
    for index, column in enumerate(job.input.optional):
        if column not in job.variables:
            yield ("input", "optional", index), f"the prompt does not use `{column}`"
    if today is not None:
        yield from _refused_by_the_api(job, today)


def _asking_problems(job: Job) -> Iterator[Problem]:
    """Yield what is wrong with what is asked for a row."""
    asking = "prompt" if job.messages is None else "messages"
    if job.prompt is None and job.messages is None:
        yield _NOTHING_ASKED
        return
    if job.prompt is not None and job.messages is not None:
        yield ("prompt",), "goes without `messages`: delete one of them"
    if not job.variables:
        why = "uses no column of the input, so all rows would ask the same: write {{ column }} where it belongs"
        yield (asking,), why
    if isinstance(job.messages, tuple) and job.messages and job.messages[-1].role != "user":
        why = "the last must be the user's: current models refuse an answer that is begun for them (prefill)"
        yield ("messages", len(job.messages) - 1, "role"), why
    for column in job.conversation.histories & {job.input.id, *job.input.optional, *job.output.carry}:
        yield ("messages", "column"), f"`{column}` holds messages: it is no id, not optional and not carried"
    yield from _attachment_problems(job)
    if len(set(job.betas)) < len(job.betas):
        yield ("betas",), "must be different"
    for index, example in enumerate(job.examples):
        try:
            asked(example, job.conversation, job.required)
        except ExampleError as error:
            yield ("examples", index, "row"), str(error)
        try:
            answered(example, job.output)
        except ExampleError as error:
            yield ("examples", index, "answer"), str(error)


def _attachment_problems(job: Job) -> Iterator[Problem]:
    if job.attachments and job.conversation.histories:
        yield ("attachments",), "go with a `prompt`, or with a list of `messages`: a column's are texts only"
    taken = {job.input.id, *job.output.carry, *job.conversation.texts}
    for index, each in enumerate(job.attachments):
        if each.base64 in taken:
            yield ("attachments", index, "base64"), f"`{each.base64}` is used as a text, too, or carried: it is a file"
        if each.base64 is not None and job.skip == "answered":
            yield ("skip",), "`answered` keeps 500 rows in memory, which files in base64 are too large for: use `url`"


def _refused_by_the_api(job: Job, today: date) -> Iterator[Problem]:
    """Yield what the API would refuse, row by row."""
    budget = job.thinking.budget_tokens if isinstance(job.thinking, Budget) else None
    kind = job.thinking.type if isinstance(job.thinking, Budget) else job.thinking
    for field, reason in {
        "model": api_rules.model_problem(job.model, today),
        "max_tokens": api_rules.max_tokens_problem(job.model, job.max_tokens, job.betas),
        "thinking": api_rules.thinking_problem(job.model, kind, budget, job.max_tokens),
    }.items():
        if reason:
            yield (field,), reason
    called = job.output.tool_in(job.params)
    yield from api_rules.params_problems(
        job.params, job.betas, formatted=job.output.text is None, called=job.output.tool is not None
    )
    if called is not None and called[1].get("strict") is not True:  # a strict one was looked at with all tools
        yield from schema_problems(called[1]["input_schema"], ("params", "tools", called[0], "input_schema"))
    if job.retry.cut_off is not None and job.raised_max_tokens is None:
        yield ("retry", "cut_off"), f"`{job.model}` gives no longer answers than `max_tokens` says: delete this"
    yield from api_rules.mixture_problems(job.model, kind, job.params)
    marked = job.cache.when != "never" and (job.system.strip() or job.examples)
    yield from api_rules.breakpoint_problems(job.params, job.cache.ttl if marked else None)
    if job.output.json_schema is not None:
        if job.output.json_schema.get("type") != "object":
            yield ("output", "schema"), "must describe an object: `type: object`"
        yield from schema_problems(job.output.json_schema, ("output", "schema"))


def _problem(error: ErrorDetails) -> Problem:
    """Put one of pydantic's errors into words; never the value that it is about."""
    path: Path = tuple(step for step in error["loc"] if step not in {"word", "budget", "<list>", "<column>"})
    match error["type"]:
        case "missing":
            reason = "is missing"
        case "extra_forbidden":
            reason = _unknown_field(path)
        case "string_type":
            reason = "must be a text; put it in quotes (YAML reads yes, off, 12 and dates as something else)"
        case _:
            reason = error["msg"].removeprefix("Value error, ")
    return path, reason


def _unknown_field(path: Path) -> str:
    """Say what to do about a field that a job does not have."""
    name = str(path[-1])
    if name in api_rules.REFUSED:
        return f"{api_rules.REFUSED[name]}: delete the line"
    if name in api_rules.PASSED:
        return "belongs below `params:`"
    return "no such field: docs/job.schema.json has those there are"


def json_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a job file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Job.model_json_schema()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
