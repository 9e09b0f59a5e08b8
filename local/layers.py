"""Layers without the SAM CLI: what `sam build` would put into them, cached by content below `.cache/`.

A directory that holds `python/` is a built artefact and is used as it is.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from local.wire import LocalError

CHECKOUT = Path(__file__).parent.parent
CACHE = CHECKOUT / ".cache" / "layers"

PLATFORMS = {
    ("linux", "x86_64"): "x86_64-manylinux_2_28",
    ("linux", "aarch64"): "aarch64-manylinux_2_28",
    ("darwin", "arm64"): "aarch64-apple-darwin",
    ("darwin", "x86_64"): "x86_64-apple-darwin",
}
"""(sys.platform, machine) → uv's name for this machine: the wheels must run here, not in Lambda."""


class LayerError(LocalError):
    """A layer could not be built."""


def directory(source: Path, machine: str) -> Path:
    """Return a directory laid out as /opt for the layer at `source`, building it where that was not done before.

    Args:
        source: The layer's ContentUri.
        machine: This machine's processor, as `platform.machine()` says.

    Raises:
        LayerError: `source` is no layer, or its requirements cannot be installed.
    """
    if (source / "python").is_dir():
        return source
    if (source / "requirements.txt").is_file():
        requirements = source / "requirements.txt"
        return _cached(source, [requirements], machine, lambda target: _install(requirements, target, machine))
    packages = sorted(init.parent for init in source.glob("*/__init__.py"))
    if not packages:
        message = f"{source} holds no python/, no requirements.txt and no package"
        raise LayerError(message)
    files = sorted(file for package in packages for file in package.rglob("*") if _ships(file))
    return _cached(source, files, machine, lambda target: _copy(source, files, target))


def _ships(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _cached(source: Path, files: list[Path], machine: str, build: Callable[[Path], None]) -> Path:
    """Build once for this content; a build that is cut short leaves nothing that looks whole."""
    digest = hashlib.sha256(f"{machine} {sys.version_info[:2]}".encode())
    for file in files:
        digest.update(f"\0{file.relative_to(source)}\0".encode() + file.read_bytes())
    target = CACHE / digest.hexdigest()[:16]
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.unfinished")
        build(unfinished / "python")
        # As in a layer that ships byte code: /opt is read-only, so Python could not write it there.
        compileall.compile_dir(unfinished, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        _publish(unfinished, target)
    return target


def _publish(unfinished: Path, target: Path) -> None:
    """Rename into place; another process that was faster has the same content."""
    try:
        unfinished.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(unfinished)


def _install(requirements: Path, target: Path, machine: str) -> None:
    platform = PLATFORMS.get((sys.platform, machine))
    if platform is None:
        message = f"no wheels are known for {sys.platform} on {machine}"
        raise LayerError(message)
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", "3.13"]
    uv = Path(sys.prefix) / "bin" / "uv"
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--target",
        target,
        *options,
        "--python-platform",
        platform,
    ]
    done = subprocess.run([*command, "--requirements", requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"installing {requirements} failed: {done.stderr.strip()}"
        raise LayerError(message)


def _copy(source: Path, files: list[Path], target: Path) -> None:
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
