"""Servers are shown by their address, and secrets of a server are not shown."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.sftp.host_keys import TrustedKeys
from rolerunner.sftp.server import SftpServer, is_loopback_host


def make_server(**more: Any) -> SftpServer:
    values = {"host": "h", "port": 22, "user": "u", "trusted": TrustedKeys(()), **more}
    return SftpServer(**values)


@pytest.mark.parametrize(
    ("fields", "path", "url"),
    [
        ({}, "/a b/c", "sftp://h/a%20b/c"),
        ({"port": 2222}, "in/", "sftp://h:2222/~/in/"),
        ({"host": "::1"}, "/x\ny", "sftp://[::1]/x%0Ay"),
    ],
)
def test_urls(fields: dict[str, Any], path: str, url: str) -> None:
    assert make_server(**fields).url(path) == url


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(make_server(password="hunter22", private_key="hunter23", passphrase="hunter24"))
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("x.y", False)],
)
def test_loopback(host: str, is_local: bool) -> None:
    assert is_loopback_host(host) == is_local
