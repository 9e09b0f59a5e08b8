"""An S3 object in the making: constant memory, and all or nothing."""

from __future__ import annotations

import io
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from nightshift.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART = 5 * 1024 * 1024
"""Bytes of a part: S3 wants 5 MiB or more and at most 10,000 of them, so an object may have 48 GiB."""

_CONFLICT_PAUSES = (0.2, 1.0, 3.0)
"""Seconds between tries where S3 says that another write of the same key is under way."""


class S3Upload:
    """`ports.Upload`: collects a part, sends it, forgets it. Less than one part goes as a plain object."""

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        """Write to `key` of `bucket`."""
        self._client = client
        self._bucket = bucket
        self._key = key
        self._part = io.BytesIO()
        self._upload_id: str | None = None
        """Set while there are parts that are in no object yet."""
        self._etags: list[str] = []

    def write(self, data: bytes) -> None:
        """See `ports.Upload.write`."""
        self._part.write(data)
        if self._part.tell() >= PART:
            self._send_part()

    def commit(self, *, once: bool) -> bool:
        """See `ports.Upload.commit`.

        Raises:
            Conflict: another write of this key was under way, so S3 took neither side. The parts are void: write again.
        """
        try:
            if self._upload_id is None:
                self._put(once=once)
            else:
                self._complete(self._upload_id, once=once)
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                return False
            if error.response["Error"]["Code"] == "ConditionalRequestConflict":
                raise Conflict(f"another write of s3://{self._bucket}/{self._key} is under way") from error
            raise
        self._upload_id = None
        return True

    def abandon(self) -> None:
        """Remove what was sent and not committed."""
        if self._upload_id is None:
            return
        # The reason to abandon is more interesting than a failing abort, and a lifecycle rule removes the parts anyway.
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)

    def _send_part(self) -> None:
        if self._upload_id is None:
            started = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
            self._upload_id = started["UploadId"]
        part = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=len(self._etags) + 1,
            Body=self._taken(),
        )
        self._etags.append(part["ETag"])

    def _put(self, *, once: bool) -> None:
        data = self._taken().getvalue()
        for pause in (*_CONFLICT_PAUSES, None):
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._key, Body=data, **_condition(once=once))
            except ClientError as error:
                # S3 asks to upload again after a 409; here the whole object is still in memory.
                if pause is None or error.response["Error"]["Code"] != "ConditionalRequestConflict":
                    raise
                time.sleep(pause)
            else:
                return

    def _complete(self, upload_id: str, *, once: bool) -> None:
        if self._part.tell():
            self._send_part()
        parts: list[CompletedPartTypeDef] = [
            {"ETag": etag, "PartNumber": number} for number, etag in enumerate(self._etags, start=1)
        ]
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            **_condition(once=once),
        )

    def _taken(self) -> io.BytesIO:
        """Return what has collected, to be read from its beginning, and forget it."""
        part, self._part = self._part, io.BytesIO()
        part.seek(0)
        return part


def _condition(*, once: bool) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if once else {}
