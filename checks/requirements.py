"""Compile the hashed requirements, or check, offline, that they are what their inputs say.

    python -m checks.requirements compile [--upgrade]
    python -m checks.requirements check

A compiled file starts with a digest of everything it was made from, so that a forgotten `make requirements` is found
without an index. Neither file of a pair may name an index or a host: where packages come from is each machine's own.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).parent.parent
LAYER = Path("layers/dependencies/requirements.in")
PARQUET = Path("layers/parquet/requirements.in")
RUNTIME, PRODUCT = Path("requirements/runtime.in"), Path("requirements/product.in")
OTHERS = ("uv", "desk", "sam", "faults", "peers", "security")
SOURCES = (LAYER, PARQUET, RUNTIME, PRODUCT, *(Path(f"requirements/{name}.in") for name in OTHERS))
"""In the order of compiling: the product is constrained by what the layer and the runtime came to, the desk by uv."""

PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^\s;]+) \\$", re.MULTILINE)
ENTRY = re.compile(r"[a-z0-9][a-z0-9-]*==[^\s;]+ \\\n( {4}--hash=sha256:[0-9a-f]{64}( \\)?\n)+", re.MULTILINE)
COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)
DIGEST = re.compile(r"^# inputs: sha256 ([0-9a-f]{64})$", re.MULTILINE)
REFERENCE = re.compile(r"^-[rc] (\S+)$", re.MULTILINE)


def compiled(source: Path) -> Path:
    """Return the path of what `source` is compiled to."""
    return source.with_suffix(".txt")


def inputs(path: Path) -> Iterator[bytes]:
    """Yield the bytes that decide what `path` compiles to: its own, and those of the files it refers to."""
    content = (ROOT / path).read_bytes()
    yield content
    for reference in REFERENCE.findall(content.decode()):
        yield from inputs(path.parent / reference)


def digest(source: Path) -> str:
    """Return the digest of the inputs of `source`, in hex."""
    return hashlib.sha256(b"\0".join(inputs(source))).hexdigest()


def compile_one(source: Path, *, upgrade: bool) -> None:
    """Compile `source`; versions that it already has stay, unless `upgrade`."""
    target = ROOT / compiled(source)
    before = target.read_text() if target.exists() else ""
    with NamedTemporaryFile("w+", suffix=".txt") as work:
        work.write(before)
        work.flush()
        uv_pip_compile(source, Path(work.name), upgrade=upgrade)
        header = f"# Compiled from {source} by `make requirements`; do not edit.\n# inputs: sha256 {digest(source)}\n"
        after = header + Path(work.name).read_text()
    if after != before:  # else the file keeps its age, and `make` the environment
        target.write_text(after)


def uv_pip_compile(source: Path, target: Path, *, upgrade: bool) -> None:
    """Have uv resolve `source` into `target`, starting from the versions that are there."""
    uv = Path(sys.executable).parent / "uv"
    command: list[str | Path] = [uv, "pip", "compile", source, "--output-file", target, "--quiet", "--no-header"]
    # Hashes cover the files of every platform. Versions are resolved for Linux, and come out the same for macOS.
    command += ["--generate-hashes", "--python-version", "3.13", "--python-platform", "linux"]
    command += ["--upgrade"] if upgrade else []
    subprocess.run(command, cwd=ROOT, check=True)


def pins(source: Path) -> dict[str, str]:
    """Return the version of each package that `source` was compiled to."""
    return dict(PIN.findall((ROOT / compiled(source)).read_text()))


def faults_of(source: Path) -> Iterator[str]:
    """Yield what is wrong with one pair of files."""
    target = compiled(source)
    text = (ROOT / target).read_text()
    if DIGEST.findall(text) != [digest(source)]:
        yield f"{target}: not compiled from {source} as it is; run `make requirements`"
    if rest := ENTRY.sub("", COMMENT.sub("", text)):
        yield f"{target}: not a pinned and hashed package: {rest.splitlines()[0]!r}"
    for path in (source, target):
        if "://" in (ROOT / path).read_text():
            yield f"{path}: names a host"


def faults() -> Iterator[str]:
    """Yield what is wrong with the pairs, one by one and beside each other."""
    for source in SOURCES:
        yield from faults_of(source)
    runtime, product = pins(RUNTIME), pins(PRODUCT)
    deployed = pins(LAYER) | pins(PARQUET) | {name: runtime[name] for name in ("boto3", "botocore")}
    for name, version in deployed.items():
        if product.get(name) != version:
            yield f"{compiled(PRODUCT)}: {name} is {product.get(name)}, but {version} is what is deployed"


def main() -> int:
    """Do what the command line says; 1 where a check finds something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["compile", "check"])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that the inputs allow")
    arguments = parser.parse_args()
    if arguments.action == "compile":
        for source in SOURCES:
            compile_one(source, upgrade=arguments.upgrade)
    found = list(faults())
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
