"""`nightshift results` and `report`, over the buckets and the ledger of a local AWS."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.made import RUN, run

FILES = {
    "output.jsonl": b"all answers\n",
    "output/g0-000001-000000000000.jsonl": b"answers\n",
    "failed/g0-000001-000000000000.jsonl": b"failed rows\n",
    "rejects/last.jsonl": b"rejects\n",
}
LATER = "the run is not done: the same command fetches the rest later"


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        ledger.create_run(run())
        for name, data in {**FILES, "raw/g0.jsonl": b"raw", "rejects-2/last.jsonl": b"of another plan"}.items():
            put(stack, name, data)
        yield stack


def put(stack: CliStack, name: str, data: bytes) -> None:
    stack.client("s3").put_object(Bucket=stack.outputs, Key=f"runs/{RUN}/{name}", Body=data)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_are_fetched_once_and_only_those_of_the_runs_rows(nightshift: CliStack, tmp_path: Path) -> None:
    first = nightshift("results", RUN, tmp_path)
    got = files(tmp_path)
    again = nightshift("results", RUN, tmp_path)

    assert got == FILES
    assert first == Said(Exit.DONE, [str(tmp_path)], ["4 files, 4 of them fetched now", LATER])
    assert again == Said(Exit.DONE, [str(tmp_path)], ["4 files, 0 of them fetched now", LATER])


def test_results_of_a_run_that_is_done_are_the_whole_and_go_to_a_folder_named_for_it(
    nightshift: CliStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift.ledger.reported(RUN, "f", done=True)
    monkeypatch.chdir(tmp_path)

    said = nightshift("results", RUN)

    assert said == Said(Exit.DONE, [RUN], ["4 files, 4 of them fetched now"])
    assert files(tmp_path / RUN) == FILES


def test_a_file_that_is_not_whole_is_fetched_again(nightshift: CliStack, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/g0-000001-000000000000.jsonl").write_bytes(b"answ")

    record = json.loads("\n".join(nightshift("results", RUN, tmp_path, "--json").out))

    assert record == {"run_id": RUN, "done": False, "files": [str(tmp_path / name) for name in FILES], "fetched": 4}
    assert files(tmp_path) == FILES


def test_the_report_is_fetched_anew_and_opened_unless_a_person_wants_the_path_alone(
    nightshift: CliStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    page = tmp_path / "report.html"

    put(nightshift, "report.html", b"old page")
    assert nightshift("report", RUN, tmp_path, "--no-open") == Said(Exit.DONE, [str(page)], [])
    assert (page.read_bytes(), opened) == (b"old page", [])
    put(nightshift, "report.html", b"new page")
    assert nightshift("report", RUN, tmp_path) == Said(Exit.DONE, [str(page)], [])
    assert (page.read_bytes(), opened) == (b"new page", [str(page)])
    as_json = nightshift("report", RUN, tmp_path, "--json")
    assert json.loads("\n".join(as_json.out)) == {"run_id": RUN, "file": str(page)}
    assert opened == [str(page)]


def test_a_run_without_a_report_or_no_run_is_one_line_and_a_status(
    nightshift: CliStack, tmp_path: Path, runs_table: str
) -> None:
    assert nightshift("report", RUN, tmp_path) == Said(
        Exit.FAILED, [], [f"Run {RUN} has no report yet; nightshift show {RUN}"]
    )
    for command in ("report", "results"):
        assert nightshift(command, "no-run", tmp_path) == Said(
            Exit.FAILED, [], [f"There is no run no-run in table {runs_table}."]
        )
    assert files(tmp_path) == {}
