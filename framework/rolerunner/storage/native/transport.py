"""Moves ranges and parts of large objects over blocking connections, each in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, payloads
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.transport import (
    BufferedRelay,
    PartRelay,
    RelayedObject,
    add_checksum,
    write_range,
)
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.hashing import compute_digest, encode_base64
from rolerunner.storage.http.aws_chunked import ChunkedBody
from rolerunner.storage.http.connection_pool import BLOCK_SIZE
from rolerunner.storage.native.client import (
    NativeClient,
    checksum_header,
    split_checksum,
)
from rolerunner.storage.native.fallback import call_or_fall_back
from rolerunner.storage.native.part_relays import NativeRelay, WholeChecksum
from rolerunner.storage.native.part_sender import PartSender
from rolerunner.storage.native.range_reader import RangeReader
from rolerunner.storage.native.templates import UnsupportedRequest
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.responses import (
    CUSTOMER_ALGORITHM_HEADER,
    check_etag_returned,
)
from rolerunner.storage.transfer_files import SharedFile
from rolerunner.storage.tuning import choose_part_size
from rolerunner.storage.upload_source import UploadSource

if TYPE_CHECKING:
    from rolerunner.storage.buffers import BufferPool
    from rolerunner.storage.protocol import Storage


class NativeTransport:
    """Moves ranges and parts, straight from and to files; boto3 does what it does not support."""

    def __init__(self, client: NativeClient, fallback: BotoEngine) -> None:
        self.client = client
        self.requests = fallback.requests
        self.ranges = RangeReader(client, fallback)
        self._fallback = fallback.boto_transport
        self._recovery = fallback.recovery
        self._parts = PartSender(client)

    def download_range(
        self, source: ObjectRange, file: SharedFile, algorithm: str, cancel: Cancel
    ) -> bytes:
        """Writes a range to its place in an open file; returns its digest by ``algorithm``."""
        count = partial(self.requests.count_bytes, cancel=cancel)
        return write_range(self.ranges.read_into, source, file, algorithm, count, cancel)

    def read_range(
        self,
        source: ObjectRange,
        cancel: Optional[Cancel] = None,
        buffers: Optional[BufferPool] = None,
    ) -> bytes:
        """Returns the bytes of a range, in one of the buffers if they are given."""
        return self.ranges.read_range(source, cancel, buffers)

    def read_object(self, source: ObjectRange, cancel: Cancel) -> bytes:
        """Returns a small object's bytes, once their checksum is verified."""
        return self.ranges.read_object(source, cancel)

    def store_object(
        self, uri: S3Uri, data: Any, options: Mapping[str, Any], cancel: Cancel, *, repeated: bool
    ) -> Mapping[str, Any]:
        """Stores bytes by one PutObject; returns ETag and version, named as in responses."""
        return call_or_fall_back(
            lambda: self._put_object(uri, data, options, cancel, repeated=repeated),
            lambda: self._fallback.store_object(uri, data, options, cancel, repeated=repeated),
        )

    def _put_object(
        self, uri: S3Uri, data: Any, options: Mapping[str, Any], cancel: Cancel, *, repeated: bool
    ) -> Mapping[str, Any]:
        algorithm, rest = split_checksum(options)
        if not hashing.can_compute(algorithm):
            raise UnsupportedRequest(f"{algorithm} cannot be computed without awscrt")
        task = self.client.send(
            self.client.make_policy(cancel),
            "put_object",
            uri,
            rest,
            checksum_header(algorithm, compute_digest(algorithm, data)),
            body=data,
        )
        try:
            headers = self.client.run(task, cancel).headers
        except ClientError as error:
            return self._recovery.recover_data(error, uri, bytes(data), repeated=repeated)
        check_etag_returned({"ETag": headers.get("etag")}, uri, "the upload")
        self.requests.check_encrypted(uri, options, headers.get(CUSTOMER_ALGORITHM_HEADER))
        return {"ETag": headers["etag"], "VersionId": headers.get("x-amz-version-id", "")}

    def count_memory(self, length: int) -> int:
        """Returns zero: a part is sent straight from the file."""
        del length
        return 0

    def select_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the options with the checksum of each part, unless it cannot be computed."""
        selected = add_checksum(self.requests, options)
        return selected if _can_checksum(selected) else options

    def upload_file_part(
        self, file: UploadSource, part: PartUpload, cancel: Cancel
    ) -> dict[str, Any]:
        """Sends a part straight from the file."""
        if not _can_checksum(part.options):
            return self._fallback.upload_file_part(file, part, cancel)
        return call_or_fall_back(
            lambda: self._parts.send_file(file, part, cancel),
            lambda: self._fallback.upload_file_part(file, part, cancel),
        )

    def upload_part(self, part: PartUpload, data: Any, cancel: Cancel) -> dict[str, Any]:
        """Sends a part that is in memory."""
        if not _can_checksum(part.options):
            return self._fallback.upload_part(part, data, cancel)
        algorithm, _ = split_checksum(part.options)
        return self._upload_hashed(part, data, compute_digest(algorithm, data), cancel)

    def _upload_hashed(
        self, part: PartUpload, data: Any, digest: str, cancel: Cancel
    ) -> dict[str, Any]:
        """Sends a part whose checksum is known, in base64."""
        algorithm, _ = split_checksum(part.options)
        return call_or_fall_back(
            lambda: self._parts.send(part, checksum_header(algorithm, digest), data, cancel),
            lambda: self._fallback.upload_part(part, data, cancel),
        )

    def open_relay(self, relayed: RelayedObject, parts: PartExecutor) -> PartRelay:
        """Returns a relay that sends parts in blocks if they are too large to be held."""
        source = find_native_transport(relayed.source)
        if source is not None and relayed.options.get("ChecksumAlgorithm") == "CRC32":
            in_blocks = self._must_use_blocks(relayed.info.size, source)
            checksum = WholeChecksum(relayed)
            if in_blocks or not checksum.is_ordered:
                return NativeRelay(relayed, checksum, parts, self, source, in_blocks=in_blocks)
        return BufferedRelay(relayed, parts, self, self.requests)

    def _must_use_blocks(self, size: int, source: NativeTransport) -> bool:
        """Returns True if parts are too large to be held and can be sent in blocks.

        boto3 cannot send what has not arrived yet, so what it sends is held all the same.
        """
        tuning = self.client.tuning
        if choose_part_size(size, tuning.part) <= tuning.memory // 4:
            return False
        if not payloads.takes_trailers(self.requests.client):
            return False
        return source.client.supports("get_object") and self.client.supports("upload_part")

    def relay_part(
        self,
        storage: Storage,
        source: ObjectRange,
        part: PartUpload,
        algorithm: str,
        in_blocks: bool,
        cancel: Cancel,
    ) -> tuple[dict[str, Any], bytes]:
        """Sends a range that ``storage`` reads as a part; returns also its digest, if any."""
        origin = find_native_transport(storage)
        assert origin is not None  # noqa: S101 - open_relay has looked
        if in_blocks:
            make_hash = partial(hashing.create_hash, algorithm) if algorithm else None
            completed, body = self.relay_blocks(origin, source, part, make_hash, cancel)
            return completed, body.computed.digest() if body.computed is not None else b""
        names = sorted({"CRC32", algorithm} - {""})
        with self.client.connections.borrow_memory(part.length) as data:
            digests = origin.ranges.read_into_memory(data, source, names, cancel)
            self.requests.count_bytes(part.length, cancel)
            digest = encode_base64(digests["CRC32"])
            completed = self._upload_hashed(part, data, digest, cancel)
        return completed, digests.get(algorithm, b"")

    def relay_blocks(
        self,
        origin: NativeTransport,
        source: ObjectRange,
        part: PartUpload,
        make_hash: Optional[Callable[[], Any]],
        cancel: Cancel,
    ) -> tuple[dict[str, Any], ChunkedBody]:
        """Sends a part in blocks; returns also the body, which holds the hash of what was sent."""

        def iterate_blocks() -> Iterator[bytes]:
            for block in origin.ranges.iterate_range(source, cancel):
                yield block
                self.requests.count_bytes(len(block), cancel)

        body = ChunkedBody(iterate_blocks, part.length, BLOCK_SIZE, make_hash)
        return self._parts.send_chunked(part, body, cancel), body


def find_native_transport(storage: Storage) -> Optional[NativeTransport]:
    """Returns the transport of a native engine; None for any other storage."""
    transport = getattr(storage, "transport", None)
    return transport if isinstance(transport, NativeTransport) else None


def _can_checksum(options: Mapping[str, Any]) -> bool:
    return hashing.can_compute(str(options.get("ChecksumAlgorithm", "")))
