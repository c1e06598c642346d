"""Copies objects from one role's reach to another's through this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.storage.boto.copies import make_copied, make_skipped_copy
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.transport import PartTransport, RelayedObject
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import Copy, Outcome
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

    def relay(self, item: Copy, source: Storage, parts: PartExecutor) -> Outcome:
        """Copies one object that ``source`` reads. Raises StepError, ClientError."""
        if item.skip is not None and item.skip():
            return make_skipped_copy(item, item.info)
        relayed = self._describe_source(item, source)
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
        options = {name: value for name, value in {**kept, **item.options}.items() if value}
        expected = ExpectedChecksum.of(info.checksum)
        running = None
        if expected is not None:
            running = expected.start(info.size, lambda: source.get_part_size(uri, info))
        return RelayedObject(uri, info, source, add_checksum(self.requests, options), running)

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
        return self.multipart.upload(
            item.target,
            relayed.options,
            relayed.info.size,
            choose_part_size(relayed.info.size, self.tuning.part),
            relay.send,
            parts,
            relay.count_memory,
            repeated=item.repeated,
        )


def add_checksum(requests: BotoRequests, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options with a CRC32, unless they name a checksum or boto3 knows of none."""
    if not requests.has_parameter("put_object", "ChecksumAlgorithm"):
        return options
    return {"ChecksumAlgorithm": "CRC32", **options}
