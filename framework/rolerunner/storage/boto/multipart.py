"""Creates, completes and aborts multipart uploads."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional
from urllib.parse import unquote

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from rolerunner.errors import NotFound, StepError, UnexpectedResponse
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.boto.conditions import WriteRecovery, is_made_of_parts
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.resumed_uploads import (
    FoundUpload,
    ResumableUpload,
    ResumedUploads,
    is_usable_after,
)
from rolerunner.storage.concurrency import PartExecutor, split_ranges
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.responses import check_etag_returned, parse_etag

_LOG = logging.getLogger("rolerunner.storage")
_CONDITIONS = ("IfNoneMatch", "IfMatch")
"""Options of the request that completes the upload; all others go with the one that creates it."""


@dataclass(frozen=True)
class MultipartUploads:
    """Stores large objects in parts.

    Nothing of an upload that fails is left behind, but for the parts that a resumed run uses.
    """

    requests: BotoRequests
    recovery: WriteRecovery

    def upload(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        size: int,
        part_size: int,
        send: Callable[[PartUpload], dict[str, Any]],
        parts: PartExecutor,
        count_memory: Callable[[int], int],
        *,
        repeated: bool,
        resumable: Optional[ResumableUpload] = None,
    ) -> Mapping[str, Any]:
        """Uploads an object of ``size`` bytes, each part by ``send``; returns the last response.

        ``count_memory`` returns the bytes of memory that a part of so many bytes takes. Parts that
        an earlier attempt stored are passed to ``send`` with it, if the upload is ``resumable``.
        """
        return self.upload_ranges(
            target,
            options,
            split_ranges(size, part_size),
            send,
            parts,
            lambda _, length: count_memory(length),
            repeated=repeated,
            resumable=resumable,
        )

    def upload_ranges(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        ranges: Iterable[tuple[int, int]],
        send: Callable[[PartUpload], dict[str, Any]],
        parts: PartExecutor,
        count_memory: Callable[[int, int], int],
        *,
        repeated: bool,
        resumable: Optional[ResumableUpload] = None,
    ) -> Mapping[str, Any]:
        """Uploads an object in parts of any size, given as start and length in their order.

        ``count_memory`` takes both and returns the bytes of memory that the part takes.
        """
        numbers: dict[int, int] = {}
        drawn = 0

        def number_ranges() -> Iterator[tuple[int, int]]:
            nonlocal drawn
            for number, (start, length) in enumerate(ranges, 1):
                numbers[start], drawn = number, start
                yield start, length

        found = FoundUpload() if resumable is None else self._resume(target, options, resumable)
        if found.response is not None:
            return found.response
        with self.begin(target, options, resumable, found.upload_id) as upload_id:

            def send_part(start: int, length: int) -> dict[str, Any]:
                number = numbers.pop(start)
                stored = found.stored.get(number)
                part = PartUpload(target, upload_id, number, start, length, options, stored)
                completed = send(part)
                if stored is not None and completed is stored.completed:
                    self.requests.pacer.report_bytes(length)
                if resumable is not None:
                    resumable.record(part, completed)
                return completed

            completed = parts.map_ranges(
                number_ranges(), send_part, lambda length: count_memory(drawn, length)
            )
            parts.cancel.stop_if_set()
            if resumable is not None:
                resumable.journal.save()  # also proves that no other run has taken the key over
            response = self.complete(target, upload_id, completed, options, repeated=repeated)
        if resumable is not None:
            resumable.journal.remove(str(target))
        return response

    def _resume(
        self, target: S3Uri, options: Mapping[str, Any], resumable: ResumableUpload
    ) -> FoundUpload:
        uploads = ResumedUploads(self.requests, self.recovery)
        return uploads.find(target, options, resumable) or FoundUpload()

    @contextlib.contextmanager
    def begin(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        resumable: Optional[ResumableUpload] = None,
        upload_id: str = "",
    ) -> Iterator[str]:
        """Provides the id of a new upload, or of the given one.

        It is aborted if the block fails, unless another attempt or run can use its parts.
        """
        if not upload_id:
            upload_id = self._create_upload(target, options)
            if resumable is not None:
                resumable.journal.begin(resumable.describe(target, upload_id, options))
        with self._abort_on_failure(target, upload_id, resumable):
            yield upload_id

    def _create_upload(self, target: S3Uri, options: Mapping[str, Any]) -> str:
        """Returns the id of a new upload. Raises ClientError, ServiceFailed."""
        first = {name: value for name, value in options.items() if name not in _CONDITIONS}
        # botocore registers the same function under the same id once
        self.requests.client.meta.events.register(
            "needs-retry.s3.CreateMultipartUpload",
            warn_of_lost_upload,
            unique_id="rolerunner-lost-upload",
        )
        response = self.requests.call("create_multipart_upload", **_locate_target(target), **first)
        upload_id = response.get("UploadId")
        if not upload_id:
            message = f"{target}: S3 created a multipart upload without an upload ID"
            raise UnexpectedResponse(message)
        return str(upload_id)

    @contextlib.contextmanager
    def _abort_on_failure(
        self, target: S3Uri, upload_id: str, resumable: Optional[ResumableUpload]
    ) -> Iterator[None]:
        """Aborts the upload if the block fails; names it in the error if that fails as well."""
        try:
            with self.requests.translate_errors(target):
                yield
        except BaseException as error:
            if resumable is not None and is_usable_after(error):
                resumable.keep(target, upload_id)
                raise
            if resumable is not None:
                resumable.journal.remove(str(target))
            try:
                with self.requests.translate_errors(target):
                    self.requests.call(
                        "abort_multipart_upload", **_locate_target(target), UploadId=upload_id
                    )
            except StepError as second:
                if second.type != "NoSuchUpload":
                    _report_leftover(error, target, upload_id, second)
            raise

    def complete(
        self,
        target: S3Uri,
        upload_id: str,
        parts: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        """Completes the upload, or finds the object of an earlier attempt that succeeded."""
        self.recovery.check_absent(target, options, repeated=repeated)
        conditions = {name: options[name] for name in _CONDITIONS if name in options}
        try:
            response = self.requests.call(
                "complete_multipart_upload",
                **_locate_target(target),
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
                **conditions,
                **self.requests.customer_key_options("complete_multipart_upload", options),
            )
        except ClientError as error:
            return self.recovery.recover_object(
                error, target, lambda found: is_made_of_parts(found, parts), repeated=repeated
            )
        if not parse_etag(response):
            response = self._find_object(target, parts)
        check_etag_returned(response, target, "the completed upload")
        self.requests.check_encrypted(target, options, response.get("SSECustomerAlgorithm"))
        return response

    def _find_object(self, target: S3Uri, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Returns the ETag that some servers leave out; nothing if the object is not this one."""
        try:
            found = self.recovery.reader.head(target)
        except NotFound:
            return {}  # the 200 was not of the server: no object is missing, the upload is not done
        can_compare = all(integrity.is_md5(str(part["ETag"]).strip('"')) for part in parts)
        if can_compare and not is_made_of_parts(found, parts):
            return {}
        return {"ETag": f'"{found.etag}"', "VersionId": found.version}


def warn_of_lost_upload(
    caught_exception: Optional[Exception] = None,
    request_dict: Optional[Mapping[str, Any]] = None,
    **_: Any,
) -> None:
    """Warns, in botocore's needs-retry, of an upload that S3 may have begun without an answer."""
    if not isinstance(caught_exception, (ConnectionClosedError, ReadTimeoutError)):
        return
    url = unquote(str((request_dict or {}).get("url", "")).partition("?")[0])
    _LOG.warning(
        "no response to CreateMultipartUpload for %s: an upload without parts may be left, which"
        " s3.cleanup aborts",
        url,
    )


def _locate_target(target: S3Uri) -> dict[str, Any]:
    return {"Bucket": target.bucket, "Key": target.key}


def _report_leftover(
    error: BaseException, target: S3Uri, upload_id: str, reason: StepError
) -> None:
    """Adds the upload that is left, whose parts cost until it is aborted, to the error's hint."""
    hint = (
        f"the multipart upload {upload_id} of {target} could not be aborted ({reason.message}); "
        "its parts are stored and billed until it is: aws s3api abort-multipart-upload "
        f"--bucket {target.bucket} --key '{target.key}' --upload-id '{upload_id}'"
    )
    if isinstance(error, StepError):
        error.hint = "\n".join(text for text in (error.hint, hint) if text)
    else:
        _LOG.warning("%s", hint)
