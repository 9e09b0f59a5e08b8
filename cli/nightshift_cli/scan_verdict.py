"""Whether a call looks like bulk work: in a loop over rows, by itself or by whoever calls it, and nobody waiting.

A guess from names, and told as one: functions of a project are told apart by their names alone.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nightshift_cli.scan_calls import Call, Kind
from nightshift_cli.scan_source import Function, Source, dotted
from nightshift_cli.scan_waiting import asks_a_person, feeds_back, handler, loops, page

MAPPERS = frozenset({
    "map", "imap", "imap_unordered", "map_async", "starmap", "apply", "applymap", "progress_apply", "parallel_apply",
    "thread_map", "process_map", "map_elements", "amap", "map_batches",
})  # fmt: skip
"""Functions that call another for each of many."""

RETRIES = re.compile(r"attempt|retr|tries|turn|step|iteration|^_$|^i$", re.IGNORECASE)
"""Names that a loop over rows does not give to its row, where it counts with `range`."""

CALLERS = 6
"""How many callers of callers are looked at."""

NEAR = 2
"""Of these, those that may name a method: names of methods are less sure than imported ones."""


class Verdict(StrEnum):
    """Whether a job can take a call's place."""

    YES = "batchable"
    MAYBE = "look"
    NO = "not batchable"


@dataclass
class Judge:
    """Judges the calls of one project."""

    sources: Sequence[Source]
    uses: Mapping[str, Sequence[tuple[Source, ast.expr]]] = field(init=False)
    defined: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Index the project's functions, and who names them."""
        defined: dict[str, int] = defaultdict(int)
        for source in self.sources:
            for name, functions in source.functions.items():
                defined[name] += len(functions)
        uses: dict[str, list[tuple[Source, ast.expr]]] = defaultdict(list)
        for source in self.sources:
            for node in ast.walk(source.tree):
                name = dotted(node).rsplit(".", 1)[-1] if isinstance(node, ast.Name | ast.Attribute) else ""
                if isinstance(node, ast.Attribute) and not name:
                    name = node.attr  # `Grader().score`
                if isinstance(node, ast.expr) and name in defined:
                    uses[name].append((source, node))
        self.uses, self.defined = uses, defined

    def judge(self, call: Call) -> tuple[Verdict, str]:
        """Return the verdict on a call, and why."""
        if call.kind is Kind.LIBRARY:
            return Verdict.MAYBE, "it calls models on its own: scan does not see what it sends"
        if call.kind is Kind.HTTP:
            return Verdict.MAYBE, "a request made by hand: scan does not see what it sends"
        if call.streams:
            return Verdict.NO, "it streams: somebody reads the answer as it is written"
        if call.what.endswith("tool_runner"):
            return Verdict.NO, "a loop of tools: each request needs the answer before"
        if why := feeds_back(call.source, call.node, call.argument("messages")):
            return Verdict.NO, why
        return self._by_callers(call.source, call.node)

    def _by_callers(self, source: Source, node: ast.AST) -> tuple[Verdict, str]:
        many: list[str] = []
        for depth, at, place in self._callers(source, node):
            here = "" if not depth else f"{at.path}:{getattr(place, 'lineno', 0)}: "
            function = at.function_of(place)
            waits = asks_a_person(at, place) or (function and handler(at, function))
            waits = waits or (page(at) if depth < 2 else None)  # noqa: PLR2004 - a page calls what it shows
            many += [f"{here}{found}" for found in [_for_each(at, place)] if found]
            if waits and many:
                return Verdict.MAYBE, f"{many[0]}; but also {here}{waits}: split the two"
            if waits:
                return Verdict.NO, f"{here}{waits}: somebody waits"
        return (Verdict.YES, many[0]) if many else (Verdict.MAYBE, "no loop over rows seen: has whoever calls it many?")

    def _callers(self, source: Source, node: ast.AST) -> Iterator[tuple[int, Source, ast.AST]]:
        """Yield the node, who names its function, who names theirs, …; nearest first."""
        seen: set[ast.AST] = set()
        ring: list[tuple[Source, ast.AST]] = [(source, node)]
        for depth in range(CALLERS):
            following: list[tuple[Source, ast.AST]] = []
            for at, place in ring:
                yield depth, at, place
                function = at.function_of(place)
                if function is not None and function not in seen:
                    seen.add(function)
                    following += self._uses(at, function, near=depth < NEAR)
            ring = following

    def _uses(self, source: Source, function: Function, *, near: bool) -> Iterator[tuple[Source, ast.AST]]:
        name = function.name
        for at, use in self.uses.get(name, ()):
            ours = at is source or name in at.imported_names
            if ours or (near and isinstance(use, ast.Attribute) and self.defined[name] == 1):
                yield at, use
                yield from ((at, each) for each in _by_another_name(at, use))


def _by_another_name(source: Source, use: ast.expr) -> Iterator[ast.expr]:
    """Yield where a function is used by the name that it is given here: `ask = ask_claude`."""
    up = source.parents.get(use)
    if isinstance(up, ast.Assign) and up.value is use:
        names = {target.id for target in up.targets if isinstance(target, ast.Name)}
        for each in ast.walk(source.function_of(use) or source.tree):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in names:
                yield each


def _for_each(source: Source, node: ast.AST) -> str | None:
    """Say what has a node done once for each of many, or return None."""
    for child, up in source.above(node):
        match up:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                break
            case ast.Call(func=func) if child in up.args and _last(func) in MAPPERS:
                return f"mapped over rows ({_last(func)}, line {up.lineno})"
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                if child is not up.generators[0] and not _counts(up.generators[0].target, up.generators[0].iter):
                    return f"for each of many, line {up.lineno}"
    for loop in loops(source, node):
        if isinstance(loop, ast.For | ast.AsyncFor) and not (_counts(loop.target, loop.iter) or _ends_early(loop)):
            return f"in the loop over `{_short(loop.iter)}`, line {loop.lineno}"
    return None


def _counts(target: ast.expr, over: ast.expr) -> bool:
    """Tell a loop that tries again, or counts turns, from one over rows."""
    text = ast.unparse(over)
    return bool(RETRIES.search(ast.unparse(target)) and "range(" in text) or bool(re.search("retr|attempt", text))


def _ends_early(loop: ast.For | ast.AsyncFor) -> bool:
    """Tell a loop that goes on until an answer will do: it counts, over nothing that has a length, and breaks."""
    over = ast.unparse(loop.iter)
    return over.startswith("range(") and "len(" not in over and any(map(_breaks, loop.body))


def _breaks(statement: ast.AST) -> bool:
    """Tell whether a statement of a loop's body can end this loop, and not one inside it."""
    if isinstance(statement, ast.For | ast.AsyncFor | ast.While | ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return isinstance(statement, ast.Break) or any(map(_breaks, ast.iter_child_nodes(statement)))


def _last(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else dotted(func)


def _short(expression: ast.expr) -> str:
    text = ast.unparse(expression)
    return text if len(text) <= 40 else f"{text[:39]}…"  # noqa: PLR2004 - as much as a line of the list bears
