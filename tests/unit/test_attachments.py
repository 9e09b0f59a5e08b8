"""Pictures and documents: the blocks that are sent of them, and the rows that the API would refuse."""

import json
from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest

from nightshift import rows
from nightshift.api_rules import MOST_ENCODED
from nightshift.input_codes import InputCode, RowFault
from nightshift.job import Job
from nightshift.model import Reject, Row
from nightshift.records import InputSpec
from nightshift.requests import question_digest
from tests.unit.test_conversation import refusal, sent
from tests.unit.test_requests import job

PNG = b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
FILES = {
    "image/jpeg": b64encode(b"\xff\xd8\xff\xe0").decode(),
    "image/png": PNG,
    "image/gif": b64encode(b"GIF89a..").decode(),
    "image/webp": b64encode(b"RIFF\0\0\0\0WEBPVP8 ").decode(),
    "application/pdf": b64encode(b"%PDF-1.7\n").decode(),
}
PHOTO = {"type": "image", "base64": "photo"}
LINK = {"type": "image", "url": "https://img.example/{{ sku }}.jpg"}
PROMPT = {"type": "text", "text": "What is it?"}


def attached(*attachments: Mapping[str, Any], **fields: Any) -> Job:
    return job(**{"prompt": "What is it?", "attachments": list(attachments)} | fields)


def fault(made: Job, **values: Any) -> tuple[InputCode, str]:
    with pytest.raises(RowFault) as caught:
        sent(made, **values)
    return caught.value.code, caught.value.detail


def read(made: Job, **values: Any) -> Row | Reject:
    line = json.dumps({"id": "1"} | values).encode() + b"\n"
    (found,) = rows.read(BytesIO(line), InputSpec.of(made), file=0, digest="d")
    return found


def test_what_is_attached_stands_before_the_text_of_the_last_message() -> None:
    paper = {"type": "document", "base64": "paper", "media_type": "application/pdf"}
    turns = [{"role": "assistant", "content": "{{ sku }}"}, {"role": "user", "content": "What is it?"}]
    made = attached(LINK, PHOTO, paper, prompt=None, messages=[{"role": "user", "content": "Hi"}, *turns])

    assert made.variables == {"sku", "photo", "paper"}
    assert sent(made, sku="7", photo=PNG, paper=FILES["application/pdf"])[1:] == [
        {"role": "assistant", "content": "7"},
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://img.example/7.jpg"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": FILES["application/pdf"]},
                },
                PROMPT,
            ],
        },
    ]


@pytest.mark.parametrize("kind", FILES)
def test_the_first_bytes_tell_what_a_file_is(kind: str) -> None:
    wanted = "image" if kind.startswith("image/") else "document"
    (message,) = sent(attached({"type": wanted, "base64": "file"}), file=FILES[kind])
    assert message["content"][0]["source"]["media_type"] == kind


def test_an_attachment_that_is_optional_and_empty_is_left_out() -> None:
    made = attached(
        PHOTO, {"type": "image", "url": "{{ url }}"}, input={"format": "jsonl", "optional": ["photo", "url"]}
    )
    found = read(made, photo=" ", url=None)
    assert isinstance(found, Row)
    assert sent(made, **found.values) == [{"role": "user", "content": [PROMPT]}]


@pytest.mark.parametrize(
    ("attachment", "value", "code", "detail"),
    [
        (PHOTO, "not base64!", InputCode.BAD_BASE64, "attachment 1: "),
        (PHOTO, PNG[:-1], InputCode.BAD_BASE64, "attachment 1: "),
        (PHOTO, f"{PNG[:8]}\n{PNG[8:]}", InputCode.BAD_BASE64, "attachment 1: "),
        (PHOTO, f"data:image/png;base64,{PNG}", InputCode.BAD_BASE64, "attachment 1: leave out what stands before"),
        (PHOTO, FILES["application/pdf"], InputCode.BAD_MEDIA_TYPE, "attachment 1: is no JPEG, PNG, GIF or WebP"),
        (PHOTO | {"type": "document"}, PNG, InputCode.BAD_MEDIA_TYPE, "attachment 1: is no PDF"),
        (PHOTO, b64encode(b"BM bitmap").decode(), InputCode.BAD_MEDIA_TYPE, "attachment 1: is no JPEG, PNG"),
        (PHOTO, b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode(), InputCode.BAD_MEDIA_TYPE, "attachment 1: is no JPEG, PNG"),
        (
            PHOTO | {"media_type": "image/jpeg"},
            PNG,
            InputCode.BAD_MEDIA_TYPE,
            "attachment 1: is image/png, not image/jpeg",
        ),
        (
            PHOTO,
            PNG + "A" * MOST_ENCODED["image"],
            InputCode.ATTACHMENT_TOO_LARGE,
            "attachment 1: 5,242,904 bytes of base64, and the API takes 5,242,880",
        ),
    ],
)
def test_a_file_that_the_api_would_refuse_rejects_the_row(
    attachment: Any, value: str, code: InputCode, detail: str
) -> None:
    found, said = fault(attached(attachment), photo=value)
    assert (found, said.startswith(detail), value[:20] in said) == (code, True, False)


@pytest.mark.parametrize(
    "url",
    [
        "http://img.example/a.jpg",
        "ftp://img.example/a.jpg",
        "file:///etc/passwd",
        "img.example/a.jpg",
        "https://",
        "https:///a.jpg",
        "https://[img/a.jpg",
        "https://img.example/a b.jpg",
        "https://img.example/\x07",
    ],
)
def test_an_address_that_is_not_https_rejects_the_row_without_being_repeated(url: str) -> None:
    code, said = fault(attached({"type": "image", "url": "{{ url }}"}), url=url)
    assert (code, said) == (InputCode.BAD_URL, "attachment 1: must be an address that begins with https://")


def test_an_address_is_sent_as_it_is() -> None:
    url = "https://u:p@img.example:8443/ä/%20?sig=a%2Fb&x=</a>#f"
    (message,) = sent(attached({"type": "document", "url": " {{ url }}\n"}), url=url)
    assert message["content"][0] == {"type": "document", "source": {"type": "url", "url": url}}


def test_a_template_of_an_address_that_fails_rejects_the_row() -> None:
    code, said = fault(attached({"type": "image", "url": "{{ url / 2 }}"}), url="secret")
    assert (code, said.startswith("attachment 1: the prompt cannot be"), "secret" in said) == (
        InputCode.NOT_RENDERED,
        True,
        False,
    )


def test_a_file_may_be_longer_than_a_text_and_a_text_beside_it_may_not() -> None:
    made = attached(PHOTO, prompt="{{ body }}", limits={"max_text_bytes": 30})
    long = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(300)).decode()

    assert isinstance(read(made, photo=long, body="short"), Row)
    for values, code in {
        (long, "long" * 10): InputCode.TOO_LARGE,
        ("\ud800", "short"): InputCode.BAD_BASE64,
        ("", "short"): InputCode.EMPTY_BODY,
    }.items():
        found = read(made, photo=values[0], body=values[1])
        assert isinstance(found, Reject)
        assert found.code == code


def test_the_bytes_of_a_file_are_no_tokens_and_those_of_the_text_beside_it_are() -> None:
    made = attached(PHOTO, prompt="{{ body }}", limits={"max_prompt_tokens": 200})
    long = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3000)).decode()

    assert sent(made, photo=long, body="short")
    code, said = fault(made, photo=long, body="long " * 200)
    assert (code, said.endswith(" tokens; at most 200 are sent")) == (InputCode.TOO_MANY_TOKENS, True)


def test_the_digest_names_attachments() -> None:
    made = [job(prompt="{{ sku }}"), attached(LINK), attached(PHOTO), attached(PHOTO | {"type": "document"})]
    assert len({question_digest(each) for each in made}) == len(made)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"attachments": [{"type": "image", "url": "http://a.example/{{ sku }}"}]},
            "attachments.0: `url` begins with https://, or",
        ),
        ({"attachments": [{"type": "image"}]}, "attachments.0: must have exactly one of `url: TEMPLATE` and `base64"),
        ({"attachments": [LINK | PHOTO]}, "attachments.0: must have exactly one of"),
        ({"attachments": [LINK | {"media_type": "image/png"}]}, "attachments.0: `media_type` goes with `base64`"),
        ({"attachments": [PHOTO | {"media_type": "application/pdf"}]}, "attachments.0: `application/pdf` is no media"),
        ({"attachments": [PHOTO | {"media_type": "image/bmp"}]}, "attachments.0.media_type: Input should be"),
        ({"attachments": [{"type": "image", "url": "{{ a"}]}, "attachments.0.url: line 1 of the template"),
        ({"attachments": [{"type": "image", "url": "https://a.example/b.png"}]}, "prompt: uses no column of the input"),
        ({"attachments": [PHOTO], "input": {"format": "csv", "id": "photo"}}, "attachments.0.base64: `photo` is used"),
        ({"attachments": [PHOTO], "prompt": "{{ photo }}"}, "attachments.0.base64: `photo` is used as a text, too"),
        ({"attachments": [PHOTO], "output": {"text": True, "carry": ["photo"]}}, "attachments.0.base64: `photo` is us"),
        (
            {
                "attachments": [PHOTO],
                "skip": "answered",
                "output": {"text": True, "table": {"key": "t", "attribute": "a"}},
            },
            "skip: `answered` keeps 500 rows in memory",
        ),
        ({"attachments": [PHOTO] * 21}, "attachments: Tuple should have at most 20 items"),
        ({"attachments": [LINK], "prompt": None, "messages": {"column": "a"}}, "attachments: go with a `prompt`"),
    ],
)
def test_attachments_that_no_request_can_have_are_refused(fields: dict[str, Any], reason: str) -> None:
    assert refusal(**{"prompt": "What is it?"} | fields).startswith(reason)
