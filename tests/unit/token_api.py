"""An API that counts tokens, and nothing else: for estimates, whose truth the test must know."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.errors import NotAccepted
from tests.unit.fake_api import FakeApi


def words(text: str) -> int:
    return len(re.findall(r"\w+", text))


@dataclass
class WordsApi(FakeApi):
    """Counts the words of `system` and of the messages; or whatever `count` counts in a text."""

    clock: Any = None
    count: Callable[[str], int] = words
    down_after: int | None = None
    """So many counts are answered, and then none."""

    def count_tokens(self, params: Mapping[str, Any], betas: str) -> int:
        if self.down_after is not None and len(self.counted) >= self.down_after:
            raise NotAccepted("too many requests", retry_after=60, status=429)
        self.counted.append(params)
        self.betas.append(betas)
        texts = [block["text"] for block in params.get("system", [])]
        texts += [message["content"] for message in params["messages"]]
        return sum(map(self.count, texts))
