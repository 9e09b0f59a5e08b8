"""Guards of money, each removed in turn."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from nightshift import applying, decision, retry_planning
from nightshift.adapters import dynamodb, s3
from nightshift.adapters.items import Change, Items
from nightshift.answers import answer_reader
from nightshift.model import ChunkState
from nightshift.report import Reporter
from tests.faults.guards import PAUSES, Ablation, put, without

LOSSES, KILLS = frozenset({"lose"}), frozenset({"kill"})


def _settled_apart(stack: ExitStack) -> None:
    """Settle a chunk's money first, and move the chunk in a transaction of its own."""
    many = Items.apply_all

    def apart(self: Any, changes: Sequence[Change]) -> None:
        edge = [change for change in changes if change.sets.get("state") == ChunkState.COLLECTED]
        for part in ([change for change in changes if change not in edge], edge):
            if part:
                many(self, part)

    stack.enter_context(patch.object(Items, "apply_all", apart))


def _no_mark(stack: ExitStack) -> None:
    """Ask a row for verification without having marked it."""
    replace_object = s3.S3Outputs.replace

    def unmarked(self: Any, key: str, *args: Any, **named: Any) -> bool:
        return key.endswith(".asked") or replace_object(self, key, *args, **named)

    stack.enter_context(patch.object(s3.S3Outputs, "replace", unmarked))


_wanted = retry_planning._wanted


def _all_raised(*args: Any, raised: bool) -> set[str]:
    """Have all rows asked with a larger `max_tokens`, for whatever they are asked again."""
    return _wanted(*args, raised=True) | _wanted(*args, raised=False) if raised else set()


MONEY: Sequence[Ablation] = (
    Ablation(
        "a row that more tokens have cut off is asked again",
        put(applying, "reader_of", lambda job, _: answer_reader(job.output, job.params, again=True)),
        "was sent again, and had ended succeeded",
        [("cut_off", "none")],
    ),
    Ablation(
        "rows that were not cut off are asked for more",
        put(retry_planning, "_wanted", _all_raised),
        "was asked for more, and had ended overloaded_error",
        [("cut_off", "none")],
    ),
    Ablation(
        "money is reserved for a run that has some",
        without("attribute_not_exists(#reserved)", pk="RUN#", sets="budget_month"),
        "its runs have reserved",
        [("upload", "none")],
        "budgeting.Budgeter._reserve: ledger.reserve",
        LOSSES,
    ),
    Ablation(
        "money is reserved for a held run",
        without(dynamodb._SENDS, pk="RUN#", sets="budget_month"),
        "although it is held",
        [("hold", "none"), ("cancel", "none")],
        "budgeting.",
        PAUSES,
    ),
    Ablation(
        "money is reserved beyond the month's cap",
        without("attribute_not_exists(#committed) OR #committed <= :room", pk="BUDGET#"),
        "more than the cap",
        [("last_dollar", "none")],
    ),
    Ablation(
        "a chunk's money is settled beside its edge",
        _settled_apart,
        "the API billed",
        [("upload", "none")],
        "results.Collector._settle: ledger.collected",
        KILLS,
    ),
    Ablation(
        "a chunk is settled by what was reserved before the pilot was judged",
        without("attribute_exists(#reserved) AND #row_reserve = :per_row", pk="RUN#"),
        r"has -\d+ reserved",
        [("late_pilot", "none")],
        "results.Collector._settle",
        PAUSES,
    ),
    Ablation(
        "money is released whatever it is",
        without(
            "#reserved = :seen AND #budget_month = :month AND (attribute_exists(#hold) OR #state = :done)", pk="RUN#"
        ),
        "its runs have reserved",
        [("slow_resume", "none")],
        "report.Reporter._release: ledger.settle_nothing_more",
        LOSSES,
    ),
    Ablation(
        "what a held run has reserved is not released",
        put(Reporter, "_release", lambda _self, run, _chunks: run),
        "reserved for nothing",
        [("bad_pilot", "none")],
    ),
    Ablation(
        "a chunk is sent without money reserved",
        without("attribute_exists(#reserved)", pk="RUN#", kind="ConditionCheck"),
        "no money is reserved for it",
        [("slow_resume", "none")],
        "sending.",
        PAUSES,
    ),
    Ablation(
        "the rest does not wait for the pilot",
        put(decision, "standing_pilot", lambda *_: None),
        "before its pilot was judged",
        [("pilot", "none"), ("bad_pilot", "none")],
    ),
    Ablation(
        "a pilot is judged twice",
        without("#piloted = :no AND #reserved = :seen", pk="RUN#"),
        "its runs have reserved",
        [("pilot", "none")],
        "budgeting.Budgeter._judge: ledger.revise",
        LOSSES,
    ),
    Ablation(
        "what a plan follows from is settled twice",
        without("attribute_not_exists(#caching) AND ", pk="RUN#", sets="caching"),
        "had its caching settled",
        [("pilot", "count: 529")],
        "planning.",
        PAUSES,
    ),
    Ablation("a row is not marked before it is verified", _no_mark, "are marked as asked", [("verified", "none")]),
    Ablation(
        "two verify a run at once",
        without("attribute_not_exists(#verifying) AND ", pk="RUN#", sets="verifying"),
        "its runs have reserved",
        [("verified", "none")],
        "verifying.Verifier._reserve: ledger.start_verify",
        LOSSES,
    ),
)
