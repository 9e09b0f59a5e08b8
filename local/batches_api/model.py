"""A stand-in for a model: no intelligence, the same answer to the same request, the service's shapes.

* With `output_config.format` it answers with a value that conforms to the schema: for an `enum` the value whose words
  the last user message has most of ("I was billed twice" → `billing`), else one fixed by a hash of that text;
  everything else by a line of that text with such a label (`Total: 12.50`), or filled by type. With a tool of the
  client's own, the tool's input likewise; where nothing forces the call, one text of ten is answered by a text.
  Otherwise sentences made of the text's labelled lines, or a short one that says what it is.
* It "thinks" for a fixed number of tokens by effort where thinking is on (asked for, or the model's default), and the
  thinking counts towards `max_tokens`: a small limit yields a thinking block and nothing else, as on Haiku 5.5.
* An answer that does not fit `max_tokens` is cut there, with `stop_reason: max_tokens`.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from .catalog import Model
from .content import Json, user_text
from .reading import A_SHEET, facts, prose
from .schema import Filler
from .usage import CHARACTERS_PER_TOKEN, tokens

THINKING_TOKENS = {"low": 24, "medium": 64, "high": 160, "xhigh": 320, "max": 640}
"""By effort; invented."""

UNCALLED = 10
"""One text of so many is answered without a call of a tool, where nothing forces it; invented."""

SHOWN_WORDS = 8
"""Words of the request that a free text answer repeats."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stand-in says."""

    content: list[Json]
    stop_reason: str
    output_tokens: int
    thinking_tokens: int = 0
    stop_sequence: str | None = None
    stop_details: Json | None = None

    def message(self, message_id: str, model: str, usage: dict[str, Any]) -> Json:
        """Return the `message` object, keys in the recorded order."""
        return {
            "model": model,
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "content": self.content,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
            "usage": usage,
        }


REFUSAL = Answer(
    content=[],
    stop_reason="refusal",
    output_tokens=1,
    stop_details={"type": "refusal", "category": "general_harms", "explanation": None},
)


def answer(params: Json, model: Model, *, shout: bool = False, broken: bool = False, cut: bool = False) -> Answer:
    """Answer a valid request.

    Args:
        params: the request.
        model: the model it names.
        shout: put enum values in upper case.
        broken: leave the closing brace out of a structured answer, or all out of a tool's input, and still end.
        cut: stop as if `max_tokens` were half of what the answer needs.
    """
    thinking = _thinking(params, model)
    block, size = _block(params, shout=shout)
    called, text = block["type"] == "tool_use", block.get("text", "")
    if broken and called:
        block["input"] = {}
    elif broken:
        text = block["text"] = text[:-1]
    room = params["max_tokens"] - (tokens(thinking[0]["signature"]) if thinking else 0)
    spent = params["max_tokens"] - room
    if cut:
        room = min(room, size // 2)
    if room <= 0:
        return Answer(thinking, "max_tokens", params["max_tokens"], params["max_tokens"] if thinking else 0)
    if size > room:
        kept = block | ({"input": {}} if called else {"text": text[: room * CHARACTERS_PER_TOKEN]})
        return Answer([*thinking, kept], "max_tokens", spent + room, spent)
    stop = next((s for s in params.get("stop_sequences") or () if s and s in text), None)
    if stop is not None:
        block, size = _text(text[: text.index(stop)])
        return Answer([*thinking, block], "stop_sequence", spent + size, spent, stop)
    return Answer([*thinking, block], "tool_use" if called else "end_turn", spent + size, spent)


def _thinking(params: Json, model: Model) -> list[Json]:
    """Return the thinking block, if there is thinking; its signature is as long as the thinking counts."""
    asked = params.get("thinking") or {"type": "adaptive" if model.thinks_unasked else "disabled"}
    if asked["type"] not in {"adaptive", "enabled"}:
        return []
    effort = (params.get("output_config") or {}).get("effort") or "medium"
    shown = "Nothing was thought: this is a stand-in for a model." if asked.get("display") == "summarized" else ""
    signature = _hash(user_text(params)) * (THINKING_TOKENS[effort] * CHARACTERS_PER_TOKEN // 16)
    return [{"type": "thinking", "thinking": shown, "signature": signature}]


def _block(params: Json, *, shout: bool) -> tuple[Json, int]:
    """Return the answer's block and its size in tokens."""
    text = user_text(params)
    form = (params.get("output_config") or {}).get("format")
    if form is not None:
        value = Filler(form["schema"], text, shout=shout).value(form["schema"])
        return _text(msgspec.json.encode(value).decode())
    if (tool := _called(params, text)) is not None:
        return _tool_use(tool, text, shout=shout)
    if len(said := facts(text)) >= A_SHEET:
        return _text(f"Stand-in text {_hash(text)[:8]}. {prose(said, int(_hash(text), 16))}")
    words = " ".join(text.split()[:SHOWN_WORDS])
    return _text(f"Stand-in answer {_hash(text)[:8]} to: {words}")


def _text(text: str) -> tuple[Json, int]:
    return {"type": "text", "text": text}, tokens(text)


def _called(params: Json, text: str) -> Json | None:
    """Return the tool that is called: the one that is named, else the first that the client runs."""
    choice = params.get("tool_choice") or {"type": "auto"}
    tools = [tool for tool in params.get("tools") or () if tool.get("type", "custom") == "custom"]
    named = [tool for tool in tools if tool["name"] == choice.get("name")]
    forced = choice["type"] in {"any", "tool"}
    if choice["type"] == "none" or not (forced or int(_hash(text), 16) % UNCALLED):
        return None
    return next(iter(named or tools), None)


def _tool_use(tool: Json, text: str, *, shout: bool) -> tuple[Json, int]:
    schema = tool["input_schema"]
    value = Filler(schema, text, shout=shout).value({"type": "object", **schema})
    block = {"type": "tool_use", "id": f"toolu_01{_hash(text)}", "name": tool["name"], "input": value}
    return block, tokens(msgspec.json.encode(value).decode())


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
