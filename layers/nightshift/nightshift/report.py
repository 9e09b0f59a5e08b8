"""Report: what became of every row of a run. The smallest honest one: it adds up, or the run does not end.

`report.json` is a function of the ledger and the files, so writing it again is harmless. Its fields:

run_id, job {name, key, version_id}, trigger
state           "done", "held", or "open": more is to come
hold            {code, reason, at} or null
inputs          [{uri, version_id, size (bytes), last_modified}]
created, first_sent, last_ended, reported       ISO 8601, UTC, or null
rows            records read from the inputs; 0 until the plan is finished
counts          {class: rows}, every class
waiting         rows in no class yet: in flight, planned, or to be asked again
accounted       true when the plan is finished and the counts sum to `rows`
reject_codes    {code: rows} of the rows that were never sent
usage           {token count by the API's name: tokens}
service_tiers   {tier: rows}: only `batch` is discounted
tickets         {written, unchanged, refused}: refused ones are listed in `refused/`, their answers are in `output/`
strange         lines of the API's results that are no result of a row: kept beside the archive, in `raw/`
generations     how often rows were asked: 1 without retries
batches         [{batch_id, chunk, rows, state, request_counts, created, ended, adopted, strange}]
files           {"output", "failed", "rejects", "refused", "raw": [uri, …]}
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

import msgspec

from nightshift import run_files
from nightshift.decision import MOVING, fingerprint, next_generation_due
from nightshift.model import Chunk, ChunkState, Hold, HoldCode, InputRef, RowClass, Run, RunId, Tally
from nightshift.ports import Clock, Ledger, Outputs

type Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes a run's report, and ends the run where every row is accounted for."""

    ledger: Ledger
    outputs: Outputs
    clock: Clock

    def report(self, run_id: RunId) -> Report:
        """Write `runs/<run_id>/report.json` and return it.

        A run in which nothing is left to do is done, if its rows add up. If they do not, it is held instead. A reporter
        that is overtaken leaves the other's report alone, which knows more: a late one must not stand for good.
        """
        before = self.outputs.tag(run_files.report(run_id))
        run, chunks = self.ledger.run(run_id), self.ledger.chunks(run_id)
        total = _total(run, chunks)
        finished = _finished(run, chunks)
        if finished and not _accounted(run, total):
            self.ledger.hold(run_id, _rows_astray(run, total, self.clock()))
            run = self.ledger.run(run_id)
        done = finished and run.hold is None
        report = self._report(run, chunks, total, state="done" if done else "held" if run.hold else "open")
        text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        if self.outputs.replace(run_files.report(run_id), text, before):
            run = self._release(run, chunks)
            self.ledger.reported(run_id, fingerprint(run, chunks), done=done)
            self._release(self.ledger.run(run_id), chunks)
        return report

    def _release(self, run: Run, chunks: Sequence[Chunk]) -> Run:
        """Release the money of a run that sends nothing more until a person says so, or at all; return the run."""
        if run.reserved is None or any(chunk.state in MOVING for chunk in chunks):
            return run
        self.ledger.settle_nothing_more(run)
        return self.ledger.run(run.run_id)

    def _report(self, run: Run, chunks: Sequence[Chunk], total: Tally, *, state: str) -> Report:
        sent = [chunk for chunk in chunks if chunk.batch_id is not None]
        return {
            "run_id": run.run_id,
            "job": run.job,
            "trigger": run.trigger,
            "state": state,
            "hold": run.hold,
            "inputs": [_input(ref) for ref in run.inputs],
            "created": run.created,
            "first_sent": min((chunk.sent_at for chunk in sent if chunk.sent_at), default=None),
            "last_ended": max((chunk.ended_at for chunk in sent if chunk.ended_at), default=None),
            "reported": self.clock(),
            "rows": run.rows,
            "counts": {row_class: total.rows.get(row_class, 0) for row_class in RowClass},
            "waiting": max(0, run.rows - sum(total.rows.values())),
            "accounted": _accounted(run, total),
            "reject_codes": self._reject_codes(run.run_id),
            "usage": total.usage,
            "service_tiers": total.service_tiers,
            "tickets": {
                "written": total.tickets_written,
                "unchanged": total.tickets_unchanged,
                "refused": total.tickets_refused,
            },
            "strange": sum(_strange(chunk) for chunk in chunks),
            "generations": 1 + max((chunk.generation for chunk in sent), default=0),
            "batches": [_batch(chunk) for chunk in sent],
            "files": self._files(run.run_id),
        }

    def _reject_codes(self, run_id: RunId) -> Mapping[str, int]:
        codes: Counter[str] = Counter()
        for key in self.outputs.keys(run_files.rejects(run_id)):
            with self.outputs.open(key) as lines:
                codes.update(_REJECT.decode(line).code for line in lines)
        return dict(codes)

    def _files(self, run_id: RunId) -> Mapping[str, Sequence[str]]:
        home = run_files.home(run_id)
        return {
            folder: [self.outputs.uri(key) for key in self.outputs.keys(f"{home}{folder}/")]
            for folder in ("output", "failed", "rejects", "refused", "raw")
        }


class _Reject(msgspec.Struct):
    code: str


_REJECT = msgspec.json.Decoder(_Reject)


def _total(run: Run, chunks: Sequence[Chunk]) -> Tally:
    """Add up every class: rows that were never sent, and what became of those that were."""
    return reduce(Tally.__add__, (part for chunk in chunks for part in (chunk.planned, chunk.tally)), run.leftover)


def _finished(run: Run, chunks: Sequence[Chunk]) -> bool:
    """Tell whether nothing is left to do: all is planned, sent and collected, and nothing may be asked again."""
    collected = all(chunk.state is ChunkState.COLLECTED for chunk in chunks)
    return run.planned and collected and not next_generation_due(run, chunks)


def _accounted(run: Run, total: Tally) -> bool:
    return run.planned and sum(total.rows.values()) == run.rows


def _rows_astray(run: Run, total: Tally, now: datetime) -> Hold:
    counted = sum(total.rows.values())
    reason = (
        f"Everything is collected, but {run.rows} rows were read and {counted} are in a class. "
        f"The files below {run_files.home(run.run_id)} tell which; this is a defect of nightshift, please report it."
    )
    return Hold(HoldCode.ROWS_ASTRAY, reason, now)


def _input(ref: InputRef) -> Report:
    return {
        "uri": f"s3://{ref.bucket}/{ref.key}",
        "version_id": ref.version_id,
        "size": ref.size,
        "last_modified": ref.last_modified,
    }


def _batch(chunk: Chunk) -> Report:
    return {
        "batch_id": chunk.batch_id,
        "chunk": chunk.id,
        "rows": chunk.rows,
        "state": chunk.state,
        "request_counts": chunk.request_counts,
        "created": chunk.sent_at,
        "ended": chunk.ended_at,
        "adopted": chunk.adopted,
        "strange": _strange(chunk),
    }


def _strange(chunk: Chunk) -> int:
    return chunk.archive.strange if chunk.archive else 0
