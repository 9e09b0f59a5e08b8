"""Proposing: which rows of a finished run a verification would ask, and what that costs at most, before it costs any.

Reads the run's files, and asks nobody: the command line does it with a person's own rights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nightshift import run_files
from nightshift.answers import answer_reader
from nightshift.job import Job, parse_job
from nightshift.job_sections import Verify
from nightshift.model import Chunk, Run
from nightshift.money import amount_of
from nightshift.ports import Outputs
from nightshift.sampling import Sampled, sample
from nightshift.verification import Answered, read_asked


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of a verification; what is None is as the job says."""

    sample: int | None = None
    """Rows."""
    max_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A sample, what of it was asked already, and what the rest would cost."""

    job: Job
    sample: Sequence[Sampled]
    asked: Mapping[str, Answered]
    """All rows of the run that were ever asked, by custom_id."""
    limit: int
    """Picodollars that this verification may cost."""
    refusal: str = ""
    """Why nothing can be asked; empty where it can."""

    @property
    def rest(self) -> list[Sampled]:
        """The rows that were not asked yet."""
        return [row for row in self.sample if row.outcome.custom_id not in self.asked]

    @property
    def bound(self) -> int:
        """Picodollars that those cost at most."""
        return sum(row.bound for row in self.rest)

    @property
    def said(self) -> int:
        """Picodollars that are not exceeded."""
        return min(self.bound, self.limit)

    @property
    def spent(self) -> int:
        """Picodollars that the run's verifications have cost so far."""
        return sum(each.spent for each in self.asked.values())


def propose(outputs: Outputs, run: Run, chunks: Sequence[Chunk], wish: Wish) -> Proposal:
    """Draw a run's sample, and say what asking it would cost."""
    with outputs.open(run_files.job(run.run_id, run.plan)) as stream:
        job = parse_job(stream.read(), name=run.job.name, key=run.job.key)
    usual = job.verify or Verify()
    limit = amount_of(usual.max_usd if wish.max_usd is None else wish.max_usd)
    if run.prices is None:
        why = f"{job.model} has no known price, so nobody can say what a sample would cost"
        return Proposal(job, (), {}, limit, why)
    if _has_server_tools(job):
        return Proposal(job, (), {}, limit, "what server tools add to a request has no bound, and so has its cost")
    asked = asked_of(outputs, run, job)
    size = max(usual.sample if wish.sample is None else wish.sample, len(asked))
    rows = sample(outputs, run, job, run.prices, chunks, size)
    return Proposal(job, rows, asked, limit, "" if rows else "no row of the run has a result")


def asked_of(outputs: Outputs, run: Run, job: Job) -> Mapping[str, Answered]:
    """Return all rows of a run that were ever asked of the synchronous API, by custom_id; none without a price."""
    if run.prices is None:
        return {}
    return read_asked(outputs, run.run_id, answer_reader(job.output, job.params), run.prices)


def _has_server_tools(job: Job) -> bool:
    """Tell whether the API itself runs tools: they carry a type, as some that it does not run do, too."""
    return any(tool.get("type", "custom") != "custom" for tool in job.params.get("tools", ()))
