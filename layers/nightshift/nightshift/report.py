"""Report: what became of every row of a run, and of its money. It adds up, or the run does not end.

`report.json` (report_model.py) is a function of the ledger and the files, and `report.html` one of `report.json`:
writing them again is harmless.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Literal

import msgspec

from nightshift import report_sections, run_files
from nightshift.decision import MOVING, fingerprint, next_generation_due
from nightshift.merging import merge, point
from nightshift.model import Chunk, ChunkState, Hold, HoldCode, InputRef, RowClass, Run, RunId, RunState, Tally
from nightshift.ports import Clock, Ledger, Outputs
from nightshift.report_headline import headline
from nightshift.report_model import Report, Verification, verification, written
from nightshift.report_page import page
from nightshift.report_parts import Batch, Input, Tickets

type Folder = Literal["output", "failed", "rejects", "refused", "raw"]
FOLDERS: Sequence[Folder] = ("output", "failed", "rejects", "refused", "raw")


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes a run's report, and ends the run where every row is accounted for."""

    ledger: Ledger
    outputs: Outputs
    clock: Clock

    def report(self, run_id: RunId) -> Report:
        """Write `report.json` and `report.html` below `runs/<run_id>/`, and return the report.

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
        if done and run.state is RunState.OPEN:  # what is done has them already
            point(self.outputs, run, total, merge(self.outputs, run))
        report = self._report(run, chunks, total, "done" if done else "held" if run.hold else "open")
        text, html = written(report), page(report)
        if self.outputs.replace(run_files.report(run_id), text, before):
            self._put_page(run_id, html, text)
            # At what this report saw: the run may have been resumed meanwhile, and then it wants another one.
            seen = replace(run, reserved=self._release(run, chunks).reserved)
            self.ledger.reported(run_id, fingerprint(seen, chunks), done=done)
            self._release(self.ledger.run(run_id), chunks)
        return report

    def _put_page(self, run_id: RunId, html: bytes, text: bytes) -> None:
        """Put the page beside its report, so long as that stands: whoever replaces it brings another page."""
        key = run_files.report_page(run_id)
        while True:
            before = self.outputs.tag(key)
            with self.outputs.open(run_files.report(run_id)) as standing:
                if standing.read() != text:
                    return
            if self.outputs.replace(key, html, before):
                return

    def _release(self, run: Run, chunks: Sequence[Chunk]) -> Run:
        """Release the money of a run that sends nothing more until a person says so, or at all; return the run."""
        if run.reserved is None or any(chunk.state in MOVING for chunk in chunks):
            return run
        self.ledger.settle_nothing_more(run)
        return self.ledger.run(run.run_id)

    def _report(
        self, run: Run, chunks: Sequence[Chunk], total: Tally, state: Literal["open", "held", "done"]
    ) -> Report:
        sent = [chunk for chunk in chunks if chunk.batch_id is not None]
        accounted = _accounted(run, total)
        timings = report_sections.timings(run, sent, self.clock())
        return Report(
            run_id=run.run_id,
            headline=headline(run, total, state),
            job=run.job,
            job_file=self.outputs.uri(run_files.job(run.run_id, run.plan)),
            trigger=run.trigger,
            state=state,
            hold=run.hold,
            home=self.outputs.uri(run_files.home(run.run_id)),
            inputs=[_input(ref) for ref in run.inputs],
            created=run.created,
            first_sent=timings.first_sent,
            last_ended=timings.last_ended,
            reported=timings.reported,
            rows=run.rows,
            counts={row_class: total.rows.get(row_class, 0) for row_class in RowClass},
            waiting=max(0, run.rows - sum(total.rows.values())),
            accounted=accounted,
            reject_codes=self._reject_codes(run),
            changes=total.changes,
            reasons=total.reasons,
            answers=total.labels,
            usage=total.usage,
            tokens=report_sections.tokens(total),
            service_tiers=total.service_tiers,
            discount=report_sections.discount(total),
            cost=report_sections.cost(run, total, accounted=accounted),
            cache=report_sections.cache(run, total, accounted=accounted),
            pilot=report_sections.pilot(run, sent),
            timings=timings,
            tickets=_tickets(total),
            strange=sum(_strange(chunk) for chunk in chunks),
            generations=1 + max((chunk.generation for chunk in sent), default=0),
            batches=[_batch(chunk, priced=run.prices is not None) for chunk in sent],
            files=self._files(run),
            merged=self._merged(run.run_id),
            verification=self._verification(run.run_id),
        )

    def _reject_codes(self, run: Run) -> Mapping[str, int]:
        codes: Counter[str] = Counter()
        for key in self.outputs.keys(run_files.rejects(run.run_id, run.plan)):
            with self.outputs.open(key) as lines:
                codes.update(_REJECT.decode(line).code for line in lines)
        return dict(codes)

    def _files(self, run: Run) -> Mapping[Folder, Sequence[str]]:
        home = run_files.home(run.run_id)
        prefixes = {folder: f"{home}{folder}/" for folder in FOLDERS}
        prefixes["rejects"] = run_files.rejects(run.run_id, run.plan)
        return {folder: [self.outputs.uri(key) for key in self.outputs.keys(p)] for folder, p in prefixes.items()}

    def _merged(self, run_id: RunId) -> str | None:
        return next((self.outputs.uri(key) for key in self.outputs.keys(run_files.merged(run_id, ""))), None)

    def _verification(self, run_id: RunId) -> Verification | None:
        key = run_files.verification(run_id)
        if key not in self.outputs.keys(key):
            return None
        with self.outputs.open(key) as stream:
            return verification(stream.read())


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


def _input(ref: InputRef) -> Input:
    uri = f"s3://{ref.bucket}/{ref.key}"
    return Input(uri=uri, version_id=ref.version_id, size=ref.size, last_modified=ref.last_modified)


def _tickets(total: Tally) -> Tickets:
    return Tickets(written=total.tickets_written, unchanged=total.tickets_unchanged, refused=total.tickets_refused)


def _batch(chunk: Chunk, *, priced: bool) -> Batch:
    return Batch(
        batch_id=chunk.batch_id,
        chunk=chunk.id,
        rows=chunk.rows,
        state=chunk.state,
        request_counts=chunk.request_counts,
        created=chunk.sent_at,
        ended=chunk.ended_at,
        adopted=chunk.adopted,
        strange=_strange(chunk),
        cost_usd=report_sections.in_usd(sum(chunk.tally.paid.values())) if priced else None,
    )


def _strange(chunk: Chunk) -> int:
    return chunk.archive.strange if chunk.archive else 0
