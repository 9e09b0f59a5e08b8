"""A Lambda function as it is configured, and the environment variables that its processes see."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.wire import ACCOUNT, REGION

LATEST = "$LATEST"
"""The qualifier of whoever names none."""

STARTUP = Path(__file__).parent / "runtime"
"""Holds sitecustomize.py, which every runtime process executes first."""


def named(function: str) -> tuple[str, str]:
    """Split a function's name or ARN, with a qualifier or without, into its name and the qualifier."""
    name, _, qualifier = function.rsplit(":function:", maxsplit=1)[-1].partition(":")
    return name, qualifier or LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfig:
    """A Lambda function as the template describes it."""

    logical_id: str
    name: str
    handler: str
    code: Path
    layers: Sequence[Path]
    """Directories laid out as /opt is, in the order of the template."""
    variables: Mapping[str, str]
    timeout: int
    """Seconds, real."""
    memory: int
    """MB. Recorded against the peak of each invocation, not enforced: an address space limit is not memory."""
    role: str
    json_logs: bool = False
    log_level: str = "INFO"

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What every runtime process of this cloud shares."""

    python: Path
    """The interpreter with awslambdaric and boto3: what the managed runtime offers, and nothing else."""
    work: Path
    """Where temporary files go; the cloud removes it."""
    clock: Path
    tether: int
    """Read end of a pipe that closes when the cloud is gone."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Given to every function: where AWS is."""


def variables(config: FunctionConfig, host: Host, api: str, key_id: str, scratch: Path) -> dict[str, str]:
    """Build a process's environment from nothing: what Lambda sets, the desk's few, the function's own last.

    Args:
        config: The function.
        host: What all processes share.
        api: Address of the Runtime API.
        key_id: The access key id that the function signs with.
        scratch: Its temporary directory: Lambda's /tmp belongs to one environment.
    """
    desk = {
        "NIGHTSHIFT_CLOCK": str(host.clock),
        "NIGHTSHIFT_TETHER": str(host.tether),
        "TMPDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task and /opt are read-only
    }
    return _of_the_runtime(config, api) | _of_aws(config, key_id) | desk | dict(host.variables) | dict(config.variables)


def _of_the_runtime(config: FunctionConfig, api: str) -> dict[str, str]:
    layers = [layer / part for layer in config.layers for part in ("python/lib/python3.13/site-packages", "python")]
    path = [STARTUP, config.code, *(part for part in layers if part.exists())]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(config.code),
        "_HANDLER": config.handler,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }


def _of_aws(config: FunctionConfig, key_id: str) -> dict[str, str]:
    found = {
        "AWS_LAMBDA_FUNCTION_NAME": config.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{secrets.token_hex(16)}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,  # boto3 reads only this one
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
    }
    if config.json_logs:
        found |= {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": config.log_level}
    return found
