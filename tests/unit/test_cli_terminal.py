"""What a person sees, on a real terminal of some width: no line is wider, but for what must stay whole to be copied."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import BatchId, Caching, ChunkState, Estimate, Hold, HoldCode, JobRef, RowClass, RunId, Tally
from nightshift.prices import price_sheet
from nightshift_cli import console
from tests.unit.cli_stack import CliStack, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, input_ref, run

ROOM = 20
"""Characters that a word may leave of a line, to be one that nothing else fits beside."""

LONG_JOB = "a-job-whose-name-is-as-long-as-a-name-may-be-at-all"[:50]
LONG = RunId(f"{LONG_JOB}-20261122-bbbbbbbb")
REASON = (
    "jobs/triage.yaml:3: max_tokens: is missing, and so nothing can be sent before somebody has said how long\n" * 2
)
BATCH = BatchId("msgbatch_01WZzf8Xzln0QBLSlApbpWeg")
CURSOR = re.compile(r"\x1b\[[?0-9;]*[A-Za-ln-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[CliStack]:
    """A stack with a run at work that has all there is to be told of, and one that is held."""
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        why = "no cache breakpoint: without a pilot nothing fills the cache, and each row would pay for writing it"
        expected = Estimate(
            9, 90, 1, 1, 1, 1, 9, START, 45, expected=2 * 10**9, low=10**9, high=3 * 10**9, bound=10**10
        )
        prices = price_sheet("claude-haiku-5-5", date(2026, 11, 25))
        ledger.create_run(begun := run(prices=prices, caching=Caching(10, 512, why=why), estimate=expected))
        paid = Tally(
            {RowClass.ANSWERED: 2, RowClass.EXPIRED: 1}, {"input_tokens": 123_456, "output_tokens": 12_345},
            paid={"output": 12 * 10**11}, synchronous=24 * 10**11, tickets_written=2,
        )  # fmt: skip
        done = chunk(state=ChunkState.COLLECTED, batch_id=BATCH, tally=paid)
        ledger.plan_chunk(done)
        error = "HTTP 429 rate_limit_error: This request would exceed your organization's rate limit (request req_01)"
        ledger.plan_chunk(chunk(2, failures=2, error=error, not_before=START.replace(year=2099)))
        ledger.finish_plan(replace(begun, rows=6, plan_digest="d"))
        stack.start_loop(RUN)
        hold = Hold(HoldCode.BAD_JOB, REASON, START)
        ref = input_ref(f"inbox/{LONG_JOB}/a-file-with-a-name-that-somebody-took-pains-with-2026-11-22.jsonl")
        ledger.create_run(run(LONG, job=JobRef(LONG_JOB, f"jobs/{LONG_JOB}.yaml", "v1"), inputs=(ref,), hold=hold))
        stack.put_job()
        yield stack


def seen(nightshift: CliStack, columns: int, *words: str, **environment: str) -> str:
    """Run a command at a terminal of so many columns, press Ctrl-C after a while, and return what was on it."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    told = b""
    with subprocess.Popen(
        [sys.executable, "-m", "nightshift_cli", *words],
        env=os.environ | nightshift.environment | {"TERM": "xterm-256color"} | environment,
        stdin=there,
        stdout=there,
        stderr=subprocess.DEVNULL,
    ) as child:
        os.close(there)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            ready, _, _ = select.select([here], [], [], 0.5)
            try:
                told += os.read(here, 1 << 16) if ready else b""
            except OSError:  # nobody has the other end any more
                break
            if words[0] == "watch" and b"cost" in told:
                child.send_signal(signal.SIGINT)
        child.kill()  # where it has not ended by itself
    os.close(here)
    return CURSOR.sub("", told.decode()).replace("\r", "")


def too_wide(text: str, columns: int) -> list[str]:
    """Return lines that are wider than the terminal, and need not be: a command, or a word as long as that."""
    lines = [COLOUR.sub("", line).rstrip() for line in text.splitlines()]
    wide = [line for line in lines if len(line) > columns]
    return [
        line
        for line in wide
        if not re.search(r"→ (nightshift|aws) ", line) and max(map(len, line.split())) < columns - ROOM
    ]


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize(
    "words",
    [["runs"], ["show", RUN], ["show", LONG], ["watch", RUN, "--every", "30"], ["costs", "--month", "2026-11"]],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else "",
)
def test_no_line_is_wider_than_the_terminal(nightshift: CliStack, columns: int, words: list[str]) -> None:
    text = seen(nightshift, columns, *words)

    assert len(text.splitlines()) > 2
    assert too_wide(text, columns) == []
    assert "…" not in text


def test_doctor_fits_a_narrow_terminal(nightshift: CliStack) -> None:
    text = seen(nightshift, 80, "doctor")

    assert len(text.splitlines()) > 9
    assert too_wide(text, 80) == []


def test_what_is_folded_keeps_its_words_whole_and_a_command_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "room", lambda: 30)
    address = "s3://bucket/a/long/way/to/a/file.jsonl"

    assert console.folded(f"{address} (10 bytes) is there", 10) == f"{address}\n          (10 bytes) is there"
    assert console.folded("→ nightshift show a-run --local --json", 10) == "→ nightshift show a-run --local --json"


def test_without_colours_there_are_none_and_with_them_a_held_run_is_red(nightshift: CliStack) -> None:
    red = "\x1b[1;31m"
    assert red in seen(nightshift, 140, "runs")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", seen(nightshift, 140, "runs", NO_COLOR="1"))
