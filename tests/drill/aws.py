"""As much of the AWS CLI as the runbook types, over boto3: `aws SERVICE OPERATION --option value … [FILE]`."""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
import jmespath  # type: ignore[import-untyped] # botocore has it
from botocore import xform_name


def main() -> int:
    """Do one call, and print its answer as the AWS CLI does."""
    service, operation, *words = sys.argv[1:]
    client = boto3.client(service)  # type: ignore[call-overload] # the name is the caller's
    (method,) = [name for name in client.meta.method_to_api_mapping if name.replace("_", "-") == operation]
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {xform_name(name, "-"): (name, member.type_name) for name, member in shape.members.items()}
    given: dict[str, Any] = {}
    about: dict[str, str] = {}
    files: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            files.append(word)
        elif word[2:] in members:
            name, kind = members[word[2:]]
            given[name] = _value(words.pop(0), kind)
        else:
            about[word[2:]] = words.pop(0)
    answer = getattr(client, method)(**given)
    answer.pop("ResponseMetadata")
    if files:
        Path(files[0]).write_bytes(answer.pop("Payload").read())
    _put(answer, about)
    return 0


def _value(text: str, kind: str) -> Any:
    if text.startswith(("file://", "fileb://")):
        text = Path(text.split("://", 1)[1]).read_text()
    return json.loads(text) if kind in {"integer", "list", "structure"} else text.strip()


def _put(answer: Any, about: dict[str, str]) -> None:
    if unknown := about.keys() - {"query", "output", "cli-binary-format"}:
        message = f"not known here: {', '.join(sorted(unknown))}"
        raise SystemExit(message)
    found = jmespath.search(about["query"], answer) if "query" in about else answer
    text = found if about.get("output") == "text" else json.dumps(found, indent=4, default=str)
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
