"""Reports of runs that were never run, for the tests of what is made of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from nightshift.model import (
    Archive,
    BatchId,
    Caching,
    Chunk,
    ChunkState,
    Estimate,
    Hold,
    HoldCode,
    InputRef,
    RowClass,
    Run,
    Tally,
)
from nightshift.money import PriceSheet, Rates
from nightshift.ports import Ledger
from nightshift.report import Reporter, _total
from nightshift.report_model import Report
from tests.unit import made
from tests.unit.conftest import START, MovableClock
from tests.unit.fakes import MemoryOutputs

PRICES = PriceSheet(
    model="claude-haiku-5-5",
    source="a list",
    on="2026-11-22",
    batch=Rates(50_000, 250_000, 62_500, 100_000, 5_000),
    standard=Rates(100_000, 500_000, 125_000, 200_000, 10_000),
)
DOLLAR = 10**12


def collected(number: int, rows: int = 100, **tally: Any) -> Chunk:
    """Make a chunk whose rows read 1,000 tokens each from the cache, and cost a cent each."""
    counted = Tally(
        rows={RowClass.ANSWERED: rows},
        usage={"input_tokens": 50 * rows, "output_tokens": 7 * rows, "cache_read_input_tokens": 1000 * rows},
        service_tiers={"batch": rows},
        paid={"input": DOLLAR * rows // 400, "output": DOLLAR * rows // 400, "cache_read": DOLLAR * rows // 200},
        synchronous=DOLLAR * rows // 50,
        uncached=DOLLAR * rows // 25,
        tickets_written=rows,
    )
    return made.chunk(
        number,
        ChunkState.COLLECTED,
        rows=rows,
        batch_id=BatchId(f"msgbatch_{number:024}"),
        sent_at=START + timedelta(minutes=5),
        ended_at=START + timedelta(minutes=50),
        collected_at=START + timedelta(minutes=55),
        archive=Archive("raw", 1, rows, "00"),
        tally=replace(counted, **tally),
    )


def reported(
    run: Run, chunks: Sequence[Chunk] = (), state: str = "done", files: Mapping[str, bytes] | None = None
) -> Report:
    """Report a run that has these chunks."""
    outputs = MemoryOutputs(dict(files or {}))
    reporter = Reporter(cast("Ledger", None), outputs, MovableClock(START + timedelta(hours=1)))
    return reporter._report(run, chunks, _total(run, chunks), cast("Any", state))


def priced_run(rows: int, **changes: Any) -> Run:
    return replace(made.run(), planned=True, rows=rows, prices=PRICES, **changes)


def estimate(expected: int, low: int, high: int) -> Estimate:
    """Make an estimate, in USD."""
    prompts = Estimate(1, 1, input_cost=1, input_low=1, input_high=1, input_synchronous=1, sample=30, at=START)
    amounts = {"expected": expected, "low": low, "high": high, "bound": 2 * high}
    return replace(prompts, basis="a guess", **{name: DOLLAR * usd for name, usd in amounts.items()})  # type: ignore[arg-type]


def verification(*texts: str) -> bytes:
    """Make a verification of rows whose ids and answers, one a text and one an object, are these texts."""
    row = {"batch_class": "answered", "sync_class": "answered", "custom_id": "x", "agrees": False, "error": ""}
    costs = {"batch_cost_usd": 0.1, "sync_cost_usd": 0.2, "latency_seconds": 1.0}
    kinds = {"input": {"batch_tokens": 1, "sync_tokens": 1, "batch_usd": 0.1, "sync_usd": 0.2, "ratio": 2.0}}
    found = {
        "sample": len(texts),
        "asked": len(texts),
        "answered": len(texts),
        "compared": len(texts),
        "agree": 0,
        "rows": [row | costs | {"id": text, "batch_answer": text, "sync_answer": {"a": text}} for text in texts],
        "cost_usd": 0.2,
        "said_usd": 1.0,
        "latency": {"median": 1.0, "max": 1.0},
        "token_classes": kinds,
        "note": f"note {texts[0]}" if texts else "",
    }
    return json.dumps(found).encode()


def with_texts(texts: Sequence[str]) -> Report:
    """Make a report that has these five texts wherever texts of others can be."""
    a, b, c, d, e = texts
    chunk = collected(
        1,
        reasons={a: 5, b: 4, f"x{c}": 3},
        labels={c: 50, d: 40, f"x{e}": 10},
        service_tiers={"batch": 90, f"t{c}": 10},
    )
    inputs = (InputRef("in", f"inbox/triage/{a}", b, 10, START),)
    hold = Hold(HoldCode.API_REJECTED, f"{c} {d}", START)
    prices = replace(PRICES, model=f"m{a}", source=f"s{b}")
    caching = Caching(1000, 512, "1h", f"because {e}")
    run = priced_run(100, inputs=inputs, hold=hold, caching=caching, estimate=estimate(3, 1, 4))
    home = f"runs/{made.RUN}/"
    rejects = b"".join(json.dumps({"code": text}).encode() + b"\n" for text in (a, f"x{b}", f"x{b}"))
    files = {f"{home}verification.json": verification(*texts), f"{home}rejects/last.jsonl": rejects}
    return reported(replace(run, prices=prices), [replace(chunk, batch_id=BatchId(f"b{d}"))], "held", files)
