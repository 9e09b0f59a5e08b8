"""What `sam build` makes is what runs: the same night from the built functions and layers."""

import io
import json
import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import cache_from_source
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from local.running import Item, RunningCloud, running_cloud
from tests.conftest import DESK_PYTHON, ROOT
from tests.integration.conftest import JOB, Night

BUILD_DIR = Path(".aws-sam") / "x86_64"
"""Beside the default one, so that no later `sam deploy` ships a build for this machine."""


@pytest.fixture(scope="module")
def built() -> Iterator[RunningCloud]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    made = subprocess.run(
        ["make", "--no-print-directory", "build", "ARCHITECTURE=x86_64", f"BUILD_DIR={BUILD_DIR}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with running_cloud("--template", str(BUILD_DIR / "template.yaml"), python=str(DESK_PYTHON)) as running:
        yield running


def test_the_built_artefact_takes_an_upload_to_tickets(built: RunningCloud, tmp_path: Path) -> None:
    night = Night(built, tmp_path)
    night.job()
    night.upload(night.rows(3))

    (run,) = night.settle()

    assert night.harvest(run).complete
    assert len(night.tickets(run)) == 3


def as_parquet(rows: list[Item]) -> bytes:
    pq.write_table(pa.Table.from_pylist(rows), buffer := io.BytesIO())
    return buffer.getvalue()


def as_workbook(rows: list[Item]) -> bytes:
    book = Workbook()
    for row in [tuple(rows[0]), *(tuple(row.values()) for row in rows)]:
        book.active.append(row)
    book.save(buffer := io.BytesIO())
    return buffer.getvalue()


def test_the_built_artefact_reads_parquet_and_excel(built: RunningCloud, tmp_path: Path) -> None:
    nights = {"parquet": Night(built, tmp_path), "xlsx": Night(built, tmp_path)}
    for form, write in (("parquet", as_parquet), ("xlsx", as_workbook)):
        night = nights[form]
        night.job(text=JOB.replace("format: jsonl", f"format: {form}"))
        night.put(f"inbox/{night.name}/rows", write(night.rows(3)))  # what it is stands in it, not in its name

    for night in nights.values():
        (run,) = night.settle()
        assert night.harvest(run).complete
        assert len(night.tickets(run)) == 3


@pytest.mark.usefixtures("built")
def test_the_built_layers_have_their_byte_code_and_it_names_no_file_of_this_machine() -> None:
    sources = [source for layer in BUILD_DIR.glob("*Layer") for source in layer.rglob("*.py")]
    compiled = {source: Path(cache_from_source(str(source))) for source in sources}

    assert len(sources) > 3000
    assert [source for source, code in compiled.items() if not code.is_file()] == []
    assert str(ROOT).encode() not in compiled[BUILD_DIR / "CodeLayer/python/nightshift/clock.py"].read_bytes()


@pytest.mark.usefixtures("built")
def test_the_bill_of_materials_names_every_library_of_the_built_layers_and_no_other() -> None:
    sbom = json.loads((BUILD_DIR / "sbom.json").read_text())
    shipped = distributions(path=[str(BUILD_DIR / layer / "python") for layer in ("DependenciesLayer", "ParquetLayer")])

    told = {(component["name"], component["version"]) for component in sbom["components"]}
    assert told == {(found.name.lower().replace("_", "-"), found.version) for found in shipped}
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "nightshift")
    hashes = [part["hashes"] for component in sbom["components"] for part in component["externalReferences"]]
    assert [found for found in hashes if not found] == []
