"""Manifests: a file that names the files that belong together, so that a run has all of them, or sends nothing.

For jobs with `schedule: manifest`. Whoever delivers in parts uploads the manifest last; `docs/job-reference.md` has it.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from nightshift.errors import BadInput
from nightshift.model import InputRef
from nightshift.ports import Inputs

SUFFIX = ".manifest.json"
"""How the name of a manifest ends."""
MOST_FILES = 250
"""The run's item in the ledger names them all, and keys may have 1,024 bytes; DynamoDB takes items of 400 KB."""
MOST_BYTES = 1 << 20
"""Of a manifest."""


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a manifest names, and what it says of it."""

    file: Annotated[str, msgspec.Meta(min_length=1)]
    """Its name, from the manifest's folder."""
    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many it has, good or bad."""
    size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Bytes of the object, as stored."""


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    files: Annotated[list[Listed], msgspec.Meta(min_length=1, max_length=MOST_FILES)]


def is_manifest(schedule: str, key: str) -> bool:
    """Tell whether an object is a manifest of a job with this `schedule`."""
    return schedule == "manifest" and key.endswith(SUFFIX)


def listed(inputs: Inputs, manifest: InputRef) -> Sequence[tuple[str, Listed]]:
    """Return the keys that a manifest names, and what it says of each.

    Raises:
        BadInput: it cannot be read, or is no manifest; the detail says why.
    """
    if manifest.size > MOST_BYTES:
        raise _no_manifest(f"it has more than {MOST_BYTES:,} bytes")
    with inputs.open(manifest) as stream:
        text = stream.read()
    try:
        files = msgspec.json.decode(text, type=_Manifest).files
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_manifest(str(error)) from None
    names = [each.file for each in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _no_manifest(f"it names {twice[0]} twice")
    if nested := [name for name in names if name.endswith(SUFFIX)]:
        raise _no_manifest(f"it names {nested[0]}, which is a manifest")
    folder = manifest.key[: manifest.key.rindex("/") + 1]
    return [(folder + each.file, each) for each in files]


def pinned(inputs: Inputs, manifest: InputRef) -> Iterator[InputRef]:
    """Yield the newest version of each file that a manifest names and that can be read.

    What is wrong with the others, or with the manifest, is said when the run is planned.
    """
    try:
        files = listed(inputs, manifest)
    except BadInput:
        return
    for key, _ in files:
        try:
            yield inputs.pin(key)
        except BadInput:
            continue


def _no_manifest(why: str) -> BadInput:
    return BadInput(
        "MANIFEST_MISMATCH", f'{why}; a manifest is {{"files": [{{"file": "part-1.jsonl", "rows": 120}}, …]}}'
    )
