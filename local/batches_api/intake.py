"""A create's body → a spool of requests, and create's own refusals.

The body lies on disk and is mapped, not read; its requests become Python objects one at a time. What is looked at here
is what the service looks at before it answers create: the JSON, the list, the custom_ids. `params` may hold anything.
"""

import hashlib
import mmap
import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .errors import ApiError, invalid_request

PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LONGEST_ID = 64
REQUESTS = "requests.jsonl"


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One request of a batch."""

    custom_id: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spool:
    """A batch's requests on disk, one compact JSON line each, in the order in which they were sent."""

    path: Path
    offsets: "array[int]"
    """Where each line starts, and where the last one ends."""
    ids_sha256: str
    """Of the custom_ids in that order, each followed by a newline."""
    first_id: str
    last_id: str

    @property
    def rows(self) -> int:
        """How many requests."""
        return len(self.offsets) - 1


def spool(body: Path, folder: Path, max_requests: int) -> Spool:
    """Split a create's body into requests.

    Raises:
        ApiError: 400, as create refuses it; nothing of the batch is kept then.
    """
    if body.stat().st_size == 0:
        raise _not_json("EOF while parsing a value at line 1 column 0")
    with body.open("rb") as file:
        # Never closed by hand: the undecoded requests are views of it, and it goes when the last of them does.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _write(_requests(data, max_requests), folder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(str(error)) from None


def _requests(data: mmap.mmap, max_requests: int) -> list[msgspec.Raw]:
    """Return the list's items, still undecoded views of the body."""
    try:
        top = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise invalid_request("Input should be a valid dictionary") from None
    for key in top.keys() - {"requests"}:
        raise invalid_request(f"{key}: Extra inputs are not permitted")
    if "requests" not in top:
        raise invalid_request("requests: Field required")
    try:
        requests = msgspec.json.decode(top["requests"], type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise invalid_request("requests: Input should be a valid list") from None
    if not requests:
        raise invalid_request("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > max_requests:  # assumed, in the words of the message above
        count = f"at most {max_requests} items after validation, not {len(requests)}"
        raise invalid_request(f"requests: List should have {count}")
    return requests


def _write(requests: list[msgspec.Raw], folder: Path) -> Spool:
    decode, encode = msgspec.json.Decoder(Item).decode, msgspec.json.Encoder().encode
    offsets, seen, digest = array("Q", [0]), set[str](), hashlib.sha256()
    duplicate, first, name = None, "", ""
    path = folder / REQUESTS
    with path.open("wb") as out:
        for index, raw in enumerate(requests):
            try:
                item = decode(raw)
            except msgspec.ValidationError:
                raise _refusal(index, msgspec.json.decode(raw)) from None
            name = item.custom_id
            if not PATTERN.fullmatch(name):
                raise _bad_id(index, name)
            if name in seen and duplicate is None:
                duplicate = name
            seen.add(name)
            digest.update(name.encode() + b"\n")
            offsets.append(offsets[-1] + out.write(encode(item) + b"\n"))
            first = first or name
    if duplicate is not None:
        reason = f"custom_id's must be unique within a batch. Duplicate custom_id found: {duplicate}"
        raise invalid_request(f"requests: {reason}")
    return Spool(path, offsets, digest.hexdigest(), first, name)


def _refusal(index: int, item: object) -> ApiError:
    """Return what create says about an item that is not one."""
    path = f"requests.{index}"
    if not isinstance(item, dict):
        return invalid_request(f"{path}: Input should be a valid dictionary")
    if "custom_id" not in item:
        return invalid_request(f"{path}.custom_id: Field required")
    if not isinstance(item["custom_id"], str):
        return invalid_request(f"{path}.custom_id: Input should be a valid string")
    if not PATTERN.fullmatch(item["custom_id"]):
        return _bad_id(index, item["custom_id"])
    if "params" not in item:
        return invalid_request(f"{path}.params: Field required")
    if not isinstance(item["params"], dict):
        return invalid_request(f"{path}.params: Input should be a valid dictionary")
    unknown = sorted(item.keys() - {"custom_id", "params"})
    return invalid_request(f"{path}.{unknown[0]}: Extra inputs are not permitted")


def _bad_id(index: int, custom_id: str) -> ApiError:
    if len(custom_id) > LONGEST_ID:
        return invalid_request(f"requests.{index}.custom_id: String should have at most {LONGEST_ID} characters")
    return invalid_request(f"requests.{index}.custom_id: String should match pattern '^{PATTERN.pattern}$'")


def _not_json(reason: str) -> ApiError:
    return invalid_request(f"The request body is not valid JSON: {reason}")
