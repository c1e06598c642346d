"""Names, sockets and TLS: what connections of the lane are made of."""

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

_NEXT = 3.0
"""Seconds until the next of several addresses is tried: a route that swallows packets (IPv6, often) must not cost a timeout each."""
_GLANCE = 0.2
_HELD = 1 << 20
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
"""Errors of a process, or a machine, that has as many files open as it may have."""


def check_connected(sock: Any) -> None:
    """Raises OSError where the attempt to connect failed."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def begin_to_connect(sock: Any, place: Any) -> None:
    """Raises OSError where it is clear at once that it fails."""
    code = sock.connect_ex(place[1])
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, os.strerror(code))


def widen(sock: Any) -> None:
    """Let the kernel hold 2 MiB of what comes, from the start: it wakes us less often for a large answer.

    SO_RCVBUF would end its own tuning of that (and is 208 KiB at most on many machines). A low-water mark that is set, and taken
    back at once, makes room for twice as much and leaves the tuning on (Linux since 4.17, tcp_set_rcvlowat).
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _HELD)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


class SocketFactory:
    """Makes sockets for one role's requests; safe to use from several threads.

    ``bundle`` is a file of certificates to trust instead of botocore's own. Timeouts are in seconds.
    """

    def __init__(self, bundle: Optional[str], connect_timeout: float, read_timeout: float) -> None:
        self.read_timeout = read_timeout
        self._bundle = bundle
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._context: Optional[ssl.SSLContext] = None
        self._places: dict[Address, list[Any]] = {}
        self._sessions: dict[Address, ssl.SSLSession] = {}
        self._turn = 0

    def connect_timeout(self, *, more: bool) -> float:
        """How long one address may take."""
        return min(self._connect_timeout, _NEXT) if more else self._connect_timeout

    def places(self, address: Address, cancel: Cancel) -> Sequence[Any]:
        """The addresses of a host, as (family, sockaddr), each time beginning with another one. Raises OSError."""
        found = self._places.get(address)
        if not found:
            found = self._looked_up(address, cancel)
            with self._lock:
                self._places[address] = found
        with self._lock:
            self._turn += 1
            start = self._turn % len(found)
            return found[start:] + found[:start]

    def _looked_up(self, address: Address, cancel: Cancel) -> list[Any]:
        """Ask the resolver, which cannot be told to stop, in a thread that is left behind when we are."""
        ended: list[Any] = []

        def ask() -> None:
            try:
                ended.append(
                    socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
                )
            except (OSError, UnicodeError) as error:
                ended.append(
                    error
                    if isinstance(error, OSError)
                    else OSError(f"no host can be called '{address.host}'")
                )

        thread = threading.Thread(target=ask, daemon=True, name="rolerunner-dns")
        thread.start()
        while thread.is_alive():
            thread.join(_GLANCE)
            if cancel.is_set():
                raise OSError("stopped while the name was looked up")
        told = ended[0]
        if isinstance(told, OSError):
            raise told
        found = list(dict.fromkeys((family, place) for family, _, _, _, place in told))
        if not found:
            raise OSError("the host has no address")
        return found

    def failed(self, address: Address, place: Any) -> None:
        """An address did not answer: others first, as long as there are others."""
        with self._lock:
            found = self._places.get(address, [])
            if place in found and len(found) > 1:
                self._places[address] = [each for each in found if each != place]
            elif found:
                del self._places[address]  # looked up anew: the host may have moved

    def unconnected(self, place: Any) -> socket.socket:
        """A socket that does not block, not connected yet. Raises OSError."""
        made = socket.socket(place[0], socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def secured(self, plain: socket.socket, address: Address) -> ssl.SSLSocket:
        """The socket with TLS around it; the handshake is yet to be done. Raises OSError, ssl.SSLError."""
        return self.context().wrap_socket(
            plain,
            server_hostname=address.host,
            do_handshake_on_connect=False,
            session=self._sessions.get(address),
            suppress_ragged_eofs=True,
        )

    def shook(self, made: Any, address: Address) -> None:
        """A handshake is done: its session spares the next ones half of the work."""
        if (
            isinstance(made, ssl.SSLSocket)
            and made.session is not None
            and made.version() != "TLSv1.3"
        ):
            self._sessions[address] = made.session

    def context(self) -> ssl.SSLContext:
        """What is trusted, as boto3 has it: made once, since reading the certificates takes milliseconds."""
        with self._lock:
            if self._context is None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                bundle = self._bundle or get_cert_path(True)
                if os.path.isdir(bundle):  # noqa: PTH112
                    context.load_verify_locations(capath=bundle)
                else:
                    context.load_verify_locations(cafile=bundle)
                self._context = context
            return self._context
