"""An SSH server, paramiko's own, that takes a password: OpenSSH would need a user of the system."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

import paramiko

from tests.ssh_transports import serve_ssh

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class PasswordServer:
    """A running server: what it accepts, and what clients tried."""

    password: str
    key: Any = None
    """The public key that is accepted; with ``both`` it is required besides the password."""
    both: bool = False
    port: int = 0
    host_key: Any = field(default_factory=paramiko.ECDSAKey.generate)
    tried: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The line of its host key."""
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"


class _Authentication(paramiko.ServerInterface):  # type: ignore[misc]
    def __init__(self, server: PasswordServer) -> None:
        self._server = server
        self._has_key = False

    def get_allowed_auths(self, username: str) -> str:
        del username
        if self._server.both:
            return "password" if self._has_key else "publickey"
        return "password" if self._server.key is None else "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        self._server.tried.append(f"password {username}")
        good = password == self._server.password and (self._has_key or not self._server.both)
        return int(paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED)

    def check_auth_publickey(self, username: str, key: Any) -> int:
        self._server.tried.append(f"publickey {username}")
        if key != self._server.key:
            return int(paramiko.AUTH_FAILED)
        self._has_key = True
        both = self._server.both
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL if both else paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return int(paramiko.OPEN_SUCCEEDED)


@contextmanager
def start_password_server(
    password: str = "", key: Optional[Any] = None, *, both: bool = False
) -> Iterator[PasswordServer]:
    """Runs a server while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = PasswordServer(password, key, both, listener.getsockname()[1])
    with serve_ssh(listener, server.host_key, lambda: _Authentication(server), paramiko.SFTPServer):
        yield server
