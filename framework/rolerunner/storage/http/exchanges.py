"""Exchanges of the event loop: a request is sent on a connection, and its response received."""

from __future__ import annotations

import selectors
import ssl
import time
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
from rolerunner.storage.http import errors
from rolerunner.storage.http.framing import Response, ResponseParser
from rolerunner.storage.http.response_heads import MalformedResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.storage.http.connections import Connection, ConnectionTable
    from rolerunner.storage.http.tasks import Task
    from rolerunner.storage.native.templates import Request

MAX_IN_MEMORY = 256 << 10
"""Responses of more bytes go to the request's sink as they arrive."""
_RECEIVE_SIZE = 64 << 10
_WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError, InterruptedError)


class RunningTask:
    """A task that has begun, and the request that it waits for."""

    __slots__ = ("is_resent", "request", "steps", "weight")

    def __init__(self, weight: int, steps: Task[Any]) -> None:
        self.weight = weight
        self.steps = steps
        self.request: Optional[Request] = None
        self.is_resent = False


class Exchanges:
    """Sends requests and receives responses on the connections of one loop.

    ``advance`` continues a task with its response or an exception; ``enqueue`` lets it wait for
    another connection.
    """

    def __init__(
        self,
        connections: ConnectionTable,
        advance: Callable[[RunningTask, Any], None],
        enqueue: Callable[[RunningTask], None],
    ) -> None:
        self._connections = connections
        self._advance = advance
        self._enqueue = enqueue

    def handle_event(self, connection: Connection, sock: Any, mask: int) -> None:
        """Reads from a connection, or writes to it, as far as its socket is ready."""
        if connection.sock is not sock:
            return  # it was closed by an earlier event
        if not connection.is_connected:
            self._continue_connecting(connection)
            return
        if mask & selectors.EVENT_READ:
            self._receive(connection)
        is_open = connection.sock is sock
        if mask & selectors.EVENT_WRITE and connection.unsent is not None and is_open:
            self._flush(connection)

    def attempt(self, connection: Connection, action: Callable[[], None]) -> None:
        """Runs an action on a connection; an OSError loses the connection."""
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
            self.send(connection, connection.task)

    def send(self, connection: Connection, task: RunningTask) -> None:
        """Begins to send the request of a task."""
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
            and not parser.has_begun
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
