"""Moves ranges and parts of large objects: the protocol of both engines, and boto3's way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.writer import ObjectWriter
from rolerunner.storage.concurrency import PartExecutor, PartSequencer
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import check_etag_returned
from rolerunner.storage.transfer_files import RangeSink, SharedFile, verify_checksum
from rolerunner.storage.upload_source import UploadSource

if TYPE_CHECKING:
    from rolerunner.storage.buffers import BufferPool
    from rolerunner.storage.protocol import Storage

BLOCK_BYTES = 1 << 18
PART_OPTIONS = ("RequestPayer", "ExpectedBucketOwner", "SSECustomerAlgorithm", "SSECustomerKey")
"""Options of PutObject that each part repeats."""


@dataclass(frozen=True)
class RelayedObject:
    """A large object that is copied from one role's reach to another's."""

    uri: S3Uri
    info: ObjectInfo
    source: Storage
    """Reads the object."""
    options: Mapping[str, Any]
    running: Optional[integrity.RunningChecksum]
    """Computes the checksum of the whole, for comparison; None if S3 reports none."""


class PartRelay(Protocol):
    """Sends the parts of one relayed object."""

    algorithm: str
    """The algorithm of the digests of parts; empty if there are none."""

    def digest_of(self, part: PartUpload) -> str:
        """Returns the digest of a part that was sent, in hex; empty if there is none."""

    def send(self, part: PartUpload) -> dict[str, Any]:
        """Reads a part from the source and stores it, unless it is; returns its completed part."""

    def count_memory(self, length: int) -> int:
        """Returns the bytes of memory that a part of ``length`` bytes takes."""


class PartTransport(Protocol):
    """Moves ranges and parts of large objects. Each method of plain values may run in a worker.

    A completed part is what CompleteMultipartUpload takes: part number, ETag and checksums.
    """

    def download_range(
        self, source: ObjectRange, file: SharedFile, algorithm: str, cancel: Cancel
    ) -> bytes:
        """Writes a range to its place in an open file; returns its digest by ``algorithm``."""

    def upload_file_part(
        self, file: UploadSource, part: PartUpload, cancel: Cancel
    ) -> dict[str, Any]:
        """Sends a range of a file. Raises LocalFileFailed if the file has changed."""

    def upload_part(self, part: PartUpload, data: Any, cancel: Cancel) -> dict[str, Any]:
        """Sends a part that is in memory."""

    def read_object(self, source: ObjectRange, cancel: Cancel) -> bytes:
        """Returns a small object's bytes, once their checksum is verified."""

    def read_range(
        self,
        source: ObjectRange,
        cancel: Optional[Cancel] = None,
        buffers: Optional[BufferPool] = None,
    ) -> bytes:
        """Returns the bytes of a range, in one of the buffers if they are given."""

    def store_object(
        self, uri: S3Uri, data: Any, options: Mapping[str, Any], cancel: Cancel, *, repeated: bool
    ) -> Mapping[str, Any]:
        """Stores bytes by one PutObject; returns ETag and version, named as in responses."""

    def select_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the options that a file is uploaded in parts with."""

    def count_memory(self, length: int) -> int:
        """Returns the bytes of memory that a part of a file takes while it is sent."""

    def open_relay(self, relayed: RelayedObject, parts: PartExecutor) -> PartRelay:
        """Returns what sends the parts of an object that another role reads."""


@dataclass(frozen=True)
class BotoTransport:
    """Moves ranges and parts through boto3, each held in memory."""

    requests: BotoRequests
    reader: ObjectReader
    writer: ObjectWriter

    def read_object(self, source: ObjectRange, cancel: Cancel) -> bytes:
        """Returns a small object's bytes."""
        return self.reader.read_object(source, cancel)

    def read_range(
        self,
        source: ObjectRange,
        cancel: Optional[Cancel] = None,
        buffers: Optional[BufferPool] = None,
    ) -> bytes:
        """Returns the bytes of a range."""
        return self.reader.read_range(source, cancel, buffers)

    def store_object(
        self, uri: S3Uri, data: Any, options: Mapping[str, Any], cancel: Cancel, *, repeated: bool
    ) -> Mapping[str, Any]:
        """Stores bytes by one PutObject."""
        cancel.stop_if_set()
        return self.writer.store(uri, bytes(data), options, repeated=repeated)

    def download_range(
        self, source: ObjectRange, file: SharedFile, algorithm: str, cancel: Cancel
    ) -> bytes:
        """Writes a range to its place in an open file; returns its digest."""
        count = partial(self.requests.count_bytes, cancel=cancel)
        return write_range(self.read_into, source, file, algorithm, count, cancel)

    def read_into(self, source: ObjectRange, landing: RangeSink, cancel: Cancel) -> None:
        """Feeds a range to ``landing``, block by block."""
        with self.reader.open_range(source, cancel) as body:
            for block in iter(lambda: body.read(BLOCK_BYTES), b""):
                landing.write(block)

    def upload_file_part(
        self, file: UploadSource, part: PartUpload, cancel: Cancel
    ) -> dict[str, Any]:
        """Sends a range of a file as a part."""
        data = file(part.start, part.length)
        self.requests.count_bytes(part.length, cancel)
        return self.upload_part(part, data, cancel)

    def upload_part(self, part: PartUpload, data: Any, cancel: Cancel) -> dict[str, Any]:
        """Sends a part that is in memory."""
        cancel.stop_if_set()
        options = dict(_select_part_options(self.requests, "upload_part", part.options))
        if "ChecksumAlgorithm" in part.options:
            options["ChecksumAlgorithm"] = part.options["ChecksumAlgorithm"]
        body = data if isinstance(data, (bytes, bytearray)) else bytes(data)
        response = self.requests.call("upload_part", **_locate_part(part), **options, Body=body)
        completed = _make_completed_part(part, response)
        algorithm = str(options.get("ChecksumAlgorithm", ""))
        if hashing.can_compute(algorithm) and f"Checksum{algorithm}" not in completed:
            # some servers do not return it, and yet want it for the completion
            completed[f"Checksum{algorithm}"] = hashing.compute_digest(algorithm, data)
        return completed

    def copy_part(
        self, part: PartUpload, source: Mapping[str, Any], cancel: Cancel
    ) -> dict[str, Any]:
        """Copies a range of an object within S3 as a part; ``source`` has its parameters."""
        cancel.stop_if_set()
        options = _select_part_options(self.requests, "upload_part_copy", part.options)
        response = self.requests.call("upload_part_copy", **_locate_part(part), **options, **source)
        return _make_completed_part(part, response.get("CopyPartResult", {}))

    def select_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the options with the checksum of each part."""
        return add_checksum(self.requests, options)

    def count_memory(self, length: int) -> int:
        """Returns the length: a part is read whole."""
        return length

    def open_relay(self, relayed: RelayedObject, parts: PartExecutor) -> PartRelay:
        """Returns a relay that holds each part in memory."""
        return BufferedRelay(relayed, parts, self, self.requests)


def add_checksum(requests: BotoRequests, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options with a CRC32, unless they name a checksum or boto3 knows of none."""
    if not requests.has_parameter("put_object", "ChecksumAlgorithm"):
        return options
    return {"ChecksumAlgorithm": "CRC32", **options}


class BufferedRelay:
    """Relays parts that are held in memory one by one, and checks the whole in their order.

    A part that is stored already is read for the checksum of the whole, and compared.
    """

    algorithm = ""

    def __init__(
        self,
        relayed: RelayedObject,
        parts: PartExecutor,
        transport: PartTransport,
        requests: BotoRequests,
    ) -> None:
        self._relayed = relayed
        self._cancel = parts.cancel
        self._transport = transport
        self._requests = requests
        self._turns = PartSequencer()

    def send(self, part: PartUpload) -> dict[str, Any]:
        """Reads a part from the source and stores it."""
        relayed = self._relayed
        source = ObjectRange(relayed.uri, relayed.info, part.start, part.length)
        with self._turns.abort_on_error():
            data = relayed.source.read_range(source, self._cancel)
            # the checksum of the whole object is computed over its parts in their order
            with self._turns.wait_turn(part.start, part.end):
                if relayed.running is not None:
                    relayed.running.update(data)
                if part.end == relayed.info.size:
                    verify_checksum(relayed.uri, relayed.info, relayed.running)
        if part.stored is not None and part.stored.has_content(data):
            return part.stored.completed
        self._requests.count_bytes(part.length, self._cancel)
        return self._transport.upload_part(part, data, self._cancel)

    def digest_of(self, part: PartUpload) -> str:
        """Returns nothing: the whole is checked in order."""
        del part
        return ""

    def count_memory(self, length: int) -> int:
        """Returns the length: a part is held whole."""
        return length


def write_range(
    read_into: Callable[[ObjectRange, RangeSink, Cancel], None],
    source: ObjectRange,
    file: SharedFile,
    algorithm: str,
    count_bytes: Callable[[int], None],
    cancel: Cancel,
) -> bytes:
    """Writes what ``read_into`` feeds to its place in a file; returns its digest."""
    make_hash = partial(hashing.create_hash, algorithm) if algorithm else None
    with file.writable() as descriptor:
        landing = RangeSink(
            Path(file.path),
            descriptor,
            source,
            make_hash,
            count_bytes,
        )
        read_into(source, landing, cancel)
    if landing.got != source.length:
        received = f"received {landing.got:,} of {source.length:,} bytes of a range"
        raise IntegrityFailed(f"{source.uri}: {received}")
    return landing.crc


def _locate_part(part: PartUpload) -> dict[str, Any]:
    return {
        "Bucket": part.target.bucket,
        "Key": part.target.key,
        "UploadId": part.upload_id,
        "PartNumber": part.number,
    }


def _select_part_options(
    requests: BotoRequests, method: str, options: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {
        name: options[name]
        for name in PART_OPTIONS
        if name in options and requests.has_parameter(method, name)
    }


def _make_completed_part(part: PartUpload, result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the completed part. Raises ServiceFailed if the result has no ETag.

    Its checksum is that of the upload: boto3 adds one to parts of an upload without any, and some
    servers then refuse the completion.
    """
    check_etag_returned(result, part.target, f"part {part.number}")
    name = f"Checksum{part.options.get('ChecksumAlgorithm', '')}"
    checksum = {name: result[name]} if name in result else {}
    return {"PartNumber": part.number, "ETag": result["ETag"], **checksum}
