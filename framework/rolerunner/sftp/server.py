"""An SFTP server as a step uses it: address, credentials, trusted keys and timeouts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from rolerunner.model import Dataset
from rolerunner.sftp.names import encode_path, show_path

if TYPE_CHECKING:
    from rolerunner.sftp.host_keys import TrustedKeys

SFTP_PORT = 22


@dataclass(frozen=True)
class SftpServer:
    """A server and how to connect to it. Times are in seconds."""

    host: str
    port: int
    user: str
    trusted: TrustedKeys
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    connect_timeout: float = 15.0
    response_timeout: float = 60.0
    keepalive: float = 30.0

    @property
    def address(self) -> str:
        """The host and port, as messages show them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path: str) -> str:
        """Returns the URL of a path; one of the user's folder begins with ``~/``."""
        place = path if path.startswith("/") else f"/~/{path}"
        quoted = quote(encode_path(place), safe="/~")
        return f"sftp://{self.address.removesuffix(f':{SFTP_PORT}')}{quoted}"


def describe_dataset(host: str, port: int, path: str) -> Dataset:
    """Returns a path of a server as OpenLineage names it, which has no scheme of SFTP.

    Its rule for remote file systems is ``file://HOST`` and the path.
    """
    at = "" if port == SFTP_PORT else f":{port}"
    place = path if path.startswith("/") else f"~/{path}"
    return Dataset(f"file://{host}{at}", show_path(place).rstrip("/") or "/")


def is_loopback_host(host: str) -> bool:
    """Returns True for a name or address of this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
