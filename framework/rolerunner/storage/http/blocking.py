"""A blocking HTTP client for ranges and parts of large objects.

A body is read into one buffer and passed to the sink from there. A range of a file is sent block by
block, by the kernel itself without TLS. A transfer therefore holds one megabyte, however large its
part is.
"""

from __future__ import annotations

import os
import select
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.storage.http import errors
from rolerunner.storage.http.aws_chunked import ChunkedBody
from rolerunner.storage.http.connection_pool import BLOCK_SIZE, BlockingConnection
from rolerunner.storage.http.framing import MalformedResponse, Response, ResponseParser
from rolerunner.storage.http.request_bodies import BlockBuffer, FileRange, file_changed
from rolerunner.storage.http.sockets import (
    check_connected,
    enlarge_receive_buffer,
    start_connecting,
)
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.connection_pool import ConnectionPool
    from rolerunner.storage.http.framing import Sink
    from rolerunner.storage.native.templates import Address

T = TypeVar("T")
_RECEIVE_SIZE = 64 << 10
_POLL_SECONDS = 0.25


class BlockingClient:
    """Runs tasks in the caller's thread until they end or ``cancel`` is set."""

    def __init__(self, pool: ConnectionPool, cancel: Cancel) -> None:
        self._pool = pool
        self._net = pool.net
        self._cancel = cancel

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
        connection = self._connect_to_host(request.address)
        buffer = BlockBuffer(request.sink)
        parser = ResponseParser(request.method, buffer)
        try:
            self._send_bytes(connection, request.head)
            deadline = time.monotonic() + self._net.read_timeout
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
            parser.feed(self._fill_view(connection, room))  # type: ignore[arg-type]
            return
        data = self._receive_response(connection, deadline)
        if not data:
            parser.eof()
        parser.feed(data)

    def _exchange_request(self, request: Request) -> Response:
        """Sends a request, again if an idle connection was closed, and returns its response."""
        while True:
            connection = self._pool.acquire(request.address)
            is_new = connection is None
            if connection is None:
                connection = self._connect_to_host(request.address)
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

    def _connect_to_host(self, address: Address) -> BlockingConnection:
        """Connects to the first of the host's addresses that answers."""
        failure: BaseException = OSError("the host has no address")
        try:
            endpoints = list(self._net.resolve(address, self._cancel))
        except OSError as error:
            self._cancel.stop_if_set()
            raise errors.from_connection_error(address.url, error, connected=False) from error
        while endpoints:
            endpoint = endpoints.pop(0)
            try:
                return self._connect_to(address, endpoint, is_last=not endpoints)
            except ssl.SSLCertVerificationError as error:
                raise errors.from_connection_error(address.url, error, connected=False) from error
            except (OSError, ValueError) as error:
                self._net.report_failure(address, endpoint)
                failure = error
        raise errors.from_connection_error(address.url, failure, connected=False) from failure

    def _connect_to(self, address: Address, endpoint: Any, *, is_last: bool) -> BlockingConnection:
        sock: Any = self._net.create_socket(endpoint)
        try:
            deadline = time.monotonic() + self._net.connect_timeout(more=not is_last)
            start_connecting(sock, endpoint)
            self._wait_until_ready(sock, deadline, write=True)
            check_connected(sock)
            enlarge_receive_buffer(sock)
            if address.secure:
                sock = self._net.wrap_tls(sock, address)  # the plain socket is detached
                self._shake_hands(sock, address, deadline)
            return BlockingConnection(address, sock)
        except BaseException:
            sock.close()
            raise

    def _shake_hands(self, sock: Any, address: Address, deadline: float) -> None:
        """Completes the handshake of TLS. Raises OSError, and StepError on cancellation."""
        while True:
            try:
                sock.do_handshake()
                self._net.save_tls_session(sock, address)
                return
            except ssl.SSLWantReadError:
                self._wait_until_ready(sock, deadline)
            except ssl.SSLWantWriteError:
                self._wait_until_ready(sock, deadline, write=True)

    def _wait_until_ready(self, sock: Any, deadline: float, *, write: bool = False) -> None:
        """Waits until the socket is ready. Raises TimeoutError, and StepError on cancellation."""
        poll = select.poll()
        poll.register(sock, select.POLLOUT if write else select.POLLIN)
        while not poll.poll(_POLL_SECONDS * 1000):
            self._cancel.stop_if_set()
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")

    def _send_request(
        self, connection: BlockingConnection, request: Request, parser: ResponseParser
    ) -> bool:
        """Sends a request; returns False if the server responded before all was sent.

        Raises OSError.
        """
        body: Any = request.body
        try:
            self._send_bytes(connection, request.head)
            if isinstance(body, FileRange):
                self._send_range(connection, body)
            elif isinstance(body, ChunkedBody):
                for block in body.blocks():
                    self._send_bytes(connection, block)
            elif body:
                self._send_bytes(connection, body)
        except (BrokenPipeError, ConnectionResetError):
            if not self._has_response(connection, parser):
                raise
            return False
        return True

    def _has_response(self, connection: BlockingConnection, parser: ResponseParser) -> bool:
        """Returns True if the server sent a response before it closed the connection."""
        try:
            return parser.feed(connection.sock.recv(_RECEIVE_SIZE)) or parser.has_begun
        except (OSError, MalformedResponse):
            return False

    def _send_bytes(self, connection: BlockingConnection, data: Any) -> None:
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._send_some(connection, partial(connection.sock.send, unsent)) :]

    def _send_range(self, connection: BlockingConnection, body: FileRange) -> None:
        self._cancel.stop_if_set()
        if isinstance(connection.sock, ssl.SSLSocket) or not hasattr(os, "sendfile"):
            for block in body.read_blocks():
                self._send_bytes(connection, block)
                body.moved(len(block))
                self._cancel.stop_if_set()
            return
        target = connection.sock.fileno()
        position, end = body.start, body.start + body.length
        while position < end:
            count = min(BLOCK_SIZE, end - position)
            send = partial(os.sendfile, target, body.descriptor, position, count)
            sent = self._send_some(connection, send)
            if sent == 0:
                raise file_changed()
            position += sent
            body.moved(sent)

    def _send_some(self, connection: BlockingConnection, send: Callable[[], int]) -> int:
        return int(
            self._repeat_until_ready(connection, send, time.monotonic() + self._net.read_timeout)
        )

    def _receive_response(self, connection: BlockingConnection, deadline: float) -> Any:
        sock = connection.sock
        return self._repeat_until_ready(
            connection, partial(sock.recv, _RECEIVE_SIZE), deadline, write=False
        )

    def _repeat_until_ready(
        self,
        connection: BlockingConnection,
        action: Callable[[], Any],
        deadline: float,
        *,
        write: bool = True,
    ) -> Any:
        """Repeats an action until the socket is ready for it.

        ``write``: True if a plain socket must be writable.
        """
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                self._wait_until_ready(connection.sock, deadline)
            except ssl.SSLWantWriteError:
                self._wait_until_ready(connection.sock, deadline, write=True)
            except BlockingIOError:
                self._wait_until_ready(connection.sock, deadline, write=write)

    def _read_response(
        self, connection: BlockingConnection, parser: ResponseParser, sink: Optional[Sink]
    ) -> Response:
        done = parser.is_done
        deadline = time.monotonic() + self._net.read_timeout
        get_room = getattr(sink, "room", None) or self._get_room
        while not done:
            if parser.sinks:
                view = get_room(min(parser.sinks, BLOCK_SIZE))
                # only the sink sees this view
                done = parser.feed(self._fill_view(connection, view))  # type: ignore[arg-type]
                self._cancel.stop_if_set()
                continue
            data = self._receive_response(connection, deadline)
            if not data:
                parser.eof()
                break
            done = parser.feed(data)
            if parser.answer is not None:
                deadline = time.monotonic() + self._net.read_timeout
        assert parser.answer is not None  # noqa: S101 - it is done
        return parser.answer

    def _get_room(self, length: int) -> memoryview:
        return self._pool.get_buffer()[:length]

    def _fill_view(self, connection: BlockingConnection, view: memoryview) -> memoryview:
        """Fills the view with the next bytes.

        Raises OSError, also if that takes longer than the read timeout.
        """
        filled = 0
        deadline = time.monotonic() + self._net.read_timeout
        while filled < len(view):
            filled, write = _read_available(connection.sock, view, filled)
            if filled < len(view):
                self._wait_until_ready(connection.sock, deadline, write=write)
        return view


def _read_available(sock: Any, view: memoryview, filled: int) -> tuple[int, bool]:
    """Reads available bytes into a view that is filled up to ``filled``.

    Returns how far it is filled then, and True if TLS must write to go on. Raises OSError.
    """
    secure = isinstance(sock, ssl.SSLSocket)
    try:
        while filled < len(view):
            # a TLS record is 16 KiB: recv_into would check its arguments a hundred thousand times
            rest = view[filled:]
            count = sock.read(len(rest), rest) if secure else sock.recv_into(rest)
            if count == 0:
                raise MalformedResponse(
                    "the connection was closed before the response was complete"
                )
            filled += count
    except (BlockingIOError, ssl.SSLWantReadError):
        return filled, False
    except ssl.SSLWantWriteError:
        return filled, True
    return filled, False
