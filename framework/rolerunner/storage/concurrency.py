"""Many things at once, in threads: objects, and the ranges and parts of large ones."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.pacing import ByteBudget
from rolerunner.storage.protocol import ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.tuning import KEYS_PER_DELETE, Tuning
from rolerunner.storage.workers.pool import NoWorkerAvailable

if TYPE_CHECKING:
    from rolerunner.storage.workers.pool import WorkerPool

T = TypeVar("T")


def map_concurrently(
    items: Iterable[Union[T, Outcome]], work: Callable[[T], Any], cancel: Cancel, workers: int
) -> Iterator[Any]:
    """What becomes of many items, a bounded number in flight; items are drawn as places get free. An Outcome is settled."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ThreadPool(workers, thread_name_prefix="rolerunner-s3") as pool:
        flying = 0
        for item in items:
            cancel.stop_if_set()
            if isinstance(item, Outcome):
                yield item
                continue
            pool.submit(work, item).add_done_callback(done.put)
            flying += 1
            if flying >= workers * 4:
                yield done.get().result()
                flying -= 1
        for _ in range(flying):
            yield done.get().result()


class PartExecutor:
    """Ranges and parts of large objects, of all objects of one operation together: so many threads, so much memory."""

    def __init__(self, cancel: Cancel, tuning: Tuning, pool: Optional[WorkerPool] = None) -> None:
        """``pool``: whoever may be given some of them."""
        self.cancel = cancel
        self.pool = pool
        self._here: set[object] = set()
        self.memory = ByteBudget(tuning.memory // 2)
        self._most = tuning.parts_at_once * 2
        self._pool = ThreadPool(tuning.parts_at_once, thread_name_prefix="rolerunner-part")

    def __enter__(self) -> PartExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def submit(self, method: Callable[..., Any], *arguments: Any, source: Any = None) -> Any:
        """What a storage's method gives, in another process where one has room, else here.

        It takes ``source``, if there is one, the arguments, which are plain values, and the cancel.
        """
        if self.pool is not None:
            with contextlib.suppress(NoWorkerAvailable):
                return self.pool.call(method.__name__, *arguments, here=len(self._here))
        mark = object()
        self._here.add(mark)
        try:
            return method(*([source] if source is not None else []), *arguments, self.cancel)
        finally:
            self._here.remove(mark)

    def map_ranges(
        self,
        split_ranges: Iterable[tuple[int, int]],
        work: Callable[[int, int], Any],
        memory: Callable[[int], int],
    ) -> list[Any]:
        """Results in order. The first failure is raised when those in flight are done; no other begins after it.

        Memory is taken here, in the order of the ranges: a part that waits for the one before it never holds what that needs.
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
            futures.append(self._pool.submit(self._guarded, work, start, length, held, failed))
        results = [future.result() for future in futures]
        self.cancel.stop_if_set()
        return results

    def _guarded(
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


class PartSequencer:
    """Threads that work on parts of one thing take turns in the order of the parts."""

    def __init__(self) -> None:
        self._next = 0
        self._broken = False
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def wait_turn(self, start: int, end: int) -> Iterator[None]:
        """Wait until all before ``start`` had theirs; the next one begins at ``end``. Raises StepError where one of them failed."""
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
        """If the block fails, those that wait for it stop waiting."""
        try:
            yield
        except BaseException:
            with self._changed:
                self._broken = True
                self._changed.notify_all()
            raise


def retryable_work(item: T, work: Callable[[T], Outcome]) -> Callable[[], Outcome]:
    """Works on the item; a second time as a further try takes it."""
    first = iter([item])
    return lambda: work(next(first, prepare_retry(item)))


def batch_by_bucket(
    items: Iterable[ObjectInfo], bucket: str, size: int = KEYS_PER_DELETE
) -> Iterator[tuple[str, list[ObjectInfo]]]:
    """Objects to delete, as many as one request takes (or ``size``), of one bucket each."""
    rest = iter(items)
    for batch in iter(lambda: list(islice(rest, size)), []):
        by_bucket: dict[str, list[ObjectInfo]] = {}
        for info in batch:
            by_bucket.setdefault(info.bucket or bucket, []).append(info)
        yield from by_bucket.items()


def split_ranges(size: int, part: int) -> Iterator[tuple[int, int]]:
    """Start and length of each part of something."""
    return ((start, min(part, size - start)) for start in range(0, size, part))
