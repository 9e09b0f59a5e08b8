"""The S3 adapter against a real S3 API (moto's server)."""

import io
import tracemalloc
import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from nightshift.adapters import multipart
from nightshift.adapters.multipart import PART
from nightshift.adapters.s3 import AHEAD, BLOCK, S3Inputs, S3Outputs
from nightshift.errors import BadInput, BadJob, Conflict
from nightshift.model import InputRef, JobRef
from nightshift.rows import check
from tests.unit.parquet_cases import PARQUET, TEXTS

type Client = Any


@pytest.fixture
def s3(aws_endpoint: str) -> Client:
    return boto3.client("s3", endpoint_url=aws_endpoint)


@pytest.fixture
def bucket(s3: Client) -> str:
    name = f"bucket-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def inputs(s3: Client, bucket: str) -> S3Inputs:
    return S3Inputs(s3, bucket)


@pytest.fixture
def outputs(s3: Client, bucket: str) -> S3Outputs:
    return S3Outputs(s3, bucket)


def put(s3: Client, bucket: str, key: str, body: bytes, **more: Any) -> str:
    version: str = s3.put_object(Bucket=bucket, Key=key, Body=body, **more)["VersionId"]
    return version


def stored(s3: Client, bucket: str, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def parts_left(s3: Client, bucket: str) -> list[Any]:
    uploads: list[Any] = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return uploads


class TestPinning:
    def test_a_pinned_version_is_read_although_a_newer_one_stands(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        first = put(s3, bucket, "inbox/job/a.jsonl", b"first")
        ref = inputs.pin("inbox/job/a.jsonl")
        put(s3, bucket, "inbox/job/a.jsonl", b"second")
        with inputs.open(ref) as stream:
            assert stream.read() == b"first"
        assert ref == InputRef(bucket, "inbox/job/a.jsonl", first, 5, ref.last_modified)

    def test_a_pinned_version_is_read_although_the_object_was_deleted(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "inbox/job/a.jsonl", b"first")
        ref = inputs.pin("inbox/job/a.jsonl")
        s3.delete_object(Bucket=bucket, Key="inbox/job/a.jsonl")
        with inputs.open(ref) as stream:
            assert stream.read() == b"first"

    def test_without_a_version_the_newest_is_pinned_and_with_one_that_one(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        first, second = put(s3, bucket, "k", b"1"), put(s3, bucket, "k", b"22")
        assert [(ref.version_id, ref.size) for ref in (inputs.pin("k"), inputs.pin("k", first))] == [
            (second, 2),
            (first, 1),
        ]

    @pytest.mark.parametrize("version", [None, "8df1a1d2-0c4e-4b0f-a5a4-5a1c6b6a0000"])
    def test_what_is_not_there_is_refused_as_gone(self, inputs: S3Inputs, version: str | None) -> None:
        with pytest.raises(BadInput, match=r"^GONE: ") as refused:
            inputs.pin("inbox/job/none.jsonl", version)
        assert refused.value.code == "GONE"

    def test_a_deleted_object_is_refused_as_gone(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        put(s3, bucket, "k", b"1")
        marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
        for version in (None, marker):
            with pytest.raises(BadInput, match=r"^GONE: "):
                inputs.pin("k", version)

    def test_a_version_that_went_after_pinning_is_refused_as_gone(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "k", b"1")
        ref = inputs.pin("k")
        s3.delete_object(Bucket=bucket, Key="k", VersionId=ref.version_id)
        with pytest.raises(BadInput, match=r"^GONE: "), inputs.open(ref):
            pass

    def test_an_archived_object_is_refused_and_its_restored_copy_is_not(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "cold", b"1", StorageClass="DEEP_ARCHIVE")
        with pytest.raises(BadInput, match=r"^ARCHIVED: "):
            inputs.pin("cold")
        s3.restore_object(Bucket=bucket, Key="cold", RestoreRequest={"Days": 1})
        assert inputs.pin("cold").size == 1

    def test_an_object_archived_after_pinning_is_refused(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        version = put(s3, bucket, "cold", b"1", StorageClass="GLACIER")
        ref = InputRef(bucket, "cold", version, 1, inputs.newest("")[0].last_modified)  # type: ignore[index]
        with pytest.raises(BadInput, match=r"^ARCHIVED: "), inputs.open(ref):
            pass

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    def test_a_denied_read_is_refused_with_its_own_code(
        self, s3: Client, bucket: str, inputs: S3Inputs, operation: str
    ) -> None:
        put(s3, bucket, "k", b"1")
        answer_with(s3, operation, 403, "AccessDenied")
        with pytest.raises(BadInput, match=r"^ACCESS_DENIED: "), inputs.open(inputs.pin("k")):
            pass

    def test_an_error_that_says_nothing_about_the_file_goes_through(self, s3: Client, inputs: S3Inputs) -> None:
        answer_with(s3, "HeadObject", 400, "ExpiredToken")
        with pytest.raises(ClientError, match="ExpiredToken"):
            inputs.pin("k")


class TestSeeking:
    DATA = bytes(range(256)) * 12_000
    """Three blocks, and not a whole number of them."""

    def test_any_place_of_a_pinned_version_can_be_read(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        put(s3, bucket, "k", self.DATA)
        ref = inputs.pin("k")
        put(s3, bucket, "k", b"newer")
        with inputs.open(ref, seekable=True) as stream:
            assert (stream.seek(-5, io.SEEK_END), stream.read()) == (len(self.DATA) - 5, self.DATA[-5:])
            assert (stream.seek(1_000), stream.read(AHEAD + 1)) == (1_000, self.DATA[1_000 : AHEAD + 1_001])
            assert (stream.seek(3, io.SEEK_CUR), stream.read(2)) == (AHEAD + 1_004, self.DATA[AHEAD + 1_004 :][:2])
            assert (stream.seek(len(self.DATA) + 9), stream.read()) == (len(self.DATA) + 9, b"")
            with pytest.raises(ValueError, match="before the start"):
                stream.seek(-1)

    def test_it_is_read_in_large_pieces_and_each_is_asked_for_once(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "k", self.DATA)
        asked: list[str] = []
        s3.meta.events.register("before-send.s3.GetObject", lambda request, **_: asked.append(request.headers["Range"]))
        with inputs.open(inputs.pin("k"), seekable=True) as stream:
            assert b"".join(iter(lambda: stream.read(1000), b"")) == self.DATA
        assert len(asked) == -(-len(self.DATA) // AHEAD)

    def test_nothing_is_asked_for_before_it_is_read_and_then_a_version_that_went_is_refused(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "k", b"1")
        ref = inputs.pin("k")
        s3.delete_object(Bucket=bucket, Key="k", VersionId=ref.version_id)
        with inputs.open(ref, seekable=True) as stream, pytest.raises(BadInput, match=r"^GONE: "):
            stream.read()

    def test_a_parquet_file_is_read_from_it(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        put(s3, bucket, "k", TEXTS)
        with inputs.open(inputs.pin("k"), seekable=True) as stream:
            assert check(stream, PARQUET) == 2

    def test_a_refusal_of_s3_while_parquet_is_read_stays_what_it_is(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "k", TEXTS)
        answer_with(s3, "GetObject", 403, "AccessDenied")
        with inputs.open(inputs.pin("k"), seekable=True) as stream, pytest.raises(BadInput, match=r"^ACCESS_DENIED: "):
            check(stream, PARQUET)


def answer_with(s3: Client, operation: str, status: int, code: str, *, times: int = 1000) -> list[int]:
    """Let S3 refuse an operation `times` times; returns a list that grows by one entry a refusal."""
    refusals: list[int] = []

    def refuse(**_: Any) -> tuple[Any, dict[str, Any]] | None:
        if len(refusals) >= times:
            return None
        refusals.append(status)
        response = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return type("Response", (), {"status_code": status, "headers": {}})(), response

    s3.meta.events.register(f"before-call.s3.{operation}", refuse)
    return refusals


class TestListing:
    def test_newest_gives_current_versions_only_newest_first_without_folder_markers(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        put(s3, bucket, "inbox/job/", b"")
        put(s3, bucket, "inbox/job/b", b"old")
        second = put(s3, bucket, "inbox/job/b", b"newer")
        put(s3, bucket, "inbox/job/deleted", b"x")
        s3.delete_object(Bucket=bucket, Key="inbox/job/deleted")
        first = put(s3, bucket, "inbox/job/a", b"a")
        put(s3, bucket, "inbox/other/c", b"c")
        found = list(inputs.newest("inbox/job/"))
        assert {(ref.key, ref.version_id) for ref in found} == {("inbox/job/a", first), ("inbox/job/b", second)}
        assert found == sorted(found, key=lambda ref: (ref.last_modified, ref.key), reverse=True)

    def test_newest_and_pin_describe_a_version_in_the_same_way(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        put(s3, bucket, "inbox/job/a", b"a")
        assert list(inputs.newest("inbox/")) == [inputs.pin("inbox/job/a")]

    def test_keys_come_in_order(self, outputs: S3Outputs) -> None:
        for key in ("runs/r/b", "runs/r/a", "runs/s/c"):
            outputs.put(key, b"x")
        assert list(outputs.keys("runs/r/")) == ["runs/r/a", "runs/r/b"]


class TestJobFiles:
    def test_a_job_is_read_in_its_newest_version_or_the_one_that_is_named(
        self, s3: Client, bucket: str, inputs: S3Inputs
    ) -> None:
        first, second = put(s3, bucket, "jobs/triage.yaml", b"one"), put(s3, bucket, "jobs/triage.yaml", b"two")
        assert inputs.job("triage") == (JobRef("triage", "jobs/triage.yaml", second), b"two")
        assert inputs.job("triage", first) == (JobRef("triage", "jobs/triage.yaml", first), b"one")

    def test_a_job_that_is_not_there_is_refused_with_the_key_that_was_tried(
        self, bucket: str, inputs: S3Inputs
    ) -> None:
        with pytest.raises(BadJob, match=f"s3://{bucket}/jobs/nonesuch.yaml"):
            inputs.job("nonesuch")

    def test_jobs_are_the_yaml_files_right_below_the_prefix(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        for key in ("jobs/a.yaml", "jobs/b.yaml", "jobs/README.md", "jobs/old/c.yaml", "jobs/"):
            put(s3, bucket, key, b"x")
        assert inputs.jobs() == ["a", "b"]


class TestReading:
    def test_lines_can_be_taken_out_of_an_object_from_any_byte(self, outputs: S3Outputs) -> None:
        outputs.put("k", b"one\ntwo\nthree\n")
        with outputs.open("k", 4) as stream:
            assert [stream.readline(), stream.read()] == [b"two\n", b"three\n"]

    @pytest.mark.parametrize(
        ("start", "size", "found"), [(4, 3, b"two"), (0, 3, b"one"), (8, 100, b"three\n"), (13, 1, b"\n")]
    )
    def test_a_part_of_an_object_is_read_alone(self, outputs: S3Outputs, start: int, size: int, found: bytes) -> None:
        outputs.put("k", b"one\ntwo\nthree\n")
        with outputs.open("k", start, size) as stream:
            assert stream.read() == found

    def test_an_empty_object_is_an_empty_stream(self, outputs: S3Outputs) -> None:
        outputs.put("k", b"")
        with outputs.open("k") as stream:
            assert stream.read() == b""

    def test_a_large_object_is_read_without_holding_it(self, s3: Client, bucket: str, inputs: S3Inputs) -> None:
        put(s3, bucket, "big", (b"x" * 1023 + b"\n") * 1024 * 16)
        ref = inputs.pin("big")
        tracemalloc.start()
        with inputs.open(ref) as stream:
            lines = sum(1 for _ in stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert lines == 1024 * 16
        assert peak < 4 * BLOCK


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "_CONFLICT_PAUSES", (0.0, 0.0))


class TestReplacing:
    def test_an_object_is_replaced_only_while_it_is_the_one_that_was_seen(self, outputs: S3Outputs) -> None:
        assert outputs.tag("runs/r/report.json") == ""
        assert outputs.replace("runs/r/report.json", b"1", "")
        seen = outputs.tag("runs/r/report.json")
        assert outputs.replace("runs/r/report.json", b"2", seen)

        assert not outputs.replace("runs/r/report.json", b"late", seen)
        assert not outputs.replace("runs/r/report.json", b"late", "")

        with outputs.open("runs/r/report.json") as stream:
            assert stream.read() == b"2"

    def test_an_object_whose_name_begins_like_another_s_is_not_that_one(self, outputs: S3Outputs) -> None:
        outputs.put("runs/r/report.json.old", b"")
        assert outputs.tag("runs/r/report.json") == ""

    @pytest.mark.parametrize(
        ("key", "kind"),
        [
            ("runs/r/report.html", "text/html; charset=utf-8"),
            ("runs/r/report.json", "application/json"),
            ("runs/r/verify/x.asked", "binary/octet-stream"),
        ],
    )
    def test_a_browser_is_told_what_a_report_is(
        self, s3: Client, bucket: str, outputs: S3Outputs, key: str, kind: str
    ) -> None:
        assert outputs.replace(key, b"1", "")
        assert s3.head_object(Bucket=bucket, Key=key)["ContentType"] == kind

    def test_what_was_deleted_since_is_not_replaced(self, s3: Client, bucket: str, outputs: S3Outputs) -> None:
        outputs.put("k", b"1")
        seen = outputs.tag("k")
        s3.delete_object(Bucket=bucket, Key="k")
        assert not outputs.replace("k", b"2", seen)


class TestUploading:
    @pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 12345])
    def test_what_was_written_is_what_is_stored(self, s3: Client, bucket: str, outputs: S3Outputs, size: int) -> None:
        data = bytes(range(256)) * (size // 256 + 1)
        with outputs.upload("k") as upload:
            for start in range(0, size, 300_000):
                upload.write(data[start : min(start + 300_000, size)])
            assert upload.commit(once=True)
        assert stored(s3, bucket, "k") == data[:size]
        assert parts_left(s3, bucket) == []

    def test_nothing_is_aborted_after_a_commit(self, s3: Client, outputs: S3Outputs) -> None:
        aborts = answer_with(s3, "AbortMultipartUpload", 404, "NoSuchUpload")
        with outputs.upload("k") as upload:
            upload.write(b"x" * (PART + 1))
            upload.commit(once=True)
        assert aborts == []

    def test_clearing_a_prefix_deletes_its_objects_and_no_others(self, outputs: S3Outputs) -> None:
        for key in ("runs/r/plan/a", "runs/r/plan/b", "runs/r/raw/c"):
            outputs.put(key, b"x")
        outputs.clear("runs/r/plan/")
        assert list(outputs.keys("")) == ["runs/r/raw/c"]

    def test_an_object_that_cannot_be_deleted_is_named(
        self, s3: Client, bucket: str, outputs: S3Outputs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outputs.put("k", b"x")
        kept = {"Errors": [{"Key": "k", "Code": "AccessDenied"}]}
        monkeypatch.setattr(s3, "delete_objects", lambda **_: kept)
        with pytest.raises(Conflict, match=f"s3://{bucket}/k could not be deleted: AccessDenied"):
            outputs.clear("")

    def test_an_objects_address_is_its_s3_uri(self, bucket: str, outputs: S3Outputs) -> None:
        assert outputs.uri("runs/r/a") == f"s3://{bucket}/runs/r/a"

    @pytest.mark.parametrize("size", [10, PART + 10])
    @pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
    def test_an_upload_that_breaks_leaves_no_object_and_no_parts(
        self, s3: Client, bucket: str, outputs: S3Outputs, size: int, fault: type[BaseException]
    ) -> None:
        def break_off() -> None:
            with outputs.upload("k") as upload:
                upload.write(b"x" * size)
                raise fault

        with pytest.raises(fault):
            break_off()
        assert list(outputs.keys("")) == []
        assert parts_left(s3, bucket) == []

    @pytest.mark.parametrize("size", [10, PART + 10])
    def test_an_upload_left_without_commit_does_not_exist(
        self, s3: Client, bucket: str, outputs: S3Outputs, size: int
    ) -> None:
        with outputs.upload("k") as upload:
            upload.write(b"x" * size)
        assert list(outputs.keys("")) == []
        assert parts_left(s3, bucket) == []

    @pytest.mark.parametrize("size", [10, PART + 10])
    def test_writing_once_leaves_the_first_object_alone(
        self, s3: Client, bucket: str, outputs: S3Outputs, size: int
    ) -> None:
        outputs.put("k", b"first")
        with outputs.upload("k") as upload:
            upload.write(b"x" * size)
            assert not upload.commit(once=True)
        assert stored(s3, bucket, "k") == b"first"
        assert parts_left(s3, bucket) == []

    @pytest.mark.parametrize("size", [10, PART + 10])
    def test_writing_again_replaces_the_object(self, s3: Client, bucket: str, outputs: S3Outputs, size: int) -> None:
        outputs.put("k", b"first")
        with outputs.upload("k") as upload:
            upload.write(b"x" * size)
            assert upload.commit(once=False)
        assert len(stored(s3, bucket, "k")) == size

    @pytest.mark.usefixtures("no_pauses")
    def test_a_small_object_is_tried_again_while_another_write_is_under_way(
        self, s3: Client, bucket: str, outputs: S3Outputs
    ) -> None:
        refusals = answer_with(s3, "PutObject", 409, "ConditionalRequestConflict", times=2)
        with outputs.upload("k") as upload:
            upload.write(b"x")
            assert upload.commit(once=True)
        assert (refusals, stored(s3, bucket, "k")) == ([409, 409], b"x")

    @pytest.mark.usefixtures("no_pauses")
    def test_a_small_object_that_stays_in_conflict_is_a_conflict(self, s3: Client, outputs: S3Outputs) -> None:
        answer_with(s3, "PutObject", 409, "ConditionalRequestConflict")
        with outputs.upload("k") as upload, pytest.raises(Conflict, match="another write"):
            upload.commit(once=True)

    def test_a_large_object_in_conflict_is_void_and_its_parts_are_removed(
        self, s3: Client, bucket: str, outputs: S3Outputs
    ) -> None:
        refusals = answer_with(s3, "CompleteMultipartUpload", 409, "ConditionalRequestConflict")

        def write() -> None:
            with outputs.upload("k") as upload:
                upload.write(b"x" * (PART + 1))
                upload.commit(once=True)

        with pytest.raises(Conflict, match="another write"):
            write()
        assert refusals == [409]
        assert parts_left(s3, bucket) == []

    def test_a_failing_clean_up_does_not_hide_why_the_upload_broke(self, s3: Client, outputs: S3Outputs) -> None:
        answer_with(s3, "AbortMultipartUpload", 500, "InternalError")

        def break_off() -> None:
            with outputs.upload("k") as upload:
                upload.write(b"x" * (PART + 1))
                message = "the stream ended"
                raise ValueError(message)

        with pytest.raises(ValueError, match="the stream ended"):
            break_off()

    def test_memory_stays_at_two_parts_whatever_the_size(self, outputs: S3Outputs) -> None:
        tracemalloc.start()
        with outputs.upload("k") as upload:
            for _ in range(40):
                upload.write(bytes(BLOCK))
            upload.commit(once=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2.5 * PART
