"""What a row asks, as the messages of its request: a prompt, several messages, or a conversation that the row has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from nightshift.attachments import Attachments
from nightshift.input_codes import InputCode, RowFault
from nightshift.job_sections import Attachment, History, Message
from nightshift.prompt import Prompt, PromptError

type Values = Mapping[str, str]
"""A value per column; a column that holds a conversation has what `history` returns."""
type Turns = Callable[[Values], bytes]
"""Returns messages as JSON objects with commas between them, or raises RowFault."""

_ROLES = ("user", "assistant")
_encode = msgspec.json.Encoder().encode


class Conversation:
    """The messages of a job's rows. The last is the user's: current models refuse an answer that is begun for them."""

    def __init__(
        self, prompt: str, messages: Sequence[Message] | History | None, attachments: Sequence[Attachment] = ()
    ) -> None:
        """Compile what a job asks: its prompt, where it has no messages.

        Raises:
            PromptError: a template cannot be used.
        """
        told = frozenset({messages.column}) if isinstance(messages, History) else frozenset[str]()
        listed = [Message(role="user", content=prompt)] if messages is None else messages
        turns = [] if isinstance(listed, History) else [_Turn(each.role, each.content) for each in listed]
        attached = Attachments(attachments)
        if attachments and turns:
            turns[-1].attached = attached
        made: list[Turns] = [*turns, *map(_Told, told)]
        self.turns = made[0] if len(made) == 1 else lambda values: b",".join([turn(values) for turn in made])
        """Returns a row's messages. Raises RowFault where a template fails with it, or comes out empty."""
        self.histories = told
        """Columns that hold a conversation."""
        self.files = attached.files
        """Columns that hold a file in base64."""
        self.texts = told.union(*(turn.columns for turn in turns))
        """The columns that its messages are made of."""
        self.columns = self.texts | attached.columns
        """All columns that it uses: together they are a row's body."""


class _Turn:
    """One message, from a template."""

    def __init__(self, role: str, source: str) -> None:
        self._prompt = Prompt(source)
        self._open = opening(role)
        self.columns = self._prompt.variables
        self.attached: Attachments | None = None

    def __call__(self, values: Values) -> bytes:
        try:
            text = self._prompt.render(values)
        except PromptError as error:
            raise RowFault(InputCode.NOT_RENDERED, str(error)) from None
        if not text:
            raise RowFault(InputCode.EMPTY_BODY, "the prompt comes out empty for this row")
        if self.attached is None:
            return self._open + text + b"}"
        blocks = [*self.attached.blocks(values), b'{"type":"text","text":' + text + b"}"]
        return self._open + b"[" + b",".join(blocks) + b"]}"


class _Told:
    """All messages, from a column."""

    def __init__(self, column: str) -> None:
        self._column = column

    def __call__(self, values: Values) -> bytes:
        return values[self._column].encode()[1:-1]


def opening(role: str) -> bytes:
    """Return how a message begins; its content follows, and a closing brace."""
    return b'{"role":"%s","content":' % role.encode()


def history(value: Any, column: str) -> str:
    """Return a column's conversation, a list or the same as JSON text, as compact JSON.

    Raises:
        RowFault: it is no list of messages with texts, the first and the last the user's.
    """
    messages = _listed(value, column)
    for number, message in enumerate(messages, 1):
        if problem := _wrong(message):
            raise RowFault(InputCode.BAD_CONVERSATION, f"column {column}, message {number}: {problem}")
    if not messages or messages[0]["role"] != "user" or messages[-1]["role"] != "user":
        raise RowFault(InputCode.BAD_CONVERSATION, f"column {column}: must begin and end with a message of the user")
    try:
        return _encode([{"role": each["role"], "content": each["content"]} for each in messages]).decode()
    except UnicodeEncodeError:
        raise RowFault(InputCode.LONE_SURROGATE, f"column {column}") from None


def _listed(value: Any, column: str) -> Sequence[Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            raise RowFault(InputCode.BAD_CONVERSATION, f"column {column}: is not JSON") from None
    if not isinstance(value, list):
        raise RowFault(InputCode.BAD_CONVERSATION, f"column {column}: must be a list of messages")
    return value


def _wrong(message: Any) -> str:
    """Say what is wrong with a message; never what it says."""
    if not isinstance(message, dict) or message.keys() != {"role", "content"}:
        return "must have `role` and `content`, and nothing else"
    if message["role"] not in _ROLES:
        return "the role must be `user` or `assistant`; what all rows share is the job's `system`"
    if not isinstance(message["content"], str) or not message["content"].strip():
        return "the content must be a text that is not blank"
    return "has a NUL character" if "\0" in message["content"] else ""
