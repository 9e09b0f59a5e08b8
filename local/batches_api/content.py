"""Prompts: the blocks they are made of, in the order in which they are cached, and what is wrong with them.

Messages marked *seen* stand in public threads about the live API; the others are assumed in pydantic's words, which the
service's own validation uses.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from . import schema
from .rows import RowError, extra, invalid, required

type Json = dict[str, Any]

SAMPLING_FREE = "2026-10-21"
"""The API version that also refuses documents in assistant messages and citations on user text."""

MAX_MESSAGES = 100_000
MAX_BREAKPOINTS = 4
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")

BLOCK_TYPES = frozenset(
    {
        *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "container_upload"),
        *("tool_use", "tool_result", "tool_reference", "tool_search_tool_result", "server_tool_use"),
        *("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "browser_state"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
    }
)
"""`types/content_block_param.py` of the SDK 2.12."""

TEXT_KEYS = frozenset({"type", "text", "cache_control", "citations"})
MESSAGE_KEYS = frozenset({"role", "content"})

BEGINNINGS = {
    "image/jpeg": b"\xff\xd8",
    "image/png": b"\x89PNG",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF",
}
MEDIA_TYPES = {
    "image": tuple(kind for kind in BEGINNINGS if kind.startswith("image/")),
    "document": ("application/pdf",),
}
"""`types/base64_image_source_param.py` and `base64_pdf_source_param.py` of the SDK 2.12."""
MAX_IMAGE = 5 * 1024 * 1024
"""Bytes of base64."""

UNFETCHABLE = "Unable to download the file. Please verify the URL and try again."


class Block(NamedTuple):
    """One block of a prompt."""

    path: str
    """Where it stands, as error messages say it."""
    role: str
    """`tools`, `system`, `user` or `assistant`."""
    value: Json


def blocks(params: Json) -> Iterator[Block]:
    """Yield a prompt's blocks in cache order (tools, system, messages); plain strings count as one text block."""
    for i, tool in enumerate(params.get("tools") or ()):
        yield Block(f"tools.{i}", "tools", tool)
    yield from _content("system", "system", params.get("system") or [])
    for i, message in enumerate(params.get("messages") or ()):
        yield from _content(f"messages.{i}.content", message["role"], message["content"])


def _content(path: str, role: str, content: str | list[Json]) -> Iterator[Block]:
    if isinstance(content, str):
        yield Block(path, role, {"type": "text", "text": content})
        return
    for i, value in enumerate(content):
        yield Block(f"{path}.{i}", role, value)


def user_text(params: Json) -> str:
    """Return the text of the last user message: what the stand-in for a model reads."""
    for message in reversed(params["messages"]):
        if message["role"] == "user":
            texts = (block.value.get("text") for block in _content("", "user", message["content"]))
            return "\n".join(text for text in texts if text)
    return ""


def problems(params: Json, version: str) -> Iterator[RowError]:
    """Yield what is wrong with the shape of tools, system and messages, first things first."""
    yield from _shape(params)
    marks = []
    for block in blocks(params):
        yield from _block(block, version)
        if block.value.get("cache_control") is not None:
            marks.append(block)
    yield from _breakpoints(marks, params)


def _shape(params: Json) -> Iterator[RowError]:
    """Yield what would keep `blocks` from walking over the prompt."""
    messages = params.get("messages")
    if messages is None:
        yield required("messages")
        return
    if not isinstance(messages, list):
        yield invalid("messages: Input should be a valid list")
        return
    if not messages:
        yield invalid("messages: at least one message is required")  # seen
    if len(messages) > MAX_MESSAGES:
        yield invalid(f"messages: List should have at most {MAX_MESSAGES} items after validation, not {len(messages)}")
    for i, message in enumerate(messages):
        yield from _message(f"messages.{i}", message)
    yield from _content_shape("system", params.get("system") or "")
    yield from _content_shape("tools", params.get("tools") or [])


def _message(path: str, message: object) -> Iterator[RowError]:
    if not isinstance(message, dict):
        yield invalid(f"{path}: Input should be a valid dictionary")
        return
    if "role" not in message:
        yield required(f"{path}.role")
    elif message["role"] not in {"user", "assistant"}:
        yield invalid(f"{path}.role: Input should be 'user' or 'assistant'")
    if "content" not in message:
        yield required(f"{path}.content")
        return
    for key in message.keys() - MESSAGE_KEYS:
        yield extra(f"{path}.{key}")
    if message["content"] in ("", []):
        yield invalid(  # seen
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    yield from _content_shape(f"{path}.content", message["content"])


def _content_shape(path: str, content: object) -> Iterator[RowError]:
    if isinstance(content, str) and path != "tools":
        return
    if not isinstance(content, list):
        yield invalid(f"{path}: Input should be a valid list")
        return
    for i, value in enumerate(content):
        if not isinstance(value, dict):
            yield invalid(f"{path}.{i}: Input should be a valid dictionary")


def _block(block: Block, version: str) -> Iterator[RowError]:
    path, role, value = block
    if role == "tools":
        yield from _tool(path, value)
        return
    kind = value.get("type")
    if kind is None:
        yield required(f"{path}.type")
    elif kind not in BLOCK_TYPES:
        yield invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    elif kind == "text":
        yield from _text(block, version)
    elif kind in {"image", "document"}:
        yield from _file(block, version)


def _tool(path: str, tool: Json) -> Iterator[RowError]:
    """Yield what is wrong with a tool; only those that the client runs have a schema of their own."""
    if tool.get("type") == "mcp_toolset":  # is named for its server (`types/beta/beta_mcp_toolset_param.py`)
        if not isinstance(tool.get("mcp_server_name"), str):
            yield required(f"{path}.mcp_toolset.mcp_server_name")
        return
    name, custom = tool.get("name"), tool.get("type", "custom") == "custom"
    if not isinstance(name, str):
        yield required(f"{path}.custom.name" if custom else f"{path}.name")
    elif custom and not TOOL_NAME.fullmatch(name):
        yield invalid(f"{path}.custom.name: String should match pattern '^{TOOL_NAME.pattern}$'")  # seen
    if custom and not isinstance(tool.get("input_schema"), dict):
        yield required(f"{path}.custom.input_schema")  # seen
    elif custom and tool["input_schema"].get("type") is None:
        yield required(f"{path}.custom.input_schema.type")  # seen
    elif custom and tool["input_schema"]["type"] != "object":
        yield invalid(f"{path}.custom.input_schema.type: Input should be 'object'")  # seen
    elif custom and tool.get("strict"):
        yield from schema.problems(tool["input_schema"], f"{path}.custom.input_schema")


def _text(block: Block, version: str) -> Iterator[RowError]:
    path, role, value = block
    text = value.get("text")
    if text is None:
        yield required(f"{path}.text.text")
    elif not isinstance(text, str):
        yield invalid(f"{path}.text.text: Input should be a valid string")
    elif not text:
        yield invalid(f"{path.split('.')[0]}: text content blocks must be non-empty")  # seen
    for key in value.keys() - TEXT_KEYS:
        yield extra(f"{path}.text.{key}")
    if version >= SAMPLING_FREE and role == "user" and value.get("citations"):
        yield extra(f"{path}.text.citations")


def _file(block: Block, version: str) -> Iterator[RowError]:
    path, role, value = block
    if version >= SAMPLING_FREE and role == "assistant" and value["type"] == "document":
        yield invalid(f"{path}: `document` blocks are not permitted in assistant messages")
    source = value.get("source")
    if not isinstance(source, dict):
        yield required(f"{path}.{value['type']}.source")
    elif source.get("type") == "base64":
        yield from _encoded(f"{path}.{value['type']}.source.base64", value["type"], source)
    elif source.get("type") == "url" and urlsplit(str(source.get("url"))).scheme != "https":
        yield invalid(f"{path}.{value['type']}.source.url.url: Only HTTPS URLs are supported.")
    elif source.get("type") == "url" and (urlsplit(str(source.get("url"))).hostname or "").endswith(".invalid"):
        # Nothing is fetched from a desk; a host that can never exist is what a client's test can name.
        yield RowError("invalid_request_error", UNFETCHABLE, by_worker=True)


def _encoded(path: str, kind: str, source: Json) -> Iterator[RowError]:
    """Yield what is wrong with a file in base64; the size's words are seen, the others assumed."""
    allowed = MEDIA_TYPES[kind]
    if source.get("media_type") not in allowed:
        yield invalid(f"{path}.media_type: Input should be {' or '.join(map(repr, allowed))}")
        return
    data = source.get("data")
    if not isinstance(data, str) or not data:
        yield required(f"{path}.data")
        return
    if kind == "image" and len(data) > MAX_IMAGE:
        yield invalid(f"{path}: image exceeds 5 MB maximum: {len(data)} bytes > {MAX_IMAGE} bytes")
    try:
        head = binascii.a2b_base64(data, strict_mode=True)[:12]
    except ValueError:
        yield invalid(f"{path}: invalid base64 data")
        return
    begins = BEGINNINGS[source["media_type"]]
    if not head.startswith(begins):
        yield invalid(f"{path}: {kind} does not match the provided media type {source['media_type']}")


def _breakpoints(marks: list[Block], params: Json) -> Iterator[RowError]:
    found = len(marks) + (params.get("cache_control") is not None)
    if found > MAX_BREAKPOINTS:
        yield invalid(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {found}."
        )  # seen
    short = False
    for path, _role, value in marks:
        control = value["cache_control"]
        if not isinstance(control, dict) or control.get("type") != "ephemeral":
            yield invalid(f"{path}.cache_control: Input should be of type 'ephemeral'")
            return
        ttl = control.get("ttl", "5m")
        if ttl not in {"5m", "1h"}:
            yield invalid(f"{path}.cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
        if ttl == "1h" and short:
            yield invalid(
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control"
                " block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short = short or ttl == "5m"
