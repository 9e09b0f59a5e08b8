"""The places where the cloud reaches into moto, checked at start so that another moto fails loudly, not quietly."""

import importlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from types import ModuleType
from typing import Any

from local.wire import LocalError

MOTO = "5.2.5"
"""The version whose insides these seams were measured on."""


class SeamError(LocalError):
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


class _JobStatus(Enum):
    """What the interpreter wants from moto's Batch."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


def leave_out_ec2() -> None:
    """Spare a third of the cloud's start: moto's interpreter imports AWS Batch, and with it all of EC2.

    Call it before moto is imported. A state machine that submits Batch jobs fails here; ours has Lambda tasks only.
    """
    stand_in = ModuleType("moto.batch.utils")
    replace(stand_in, "JobStatus", _JobStatus)
    sys.modules.update({"moto.batch": ModuleType("moto.batch"), "moto.batch.utils": stand_in})


def replace(owner: object, name: str, value: object) -> None:
    """Put something of ours into moto: `owner` is a module or a class."""
    setattr(owner, name, value)


def _problem(seam: Seam) -> str | None:
    found: Any = importlib.import_module(seam.module)
    for part in seam.attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        return f"{seam.module}.{seam.attribute} is gone"
    if seam.parameters is not None and (parameters := tuple(inspect.signature(found).parameters)) != seam.parameters:
        return f"{seam.module}.{seam.attribute} takes {parameters}, not {seam.parameters}"
    return None
