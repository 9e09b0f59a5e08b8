"""Where a run's files are in the output bucket, and how the parts of a batch's results are named."""

from enum import StrEnum

from nightshift.model import BatchId, ChunkId, RunId


class Part(StrEnum):
    """What becomes of an applied result line: the folder it goes to."""

    OUTPUT = "output"
    FAILED = "failed"
    RETRY = "retry"
    REFUSED = "refused"
    """Beside `output`: its answers that the ticket table would not take, and why."""


def home(run_id: RunId) -> str:
    """Return the prefix of everything a run writes."""
    return f"runs/{run_id}/"


def job(run_id: RunId, number: int) -> str:
    """Return the key of the job as it was for the run's `number`-th plan."""
    return f"{_of_plan(run_id, 'job', number)}.yaml"


def plans(run_id: RunId, number: int) -> str:
    """Return the prefix of the files of the run's `number`-th plan."""
    return f"{_of_plan(run_id, 'plan', number)}/"


def plan(run_id: RunId, chunk: ChunkId, number: int) -> str:
    """Return the key of a chunk's requests, one line each."""
    return f"{plans(run_id, number)}{chunk}.jsonl"


def ids(run_id: RunId, chunk: ChunkId, number: int) -> str:
    """Return the key of a chunk's PlannedRow lines."""
    return f"{plans(run_id, number)}{chunk}.ids"


def skips(run_id: RunId, number: int, file: int, block: int) -> str:
    """Return the key of those records of a block of an input file that are answered already."""
    return f"{plans(run_id, number)}skips-{file:03d}-{block:08d}.json"


def rejects(run_id: RunId, number: int) -> str:
    """Return the prefix of the rows that are never sent."""
    return f"{_of_plan(run_id, 'rejects', number)}/"


def _of_plan(run_id: RunId, name: str, number: int) -> str:
    """Name what is of one plan: a planner of an earlier one may still write, and must not write here."""
    return f"{home(run_id)}{name}" if number == 1 else f"{home(run_id)}{name}-{number}"


def raw(run_id: RunId, chunk: ChunkId, batch_id: BatchId) -> str:
    """Return the key of a batch's results as the API gave them. Named for the batch: another one never mixes in."""
    return f"{home(run_id)}raw/{chunk}-{batch_id}.jsonl"


def strange(run_id: RunId, chunk: ChunkId, batch_id: BatchId) -> str:
    """Return the key of lines that came among a batch's results and are no result of a row of the chunk."""
    return f"{home(run_id)}raw/{chunk}-{batch_id}.strange.jsonl"


def part(run_id: RunId, kind: Part, chunk: ChunkId, offset: int) -> str:
    """Return the key of what the archive's lines from byte `offset` became: a repeated block lands on itself."""
    return f"{home(run_id)}{kind}/{chunk}-{offset:012d}.jsonl"


def parts(run_id: RunId, kind: Part) -> str:
    """Return the prefix of the parts of one kind."""
    return f"{home(run_id)}{kind}/"


def merged(run_id: RunId, form: str) -> str:
    """Return the key of all answers in one file; `form` is `jsonl` or `csv`."""
    return f"{home(run_id)}output.{form}"


def latest(job: str) -> str:
    """Return the key of what names a job's newest finished run."""
    return f"latest/{job}/run.json"


def report(run_id: RunId) -> str:
    """Return the key of the report."""
    return f"{home(run_id)}report.json"


def verify(run_id: RunId) -> str:
    """Return the prefix of what was asked of the synchronous API, row by row."""
    return f"{home(run_id)}verify/"


def asked(run_id: RunId, custom_id: str) -> str:
    """Return the key of the mark that a row is being asked, or was: it is never asked again."""
    return f"{verify(run_id)}{custom_id}.asked"


def answered(run_id: RunId, custom_id: str) -> str:
    """Return the key of what came of that."""
    return f"{verify(run_id)}{custom_id}.json"


def verification(run_id: RunId) -> str:
    """Return the key of the comparison of both kinds of answers."""
    return f"{home(run_id)}verification.json"


def report_page(run_id: RunId) -> str:
    """Return the key of the report's page, for people."""
    return f"{home(run_id)}report.html"
