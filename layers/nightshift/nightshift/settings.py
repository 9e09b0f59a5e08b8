"""What each function reads from its environment: one frozen model each, field name = variable name in lower case."""

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields

from nightshift.errors import MisconfiguredError

BASE_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?|http://(127\.0\.0\.1|localhost)(:\d+)?")
"""The API over TLS, or a local one on loopback."""


@dataclass(frozen=True, slots=True)
class SubmitSettings:
    """Environment of the submit function."""

    runs_table: str
    input_bucket: str
    output_bucket: str
    ticket_table: str
    """Read only, where a job skips what is answered."""
    state_machine_arn: str
    api_base_url: str
    monthly_cap_usd: float
    """0: there is no cap."""
    api_key_secret_arn: str = ""
    """Of the key; and empty where the role signs, in a workspace:"""
    api_workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Environment of the status function."""

    runs_table: str
    state_machine_arn: str
    api_base_url: str
    poll_min_seconds: int
    poll_max_seconds: int
    poll_percent: float
    max_turns: int
    api_key_secret_arn: str = ""
    """Of the key; and empty where the role signs, in a workspace:"""
    api_workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class ResultsSettings:
    """Environment of the results function."""

    runs_table: str
    ticket_table: str
    output_bucket: str
    api_base_url: str
    api_key_secret_arn: str = ""
    """Of the key; and empty where the role signs, in a workspace:"""
    api_workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Environment of the report function."""

    runs_table: str
    output_bucket: str


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Environment of the verify function."""

    runs_table: str
    output_bucket: str
    api_base_url: str
    monthly_cap_usd: float
    """0: there is no cap."""
    api_key_secret_arn: str = ""
    """Of the key; and empty where the role signs, in a workspace:"""
    api_workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Environment of the audit function."""

    runs_table: str
    input_bucket: str
    output_bucket: str
    state_machine_arn: str
    api_base_url: str
    api_key_secret_arn: str = ""
    """Of the key; and empty where the role signs, in a workspace:"""
    api_workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class TellSettings:
    """Environment of the tell function."""

    runs_table: str
    output_bucket: str
    stack_name: str
    monthly_cap_usd: float
    """0: there is no cap."""


def load[T](kind: type[T], environment: Mapping[str, str] = os.environ) -> T:
    """Read a settings model from the environment.

    Raises:
        MisconfiguredError: names all missing and unusable variables at once.
    """
    problems: list[str] = []
    values: dict[str, object] = {}
    for field in fields(kind):  # type: ignore[arg-type] # every settings model is a dataclass
        name = field.name.upper()
        text = environment.get(name, "")
        if not text and field.default is not MISSING:
            continue
        try:
            values[field.name] = field.type(text) if text else problems.append(f"{name} is missing")  # type: ignore[operator, func-returns-value]
        except ValueError:
            problems.append(f"{name}={text!r} is not a number")
        if field.name == "api_base_url" and text and not BASE_URL.fullmatch(text):
            problems.append(f"{name}={text!r} is neither https:// nor http:// on loopback")
    if "api_base_url" in values and ("api_key_secret_arn" in values) == ("api_workspace_id" in values):
        problems.append("of API_KEY_SECRET_ARN and API_WORKSPACE_ID one must be given, and one only")
    if problems:
        raise MisconfiguredError("; ".join(problems))
    return kind(**values)
