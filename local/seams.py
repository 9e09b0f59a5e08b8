"""The places where the cloud reaches into moto, checked at start so that another moto fails loudly, not quietly."""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

MOTO = "5.2.5"
"""The version whose insides these seams were measured on."""


class SeamError(Exception):
    """moto is not the one that the local cloud was written against."""


@dataclass(frozen=True, slots=True)
class Seam:
    """One function of moto that the cloud replaces or relies on."""

    module: str
    attribute: str
    parameters: tuple[str, ...] | None
    """None where only its being there matters."""


def check(seams: Sequence[Seam]) -> None:
    """Assert that every seam is there with the signature it had.

    Raises:
        SeamError: naming all that differ.
    """
    wrong = [problem for seam in seams if (problem := _problem(seam))]
    if wrong:
        message = f"moto {version('moto')} differs from {MOTO}: " + "; ".join(wrong)
        raise SeamError(message)


def _problem(seam: Seam) -> str | None:
    found = importlib.import_module(seam.module)
    for part in seam.attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        return f"{seam.module}.{seam.attribute} is gone"
    if seam.parameters is not None and (parameters := tuple(inspect.signature(found).parameters)) != seam.parameters:
        return f"{seam.module}.{seam.attribute} takes {parameters}, not {seam.parameters}"
    return None
