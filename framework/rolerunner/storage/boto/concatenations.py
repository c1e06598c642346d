"""Stores many objects as one, in parts that S3 copies and parts that pass through here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rolerunner.errors import IntegrityFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.transport import BotoTransport, PartTransport, add_checksum
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.concatenation import MIN_PART, Concatenation, PlannedPart, plan_parts
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import build_copy_source, parse_etag
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.concatenation import Segment
    from rolerunner.storage.concurrency import PartExecutor
    from rolerunner.storage.protocol import Storage

_READERS = 16
"""Segments of all parts that are read at once."""


@dataclass(frozen=True)
class Concatenations:
    """Makes one object of many under a role; another role may read them."""

    requests: BotoRequests
    reader: ObjectReader
    writer: ObjectWriter
    multipart: MultipartUploads
    transport: PartTransport
    boto_transport: BotoTransport

    def concatenate(self, item: Concatenation, source: Storage, parts: PartExecutor) -> ObjectInfo:
        """Stores the target and returns it. Raises StepError; nothing is left of a failure."""
        with (
            self.requests.translate_errors(item.target),
            ThreadPool(_READERS, thread_name_prefix="rolerunner-read") as pool,
        ):
            read = partial(_read_part, source=source, pool=pool, cancel=parts.cancel)
            if item.size < MIN_PART:
                response = self._store_whole(item, read)
            else:
                response = self._store_parts(item, read, parts)
        version = response.get("VersionId") or ""
        return ObjectInfo(item.target.key, item.size, parse_etag(response), version=version)

    def _store_whole(self, item: Concatenation, read: Any) -> Mapping[str, Any]:
        data = b"".join(read(part) for part in plan_parts(item))
        _check_size(item, len(data))
        return self.writer.store(item.target, data, item.options, repeated=item.repeated)

    def _store_parts(
        self, item: Concatenation, read: Any, parts: PartExecutor
    ) -> Mapping[str, Any]:
        planned: dict[int, PlannedPart] = {}

        def ranges() -> Iterator[tuple[int, int]]:
            end = 0
            for part in plan_parts(item):
                planned[part.start] = part
                end = part.start + part.length
                yield part.start, part.length
            _check_size(item, end)

        def send(upload: PartUpload) -> dict[str, Any]:
            part = planned.pop(upload.start)
            if part.is_copied:
                return self._copy_part(part.segments[0], upload, parts.cancel)
            data = read(part)
            self.requests.count_bytes(len(data), parts.cancel)
            return self.transport.upload_part(upload, data, parts.cancel)

        def count_memory(start: int, length: int) -> int:
            return 0 if planned[start].is_copied else 2 * length

        options = item.options if item.within_s3 else add_checksum(self.requests, item.options)
        return self.multipart.upload_ranges(
            item.target, options, ranges(), send, parts, count_memory, repeated=item.repeated
        )

    def _copy_part(self, segment: Segment, upload: PartUpload, cancel: Cancel) -> dict[str, Any]:
        uri, info = segment.uri, segment.info
        assert uri is not None  # noqa: S101 - only objects are copied
        assert info is not None  # noqa: S101
        source = ObjectRange(uri, info, segment.start, segment.length)
        with (
            self.requests.translate_errors(upload.target, uri, info.version),
            self.reader.explain_if_match(uri, info),
        ):
            completed = self.boto_transport.copy_part(
                upload,
                {
                    "CopySource": build_copy_source(uri, info),
                    "CopySourceIfMatch": source.if_match,
                    "CopySourceRange": source.byte_range,
                },
                cancel,
            )
        self.requests.pacer.pace_bytes(segment.length, cancel)
        return completed


def _check_size(item: Concatenation, size: int) -> None:
    if size != item.size:
        message = f"{item.target}: the sources have {size:,} bytes, not {item.size:,} as listed"
        raise IntegrityFailed(message)


def _read_part(part: PlannedPart, *, source: Storage, pool: ThreadPool, cancel: Cancel) -> bytes:
    def read(segment: Segment) -> bytes:
        if segment.uri is None or segment.info is None:
            return segment.data[segment.start : segment.start + segment.length]
        place = ObjectRange(segment.uri, segment.info, segment.start, segment.length)
        return source.read_range(place, cancel)

    # in the thread of the part where one segment is all: it needs no second thread
    if len(part.segments) == 1:
        return read(part.segments[0])
    futures = [pool.submit(read, segment) for segment in part.segments]
    try:
        return b"".join(future.result() for future in futures)
    finally:
        for future in futures:
            future.cancel()
