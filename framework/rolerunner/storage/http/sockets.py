"""DNS, TCP and TLS for the connections of the native engine."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any, Optional

from botocore.httpsession import get_cert_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.native.templates import Address

_FALLBACK_TIMEOUT = 3.0
"""Seconds until the next of several addresses is tried: a route that drops packets must not cost a
full timeout each.
"""
_POLL_SECONDS = 0.2
_RECEIVE_BUFFER = 1 << 20
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
"""Error numbers of a process or machine that has as many files open as it may have."""


def check_connected(sock: Any) -> None:
    """Raises OSError if connecting failed."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def start_connecting(sock: Any, endpoint: Any) -> None:
    """Starts to connect to a (family, sockaddr). Raises OSError if that fails at once."""
    code = sock.connect_ex(endpoint[1])
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, os.strerror(code))


def enlarge_receive_buffer(sock: Any) -> None:
    """Lets the kernel buffer 2 MiB, so that a large response wakes the process less often.

    SO_RCVBUF would disable the kernel's tuning, and is limited to 208 KiB on many machines. A
    low-water mark that is set and reset makes room for twice as much and keeps the tuning (Linux
    since 4.17, tcp_set_rcvlowat).
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _RECEIVE_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


class SocketFactory:
    """Creates sockets for the requests of one role. Thread-safe.

    ``bundle`` is a file of CA certificates that replaces botocore's own. Timeouts are in seconds.
    """

    def __init__(self, bundle: Optional[str], connect_timeout: float, read_timeout: float) -> None:
        self.read_timeout = read_timeout
        self._bundle = bundle
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._context: Optional[ssl.SSLContext] = None
        self._endpoints: dict[Address, list[Any]] = {}
        self._tls_sessions: dict[Address, ssl.SSLSession] = {}
        self._next_endpoint = 0

    def connect_timeout(self, *, more: bool) -> float:
        """Returns the time that one address may take; less if there are ``more`` addresses."""
        return min(self._connect_timeout, _FALLBACK_TIMEOUT) if more else self._connect_timeout

    def resolve(self, address: Address, cancel: Cancel) -> Sequence[Any]:
        """Returns a host's addresses as (family, sockaddr), starting with another one each time.

        Raises OSError.
        """
        endpoints = self._endpoints.get(address)
        if not endpoints:
            endpoints = self._look_up(address, cancel)
            with self._lock:
                self._endpoints[address] = endpoints
        with self._lock:
            self._next_endpoint += 1
            start = self._next_endpoint % len(endpoints)
            return endpoints[start:] + endpoints[:start]

    def _look_up(self, address: Address, cancel: Cancel) -> list[Any]:
        """Looks up a name in a thread that can be abandoned: getaddrinfo cannot be interrupted."""
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(_get_address_info(address)),
            daemon=True,
            name="rolerunner-dns",
        )
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            if cancel.is_set():
                raise OSError("stopped while the name was looked up")
        result = results[0]
        if isinstance(result, OSError):
            raise result
        endpoints = list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in result))
        if not endpoints:
            raise OSError("the host has no address")
        return endpoints

    def report_failure(self, address: Address, endpoint: Any) -> None:
        """Removes an address that does not answer, while there are others."""
        with self._lock:
            endpoints = self._endpoints.get(address, [])
            if endpoint not in endpoints:
                return  # another connection has reported it
            if len(endpoints) > 1:
                self._endpoints[address] = [each for each in endpoints if each != endpoint]
            else:
                del self._endpoints[address]  # looked up again: the host may have moved

    def create_socket(self, endpoint: Any) -> socket.socket:
        """Returns a non-blocking socket that is not connected yet. Raises OSError."""
        sock = socket.socket(endpoint[0], socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def wrap_tls(self, sock: socket.socket, address: Address) -> ssl.SSLSocket:
        """Wraps a socket in TLS, before the handshake. Raises OSError, ssl.SSLError."""
        return self.get_tls_context().wrap_socket(
            sock,
            server_hostname=address.host,
            do_handshake_on_connect=False,
            session=self._tls_sessions.get(address),
            suppress_ragged_eofs=True,
        )

    def save_tls_session(self, sock: Any, address: Address) -> None:
        """Saves the session of a completed handshake, which halves the cost of the next ones."""
        if (
            isinstance(sock, ssl.SSLSocket)
            and sock.session is not None
            and sock.version() != "TLSv1.3"
        ):
            self._tls_sessions[address] = sock.session

    def get_tls_context(self) -> ssl.SSLContext:
        """Returns the TLS context, which trusts what boto3 trusts.

        Created once: reading certificates takes milliseconds.
        """
        with self._lock:
            if self._context is None:
                self._context = self._create_tls_context()
            return self._context

    def _create_tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        bundle = self._bundle or get_cert_path(True)
        if os.path.isdir(bundle):  # noqa: PTH112
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
        return context


def _get_address_info(address: Address) -> Any:
    """Returns what getaddrinfo returns, or the OSError that it raises."""
    try:
        return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError(f"'{address.host}' is not a host name")
