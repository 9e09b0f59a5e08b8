"""What may be repeated of the API's words, in logs, in the ledger and in reports.

An error's text may quote what it is about: a ticket, or a prompt. So only texts of a known shape are repeated, in which
nothing is free but numbers, names that are ours, and the names of parameters and models. An error of one row keeps all
its words in that row's file, where the row is.
"""

import re

LEFT_OUT = "(its words are left out: they might repeat the request's)"
_SHAPES = re.compile(
    r"""
    [a-z_]{1,30}(\.[a-z0-9_]{1,30}){0,6}:\ (
        Field\ required
        | Extra\ inputs\ are\ not\ permitted
        | Input\ should\ be\ a\ valid\ (dictionary|list|string|integer|number|boolean)
        | Input\ should\ be\ (greater|less)\ than\ (or\ equal\ to\ )?\d+
        | List\ should\ have\ at\ (most|least)\ \d+\ items?\ after\ validation,\ not\ \d+
        | String\ should\ have\ at\ most\ \d+\ characters
        | String\ should\ match\ pattern\ '\^\[a-zA-Z0-9_-\]\{1,64\}\$'
        | custom_id's\ must\ be\ unique\ within\ a\ batch\.\ Duplicate\ custom_id\ found:\ [a-zA-Z0-9_-]{1,64}
        | must\ be\ greater\ than\ or\ equal\ to\ \d+
        | \d+\ >\ \d+,\ which\ is\ the\ maximum\ allowed\ number\ of\ output\ tokens\ for\ claude-[a-z0-9-]{1,40}
    )
    | model:\ [a-zA-Z0-9._-]{1,64}
    | "[a-zA-Z_.=]{1,40}"\ is\ not\ supported\ (in\ the\ Message\ Batches\ API | for\ this\ model)\.?
      (\ Use\ "[a-z_.]{1,40}"(\ and\ "[a-z_.]{1,40}")?\.?)?
    | prompt\ is\ too\ long:\ \d+\ tokens\ >\ \d+\ maximum
    | Unable\ to\ download\ the\ file\.\ Please\ verify\ the\ URL\ and\ try\ again\.
    | API\ key\ is\ invalid\.
    | Overloaded
    | Internal\ server\ error
    | Your\ credit\ balance\ is\ too\ low\ to\ access\ the\ Anthropic\ API\.
      \ Please\ go\ to\ Plans\ &\ Billing\ to\ upgrade\ or\ purchase\ credits\.
    | You\ have\ reached\ your\ specified\ API\ usage\ limits\.
      \ You\ will\ regain\ access\ on\ [0-9-]{10}\ at\ [0-9:]{5}\ UTC\.
    """,
    re.VERBOSE,
)
"""Sources: API reference, Errors, and recordings of the API's answers."""
_WORD = re.compile("[a-z_-]{1,60}")


def repeatable(said: str) -> str:
    """Return a text of the API, if its shape is known; else an empty one."""
    return said if _SHAPES.fullmatch(said) else ""


def word(said: str | None) -> str:
    """Return the API's name of a kind of error or result, if it looks like one; else an empty text."""
    return said if said and _WORD.fullmatch(said) else ""
