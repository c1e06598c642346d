"""Refused conditions: whether the object that is there is our own, and whether the server takes conditions at all.

A request whose response was lost is sent again, and its condition then meets what it wrote itself: 412 without a conflict. And some
servers refuse If-Match whatever the ETag.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from botocore.exceptions import ClientError

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.boto.objects import ALREADY, Objects, already_there, if_match_refused
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import check_etag_returned, parse_etag


@dataclass(frozen=True)
class Conditions(Objects):
    """Requests with conditions."""

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Store a small object."""
        with self._translated(uri):
            try:
                answer = self._write(uri, data, options)
            except ClientError as error:
                answer = self._written_before(error, uri, data, options, repeated=repeated)
            check_etag_returned(answer, uri, "the upload")
        return ObjectInfo(
            uri.key, len(data), parse_etag(answer), version=answer.get("VersionId", "")
        )

    def _write(self, uri: S3Uri, data: bytes, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._call("put_object", Bucket=uri.bucket, Key=uri.key, Body=data, **options)

    def _written_before(
        self,
        error: ClientError,
        uri: S3Uri,
        data: bytes,
        options: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        try:
            return self._own_data(error, uri, data, repeated=repeated)
        except ClientError:
            expected = str(options.get("IfMatch", "")).strip('"')
            if (
                AwsError.from_client_error(error).code not in ALREADY
                or not expected
                or self._etag_now(uri) != expected
            ):
                raise
        # the condition holds: some servers compare it with the ETag without its quotes, which S3 takes as well
        try:
            return self._write(uri, data, {**options, "IfMatch": expected})
        except ClientError as again:
            if (
                AwsError.from_client_error(again).code in ALREADY
                and self._etag_now(uri) == expected
            ):
                raise if_match_refused(uri, expected) from again
            raise

    def _etag_now(self, uri: S3Uri) -> str:
        """The object's ETag; empty where it cannot be told."""
        with contextlib.suppress(StepError):
            return self.head(uri).etag
        return ""

    def _own_object(
        self,
        error: ClientError,
        uri: S3Uri,
        is_own: Callable[[ObjectInfo], bool],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        """The ETag and version of the object that an earlier try stored. Raises ``error`` where it is another one, or there was no earlier try."""
        told = AwsError.from_client_error(error)
        if told.code in ALREADY | {"NoSuchUpload"} and (repeated or told.retried):
            with contextlib.suppress(StepError):  # a role that may not look has the error itself
                there = self.head(uri)
                if is_own(there):
                    return {"ETag": f'"{there.etag}"', "VersionId": there.version}
        raise error

    def _own_data(
        self, error: ClientError, uri: S3Uri, data: bytes, *, repeated: bool
    ) -> Mapping[str, Any]:
        """As ``_own_object``, for an object whose bytes are at hand."""
        return self._own_object(
            error, uri, lambda there: self._holds(uri, there, data), repeated=repeated
        )

    def _holds(self, uri: S3Uri, there: ObjectInfo, data: bytes) -> bool:
        """Whether the object holds these bytes: by its checksum, or by reading it where it has none."""
        if there.size != len(data):
            return False
        known = there.checksum and "-" not in there.checksum
        return (
            integrity.has_checksum(data, there.checksum)
            if known
            else self.read(uri, there.size, there.version) == data
        )

    def _own_copy(
        self,
        error: ClientError,
        source: S3Uri,
        target: S3Uri,
        info: ObjectInfo,
        options: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        """As ``_own_object``, for a copy within S3, which has a condition on its source as well. Raises StepError where that one was not it."""
        if (
            AwsError.from_client_error(error).code not in ALREADY
            or self.head(source, info.version).etag != info.etag
        ):
            raise error
        if not {"IfNoneMatch", "IfMatch"} & set(options):
            raise if_match_refused(source, info.etag) from error
        try:
            return self._own_object(
                error,
                target,
                lambda there: (there.size, there.etag) == (info.size, info.etag),
                repeated=repeated,
            )
        except ClientError:
            raise already_there(target) from error


def is_of_parts(there: ObjectInfo, sent: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an object was put together from these parts, by its ETag or its composite checksum."""
    with contextlib.suppress(ValueError):
        digests = b"".join(bytes.fromhex(str(part["ETag"]).strip('"')) for part in sent)
        if there.etag == f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(sent)}":
            return True
    algorithm, _, value = there.checksum.partition(":")
    composite = _composite(algorithm, [str(part.get(f"Checksum{algorithm}", "")) for part in sent])
    return bool(composite) and value == f"{composite}-{len(sent)}"


def _composite(algorithm: str, values: Sequence[str]) -> Optional[str]:
    if not all(values) or not integrity.can_compute(algorithm) or algorithm == "MD5":
        return None
    return integrity.compute_digest(algorithm, b"".join(map(integrity.decode_base64, values)))
