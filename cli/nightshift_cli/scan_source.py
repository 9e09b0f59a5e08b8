"""Python files as trees, and which of their names are clients of the Anthropic SDK.

Names are those of a file, without scopes: `client` in one function stands for `client` in another. What that finds too
much, a person sees at once; what it would miss, nobody would.
"""

import ast
import re
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeIs

CLIENT = re.compile(r"(Async)?Anthropic(Bedrock|BedrockMantle|Vertex|Foundry|AWS)?")
"""The SDK's clients, by their classes' names."""

SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist", "venv", "env"})
"""Folders that hold no code of the project's own; nor do those that begin with a dot."""

type Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be looked at, so nothing is proved of it."""

    path: str
    reason: str


@dataclass(frozen=True)
class Source:
    """One file."""

    path: str
    tree: ast.Module
    parents: Mapping[ast.AST, ast.AST] = field(repr=False)

    @cached_property
    def bound(self) -> Mapping[str, Sequence[ast.expr]]:
        """What names and attributes are set to, and what parameters are said to be: dotted text → expressions."""
        found: dict[str, list[ast.expr]] = defaultdict(list)
        for node in ast.walk(self.tree):
            for target, value in _bindings(node):
                found[target].append(value)
        return found

    @cached_property
    def imported(self) -> Mapping[str, int]:
        """Modules, and names of modules, dotted → the line that imports them."""
        found: dict[str, int] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name: node.lineno for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module or ''}.{alias.name}": node.lineno for alias in node.names}
        return found

    @cached_property
    def packages(self) -> frozenset[str]:
        """Top-level packages that the file imports."""
        return frozenset(name.split(".")[0] for name in self.imported)

    @cached_property
    def imported_names(self) -> frozenset[str]:
        """Last parts of what the file imports."""
        return frozenset(name.rsplit(".", 1)[-1] for name in self.imported)

    @cached_property
    def functions(self) -> Mapping[str, Sequence[Function]]:
        """Functions and methods of the file, by name."""
        found: dict[str, list[Function]] = defaultdict(list)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name].append(node)
        return found

    def above(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Yield (child, parent) from a node up to the module."""
        while node in self.parents:
            yield node, self.parents[node]
            node = self.parents[node]

    def function_of(self, node: ast.AST) -> Function | None:
        """Return the function that a node stands in, or None at the level of the module."""
        return next((up for _, up in self.above(node) if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef)), None)

    def value(self, name: str, node: ast.AST) -> ast.expr | None:
        """Return what a name is set to, once, where a node stands: in its function, else at the top of the file.

        A text that is put together in several steps (`+=`) is their sum.
        """
        function = self.function_of(node)
        if function is not None and any(isinstance(each, ast.arg) and each.arg == name for each in ast.walk(function)):
            return None
        inside = [each for each in ast.walk(function or self.tree) if _sets(each, name)]
        steps = sorted(inside or [each for each in self.tree.body if _sets(each, name)], key=lambda each: each.lineno)
        if not steps or any(not isinstance(each, ast.AugAssign) for each in steps[1:]):
            return None
        total, *more = [each.value for each in steps if each.value is not None]
        for each in more:
            total = ast.BinOp(total, ast.Add(), each)
        return total

    def client(self, value: ast.expr, seen: set[str] | None = None) -> str | None:
        """Return the class of the client that an expression is, as far as this file tells."""
        seen = set() if seen is None else seen
        match value:
            case ast.Call(func=func):
                parts = [func, *value.args] if not isinstance(func, ast.Attribute) else [func, func.value, *value.args]
                return next(filter(None, (self.client(part, seen) for part in parts)), None)
            case ast.Await(value=inner) | ast.NamedExpr(value=inner):
                return self.client(inner, seen)
            case ast.BoolOp(values=parts):
                return next(filter(None, (self.client(part, seen) for part in parts)), None)
            case ast.IfExp(body=one, orelse=other):
                return self.client(one, seen) or self.client(other, seen)
            case ast.BinOp(left=one, right=other):  # an annotation: `Anthropic | None`
                return self.client(one, seen) or self.client(other, seen)
            case ast.Subscript(slice=inner):  # the same: `Optional[Anthropic]`
                return self.client(inner, seen)
            case ast.Constant(value=str(text)):  # an annotation as a text
                return next(filter(CLIENT.fullmatch, re.findall(r"\w+", text)), None)
        return self._named_client(dotted(value), seen)

    def _named_client(self, name: str, seen: set[str]) -> str | None:
        last = name.rsplit(".", 1)[-1]
        if CLIENT.fullmatch(last):
            return last
        if not name or name in seen:
            return None
        seen.add(name)
        values = [*self.bound.get(name, ())]
        for function in self.functions.get(last, ()):
            values += [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
            values += [function.returns] if function.returns else []
        return next(filter(None, (self.client(each, seen) for each in values)), None)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((dotted(target), value) for target in targets if dotted(target))
        case ast.AnnAssign(target=target, annotation=annotation, value=None):
            yield dotted(target), annotation
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield dotted(target), value
        case ast.arg(arg=name, annotation=ast.expr() as annotation):
            yield name, annotation
        case ast.withitem(context_expr=value, optional_vars=ast.expr() as target) if dotted(target):
            yield dotted(target), value


def _sets(node: ast.AST, name: str) -> TypeIs[ast.Assign | ast.AnnAssign | ast.AugAssign]:
    """Tell a statement that sets a name, or adds to it."""
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return dotted(node.target) == name and node.value is not None
    return isinstance(node, ast.Assign) and name in map(dotted, node.targets)


def dotted(node: ast.AST | None) -> str:
    """Return `a.b.c` as a text; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def sources(path: Path, leave_out: Sequence[str] = ()) -> Iterator[Source | Unread]:
    """Yield the Python files at or below a path, in order; notebooks that name the SDK cannot be read."""
    for file in [path] if path.is_file() else sorted(_files(path)):
        shown = str(file)
        if any(file.full_match(each) for each in leave_out):
            continue
        if file.suffix == ".ipynb":
            if b"anthropic" in file.read_bytes().lower():
                yield Unread(shown, "a notebook that names anthropic: export it as a script (jupyter nbconvert)")
            continue
        try:
            with tokenize.open(file) as stream, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the code that is read, which is not ours to mend
                tree = ast.parse(stream.read())
        except (SyntaxError, ValueError, RecursionError) as error:
            yield Unread(shown, f"not read as Python ({type(error).__name__})")
            continue
        yield Source(shown, tree, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)})


def _files(path: Path) -> Iterator[Path]:
    for folder, folders, files in path.walk():
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        yield from (folder / name for name in files if name.endswith((".py", ".ipynb")))
