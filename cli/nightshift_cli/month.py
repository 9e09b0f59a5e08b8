"""A month's runs, added up: what they cost, would have cost at once, and were thought to cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nightshift.model import Budget, Run
from nightshift.money import dollars, usd
from nightshift_cli.stack import Stack
from nightshift_cli.view import Summary


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run cost."""

    summary: Summary

    @property
    def run(self) -> Run:
        """The run."""
        return self.summary.run

    @property
    def rows(self) -> int:
        """Records of its inputs, as far as they are counted."""
        return self.summary.rows or 0

    @property
    def model(self) -> str:
        """Its model; nothing where that has no price, or is not known yet."""
        return self.run.prices.model if self.run.prices is not None else ""

    @property
    def paid(self) -> int:
        """Picodollars, of all that is collected."""
        return self.summary.paid

    @property
    def synchronous(self) -> int:
        """The same tokens at the synchronous price."""
        return self.summary.total.synchronous

    @property
    def expected(self) -> int | None:
        """The latest estimate before the bulk was sent; None until all is collected that it was of."""
        latest = self.run.revised or self.run.estimate
        accounted = self.run.planned and sum(self.summary.total.rows.values()) == self.run.rows
        return latest.expected if latest is not None and accounted else None


@dataclass(frozen=True, slots=True)
class Costs:
    """Runs, added up."""

    runs: Sequence[RunCost]

    @property
    def rows(self) -> int:
        """Records of all inputs."""
        return sum(each.rows for each in self.runs)

    @property
    def priced(self) -> bool:
        """True where any run has a price."""
        return any(each.model for each in self.runs)

    @property
    def paid(self) -> int:
        """Picodollars."""
        return sum(each.paid for each in self.runs)

    @property
    def synchronous(self) -> int:
        """The same tokens at the synchronous price."""
        return sum(each.synchronous for each in self.runs)

    @property
    def saved(self) -> int:
        """How much less was paid than that."""
        return self.synchronous - self.paid

    @property
    def saved_ratio(self) -> float | None:
        """The same, as a part of the synchronous price."""
        return self.saved / self.synchronous if self.synchronous else None

    @property
    def error(self) -> float | None:
        """How much more they cost than estimated, as a part of that; of runs that are finished and were estimated."""
        known = [(each.paid, each.expected) for each in self.runs if each.expected]
        expected = sum(each or 0 for _, each in known)
        return (sum(paid for paid, _ in known) - expected) / expected if expected else None

    def by(self, key: Callable[[RunCost], str]) -> dict[str, "Costs"]:
        """Return the sums of groups of runs, the most expensive first."""
        groups: dict[str, list[RunCost]] = {}
        for each in self.runs:
            groups.setdefault(key(each), []).append(each)
        return dict(sorted(((name, Costs(runs)) for name, runs in groups.items()), key=lambda item: -item[1].paid))

    def record(self) -> Mapping[str, Any]:
        """Return what `costs --json` has of a sum."""
        return {
            "runs": len(self.runs),
            "rows": self.rows,
            "cost_usd": _number(self.paid) if self.priced else None,
            "synchronous_usd": _number(self.synchronous) if self.priced else None,
            "saved_usd": _number(self.saved) if self.priced else None,
            "saved_ratio": self.saved_ratio,
            "estimate_error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Month:
    """The runs that were created in a month (UTC), newest first, and the month's money."""

    name: str
    """`yyyy-mm`."""
    costs: Costs
    budget: Budget
    cap: int | None
    """Picodollars; None: there is none."""

    @property
    def verified(self) -> int:
        """Picodollars that verifications of these runs cost, beside what the runs did."""
        return sum(each.run.verify_spent for each in self.costs.runs)

    @property
    def unpriced(self) -> Costs:
        """Runs with rows and without a price."""
        return Costs([each for each in self.costs.runs if each.rows and not each.model])

    @property
    def by_job(self) -> Mapping[str, Costs]:
        """Sums by job."""
        return self.costs.by(lambda each: each.run.job.name)

    @property
    def by_model(self) -> Mapping[str, Costs]:
        """Sums by model."""
        return self.costs.by(lambda each: each.model)

    @property
    def budget_line(self) -> str:
        """The month's money in one sentence."""
        spent, committed = dollars(self.budget.spent), dollars(self.budget.committed)
        cap = "there is no cap (MonthlyCapUsd)" if self.cap is None else f"the cap is {dollars(self.cap)}"
        return f"{spent} are spent in {self.name}, {committed} spent or reserved; {cap}"

    def record(self) -> Mapping[str, Any]:
        """Return what `costs --json` has."""
        return {
            "month": self.name,
            **self.costs.record(),
            "verified_usd": _number(self.verified),
            "budget": {
                "spent_usd": _number(self.budget.spent),
                "committed_usd": _number(self.budget.committed),
                "cap_usd": None if self.cap is None else _number(self.cap),
            },
            "by_job": {name: costs.record() for name, costs in self.by_job.items()},
            "by_model": {name: costs.record() for name, costs in self.by_model.items()},
            "by_run": [
                {
                    "run_id": each.run.run_id,
                    "created": each.run.created,
                    "job": each.run.job.name,
                    "model": each.model or None,
                    "state": each.summary.state,
                    **{name: value for name, value in Costs([each]).record().items() if name != "runs"},
                }
                for each in self.costs.runs
            ],
        }


def read_month(stack: Stack, name: str) -> Month:
    """Read a month's runs and its money."""
    start = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    end, ledger = (start + timedelta(days=31)).replace(day=1), stack.ledger()
    runs = [run for run in ledger.runs_since(start) if run.created < end]
    found = [RunCost(Summary(run, ledger.chunks(run.run_id))) for run in runs]
    return Month(name, Costs(found), ledger.budget(name), stack.monthly_cap)


def _number(amount: int) -> float:
    return float(usd(amount))
