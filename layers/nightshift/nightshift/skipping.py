"""Skipping: rows whose ticket has this job's answer to this text already are not asked again.

What the tickets say changes while other runs are applied, and a plan must come to the same bytes however often it is
begun. So what was found for a block of rows is written down before the first of them counts, and whoever comes to that
block again goes by it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, groupby

import msgspec

from nightshift import run_files
from nightshift.input_codes import InputCode
from nightshift.job import Job
from nightshift.job_sections import Table
from nightshift.model import Reject, Row, RowClass, Run
from nightshift.ports import Outputs, Tickets
from nightshift.requests import asked_digest, asking_digest
from nightshift.rows import reject_row

BLOCK = 500
"""Records that are looked up together, and held in memory meanwhile: five reads of the table, and one small object."""

READ = 100
"""Tickets of a read: DynamoDB's limit."""

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(frozenset[int]).decode


@dataclass(frozen=True, slots=True)
class Skipper:
    """Finds a run's rows that need not be asked."""

    outputs: Outputs
    tickets: Tickets
    run: Run
    table: Table
    asking: str
    """See requests.asking_digest."""

    @classmethod
    def of(cls, outputs: Outputs, tickets: Tickets | None, run: Run, job: Job) -> "Skipper | None":
        """Return what skips rows of a run; None where its job skips none, or there are no tickets to look at."""
        table = job.output.table
        if job.skip == "none" or table is None or tickets is None:
            return None
        return cls(outputs, tickets, run, table, asking_digest(job))

    def through(self, items: Iterable[Row | Reject]) -> Iterator[Row | Reject]:
        """Yield what a file has, with a reject in place of each row that is answered already."""
        for (file, number), block in groupby(items, lambda item: (item.file, (item.record - 1) // BLOCK)):
            found = list(block)
            answered = self._answered(run_files.skips(self.run.run_id, self.run.plan, file, number), found)
            for item in found:
                if item.record in answered and isinstance(item, Row):
                    code = InputCode.ALREADY_ANSWERED
                    yield reject_row(item, RowClass.SKIPPED, code, f"`{self.table.key}` has this answer already")
                else:
                    yield item

    def _answered(self, key: str, block: Sequence[Row | Reject]) -> frozenset[int]:
        """Return the records of a block that are answered, as whoever first came to it has found them."""
        if not self.outputs.tag(key):
            records = self._look([item for item in block if isinstance(item, Row) and self.table.takes(item.id)])
            with self.outputs.upload(key) as upload:
                upload.write(_encode(sorted(records)))
                upload.commit(once=True)
        with self.outputs.open(key) as stream:
            return _decode(stream.read())

    def _look(self, rows: Sequence[Row]) -> Iterator[int]:
        """Yield the records of those rows whose tickets say that they were asked this, and answered."""
        numeric = self.table.key_type == "number"
        for some in batched(rows, READ, strict=False):
            asked = self.tickets.asked(self.table.key, {row.id for row in some}, numeric=numeric)
            for row in some:
                if asked.get(row.id) == asked_digest(self.asking, row.digest):
                    yield row.record
