"""Runs work on objects, and on ranges and parts of large objects, concurrently in threads."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Optional, Protocol, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.buffers import BufferPool
from rolerunner.storage.pacing import ByteBudget
from rolerunner.storage.protocol import ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.tuning import KEYS_PER_DELETE, Tuning
from rolerunner.storage.workers.pool import NoWorkerAvailable

T = TypeVar("T")


def map_concurrently(
    items: Iterable[Union[T, Outcome]], work: Callable[[T], Any], cancel: Cancel, workers: int
) -> Iterator[Any]:
    """Yields the result of ``work`` for each item, with a bounded number of items in flight.

    Items are drawn as there is room. Outcomes among them are passed through unchanged.
    """
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ThreadPool(workers, thread_name_prefix="rolerunner-s3") as pool:
        in_flight = 0
        for item in items:
            cancel.stop_if_set()
            if isinstance(item, Outcome):
                yield item
                continue
            pool.submit(work, item).add_done_callback(done.put)
            in_flight += 1
            if in_flight >= workers * 4:
                yield done.get().result()
                in_flight -= 1
        for _ in range(in_flight):
            yield done.get().result()


class PartCaller(Protocol):
    """Workers that call a method of a storage's transport."""

    def call(self, name: str, *arguments: Any, here: int) -> Any:
        """Returns what the method returns. ``here`` is the number of calls in this process.

        Raises NoWorkerAvailable, and what the method raises.
        """


class PartExecutor:
    """Runs the parts of all large objects of one operation, within its threads and memory."""

    def __init__(
        self,
        cancel: Cancel,
        tuning: Tuning,
        pool: Optional[PartCaller] = None,
        *,
        is_remote: bool = False,
    ) -> None:
        """``pool``: workers that may run some of them, or all if ``is_remote``."""
        self.cancel = cancel
        self.pool = pool
        self.is_remote = is_remote
        self._local_calls: set[object] = set()
        self.memory = ByteBudget(tuning.memory // 2)
        self._buffers = BufferPool(tuning.part)
        self._most = tuning.parts_at_once * 2
        self._pool = ThreadPool(tuning.parts_at_once, thread_name_prefix="rolerunner-part")

    def __enter__(self) -> PartExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def find_buffers(self, size: int) -> BufferPool:
        """Returns the buffers for parts of a size that are collected before they are sent."""
        if self._buffers.size != size:
            self._buffers = BufferPool(size)
        return self._buffers

    def submit(self, method: Callable[..., Any], *arguments: Any, source: Any = None) -> Any:
        """Runs a storage's method in a worker process if one is free, otherwise in this one.

        The method takes ``source``, if there is one, the arguments, which can be pickled, and the
        cancel.
        """
        if self.pool is not None:
            with contextlib.suppress(NoWorkerAvailable):
                return self.pool.call(method.__name__, *arguments, here=len(self._local_calls))
        mark = object()
        self._local_calls.add(mark)
        try:
            return method(*([source] if source is not None else []), *arguments, self.cancel)
        finally:
            self._local_calls.remove(mark)

    def start(self, work: Callable[[], T], memory: int) -> Future[T]:
        """Runs work that holds so many bytes of memory in a thread, once there is room for it."""
        held = self.memory.acquire(memory, self.cancel)

        def run() -> T:
            try:
                return work()
            finally:
                self.memory.release(held)

        try:
            return self._pool.submit(run)
        except BaseException:
            self.memory.release(held)
            raise

    def map_ranges(
        self,
        split_ranges: Iterable[tuple[int, int]],
        work: Callable[[int, int], Any],
        memory: Callable[[int], int],
    ) -> list[Any]:
        """Returns the results in order.

        The first failure is raised once running parts have ended; no other part starts.

        Memory is acquired in the order of the ranges, so a part never holds memory that an earlier
        part waits for.
        """
        failed = threading.Event()
        futures: list[Future[Any]] = []
        for start, length in split_ranges:
            if failed.is_set() or self.cancel.is_set():
                break
            held = self.memory.acquire(memory(length), self.cancel)
            while (
                not failed.is_set()
                and sum(not future.done() for future in futures[-self._most :]) >= self._most
            ):
                time.sleep(0.01)
            futures.append(self._pool.submit(self._run_part, work, start, length, held, failed))
        errors = [
            error for error in (future.exception() for future in futures) if error is not None
        ]
        if errors:
            raise min(errors, key=_is_stopped)  # the first that is no effect of another one
        self.cancel.stop_if_set()
        return [future.result() for future in futures]

    def _run_part(
        self,
        work: Callable[[int, int], Any],
        start: int,
        length: int,
        held: int,
        failed: threading.Event,
    ) -> Any:
        try:
            return None if failed.is_set() else work(start, length)
        except BaseException:
            failed.set()
            raise
        finally:
            self.memory.release(held)


def _is_stopped(error: BaseException) -> bool:
    """Returns True for a part that another failure stopped."""
    return isinstance(error, StepError) and error.type == "Stopped"


class PartSequencer:
    """Lets threads that work on parts of one object take turns in the order of the parts."""

    def __init__(self) -> None:
        self._next = 0
        self._broken = False
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def wait_turn(self, start: int, end: int) -> Iterator[None]:
        """Waits for all parts before ``start``; the next part starts at ``end``.

        Raises StepError if one of them failed.
        """
        with self._changed:
            while self._next != start:
                if self._broken:
                    raise StepError("an earlier part failed", type="Stopped")
                self._changed.wait(0.5)
            yield
            self._next = end
            self._changed.notify_all()

    @contextlib.contextmanager
    def abort_on_error(self) -> Iterator[None]:
        """Stops the parts that wait if the block fails."""
        try:
            yield
        except BaseException:
            with self._changed:
                self._broken = True
                self._changed.notify_all()
            raise


def retryable_work(item: T, work: Callable[[T], Outcome]) -> Callable[[], Outcome]:
    """Returns a function that works on the item; further calls work on it as a retry."""
    first = iter([item])
    return lambda: work(next(first, prepare_retry(item)))


def batch_by_bucket(
    items: Iterable[ObjectInfo], bucket: str, size: int = KEYS_PER_DELETE
) -> Iterator[tuple[str, list[ObjectInfo]]]:
    """Yields batches of objects of one bucket, at most as many as one DeleteObjects takes."""
    rest = iter(items)
    for batch in iter(lambda: list(islice(rest, size)), []):
        if not any(info.bucket for info in batch):
            yield bucket, batch
            continue
        by_bucket: dict[str, list[ObjectInfo]] = {}
        for info in batch:
            by_bucket.setdefault(info.bucket or bucket, []).append(info)
        yield from by_bucket.items()


def split_ranges(size: int, part: int) -> Iterator[tuple[int, int]]:
    """Yields start and length of each part, in bytes."""
    return ((start, min(part, size - start)) for start in range(0, size, part))
