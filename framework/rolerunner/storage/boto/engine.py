"""The plain engine: boto3, threads, complete and slow."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import NewFile, create_atomically
from rolerunner.common.wording import format_count
from rolerunner.errors import IntegrityFailed, ServiceFailed, StepError
from rolerunner.iam.aws_errors import AwsError, is_retryable
from rolerunner.iam.denials import explain_error
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.boto.conditions import Conditions, is_of_parts
from rolerunner.storage.boto.objects import KEPT
from rolerunner.storage.concurrency import (
    PartExecutor,
    PartSequencer,
    batch_by_bucket,
    map_concurrently,
    retryable_work,
    split_ranges,
)
from rolerunner.storage.deletions import (
    LOOKED_AT,
    Command,
    DeleteAlone,
    DeleteTogether,
    Deletion,
    Look,
    Pause,
    carry_out,
    with_content,
)
from rolerunner.storage.http import xml
from rolerunner.storage.integrity import CrcCombiner, ExpectedChecksum
from rolerunner.storage.local_files import (
    RangeSink,
    SharedFile,
    UploadSource,
    decompress_file,
    set_modified_time,
    verify_checksum,
)
from rolerunner.storage.native.templates import PLACE
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.responses import (
    build_copy_source,
    check_deletion_response,
    check_etag_returned,
    check_range_response,
    check_unchanged,
    parse_etag,
    parse_object_info,
)
from rolerunner.storage.tuning import KEYS_PER_DELETE, choose_part_size

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage

_LOG = logging.getLogger("rolerunner.storage")
TRIES = 3
"""Times an object is begun again after it changed or came damaged; single requests are repeated by themselves."""
_BLOCK = 1 << 18
_PART_OPTIONS = ("RequestPayer", "ExpectedBucketOwner", "SSECustomerAlgorithm", "SSECustomerKey")


class BotoEngine(Conditions):
    """S3 through a boto3 client, many objects at once, each in a thread."""

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """HEAD of many."""

        def one(uri: S3Uri) -> Outcome:
            info = self.head(uri)
            return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

        return self._each(items, cancel, lambda uri: self._guarded(uri, lambda: one(uri), cancel))

    def _each(
        self, items: Iterable[Any], cancel: Cancel, work: Callable[[Any], Any]
    ) -> Iterator[Any]:
        return map_concurrently(items, work, cancel, self.tuning.workers)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files."""
        with PartExecutor(cancel, self.tuning) as parts:
            yield from self._each(
                items,
                cancel,
                lambda item: self._guarded(
                    item.source, retryable_work(item, lambda each: self._get(each, parts)), cancel
                ),
            )

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects."""
        with PartExecutor(cancel, self.tuning) as parts:
            yield from self._each(
                items,
                cancel,
                lambda item: self._guarded(
                    item.target, retryable_work(item, lambda each: self._put(each, parts)), cancel
                ),
            )

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copy within S3."""
        with PartExecutor(cancel, self.tuning) as parts:
            yield from self._each(
                items,
                cancel,
                lambda item: self._guarded(
                    item.target, retryable_work(item, lambda each: self._copy(each, parts)), cancel
                ),
            )

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copy what another role may read."""
        with PartExecutor(cancel, self.tuning) as parts:
            yield from self._each(
                items,
                cancel,
                lambda item: self._guarded(
                    item.target,
                    retryable_work(item, lambda each: self._relay(each, source, parts)),
                    cancel,
                ),
            )

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Delete in batches."""

        def delete_batch(batch: tuple[str, Sequence[ObjectInfo]]) -> Sequence[Outcome]:
            return carry_out(
                self._deletion(*batch, unchanged=unchanged).steps(),
                lambda command: self._execute(command, cancel),
            )

        for outcomes in self._each(
            self._batches(items, bucket, unchanged=unchanged), cancel, delete_batch
        ):
            yield from outcomes

    def _guarded(self, uri: S3Uri, work: Callable[[], Outcome], cancel: Cancel) -> Outcome:
        """The outcome, a failure as a value; what changed or broke off meanwhile is begun again."""
        for tried in range(1, TRIES + 1):
            try:
                cancel.stop_if_set()
                with self._translated(uri):
                    return work()
            except StepError as error:
                if tried == TRIES or not is_retryable(error) or cancel.wait(0.2 * 2**tried):
                    return Outcome(uri, status="failed", error=error)
        raise AssertionError  # the last try returns

    # download

    def _get(self, item: Get, parts: PartExecutor) -> Outcome:
        uri = item.source
        if item.skip is not None and item.skip():
            return Outcome(
                uri,
                item.info.size if item.info else 0,
                item.target,
                item.info.etag if item.info else "",
                status="skipped",
            )
        info = item.info or self.head(uri)
        if info.size >= self.tuning.large and not info.checksum:
            info = check_unchanged(info, self.head(uri, info.version), uri)
        with (
            self._translated(uri, version=info.version),
            create_atomically(Path(item.target), item.folder) as file,
        ):
            if info.size >= self.tuning.large:
                self._get_ranges(uri, info, file, parts)
            else:
                info = self._get_whole(uri, info, file, parts.cancel)
            size = os.fstat(file.descriptor).st_size
            if item.decompress:
                decompress_file(file, item.target, uri, item.folder)
            if item.keep_time and info.modified:
                set_modified_time(file, info)
        return Outcome(uri, size, item.target, info.etag, info.version, info=info)

    def _get_whole(
        self, uri: S3Uri, info: ObjectInfo, target: NewFile, cancel: Cancel
    ) -> ObjectInfo:
        answer = self._call(
            "get_object", cancel, Bucket=uri.bucket, Key=uri.key, **self._read_options(info.version)
        )
        received = 0
        with (
            open(target.open(), "wb", closefd=False) as file,
            contextlib.closing(answer["Body"]) as body,
        ):
            now = parse_object_info(
                uri.key, {"ContentLength": info.size, **answer}
            )  # an answer in chunks tells no length
            expected = ExpectedChecksum.of(now.checksum)
            running = (
                expected.start(now.size, lambda: self.get_part_size(uri, now)) if expected else None
            )
            for block in iter(lambda: body.read(_BLOCK), b""):
                self._moved(len(block), cancel)
                file.write(block)
                received += len(block)
                if received > now.size:  # an answer in chunks may have no end
                    raise IntegrityFailed(
                        f"{uri}: received more than the {now.size:,} bytes of the object"
                    )
                if running is not None:
                    running.update(block)
        if received != now.size:
            raise IntegrityFailed(f"{uri}: {format_count(received, 'byte')} came of {now.size:,}")
        if running is not None and not running.matches():
            raise IntegrityFailed(
                f"{uri}: the bytes that came do not have the checksum {now.checksum} that S3 tells"
            )
        return now

    def _get_ranges(self, uri: S3Uri, info: ObjectInfo, file: NewFile, parts: PartExecutor) -> None:
        pieces = CrcCombiner.of(info.checksum)
        os.ftruncate(file.descriptor, info.size)
        place = SharedFile.of(file)

        def fetch(start: int, length: int) -> None:
            crc = parts.submit(
                self.range_to_file,
                uri,
                info,
                place,
                start,
                length,
                pieces.algorithm if pieces is not None else "",
            )
            if pieces is not None:
                pieces.add(start, length, crc)

        with self._translated(uri, version=info.version):
            parts.map_ranges(
                split_ranges(info.size, self.tuning.choose_range_size(info.size)),
                fetch,
                lambda _: 0,
            )
        whole = (
            pieces.matches()
            if pieces
            else integrity.file_matches(
                file.descriptor, info.checksum, lambda: self.get_part_size(uri, info)
            )
        )
        if whole is False:
            raise IntegrityFailed(
                f"{uri}: the bytes that came do not have the checksum {info.checksum} that S3 tells"
            )

    def range_to_file(
        self,
        uri: S3Uri,
        info: ObjectInfo,
        file: SharedFile,
        start: int,
        length: int,
        algorithm: str,
        cancel: Cancel,
    ) -> bytes:
        """Fetch a range of the object that ``info`` is about to where it belongs in a file that is there; its checksum. Raises as ``_range``."""
        make = partial(integrity.create_hash, algorithm) if algorithm else None
        with file.writable() as descriptor:
            landing = RangeSink(
                Path(file.path),
                descriptor,
                info,
                start,
                length,
                make,
                lambda count: self._moved(count, cancel),
            )
            self._range(uri, info, start, length, landing, cancel)
        if landing.got != length:
            raise IntegrityFailed(
                f"{uri}: {format_count(length - landing.got, 'byte')} of a range did not come"
            )
        return landing.crc

    def _range(
        self,
        uri: S3Uri,
        info: ObjectInfo,
        start: int,
        length: int,
        landing: RangeSink,
        cancel: Cancel,
    ) -> None:
        """Fetch a range to where it belongs. If-Match: a change while ranges are read is a 412, never a mixture of two versions."""
        wanted = {
            "Range": f"bytes={start}-{start + length - 1}",
            "IfMatch": f'"{info.etag}"',
            **self._read_options(info.version),
        }
        with self._if_match(uri, info):
            answer = self._call("get_object", cancel, Bucket=uri.bucket, Key=uri.key, **wanted)
        with contextlib.closing(answer["Body"]) as body:
            check_range_response(answer, uri, info, start, length)
            for block in iter(lambda: body.read(_BLOCK), b""):
                landing.write(block)

    def _moved(self, count: int, cancel: Cancel) -> None:
        """So many bytes went. Raises StepError when stopped."""
        self.flow.pace_bytes(count, cancel)
        cancel.stop_if_set()

    # upload

    def _put(self, item: Put, parts: PartExecutor) -> Outcome:
        file = UploadSource.of(item.source, follow=item.follow)
        size = file.before.st_size
        if item.skip is not None and item.skip():
            return Outcome(item.target, size, item.source, status="skipped")
        if size >= self.tuning.large:
            answer = self._put_parts(item, file, parts)
        else:
            held = parts.memory.acquire(size, parts.cancel)
            try:
                data = file(0, size)
                self._moved(size, parts.cancel)
                answer = self._store(item.target, data, item.options, repeated=item.repeated)
            finally:
                parts.memory.release(held)
        return Outcome(
            item.target, size, item.source, parse_etag(answer), answer.get("VersionId", "")
        )

    def _store(
        self, target: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool
    ) -> Mapping[str, Any]:
        """Store bytes that are in memory."""
        try:
            answer = self._write(target, data, options)
        except ClientError as error:
            answer = self._own_data(error, target, data, repeated=repeated)
        check_etag_returned(answer, target, "the upload")
        return answer

    def _put_parts(self, item: Put, file: UploadSource, parts: PartExecutor) -> Mapping[str, Any]:
        options = self._file_options(item.options)

        def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
            told: dict[str, Any] = parts.submit(
                self.part_of_file, file, item.target, options, upload, number, start, length
            )
            return told

        size = file.before.st_size
        return self._in_parts(
            item.target,
            options,
            size,
            choose_part_size(size, self.tuning.part),
            send,
            parts,
            self._held,
            repeated=item.repeated,
        )

    def _file_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is said of a file that is sent in parts."""
        return options

    def _held(self, length: int) -> int:
        """Bytes of memory that a part of a file takes while it is sent."""
        return length

    def part_of_file(
        self,
        file: UploadSource,
        target: S3Uri,
        options: Mapping[str, Any],
        upload: str,
        number: int,
        start: int,
        length: int,
        cancel: Cancel,
    ) -> dict[str, Any]:
        """Send a range of a file as a part; what CompleteMultipartUpload wants to know of it. Raises LocalFileFailed for one that changed."""
        data = file(start, length)
        self._moved(length, cancel)
        return self._send_part(target, upload, options, number, data, cancel)

    def _in_parts(
        self, target: S3Uri, options: Mapping[str, Any], size: int, part: int, send: Callable[[str, int, int, int], dict[str, Any]], parts: PartExecutor,
        memory: Callable[[int], int], *, repeated: bool,
    ) -> Mapping[str, Any]:  # fmt: skip
        """A multipart upload in parts of ``part`` bytes, which ``send`` sends: upload, number, start, length. Aborted if anything fails."""
        return self._multipart(
            target, options, split_ranges(size, part), lambda upload, start, length: send(upload, start // part + 1, start, length), parts, memory,
            repeated=repeated,
        )  # fmt: skip

    def _send_part(
        self,
        target: S3Uri,
        upload: str,
        options: Mapping[str, Any],
        number: int,
        data: bytes,
        cancel: Cancel,
    ) -> dict[str, Any]:
        """Send a part that is in memory; what CompleteMultipartUpload wants to know of it."""
        cancel.stop_if_set()
        return self._part(target, upload, options, number, Body=data)

    def _part(
        self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, **content: Any
    ) -> dict[str, Any]:
        """Send or copy one part; what CompleteMultipartUpload wants to know of it."""
        method = "upload_part_copy" if "CopySource" in content else "upload_part"
        said = {
            name: options[name]
            for name in _PART_OPTIONS
            if name in options and self._takes(method, name)
        }
        if method == "upload_part" and "ChecksumAlgorithm" in options:
            said["ChecksumAlgorithm"] = options["ChecksumAlgorithm"]
        answer = self._call(
            method,
            Bucket=target.bucket,
            Key=target.key,
            UploadId=upload,
            PartNumber=number,
            **said,
            **content,
        )
        told = answer.get("CopyPartResult", {}) if "CopySource" in content else answer
        check_etag_returned(told, target, f"part {number}")
        sums = {
            name: value
            for name, value in told.items()
            if name.startswith("Checksum") and name != "ChecksumType"
        }
        return {"PartNumber": number, "ETag": told["ETag"], **sums}

    def _multipart(
        self, target: S3Uri, options: Mapping[str, Any], ranges: Iterable[tuple[int, int]], send: Callable[[str, int, int], dict[str, Any]],
        parts: PartExecutor, memory: Callable[[int], int], *, repeated: bool,
    ) -> Mapping[str, Any]:  # fmt: skip
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
        last = {name: options[name] for name in ("IfNoneMatch", "IfMatch") if name in options}
        first = {name: value for name, value in options.items() if name not in last}
        upload = self._call("create_multipart_upload", **place, **first).get("UploadId")
        if not upload:
            raise ServiceFailed(
                f"{target}: S3 began an upload, but gave it no id", type="InternalError"
            )
        with self._aborting(target, upload):
            sent = parts.map_ranges(
                ranges, lambda start, length: send(upload, start, length), memory
            )
            parts.cancel.stop_if_set()
            return self._completed(target, upload, sent, last, repeated=repeated)

    @contextlib.contextmanager
    def _aborting(self, target: S3Uri, upload: str) -> Iterator[None]:
        """Aborts the upload if the block fails. An upload that cannot be aborted is named in the failure's hint: its parts cost."""
        try:
            with self._translated(target):
                yield
        except BaseException as error:
            try:
                with self._translated(target):
                    self._call(
                        "abort_multipart_upload",
                        Bucket=target.bucket,
                        Key=target.key,
                        UploadId=upload,
                    )
            except StepError as left:
                if left.type != "NoSuchUpload":
                    _name_upload(error, target, upload, left)
            raise

    def _completed(
        self,
        target: S3Uri,
        upload: str,
        sent: Sequence[Mapping[str, Any]],
        last: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        """CompleteMultipartUpload; where its answer was lost and boto3 asked again, the upload is gone and the object there."""
        place: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
        try:
            answer = self._call(
                "complete_multipart_upload",
                **place,
                UploadId=upload,
                MultipartUpload={"Parts": sent},
                **last,
            )
        except ClientError as error:
            return self._own_object(
                error, target, lambda there: is_of_parts(there, sent), repeated=repeated
            )
        if not parse_etag(answer):
            answer = self._looked_up(target, sent)
        check_etag_returned(answer, target, "the upload's end")
        return answer

    def _looked_up(self, target: S3Uri, sent: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The ETag of an object just put together, which some servers leave out of the answer; none where the object is another one."""
        there = self.head(target)
        is_own = is_of_parts(there, sent) or not all(
            integrity.is_md5(str(part["ETag"]).strip('"')) for part in sent
        )
        return {"ETag": f'"{there.etag}"', "VersionId": there.version} if is_own else {}

    # copy

    def _copy(self, item: Copy, parts: PartExecutor) -> Outcome:
        info = item.info or self.head(item.source)
        if item.skip is not None and item.skip():
            return skipped(item, info)
        answer = (
            self._copy_parts(item, info, parts)
            if info.size >= item.large
            else self._copy_whole(item, info, parts.cancel)
        )
        return Outcome(
            item.target,
            info.size,
            None,
            parse_etag(answer),
            answer.get("VersionId", ""),
            source=item.source,
            source_info=info,
        )

    def _copy_whole(self, item: Copy, info: ObjectInfo, cancel: Cancel) -> Mapping[str, Any]:
        options = dict(item.options)
        if any(name in options for name in KEPT):  # REPLACE drops whatever is not said again
            options = {
                **self.describe(item.source, info.version, tags=False, replaced=options)[1],
                **options,
                "MetadataDirective": "REPLACE",
            }
        if "Tagging" in options:
            options["TaggingDirective"] = "REPLACE"
        with self._translated(item.target, item.source, info.version):
            try:
                answer = self._call(
                    "copy_object", Bucket=item.target.bucket, Key=item.target.key, CopySource=build_copy_source(item.source, info),
                    CopySourceIfMatch=f'"{info.etag}"', **options,
                )  # fmt: skip
            except ClientError as error:
                return self._own_copy(
                    error, item.source, item.target, info, options, repeated=item.repeated
                )
        result = answer.get("CopyObjectResult", {})
        check_etag_returned(result, item.target, "the copy")
        self.flow.pace_bytes(info.size, cancel)
        return {"ETag": result["ETag"], "VersionId": answer.get("VersionId", "")}

    def _copy_parts(self, item: Copy, info: ObjectInfo, parts: PartExecutor) -> Mapping[str, Any]:
        """In parts; a multipart upload starts empty, so metadata and tags are carried over by hand."""
        options = {
            **self.describe(
                item.source, info.version, tags="Tagging" not in item.options, replaced=item.options
            )[1],
            **item.options,
        }
        options = {name: value for name, value in options.items() if value}
        part = choose_part_size(info.size, item.part)

        def send(upload: str, start: int, length: int) -> dict[str, Any]:
            parts.cancel.stop_if_set()
            content = {
                "CopySource": build_copy_source(item.source, info), "CopySourceIfMatch": f'"{info.etag}"',
                "CopySourceRange": f"bytes={start}-{start + length - 1}",
            }  # fmt: skip
            with (
                self._translated(item.target, item.source, info.version),
                self._if_match(item.source, info),
            ):
                done = self._part(item.target, upload, options, start // part + 1, **content)
            self.flow.pace_bytes(length, parts.cancel)
            return done

        return self._multipart(
            item.target,
            options,
            split_ranges(info.size, part),
            send,
            parts,
            lambda _: 0,
            repeated=item.repeated,
        )

    # copy between two roles

    def _relay(self, item: Copy, source: Storage, parts: PartExecutor) -> Outcome:
        uri = item.source
        if item.skip is not None and item.skip():
            return skipped(item, item.info)
        # its checksum is told, which listings do not
        info, kept = source.describe(
            uri,
            item.info.version if item.info else "",
            tags="Tagging" not in item.options,
            replaced=item.options,
        )
        options = {name: value for name, value in {**kept, **item.options}.items() if value}
        expected = ExpectedChecksum.of(info.checksum)
        running = (
            expected.start(info.size, lambda: source.get_part_size(uri, info)) if expected else None
        )
        if info.size < self.tuning.large:
            held = parts.memory.acquire(info.size, parts.cancel)
            try:
                data = source.read_range(uri, info, 0, info.size, parts.cancel)
                if running is not None:
                    running.update(data)
                verify_checksum(uri, info, running)
                self._moved(info.size, parts.cancel)
                answer = self._store(
                    item.target, data, self._with_crc(options), repeated=item.repeated
                )
            finally:
                parts.memory.release(held)
        else:
            answer = self._relay_parts(item, info, source, self._with_crc(options), running, parts)
        return Outcome(
            item.target,
            info.size,
            None,
            parse_etag(answer),
            answer.get("VersionId", ""),
            source=uri,
            source_info=info,
        )

    def _relay_parts(
        self,
        item: Copy,
        info: ObjectInfo,
        source: Storage,
        options: Mapping[str, Any],
        running: Optional[integrity.RunningChecksum],
        parts: PartExecutor,
    ) -> Mapping[str, Any]:
        turns = PartSequencer()

        def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
            with turns.abort_on_error():
                data = source.read_range(item.source, info, start, length, parts.cancel)
                with turns.wait_turn(
                    start, start + length
                ):  # the whole object's checksum is computed over its parts in their order
                    if running is not None:
                        running.update(data)
                    if start + length == info.size:
                        verify_checksum(item.source, info, running)
            self._moved(length, parts.cancel)
            return self._send_part(item.target, upload, options, number, data, parts.cancel)

        part = choose_part_size(info.size, self.tuning.part)
        return self._in_parts(
            item.target,
            options,
            info.size,
            part,
            send,
            parts,
            lambda length: length,
            repeated=item.repeated,
        )

    def _with_crc(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """S3 is told a CRC32 of what it gets, unless the step says another one."""
        known = self._takes("put_object", "ChecksumAlgorithm")
        return {"ChecksumAlgorithm": "CRC32", **options} if known else options

    # delete

    def _batches(
        self, items: Iterable[ObjectInfo], bucket: str, *, unchanged: bool
    ) -> Iterator[tuple[str, list[ObjectInfo]]]:
        return batch_by_bucket(
            items,
            bucket,
            KEYS_PER_DELETE
            if not unchanged or self._delete_conditions.are_kept(bucket)
            else LOOKED_AT,
        )

    def _deletion(self, bucket: str, batch: Sequence[ObjectInfo], *, unchanged: bool) -> Deletion:
        return Deletion(
            bucket, batch, unchanged, self._delete_conditions, self.tries, self._not_deleted
        )

    def _execute(self, command: Command, cancel: Cancel) -> Any:
        """Carries out one command of a deletion. Raises StepError."""
        cancel.stop_if_set()
        if isinstance(command, Pause):
            cancel.wait(command.seconds)
        elif isinstance(command, Look):
            return self.head(command.uri)
        elif isinstance(command, DeleteTogether):
            return self._delete_together(command, cancel)
        else:
            self._delete_alone(command, cancel)
        return None

    def _delete_together(self, command: DeleteTogether, cancel: Cancel) -> xml.DeleteResult:
        bucket = command.uri.bucket
        # the same function under one id is registered once
        self.client.meta.events.register(
            "after-call.s3.DeleteObjects", check_deletion_response, unique_id="rolerunner-deleted"
        )
        headers = {"Content-MD5": xml.content_md5(command.body)}
        with (
            self._translated(command.uri, version=command.version),
            with_content(self.client, "DeleteObjects", headers, command.body),
        ):
            answer = self._call(
                "delete_objects", cancel, Bucket=bucket, Delete={"Objects": [{"Key": PLACE}]}
            )
        deleted = (
            (each.get("Key") or "", each.get("VersionId") or "")
            for each in answer.get("Deleted", ())
        )
        return xml.DeleteResult(deleted, answer.get("Errors", ()))

    def _delete_alone(self, command: DeleteAlone, cancel: Cancel) -> None:
        uri = command.uri
        headers = {"If-Match": f'"{command.etag}"'} if command.etag else {}
        version = {"VersionId": command.version} if command.version else {}
        with (
            self._translated(uri, version=command.version),
            with_content(self.client, "DeleteObject", headers),
        ):
            self._call("delete_object", cancel, Bucket=uri.bucket, Key=uri.key, **version)

    def _not_deleted(self, uri: S3Uri, version: str, code: str, message: str) -> StepError:
        told = AwsError(code, message, "DeleteObjects")
        return explain_error(
            told, self.role, caller=self.caller(), bucket=uri.bucket, key=uri.key, version=version
        )


def _name_upload(error: BaseException, target: S3Uri, upload: str, why: StepError) -> None:
    """Adds to a failure's hint the upload that is left, which costs until it is aborted."""
    left = f"the multipart upload {upload} of {target} could not be aborted ({why.message}): its parts are kept and cost until it is aborted"
    left += f": aws s3api abort-multipart-upload --bucket {target.bucket} --key '{target.key}' --upload-id '{upload}'"
    if isinstance(error, StepError):
        error.hint = "\n".join(each for each in (error.hint, left) if each)
    else:
        _LOG.warning("%s", left)


def skipped(item: Copy, info: Optional[ObjectInfo]) -> Outcome:
    """The outcome of a copy whose target holds its source already; ``info`` is the source as it was compared, if it was known."""
    there = item.there.etag if item.there is not None else ""
    return Outcome(
        item.target,
        info.size if info is not None else 0,
        etag=there,
        status="skipped",
        source=item.source,
        source_info=item.info,
    )
