"""Result lines as the Message Batches API writes them."""

import json
from typing import Any

USAGE = {
    "input_tokens": 16,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 5,
    "service_tier": "batch",
    "inference_geo": "not_available",
}


def line(custom_id: str, result: dict[str, Any]) -> bytes:
    return json.dumps({"custom_id": custom_id, "result": result}).encode() + b"\n"


def succeeded(custom_id: str, text: str | None = None, **changes: Any) -> bytes:
    message = {
        "model": "claude-haiku-5-5",
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": USAGE,
    }
    return line(custom_id, {"type": "succeeded", "message": message | changes})


def labelled(custom_id: str, label: str = "billing") -> bytes:
    return succeeded(custom_id, json.dumps({"label": label}))


def errored(custom_id: str, kind: str = "overloaded_error", message: str = "Overloaded") -> bytes:
    inner = {"details": {"error_visibility": "user_facing"}, "type": kind, "message": message}
    return line(custom_id, {"type": "errored", "error": {"type": "error", "error": inner, "request_id": None}})


def expired(custom_id: str) -> bytes:
    return line(custom_id, {"type": "expired"})


def canceled(custom_id: str) -> bytes:
    return line(custom_id, {"type": "canceled"})
