"""From a call's literals to the draft of a job file, with a note for everything that a person must look at."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from nightshift.api_rules import PASSED, REFUSED
from nightshift.errors import BadJob
from nightshift.job import parse_job
from nightshift_cli.scan_calls import Call
from nightshift_cli.scan_template import Template

MODEL, MAX_TOKENS = "claude-haiku-5-5", 1024
"""Of a draft whose call does not say."""

OF_THE_JOB = frozenset({"model", "max_tokens", "max_tokens_to_sample", "messages", "system", "thinking", "prompt"})
ANONYMOUS = frozenset({"main", "__main__", "__init__", "app", "run", "script", "test"})
HTTP = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})
"""Arguments of the SDK that are no part of a request."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job file in the making."""

    name: str
    text: str


@dataclass
class _Sketch:
    """What is known of a job so far."""

    call: Call
    notes: list[str] = field(default_factory=list)

    def literal(self, name: str) -> Any:
        """Return an argument's value where it is a literal, or a name that is set to one; else None, and a note."""
        value = self.call.argument(name)
        if value is None:
            return None
        try:
            return ast.literal_eval(self.known(value))
        except (ValueError, TypeError, RecursionError):
            self.notes.append(f"{name} is `{_short(value)}` there: put its value here")
            return None

    def known(self, value: ast.expr) -> ast.expr:
        """Follow a name that is set once, in the call's function or at the top of its file."""
        if not isinstance(value, ast.Name):
            return value
        return self.call.source.value(value.id, self.call.node) or value


def draft(call: Call, name: str, today: date) -> Draft:
    """Draft the job that would take a call's place."""
    sketch = _Sketch(call)
    if any(each.arg is None for each in call.keywords):
        sketch.notes.append("arguments come from a dictionary (`**`) that scan does not follow: add them")
    job: dict[str, Any] = {"job": name, "input": {"format": "jsonl", "id": "row_number"}}
    job["model"] = _text_or(sketch.literal("model"), MODEL)
    wanted = sketch.literal("max_tokens") or sketch.literal("max_tokens_to_sample")
    job["max_tokens"] = wanted if isinstance(wanted, int) and wanted else MAX_TOKENS
    job["thinking"] = _thinking(sketch)
    prompt = Template(sketch.known)
    if shared := _system(sketch, prompt):
        job["system"] = shared
    messages, attachments = _asked(sketch, prompt)
    messages[0]["content"] = "\n\n".join(filter(None, [prompt.moved, messages[0]["content"]]))
    if not prompt.columns:
        sketch.notes.append("what differs between rows was not found: `body` stands for it")
        messages[-1]["content"] = f"{messages[-1]['content']}\n\n{{{{ body }}}}".strip()
    for part, key in [(job, "system"), *((message, "content") for message in messages)]:
        if key in part:
            part[key] = re.sub(r"[ \t]+$", "", part[key].expandtabs(), flags=re.MULTILINE)  # YAML would need escapes
    job |= {"prompt": messages[0]["content"]} if len(messages) == 1 else {"messages": messages}
    job |= {"attachments": attachments} if attachments else {}
    job["params"], job["output"] = _params(sketch)
    sketch.notes += [
        f"column `{column}` is `{said}` there" for column, said in prompt.columns.items() if column != said
    ]
    job["schedule"] = "upload"
    return Draft(name, _written(sketch, {key: value for key, value in job.items() if value != {}}, today))


def _system(sketch: _Sketch, prompt: Template) -> str:
    """Return what all rows share; a system prompt with something of the row in it goes before the prompt."""
    value = sketch.call.argument("system")
    if value is None:
        return ""
    before = dict(prompt.columns)
    text = prompt.blocks(value)
    if prompt.columns == before:
        return _plain(text)
    prompt.moved = text
    sketch.notes.append("`system` is not the same text for all rows there: it went into the prompt; split it by hand")
    return ""


def _asked(sketch: _Sketch, prompt: Template) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the messages of a call as templates, at least one, and what is attached to the last of the user's."""
    nothing: list[dict[str, str]] = [{"role": "user", "content": ""}]
    old = sketch.call.argument("prompt")
    if old is not None:
        sketch.notes.append("Text Completions there: take `Human:` and `Assistant:` out of the prompt")
        return [{"role": "user", "content": prompt.text(old)}], []
    value = sketch.call.argument("messages")
    messages = sketch.known(value) if value is not None else None
    if not isinstance(messages, ast.List) or not messages.elts:
        sketch.notes.append(
            f"messages is `{_short(value)}` there: put the prompt here" if value else "no messages there"
        )
        return nothing, []
    found = [_message(sketch.known(each)) for each in messages.elts]
    if found[-1][0] == "assistant":
        sketch.notes.append("the answer is begun there (prefill), which current models refuse: say it in the prompt")
        found.pop()
    known = [(role, content) for role, content in found if role in {"user", "assistant"} and content is not None]
    if len(known) < len(found) or not known or known[-1][0] != "user":
        sketch.notes.append(f"some of the {len(messages.elts)} messages there could not be read: put them here")
        known = [each for each in known if each[0] == "user"][-1:]
    # Attachments first: they stand first in the message, and so do their columns in the notes.
    attachments = prompt.attachments(known[-1][1]) if known else []
    if any(prompt.attachments(content) for _, content in known[:-1]):
        sketch.notes.append("earlier messages have pictures or documents there, which a job cannot have")
    return [{"role": role, "content": prompt.blocks(content)} for role, content in known] or nothing, attachments


def _message(value: ast.expr) -> tuple[str, ast.expr | None]:
    """Return a message's role and content."""
    parts: dict[str, ast.expr] = {}
    if isinstance(value, ast.Dict):
        keyed = zip(value.keys, value.values, strict=True)
        parts = {key.value: each for key, each in keyed if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    elif isinstance(value, ast.Call):
        parts = {each.arg: each.value for each in value.keywords if each.arg}
    role = parts.get("role")
    return (str(role.value) if isinstance(role, ast.Constant) else "?"), parts.get("content")


def _thinking(sketch: _Sketch) -> Any:
    given = sketch.literal("thinking")
    if isinstance(given, dict) and given.get("type") in {"adaptive", "between_tools", "disabled"}:
        return given["type"]
    if isinstance(given, dict) and given.get("type") == "enabled":
        sketch.notes.append(
            f"thinking had a budget of {given.get('budget_tokens')} tokens, which models since 4.7 refuse"
        )
        return "adaptive"
    return "disabled"


def _params(sketch: _Sketch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a job passes on, and what an answer is."""
    params: dict[str, Any] = {}
    for each in sketch.call.keywords:
        name = each.arg or ""
        if name in REFUSED and name not in OF_THE_JOB:
            sketch.notes.append(f"{name} ({_short(each.value)}) is dropped: {REFUSED[name]}")
        elif name in PASSED:
            params |= {name: value} if (value := sketch.literal(name)) is not None else {}
        elif name and name not in OF_THE_JOB | HTTP:
            sketch.notes.append(f"{name} ({_short(each.value)}) is left out: a job has no such thing")
    config = params.get("output_config")
    schema = config.pop("format", {}).get("schema") if isinstance(config, dict) else None
    if config == {}:
        del params["output_config"]
    schema = schema or _forced_tool(sketch, params)
    if isinstance(schema, dict):
        return params, {"schema": schema}
    if params.get("tools"):
        sketch.notes.append("the answer may be a call of a tool: a job keeps it, and runs no tool")
    return params, {"text": True}


def _forced_tool(sketch: _Sketch, params: dict[str, Any]) -> Any:
    """Return the input schema of a tool that is called for its input's sake: a schema asks for the same."""
    name = (params.get("tool_choice") or {}).get("name")
    schemas = [each.get("input_schema") for each in params.get("tools") or () if name and each.get("name") == name]
    schema = schemas[0] if schemas else None
    if schema:
        del params["tools"], params["tool_choice"]
        sketch.notes.append(
            f"tool `{name}` was forced for its input: `output.schema` asks for the same, on every model"
        )
        schema = {"additionalProperties": False, **schema}
    return schema


def _text_or(value: Any, otherwise: str) -> str:
    return re.sub(r"^[\w.]*anthropic[./]", "", value) if isinstance(value, str) and value else otherwise


def _plain(template: str) -> str:
    """Undo the escapes of a template: `system` is none."""
    return re.sub(r"\{\{ '([^']*)' \}\}", r"\1", template)


def _short(value: ast.expr) -> str:
    text = " ".join(ast.unparse(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - a note is a line


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they read."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def _written(sketch: _Sketch, job: Mapping[str, Any], today: date) -> str:
    """Return the file: notes first, and among them what keeps it from being a job."""
    body = yaml.dump(dict(job), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    head = ["# yaml-language-server: $schema=../docs/job.schema.json"]
    notes = [f"drafted from {sketch.call.source.path}:{sketch.call.line}; look at each of these:", *sketch.notes]
    notes += [f"mend: {problem}" for problem in _problems(body, job["job"], today)]
    return "\n".join([*head, *(f"# - {note}" if at else f"# {note}" for at, note in enumerate(notes)), body])


def _problems(body: str, name: str, today: date) -> Iterator[str]:
    try:
        parse_job(body.encode(), name=name, key="", today=today)
    except BadJob as error:
        yield from (re.sub(r"^:\d+: ", "", line) for line in str(error).splitlines())


def names(calls: Sequence[Call]) -> Iterator[str]:
    """Yield a name for each call's job: that of its function, or of its file, or of that's folder."""
    given: dict[str, int] = {}
    for call in calls:
        function = call.source.function_of(call.node)
        path = Path(call.source.path)
        stem = path.stem if path.stem not in ANONYMOUS else path.absolute().parent.name
        words = re.sub(r"[^a-z0-9]+", "-", (function.name if function else stem).lower()).strip("-")[:40] or "job"
        given[words] = given.get(words, 0) + 1
        yield words if given[words] == 1 else f"{words}-{given[words]}"
