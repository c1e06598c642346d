"""The forked workers of one operation, which get items and parts of large objects.

What a worker leaves undone because it died is done in this process.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.new_files import remove_temporaries
from rolerunner.storage.protocol import Get, Outcome, prepare_retry
from rolerunner.storage.workers import protocol
from rolerunner.storage.workers.channel import ChannelClosed
from rolerunner.storage.workers.forked_worker import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.workers.forked import ForkedProcess, ForkedProcesses
    from rolerunner.storage.workers.protocol import OperationSpec

_LOG = logging.getLogger("rolerunner.storage")
_LOCAL_FIRST = 96
"""Items that are begun in this process before workers get any: most operations are small."""
_MAX_ITEMS = 224
"""Items that a worker has at most: enough for its connections, and little to wait for at the end.
"""
_POLL_SECONDS = 0.25
_CHECK_SECONDS = 1.0
"""Time between two checks that the processes run."""
_STOP_SECONDS = 2.0
"""Time that a worker has to end an operation before its process is killed."""


class NoWorkerAvailable(Exception):
    """No worker has room for a call, or its worker is gone: the caller does the work itself."""


class _Worker:
    """A worker process, its items and calls, and a thread that receives its messages."""

    def __init__(self, process: ForkedProcess, on_message: Callable[..., None]) -> None:
        self.process = process
        self.items: dict[Any, Any] = {}
        """Items without an outcome, by the name of the outcome. Only the dispatching thread uses
        it.
        """
        self.batch: list[Any] = []
        self.calls: dict[int, Future[Any]] = {}
        self.is_gone = False
        self.has_ended = False
        """True once the process sends nothing more for the operation."""
        self._on_message = on_message
        self._thread = threading.Thread(
            target=self._receive_messages, daemon=True, name="rolerunner-worker"
        )
        self._thread.start()

    def send(self, *message: Any) -> None:
        """Sends a message.

        That the process is gone is noticed by the receiving thread, after its last message.

        A process that does not take a message is killed: half of the message may have been sent.
        """
        try:
            self.process.channel.send(*message)
        except ChannelClosed:
            self.process.kill()

    def send_batch(self) -> None:
        """Sends the items that were added since the last batch."""
        if self.batch:
            self.send(protocol.ITEMS, self.batch)
            self.batch = []

    def end(self, *, stop: bool) -> bool:
        """Ends the operation in the worker. Returns True if the process can take another one."""
        self.send(protocol.STOP if stop else protocol.CLOSE)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive() or self.is_gone:
            self.process.end()
            return False
        return True

    def take_items(self) -> list[Any]:
        """Returns the items without an outcome, of a worker that is gone."""
        left = list(self.items.values())
        self.items, self.batch = {}, []
        return left

    def _receive_messages(self) -> None:
        try:
            while True:
                kind, *values = self.process.channel.receive()
                if kind == protocol.DONE:
                    return
                self._on_message(self, kind, *values)
        except ChannelClosed:
            self.is_gone = True
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would hear the process
            _LOG.warning("a worker process is ended: its message is wrong: %r", error)
            self.process.kill()
            self.is_gone = True
        finally:
            self.has_ended = True
            while self.calls:
                self.calls.popitem()[1].set_exception(NoWorkerAvailable())


class WorkerPool:
    """The workers of one operation. They are acquired once there is enough to do."""

    def __init__(
        self,
        processes: Optional[ForkedProcesses],
        spec: OperationSpec,
        pacer: Pacer,
        cancel: Cancel,
    ) -> None:
        # rates are limited within one process
        self._processes = None if pacer.is_paced else processes
        self._spec = spec
        self._pacer = pacer
        self._cancel = cancel
        self._lock = threading.RLock()
        self._workers: Optional[Sequence[_Worker]] = None
        self._arrived: deque[tuple[_Worker, Sequence[Outcome], Optional[BaseException]]] = deque()
        self._numbers = itertools.count()
        self._checked_at = time.monotonic()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for worker in self._workers or ():
            if worker.end(stop=kind is not None):
                self._require_processes().release(worker.process)

    def dispatch(
        self, items: Iterable[Any], begin: Callable[[Any], Any], name_of: Callable[[Any], Any]
    ) -> Iterator[Any]:
        """Yields items begun here, outcomes of workers, and None if there is nothing now.

        ``begin`` begins an item in this process. ``name_of`` returns the name of an item's outcome;
        None keeps the item in this process. Raises what ended the operation in a worker.
        """
        drawn = 0
        for item in items:
            if self._workers:
                yield from self._collect_outcomes(begin)
            if item is None or isinstance(item, Outcome):
                yield item
                continue
            drawn += 1
            if (
                drawn <= _LOCAL_FIRST
                or self._processes is None
                or not self._assign_item(name_of(item), item)
            ):
                yield begin(item)
        for worker in self._workers or ():
            worker.send_batch()
        while any(worker.items for worker in self._workers or ()):
            yield from self._collect_outcomes(begin)
            yield None

    def call(self, name: str, *arguments: Any, here: int) -> Any:
        """Calls a storage's method in a worker that has at most ``here`` other calls.

        Raises NoWorkerAvailable, what the method raises, and StepError on cancellation.
        """
        with self._lock:
            available = (worker for worker in self._acquire_workers() if not worker.has_ended)
            worker = min(available, key=lambda each: len(each.calls), default=None)
            if worker is None or len(worker.calls) > here:
                raise NoWorkerAvailable
            number, future = next(self._numbers), Future[Any]()
            worker.calls[number] = future
        worker.send(protocol.CALL, number, name, *arguments)
        while not wait([future], timeout=_POLL_SECONDS).done:
            self._cancel.stop_if_set()
            self._check_processes()
            if worker.has_ended and number in worker.calls:
                raise NoWorkerAvailable
        return future.result()

    def _acquire_workers(self) -> Sequence[_Worker]:
        """Returns the workers of this operation, which the first call acquires."""
        with self._lock:
            if self._workers is None:
                processes = self._processes.acquire() if self._processes is not None else ()
                started = [self._start_worker(process) for process in processes]
                self._workers = [worker for worker in started if worker is not None]
                for worker in self._workers:
                    worker.send(protocol.OPEN, self._spec)
            return self._workers

    def _start_worker(self, process: ForkedProcess) -> Optional[_Worker]:
        """Returns the worker; None if its receiving thread cannot be started."""
        try:
            return _Worker(process, self._on_message)
        except RuntimeError:
            self._require_processes().release(process)
            return None

    def _assign_item(self, name: Any, item: Any) -> bool:
        """Adds an item to the batch of a worker that has room; returns False if none has."""
        for worker in self._acquire_workers() if name is not None else ():
            if worker.has_ended or name in worker.items:
                continue
            if len(worker.items) < _MAX_ITEMS:
                worker.items[name] = item
                worker.batch.append(item)
                if len(worker.batch) >= BATCH_SIZE:
                    worker.send_batch()
                return True
            worker.send_batch()
        return False

    def _collect_outcomes(self, begin: Callable[[Any], Any]) -> Iterator[Any]:
        """Yields outcomes that have arrived, and begins what dead workers left."""
        self._check_processes()
        # before their last outcomes are collected
        dead_workers = [
            worker for worker in self._workers or () if worker.has_ended and worker.items
        ]
        while self._arrived:
            worker, outcomes, error = self._arrived.popleft()
            if error is not None:
                raise error
            for outcome in outcomes:
                worker.items.pop(outcome.uri, None)
                yield outcome
        for worker in dead_workers:
            _LOG.warning("a worker process is gone; its objects are handled by this process")
            left = worker.take_items()
            _delete_temporary_files(left, worker.process.pid)
            yield from map(begin, map(prepare_retry, left))

    def _on_message(self, worker: _Worker, kind: str, *values: Any) -> None:
        """Handles a message, in the thread that receives from the worker."""
        if kind == protocol.OUTCOMES:
            outcomes, byte_count = values
            self._pacer.report_bytes(byte_count)
            if outcomes:
                self._arrived.append((worker, outcomes, None))
        elif kind == protocol.FAILED:
            self._arrived.append((worker, (), values[0]))
        elif kind == protocol.LEASE:
            number, role, token = values
            worker.send(protocol.LEASE, number, self._lend_session(role, token))
        elif kind == protocol.RESULT:
            worker.calls.pop(values[0]).set_result(values[1])
        elif kind == protocol.REFUSED:
            worker.calls.pop(values[0]).set_exception(NoWorkerAvailable())
        else:
            worker.calls.pop(values[0]).set_exception(values[1])

    def _lend_session(self, role: Any, token: str) -> Any:
        """Returns the session, or the exception for the worker to raise."""
        try:
            return self._require_processes().lend(role, token)
        except Exception as error:  # noqa: BLE001 - the worker raises it
            return error

    def _check_processes(self) -> None:
        """Checks now and then whether a process was stopped: it would send nothing forever."""
        now = time.monotonic()
        if now - self._checked_at > _CHECK_SECONDS:
            self._checked_at = now
            for worker in self._workers or ():
                worker.process.check()

    def _require_processes(self) -> ForkedProcesses:
        assert self._processes is not None  # noqa: S101 - there are no workers otherwise
        return self._processes


def _delete_temporary_files(items: Iterable[Any], pid: int) -> None:
    """Deletes the files that a process left of its downloads."""
    folders = {
        (str(Path(item.target).parent), item.folder.token)
        for item in items
        if isinstance(item, Get) and item.folder
    }
    for folder, token in folders:
        remove_temporaries(folder, token, pid)
