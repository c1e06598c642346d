"""Relays the parts of large objects between two roles, without a copy of the whole in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import TRAILER_REFUSED
from rolerunner.storage import payloads
from rolerunner.storage.boto.errors import make_checksum_error
from rolerunner.storage.boto.transport import RelayedObject
from rolerunner.storage.concurrency import PartExecutor, PartSequencer
from rolerunner.storage.crc_combiner import CrcCombiner
from rolerunner.storage.hashing import create_hash, encode_base64
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.transfer_files import verify_checksum

if TYPE_CHECKING:
    from rolerunner.storage.native.transport import NativeTransport
    from rolerunner.storage.upload_journal import StoredPart


class WholeChecksum:
    """The checksum of a whole object whose parts go by.

    CRCs of parts are combined in any order; any other checksum needs the parts in their order.
    """

    def __init__(self, relayed: RelayedObject) -> None:
        self._relayed = relayed
        self._running = relayed.running
        self._combiner = CrcCombiner.of(relayed.info.checksum)
        self._left = relayed.info.size
        self._lock = threading.Lock()
        self.is_ordered = relayed.running is not None and self._combiner is None
        self.algorithm = self._combiner.algorithm if self._combiner is not None else ""
        """The algorithm of the parts' digests; empty if there is nothing to combine."""

    def add_digest(self, part: PartUpload, digest: bytes) -> None:
        """Adds a part. Raises IntegrityFailed after the last one if the whole does not match."""
        with self._lock:
            self._left -= part.length
            if self._combiner is None:
                return
            self._combiner.add(part.start, part.length, digest)
            if not self._left and not self._combiner.matches():
                raise make_checksum_error(self._relayed.uri, self._relayed.info.checksum)

    def digest_of(self, part: PartUpload) -> str:
        """Returns the digest of a part that was added, in hex; empty if none is combined."""
        return "" if self._combiner is None else self._combiner.digest_at(part.start).hex()

    def copy_state(self) -> Any:
        """Returns a hash that the next part's bytes are fed to, a new one for every attempt."""
        assert self._running is not None  # noqa: S101 - it is ordered
        return self._running.copy()

    def advance(self, part: PartUpload, state: Any) -> None:
        """Keeps the hash after the next part. Raises as ``add_digest``."""
        self._left -= part.length
        self._running = state
        if not self._left:
            verify_checksum(self._relayed.uri, self._relayed.info, self._running)


class NativeRelay:
    """Sends the parts of one object, in blocks if whole parts are too large for memory."""

    def __init__(
        self,
        relayed: RelayedObject,
        checksum: WholeChecksum,
        parts: PartExecutor,
        transport: NativeTransport,
        source: NativeTransport,
        *,
        in_blocks: bool,
    ) -> None:
        self._relayed = relayed
        self._checksum = checksum
        self._parts = parts
        self._transport = transport
        self._source = source
        self._in_blocks = in_blocks
        self._sequencer = PartSequencer()
        self.algorithm = checksum.algorithm
        self.digest_of = checksum.digest_of

    def count_memory(self, length: int) -> int:
        """Returns the bytes of memory of a part; none if it is sent in blocks, or elsewhere."""
        return 0 if self._in_blocks or self._parts.is_remote else length

    def send(self, part: PartUpload) -> dict[str, Any]:
        """Sends a part, in its turn if the checksum needs the parts in order."""
        relayed = self._relayed
        source = ObjectRange(relayed.uri, relayed.info, part.start, part.length)
        try:
            if self._checksum.is_ordered:
                return self._send_in_order(source, part)
            return self._send_in_any_order(source, part)
        except StepError as error:
            if error.type == TRAILER_REFUSED:  # the next try of the object does without
                payloads.disable_trailers(self._transport.requests.client)
            raise

    def _send_in_any_order(self, source: ObjectRange, part: PartUpload) -> dict[str, Any]:
        stored = part.stored
        if stored is not None and (stored.digest or not self.algorithm):
            self._checksum.add_digest(part, bytes.fromhex(stored.digest))
            return stored.completed
        completed: dict[str, Any]
        completed, digest = self._parts.submit(
            self._transport.relay_part,
            source,
            part,
            self._checksum.algorithm,
            self._in_blocks,
            source=self._relayed.source,
        )
        self._checksum.add_digest(part, digest)
        return completed

    def _send_in_order(self, source: ObjectRange, part: PartUpload) -> dict[str, Any]:
        with self._sequencer.abort_on_error(), self._sequencer.wait_turn(part.start, part.end):
            if part.stored is not None and self._compare_stored(source, part, part.stored):
                return part.stored.completed
            completed, body = self._transport.relay_blocks(
                self._source, source, part, self._checksum.copy_state, self._parts.cancel
            )
            self._checksum.advance(part, body.computed)
        return completed

    def _compare_stored(self, source: ObjectRange, part: PartUpload, stored: StoredPart) -> bool:
        """Reads a part that is stored already; returns True if it has the checksum of the bytes."""
        state, crc = self._checksum.copy_state(), create_hash("CRC32")
        for block in self._source.ranges.iterate_range(source, self._parts.cancel):
            state.update(block)
            crc.update(block)
        if encode_base64(crc.digest()) != stored.completed.get("ChecksumCRC32"):
            return False
        self._checksum.advance(part, state)
        return True
