"""Every way in which Python code asks Claude for an answer at once, and pays the synchronous price for it."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nightshift_cli.scan_source import Source, dotted

METHODS = frozenset({"create", "stream", "parse", "tool_runner"})
RAW = frozenset({"with_raw_response", "with_streaming_response"})
ELSEWHERE = frozenset({"to", "from_", "body", "thread_id", "chat_id"})
"""Keywords of `messages.create` in other SDKs: Twilio's, OpenAI's threads."""

LIBRARIES = frozenset({"langchain_anthropic", "litellm", "pydantic_ai", "llama_index.llms.anthropic", "aisuite"})
"""Packages that call Claude on behalf of whoever imports them."""

ADDRESS = re.compile(r"^(https?://[^\s/]+)?/v1/(messages|complete)/?(\?\S*)?$")
BEDROCK = frozenset({"invoke_model", "invoke_model_with_response_stream", "converse", "converse_stream"})


class Kind(StrEnum):
    """How Claude is called."""

    SYNC = "sync"
    ASYNC = "async"
    BEDROCK = "bedrock"
    """By boto3; the SDK's Bedrock clients are `sync` and `async`."""
    HTTP = "http"
    LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class Call:
    """One place that asks."""

    source: Source
    node: ast.expr | ast.stmt
    line: int
    kind: Kind
    what: str
    """`messages.create`, or what else it is."""
    client: str = ""
    """The client's class, where the file tells."""
    keywords: Sequence[ast.keyword] = ()

    @property
    def streams(self) -> bool:
        """True where the answer is read as it is written."""
        told = any(k.arg == "stream" and isinstance(k.value, ast.Constant) and k.value.value for k in self.keywords)
        return told or self.what.endswith(("stream", "response_stream"))

    def argument(self, name: str) -> ast.expr | None:
        """Return what a keyword is given."""
        return next((each.value for each in self.keywords if each.arg == name), None)


def calls(sources: Sequence[Source]) -> Iterator[Call]:
    """Yield every call of a project, in order."""
    known = any("anthropic" in source.packages for source in sources)
    for source in sources:
        found = {(call.line, call.what): call for call in _calls(source, known=known)}
        yield from sorted(found.values(), key=lambda call: call.line)


def _calls(source: Source, *, known: bool) -> Iterator[Call]:
    constants = [node for node in ast.walk(source.tree) if isinstance(node, ast.Constant)]
    texts = [(node, node.value) for node in constants if isinstance(node.value, str)]
    claude = any("anthropic." in text or "claude" in text for _, text in texts)
    for constant, text in texts:
        if ADDRESS.search(text):
            yield Call(source, constant, constant.lineno, Kind.HTTP, "an address of the Messages API")
    for name, line in source.imported.items():
        if library := next((each for each in LIBRARIES if f"{name}.".startswith(f"{each}.")), None):
            yield Call(source, source.tree.body[0], line, Kind.LIBRARY, library)
    for node in (each for each in ast.walk(source.tree) if isinstance(each, ast.Attribute)):
        up = source.parents[node]
        if node.attr in BEDROCK and claude and isinstance(up, ast.Call) and up.func is node:
            yield Call(source, up, up.lineno, Kind.BEDROCK, node.attr, "boto3", up.keywords)
        elif (found := _endpoint(source, node)) is not None:
            yield from _call(source, node, *found, known=known)


def _endpoint(source: Source, node: ast.Attribute) -> tuple[ast.expr, str] | None:
    """Return the client and the endpoint of `<client>.messages.create` and its kin, or None."""
    if node.attr not in METHODS:
        return None
    resource = _meant(source, node.value)
    if isinstance(resource, ast.Attribute) and resource.attr in RAW:
        resource = _meant(source, resource.value)
    if not isinstance(resource, ast.Attribute) or resource.attr not in {"messages", "completions"}:
        return None
    if resource.attr == "completions" and node.attr != "create":
        return None
    client = _meant(source, resource.value)
    beta = isinstance(client, ast.Attribute) and client.attr == "beta"
    if isinstance(client, ast.Attribute) and beta:
        client = client.value
    return client, f"{'beta.' * beta}{resource.attr}.{node.attr}"


def _meant(source: Source, value: ast.expr) -> ast.expr:
    """Follow a name that is set to `<client>.messages` or `<client>.beta`."""
    for each in source.bound.get(dotted(value), ()):
        if isinstance(each, ast.Attribute) and each.attr in {"messages", "completions", "beta"}:
            return each
    return value


def _call(source: Source, node: ast.Attribute, client: ast.expr, what: str, *, known: bool) -> Iterator[Call]:
    up = source.parents[node]
    call = up if isinstance(up, ast.Call) else None  # else it is passed on, and whoever gets it is not seen
    keywords = call.keywords if call else []
    names = {each.arg for each in keywords}
    of = source.client(client)
    if of is None:
        other = names & ELSEWHERE or {"threads", "chat"} & set(ast.unparse(client).split("."))
        if other or (what == "completions.create" and "max_tokens_to_sample" not in names):
            return
        if not known and not {"messages", "max_tokens"} <= names:
            return
    place: ast.expr = call or node
    awaited = isinstance(source.parents[place], ast.Await | ast.AsyncFor) or source.parents[place] in _async_items(
        source
    )
    kind = Kind.ASYNC if (of or "").startswith("Async") or (of is None and awaited) else Kind.SYNC
    yield Call(source, place, node.end_lineno or node.lineno, kind, what, of or "", keywords)


def _async_items(source: Source) -> set[ast.AST]:
    return {item for node in ast.walk(source.tree) if isinstance(node, ast.AsyncWith) for item in node.items}
