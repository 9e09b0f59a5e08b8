"""`nightshift forget`: what it takes a row out of, what it leaves, and when it does nothing.

tests/integration/test_forget.py looks for every word of a row in all that the stack keeps.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nightshift import run_files
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.adapters.s3 import S3Inputs
from nightshift.model import BatchId, ChunkState, Hold, HoldCode, InputRef, RowClass, Tally
from nightshift_cli import forgetting
from nightshift_cli.exits import Exit
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.conftest import START
from tests.unit.made import RUN, chunk, run
from tests.unit.night import JOB as TABLE_JOB
from tests.unit.night import ids, planned_line
from tests.unit.result_lines import labelled

ROW = b'{"id": "vera", "body": "wants her money back"}\n'
OTHER = b'{"id": "other", "body": "a question"}\n'
KEY = "inbox/triage/a.jsonl"
RAW = run_files.raw(RUN, chunk().id, BatchId("msgbatch_1"))


@dataclass
class Kept:
    """A stack that keeps a run of two rows."""

    stack: CliStack

    def __call__(self, *words: str) -> Said:
        return self.stack("forget", "vera", *words)

    def upload(self, text: bytes) -> InputRef:
        self.stack.client("s3").put_object(Bucket=self.stack.inputs, Key=KEY, Body=text)
        return S3Inputs(self.stack.client("s3"), self.stack.inputs).pin(KEY)

    def versions(self) -> list[tuple[str, bool]]:
        page = self.stack.client("s3").list_object_versions(Bucket=self.stack.inputs, Prefix="inbox/")
        return [(each["VersionId"], each["IsLatest"]) for each in page.get("Versions", [])]

    def put(self, key: str, data: bytes) -> None:
        self.stack.client("s3").put_object(Bucket=self.stack.outputs, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        body: bytes = self.stack.client("s3").get_object(Bucket=self.stack.outputs, Key=key)["Body"].read()
        return body

    def run(self, *refs: InputRef, hold: Hold | None = None, done: bool = True, verify: int = 0, **more: Any) -> None:
        """Put a run over these inputs, whose chunk is collected."""
        names, ledger = ids(chunk().id, 2), self.stack.ledger
        self.put(run_files.job(RUN, 1), TABLE_JOB)
        rows = [
            planned_line(name, n, id=row) for n, (name, row) in enumerate(zip(names, ("vera", "other"), strict=True))
        ]
        self.put(run_files.ids(RUN, chunk().id, 1), b"".join(rows))
        self.put(RAW, labelled(names[0]) + labelled(names[1]))
        begun = run(inputs=refs)
        ledger.create_run(begun)
        collected: dict[str, Any] = {"state": ChunkState.COLLECTED, "rows": 2, "tally": Tally({RowClass.ANSWERED: 2})}
        ledger.plan_chunk(replace(chunk(), **(collected | more)))
        ledger.finish_plan(replace(begun, rows=2, plan_digest="d", verify=verify))
        if hold is not None:
            ledger.hold(RUN, hold)
        elif done:
            ledger.reported(RUN, "f", done=True)

    def ticket(self, **attributes: str) -> None:
        item = {name: {"S": value} for name, value in ({"ticket_id": "vera"} | attributes).items()}
        self.stack.client("dynamodb").put_item(TableName=f"tickets-{self.stack.name}", Item=item)

    def tickets(self) -> list[dict[str, str]]:
        items = self.stack.client("dynamodb").scan(TableName=f"tickets-{self.stack.name}")["Items"]
        return [{name: value["S"] for name, value in item.items()} for item in items]


@pytest.fixture
def kept(aws_endpoint: str, ledger: DynamoLedger, runs_table: str) -> Iterator[Kept]:
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        stack.client("dynamodb").create_table(
            TableName=(table := f"tickets-{stack.name}"),
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "ticket_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "ticket_id", "KeyType": "HASH"}],
        )
        plane.stacks[stack.name] = {**plane.stacks[stack.name], "TicketTableName": table}
        stack.put_job(TABLE_JOB)
        versioned: Any = {"Status": "Enabled"}
        stack.client("s3").put_bucket_versioning(Bucket=stack.outputs, VersioningConfiguration=versioned)
        yield Kept(stack)


def test_what_holds_the_row_is_listed_with_sizes_and_a_dry_run_leaves_it(kept: Kept) -> None:
    ref = kept.upload(ROW + OTHER)
    kept.run(ref)
    kept.ticket(category="billing", nightshift_order="2026", nightshift_run=RUN)
    before = kept.get(RAW)

    said = kept("--dry-run")

    ids_key = run_files.ids(RUN, chunk().id, 1)
    sizes = [len(kept.get(key)) for key in (RAW, ids_key)]
    assert said == Said(
        Exit.DONE,
        [
            f"rewrite  {RAW} ({sizes[0]:,} bytes): 1 line",
            f"rewrite  {ids_key} ({sizes[1]} bytes): 1 line",
            f"delete   {KEY} version {ref.version_id} ({ref.size} bytes), with all its 2 rows",
            "delete   ticket vera: category, nightshift_order, nightshift_run",
        ],
        ["nothing is done: this was a dry run"],
    )
    assert (kept.get(RAW), len(kept.tickets())) == (before, 1)
    assert kept("--json").status == Exit.USAGE
    assert kept.versions() == [(ref.version_id, True)]


def test_other_rows_stay_and_an_archive_keeps_its_size(kept: Kept) -> None:
    kept.run(kept.upload(ROW + OTHER))
    before = kept.get(RAW)

    assert kept("--yes").status == Exit.DONE

    first, second = kept.get(RAW).splitlines(keepends=True)
    assert (len(kept.get(RAW)), second) == (len(before), before.splitlines(keepends=True)[1])
    assert json.loads(first) == {"custom_id": ids(chunk().id, 1)[0], "result": {"type": "forgotten"}}
    planned = [json.loads(line) for line in kept.get(run_files.ids(RUN, chunk().id, 1)).splitlines()]
    assert [(line["id"], line["digest"]) for line in planned] == [("forgotten", ""), ("other", "d1")]
    assert kept("--yes").out == ["the stack holds nothing of vera"]


def test_what_was_written_over_is_gone_too_now_and_before(kept: Kept) -> None:
    kept.run(kept.upload(ROW + OTHER))
    strange = b'{"custom_id": "' + ids(chunk().id, 1)[0].encode() + b'", vera said no json at all\n'
    kept.put(RAW, kept.get(RAW) + strange)  # over an older version
    kept.put(f"{run_files.home(RUN)}report.json", b'{"rows": 1, "said": "vera"}')
    kept.put(f"{run_files.home(RUN)}report.json", b'{"rows": 1}')

    assert kept("--yes").status == Exit.DONE

    s3, bucket = kept.stack.client("s3"), kept.stack.outputs
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    texts = [s3.get_object(Bucket=bucket, Key=v["Key"], VersionId=v["VersionId"])["Body"].read() for v in versions]
    assert len(texts) == 4
    assert not any(b"vera" in text for text in texts)


def test_a_long_id_is_found_where_its_row_was_rejected_and_only_its_beginning_is_known(kept: Kept) -> None:
    kept.run(kept.upload(OTHER))
    name = "v" * 200
    ref = kept.upload(b'{"id": "%s", "body": ""}\n' % name.encode() + OTHER)
    kept.stack.client("s3").put_object(Bucket=kept.stack.inputs, Key=KEY, Body=OTHER)

    said = kept.stack("forget", name, "--dry-run")

    assert said.out == [f"delete   {KEY} version {ref.version_id} ({ref.size} bytes), with all its 2 rows"]


def test_a_line_too_short_to_keep_its_size_says_nothing_and_stays_and_a_strange_one_goes() -> None:
    name = ids(chunk().id, 1)[0]
    short = b'{"custom_id":"' + name.encode() + b'","result":{"type":"expired"}}\n'
    lines = [short, b'{"custom_id": "' + name.encode() + b'", no json at all\n', labelled(name)]

    redacted = [forgetting._result(line) for line in lines]

    assert [len(line) for line in redacted] == [len(line) for line in lines]
    assert redacted[0] == lines[0]
    assert json.loads(redacted[1]) == {}
    assert b"billing" not in redacted[2]


def test_a_ticket_keeps_what_is_not_ours(kept: Kept) -> None:
    kept.run(kept.upload(OTHER))
    kept.ticket(category="billing", nightshift_order="2026", owner="me")

    assert "remove   ticket vera: category, nightshift_order" in kept("--dry-run").out
    kept("--yes")

    assert kept.tickets() == [{"ticket_id": "vera", "owner": "me"}]


def test_a_ticket_that_nightshift_never_wrote_to_is_left_alone(kept: Kept) -> None:
    kept.ticket(category="billing")
    assert kept("--yes").out == ["the stack holds nothing of vera"]
    assert kept.tickets() == [{"ticket_id": "vera", "category": "billing"}]


@pytest.mark.parametrize(
    ("hold", "more", "look"),
    [
        (None, {"state": ChunkState.SENT}, "watch"),
        (Hold(HoldCode.BY_HAND, "wait", START), {"state": ChunkState.PLANNED}, "show"),
        (Hold(HoldCode.BY_HAND, "wait", START), {"tally": Tally(retryable=2)}, "show"),
    ],
    ids=["at work", "to be sent", "to be asked again"],
)
def test_a_run_that_may_still_ask_the_row_is_named_and_nothing_is_done(
    kept: Kept, hold: Hold | None, more: dict[str, Any], look: str
) -> None:
    ref = kept.upload(ROW + OTHER)
    kept.run(ref, hold=hold, done=False, **more)
    before = kept.get(RAW)

    said = kept("--yes")

    told = f"run {RUN} has the row and is not finished: once it is, say this again. nightshift {look} {RUN}"
    assert said == Said(Exit.FAILED, [], [told])
    assert (kept.get(RAW), kept.versions()) == (before, [(ref.version_id, True)])


def test_a_run_whose_sample_is_still_to_be_compared_is_not_finished(kept: Kept) -> None:
    kept.run(kept.upload(ROW), verify=20)
    assert kept("--yes").err[0].startswith(f"run {RUN} has the row and is not finished")


def test_interrupted_anywhere_the_same_command_does_the_rest(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.run(kept.upload(ROW + OTHER))
    applied, apply = list[str](), forgetting.Change.apply

    def interrupted(change: forgetting.Change, outputs: Any) -> None:
        if applied:
            raise KeyboardInterrupt
        applied.append(change.key)
        apply(change, outputs)

    monkeypatch.setattr(forgetting.Change, "apply", interrupted)
    assert kept("--yes").status == Exit.INTERRUPTED
    monkeypatch.setattr(forgetting.Change, "apply", apply)
    assert kept("--yes").status == Exit.DONE

    assert json.loads(kept.get(RAW).splitlines()[0])["result"] == {"type": "forgotten"}
    assert b"vera" not in kept.get(run_files.ids(RUN, chunk().id, 1))


def test_a_run_that_is_not_planned_yet_and_has_the_rows_input_is_named(kept: Kept) -> None:
    ref = kept.upload(ROW)
    kept.stack.ledger.create_run(run(inputs=(ref,)))

    assert kept("--yes").err[0].startswith(f"run {RUN} has the row and is not finished")
    assert kept.versions() == [(ref.version_id, True)]


def test_a_held_run_of_which_nothing_more_comes_forgets(kept: Kept) -> None:
    kept.run(kept.upload(ROW), hold=Hold(HoldCode.CANCELED, "enough", START))
    assert kept("--yes").status == Exit.DONE
    assert kept.versions() == []


def test_a_file_that_waits_for_its_run_is_named_and_stays(kept: Kept) -> None:
    ref = kept.upload(ROW + OTHER)

    said = kept("--yes")

    assert said.status == Exit.FAILED
    assert said.err[0].startswith(f"s3://{kept.stack.inputs}/{KEY} has the row and waits for a run")
    assert kept.versions() == [(ref.version_id, True)]


def test_an_older_version_does_not_become_the_current_one_when_that_is_deleted(kept: Kept) -> None:
    older = kept.upload(OTHER)
    kept.run(kept.upload(ROW))

    kept("--yes")

    assert kept.versions() == [(older.version_id, False)]
    assert list(S3Inputs(kept.stack.client("s3"), kept.stack.inputs).newest("inbox/")) == []


def test_only_what_one_job_has_is_looked_at_where_it_is_named(kept: Kept) -> None:
    kept.run(kept.upload(ROW))
    assert kept("--job", "another", "--yes").out == ["the stack holds nothing of vera"]
    assert kept("--job", "triage", "--dry-run").out != ["the stack holds nothing of vera"]


def test_an_input_that_cannot_be_looked_into_is_named(kept: Kept) -> None:
    ref = kept.upload(b"\x1f\x8bno gzip")

    said = kept("--yes")

    assert said.out == ["the stack holds nothing of vera"]
    assert said.err[0].startswith(f"not looked into: s3://{kept.stack.inputs}/{KEY} version {ref.version_id}: ")


def test_a_job_with_another_key_than_the_table_s_keeps_nobody_from_being_forgotten(kept: Kept) -> None:
    strange = TABLE_JOB.replace(b"job: triage", b"job: strange").replace(b"ticket_id", b"number")
    kept.stack.client("s3").put_object(Bucket=kept.stack.inputs, Key="jobs/strange.yaml", Body=strange)
    kept.ticket(category="billing", nightshift_run=RUN)

    said = kept("--yes")

    assert said.status == Exit.DONE
    assert "not looked into: tickets by number (string), as a job has it: the table's key is another" in said.err
    assert kept.tickets() == []
