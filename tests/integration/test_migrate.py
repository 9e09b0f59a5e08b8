"""docs/migrate.md, followed word by word: its script, its job, its commands, on the local cloud."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.running import RunningCloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from tests.conftest import ROOT
from tests.integration.conftest import Night

PAGE = (ROOT / "docs" / "migrate.md").read_text()
WITHOUT_A_STACK = {"scan", "lint"}
STATUS = {0: Exit.FOUND}
"""Commands by their place that end otherwise than DONE: the first one finds the script's call."""


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [content for of, content in found if of == language]


def test_every_command_of_the_page_does_what_the_page_says(
    cloud: RunningCloud, night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (local := tmp_path / "local.json").write_text(
        json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs})
    )
    monkeypatch.setattr(stacks, "LOCAL_FILE", local)
    (folder := tmp_path / "project").mkdir()
    monkeypatch.chdir(folder)
    night.name = "score"
    before, after = blocks("python")
    (job,) = blocks("yaml")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    printed = [block.splitlines() for block in blocks("")]
    Path("grade.py").write_text(before)
    shutil.copy(ROOT / "samples" / "evals.jsonl", "answers.jsonl")

    run_id, said = "", []
    for place, command in enumerate(commands):
        words = shlex.split(command.removeprefix("RUN=$(").removesuffix(")").replace("$RUN", run_id))
        if words[1] == "verify":
            night.settle()
        if place == len(commands) - 1:
            Path("grade.py").write_text(after)
        done = CliRunner().invoke(app, [*words[1:], *(["--local"] * (words[1] not in WITHOUT_A_STACK))])
        assert done.exit_code == STATUS.get(place, Exit.DONE), (command, done.output)
        said.append((done.stdout or done.stderr).splitlines())
        if place == 0:
            assert Path("jobs/score.yaml").read_text().startswith("# yaml-language-server")
            Path("jobs/score.yaml").write_text(job)
        if command.startswith("RUN="):
            run_id = done.stdout.strip()

    assert [said[0], said[1], said[-1]] == printed
    (run,) = night.runs()
    assert {row["answer"] for row in night.lines(run, "output")} <= {"1", "2", "3", "4", "5"}
    assert len(night.lines(run, "output")) == 64
