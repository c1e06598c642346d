"""Reads objects one after the other, with several ranges in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.errors import make_checksum_error
from rolerunner.storage.boto.reader import ObjectReader
from rolerunner.storage.boto.retries import backoff_seconds, can_retry
from rolerunner.storage.boto.transport import PartTransport
from rolerunner.storage.buffers import BufferPool
from rolerunner.storage.concurrency import split_ranges
from rolerunner.storage.integrity import ExpectedChecksum, RunningChecksum
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectBlock, ObjectInfo
from rolerunner.storage.responses import check_unchanged
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.tuning import MIB, Tuning

BLOCK = 8 * MIB
"""Bytes of a range; the last ones of an object are read while the first are used."""


@dataclass(frozen=True)
class PendingRead:
    """A range that is being read. ``checksum`` is that of the whole object, of a large one."""

    source: ObjectRange
    data: Future[bytes]
    checksum: Optional[Future[Optional[RunningChecksum]]]

    @property
    def is_done(self) -> bool:
        """True once its block can be had without waiting."""
        return self.data.done() and (self.checksum is None or self.checksum.done())


@dataclass(frozen=True)
class OrderedReads:
    """Reads objects in the order in which they are given, in bounded memory."""

    reader: ObjectReader
    transport: PartTransport
    tuning: Tuning

    def read(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        cancel: Cancel,
        within: Optional[tuple[int, int]],
    ) -> Generator[ObjectBlock, None, None]:
        """Yields the blocks of each object, or of a range of it."""
        pending: deque[PendingRead] = deque()
        held = 0
        budget, most = self.tuning.memory // 4, self.tuning.workers * 2
        pool = ThreadPool(self.tuning.workers, thread_name_prefix="rolerunner-read")
        order = BlockOrder()
        try:
            for started in self._start_reads(items, pool, cancel, within, order.buffers):
                cancel.stop_if_set()
                pending.append(started)
                held += started.source.length
                while len(pending) > 1 and (held > budget or len(pending) > most):
                    first = pending.popleft()
                    yield from order.complete(first)
                    held -= first.source.length
            while pending:
                yield from order.complete(pending.popleft())
        finally:
            for each in pending:
                each.data.cancel()
            pool.shutdown()

    def _start_reads(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        pool: ThreadPool,
        cancel: Cancel,
        within: Optional[tuple[int, int]],
        buffers: BufferPool,
    ) -> Iterator[PendingRead]:
        for uri, info in items:
            if within is None and info.size <= BLOCK:
                source = ObjectRange(uri, info, 0, info.size)
                read = self.retry(source, self.transport.read_object, cancel)
                yield PendingRead(source, pool.submit(read), None)
                continue
            first, total = within or (0, info.size)
            checksum = None if within else pool.submit(self.start_checksum, uri, info)
            for start, length in split_ranges(total, BLOCK):
                source = ObjectRange(uri, info, first + start, length)
                read = self.retry(
                    source, partial(self.transport.read_range, buffers=buffers), cancel
                )
                yield PendingRead(source, pool.submit(read), checksum)

    def start_checksum(self, uri: S3Uri, info: ObjectInfo) -> Optional[RunningChecksum]:
        """Returns the checksum to compute of a large object, which listings do not report."""
        now = check_unchanged(info, self.reader.head(uri, info.version), uri)
        expected = ExpectedChecksum.of(now.checksum)
        if expected is None:
            return None
        return expected.start(now.size, lambda: self.reader.get_part_size(uri, now))

    def retry(
        self, source: ObjectRange, read: Callable[[ObjectRange, Cancel], bytes], cancel: Cancel
    ) -> Callable[[], bytes]:
        """Returns a function that reads, again if that may help. It raises StepError."""

        def attempt() -> bytes:
            tried = 1
            while True:
                cancel.stop_if_set()
                try:
                    with self.reader.requests.translate_errors(source.uri):
                        return read(source, cancel)
                except StepError as error:
                    if not can_retry(error, tried) or cancel.wait(backoff_seconds(tried)):
                        raise
                tried += 1

        return attempt


class BlockOrder:
    """Turns finished reads into blocks. The rest of an object that failed is left out.

    The bytes of a block of a large object are valid until the next block is drawn.
    """

    def __init__(self) -> None:
        self.buffers = BufferPool(BLOCK)
        """The memory of ranges."""
        self._failed: Optional[ObjectInfo] = None

    def complete(self, read: PendingRead) -> Iterator[ObjectBlock]:
        """Yields the block of a read; nothing if its object has failed."""
        source = read.source
        if self._failed is source.info:
            return
        try:
            data = read.data.result()
            self._verify(read, data)
        except StepError as error:
            self._failed = source.info
            yield ObjectBlock(source.uri, source.info, source.start, b"", error)
            return
        yield ObjectBlock(source.uri, source.info, source.start, data)
        if source.length < source.info.size:
            self.buffers.release(data)

    def _verify(self, read: PendingRead, data: bytes) -> None:
        source = read.source
        running = read.checksum.result() if read.checksum is not None else None
        if running is None:
            return
        running.update(data)
        if source.start + len(data) == source.info.size and not running.matches():
            raise make_checksum_error(source.uri, running.name)
