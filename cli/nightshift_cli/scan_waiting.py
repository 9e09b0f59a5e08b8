"""What tells that somebody waits for an answer: handlers of requests and chats, prompts to a person, conversations."""

import ast
from collections.abc import Iterator

from nightshift_cli.scan_source import Function, Source, dotted

WEB = frozenset({
    "aiohttp", "bottle", "chalice", "django", "falcon", "fastapi", "flask", "litestar", "ninja", "quart",
    "rest_framework", "robyn", "sanic", "starlette", "tornado",
})  # fmt: skip
CHATS = frozenset({
    "aiogram", "botbuilder", "discord", "disnake", "hikari", "interactions", "nextcord", "nio", "slack_bolt",
    "slack_sdk", "telebot", "telegram", "telethon", "twitchio",
})  # fmt: skip
PAGES = frozenset({"chainlit", "gradio", "streamlit", "textual"})
"""Packages whose scripts are pages that a person looks at."""

ROUTES = frozenset({"route", "get", "post", "put", "patch", "delete", "websocket", "api_view", "websocket_route"})
EVENTS = frozenset({"action", "command", "event", "hybrid_command", "listener", "message", "shortcut", "view"})
BASES = ("View", "APIView", "ViewSet", "Cog", "RequestHandler", "HTTPEndpoint", "Consumer")
PROMPTS = frozenset({"input", "click.prompt", "typer.prompt", "Prompt.ask", "session.prompt", "st.chat_input"})

type Loop = ast.For | ast.AsyncFor | ast.While


def handler(source: Source, function: Function) -> str | None:
    """Say what of a function tells that a person waits for it, or return None."""
    for decorator in function.decorator_list:
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        last = name.rsplit(".", 1)[-1]
        routed = last in ROUTES and ("." in name or last == "api_view")
        if routed or (last in EVENTS and source.packages & CHATS):
            return f"`{function.name}` answers a request (@{name})"
    arguments = [*function.args.posonlyargs, *function.args.args]
    if source.packages & WEB and any(each.arg == "request" for each in arguments):
        return f"`{function.name}` answers a web request"
    if source.packages & CHATS and function.name.startswith("on_"):
        return f"`{function.name}` answers a chat"
    up = source.parents.get(function)
    if isinstance(up, ast.ClassDef):
        for base in map(dotted, up.bases):
            if base.endswith(BASES):
                return f"`{up.name}` answers requests ({base})"
    return None


def page(source: Source) -> str | None:
    """Say which page a file is, or return None."""
    found = source.packages & PAGES
    return f"the file is a page of {min(found)}" if found else None


def asks_a_person(source: Source, node: ast.AST) -> str | None:
    """Say where a person is asked in the loop around a node, or in its function where there is none."""
    around: ast.AST | None = next(loops(source, node), None) or source.function_of(node)
    for each in ast.walk(around) if around is not None else iter(source.tree.body):
        if isinstance(each, ast.Call) and dotted(each.func) in PROMPTS:
            return f"a person is asked first ({dotted(each.func)}, line {each.lineno})"
    return None


def feeds_back(source: Source, node: ast.AST, messages: ast.expr | None) -> str | None:
    """Say that answers go back into the list that the next request is made of, or return None."""
    name = dotted(messages)
    if not name:
        return None
    function: ast.AST = source.function_of(node) or source.tree
    around: ast.AST = next(iter(loops(source, node)), function)
    if "." not in name and around is not function and _made(around, name):
        return None  # begun anew for each row
    after = [each for each in ast.walk(around) if getattr(each, "lineno", 0) > getattr(node, "lineno", 0)]
    grown = around if around is not function else ast.Module(after, [])  # type: ignore[arg-type] # walked, not compiled
    for each in ast.walk(grown):
        if _grows(each, name):
            return f"the answer goes into the next request (`{name}` grows)"
    return None


def _made(around: ast.AST, name: str) -> bool:
    return any(
        isinstance(each, ast.Assign) and name in map(dotted, each.targets) and isinstance(each.value, ast.List)
        for each in ast.walk(around)
    )


def _grows(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr="append" | "extend" | "insert")):
            return dotted(value) == name
        case ast.AugAssign(target=target):
            return dotted(target) == name
    return False


def loops(source: Source, node: ast.AST) -> Iterator[Loop]:
    """Yield the loops whose bodies a node stands in, inside its function, innermost first."""
    for child, up in source.above(node):
        if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(up, ast.While) or (isinstance(up, ast.For | ast.AsyncFor) and child is not up.iter):
            yield up
