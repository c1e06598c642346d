"""An event loop in the caller's thread, with many connections and hundreds of tasks."""

from __future__ import annotations

import heapq
import selectors
import socket
import ssl
import time
from collections import deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http import errors
from rolerunner.storage.http.connections import Connection, ConnectionTable
from rolerunner.storage.http.framing import MalformedResponse, Response, ResponseParser
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Request
from rolerunner.storage.protocol import Outcome
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

MAX_IN_MEMORY = 256 << 10
"""Responses of more bytes go to the request's sink as they arrive."""
_RECEIVE_SIZE = 64 << 10
_POLL_SECONDS = 0.25
"""Time between two checks of timeouts and cancellation."""
_ABSENT_SECONDS = 0.5
"""A consumer of outcomes that takes longer must not make connections time out."""
_WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)
_EXTRA_TASKS = 32
"""Tasks in flight beyond the number of connections, but at most as many as connections."""
_END: Any = object()
_RETRY_SOURCE_SECONDS = 0.002
"""Time until a source of items that has none now is asked again."""
_IDLE_WINDOW = 0.004
"""Seconds over which the loop measures whether it is idle while requests wait: if so, it opens more
connections.
"""
WeightedTask = tuple[int, Task[Any]]
"""A task, and the bytes of memory that it holds while it runs."""


class _RunningTask:
    __slots__ = ("is_resent", "request", "steps", "weight")

    def __init__(self, weight: int, steps: Task[Any]) -> None:
        self.weight = weight
        self.steps = steps
        self.request: Optional[Request] = None
        self.is_resent = False


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
        self._ready: dict[Address, deque[_RunningTask]] = {}
        self._waiting_count = 0
        self._outcomes: deque[Any] = deque()
        self._paused: list[tuple[float, int, _RunningTask]] = []
        self._tasks: set[_RunningTask] = set()
        self._numbers = count()
        self._is_source_empty = False
        self._finished_calls: deque[tuple[_RunningTask, Any]] = deque()
        self._small_calls = ThreadPool(threads, thread_name_prefix="rolerunner-call")
        self._large_calls = ThreadPool(4, thread_name_prefix="rolerunner-large")
        self._wake_sender, self._wake_receiver = socket.socketpair()
        self._wake_sender.setblocking(False)
        self._wake_receiver.setblocking(False)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)
        self._polled_at = self._checked_at = self._window_start = time.monotonic()
        self._idle_seconds = 0.0

    def run(self, items: Iterable[Union[Outcome, WeightedTask, None]]) -> Iterator[Any]:
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
        task = _RunningTask(weight, steps)
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

    def _advance(self, task: _RunningTask, value: Any) -> None:
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
            pool = self._large_calls if yielded.large else self._small_calls
            future = pool.submit(yielded.call)
            future.add_done_callback(lambda ended: self._on_call_finished(task, ended))
        else:
            wake_at = time.monotonic() + yielded
            heapq.heappush(self._paused, (wake_at, next(self._numbers), task))

    def _on_call_finished(self, task: _RunningTask, future: Any) -> None:
        """Wakes the loop, from the thread that ran the call."""
        if future.cancelled():
            return
        self._finished_calls.append((task, future))
        try:
            self._wake_sender.send(b"\0")
        except OSError:
            return  # the buffer is full, so the loop wakes anyway; or the loop is closed

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
                    self._send(connection, task)
                else:
                    opened = self._connections.add(address, task)
                    self._attempt(opened, partial(self._connections.connect, opened, self.cancel))

    def _enqueue(self, task: _RunningTask) -> None:
        """Adds a task to those that wait for a connection."""
        assert task.request is not None  # noqa: S101 - that is why it waits
        waiting = self._ready.get(task.request.address)
        if waiting is None:
            waiting = self._ready[task.request.address] = deque()
        waiting.append(task)
        self._waiting_count += 1

    def _attempt(self, connection: Connection, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._on_connection_lost(connection, error)

    def _continue_connecting(self, connection: Connection) -> None:
        """Continues to connect; once connected, sends the request."""
        try:
            is_connected = self._connections.continue_connecting(connection)
        except OSError as error:
            self._on_connection_lost(connection, error)
            return
        if is_connected:
            self._send(connection, connection.task)

    def _send(self, connection: Connection, task: _RunningTask) -> None:
        request = task.request
        assert request is not None  # noqa: S101 - that is why it waited
        connection.task = task
        head = (
            request.head + request.body if 0 < len(request.body) <= _RECEIVE_SIZE else request.head
        )
        parser = ResponseParser(request.method, request.sink, MAX_IN_MEMORY)
        connection.start_exchange(parser, memoryview(head))
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        """Sends as much as the socket takes."""
        unsent = connection.unsent
        try:
            while unsent is not None:
                sent = connection.sock.send(unsent)
                connection.last_activity = time.monotonic()
                unsent = unsent[sent:] if sent < len(unsent) else self._get_body(connection, unsent)
                connection.unsent = unsent
        except _WOULD_BLOCK:
            self._connections.watch(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except OSError as error:
            self._on_send_failed(connection, error)
            return
        connection.window_start = connection.last_activity
        if connection.events != selectors.EVENT_READ:
            self._connections.watch(connection, selectors.EVENT_READ)

    def _get_body(self, connection: Connection, sent: memoryview) -> Optional[memoryview]:
        """Returns the body after the head, if it was not sent with it."""
        task = connection.task
        request = task.request if task is not None else None
        if request is not None and len(request.body) > _RECEIVE_SIZE and sent.obj is request.head:
            return memoryview(request.body)
        return None

    def _on_send_failed(self, connection: Connection, error: OSError) -> None:
        """Reads the response of a server that closed early; it may hold the reason."""
        connection.unsent = None
        self._receive(connection)
        if connection.task is not None and connection in self._connections:
            self._on_connection_lost(connection, error)

    def _receive(self, connection: Connection) -> None:
        parser, read = connection.parser, connection.read
        try:
            while True:
                data = read(_RECEIVE_SIZE)
                if parser is None:  # idle: the server closed it, or sent data without a request
                    self._connections.close(connection)
                    return
                if not data:
                    parser.eof()
                    self._on_response(connection)
                    return
                connection.received += len(data)
                if parser.feed(data):
                    self._on_response(connection)
                    return
                if len(data) < _RECEIVE_SIZE and not connection.address.secure:
                    break
        except _WOULD_BLOCK:
            pass
        except (MalformedResponse, OSError) as error:
            self._on_connection_lost(connection, error)
            return
        except StepError as error:  # the sink's: a full disk
            self._on_sink_failed(connection, error)
            return
        connection.last_activity = time.monotonic()

    def _on_response(self, connection: Connection) -> None:
        task, parser = connection.task, connection.parser
        assert task is not None  # noqa: S101 - a response belongs to a request
        assert parser is not None  # noqa: S101
        assert parser.answer is not None  # noqa: S101
        response: Response = parser.answer
        if response.keep and connection.unsent is None:
            self._connections.keep(connection)
        else:
            connection.task = None
            self._connections.close(connection)
        self._advance(task, response)

    def _on_connection_lost(self, connection: Connection, error: BaseException) -> None:
        """Fails the request, or sends it again if the server may have closed an idle connection."""
        task, parser = connection.task, connection.parser
        may_be_stale = (
            not connection.is_new
            and parser is not None
            and not parser.begun
            and not isinstance(error, TimeoutError)
        )
        connected = connection.is_connected
        self._connections.close(connection)
        if task is None:
            return
        connection.task = None
        if may_be_stale and not task.is_resent:
            task.is_resent = True
            if task.request is not None:
                task.request.resent += 1
            self._enqueue(task)
            return
        url = connection.address.url
        self._advance(task, errors.from_connection_error(url, error, connected=connected))

    def _on_sink_failed(self, connection: Connection, error: StepError) -> None:
        task = connection.task
        connection.task = None
        self._connections.close(connection)
        if task is not None:
            self._advance(task, error)

    def _poll(self, *, at_once: bool) -> None:
        """Waits for events and handles them."""
        now = time.monotonic()
        if now - self._polled_at > _ABSENT_SECONDS:
            self._connections.extend_timeouts(now - self._polled_at)
        is_starving = bool(self._waiting_count) and self._connections.can_grow
        timeout = self._choose_timeout(now, at_once=at_once)
        events = self._selector.select(min(timeout, _IDLE_WINDOW) if is_starving else timeout)
        if is_starving:
            self._measure_idleness(now)
        for key, mask in events:
            self._handle_event(key.data, key.fileobj, mask)
        while self._finished_calls:
            task, future = self._finished_calls.popleft()
            error = future.exception()
            self._advance(task, error if error is not None else future.result())
        self._check_time()

    def _choose_timeout(self, now: float, *, at_once: bool) -> float:
        if at_once or self._finished_calls or self._outcomes:
            return 0
        timeout = _RETRY_SOURCE_SECONDS if self._is_source_empty else _POLL_SECONDS
        if not self._paused:
            return timeout
        return min(max(self._paused[0][0] - now, 0.0), timeout)

    def _handle_event(self, connection: Optional[Connection], sock: Any, mask: int) -> None:
        if connection is None:
            self._drain_wake_receiver()
        elif connection.sock is not sock:
            return  # it was closed by an earlier event
        elif not connection.is_connected:
            self._continue_connecting(connection)
        else:
            if mask & selectors.EVENT_READ:
                self._receive(connection)
            is_open = connection.sock is sock
            if mask & selectors.EVENT_WRITE and connection.unsent is not None and is_open:
                self._flush(connection)

    def _measure_idleness(self, before: float) -> None:
        """Opens more connections if the loop was idle most of the time while requests waited."""
        now = time.monotonic()
        self._idle_seconds += now - before
        window = now - self._window_start
        if window >= _IDLE_WINDOW:
            if self._idle_seconds > window / 2:
                self._connections.grow()
            self._window_start, self._idle_seconds = now, 0.0

    def _drain_wake_receiver(self) -> None:
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            return

    def _check_time(self) -> None:
        """Continues tasks whose pause is over, and fails exchanges that take too long."""
        now = self._polled_at = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._advance(heapq.heappop(self._paused)[2], None)
        if now - self._checked_at < _POLL_SECONDS:
            return
        self._checked_at = now
        for connection in self._connections:
            self._attempt(connection, partial(self._connections.check_timeouts, connection, now))

    def _close(self) -> None:
        self.cancel.set()
        for connection in self._connections:
            self._connections.close(connection)
        # a small call may hang, and changes nothing
        self._small_calls.shutdown(wait=False, cancel_futures=True)
        self._large_calls.shutdown(wait=True, cancel_futures=True)
        for task in self._tasks:
            task.steps.close()
        self._selector.close()
        self._wake_sender.close()
        self._wake_receiver.close()
