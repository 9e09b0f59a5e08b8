"""The prompt template: Jinja, sandboxed, with nothing in reach but the row's own columns."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

_CLOSING_TAG = re.compile(r"</\s*([A-Za-z][\w.-]*)")
_encode = msgspec.json.Encoder().encode


def text(value: Any) -> str:
    """Return what a prompt sees of a value that passed: numbers as they were written, nothing as an empty text."""
    return "" if value is None else str(value)


class PromptError(ValueError):
    """A template that cannot be used, or a row that it cannot be rendered with. Never holds row data."""


class Prompt:
    """A compiled prompt template."""

    def __init__(self, source: str) -> None:
        """Compile a template.

        Raises:
            PromptError: a syntax error, or another template is referenced.
        """
        # A prompt is text for a model, not HTML: escaping every `'` would cost tokens and meaning.
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        environment.globals.clear()  # so that every free name is a column, `range` included
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise PromptError(f"line {error.lineno} of the template: {error.message}") from None
        except TemplateError as error:
            raise PromptError(f"not a usable template ({type(error).__name__})") from None
        self.source = source
        self.variables = frozenset(meta.find_undeclared_variables(tree))
        """The columns that the template uses: together they are a row's body."""
        if any(True for _ in meta.find_referenced_templates(tree)):
            raise PromptError("include, import and extends are not available: write the whole prompt here")
        texts, self._inserted = _plain(tree, self.variables)
        self._blank = not "".join(texts).strip()
        self._pieces = [b""] * (2 * len(texts) - 1)
        self._pieces[::2] = [_encode(text)[1:-1] for text in texts]
        self._pieces[0], self._pieces[-1] = b'"' + self._pieces[0], self._pieces[-1] + b'"'
        tags = sorted({re.escape(name) for name in _CLOSING_TAG.findall(source)})
        self._closing = re.compile(rf"<(\s*/\s*(?:{'|'.join(tags)}))\b", re.IGNORECASE) if tags else None

    def render(self, values: Mapping[str, str]) -> bytes:
        r"""Render for one row, given a value per variable; return the text as JSON, or nothing where it is blank.

        A closing tag of the template inside a value is defused (`</ticket>` becomes `<\/ticket>`), so that a ticket
        cannot end its own quotation and go on as instructions.

        Raises:
            PromptError: the template fails with these values.
        """
        if self._inserted:
            return self._insert([values[column] for column in self._inserted])
        try:
            text = self._template.render({column: self._defused(values[column]) for column in self.variables})
        # A template can fail in any way its expressions can; what it says may quote the row.
        except Exception as error:  # noqa: BLE001
            raise PromptError(f"the prompt cannot be rendered with this row ({type(error).__name__})") from None
        return _encode(text) if text.strip() else b""

    def _insert(self, values: Sequence[str]) -> bytes:
        """Render a template that only inserts columns: what Jinja would say, in a tenth of the time."""
        if self._blank and not any(value.strip() for value in values):
            return b""
        pieces = self._pieces.copy()
        pieces[1::2] = [_encode(self._defused(value) if "<" in value else value)[1:-1] for value in values]
        return b"".join(pieces)

    def _defused(self, value: str) -> str:
        if self._closing is None:
            return value
        return self._closing.sub(r"<\\\1", value)


def _plain(tree: nodes.Template, columns: AbstractSet[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the texts of a template, and the columns in between; no column where it has anything else."""
    texts, inserted = [""], []
    for node in tree.body:
        for part in node.nodes if isinstance(node, nodes.Output) else [node]:
            match part:
                case nodes.TemplateData(data=text):
                    texts[-1] += text
                case nodes.Name(name=name) if name in columns:
                    texts.append("")
                    inserted.append(name)
                case _:
                    return texts, []
    return texts, inserted
