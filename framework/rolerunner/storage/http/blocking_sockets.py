"""Blocking operations on sockets, each with a limit of time, which end when they are cancelled."""

from __future__ import annotations

import os
import select
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from rolerunner.storage.http import errors
from rolerunner.storage.http.connection_pool import BLOCK_SIZE, BlockingConnection
from rolerunner.storage.http.request_bodies import FileRange, file_changed
from rolerunner.storage.http.response_heads import MalformedResponse
from rolerunner.storage.http.sockets import (
    check_connected,
    enlarge_receive_buffer,
    start_connecting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

RECEIVE_SIZE = 64 << 10
_POLL_SECONDS = 0.25


class BlockingSockets:
    """Connects, sends and receives in the caller's thread until ``cancel`` is set."""

    def __init__(self, net: SocketFactory, cancel: Cancel) -> None:
        self._net = net
        self._cancel = cancel

    def connect(self, address: Address) -> BlockingConnection:
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

    def send(self, connection: BlockingConnection, data: Any) -> None:
        """Sends all of the data. Raises OSError, and StepError on cancellation."""
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._send_some(connection, partial(connection.sock.send, unsent)) :]

    def send_range(self, connection: BlockingConnection, body: FileRange) -> None:
        """Sends a range of a file. Raises OSError, LocalFileFailed, StepError on cancellation."""
        self._cancel.stop_if_set()
        if isinstance(connection.sock, ssl.SSLSocket) or not hasattr(os, "sendfile"):
            for block in body.read_blocks():
                self.send(connection, block)
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

    def receive(self, connection: BlockingConnection, deadline: float) -> Any:
        """Returns some received bytes; none at the end of the connection. Raises OSError."""
        sock = connection.sock
        return self._repeat_until_ready(
            connection, partial(sock.recv, RECEIVE_SIZE), deadline, write=False
        )

    def fill(self, connection: BlockingConnection, view: memoryview) -> memoryview:
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

    def _wait_until_ready(self, sock: Any, deadline: float, *, write: bool = False) -> None:
        """Waits until the socket is ready. Raises TimeoutError, and StepError on cancellation."""
        poll = select.poll()
        poll.register(sock, select.POLLOUT if write else select.POLLIN)
        while not poll.poll(_POLL_SECONDS * 1000):
            self._cancel.stop_if_set()
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")


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
