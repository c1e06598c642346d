"""An event loop in the caller's thread, with many connections and hundreds of tasks."""

from __future__ import annotations

import heapq
import selectors
import time
from collections import deque
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.storage.http.blocking_calls import BlockingCalls
from rolerunner.storage.http.connections import ConnectionTable
from rolerunner.storage.http.exchanges import Exchanges, RunningTask
from rolerunner.storage.http.idle_meter import IDLE_WINDOW, IdleMeter
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Request
from rolerunner.storage.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

_POLL_SECONDS = 0.25
"""Time between two checks of timeouts and cancellation."""
_ABSENT_SECONDS = 0.5
"""A consumer of outcomes that takes longer must not make connections time out."""
_EXTRA_TASKS = 32
"""Tasks in flight beyond the number of connections, but at most as many as connections."""
_END: Any = object()
_RETRY_SOURCE_SECONDS = 0.002
"""Time until a source of items that has none now is asked again."""
WeightedTask = tuple[int, Task[Any]]
"""A task, and the bytes of memory that it holds while it runs."""


class EventLoop:
    """Runs tasks until each has its outcome. It is used once: ``run`` closes it."""

    def __init__(
        self,
        net: SocketFactory,
        cancel: Cancel,
        *,
        connections: int,
        memory: int,
        threads: int,
        paced: bool = False,
    ) -> None:
        """``memory``: bytes that running tasks may hold before another one starts.

        ``paced``: bandwidth is limited.
        """
        self.cancel = Cancel(cancel)
        self._max_connections = connections
        self._max_tasks = connections + min(_EXTRA_TASKS, connections)
        self._memory = memory
        self._task_count = self._held_bytes = 0
        self._selector = selectors.DefaultSelector()
        self._connections = ConnectionTable(net, self._selector, connections, paced=paced)
        self._ready: dict[Address, deque[RunningTask]] = {}
        self._waiting_count = 0
        self._outcomes: deque[Any] = deque()
        self._paused: list[tuple[float, int, RunningTask]] = []
        self._tasks: set[RunningTask] = set()
        self._numbers = count()
        self._is_source_empty = False
        self._calls = BlockingCalls(self._selector, threads)
        self._exchanges = Exchanges(self._connections, self._advance, self._enqueue)
        self._idleness = IdleMeter()
        self._polled_at = self._checked_at = time.monotonic()

    def run(
        self, items: Iterable[Union[Outcome, WeightedTask, None]]
    ) -> Generator[Any, None, None]:
        """Yields outcomes as tasks end, in no particular order. Raises StepError on cancellation.

        Items are drawn as there is room. None means that there is no item now but may be one later.
        """
        source = iter(items)
        has_more = True
        try:
            while True:
                has_more = has_more and self._fill(source)
                self.assign_requests()
                while self._outcomes:
                    yield self._outcomes.popleft()
                    if len(self._outcomes) % 16 == 0:
                        self.cancel.stop_if_set()
                if not has_more and not self._task_count:
                    return
                self.cancel.stop_if_set()
                self.assign_requests()  # of tasks that the consumer has begun
                # if all drawn items were outcomes, there are more to draw at once
                self._poll(at_once=has_more and self._has_room() and not self._is_source_empty)
        finally:
            self._close()

    def begin(self, weight: int, steps: Task[Any]) -> None:
        """Begins a task besides those that are drawn."""
        task = RunningTask(weight, steps)
        self._task_count += 1
        self._held_bytes += weight
        self._tasks.add(task)
        self._advance(task, None)

    def _fill(self, source: Iterator[Any]) -> bool:
        """Begins as many tasks as fit; returns False if the source is exhausted."""
        self._is_source_empty = False
        while self._has_room() and len(self._outcomes) < self._max_connections * 4:
            item = next(source, _END)
            if item is _END:
                return False
            if item is None:
                self._is_source_empty = True
                return True
            if isinstance(item, Outcome):
                self._outcomes.append(item)
                continue
            self.begin(*item)
        return True

    def _has_room(self) -> bool:
        return self._task_count < self._max_tasks and (
            self._held_bytes < self._memory or not self._task_count
        )

    def _advance(self, task: RunningTask, value: Any) -> None:
        """Sends a value into a task, or throws an exception, and handles what the task yields."""
        try:
            yielded = (
                task.steps.throw(value)
                if isinstance(value, BaseException)
                else task.steps.send(value)
            )
        except StopIteration as end:
            self._tasks.discard(task)
            self._task_count -= 1
            self._held_bytes -= task.weight
            self._outcomes.append(end.value)
            return
        if isinstance(yielded, Request):
            task.request, task.is_resent = yielded, False
            self._enqueue(task)
        elif isinstance(yielded, BlockingCall):
            self._calls.submit(task, yielded)
        else:
            wake_at = time.monotonic() + yielded
            heapq.heappush(self._paused, (wake_at, next(self._numbers), task))

    def assign_requests(self) -> None:
        """Sends waiting requests as far as connections are available."""
        for address, waiting in list(self._ready.items()):
            while waiting:
                task = waiting[0]
                connection = None if task.is_resent else self._connections.take_idle(address)
                if connection is None and not self._connections.can_open(address):
                    break
                waiting.popleft()
                self._waiting_count -= 1
                if connection is not None:
                    self._exchanges.send(connection, task)
                else:
                    opened = self._connections.add(address, task)
                    self._exchanges.attempt(
                        opened, partial(self._connections.connect, opened, self.cancel)
                    )

    def _enqueue(self, task: RunningTask) -> None:
        """Adds a task to those that wait for a connection."""
        assert task.request is not None  # noqa: S101 - that is why it waits
        waiting = self._ready.get(task.request.address)
        if waiting is None:
            waiting = self._ready[task.request.address] = deque()
        waiting.append(task)
        self._waiting_count += 1

    def _poll(self, *, at_once: bool) -> None:
        """Waits for events and handles them."""
        now = time.monotonic()
        if now - self._polled_at > _ABSENT_SECONDS:
            self._connections.extend_timeouts(now - self._polled_at)
        is_starving = bool(self._waiting_count) and self._connections.can_grow
        timeout = self._choose_timeout(now, at_once=at_once)
        events = self._selector.select(min(timeout, IDLE_WINDOW) if is_starving else timeout)
        if is_starving and self._idleness.measure(now):
            self._connections.raise_limit()
        handle_event, calls = self._exchanges.handle_event, self._calls
        for key, mask in events:
            if key.data is None:
                calls.drain_wake_ups()
            else:
                handle_event(key.data, key.fileobj, mask)
        while calls.finished:
            task, future = calls.finished.popleft()
            error = future.exception()
            self._advance(task, error if error is not None else future.result())
        self._check_time()

    def _choose_timeout(self, now: float, *, at_once: bool) -> float:
        if at_once or self._calls.finished or self._outcomes:
            return 0
        timeout = _RETRY_SOURCE_SECONDS if self._is_source_empty else _POLL_SECONDS
        if not self._paused:
            return timeout
        return min(max(self._paused[0][0] - now, 0.0), timeout)

    def _check_time(self) -> None:
        """Continues tasks whose pause is over, and fails exchanges that take too long."""
        now = self._polled_at = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._advance(heapq.heappop(self._paused)[2], None)
        if now - self._checked_at < _POLL_SECONDS:
            return
        self._checked_at = now
        for connection in self._connections:
            self._exchanges.attempt(
                connection, partial(self._connections.check_timeouts, connection, now)
            )

    def _close(self) -> None:
        self.cancel.set()
        with closing(self._selector):
            for connection in self._connections:
                self._connections.close(connection)
            self._calls.close()
            for task in self._tasks:
                task.steps.close()
