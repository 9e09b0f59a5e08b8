"""S3: the input bucket, read by version, and the output bucket, written in constant memory."""

from __future__ import annotations

import io
import re
from contextlib import closing, contextmanager
from itertools import batched
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError

from nightshift.adapters.multipart import S3Upload
from nightshift.errors import BadInput, BadJob, Conflict
from nightshift.model import JOB_NAME, InputRef, JobRef

if TYPE_CHECKING:
    from collections.abc import Buffer, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteTypeDef, HeadObjectOutputTypeDef

BLOCK = 256 * 1024
"""Bytes asked of S3 at once; readers take lines out of it. More is no faster, and read in vain for a single line."""

AHEAD = 1 << 20
"""Bytes of one request where a reader seeks: a Parquet file of 300 MB is 300 requests, of 40 cents a million."""

DELETES = 1000
"""Keys that S3 deletes in one request."""

_KINDS = {"html": "text/html; charset=utf-8", "json": "application/json"}
"""What a browser must be told to show an object that people open; without it, it offers a download."""

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed", "404", "405"})
"""404; and 405, S3's answer where the version that is asked for is a delete marker."""
_REPLACED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
_DENIED = frozenset({"AccessDenied", "Forbidden", "403"})
_COLD = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class S3Inputs:
    """`ports.Inputs` over a versioned bucket: once pinned, a file cannot change under a run."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        """Read from `bucket` with a boto3 client."""
        self._client = client
        self._bucket = bucket

    def pin(self, key: str, version_id: str | None = None) -> InputRef:
        """See `ports.Inputs.pin`."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key, **_version(version_id))
        except ClientError as error:
            raise _refused(error, self._bucket, key) from error
        if _is_cold(head):
            raise _archived(self._bucket, key)
        # A bucket that never had versioning names no version; S3 reads its objects as version "null".
        return self._ref(key, head.get("VersionId", "null"), head["ContentLength"], head["LastModified"])

    @contextmanager
    def open(self, ref: InputRef, *, seekable: bool = False) -> Generator[BinaryIO]:
        """See `ports.Inputs.open`."""
        if seekable:
            with io.BufferedReader(_Ranges(self._client, ref), AHEAD) as stream:
                yield stream
            return
        try:
            answer = self._client.get_object(Bucket=ref.bucket, Key=ref.key, VersionId=ref.version_id)
        except ClientError as error:
            raise _refused(error, ref.bucket, ref.key) from error
        with _buffered(answer["Body"]) as stream:
            yield stream

    def newest(self, prefix: str) -> Iterable[InputRef]:
        """See `ports.Inputs.newest`."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        current = [
            self._ref(version["Key"], version["VersionId"], version["Size"], version["LastModified"])
            for page in pages
            for version in page.get("Versions", [])
            if version["IsLatest"] and not version["Key"].endswith("/")
        ]
        return sorted(current, key=lambda ref: (ref.last_modified, ref.key), reverse=True)

    def job(self, name: str, version_id: str | None = None) -> tuple[JobRef, bytes]:
        """See `ports.Inputs.job`."""
        key = f"jobs/{name}.yaml"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **_version(version_id))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _GONE | _DENIED:
                which = f" (version {version_id})" if version_id else ""
                raise BadJob(
                    f"no job file s3://{self._bucket}/{key}{which} that may be read: {code}. Put it there."
                ) from error
            raise
        with closing(answer["Body"]) as body:
            return JobRef(name, key, answer.get("VersionId", "null")), body.read()

    def jobs(self) -> Sequence[str]:
        """See `ports.Inputs.jobs`."""
        keys = _keys(self._client, self._bucket, "jobs/")
        names = [key.removeprefix("jobs/").removesuffix(".yaml") for key in keys if key.endswith(".yaml")]
        return [name for name in names if re.fullmatch(JOB_NAME, name)]

    def _ref(self, key: str, version_id: str, size: int, modified: datetime) -> InputRef:
        # S3 keeps whole seconds. Cutting the rest makes `pin` and `newest` agree on servers that keep more.
        return InputRef(self._bucket, key, version_id, size, modified.replace(microsecond=0))


class _Ranges(io.RawIOBase):
    """A pinned version as a file to seek in: each read is a request for so many bytes."""

    def __init__(self, client: S3Client, ref: InputRef) -> None:
        self._client = client
        self._ref = ref
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ref.size}[whence]
        if start + offset < 0:
            raise ValueError("a position before the start of the object")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        room = memoryview(buffer)
        end = min(self._at + len(room), self._ref.size)
        if end <= self._at:
            return 0
        ref, span = self._ref, f"bytes={self._at}-{end - 1}"
        try:
            answer = self._client.get_object(Bucket=ref.bucket, Key=ref.key, VersionId=ref.version_id, Range=span)
        except ClientError as error:
            raise _refused(error, ref.bucket, ref.key) from error
        with closing(answer["Body"]) as body:
            data = body.read()  # all of it, or an error: it checks its length
        room[: len(data)] = data
        self._at += len(data)
        return len(data)


class S3Outputs:
    """`ports.Outputs` over the output bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        """Write to `bucket` with a boto3 client."""
        self._client = client
        self._bucket = bucket

    @contextmanager
    def upload(self, key: str) -> Generator[S3Upload]:
        """See `ports.Outputs.upload`."""
        upload = S3Upload(self._client, self._bucket, key)
        try:
            yield upload
        finally:  # whatever went wrong, an interrupt included: parts without an object cost money and show nowhere
            upload.abandon()

    def put(self, key: str, data: bytes) -> None:
        """See `ports.Outputs.put`."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def tag(self, key: str) -> str:
        """See `ports.Outputs.tag`. By a list: of an object that is not there, a head tells only who may list it all."""
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        return next((item["ETag"] for item in found if item["Key"] == key), "")

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        """See `ports.Outputs.replace`."""
        more: dict[str, Any] = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        if kind := _KINDS.get(key.rpartition(".")[2]):
            more["ContentType"] = kind
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] in _REPLACED:
                return False
            raise
        return True

    @contextmanager
    def open(self, key: str, start: int = 0, size: int | None = None) -> Generator[BinaryIO]:
        """See `ports.Outputs.open`."""
        if start or size is not None:
            end = start + size - 1 if size is not None else ""
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end}")
        else:  # an empty object has no byte 0 to start a range at
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        with _buffered(answer["Body"]) as stream:
            yield stream

    def keys(self, prefix: str) -> Iterable[str]:
        """See `ports.Outputs.keys`."""
        return _keys(self._client, self._bucket, prefix)

    def clear(self, prefix: str) -> None:
        """See `ports.Outputs.clear`.

        Raises:
            Conflict: S3 kept some of them; the message says why.
        """
        for keys in batched(_keys(self._client, self._bucket, prefix), DELETES, strict=False):
            doomed: DeleteTypeDef = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            for kept in self._client.delete_objects(Bucket=self._bucket, Delete=doomed).get("Errors", []):
                raise Conflict(f"s3://{self._bucket}/{kept.get('Key')} could not be deleted: {kept.get('Code')}")

    def uri(self, key: str) -> str:
        """See `ports.Outputs.uri`."""
        return f"s3://{self._bucket}/{key}"


def _buffered(body: StreamingBody) -> BinaryIO:
    """Give a body `readline` and big reads; it still checks its length and checksum at the end."""
    return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", body), BLOCK))


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {}


def _keys(client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield item["Key"]


def _is_cold(head: HeadObjectOutputTypeDef) -> bool:
    """Tell whether reading would fail with InvalidObjectState: archived, and not restored."""
    archived = head.get("StorageClass") in _COLD or "ArchiveStatus" in head
    return archived and 'ongoing-request="false"' not in head.get("Restore", "")


def _refused(error: ClientError, bucket: str, key: str) -> Exception:
    """Return the refusal of a file that an S3 error means, or the error itself."""
    code = error.response["Error"]["Code"]
    if code in _GONE:
        return BadInput("GONE", f"s3://{bucket}/{key} is not there any more. Upload it again.")
    if code == "InvalidObjectState":
        return _archived(bucket, key)
    if code in _DENIED:
        return BadInput("ACCESS_DENIED", f"s3://{bucket}/{key} may not be read. Check the policies of bucket and key.")
    return error


def _archived(bucket: str, key: str) -> BadInput:
    return BadInput("ARCHIVED", f"s3://{bucket}/{key} is in an archive storage class. Restore it, then start again.")
