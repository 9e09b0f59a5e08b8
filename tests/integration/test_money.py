"""What a night costs: the pilot that bounds it, the cache that lowers it, and sums that are calculated once more."""

from collections import Counter
from decimal import Decimal

from local.running import Item
from tests.integration.conftest import Night

RUBRIC = "Grade the answer by this rule, and by no other: it names the cause, the cure and the cost. " * 60
JOB = (
    """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 64
system: >-
  """
    + RUBRIC
    + """
prompt: "{{{{ body }}}}"
output: {{labels: [good, fair, poor], table: none}}
schedule: upload
{more}
"""
)
PER_MTOK = {  # claude-haiku-5-5 in a batch, as the price list of November 2026 has it
    "input_tokens": Decimal("0.05"),
    "output_tokens": Decimal("0.25"),
    "cache_read_input_tokens": Decimal("0.005"),
    "ephemeral_5m_input_tokens": Decimal("0.0625"),
    "ephemeral_1h_input_tokens": Decimal("0.10"),
}

WRITTEN = "ephemeral_1h_input_tokens"


def independent(lines: list[Item]) -> Decimal:
    """Return what rows cost in USD: their usage times the list price."""
    total = Decimal(0)
    for line in lines:
        usage = line["usage"] | line["usage"]["cache_creation"]
        total += sum((usage[kind] * price for kind, price in PER_MTOK.items()), Decimal(0)) / 10**6
    return total


def test_a_broken_prompt_over_50_000_rows_bills_20_and_says_what_was_wrong(night: Night) -> None:
    night.job("schedule: upload\nlimits: {max_rows: 60000}", text=BROKEN)
    night.upload([{"id": n, "body": f"{night.name} {n}: my invoice"} for n in range(50_000)])

    (run,) = night.settle()

    got = night.harvest(run)
    assert got.billed == 20
    assert (got.report["counts"]["invalid"], got.report["waiting"]) == (20, 49_980)
    assert run["hold"]["code"] == "BAD_PILOT"
    assert run["hold"]["reason"].startswith(
        f"20 of the 20 pilot rows got no usable answer, and pilot.max_bad of jobs/{night.name}.yaml is 0.2: "
        "20 x stopped: max_tokens."
    )
    assert [b["rows"] for b in night.batches(run)] == [20]
    assert "reserved" not in run  # released: the month has room for others
    assert Decimal(run["spent"]) / 10**12 == independent(night.lines(run, "failed"))


BROKEN = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 2
prompt: "{{{{ body }}}}"
output: {{labels: [billing, technical], table: none}}
{more}
"""


WAYS = {
    "none": "cache: {when: never}\npilot: none",
    "cold": "cache: {when: always}\npilot: none",
    "primed": "pilot: {rows: 5, above: 50}",
}


def test_cold_primed_and_uncached_nights_cost_what_the_tokens_say(night: Night) -> None:
    night.cloud.api("settings", "POST", {"cache_hit_rate": 1.0})
    costs: dict[str, Decimal] = {}
    usages: dict[str, Counter[str]] = {}
    for way, more in WAYS.items():
        night.job(more, text=JOB.replace("Grade", f"{way[0].upper()}rade"))  # a prefix of its own, in as many tokens
        night.upload(night.rows(60, way[0]), f"{way}.jsonl")
        run = next(r for r in night.settle(len(costs) + 1) if r["inputs"][0]["key"].endswith(f"{way}.jsonl"))
        lines = night.lines(run, "output")
        assert len(lines) == 60
        costs[way] = independent(lines)
        usages[way] = sum(
            (Counter({k: v for k, v in line["usage"].items() if type(v) is int}) for line in lines), Counter()
        )
        assert sum(Decimal(str(line["cost_usd"])) for line in lines) == costs[way]
        assert Decimal(run["spent"]) / 10**12 == costs[way]
        assert abs(Decimal(str(night.harvest(run).report["cost"]["actual_usd"])) - costs[way]) < Decimal("1e-9")

    prefix = usages["cold"]["cache_creation_input_tokens"] // 60
    assert usages["none"]["cache_creation_input_tokens"] == usages["none"]["cache_read_input_tokens"] == 0
    assert (usages["cold"]["cache_read_input_tokens"], prefix > 512) == (0, True)
    assert usages["primed"]["cache_creation_input_tokens"] == 5 * prefix
    assert usages["primed"]["cache_read_input_tokens"] == 55 * prefix
    assert costs["primed"] < costs["none"] < costs["cold"]
    # the difference is the shared tokens, at their prices, and nothing else
    token = Decimal(prefix) / 10**6
    plain, write, read = (PER_MTOK[kind] for kind in ("input_tokens", WRITTEN, "cache_read_input_tokens"))
    assert costs["cold"] - costs["none"] == 60 * token * (write - plain)
    assert costs["none"] - costs["primed"] == token * (60 * plain - 5 * write - 55 * read)
