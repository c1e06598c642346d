"""One loop in the caller's own thread: many keep-alive connections, and hundreds of objects under way."""

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

IN_MEMORY = 256 << 10
"""Answers of more bytes than this go to the request's sink as they come."""
_RECEIVE = 64 << 10
_LOOK = 0.25
"""Seconds between two looks at timeouts and at whether to stop."""
_AWAY = 0.5
"""Whoever takes the outcomes may be away for longer: that is no silence of the server's."""
_WAITING = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)
_SPARE = 32
"""Objects in flight beyond the connections, unless there are fewer connections than that."""
_END: Any = object()
_NOTHING_NOW = 0.002
"""Seconds until whoever gives items is asked again, who had none but will have."""
_WATCHED = 0.004
"""Seconds of which it is told whether the loop was idle while requests waited: then they get more connections."""
WeightedTask = tuple[int, Task[Any]]
"""Steps, and the bytes of memory that they hold while they are under way."""


class _Job:
    __slots__ = ("again", "request", "steps", "weight")

    def __init__(self, weight: int, steps: Task[Any]) -> None:
        self.weight = weight
        self.steps = steps
        self.request: Optional[Request] = None
        self.again = False


class EventLoop:
    """Drives steps until each has its outcome. Use it once; ``run`` closes it, whatever happens."""

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
        """``memory``: bytes that steps under way may hold before no other is begun. ``paced``: bytes are held back on purpose."""
        self.cancel = Cancel(cancel)
        self._most = connections
        self._memory = memory
        self._flying = self._held = 0
        self._selector = selectors.DefaultSelector()
        self._connections = ConnectionTable(net, self._selector, connections, paced=paced)
        self._ready: dict[Address, deque[_Job]] = {}
        self._waiting = 0
        self._done: deque[Any] = deque()
        self._paused: list[tuple[float, int, _Job]] = []
        self._jobs: set[_Job] = set()
        self._number = count()
        self._nothing_now = False
        self._worked: deque[tuple[_Job, Any]] = deque()
        self._small = ThreadPool(threads, thread_name_prefix="rolerunner-look")
        self._large = ThreadPool(4, thread_name_prefix="rolerunner-large")
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._looked = self._swept = self._watched = time.monotonic()
        self._idle = 0.0

    def run(self, items: Iterable[Union[Outcome, WeightedTask, None]]) -> Iterator[Any]:
        """Outcomes as they come, in no set order. Items are drawn as places get free. Raises StepError when stopped.

        None among the items is none: there is nothing now, but there may be later.
        """
        source = iter(items)
        more = True
        try:
            while True:
                more = more and self._fill(source)
                self._assign()
                while self._done:
                    yield self._done.popleft()
                    if len(self._done) % 16 == 0:
                        self.cancel.stop_if_set()
                if not more and not self._flying:
                    return
                self.cancel.stop_if_set()
                self._assign()  # what was begun by whoever took the outcomes
                self._poll(
                    at_once=more and self._has_room() and not self._nothing_now
                )  # where all that was drawn was settled, there is more to draw
        finally:
            self._close()

    def _fill(self, source: Iterator[Any]) -> bool:
        """Begin what fits; are there more? Some more than connections, so that none waits for the next object."""
        self._nothing_now = False
        while self._has_room() and len(self._done) < self._most * 4:
            item = next(source, _END)
            if item is _END:
                return False
            if item is None:
                self._nothing_now = True
                return True
            if isinstance(item, Outcome):
                self._done.append(item)
                continue
            self.begin(*item)
        return True

    def _has_room(self) -> bool:
        return self._flying < self._most + min(_SPARE, self._most) and (
            self._held < self._memory or not self._flying
        )

    def begin(self, weight: int, steps: Task[Any]) -> None:
        """Begin steps besides those that are drawn."""
        job = _Job(weight, steps)
        self._flying += 1
        self._held += weight
        self._jobs.add(job)
        self._advance(job, None)

    def send(self) -> None:
        """Send what waits for it now, not when the next outcome is asked for. Between two outcomes of ``run``."""
        self._assign()

    # steps

    def _advance(self, job: _Job, value: Any) -> None:
        """Send ``value`` into the steps, or throw it where it is an exception, and see what they want next."""
        try:
            wanted = (
                job.steps.throw(value)
                if isinstance(value, BaseException)
                else job.steps.send(value)
            )
        except StopIteration as end:
            self._jobs.discard(job)
            self._flying -= 1
            self._held -= job.weight
            self._done.append(end.value)
            return
        if isinstance(wanted, Request):
            job.request, job.again = wanted, False
            self._wait(job)
        elif isinstance(wanted, BlockingCall):
            pool = self._large if wanted.large else self._small
            pool.submit(wanted.call).add_done_callback(lambda future: self._has_worked(job, future))
        else:
            heapq.heappush(self._paused, (time.monotonic() + wanted, next(self._number), job))

    def _has_worked(self, job: _Job, future: Any) -> None:
        """In the thread that did the work."""
        if future.cancelled():
            return
        self._worked.append((job, future))
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # full, so it wakes anyway; or closed, so nobody waits

    # connections

    def _assign(self) -> None:
        """Give requests that wait a connection each, as long as there are any."""
        for address, waiting in list(self._ready.items()):
            while waiting:
                job = waiting[0]
                connection = None if job.again else self._connections.idle(address)
                if connection is None and not self._connections.may_connect(address):
                    break
                waiting.popleft()
                self._waiting -= 1
                if connection is not None:
                    self._send(connection, job)
                else:
                    made = self._connections.made(address, job)
                    connect = partial(self._connections.connect, made, self.cancel)
                    self._trying(made, connect)

    def _wait(self, job: _Job) -> None:
        """Its request waits for a connection."""
        assert job.request is not None  # noqa: S101 - that is why it waits
        waiting = self._ready.get(job.request.address)
        if waiting is None:
            waiting = self._ready[job.request.address] = deque()
        waiting.append(job)
        self._waiting += 1

    def _trying(self, connection: Connection, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._lost(connection, error)

    def _go_on(self, connection: Connection) -> None:
        """A connection that is being made can go on; once it stands, its request is sent."""
        try:
            stands = self._connections.go_on(connection)
        except OSError as error:
            self._lost(connection, error)
            return
        if stands:
            self._send(connection, connection.job)

    def _send(self, connection: Connection, job: _Job) -> None:
        request = job.request
        assert request is not None  # noqa: S101 - that is why it waited
        connection.job = job
        head = request.head + request.body if 0 < len(request.body) <= _RECEIVE else request.head
        connection.begin(ResponseParser(request.method, request.sink, IN_MEMORY), memoryview(head))
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        """Send what the socket takes."""
        left = connection.left
        try:
            while left is not None:
                sent = connection.sock.send(left)
                connection.last = time.monotonic()
                left = left[sent:] if sent < len(left) else self._rest(connection, left)
                connection.left = left
        except _WAITING:
            self._connections.want(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except OSError as error:
            self._flush_failed(connection, error)
            return
        connection.since = connection.last
        if connection.events != selectors.EVENT_READ:
            self._connections.want(connection, selectors.EVENT_READ)

    def _rest(self, connection: Connection, sent: memoryview) -> Optional[memoryview]:
        """After the head the body, where it was not sent along."""
        job = connection.job
        request = job.request if job is not None else None
        if request is not None and len(request.body) > _RECEIVE and sent.obj is request.head:
            return memoryview(request.body)
        return None

    def _flush_failed(self, connection: Connection, error: OSError) -> None:
        """The server closed while we sent: it may have said why first."""
        connection.left = None
        self._receive(connection)
        if connection.job is not None and connection in self._connections:
            self._lost(connection, error)

    def _receive(self, connection: Connection) -> None:
        framing, read = connection.framing, connection.read
        try:
            while True:
                data = read(_RECEIVE)
                if framing is None:  # idle: the server closed it, or talks out of turn
                    self._connections.drop(connection)
                    return
                if not data:
                    framing.eof()
                    self._answered(connection)
                    return
                connection.seen += len(data)
                if framing.feed(data):
                    self._answered(connection)
                    return
                if len(data) < _RECEIVE and not connection.address.secure:
                    break
        except _WAITING:
            pass
        except MalformedResponse as error:
            self._lost(connection, error)
            return
        except OSError as error:
            self._lost(connection, error)
            return
        except StepError as error:  # the sink's: a full disk
            self._failed(connection, error)
            return
        connection.last = time.monotonic()

    def _answered(self, connection: Connection) -> None:
        job, framing = connection.job, connection.framing
        assert job is not None  # noqa: S101 - an answer is to a request
        assert framing is not None  # noqa: S101
        assert framing.answer is not None  # noqa: S101
        answer: Response = framing.answer
        whole = connection.left is None
        if answer.keep and whole:
            self._connections.keep(connection)
        else:
            connection.job = None
            self._connections.drop(connection)
        self._advance(job, answer)

    def _lost(self, connection: Connection, error: BaseException) -> None:
        """A connection is gone. One that was kept alive may have been closed meanwhile: then a fresh one is tried at once."""
        job, framing = connection.job, connection.framing
        stale = (
            not connection.new
            and framing is not None
            and not framing.begun
            and not isinstance(error, TimeoutError)
        )
        connected = connection.connected
        self._connections.drop(connection)
        if job is None:
            return
        connection.job = None
        if stale and not job.again:
            job.again = True
            if job.request is not None:
                job.request.resent += 1
            self._wait(job)
        else:
            self._advance(
                job,
                errors.from_connection_error(connection.address.url, error, connected=connected),
            )

    def _failed(self, connection: Connection, error: StepError) -> None:
        job = connection.job
        connection.job = None
        self._connections.drop(connection)
        if job is not None:
            self._advance(job, error)

    # the selector

    def _poll(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if now - self._looked > _AWAY:
            self._connections.away(now - self._looked)
        wait = _NOTHING_NOW if self._nothing_now else _LOOK
        wait = wait if not self._paused else min(max(self._paused[0][0] - now, 0.0), wait)
        starving = bool(self._waiting) and self._connections.may_grow
        if at_once or self._worked or self._done:
            wait = 0
        told = self._selector.select(min(wait, _WATCHED) if starving else wait)
        if starving:
            self._watch(now)
        for key, events in told:
            connection = key.data
            if connection is None:
                self._drain_waker()
            elif connection.sock is not key.fileobj:
                continue  # it was dropped by an earlier event
            elif not connection.connected:
                self._go_on(connection)
            else:
                if events & selectors.EVENT_READ:
                    self._receive(connection)
                if (
                    events & selectors.EVENT_WRITE
                    and connection.left is not None
                    and connection.sock is key.fileobj
                ):
                    self._flush(connection)
        while self._worked:
            job, future = self._worked.popleft()
            error = future.exception()
            self._advance(job, error if error is not None else future.result())
        self._sweep()

    def _watch(self, before: float) -> None:
        """The loop was blocked since then though requests wait: if it is so most of the time, more connections would help."""
        now = time.monotonic()
        self._idle += now - before
        watched = now - self._watched
        if watched >= _WATCHED:
            if self._idle > watched / 2:
                self._connections.grow()
            self._watched, self._idle = now, 0.0

    def _drain_waker(self) -> None:
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            return

    def _sweep(self) -> None:
        """Pauses that are over, and what took too long."""
        now = self._looked = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._advance(heapq.heappop(self._paused)[2], None)
        if now - self._swept < _LOOK:
            return
        self._swept = now
        for connection in self._connections:
            check = partial(self._connections.check_time, connection, now)
            self._trying(connection, check)

    def _close(self) -> None:
        self.cancel.set()
        for connection in self._connections:
            self._connections.drop(connection)
        self._small.shutdown(
            wait=False, cancel_futures=True
        )  # a look at one object may hang, and changes nothing
        self._large.shutdown(wait=True, cancel_futures=True)
        for job in self._jobs:
            job.steps.close()
        self._selector.close()
        self._waker.close()
        self._woken.close()
