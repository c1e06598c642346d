"""Copies objects from one role's reach to another's through this machine."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.boto.copies import make_copied
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.resumed_uploads import ResumableUpload
from rolerunner.storage.boto.streams import StreamedUploads
from rolerunner.storage.boto.transport import PartTransport, RelayedObject, add_checksum
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.compression import Compression, compress_blocks
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.kept_times import add_mtime, source_mtime
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import Copy, Outcome, make_skipped_copy
from rolerunner.storage.responses import parse_etag
from rolerunner.storage.transfer_files import verify_checksum
from rolerunner.storage.tuning import Tuning, choose_part_size

if TYPE_CHECKING:
    from rolerunner.storage.protocol import Storage


@dataclass(frozen=True)
class Relays:
    """Stores what another role reads, once its checksum is verified."""

    requests: BotoRequests
    writer: ObjectWriter
    multipart: MultipartUploads
    transport: PartTransport
    tuning: Tuning
    streams: StreamedUploads

    def relay(self, item: Copy, source: Storage, parts: PartExecutor) -> Outcome:
        """Copies one object that ``source`` reads. Raises StepError, ClientError."""
        if item.skip is not None and item.skip():
            return make_skipped_copy(item, item.info)
        relayed = self._describe_source(item, source)
        if item.compression is not None:
            return self._relay_compressed(item, relayed, item.compression, parts)
        if relayed.info.size < self.tuning.large:
            response = self._relay_whole(item, relayed, parts)
        else:
            response = self._relay_parts(item, relayed, parts)
        return make_copied(item, relayed.info, parse_etag(response), response.get("VersionId", ""))

    def _describe_source(self, item: Copy, source: Storage) -> RelayedObject:
        """Returns the source with its checksum, which listings do not report."""
        uri = item.source
        info, kept = source.describe(
            uri,
            item.info.version if item.info else "",
            tags="Tagging" not in item.options,
            replaced=item.options,
        )
        merged = {**kept, **item.options}
        if item.keep_time:
            merged = dict(add_mtime(merged, source_mtime(info)))
        options = {name: value for name, value in merged.items() if value}
        expected = ExpectedChecksum.of(info.checksum)
        running = None
        if expected is not None:
            running = expected.start(info.size, lambda: source.get_part_size(uri, info))
        return RelayedObject(uri, info, source, add_checksum(self.requests, options), running)

    def _relay_compressed(
        self, item: Copy, relayed: RelayedObject, compression: Compression, parts: PartExecutor
    ) -> Outcome:
        info = relayed.info
        check_not_encoded(item, info.encoding)
        blocks = read_blocks(relayed, parts.cancel)
        size = compression.bound(info.size)
        with (
            closing(blocks),
            self.streams.open(
                item.target, relayed.options, size, parts, repeated=item.repeated
            ) as stream,
        ):
            for packed in compress_blocks(blocks, compression, info.size):
                stream.write(packed)
        stored = stream.stored()
        copied = make_copied(item, info, stored.etag, stored.version)
        return replace(copied, size=stored.size)

    def _relay_whole(
        self, item: Copy, relayed: RelayedObject, parts: PartExecutor
    ) -> Mapping[str, Any]:
        size = relayed.info.size
        held = parts.memory.acquire(size, parts.cancel)
        try:
            source = ObjectRange(relayed.uri, relayed.info, 0, size)
            data = relayed.source.read_range(source, parts.cancel)
            if relayed.running is not None:
                relayed.running.update(data)
            verify_checksum(relayed.uri, relayed.info, relayed.running)
            self.requests.count_bytes(size, parts.cancel)
            return self.writer.store(item.target, data, relayed.options, repeated=item.repeated)
        finally:
            parts.memory.release(held)

    def _relay_parts(
        self, item: Copy, relayed: RelayedObject, parts: PartExecutor
    ) -> Mapping[str, Any]:
        relay = self.transport.open_relay(relayed, parts)
        info = relayed.info
        part_size = choose_part_size(info.size, self.tuning.part)
        resumable = None
        if item.journal is not None:
            resumable = ResumableUpload(
                item.journal, relayed.uri, info, part_size, relay.algorithm, relay.digest_of
            )
        return self.multipart.upload(
            item.target,
            relayed.options,
            info.size,
            part_size,
            relay.send,
            parts,
            relay.count_memory,
            repeated=item.repeated,
            resumable=resumable,
        )


def read_blocks(relayed: RelayedObject, cancel: Cancel) -> Generator[bytes, None, None]:
    """Yields the bytes of an object, verified against its checksum. Raises StepError."""
    items = [(relayed.uri, relayed.info)]
    with closing(relayed.source.read_in_order(items, cancel)) as blocks:
        for block in blocks:
            if block.error is not None:
                raise block.error
            yield block.data


def check_not_encoded(item: Copy, encoding: str) -> None:
    """Raises StepError for an object whose Content-Encoding the copy's own would replace."""
    if "ContentEncoding" in item.options and encoding not in ("", "identity", "aws-chunked"):
        raise StepError(
            f"{item.source}: has the Content-Encoding '{encoding}' already",
            hint="leave it out with 'exclude', or set 'compress_as: suffix'",
            type="AlreadyEncoded",
        )
