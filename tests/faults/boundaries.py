"""Boundaries: every place where the core asks the world for something. Found in the code, never listed by hand.

A boundary is a call of a port's method (`ports.py`) in a module of the core, and an edge of it: `before` it, `after`
it (done, and whoever asked never hears of it), `lost` (done, and the answer is replaced by a broken connection) where
it changes something, `during` where it streams. `found` reads them from the source; `Sites.of_caller` tells, from the
stack, at which one a call of AWS or of the API is. A call from a place that the source did not show is an error, so
what is counted as reachable is complete.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import nightshift

PACKAGE = Path(nightshift.__file__).parent
PORTS = {
    "ledger": "ledger",
    "inputs": "inputs",
    "outputs": "outputs",
    "_outputs": "outputs",
    "upload": "outputs",
    "_upload": "outputs",
    "api": "api",
    "tickets": "tickets",
    "executions": "executions",
}
"""What a port is called where it is used → the port; what is called like one and is none → nothing."""

READS = frozenset(
    {
        "api.batch",
        "api.batches",
        "api.count_tokens",
        "api.probe",
        "api.results",
        "executions.alive",
        "inputs.job",
        "inputs.jobs",
        "inputs.newest",
        "inputs.open",
        "inputs.pin",
        "ledger.budget",
        "ledger.chunks",
        "ledger.claims",
        "ledger.intent",
        "ledger.nights",
        "ledger.open_runs",
        "ledger.run",
        "ledger.runs",
        "ledger.runs_since",
        "ledger.unclaimed",
        "outputs.keys",
        "outputs.open",
        "outputs.tag",
        "tickets.asked",
    }
)
"""Methods of ports that change nothing. A name that is neither here nor changes anything only makes the goal harder."""

NO_CALL = frozenset({"uri", "upload", "abandon"})
"""Methods that ask nobody: an upload begins with its first part."""


class UnknownPlace(BaseException):
    """The core asks the world for something where the source did not show it: nothing may catch that."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One call of a port in the source."""

    module: str
    function: str
    call: str
    """`ledger.sent`, with `#2` where the function has it twice."""

    @property
    def port(self) -> str:
        """Return the port's name."""
        return self.call.split(".")[0]

    @property
    def method(self) -> str:
        """Return the method's name."""
        return self.call.split(".")[1].split("#")[0]

    @property
    def edges(self) -> tuple[str, ...]:
        """Return where at this call a process can die, or its answer be lost."""
        if self.method == "results":
            return ("before", "after", "during")
        return ("before", "after") if f"{self.port}.{self.method}" in READS else ("before", "after", "lost")

    def __str__(self) -> str:
        return f"{self.module}.{self.function}: {self.call}"


@dataclass(frozen=True, slots=True)
class _Place:
    site: Site
    first: int
    last: int
    column: int
    end: int


class Sites:
    """The call sites of the core."""

    def __init__(self) -> None:
        """Read the source."""
        self._places: dict[tuple[str, str], list[_Place]] = {}
        methods = _port_methods()
        for path in sorted(PACKAGE.glob("*.py")):
            if path.name not in {"ports.py", "wiring.py"}:
                for place in _places(path, methods):
                    self._places.setdefault((path.stem, place.site.function), []).append(place)
        self._known: dict[tuple[CodeType, int, str], Site] = {}
        self._modules: dict[CodeType, str] = {}

    @property
    def all(self) -> list[Site]:
        """Return every site, in order."""
        return sorted(place.site for places in self._places.values() for place in places)

    def of_caller(self, port: str) -> Site:
        """Return the site of the core that asks `port` for something just now.

        Raises:
            UnknownPlace: it is at no place that the source showed.
        """
        frame: FrameType | None = sys._getframe(1)
        seen: list[str] = []
        while frame is not None:
            if module := self._module(frame.f_code):
                if (site := self._at(frame, module, port)) is not None:
                    return site
                seen.append(f"{module}.py:{frame.f_lineno}")
            frame = frame.f_back
        message = f"a call of {port} from a place that the source did not show: {' < '.join(seen)}"
        raise UnknownPlace(message)

    def _module(self, code: CodeType) -> str:
        """Return the module of the core that a piece of code is in; nothing where it is elsewhere."""
        if code not in self._modules:
            path = Path(code.co_filename)
            core = path.parent == PACKAGE and path.stem != "wiring"
            self._modules[code] = path.stem if core else ""
        return self._modules[code]

    def _at(self, frame: FrameType, module: str, port: str) -> Site | None:
        key = (frame.f_code, frame.f_lasti, port)
        if key not in self._known:
            name = frame.f_code.co_qualname.split(".<locals>")[0].removesuffix(".<genexpr>")
            places = [p for p in self._places.get((module, name), []) if p.site.port == port]
            fits = [p for p in places if p.first <= frame.f_lineno <= p.last]
            if not fits:
                return None
            exactly = _position(frame)
            calls = [p for p in fits if (p.first, p.last, p.column, p.end) == exactly]
            # A loop or a `with` asks from beside its call.
            self._known[key] = (calls or sorted(fits, key=lambda p: p.last - p.first))[0].site
        return self._known[key]


def _position(frame: FrameType) -> tuple[int | None, ...]:
    """Return where in the source a frame is: first and last line, first and last column."""
    line, last, column, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return line, last, column, end


def _port_methods() -> frozenset[str]:
    tree = ast.parse((PACKAGE / "ports.py").read_text())
    return frozenset(
        item.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef)
    )


def _places(path: Path, methods: frozenset[str]) -> Iterator[_Place]:
    """Yield the calls of ports in a module."""
    for function, node in _functions(ast.parse(path.read_text()), ""):
        count: Counter[str] = Counter()
        calls = [child for child in _own(node) if isinstance(child, ast.Call)]
        for call in sorted(calls, key=lambda c: (c.lineno, c.col_offset)):
            if (name := _port_call(call, methods)) is None:
                continue
            count[name] += 1
            label = name if count[name] == 1 else f"{name}#{count[name]}"
            assert call.end_lineno is not None
            assert call.end_col_offset is not None
            site = Site(path.stem, function, label)
            yield _Place(site, call.lineno, call.end_lineno, call.col_offset, call.end_col_offset)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name):
                yield f"{prefix}{name}", child
                yield from _functions(child, f"{prefix}{name}.")
            case ast.ClassDef(name=name):
                yield from _functions(child, f"{prefix}{name}.")
            case _:
                yield from _functions(child, prefix)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is below a function and in no function below it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield child
            yield from _own(child)


def _port_call(call: ast.Call, methods: frozenset[str]) -> str | None:
    match call.func:
        case ast.Attribute(attr=method, value=ast.Name(id=name) | ast.Attribute(attr=name)):
            port = PORTS.get(name, "")
            if port and method in methods and method not in NO_CALL:
                return f"{port}.{method}"
    return None
