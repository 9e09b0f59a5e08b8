"""The cases of bad inputs that are not about a reader alone: events, objects, plans, and what comes back."""

import io
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import boto3

from nightshift import budgeting
from nightshift.adapters.attributes import to_attribute
from nightshift.adapters.s3 import S3Inputs
from nightshift.answers import answer_reader
from nightshift.errors import BadInput, BadTrigger, ResultsIncomplete
from nightshift.input_codes import InputCode
from nightshift.intake import Intake, Skipped
from nightshift.job import parse_job
from nightshift.job_sections import Output
from nightshift.model import MANIFEST, Row, Run, RunId
from nightshift.outcomes import outcomes
from nightshift.records import InputSpec
from nightshift.requests import asked_digest, asking_digest
from nightshift.rows import read
from nightshift.trigger import Ignored, Uploaded, parse
from tests.unit import made
from tests.unit.conftest import MovableClock
from tests.unit.fake_tickets import MemoryTickets
from tests.unit.fakes import MemoryInputs, Started
from tests.unit.input_cases import GOOD, JSONL, pack, verdict
from tests.unit.result_lines import labelled, succeeded
from tests.unit.test_archiving import IDS, LINES, STREAM, archive
from tests.unit.test_planning import JOB, LATER, World, batches_of, numbered
from tests.unit.test_s3 import answer_with


@dataclass(frozen=True, slots=True)
class Probe:
    """A case that is not about a reader alone."""

    number: int
    what: str
    wanted: str
    got: Callable[["Desk"], str]


class Desk:
    """A bucket, and a planner of its own for each case."""

    def __init__(self, endpoint: str) -> None:
        self.s3: Any = boto3.client("s3", endpoint_url=endpoint)
        self.bucket = f"in-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.inputs = S3Inputs(self.s3, self.bucket)

    def put(self, data: bytes, **more: Any) -> str:
        version: str = self.s3.put_object(Bucket=self.bucket, Key="inbox/job/a", Body=data, **more)["VersionId"]
        return version


def upload(key: str, **more: Any) -> dict[str, Any]:
    detail = {"bucket": {"name": "b"}, "object": {"key": key, "version-id": "v"}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail} | more


def triggered(event: Mapping[str, Any]) -> Callable[[Desk], str]:
    def got(_desk: Desk) -> str:
        try:
            found = parse(event)
        except BadTrigger:
            return "X BAD_TRIGGER"
        if isinstance(found, Ignored):
            return f"I {found.code}"
        return f"N {found.key}" if isinstance(found, Uploaded) else f"N {type(found).__name__}"

    return got


def planned(*files: str | bytes, job: str = JOB, **sizes: int) -> Callable[[Desk], str]:
    """Plan a run over files; say why it is held, or else what became of its rows that are not sent."""

    def got(_desk: Desk) -> str:
        world, run = _world(files, job, sizes)
        return _fate(world, run)

    return got


def _world(files: tuple[str | bytes, ...], job: str, changes: Mapping[str, int]) -> tuple[World, Run]:
    inputs = MemoryInputs({"jobs/triage.yaml": job.encode()})
    for number, data in enumerate(files):
        inputs.files[f"inbox/triage/{number}"] = data.encode() if isinstance(data, str) else data
    refs = tuple(replace(inputs.pin(key), **changes) for key in inputs.files if key.startswith("inbox/"))  # type: ignore[arg-type]
    run = made.run(inputs=refs)
    return World(run, inputs), run


def _fate(world: World, run: Run) -> str:
    world.planner.plan(run, LATER)
    if hold := world.ledger.held.get(run.run_id):
        codes = {code for code in InputCode if f": {code}: " in hold.reason}
        return " ".join([f"X {hold.code}", *sorted(codes)])
    rejects = b"".join(data for key, data in world.outputs.files.items() if "/rejects/" in key)
    lines = [json.loads(line) for line in rejects.splitlines()]
    found = sorted({f"{'F' if line['record'] == 0 else line['class']} {line['code']}" for line in lines})
    return ", ".join(found) or f"N {len(world.ledger.planned)} chunks"


def _twice(_desk: Desk) -> str:
    world, run = _world((numbered(2),), JOB, {})
    assert _fate(world, run) == "N 1 chunks"
    again = World(replace(run, run_id=RunId("triage-20261122-zzzzzzzz")), world.inputs)
    again.ledger.digests = world.ledger.digests
    return _fate(again, again.run)


def _answered_before(_desk: Desk) -> str:
    text = JOB.replace("carry: [at]", "table: {key: ticket_id, attribute: category}") + "skip: answered\n"
    world, run = _world((numbered(1),), text, {})
    job = parse_job(text.encode(), name="triage", key="jobs/triage.yaml")
    (row,) = read(io.BytesIO(numbered(1).encode()), InputSpec.of(job), file=0, digest="")
    assert isinstance(row, Row)
    asked = asked_digest(asking_digest(job), row.digest)
    world.tickets = MemoryTickets({"1": {"ticket_id": "1", "nightshift_asked": asked}})
    return _fate(world, run)


def _over_budget(_desk: Desk) -> str:
    run = made.run(max_usd=1)
    hold = budgeting.over_run(run, 2, run.created)
    return f"X {hold.code}" if hold else "N"


def _half_there(_desk: Desk) -> str:
    world, run = _world(('{"files": [{"file": "1"}, {"file": "2"}]}', numbered(1)), JOB, {})
    return _fate(world, replace(run, trigger=MANIFEST))


def _opened(desk: Desk, version: str | None = None) -> str:
    try:
        with desk.inputs.open(desk.inputs.pin("inbox/job/a", version)) as stream:
            return f"N {stream.read().decode()}"
    except BadInput as error:
        return f"F {error.code}"


def _deleted(desk: Desk) -> str:
    version = desk.put(b"x")
    desk.s3.delete_object(Bucket=desk.bucket, Key="inbox/job/a", VersionId=version)
    return _opened(desk, version)


def _cold(desk: Desk) -> str:
    desk.put(b"x", StorageClass="GLACIER")
    return _opened(desk)


def _denied(desk: Desk) -> str:
    version = desk.put(b"x")
    answer_with(desk.s3, "GetObject", 403, "AccessDenied")
    return _opened(desk, version)


def _overwritten(desk: Desk) -> str:
    first = desk.put(b"first")
    desk.put(b"second")
    return _opened(desk, first)


def _encoded(desk: Desk) -> str:
    desk.put(pack(GOOD), ContentEncoding="gzip")
    with desk.inputs.open(desk.inputs.pin("inbox/job/a")) as stream:
        return verdict(stream.read(), JSONL)[0]


def answered(text: str | None, **changes: Any) -> Callable[[Desk], str]:
    def got(_desk: Desk) -> str:
        (found,) = outcomes(succeeded("a", text, **changes), answer_reader(Output(labels=("billing", "other")), {}))
        return f"R {found.row_class}"

    return got


def collected(data: bytes) -> Callable[[Desk], str]:
    def got(_desk: Desk) -> str:
        try:
            found, _ = archive(data)
        except ResultsIncomplete:
            return "R incomplete"
        return f"N {found.lines} results"

    return got


def _jobless(_desk: Desk) -> str:
    nothing: Any = None
    intake = Intake(nothing, MemoryInputs({"inbox/job/a": GOOD}), Started(), MovableClock())
    (found,) = intake.open(Uploaded("job", "inputs", "inbox/job/a", "v1"), owner="me", working_until=None)
    return f"I {found.reason.partition(':')[0]}" if isinstance(found, Skipped) else "N"


def _digits(_desk: Desk) -> str:
    value: Any = to_attribute(int("9" * 40))
    return f"N {next(iter(value))}"


E = '{"id": "%s", "body": "%s"}\n'
BAD = '{"id": "x", "body": "caf\udce9"}\n'.encode(errors="surrogateescape")
CAFE, CAFE_NFC = "cafe\u0301", "caf\u00e9"
LIMITS = "max_reject_ratio: 0.5, max_text_bytes: 1000000"
LARGE = JOB.replace("max_reject_ratio: 0.5", LIMITS) + "model: claude-haiku-5-5\n"
SMALL = LARGE.replace("haiku-5-5", "haiku-4-5")
FEW_TOKENS = LARGE.replace(LIMITS, f"{LIMITS}, max_prompt_tokens: 200000")
WORDS = E % ("w", "word " * 180_000)
PROBES = [
    Probe(11, "more bad rows than allowed", "X TOO_MANY_REJECTS", planned(numbered(2).encode() + BAD * 3)),
    Probe(34, "an id twice, same body", "duplicate DUPLICATE_ROW", planned(E % (1, "a") * 2)),
    Probe(35, "an id twice, other body", "rejected ID_CONFLICT", planned(E % (1, "a") + E % (1, "b"))),
    Probe(36, "ids equal after NFC", "duplicate DUPLICATE_ROW", planned(E % (CAFE, "a") + E % (CAFE_NFC, "a"))),
    Probe(36, "the same, other body", "rejected ID_CONFLICT", planned(E % (CAFE, "a") + E % (CAFE_NFC, "b"))),
    Probe(38, "skip: answered", "skipped ALREADY_ANSWERED", _answered_before),
    Probe(39, "same rows as an earlier run", "X SAME_ROWS", _twice),
    Probe(43, "more tokens than wanted", "rejected TOO_MANY_TOKENS", planned(numbered(1) + WORDS, job=FEW_TOKENS)),
    Probe(43, "more tokens than the model takes", "rejected TOO_MANY_TOKENS", planned(numbered(1) + WORDS, job=SMALL)),
    Probe(43, "as many words as a larger model takes", "N 1 chunks", planned(numbered(1) + WORDS, job=LARGE)),
    Probe(67, "folder marker", "I FOLDER_MARKER", triggered(upload("inbox/job/"))),
    Probe(68, "a key with + and %2B and a space", "N inbox/job/a+b%2B c ü", triggered(upload("inbox/job/a+b%2B c ü"))),
    Probe(69, "a key outside the inbox", "I OUTSIDE_INBOX", triggered(upload("elsewhere/a"))),
    Probe(69, "no such job", "I UNKNOWN_JOB", _jobless),
    Probe(70, "our own output", "I SELF_TRIGGER", triggered(upload("runs/x/output/a"))),
    Probe(71, "deleted before it is read", "F GONE", _deleted),
    Probe(72, "delete marker", "I DELETED", triggered(upload("inbox/job/a", **{"detail-type": "Object Deleted"}))),
    Probe(73, "in an archive", "F ARCHIVED", _cold),
    Probe(74, "denied", "F ACCESS_DENIED", _denied),
    Probe(75, "overwritten", "N first", _overwritten),
    Probe(76, "20 GB", "X NO_USABLE_INPUT FILE_TOO_LARGE", planned(numbered(1), size=20_000_000_000)),
    Probe(66, "Content-Encoding: gzip", "N", _encoded),
    Probe(77, "more rows than a batch takes", "N 3 chunks", planned(numbered(5), job=batches_of(2))),
    Probe(77, "more money than the job allows", "X OVER_MAX_USD", _over_budget),
    Probe(78, "a file that a manifest lists is missing", "X MANIFEST_MISMATCH", _half_there),
    Probe(79, "the same file twice", "X SAME_ROWS", _twice),
    Probe(80, "S3's test event", "I TEST_EVENT", triggered({"Event": "s3:TestEvent"})),
    Probe(80, "no Records", "I OTHER_EVENT", triggered({"Records": []})),
    Probe(80, "unknown kind", "I OTHER_EVENT", triggered(upload("a", **{"detail-type": "Object Tagged"}))),
    Probe(81, "no scheduled_time", "X BAD_TRIGGER", triggered({"source": "nightshift.schedule"})),
    Probe(
        81, "bad scheduled_time", "X BAD_TRIGGER", triggered({"source": "nightshift.schedule", "scheduled_time": "2"})
    ),
    Probe(82, "40 digits for DynamoDB", "N S", _digits),
    Probe(83, "label outside the list", "R invalid", answered('{"label": "spam"}')),
    Probe(83, "prose", "R invalid", answered("It is billing.")),
    Probe(83, "cut off", "R invalid", answered('{"label": "billing"}', stop_reason="max_tokens")),
    Probe(83, "no content", "R invalid", answered(None)),
    Probe(83, "refusal", "R refused", answered("no", stop_reason="refusal")),
    Probe(84, "a result twice", "N 5 results", collected(STREAM + LINES[0])),
    Probe(84, "a result is missing", "R incomplete", collected(b"".join(LINES[1:]))),
    Probe(84, "a result of no row of ours", "R incomplete", collected(STREAM + labelled(IDS[0][:-6] + "000099"))),
    Probe(84, "a line without an id", "R incomplete", collected(STREAM + b"{}\n")),
]
