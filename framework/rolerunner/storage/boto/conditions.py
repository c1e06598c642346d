"""Recovers from conditions that a repeated request meets because its first attempt succeeded.

A request whose response was lost is sent again, and its condition then finds what that request
itself wrote: a 412 without a conflict. Some servers also refuse If-Match whatever the ETag.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from botocore.exceptions import ClientError

from rolerunner.errors import NotFound, StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.boto.errors import (
    PRECONDITION_CODES,
    make_if_match_error,
    make_target_exists_error,
)
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.protocol import Copy, ObjectInfo

_RECOVERABLE_CODES = PRECONDITION_CODES | {"NoSuchUpload"}


@dataclass(frozen=True)
class WriteRecovery:
    """Finds out whether the object that stands in the way of a write is the one it wrote.

    Each method returns the ETag and version of that object, named as in responses, and raises
    ``error`` if it is another one or if no earlier attempt was made.
    """

    reader: ObjectReader

    def recover_object(
        self,
        error: ClientError,
        uri: S3Uri,
        is_own: Callable[[ObjectInfo], bool],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        """Recovers a write whose object ``is_own`` recognises."""
        failure = AwsError.from_client_error(error)
        if failure.code in _RECOVERABLE_CODES and (repeated or failure.retried):
            with contextlib.suppress(StepError):  # a role that may not read gets the error itself
                found = self.reader.head(uri)
                if is_own(found):
                    return {"ETag": f'"{found.etag}"', "VersionId": found.version}
        raise error

    def recover_data(
        self, error: ClientError, uri: S3Uri, data: bytes, *, repeated: bool
    ) -> Mapping[str, Any]:
        """Recovers the upload of bytes that are in memory."""
        return self.recover_object(
            error, uri, lambda found: self._has_content(uri, found, data), repeated=repeated
        )

    def _has_content(self, uri: S3Uri, found: ObjectInfo, data: bytes) -> bool:
        """Returns True if the object has these bytes; it is read if it has no checksum of them."""
        if found.size != len(data):
            return False
        if found.checksum and "-" not in found.checksum:
            return integrity.has_checksum(data, found.checksum)
        return self.reader.read(uri, found.size, found.version) == data

    def recover_copy(
        self, error: ClientError, item: Copy, info: ObjectInfo, source_reader: ObjectReader
    ) -> Mapping[str, Any]:
        """Recovers a copy within S3. Raises StepError if a condition was refused wrongly."""
        if (
            AwsError.from_client_error(error).code not in PRECONDITION_CODES
            or source_reader.head(item.source, info.version).etag != info.etag
        ):
            raise error
        if not {"IfNoneMatch", "IfMatch"} & set(item.options):  # the source's own was refused
            raise make_if_match_error(item.source, info.etag) from error

        def is_own(found: ObjectInfo) -> bool:
            return (found.size, found.etag) == (info.size, info.etag)

        try:
            return self.recover_object(error, item.target, is_own, repeated=item.repeated)
        except ClientError:
            raise make_target_exists_error(item.target) from error

    def is_refused_without_target(self, error: ClientError, item: Copy) -> bool:
        """Returns True if a server not of AWS refused If-None-Match although no target exists."""
        if (
            AwsError.from_client_error(error).code not in PRECONDITION_CODES
            or "IfNoneMatch" not in item.options
            or self.reader.requests.is_on_aws
        ):
            return False
        try:
            self.reader.head(item.target)
        except NotFound:
            return True
        except StepError:  # the role may not read it
            return False
        return False

    def check_absent(self, uri: S3Uri, options: Mapping[str, Any], *, repeated: bool) -> None:
        """Raises StepError if the target of a conditional write exists, on a server not of AWS.

        Many of these ignore conditions of copies and of completed uploads. A repeated write is
        not checked, since it may meet the object that it stored itself.
        """
        if repeated or "IfNoneMatch" not in options or self.reader.requests.is_on_aws:
            return
        try:
            self.reader.head(uri)
        except StepError:  # there is none, or the role may not read it
            return
        raise make_target_exists_error(uri)

    def find_etag(self, uri: S3Uri) -> str:
        """Returns the object's ETag; empty if it cannot be read."""
        with contextlib.suppress(StepError):
            return self.reader.head(uri).etag
        return ""


def is_made_of_parts(found: ObjectInfo, parts: Sequence[Mapping[str, Any]]) -> bool:
    """Returns True if the ETag or the composite checksum is that of these parts."""
    with contextlib.suppress(ValueError):
        digests = b"".join(bytes.fromhex(str(part["ETag"]).strip('"')) for part in parts)
        digest = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        if found.etag == f"{digest}-{len(parts)}":
            return True
    algorithm, _, value = found.checksum.partition(":")
    checksums = [str(part.get(f"Checksum{algorithm}", "")) for part in parts]
    composite = _compute_composite(algorithm, checksums)
    return bool(composite) and value == f"{composite}-{len(parts)}"


def _compute_composite(algorithm: str, checksums: Sequence[str]) -> Optional[str]:
    if not all(checksums) or not hashing.can_compute(algorithm) or algorithm == "MD5":
        return None
    return hashing.compute_digest(algorithm, b"".join(map(hashing.decode_base64, checksums)))
