"""What a process that was forked does: its share of one operation after the other, under sessions that it is lent."""

from __future__ import annotations

import itertools
import pickle
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RolerunnerError, StepError
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Outcome
from rolerunner.storage.thread_pool import ThreadPool
from rolerunner.storage.workers.channel import ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import Role
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.channel import Channel

BATCH = 32
"""Objects, and outcomes, of one message."""
_TOLD = 4 << 20
"""Bytes that have moved before that is told, where no outcome is."""
_TOLD_AT_ONCE = 0.1
"""Seconds after which it is told anyway."""


@dataclass(frozen=True)
class OperationSpec:
    """An operation over objects: ``storage`` does it, and reads from ``source`` where that is another role."""

    method: str
    storage: tuple[Role, Access]
    source: Optional[tuple[Role, Access]] = None


class ForkedWorker:
    """Serves the process at the other end of the channel, until that closes it. ``opened`` opens S3 under a role."""

    def __init__(
        self, channel: Channel, opened: Callable[[Role, Optional[Access], Optional[Pacer]], Storage]
    ) -> None:
        self._channel = channel
        self._opened = opened
        self._operations: queue.SimpleQueue[Optional[_Operation]] = queue.SimpleQueue()
        self._current: Optional[_Operation] = None
        self._leases: dict[int, queue.SimpleQueue[Any]] = {}
        self._numbers = itertools.count()

    def serve(self) -> None:
        """In this thread the operations, in another one what is said about them."""
        threading.Thread(target=self._listen, daemon=True, name="rolerunner-listen").start()
        while True:
            operation = self._operations.get()
            if operation is None:
                return
            operation.run()

    def lease(self, role: Role, token: str) -> Any:
        """Ask for a session of the role; the one with ``token`` has expired. Raises what the other process met."""
        number = next(self._numbers)
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._leases[number] = told
        self._channel.send("lease", number, role, token)
        lease = told.get()
        if isinstance(lease, BaseException):
            raise lease
        return lease

    def _listen(self) -> None:
        try:
            while True:
                kind, *told = self._channel.receive()
                if kind == "open":
                    self._current = _Operation(self._channel, self._opened, *told)
                    self._operations.put(self._current)
                elif kind == "lease":
                    self._leases.pop(told[0]).put(told[1])
                elif self._current is not None:
                    self._current.hear(kind, *told)
        except ChannelClosed:
            if self._current is not None:
                self._current.hear("stop")
            for asked in list(self._leases.values()):
                asked.put(StepError("stopped before it was done", type="Stopped"))
            self._operations.put(None)


class _Operation:
    """Objects that are dealt to this process, and calls about parts of large ones."""

    def __init__(
        self,
        channel: Channel,
        opened: Callable[[Role, Optional[Access], Optional[Pacer]], Storage],
        opening: OperationSpec,
    ) -> None:
        self._channel = channel
        self._opening = opening
        self._cancel = Cancel()
        self._dealt: queue.SimpleQueue[Optional[list[Any]]] = queue.SimpleQueue()
        self._outcomes: list[Outcome] = []
        self._flying = 0
        self._lock = threading.Lock()
        self._moved = 0
        self._told = time.monotonic()
        self._pool = ThreadPool(8, thread_name_prefix="rolerunner-part")
        self._opened = opened
        self._storages: list[Storage] = []
        self._opening_now = threading.Lock()

    def hear(self, kind: str, *told: Any) -> None:
        """In the thread that listens."""
        if kind == "items":
            self._dealt.put(told[0])
        elif kind == "call":
            self._pool.submit(self._answer, *told)
        else:
            if kind == "stop":
                self._cancel.set()
            self._dealt.put(None)

    def run(self) -> None:
        """Until it is closed or stopped."""
        try:
            storage, *source = self._open()
            for outcome in getattr(storage, self._opening.method)(
                self._items(), *source, self._cancel
            ):
                self._outcomes.append(outcome)
                if len(self._outcomes) >= BATCH:
                    self._flush()
            self._flush()
        except Exception as error:  # noqa: BLE001 - it is the other process that knows what it means
            if not self._cancel.is_set():
                self._tell("failed", error)
        self._pool.shutdown()
        self._tell("over")

    def _open(self) -> list[Storage]:
        with self._opening_now:
            if not self._storages:
                flow = Pacer()
                flow.on_bytes = self._count
                places = [
                    self._opening.storage,
                    *([self._opening.source] if self._opening.source else []),
                ]
                self._storages = [
                    self._opened(role, access, flow if number == 0 else Pacer())
                    for number, (role, access) in enumerate(places)
                ]
            return self._storages

    def _items(self) -> Iterator[Any]:
        """What is dealt. None where there is nothing now, but something is under way; else this waits."""
        while True:
            try:
                batch = self._dealt.get(block=self._flying == 0)
            except queue.Empty:
                self._flush()
                yield None
                continue
            if batch is None:
                return
            self._flying += len(batch)
            yield from batch

    def _flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if outcomes:
            self._flying -= len(outcomes)
            with self._lock:
                moved, self._moved = self._moved, 0
                self._told = time.monotonic()
            self._tell("outcomes", outcomes, moved)

    def _count(self, count: int) -> None:
        """So many bytes moved."""
        with self._lock:
            self._moved += count
            if self._moved < _TOLD and time.monotonic() - self._told < _TOLD_AT_ONCE:
                return
            moved, self._moved = self._moved, 0
            self._told = time.monotonic()
        self._tell("outcomes", [], moved)

    def _answer(self, number: int, name: str, *arguments: Any) -> None:
        """A call of one of the storage's methods, whose last argument is the cancel; ahead of the others stands the source, if there is one."""
        try:
            storage, *source = self._open()
            self._tell("result", number, getattr(storage, name)(*source, *arguments, self._cancel))
        except Exception as error:  # noqa: BLE001 - see above
            self._tell("raised", number, error)

    def _tell(self, kind: str, *told: Any) -> None:
        try:
            self._channel.send(kind, *told)
        except ChannelClosed:
            self._cancel.set()
        except (TypeError, AttributeError, pickle.PicklingError):
            error = told[-1]
            why = (
                error if isinstance(error, RolerunnerError) else f"{type(error).__name__}: {error}"
            )
            self._channel.send(
                kind,
                *told[:-1],
                StepError(str(why), type=getattr(error, "type", type(error).__name__)),
            )
