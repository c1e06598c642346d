"""The main loop of a forked worker, which uses sessions lent by its parent."""

from __future__ import annotations

import itertools
import pickle
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RolerunnerError, StepError
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.workers import protocol
from rolerunner.storage.workers.channel import ChannelClosed
from rolerunner.storage.workers.protocol import OperationSpec, run_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import Role
    from rolerunner.storage.protocol import Access, Outcome, Storage
    from rolerunner.storage.workers.channel import Channel

    OpenStorage = Callable[[Role, Optional[Access], Optional[Pacer]], Storage]

BATCH_SIZE = 32
"""Items or outcomes in one message."""
_REPORT_BYTES = 4 << 20
"""Bytes transferred after which progress is reported without an outcome."""
_REPORT_SECONDS = 0.1
"""Seconds after which progress is reported anyway."""
_CALL_THREADS = 8


class ForkedWorker:
    """Serves the process at the other end of a channel until that closes it.

    ``open_storage`` opens S3 under a role.
    """

    def __init__(self, channel: Channel, open_storage: OpenStorage) -> None:
        self._channel = channel
        self._open_storage = open_storage
        self._operations: queue.SimpleQueue[Optional[_Operation]] = queue.SimpleQueue()
        self._current: Optional[_Operation] = None
        self._leases: dict[int, queue.SimpleQueue[Any]] = {}
        self._numbers = itertools.count()

    def serve(self) -> None:
        """Runs operations in this thread and receives messages in another."""
        threading.Thread(
            target=self._receive_messages, daemon=True, name="rolerunner-receive"
        ).start()
        while True:
            operation = self._operations.get()
            if operation is None:
                return
            operation.run()

    def lease(self, role: Role, token: str) -> Any:
        """Returns a session of the role from the parent; the one with ``token`` has expired.

        Raises what the parent's attempt raised.
        """
        number = next(self._numbers)
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._leases[number] = reply
        self._channel.send(protocol.LEASE, number, role, token)
        lease = reply.get()
        if isinstance(lease, BaseException):
            raise lease
        return lease

    def _receive_messages(self) -> None:
        try:
            with suppress(ChannelClosed, MemoryError, RuntimeError):  # no memory or thread is left
                while True:
                    kind, *values = self._channel.receive()
                    self._on_message(kind, values)
        finally:
            # whatever ended this thread: the parent must not wait for a process that hears nothing
            self._channel.shut_down()
            self._stop_work()

    def _on_message(self, kind: str, values: list[Any]) -> None:
        if kind == protocol.OPEN:
            self._current = _Operation(self._channel, self._open_storage, *values)
            self._operations.put(self._current)
        elif kind == protocol.LEASE:
            number, lease = values
            self._leases.pop(number).put(lease)
        elif self._current is not None:
            self._current.on_message(kind, *values)

    def _stop_work(self) -> None:
        if self._current is not None:
            self._current.on_message(protocol.STOP)
        for reply in list(self._leases.values()):
            reply.put(StepError("stopped before it was done", type="Stopped"))
        self._operations.put(None)


class _Operation:
    """One operation in this worker: its items, and calls about parts of large objects."""

    def __init__(self, channel: Channel, open_storage: OpenStorage, spec: OperationSpec) -> None:
        self._channel = channel
        self._spec = spec
        self._cancel = Cancel()
        self._batches: queue.SimpleQueue[Optional[list[Any]]] = queue.SimpleQueue()
        self._outcomes: list[Outcome] = []
        self._in_flight = 0
        self._progress = _ProgressSender(self._send_message)
        self._calls = ThreadPool(_CALL_THREADS, thread_name_prefix="rolerunner-part")
        self._open_storage = open_storage
        self._storages: list[Storage] = []
        self._open_lock = threading.Lock()
        self._end_lock = threading.Lock()
        self._has_ended = False

    def on_message(self, kind: str, *values: Any) -> None:
        """Handles a message, in the receiving thread."""
        if kind == protocol.ITEMS:
            self._batches.put(values[0])
        elif kind == protocol.CALL:
            self._start_call(*values)
        else:
            if kind == protocol.STOP:
                self._cancel.set()
            self._batches.put(None)

    def run(self) -> None:
        """Runs the operation until there are no more items or it is cancelled."""
        try:
            self._run_items()
        except Exception as error:  # noqa: BLE001 - the parent knows what it means
            if not self._cancel.is_set():
                self._send_message(protocol.FAILED, error)
        self._calls.shutdown()
        with self._end_lock:
            self._has_ended = True
            self._send_message(protocol.DONE)

    def _start_call(self, number: int, *call: Any) -> None:
        """Runs a call in a thread. One that comes after the end is answered by DONE."""
        with self._end_lock:
            if self._has_ended:
                return
            try:
                self._calls.submit(self._run_call, number, *call)
            except RuntimeError:  # the operation is ending, or no thread can be started
                self._send_message(protocol.REFUSED, number)

    def _run_items(self) -> None:
        storage, *source = self._open_storages()
        items = self._receive_items()
        for outcome in run_operation(storage, self._spec.method, items, source, self._cancel, {}):
            self._outcomes.append(outcome)
            if len(self._outcomes) >= BATCH_SIZE:
                self._flush_outcomes()
        self._flush_outcomes()

    def _open_storages(self) -> list[Storage]:
        with self._open_lock:
            if not self._storages:
                pacer = Pacer()
                pacer.on_bytes = self._progress.add_bytes
                self._storages = [self._open_storage(*self._spec.storage, pacer)]
                if self._spec.source is not None:
                    self._storages.append(self._open_storage(*self._spec.source, Pacer()))
            return self._storages

    def _receive_items(self) -> Iterator[Any]:
        """Yields received items; None if there is none now but something is in flight."""
        while True:
            try:
                batch = self._batches.get(block=self._in_flight == 0)
            except queue.Empty:
                self._flush_outcomes()
                yield None
                continue
            if batch is None:
                return
            self._in_flight += len(batch)
            yield from batch

    def _flush_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if outcomes:
            self._in_flight -= len(outcomes)
            self._send_message(protocol.OUTCOMES, outcomes, self._progress.take_bytes())

    def _run_call(self, number: int, name: str, *arguments: Any) -> None:
        """Calls a method of the storage's transport with the source, if any, and the cancel."""
        try:
            storage, *source = self._open_storages()
            transport = getattr(storage, "transport", storage)
            result = getattr(transport, name)(*source, *arguments, self._cancel)
            self._send_message(protocol.RESULT, number, result)
        except Exception as error:  # noqa: BLE001 - the parent knows what it means
            self._send_message(protocol.RAISED, number, error)

    def _send_message(self, kind: str, *values: Any) -> None:
        """Sends a message; a last value that cannot be pickled is sent as a StepError."""
        try:
            self._channel.send(kind, *values)
        except ChannelClosed:
            self._cancel.set()
        except (TypeError, AttributeError, pickle.PicklingError):
            self._channel.send(kind, *values[:-1], _describe_unpicklable(values[-1]))


class _ProgressSender:
    """Counts transferred bytes and reports them now and then. Thread-safe."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._count = 0
        self._reported_at = time.monotonic()

    def take_bytes(self) -> int:
        """Returns the bytes that were not reported yet, to be reported now."""
        with self._lock:
            count, self._count = self._count, 0
            self._reported_at = time.monotonic()
            return count

    def add_bytes(self, count: int) -> None:
        """Counts bytes; reports them if there are many, or after a while."""
        with self._lock:
            self._count += count
            is_recent = time.monotonic() - self._reported_at < _REPORT_SECONDS
            if self._count < _REPORT_BYTES and is_recent:
                return
            count, self._count = self._count, 0
            self._reported_at = time.monotonic()
        self._send(protocol.OUTCOMES, [], count)


def _describe_unpicklable(value: Any) -> StepError:
    why = value if isinstance(value, RolerunnerError) else f"{type(value).__name__}: {value}"
    return StepError(str(why), type=getattr(value, "type", type(value).__name__))
