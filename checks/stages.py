"""The stages that samconfig.toml can deploy.

    .venvs/uv/bin/python -m checks.stages NAME

prints the architecture that a stage is built for, and refuses a stage that there is none of.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def stages() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (stage, stack name, parameters) of each stage in samconfig.toml."""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for stage, commands in settings.items():
        if isinstance(commands, dict) and "deploy" in commands:
            given = commands["deploy"]["parameters"]
            pairs = (pair.split("=", 1) for pair in given["parameter_overrides"].split())
            yield stage, given["stack_name"], dict(pairs)


def main() -> int:
    """Print the architecture of the stage that the command line names; 2 where samconfig.toml has no such stage."""
    known = {stage: (stack, parameters) for stage, stack, parameters in stages()}
    wanted = " ".join(sys.argv[1:])
    if wanted not in known:
        told = f"ENV={wanted} is no stage of samconfig.toml" if wanted else "make deploy does not know where"
        print(f"{told}: say make deploy ENV=dev, or one of {', '.join(known)}", file=sys.stderr)
        return 2
    stack, parameters = known[wanted]
    print(f"{wanted}: stack {stack}; nothing changes before you have seen the change set", file=sys.stderr)
    print(parameters.get("Architecture", "arm64"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
