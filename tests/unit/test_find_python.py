"""tools/find-python finds a Python 3.13 that runs, whatever else is called so."""

import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).parents[2] / "tools" / "find-python"
SHIM = "#!/bin/sh\necho 'no such version here' >&2\nexit 127\n"
SYSTEM = "/usr/bin:/bin"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return an empty folder for programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def put(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def find(programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{programs}:{SYSTEM}", "HOME": str(programs)} | environment
    return subprocess.run([FIND_PYTHON], env=environment, capture_output=True, text=True, check=False)


def test_a_shim_that_fails_is_passed_over_for_a_python_that_runs(programs: Path) -> None:
    put(programs / "python3.13", SHIM)
    put(programs / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    found = find(programs)
    assert (found.returncode, found.stdout) == (0, f"{sys._base_executable}\n")  # type: ignore[attr-defined]


def test_the_python_that_a_person_names_comes_first(programs: Path) -> None:
    put(programs / "python3.13", "#!/bin/sh\necho wrong one\n")
    assert find(programs, PYTHON=sys.executable).stdout == f"{sys._base_executable}\n"  # type: ignore[attr-defined]


def test_a_managed_python_is_found_though_it_is_not_on_the_path(programs: Path) -> None:
    for name in ("python3.13", "python3", "python"):
        put(programs / name, SHIM)
    managed = programs / ".pyenv" / "versions" / "3.13.9" / "bin"
    managed.mkdir(parents=True)
    put(managed / "python3.13", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    assert find(programs).stdout == f"{sys._base_executable}\n"  # type: ignore[attr-defined]
