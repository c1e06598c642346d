"""Downloads objects to files, large ones in ranges."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.common.new_files import NewFile, create_atomically
from rolerunner.errors import IntegrityFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage import file_comparison
from rolerunner.storage.boto.errors import make_checksum_error
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.transport import BLOCK_BYTES, PartTransport
from rolerunner.storage.concurrency import PartExecutor, split_ranges
from rolerunner.storage.crc_combiner import CrcCombiner
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import Get, ObjectInfo, Outcome
from rolerunner.storage.responses import check_unchanged, parse_object_info
from rolerunner.storage.transfer_files import (
    SharedFile,
    decompress_file,
    set_modified_time,
    verify_checksum,
)
from rolerunner.storage.tuning import Tuning


@dataclass(frozen=True)
class Downloads:
    """Writes objects to files under a temporary name, checks and renames them."""

    requests: BotoRequests
    reader: ObjectReader
    transport: PartTransport
    tuning: Tuning

    def download(self, item: Get, parts: PartExecutor) -> Outcome:
        """Downloads one object. Raises StepError."""
        uri = item.source
        if item.skip is not None and item.skip():
            return make_skipped_download(item)
        info = item.info or self.reader.head(uri)
        is_large = info.size >= self.tuning.large
        if is_large and not info.checksum:  # listings report none
            info = check_unchanged(info, self.reader.head(uri, info.version), uri)
        with (
            self.requests.translate_errors(uri, version=info.version),
            create_atomically(Path(item.target), item.folder) as file,
        ):
            if is_large:
                self._download_ranges(uri, info, file, parts)
            else:
                info = self._download_whole(uri, info, file, parts.cancel)
            size = os.fstat(file.descriptor).st_size
            if item.decompress is not None:
                decompress_file(file, item.target, uri, item.folder, item.decompress, info.encoding)
            if item.keep_time:
                set_modified_time(file, info)
        return Outcome(uri, size, item.target, info.etag, info.version, info=info)

    def _download_whole(
        self, uri: S3Uri, info: ObjectInfo, target: NewFile, cancel: Cancel
    ) -> ObjectInfo:
        """Downloads a small object; returns what the response reports of it."""
        options = self.requests.read_options(info.version)
        response = self.requests.call(
            "get_object", cancel, Bucket=uri.bucket, Key=uri.key, **options
        )
        received = 0
        with (
            open(target.open(), "wb", closefd=False) as file,
            contextlib.closing(response["Body"]) as body,
        ):
            # a chunked response has no length
            now = parse_object_info(uri, {"ContentLength": info.size, **response})
            expected = ExpectedChecksum.of(now.checksum)
            running = None
            if expected is not None:
                running = expected.start(now.size, lambda: self.reader.get_part_size(uri, now))
            for block in iter(lambda: body.read(BLOCK_BYTES), b""):
                self.requests.count_bytes(len(block), cancel)
                file.write(block)
                received += len(block)
                if received > now.size:  # a chunked response may have no end
                    message = f"received more than the {now.size:,} bytes of the object"
                    raise IntegrityFailed(f"{uri}: {message}")
                if running is not None:
                    running.update(block)
        if received != now.size:
            raise IntegrityFailed(f"{uri}: received {received:,} of {now.size:,} bytes")
        verify_checksum(uri, now, running)
        return now

    def _download_ranges(
        self, uri: S3Uri, info: ObjectInfo, file: NewFile, parts: PartExecutor
    ) -> None:
        """Downloads a large object; raises IntegrityFailed if the whole is not what S3 reports."""
        pieces = CrcCombiner.of(info.checksum)
        algorithm = pieces.algorithm if pieces is not None else ""
        os.ftruncate(file.descriptor, info.size)
        place = SharedFile.of(file)

        def fetch(start: int, length: int) -> None:
            source = ObjectRange(uri, info, start, length)
            digest = parts.submit(self.transport.download_range, source, place, algorithm)
            if pieces is not None:
                pieces.add(start, length, digest)

        parts.map_ranges(
            split_ranges(info.size, self.tuning.choose_range_size(info.size)), fetch, lambda _: 0
        )
        if pieces is not None:
            matches: Optional[bool] = pieces.matches()
        else:
            matches = file_comparison.file_matches(
                file.descriptor, info.checksum, lambda: self.reader.get_part_size(uri, info)
            )
        if matches is False:
            raise make_checksum_error(uri, info.checksum)


def make_skipped_download(item: Get) -> Outcome:
    """Returns the outcome of a download whose file is right already."""
    size, etag = (item.info.size, item.info.etag) if item.info is not None else (0, "")
    return Outcome(item.source, size, item.target, etag, status="skipped")
