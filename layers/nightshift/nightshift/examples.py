"""Examples: rows with the answers that they should get, shown to the model before each row of a run."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from nightshift.answers import answer_reader
from nightshift.conversation import Conversation, history
from nightshift.input_codes import RowFault
from nightshift.job_sections import Example, Output
from nightshift.prompt import text


class ExampleError(ValueError):
    """An example that cannot be shown."""


def asked(example: Example, conversation: Conversation, required: AbstractSet[str]) -> bytes:
    """Return an example's messages, rendered as those of a row are.

    Args:
        example: the example.
        conversation: the job's.
        required: columns that must not be empty.

    Raises:
        ExampleError: its row lacks a column, has another, or the job's templates fail with it.
    """
    if unknown := sorted(example.row.keys() - conversation.columns):
        raise ExampleError(f"the job asks nothing of `{unknown[0]}`")
    if missing := sorted(column for column in required if example.row.get(column) in (None, "")):
        raise ExampleError(f"`{missing[0]}` is missing or empty")
    for column, value in example.row.items():
        if column not in conversation.histories and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise ExampleError(f"`{column}` must be a text or a whole number; put it in quotes")
    try:
        values = {column: _value(column, example.row, conversation) for column in conversation.columns}
        return conversation.turns(values)
    except RowFault as fault:
        raise ExampleError(f"{fault.code}: {fault.detail}") from None


def _value(column: str, row: Mapping[str, Any], conversation: Conversation) -> str:
    return history(row.get(column), column) if column in conversation.histories else text(row.get(column))


def answered(example: Example, output: Output) -> str:
    """Return an example's answer as the model is to write it.

    Raises:
        ExampleError: it is not what the job says that an answer is.
    """
    if output.text is not None:
        if not isinstance(example.answer, str) or not example.answer.strip():
            raise ExampleError("must be a text that is not blank")
        return example.answer
    if output.tool is not None:
        raise ExampleError("cannot be shown as a call of a tool: ask with `output.schema`, or show it in `system`")
    answer, reason = answer_reader(output, {}).read(json.dumps(example.answer, ensure_ascii=False, default=repr))
    if reason:
        raise ExampleError(f"is not what `output` says that an answer is ({reason})")
    return json.dumps({"label": answer} if output.labels is not None else answer, ensure_ascii=False)
