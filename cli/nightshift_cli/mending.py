"""What a person can do about a held run: for each reason, the steps that mend it, commands where there are any."""

from collections.abc import Mapping, Sequence

from nightshift.model import HoldCode, Run
from nightshift_cli.stack import Stack

WAYS_OUT: Mapping[HoldCode, Sequence[str]] = {
    HoldCode.BY_HAND: ["{resume}"],
    HoldCode.CANCELED: ["nothing, if it shall stay so", "or send what was never sent: {resume}"],
    HoldCode.BAD_JOB: ["mend {file}", "{put}", "{resume}"],
    HoldCode.NO_USABLE_INPUT: ["mend the file", "{submit}"],
    HoldCode.TOO_MANY_REJECTS: ["mend the file", "{submit}", "or send the other rows: {resume} --approve"],
    HoldCode.TOO_MANY_ROWS: ["raise the limit in {file}", "{put}", "{resume}", "or just this once: {resume} --approve"],
    HoldCode.NO_PRICE: ["take another model in {file}", "{put}", "{resume}", "or without a price: {resume} --approve"],
    HoldCode.OVER_MAX_USD: [
        "raise limits.max_usd in {file}",
        "{put}",
        "{resume}",
        "or just this once: {resume} --approve",
    ],
    HoldCode.OVER_MONTH: ["deploy with a higher MonthlyCapUsd", "{resume}", "or just this once: {resume} --approve"],
    HoldCode.BAD_PILOT: [
        "mend {file}",
        "{put}",
        "{submit}",
        "{cancel}",
        "or send the rest as it is: {resume} --approve",
    ],
    HoldCode.SAME_ROWS: ["{resume} --approve"],
    HoldCode.MANIFEST_MISMATCH: [
        "upload what the reason names",
        "the manifest again: {submit}",
        "{cancel}",
        "or send what is there: {resume} --approve",
    ],
    HoldCode.API_REJECTED: ["mend {file}", "{put}", "{resume}"],
    HoldCode.API_KEY: ["{key}", "{resume}"],
    HoldCode.NO_MONEY: ["raise the spend limit, or pay the bill, in the Claude Console", "{resume}"],
    HoldCode.API_REDIRECTED: ["deploy with the AnthropicBaseUrl of the API itself", "{resume}"],
    HoldCode.BATCH_OVERDUE: ["put a key of the workspace that has the batch: {key}", "{resume}"],
    HoldCode.CHUNK_FAILS: ["mend what the reason names", "{resume}"],
    HoldCode.NO_PROGRESS: ["mend what the reason or the functions' logs name", "{resume}"],
    HoldCode.LOOP_DIES: ["mend what the executions' errors and the functions' logs name", "{resume}"],
    HoldCode.ROWS_ASTRAY: ["report it, with the functions' logs", "count again: {resume}"],
}


def ways_out(run: Run, stack: Stack) -> Sequence[str]:
    """Return what mends a held run, step by step; nothing where it is not held."""
    if run.hold is None:
        return ()
    words = {
        "cancel": stack.command(f"cancel {run.run_id} --reason 'bad prompt' --yes"),
        "file": run.job.key,
        "key": stack.outputs["PutKeyCommand"],
        "put": stack.command(f"job put {run.job.key}"),
        "resume": stack.command(f"resume {run.run_id}"),
        "submit": stack.command(f"submit FILE --job {run.job.name}"),
    }
    return [way.format_map(words) for way in WAYS_OUT[run.hold.code]]
