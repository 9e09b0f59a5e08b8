"""Pilot: what the first rows of a run say about the prompt, and about the length of the answers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from nightshift import run_files
from nightshift.answers import answer_reader
from nightshift.errors import Conflict
from nightshift.job import Job
from nightshift.model import Chunk, RowClass, Run
from nightshift.money import tokens_of
from nightshift.outcomes import counted_reason, outcomes
from nightshift.ports import Outputs

BAD = frozenset({RowClass.REFUSED, RowClass.INVALID, RowClass.ERRORED})
"""Classes that speak against the prompt or the job; not those of rows that may succeed when they are sent again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pilot's answers are worth."""

    judged: int
    """Rows that the model, or the API's rules, had their say about."""
    reasons: Mapping[str, int]
    """Why rows are bad → rows."""
    lengths: tuple[int, ...]
    """Tokens of each answer, thinking included."""

    def bad(self, run: Run, job: Job) -> str:
        """Say why the rest of a run is not sent, or return an empty text."""
        bad, allowed = sum(self.reasons.values()), job.pilot.max_bad if job.pilot is not None else 1.0
        if not bad or bad / self.judged <= allowed:  # a product could miss the very ratio by its last bit
            return ""
        where = f"{run_files.home(run.run_id)}{run_files.Part.FAILED}/"
        if job.raised_max_tokens is not None:
            where += f", those that were cut off in {run_files.Part.RETRY}/"
        what = ", ".join(f"{count} x {reason}" for reason, count in Counter(self.reasons).most_common(5))
        return (
            f"{bad} of the {self.judged} pilot rows got no usable answer, and pilot.max_bad of {run.job.key} is "
            f"{allowed:g}: {what}. The rows are in {where}; nothing more is sent. Mend the job, put it, and submit the "
            f"input again; or send the rest with `nightshift resume {run.run_id} --approve`"
        )


def judge(outputs: Outputs, job: Job, chunk: Chunk) -> Verdict:
    """Read a collected pilot's archive.

    Raises:
        Conflict: it has none.
    """
    if chunk.archive is None:
        raise Conflict(f"chunk {chunk.id} has no archive")
    with outputs.open(chunk.archive.key) as stream:
        found = list(outcomes(stream.read(), answer_reader(job.output, job.params)))
    spoken = [each for each in found if not each.retryable and each.row_class is not RowClass.CANCELED]
    return Verdict(
        judged=len(spoken),
        reasons=Counter(counted_reason(each) for each in spoken if each.row_class in BAD),
        lengths=tuple(tokens_of(each.usage).output for each in spoken if each.usage),
    )
