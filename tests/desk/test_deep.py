"""`make check-deep` notices a planted mistake, and runs nothing that it did not mean to fetch."""

import shutil
from pathlib import Path

import pytest

from checks import deep
from tests.conftest import IN_CI
from tests.desk.test_security import OPEN_BUCKET


def test_a_planted_hole_is_reported_by_its_control_and_its_resource(tmp_path: Path) -> None:
    if shutil.which("npm") is None and not deep.HOME.exists():  # only CI must have it
        (pytest.fail if IN_CI else pytest.skip)("npm is missing")
    planted = tmp_path / "template.yaml"
    planted.write_text(OPEN_BUCKET)

    found = list(deep.of_template(planted))

    assert any(one.startswith("CT.S3.PR.1: Bucket: Require") for one in found)
    assert "CT.SQS.PR.1: is accepted in deep.py, and nothing of the kind is found any more" in found


def test_another_package_of_the_same_name_is_not_unpacked(tmp_path: Path) -> None:
    other = tmp_path / "package.tgz"
    other.write_bytes(b"not the package")

    with pytest.raises(RuntimeError, match="nothing of it was run"):
        deep.unpack(other, tmp_path / "made")
    assert not (tmp_path / "made").exists()
