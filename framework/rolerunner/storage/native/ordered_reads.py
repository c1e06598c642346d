"""Reads objects one after the other: small ones over the event loop, large ones in threads."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from botocore.exceptions import ClientError

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.storage.boto.errors import PRECONDITION_CODES
from rolerunner.storage.boto.ordered_reads import BLOCK, BlockOrder, PendingRead
from rolerunner.storage.concurrency import split_ranges
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.native.client import NativeClient, version_query
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.responses import check_unchanged, parse_object_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.boto.engine import BotoEngine
    from rolerunner.storage.buffers import BufferPool
    from rolerunner.storage.http.event_loop import WeightedTask
    from rolerunner.storage.integrity import RunningChecksum
    from rolerunner.storage.native.tasks import ObjectTasks
    from rolerunner.storage.native.transport import NativeTransport
    from rolerunner.storage.protocol import ObjectBlock, ObjectInfo

T = TypeVar("T")
_SMALL = 256 << 10
"""Objects up to this size arrive in the buffers of their sockets while the consumer keeps the loop
waiting; larger ones need a thread for that.
"""
_MAX_PENDING = 1024
"""Objects in flight, or waiting for their turn."""


class NativeOrderedReads:
    """Reads objects in the order in which they are given, in bounded memory."""

    def __init__(
        self,
        client: NativeClient,
        tasks: ObjectTasks,
        transport: NativeTransport,
        fallback: BotoEngine,
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._transport = transport
        self._reader = fallback.reader
        self._reads = fallback.ordered_reads

    def read(
        self, items: Iterable[tuple[S3Uri, ObjectInfo]], cancel: Cancel
    ) -> Generator[ObjectBlock, None, None]:
        """Yields the blocks of each object."""
        loop, policy = self._client.open_loop(cancel)
        window = _Window(self._client.tuning.memory // 4)
        order = BlockOrder()
        with closing(loop.run(self._draw_tasks(items, window, policy, order.buffers))) as ended:
            for _ in ended:
                while window.is_first_done:
                    yield from order.complete(window.take())
        while window.pending:
            yield from order.complete(window.take())

    def _draw_tasks(
        self,
        items: Iterable[tuple[S3Uri, ObjectInfo]],
        window: _Window,
        policy: RetryPolicy,
        buffers: BufferPool,
    ) -> Iterator[Optional[WeightedTask]]:
        """Yields the tasks that read; None while there is no room for another one."""
        for uri, info in items:
            if info.size <= BLOCK:
                source = ObjectRange(uri, info, 0, info.size)
                yield window.add(source, self._read_whole(source, policy))
            else:
                yield from self._draw_ranges(uri, info, window, policy.cancel, buffers)
            while window.is_full:
                yield None

    def _draw_ranges(
        self,
        uri: S3Uri,
        info: ObjectInfo,
        window: _Window,
        cancel: Cancel,
        buffers: BufferPool,
    ) -> Iterator[Optional[WeightedTask]]:
        read_range = partial(self._transport.read_range, buffers=buffers)
        checksum: Future[Optional[RunningChecksum]] = Future()
        start_checksum = partial(self._reads.start_checksum, uri, info)
        yield 0, _settle(checksum, run_blocking(start_checksum))
        for start, length in split_ranges(info.size, BLOCK):
            while window.is_full:
                yield None
            source = ObjectRange(uri, info, start, length)
            read = self._reads.retry(source, read_range, cancel)
            yield window.add(source, run_blocking(read), checksum)

    def _read_whole(self, source: ObjectRange, policy: RetryPolicy) -> Task[bytes]:
        if source.length > _SMALL:
            read = self._reads.retry(source, self._transport.read_object, policy.cancel)
            return run_blocking(read)
        return self._tasks.repeat(source.uri, partial(self._attempt, source, policy))

    def _attempt(self, source: ObjectRange, policy: RetryPolicy) -> Task[bytes]:
        uri, version = source.uri, source.info.version
        task = self._tasks.attribute(self._fetch(source, policy), uri, version=version)
        read_in_thread: Callable[[], bytes] = partial(
            self._transport.read_object, source, policy.cancel
        )
        return run_or_fall_back(task, read_in_thread)

    def _fetch(self, source: ObjectRange, policy: RetryPolicy) -> Task[bytes]:
        """Returns an object's bytes, once their checksum is verified."""
        uri, info = source.uri, source.info
        task = self._client.send(
            policy,
            "get_object",
            uri,
            self._client.read_options,
            {"if-match": source.if_match},
            query=version_query(info.version),
        )
        try:
            response = yield from task
        except ClientError as error:
            if AwsError.from_client_error(error).code not in PRECONDITION_CODES:
                raise
            refusal = error
            yield BlockingCall(lambda: self._explain_refusal(source, refusal))
            raise
        data = response.body
        now = parse_object_headers(uri, response.headers, len(data))
        check_unchanged(info, now, uri)
        verify = partial(self._reader.verify_content, uri, now, data, source.length)
        if "-" in now.checksum:  # of parts, whose size is asked for
            yield BlockingCall(verify)
        else:
            verify()
        return data

    def _explain_refusal(self, source: ObjectRange, refusal: ClientError) -> None:
        with self._reader.explain_if_match(source.uri, source.info):
            raise refusal


class _Window:
    """The reads that were begun and whose blocks were not taken, in their order."""

    def __init__(self, budget: int) -> None:
        self.pending: deque[PendingRead] = deque()
        self._budget = budget
        self._held = 0

    @property
    def is_full(self) -> bool:
        """True if no read may begin before another block is taken."""
        waiting = len(self.pending)
        return waiting > 1 and (self._held > self._budget or waiting >= _MAX_PENDING)

    @property
    def is_first_done(self) -> bool:
        """True if the next block can be taken."""
        return bool(self.pending) and self.pending[0].is_done

    def add(
        self,
        source: ObjectRange,
        task: Task[bytes],
        checksum: Optional[Future[Optional[RunningChecksum]]] = None,
    ) -> WeightedTask:
        """Adds a read; returns the task for the event loop."""
        read = PendingRead(source, Future(), checksum)
        self.pending.append(read)
        self._held += source.length
        return source.length, _settle(read.data, task)

    def take(self) -> PendingRead:
        """Removes the first read."""
        read = self.pending.popleft()
        self._held -= read.source.length
        return read


def _settle(future: Future[T], task: Task[T]) -> Task[Any]:
    """Runs a task; its result, or the StepError that it raises, is that of the future."""
    try:
        future.set_result((yield from task))
    except StepError as error:
        future.set_exception(error)
