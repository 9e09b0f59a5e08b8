"""`make check` finds requirements that are not what was compiled, or that say where packages come from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import requirements

type Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Return a function that replaces text in a copy of the requirements, which the check then reads."""
    for folder in ("requirements", "layers/dependencies", "layers/parquet"):
        shutil.copytree(requirements.ROOT / folder, tmp_path / folder)
    monkeypatch.setattr(requirements, "ROOT", tmp_path)

    def replace(path: str, old: str, new: str) -> None:
        text = (tmp_path / path).read_text()
        assert old in text
        (tmp_path / path).write_text(text.replace(old, new, 1))

    return replace


def test_the_requirements_of_the_repository_are_compiled_pinned_and_hashed() -> None:
    assert list(requirements.faults()) == []


def test_an_input_that_was_changed_and_not_compiled_is_found(edit: Edit) -> None:
    edit("requirements/sam.in", "1.170", "1.171")
    assert list(requirements.faults()) == [
        "requirements/sam.txt: not compiled from requirements/sam.in as it is; run `make requirements`"
    ]


def test_a_change_of_the_layer_reaches_what_is_constrained_by_it(edit: Edit) -> None:
    edit("layers/dependencies/requirements.in", "msgspec", "msgspec>0")
    assert [fault.split(":")[0] for fault in requirements.faults()] == [
        "layers/dependencies/requirements.txt",
        "requirements/product.txt",
        "requirements/faults.txt",
    ]


def test_a_package_without_a_hash_is_found(edit: Edit) -> None:
    edit("requirements/sam.txt", "arrow==", "typer==1.0\narrow==")
    assert list(requirements.faults()) == ["requirements/sam.txt: not a pinned and hashed package: 'typer==1.0'"]


def test_an_index_in_a_compiled_file_is_found(edit: Edit) -> None:
    edit("requirements/sam.txt", "arrow==", "--index-url https://index.example/simple\narrow==")
    assert list(requirements.faults()) == [
        "requirements/sam.txt: not a pinned and hashed package: '--index-url https://index.example/simple'",
        "requirements/sam.txt: names a host",
    ]


def test_a_product_with_another_version_than_the_layer_is_found(edit: Edit) -> None:
    edit("requirements/product.txt", "jinja2==3", "jinja2==2")
    stale, fault = requirements.faults()
    assert stale.startswith("requirements/faults.txt: not compiled from requirements/faults.in as it is")
    assert fault.startswith("requirements/product.txt: jinja2 is 2.")
