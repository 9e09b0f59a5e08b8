"""Files beside a job file, for what is too long to stand in it: `system: {file: rubric.md}`.

Their content is put in their place before a job is checked or stored, so a stored job is whole, and the version that a
run pins is all that its requests depend on (docs/decisions/0025). A person's machine does this, and no function.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from nightshift.errors import BadJob
from nightshift.job import MAX_FILE
from nightshift.yaml_lines import YamlError, load

_TRAPS = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON writes as they are, and that YAML refuses, or takes for the end of a line."""


def with_files(path: Path) -> bytes:
    """Return a job file with the content of the files that it names in their place.

    All else stays as it is, and on its line: what is wrong with the job can be said of the file that a person has.
    What is no job comes back unchanged, for parse_job to refuse.

    Raises:
        BadJob: a file that is named cannot be used; `<path>:<line>: <field>.file: <reason>`.
    """
    text = path.read_bytes()
    if len(text) > MAX_FILE:
        return text
    try:
        wanted = load(text).data
    except YamlError:
        return text
    source = whole = text.decode("utf-8-sig")
    for field, line, start, end in sorted(_named(source), reverse=True, key=lambda each: each[2]):
        try:
            wanted[field] = _READ[field](_beside(path.parent, wanted[field]["file"]))
            whole = f"{whole[:start]}{_quoted(wanted[field])}{'\n' * source.count('\n', start, end)}{whole[end:]}"
        except ValueError as error:
            raise BadJob(f"{path}:{line}: {field}.file: {error}") from None
    if whole is not source and load(whole.encode()).data != wanted:
        raise BadJob(f"{path}:1: what it names cannot be put into it: write it as `{{file: NAME}}`, on one line")
    return whole.encode() if whole is not source else text


def _named(source: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield each field that names a file, its line, and where what stands there begins and ends, in characters."""
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value in _READ and isinstance(value, yaml.MappingNode) and [k.value for k, _ in value.value] == ["file"]:
            # A mapping in braces ends with them; one without ends where the next key begins, behind every comment.
            last = value if value.flow_style else value.value[0][1]
            yield key.value, key.start_mark.line + 1, value.start_mark.index, last.end_mark.index


def _beside(folder: Path, name: object) -> str:
    """Read a file of a folder.

    Raises:
        ValueError: there is none, it is elsewhere, too long, or no text.
    """
    if not isinstance(name, str) or not (file := (folder / name).resolve()).is_relative_to(folder.resolve()):
        # A job may be somebody else's, and what it names is sent to the API.
        raise ValueError("must be the name of a file in the job's own folder, or below it")
    try:
        if file.stat().st_size > MAX_FILE:
            raise ValueError(f"{name} is longer than {MAX_FILE:,} bytes, which is the limit of a whole job")
        text = file.read_text("utf-8-sig", newline="")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8: save it as that") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    if not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _quoted(value: object) -> str:
    """Return a value in one line that is JSON and YAML."""
    return _TRAPS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _lines(text: str) -> list[Any]:
    """Read JSON Lines.

    Raises:
        ValueError: a line is no JSON.
    """
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError):
                raise ValueError(f"line {number} is not JSON: write one example on each line") from None
    return values


_READ: Mapping[str, Callable[[str], Any]] = {"system": str, "examples": _lines}
"""Field of a job that may be in a file → what makes its value of the text."""


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(with_files(Path(sys.argv[1])))
    except BadJob as error:
        sys.exit(str(error))
