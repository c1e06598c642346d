"""Stores objects whose bytes come one after the other: small ones whole, large ones in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.boto.transport import PartTransport
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import ObjectInfo, Outcome, Store
from rolerunner.storage.responses import parse_etag
from rolerunner.storage.tuning import Tuning, choose_part_size

MAX_OBJECT = 5 << 40
"""The largest object, 5 TiB (S3 user guide, multipart limits)."""


@dataclass(frozen=True)
class StoredItem:
    """An object whose bytes are in memory. ``held`` bytes are released once it is stored."""

    item: Store
    data: bytes
    held: int

    @property
    def target(self) -> S3Uri:
        """Returns the place of the stored object."""
        return self.item.target


@dataclass(frozen=True)
class StreamedUploads:
    """Stores bytes as they are written. Nothing of an upload that fails is left behind."""

    requests: BotoRequests
    multipart: MultipartUploads
    transport: PartTransport
    tuning: Tuning

    @contextlib.contextmanager
    def open(
        self,
        target: S3Uri,
        options: Mapping[str, Any],
        max_size: int,
        parts: PartExecutor,
        *,
        repeated: bool,
    ) -> Iterator[StreamUpload]:
        """Opens a new object of at most ``max_size`` bytes."""
        with contextlib.ExitStack() as upload:
            stream = StreamUpload(self, target, options, max_size, parts, upload)
            try:
                yield stream
                stream.complete(repeated=repeated)
            except BaseException:
                stream.wait()  # no part may arrive after the upload is aborted
                raise

    def draw_items(
        self, items: Iterable[Union[Store, Outcome]], parts: PartExecutor
    ) -> Iterator[Union[StoredItem, Outcome]]:
        """Yields small items with their bytes; large ones are stored before the next is drawn."""
        for item in items:
            if isinstance(item, Outcome):
                yield item
            elif item.size >= self.tuning.large:
                yield self._store_large(item, parts)
            else:
                held = parts.memory.acquire(item.size, parts.cancel)
                try:
                    data = b"".join(map(bytes, item.blocks))  # a block is valid until the next
                except BaseException:
                    parts.memory.release(held)
                    raise
                yield StoredItem(item, data, held)

    def store_small(self, stored: StoredItem, cancel: Cancel) -> Outcome:
        """Stores an object whose bytes are in memory. Raises StepError, ClientError."""
        item, data = stored.item, stored.data
        if item.skip is not None and item.skip(data):
            return Outcome(item.target, len(data), status="skipped", source=item.source)
        self.requests.count_bytes(len(data), cancel)
        response = self.transport.store_object(
            item.target, data, item.options, cancel, repeated=item.repeated
        )
        return Outcome(
            item.target,
            len(data),
            etag=parse_etag(response),
            version=response.get("VersionId", ""),
            source=item.source,
        )

    def _store_large(self, item: Store, parts: PartExecutor) -> Outcome:
        """Stores an object in parts. What its blocks raise is raised, other failures returned."""
        if item.skip is not None and item.skip(None):
            return Outcome(item.target, item.size, status="skipped", source=item.source)
        source = _GuardedBlocks(item.blocks)
        try:
            with self.open(
                item.target, item.options, item.size, parts, repeated=item.repeated
            ) as stream:
                for block in source:
                    stream.write(block)
        except StepError as error:
            if source.failed:
                raise
            return Outcome(item.target, status="failed", error=error)
        info = stream.stored()
        return Outcome(
            item.target, info.size, etag=info.etag, version=info.version, source=item.source
        )


class _GuardedBlocks:
    """Blocks of bytes; ``failed`` is True if it was they that raised."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self.failed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for block in self._blocks:
                self.failed = False
                yield block
                self.failed = True
            self.failed = False
        except GeneratorExit:
            raise
        except BaseException:
            self.failed = True
            raise


class StreamUpload:
    """An object that is sent as it is written. Methods raise StepError."""

    def __init__(
        self,
        uploads: StreamedUploads,
        target: S3Uri,
        options: Mapping[str, Any],
        max_size: int,
        parts: PartExecutor,
        upload: contextlib.ExitStack,
    ) -> None:
        """``upload`` holds the multipart upload, once one is begun."""
        self._uploads = uploads
        self._target = target
        self._options = options
        self._parts = parts
        self._upload = upload
        self._part_size = choose_part_size(min(max_size, MAX_OBJECT), uploads.tuning.part)
        self._upload_id = ""
        self._buffers = parts.find_buffers(self._part_size)
        self._buffer: Optional[bytearray] = None
        self._filled = 0
        self._sent: list[Future[dict[str, Any]]] = []
        self._checked = 0
        self.size = 0
        self.info: Optional[ObjectInfo] = None

    def write(self, data: Any) -> int:
        """Adds bytes; full parts are sent in threads."""
        count = len(data)
        self.size += count
        rest = memoryview(data)
        while rest:
            if self._buffer is None:
                self._buffer = self._buffers.acquire(self._part_size)
            end = min(self._filled + len(rest), self._part_size)
            taken = end - self._filled
            memoryview(self._buffer)[self._filled : end] = rest[:taken]
            self._filled, rest = end, rest[taken:]
            if end == self._part_size:
                self._send_part()
        return count

    def flush(self) -> None:
        """Does nothing: parts are sent when they are full."""

    def complete(self, *, repeated: bool) -> None:
        """Sends the rest and completes the object."""
        if not self._upload_id:
            response = self._store_whole(repeated=repeated)
        else:
            if self._filled:
                self._send_part()
            completed = [part.result() for part in self._sent]
            self._parts.cancel.stop_if_set()
            response = self._uploads.multipart.complete(
                self._target, self._upload_id, completed, self._options, repeated=repeated
            )
        self.info = ObjectInfo(
            self._target.key,
            self.size,
            parse_etag(response),
            version=response.get("VersionId") or "",
        )

    def stored(self) -> ObjectInfo:
        """Returns the object, once it is stored."""
        assert self.info is not None  # noqa: S101 - the block that writes it has ended
        return self.info

    def wait(self) -> None:
        """Waits until no part is being sent."""
        for part in self._sent:
            if not part.cancel():
                part.exception()

    def _store_whole(self, *, repeated: bool) -> Mapping[str, Any]:
        uploads, cancel = self._uploads, self._parts.cancel
        data = bytes(memoryview(self._buffer or b"")[: self._filled])
        uploads.requests.count_bytes(len(data), cancel)
        with uploads.requests.translate_errors(self._target):
            return uploads.transport.store_object(
                self._target, data, self._options, cancel, repeated=repeated
            )

    def _send_part(self) -> None:
        if not self._upload_id:
            self._options = self._uploads.transport.select_options(self._options)
            with self._uploads.requests.translate_errors(self._target):
                self._upload_id = self._upload.enter_context(
                    self._uploads.multipart.begin(self._target, self._options)
                )
        self._raise_failure()
        data, self._buffer = self._buffer, None
        assert data is not None  # noqa: S101 - bytes were written to it
        del data[self._filled :]
        self._filled = 0
        number = len(self._sent) + 1
        start = self.size - len(data)
        part = PartUpload(self._target, self._upload_id, number, start, len(data), self._options)
        self._sent.append(self._parts.start(partial(self._upload_part, part, data), len(data)))

    def _upload_part(self, part: PartUpload, data: bytearray) -> dict[str, Any]:
        try:
            self._uploads.requests.count_bytes(len(data), self._parts.cancel)
            return self._uploads.transport.upload_part(part, data, self._parts.cancel)
        finally:
            self._buffers.release(data)

    def _raise_failure(self) -> None:
        """Raises the failure of a part, if one has failed."""
        while self._checked < len(self._sent) and self._sent[self._checked].done():
            self._sent[self._checked].result()
            self._checked += 1
