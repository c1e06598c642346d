"""Uploads files, large ones in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.streams import StreamedUploads
from rolerunner.storage.boto.transport import PartTransport
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.compression import Compression, compress_blocks
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.kept_times import add_mtime, format_mtime
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import Outcome, Put
from rolerunner.storage.responses import parse_etag
from rolerunner.storage.tuning import Tuning, choose_part_size
from rolerunner.storage.upload_source import UploadSource


@dataclass(frozen=True)
class Uploads:
    """Stores files as objects."""

    requests: BotoRequests
    writer: ObjectWriter
    multipart: MultipartUploads
    transport: PartTransport
    tuning: Tuning
    streams: StreamedUploads

    def upload(self, item: Put, parts: PartExecutor) -> Outcome:
        """Uploads one file. Raises StepError, ClientError."""
        file = UploadSource.of(item.source, follow=item.follow)
        size = file.before.st_size
        if item.skip is not None and item.skip():
            return Outcome(item.target, size, item.source, status="skipped")
        if item.keep_time:
            mtime = format_mtime(file.before.st_mtime_ns)
            item = replace(item, options=add_mtime(item.options, mtime))
        if item.compression is not None:
            return self._upload_compressed(item, file, item.compression, parts)
        if size >= self.tuning.large:
            response = self._upload_parts(item, file, parts)
        else:
            response = self._upload_whole(item, file, parts)
        version = response.get("VersionId", "")
        return Outcome(item.target, size, item.source, parse_etag(response), version)

    def _upload_compressed(
        self, item: Put, file: UploadSource, compression: Compression, parts: PartExecutor
    ) -> Outcome:
        size = compression.bound(file.before.st_size)
        with self.streams.open(
            item.target, item.options, size, parts, repeated=item.repeated
        ) as stream:
            blocks = file.read_blocks(parts.cancel)
            for packed in compress_blocks(blocks, compression, file.before.st_size):
                stream.write(packed)
        info = stream.stored()
        return Outcome(item.target, info.size, item.source, info.etag, info.version)

    def _upload_whole(
        self, item: Put, file: UploadSource, parts: PartExecutor
    ) -> Mapping[str, Any]:
        size = file.before.st_size
        held = parts.memory.acquire(size, parts.cancel)
        try:
            data = file(0, size)
            self.requests.count_bytes(size, parts.cancel)
            return self.writer.store(item.target, data, item.options, repeated=item.repeated)
        finally:
            parts.memory.release(held)

    def _upload_parts(
        self, item: Put, file: UploadSource, parts: PartExecutor
    ) -> Mapping[str, Any]:
        def send(part: PartUpload) -> dict[str, Any]:
            completed: dict[str, Any] = parts.submit(self.transport.upload_file_part, file, part)
            return completed

        size = file.before.st_size
        return self.multipart.upload(
            item.target,
            self.transport.select_options(item.options),
            size,
            choose_part_size(size, self.tuning.part),
            send,
            parts,
            self.transport.count_memory,
            repeated=item.repeated,
        )
