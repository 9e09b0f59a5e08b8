"""Money as a person sees it: a file's estimate, its run's cost, and the vendor's bill, with another program's on it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from local.running import RunningCloud, running_cloud
from nightshift_cli import stack as stacks
from nightshift_cli.app import app
from nightshift_cli.exits import Exit
from tests.conftest import DESK_PYTHON
from tests.integration.conftest import Night

type Command = Callable[..., tuple[int, str]]

BOTH = ("ledger", "vendor")
ROWS = 1100
MORE = """schedule: upload
verify: {sample: 5}
batch: {max_rows: 600}"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    """A cloud of this module's own: what others had the API do would be on the bill."""
    with running_cloud(python=str(DESK_PYTHON)) as running:
        yield running


@pytest.fixture
def nightshift(cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`nightshift … --local`, which returns status and stdout."""
    monkeypatch.setattr(stacks, "LOCAL_FILE", file := tmp_path / "local.json")
    file.write_text(json.dumps({"endpoint": cloud.endpoint, "region": cloud.region, "outputs": cloud.outputs}))

    def run(*args: str | Path) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*map(str, args), "--local"], catch_exceptions=False)
        return result.exit_code, result.stdout

    return run


def told(answer: tuple[int, str], status: Exit = Exit.DONE) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def test_a_night_costs_what_was_estimated_and_what_the_vendor_bills_until_somebody_else_is_on_the_bill(
    nightshift: Command, night: Night, tmp_path: Path
) -> None:
    night.job(MORE)
    (file := tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in night.rows(ROWS)))

    estimated = told(nightshift("estimate", file, "--job", night.name, "--json"))
    nightshift("submit", file, "--job", night.name)
    (run,) = night.settle()
    stored = told(nightshift("estimate", run["run_id"], "--json"))
    month = told(nightshift("costs", "--json"))
    bill = told(nightshift("bill", "--json"))

    first, actual = estimated["estimate"], stored["actual_usd"]
    assert (estimated["rows"], estimated["sent"], estimated["pilot"], estimated["holds"]) == (ROWS, ROWS, 20, [])
    assert {name: value for name, value in stored["estimate"].items() if name != "at"} == {
        name: value for name, value in first.items() if name != "at"
    }
    assert stored["accounted"]
    assert first["low_usd"] <= actual <= first["high_usd"]
    assert stored["tokens"]["input"] == pytest.approx(first["input_tokens"], rel=0.03)
    assert stored["estimate_error"] == pytest.approx(actual / stored["revised"]["expected_usd"] - 1, abs=1e-5)
    assert (month["cost_usd"], month["saved_ratio"], month["rows"]) == (actual, pytest.approx(0.5), ROWS)
    assert month["verified_usd"] > 0
    assert month["budget"]["spent_usd"] == pytest.approx(actual + month["verified_usd"])

    assert bill["differs"] is False
    assert {(line["tier"], line["kind"]): line["difference"]["tokens"] for line in bill["totals"]} == {
        ("batch", "input"): 0,
        ("batch", "output"): 0,
        ("standard", "input"): 0,
        ("standard", "output"): 0,
    }
    by_tier = {
        tier: [sum(line[whose]["usd"] for line in bill["totals"] if line["tier"] == tier) for whose in BOTH]
        for tier in ("batch", "standard")
    }
    assert by_tier["batch"] == pytest.approx([actual, actual])
    assert by_tier["standard"] == pytest.approx([month["verified_usd"]] * 2)

    somebody_else(night.cloud)
    status, page = nightshift("bill")
    assert status == Exit.DIFFERS
    assert "claude-opus-5-5" in page


def somebody_else(cloud: RunningCloud) -> None:
    """Have another program make a batch that costs five cents, and wait until it has ended."""
    cloud.api("settings", "POST", {"duration_seconds": 0.1, "jitter": 0})
    params = {
        "model": "claude-opus-5-5",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "text " * 20_000}],
    }
    created = httpx2.post(
        f"{cloud.batches_api}/v1/messages/batches",
        json={"requests": [{"custom_id": "another", "params": params}]},
        headers={"x-api-key": "another-program", "anthropic-version": "2023-06-01"},
    )
    assert created.status_code == 200
    time.sleep(0.2)
