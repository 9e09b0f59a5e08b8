"""Attachments: a row's pictures and documents, as blocks before the text of its message.

What the API refuses of one row by row is found here, as far as it can be seen without looking at the picture: fetching
what an address leads to, and counting pixels and pages, is the API's.
"""

import binascii
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from nightshift.api_rules import MOST_ENCODED
from nightshift.input_codes import InputCode, RowFault
from nightshift.job_sections import Attachment
from nightshift.prompt import Prompt, PromptError

_HEAD = 16
"""Characters of base64 that hold the first 12 bytes of a file: enough to tell what it is."""
_BEGINNINGS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
}
_encode = msgspec.json.Encoder().encode


class Attachments:
    """Makes the blocks of a job's attachments."""

    def __init__(self, wanted: Sequence[Attachment]) -> None:
        """Compile the templates of addresses.

        Raises:
            PromptError: one cannot be used.
        """
        self._wanted = [(each, Prompt(each.url) if each.url is not None else None) for each in wanted]
        self.files = frozenset(each.base64 for each in wanted if each.base64 is not None)
        """Columns that hold a file in base64."""
        self.columns = self.files.union(*(prompt.variables for _, prompt in self._wanted if prompt is not None))

    def blocks(self, values: Mapping[str, str]) -> Iterator[bytes]:
        """Yield a row's blocks as JSON; none for an attachment that is empty.

        Raises:
            RowFault: the API would refuse one.
        """
        for number, (each, prompt) in enumerate(self._wanted, 1):
            if prompt is not None:
                if address := _address(prompt, values, number):
                    yield _block(each.type, b'"url","url":' + _encode(address))
            elif each.base64 is not None and (data := values[each.base64]):
                kind = _encode(_kind(each, data, number))
                yield _block(each.type, b'"base64","media_type":' + kind + b',"data":"' + data.encode() + b'"')


def _block(kind: str, source: bytes) -> bytes:
    return b'{"type":"%s","source":{"type":%s}}' % (kind.encode(), source)


def _address(prompt: Prompt, values: Mapping[str, str], number: int) -> str:
    """Return the address that a template makes; empty where nothing comes out."""
    try:
        address = msgspec.json.decode(prompt.render(values) or b'""', type=str).strip()
    except PromptError as error:
        raise RowFault(InputCode.NOT_RENDERED, f"attachment {number}: {error}") from None
    try:
        good = not address or (address.isprintable() and " " not in address and _is_https(address))
    except ValueError:
        good = False
    if not good:
        raise RowFault(InputCode.BAD_URL, f"attachment {number}: must be an address that begins with https://")
    return address


def _is_https(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.hostname)


def _kind(wanted: Attachment, data: str, number: int) -> str:
    """Return a file's media type, by its first bytes."""
    if len(data) > MOST_ENCODED[wanted.type]:
        size = f"{len(data):,} bytes of base64, and the API takes {MOST_ENCODED[wanted.type]:,}"
        raise RowFault(InputCode.ATTACHMENT_TOO_LARGE, f"attachment {number}: {size}")
    if data.startswith("data:"):
        raise RowFault(InputCode.BAD_BASE64, f"attachment {number}: leave out what stands before the base64, `data:…,`")
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise RowFault(InputCode.BAD_BASE64, f"attachment {number}: {_words(error)}") from None
    kind = _told(binascii.a2b_base64(data[:_HEAD]))
    if not kind.startswith("image/" if wanted.type == "image" else "application/pdf"):
        known = "JPEG, PNG, GIF or WebP" if wanted.type == "image" else "PDF"
        raise RowFault(InputCode.BAD_MEDIA_TYPE, f"attachment {number}: is no {known}")
    if wanted.media_type not in {None, kind}:
        raise RowFault(InputCode.BAD_MEDIA_TYPE, f"attachment {number}: is {kind}, not {wanted.media_type}")
    return kind


def _words(error: ValueError) -> str:
    """Say what Python found, without what it may quote."""
    return str(error) if isinstance(error, binascii.Error) else "is not base64"


def _told(head: bytes) -> str:
    """Tell a file's media type by its first bytes; empty where it is none that the API takes."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begins, kind in _BEGINNINGS.items() if head.startswith(begins)), "")
