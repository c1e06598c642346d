"""Steps driven in the thread that asks, on blocking terms: for the ranges and parts of large objects, a few at once.

A body is read into one buffer and handed to the sink from there; a file's range is sent block by block, by the kernel
itself where there is no TLS. So a transfer holds a megabyte, however large its part is.
"""

from __future__ import annotations

import os
import select
import ssl
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.errors import StepError
from rolerunner.storage.http import errors
from rolerunner.storage.http.aws_chunked import ChunkedBody
from rolerunner.storage.http.framing import MalformedResponse, Response, ResponseParser
from rolerunner.storage.http.sockets import begin_to_connect, check_connected, widen
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.framing import Sink
    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

T = TypeVar("T")
BLOCK = 1 << 20
_HEAD = 64 << 10
_GLANCE = 0.25
_IDLE = 15.0
"""Seconds that an idle connection is believed to be alive; S3 closes them after some 20."""


class FileRange:
    """A range of an open file as a request's body. ``moved`` is told of bytes as they go."""

    def __init__(
        self, descriptor: int, start: int, length: int, moved: Callable[[int], None]
    ) -> None:
        self.descriptor = descriptor
        self.start = start
        self.length = length
        self.moved = moved

    def __len__(self) -> int:
        return self.length

    def blocks(self) -> Iterator[bytes]:
        """What it holds. Raises StepError for a file that has become shorter."""
        at, end = self.start, self.start + self.length
        while at < end:
            data = os.pread(self.descriptor, min(BLOCK, end - at), at)
            if not data:
                raise StepError("the file became shorter while it was read", type="FileChanged")
            at += len(data)
            yield data


class _Buffer:
    """A sink that gives back in blocks of one size what came in any; ``first`` looks at the answer's headers."""

    def __init__(self, first: Optional[Sink]) -> None:
        self._first = first
        self._data = bytearray()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        if self._first is not None:
            self._first.begin(status, headers)

    def write(self, data: bytes) -> None:
        self._data += data

    def whole_blocks(self) -> Iterator[bytes]:
        while len(self._data) >= BLOCK:
            yield bytes(self._data[:BLOCK])
            del self._data[:BLOCK]

    def rest(self) -> Iterator[bytes]:
        if self._data:
            yield bytes(self._data)


class _Line:
    """One connection, used by one thread at a time."""

    __slots__ = ("address", "sock", "used")

    def __init__(self, address: Address, sock: Any) -> None:
        self.address = address
        self.sock = sock
        self.used = 0.0


class ConnectionPool:
    """Connections that threads keep for their next requests, and a buffer for each thread."""

    def __init__(self, net: SocketFactory) -> None:
        self.net = net
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._buffers = threading.local()
        self._spare: list[bytearray] = []

    def close(self) -> None:
        """Close those that are kept."""
        with self._lock:
            idle, self._idle, self._spare = self._idle, [], []
        for line in idle:
            line.sock.close()

    def keep(self, line: _Line) -> None:
        """For the next request."""
        line.used = time.monotonic()
        with self._lock:
            self._idle.append(line)

    def kept(self, address: Address) -> Optional[_Line]:
        """One that seems to be alive, if there is any."""
        while True:
            with self._lock:
                line = next(
                    (each for each in reversed(self._idle) if each.address == address), None
                )
                if line is None:
                    return None
                self._idle.remove(line)
            if time.monotonic() - line.used < _IDLE and not _is_readable(line.sock):
                return line
            line.sock.close()

    @contextmanager
    def borrow_memory(self, length: int) -> Iterator[memoryview]:
        """So many bytes to put a part into; what was used for another one, where there is one: fresh memory is cleared first, page by page."""
        with self._lock:
            found = self._spare.pop() if self._spare else bytearray()
        if len(found) < length:
            found = bytearray(length)
        try:
            yield memoryview(found)[:length]
        finally:
            with self._lock:
                self._spare.append(found)

    def buffer(self) -> memoryview:
        """This thread's own."""
        if not hasattr(self._buffers, "buffer"):
            self._buffers.buffer = memoryview(bytearray(BLOCK))
        return self._buffers.buffer  # type: ignore[no-any-return]


class BlockingClient:
    """Drives steps in the caller's thread, until they are done or ``cancel`` is set."""

    def __init__(self, lines: ConnectionPool, cancel: Cancel) -> None:
        self._lines = lines
        self._net = lines.net
        self._cancel = cancel

    def run(self, steps: Task[T]) -> T:
        """Until the steps are done. Raises what they raise, StepError when stopped."""
        value: Any = None
        failed = False
        try:
            while True:
                wanted = steps.throw(value) if failed else steps.send(value)
                value, failed = self._done(wanted)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _done(self, wanted: Any) -> tuple[Any, bool]:
        try:
            if isinstance(wanted, Request):
                return self._exchanged(wanted), False
            if isinstance(wanted, BlockingCall):
                return wanted.call(), False
            self._cancel.wait(wanted)
            self._cancel.stop_if_set()
        except Exception as error:  # noqa: BLE001 - it is thrown into the steps
            return error, True
        return None, False

    def stream(self, request: Request) -> Iterator[bytes]:
        """The body of a good answer in blocks, as the caller takes them. Raises ClientError, BotoCoreError, StepError."""
        line = self._connected(request.address)
        buffer = _Buffer(request.sink)
        framing = ResponseParser(request.method, buffer)
        try:
            self._send(line, request.head)
            deadline = time.monotonic() + self._net.read_timeout
            while not framing.done:
                if framing.sinks:
                    room = self._lines.buffer()[: min(framing.sinks, BLOCK)]
                    # a view, which only the sink sees
                    framing.feed(self._filled(line, room))  # type: ignore[arg-type]
                else:
                    data = self._going_in(line, partial(line.sock.recv, _HEAD), deadline)
                    if not data:
                        framing.eof()
                    framing.feed(data)
                yield from buffer.whole_blocks()
        except (OSError, MalformedResponse) as error:
            raise errors.from_connection_error(
                request.address.url, error, connected=True
            ) from error
        finally:
            line.sock.close()
        assert framing.answer is not None  # noqa: S101 - it is done
        if framing.answer.status >= 300:  # noqa: PLR2004 - HTTP
            raise errors.from_response(framing.answer, request.operation)
        yield from buffer.rest()

    # one request

    def _exchanged(self, request: Request) -> Response:
        while True:
            line = self._lines.kept(request.address)
            fresh = line is None
            if line is None:
                line = self._connected(request.address)
            framing = ResponseParser(request.method, request.sink)
            try:
                whole = self._sent(line, request, framing)
                answer = self._read(line, framing, request.sink)
            except (OSError, MalformedResponse) as error:
                line.sock.close()
                if not fresh and not framing.begun and not isinstance(error, TimeoutError):
                    request.resent += 1
                    continue  # it was kept alive, and closed meanwhile
                raise errors.from_connection_error(
                    request.address.url, error, connected=True
                ) from error
            except BaseException:
                line.sock.close()
                raise
            if answer.keep and whole:
                self._lines.keep(line)
            else:
                line.sock.close()
            return answer

    def _connected(self, address: Address) -> _Line:
        why: BaseException = OSError("the host has no address")
        try:
            places = list(self._net.places(address, self._cancel))
        except OSError as error:
            self._cancel.stop_if_set()
            raise errors.from_connection_error(address.url, error, connected=False) from error
        while places:
            place = places.pop(0)
            sock: Any = self._net.unconnected(place)
            try:
                deadline = time.monotonic() + self._net.connect_timeout(more=bool(places))
                begin_to_connect(sock, place)
                self._wait(sock, deadline, write=True)
                check_connected(sock)
                widen(sock)
                return _Line(
                    address, self._secured(sock, address, deadline) if address.secure else sock
                )
            except ssl.SSLCertVerificationError as error:
                sock.close()
                raise errors.from_connection_error(address.url, error, connected=False) from error
            except (OSError, ValueError) as error:
                sock.close()
                self._net.failed(address, place)
                why = error
            except BaseException:
                sock.close()
                raise
        raise errors.from_connection_error(address.url, why, connected=False) from why

    def _secured(self, plain: Any, address: Address, deadline: float) -> Any:
        sock = self._net.secured(plain, address)
        while True:
            try:
                sock.do_handshake()
                self._net.shook(sock, address)
                return sock
            except ssl.SSLWantReadError:
                self._wait(sock, deadline)
            except ssl.SSLWantWriteError:
                self._wait(sock, deadline, write=True)

    def _wait(self, sock: Any, deadline: float, *, write: bool = False) -> None:
        """Until the socket can go on. Raises TimeoutError, StepError when stopped."""
        poll = select.poll()
        poll.register(sock, select.POLLOUT if write else select.POLLIN)
        while not poll.poll(_GLANCE * 1000):
            self._cancel.stop_if_set()
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")

    # out

    def _sent(self, line: _Line, request: Request, framing: ResponseParser) -> bool:
        """Send it all; False where the server answered before that. Raises OSError."""
        body: Any = request.body
        try:
            if isinstance(body, FileRange):
                self._send(line, request.head)
                self._send_range(line, body)
            elif isinstance(body, ChunkedBody):
                self._send(line, request.head)
                for block in body.blocks():
                    self._send(line, block)
            else:
                self._send(line, request.head)
                if body:
                    self._send(line, body)
        except (BrokenPipeError, ConnectionResetError):
            if not self._said_something(line, framing):
                raise
            return False
        return True

    def _said_something(self, line: _Line, framing: ResponseParser) -> bool:
        """A server that refuses while we send says why, and closes."""
        try:
            return framing.feed(line.sock.recv(_HEAD)) or framing.begun
        except (OSError, MalformedResponse):
            return False

    def _send(self, line: _Line, data: Any) -> None:
        left = memoryview(data)
        while left:
            left = left[self._going(line, partial(line.sock.send, left)) :]

    def _send_range(self, line: _Line, body: FileRange) -> None:
        self._cancel.stop_if_set()
        if isinstance(line.sock, ssl.SSLSocket) or not hasattr(os, "sendfile"):
            for block in body.blocks():
                self._send(line, block)
                body.moved(len(block))
                self._cancel.stop_if_set()
            return
        at, end = body.start, body.start + body.length
        while at < end:
            count = min(BLOCK, end - at)
            sent = self._going(
                line, partial(os.sendfile, line.sock.fileno(), body.descriptor, at, count)
            )
            if sent == 0:
                raise StepError("the file became shorter while it was read", type="FileChanged")
            at += sent
            body.moved(sent)

    def _going(self, line: _Line, step: Callable[[], int]) -> int:
        deadline = time.monotonic() + self._net.read_timeout
        while True:
            try:
                return step()
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(line.sock, deadline, write=True)
            except ssl.SSLWantReadError:
                self._wait(line.sock, deadline)

    # in

    def _read(self, line: _Line, framing: ResponseParser, sink: Optional[Sink]) -> Response:
        done = framing.done
        deadline = time.monotonic() + self._net.read_timeout
        while not done:
            if framing.sinks:
                room = getattr(sink, "room", None)
                view = (
                    room(min(framing.sinks, BLOCK))
                    if room is not None
                    else self._lines.buffer()[: min(framing.sinks, BLOCK)]
                )
                done = framing.feed(self._filled(line, view))  # type: ignore[arg-type]  # a view, which only the sink sees
                self._cancel.stop_if_set()
                continue
            data = self._going_in(line, partial(line.sock.recv, _HEAD), deadline)
            if not data:
                framing.eof()
                break
            done = framing.feed(data)
            if framing.answer is not None:
                deadline = time.monotonic() + self._net.read_timeout
        assert framing.answer is not None  # noqa: S101 - it is done
        return framing.answer

    def _filled(self, line: _Line, view: memoryview) -> memoryview:
        """The view, full of the next bytes. Raises OSError, also for a server that lets them drip."""
        got = 0
        deadline = time.monotonic() + self._net.read_timeout
        while got < len(view):
            got, write = _at_hand(line.sock, view, got)
            if got < len(view):
                self._wait(line.sock, deadline, write=write)
        return view

    def _going_in(self, line: _Line, step: Callable[[], Any], deadline: float) -> Any:
        while True:
            try:
                return step()
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(line.sock, deadline)
            except ssl.SSLWantWriteError:
                self._wait(line.sock, deadline, write=True)


def _is_readable(sock: Any) -> bool:
    """Whether the server has closed an idle connection, or talks out of turn. poll takes any descriptor, select none above 1,023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _at_hand(sock: Any, view: memoryview, got: int) -> tuple[int, bool]:
    """Fill the view after its first ``got`` bytes with what is there; how far it is full, and must TLS write to go on? Raises OSError."""
    secure = isinstance(sock, ssl.SSLSocket)
    try:
        while got < len(view):
            # a record of TLS is 16 KiB, and one comes at a time: recv_into would look at its arguments a hundred thousand times
            count = sock.read(len(view) - got, view[got:]) if secure else sock.recv_into(view[got:])
            if count == 0:
                raise MalformedResponse("the connection was closed before the answer was whole")
            got += count
    except (BlockingIOError, ssl.SSLWantReadError):
        return got, False
    except ssl.SSLWantWriteError:
        return got, True
    return got, False
