"""Python's ways to put a text together, as a Jinja template over a row's columns."""

import ast
import re
import string
from collections.abc import Callable
from dataclasses import dataclass, field

MARKS = re.compile(r"\{\{|\{%|\{#")
FOLLOWED = 8
"""How many names lead to names."""


@dataclass
class Template:
    """A template in the making."""

    known: Callable[[ast.expr], ast.expr]
    """Follows a name that is set to one expression."""
    columns: dict[str, str] = field(default_factory=dict)
    """Column → what stands in its place in the code."""
    moved: str = ""
    """What of `system` belongs before the prompt."""

    def blocks(self, value: ast.expr) -> str:
        """Return the template of a text, or of a list of blocks with texts."""
        value = self.known(value)
        if not isinstance(value, ast.List):
            return self.text(value)
        texts = [_entry(block, "text") for block in map(self.known, value.elts)]
        return "\n\n".join(self.text(text) for text in texts if text is not None)

    def attachments(self, value: ast.expr) -> list[dict[str, str]]:
        """Return the pictures and documents of a list of blocks, as a job has them."""
        value, found = self.known(value), []
        for block in map(self.known, value.elts if isinstance(value, ast.List) else ()):
            kind, source = _entry(block, "type"), self.known(_entry(block, "source") or block)
            if isinstance(kind, ast.Constant) and kind.value in {"image", "document"}:
                one = {"type": str(kind.value)}
                if (url := _entry(source, "url")) is not None:
                    found.append(one | {"url": self.text(url)})
                elif (data := _entry(source, "data")) is not None:
                    found.append(one | {"base64": self.text(data).strip("{ }")})
        return found

    def text(self, value: ast.expr, depth: int = 0) -> str:
        """Return the template of an expression that is a text."""
        match value:
            case ast.Constant(value=str(text)):
                return MARKS.sub(lambda mark: f"{{{{ '{mark[0]}' }}}}", text)
            case ast.JoinedStr(values=parts):
                return "".join(self.text(part, depth) for part in parts)
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self.text(left, depth) + self.text(right, depth)
            case ast.Call(func=ast.Attribute(value=form, attr="format"), args=args, keywords=keywords):
                return self._formatted(form, args, {each.arg: each.value for each in keywords}, value)
            case (
                ast.Call(func=ast.Attribute(value=inner, attr="strip" | "rstrip" | "lstrip"), args=[])
                | ast.Call(func=ast.Name(id="str"), args=[inner])
                | ast.FormattedValue(value=inner)
            ):
                return self.text(inner, depth)
            case ast.Name() if depth < FOLLOWED and _leads_on(found := self.known(value), value):
                return self.text(found, depth + 1)
        return self._column(value)

    def _formatted(
        self, form: ast.expr, args: list[ast.expr], named: dict[str | None, ast.expr], whole: ast.expr
    ) -> str:
        form = self.known(form)
        if not isinstance(form, ast.Constant) or not isinstance(form.value, str) or None in named:
            return self._column(whole)
        given = iter(args)
        text = ""
        for literal, name, _, _ in string.Formatter().parse(form.value):
            text += self.text(ast.Constant(literal))
            if name is not None:
                value = named.get(name) or (args[int(name)] if name.isdecimal() and int(name) < len(args) else None)
                text += self.text(value or next(given, ast.Name(name or "value", ast.Load())))
        return text

    def _column(self, value: ast.expr) -> str:
        """Return the column that stands for an expression: `row["body"]` and `row.body` are `body`."""
        match value:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                pass
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                pass
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
                pass
            case _:
                name = f"column_{len(self.columns) + 1}"
        name = re.sub(r"\W+", "_", name).strip("_") or f"column_{len(self.columns) + 1}"
        said = " ".join(ast.unparse(value).split())
        while self.columns.get(name, said) != said:
            name += "_2"
        self.columns[name] = said
        return f"{{{{ {name} }}}}"


def _entry(value: ast.expr, name: str) -> ast.expr | None:
    """Return what a dictionary, or a call with keywords, has under a name."""
    if isinstance(value, ast.Dict):
        keyed = zip(value.keys, value.values, strict=True)
        return next((each for key, each in keyed if isinstance(key, ast.Constant) and key.value == name), None)
    if isinstance(value, ast.Call):
        return next((each.value for each in value.keywords if each.arg == name), None)
    return None


def _leads_on(value: ast.expr, name: ast.Name) -> bool:
    """Tell whether what a name is set to says more than the name: a text that can be looked into, or a column."""
    match value:
        case ast.Name(id=other):
            return other != name.id
        case ast.Subscript(slice=ast.Constant(value=str())):
            return True
        case ast.JoinedStr() | ast.Constant(value=str()) | ast.BinOp(op=ast.Add()):
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "strip" | "rstrip" | "lstrip")):
            return True
    return False
