"""A blocking HTTP client for ranges and parts of large objects.

A body is read into one buffer and passed to the sink from there. A range of a file is sent block by
block, by the kernel itself without TLS. A transfer therefore holds one megabyte, however large its
part is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.storage.http import errors
from rolerunner.storage.http.aws_chunked import ChunkedBody
from rolerunner.storage.http.blocking_sockets import RECEIVE_SIZE, BlockingSockets
from rolerunner.storage.http.connection_pool import BLOCK_SIZE, BlockingConnection
from rolerunner.storage.http.framing import Response, ResponseParser
from rolerunner.storage.http.request_bodies import BlockBuffer, FileRange
from rolerunner.storage.http.response_heads import MalformedResponse
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.connection_pool import ConnectionPool
    from rolerunner.storage.http.framing import Sink

T = TypeVar("T")


class BlockingClient:
    """Runs tasks in the caller's thread until they end or ``cancel`` is set."""

    def __init__(self, pool: ConnectionPool, cancel: Cancel) -> None:
        self._pool = pool
        self._read_timeout = pool.net.read_timeout
        self._cancel = cancel
        self._sockets = BlockingSockets(pool.net, cancel)

    def run(self, task: Task[T]) -> T:
        """Returns the result of a task. Raises what it raises, and StepError on cancellation."""
        value: Any = None
        failed = False
        try:
            while True:
                yielded = task.throw(value) if failed else task.send(value)
                value, failed = self._fulfill_step(yielded)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _fulfill_step(self, yielded: Any) -> tuple[Any, bool]:
        """Returns the result of what a task yielded, or the exception to throw into it and True."""
        try:
            if isinstance(yielded, Request):
                return self._exchange_request(yielded), False
            if isinstance(yielded, BlockingCall):
                return yielded.call(), False
            self._cancel.wait(yielded)
            self._cancel.stop_if_set()
        except Exception as error:  # noqa: BLE001 - it is thrown into the task
            return error, True
        return None, False

    def stream(self, request: Request) -> Iterator[bytes]:
        """Yields the body of a successful response in blocks.

        Raises ClientError, BotoCoreError, StepError.
        """
        connection = self._sockets.connect(request.address)
        buffer = BlockBuffer(request.sink)
        parser = ResponseParser(request.method, buffer)
        try:
            self._sockets.send(connection, request.head)
            deadline = time.monotonic() + self._read_timeout
            while not parser.is_done:
                self._receive_into(connection, parser, deadline)
                yield from buffer.pop_blocks()
        except (OSError, MalformedResponse) as error:
            url = request.address.url
            raise errors.from_connection_error(url, error, connected=True) from error
        finally:
            connection.sock.close()
        assert parser.answer is not None  # noqa: S101 - it is done
        if parser.answer.status >= 300:  # noqa: PLR2004 - HTTP
            raise errors.from_response(parser.answer, request.operation)
        yield from buffer.pop_rest()

    def _receive_into(
        self, connection: BlockingConnection, parser: ResponseParser, deadline: float
    ) -> None:
        if parser.sinks:
            room = self._pool.get_buffer()[: min(parser.sinks, BLOCK_SIZE)]
            # only the sink sees this view
            parser.feed(self._sockets.fill(connection, room))  # type: ignore[arg-type]
            return
        data = self._sockets.receive(connection, deadline)
        if not data:
            parser.eof()
        parser.feed(data)

    def _exchange_request(self, request: Request) -> Response:
        """Sends a request, again if an idle connection was closed, and returns its response."""
        while True:
            connection = self._pool.acquire(request.address)
            is_new = connection is None
            if connection is None:
                connection = self._sockets.connect(request.address)
            parser = ResponseParser(request.method, request.sink)
            try:
                is_sent = self._send_request(connection, request, parser)
                response = self._read_response(connection, parser, request.sink)
            except (OSError, MalformedResponse) as error:
                connection.sock.close()
                if not is_new and not parser.has_begun and not isinstance(error, TimeoutError):
                    request.resent += 1
                    continue
                url = request.address.url
                raise errors.from_connection_error(url, error, connected=True) from error
            except BaseException:
                connection.sock.close()
                raise
            if response.keep and is_sent:
                self._pool.release(connection)
            else:
                connection.sock.close()
            return response

    def _send_request(
        self, connection: BlockingConnection, request: Request, parser: ResponseParser
    ) -> bool:
        """Sends a request; returns False if the server responded before all was sent.

        Raises OSError.
        """
        body: Any = request.body
        try:
            self._sockets.send(connection, request.head)
            if isinstance(body, FileRange):
                self._sockets.send_range(connection, body)
            elif isinstance(body, ChunkedBody):
                for block in body.blocks():
                    self._sockets.send(connection, block)
            elif body:
                self._sockets.send(connection, body)
        except (BrokenPipeError, ConnectionResetError):
            if not self._has_response(connection, parser):
                raise
            return False
        return True

    def _has_response(self, connection: BlockingConnection, parser: ResponseParser) -> bool:
        """Returns True if the server sent a response before it closed the connection."""
        try:
            return parser.feed(connection.sock.recv(RECEIVE_SIZE)) or parser.has_begun
        except (OSError, MalformedResponse):
            return False

    def _read_response(
        self, connection: BlockingConnection, parser: ResponseParser, sink: Optional[Sink]
    ) -> Response:
        done = parser.is_done
        deadline = time.monotonic() + self._read_timeout
        get_room = getattr(sink, "room", None) or self._get_room
        while not done:
            if parser.sinks:
                view = get_room(min(parser.sinks, BLOCK_SIZE))
                # only the sink sees this view
                done = parser.feed(self._sockets.fill(connection, view))  # type: ignore[arg-type]
                self._cancel.stop_if_set()
                continue
            data = self._sockets.receive(connection, deadline)
            if not data:
                parser.eof()
                break
            done = parser.feed(data)
            if parser.answer is not None:
                deadline = time.monotonic() + self._read_timeout
        assert parser.answer is not None  # noqa: S101 - it is done
        return parser.answer

    def _get_room(self, length: int) -> memoryview:
        return self._pool.get_buffer()[:length]
