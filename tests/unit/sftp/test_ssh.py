"""Connections: the host's key first, then the user; every refusal is a sentence with a remedy."""

from __future__ import annotations

import errno
import io
import socket
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from rolerunner.errors import StepError
from rolerunner.sftp import ssh
from rolerunner.sftp.host_keys import TrustedKeys, parse_host_key
from rolerunner.sftp.server import SftpServer
from tests.openssh import OpenSsh, explain_missing_sshd, make_key, start_openssh
from tests.password_server import start_password_server
from tests.raw_server import serving_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_sshd = pytest.mark.skipif(
    bool(explain_missing_sshd()), reason=explain_missing_sshd() or "installed"
)
SECRET = "correct horse battery"


@pytest.fixture(scope="module")
def openssh() -> Iterator[OpenSsh]:
    with start_openssh(host_keys=("ed25519", "rsa")) as server:
        yield server


def make_server(port: int, *keys: str, **more: Any) -> SftpServer:
    trusted = TrustedKeys(tuple(map(parse_host_key, keys)))
    return SftpServer("127.0.0.1", port, more.pop("user", "acme"), trusted, **more)


def connect_to(server: OpenSsh, *keys: str, **more: Any) -> str:
    """Connects, and returns the type of the host key that was used."""
    fields = {"user": server.user, "private_key": server.key, **more}
    with closing(ssh.connect(make_server(server.port, *keys, **fields))) as transport:
        client = ssh.open_channel(transport, make_server(server.port, *keys))
        client.stat(".")
        return str(transport.get_remote_server_key().get_name())


def refuse(server: SftpServer) -> StepError:
    with pytest.raises(StepError) as caught:
        ssh.connect(server)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint
    return caught.value


@needs_sshd
def test_a_key_of_any_type_is_trusted_by_its_line_or_fingerprint(openssh: OpenSsh) -> None:
    assert connect_to(openssh, openssh.public_host_key("ed25519")) == "ssh-ed25519"
    assert connect_to(openssh, openssh.public_host_key("rsa")) == "ssh-rsa"
    assert connect_to(openssh, openssh.fingerprint("rsa")) == "ssh-rsa"
    wrong = "SHA256:" + "A" * 43
    assert connect_to(openssh, wrong, openssh.fingerprint("ed25519")) == "ssh-ed25519"


@needs_sshd
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_another_key_is_refused_before_authentication(
    kind: str, openssh: OpenSsh, tmp_path: Path
) -> None:
    make_key(tmp_path / "other", kind)
    line = (tmp_path / "other.pub").read_text()
    before = openssh.log().count("publickey")
    error = refuse(make_server(openssh.port, line, user=openssh.user, private_key=openssh.key))
    assert error.type == "HostKeyMismatch"
    assert parse_host_key(line).fingerprint in error.message
    assert openssh.fingerprint("rsa" if kind == "rsa" else "ed25519") in error.message
    assert openssh.log().count("publickey") == before


@needs_sshd
def test_a_wrong_fingerprint_shows_all_keys_of_the_server(openssh: OpenSsh) -> None:
    error = refuse(make_server(openssh.port, "SHA256:" + "A" * 43, private_key=openssh.key))
    assert openssh.fingerprint("ed25519") in error.message
    assert openssh.fingerprint("rsa") in error.message


@needs_sshd
def test_a_wrong_user_key_is_refused_and_told_apart(openssh: OpenSsh, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    key = (tmp_path / "other").read_text()
    line = openssh.public_host_key()
    error = refuse(make_server(openssh.port, line, user=openssh.user, private_key=key))
    assert error.type == "SftpAuthRefused"
    assert f"the user '{openssh.user}' with its private key" in error.message
    error = refuse(make_server(openssh.port, line, user=openssh.user, password=SECRET))
    assert "it takes publickey" in error.message


@needs_sshd
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["OpenSSH", "PEM"])
def test_private_keys_of_every_form(kind: str, form: str, openssh: OpenSsh, tmp_path: Path) -> None:
    if (kind, form) == ("ed25519", "PEM"):
        pytest.skip("ssh-keygen writes no PEM of this type")
    make_key(tmp_path / "key", kind, SECRET)
    if form == "PEM":
        rewrite = ("ssh-keygen", "-q", "-p", "-m", "PEM", "-P", SECRET, "-N", SECRET, "-a", "1")
        subprocess.run((*rewrite, "-f", str(tmp_path / "key")), check=True, capture_output=True)
    with (openssh.folder / "authorized_keys").open("a") as file:
        file.write((tmp_path / "key.pub").read_text())
    text = (tmp_path / "key").read_text()
    line = openssh.public_host_key()
    assert connect_to(openssh, line, private_key=text, passphrase=SECRET)
    assert connect_to(openssh, line, private_key=text.replace("\n", "\r\n"), passphrase=SECRET)
    without = refuse(make_server(openssh.port, line, private_key=text))
    assert without.type == "PassphraseMissing"
    wrong = refuse(make_server(openssh.port, line, private_key=text, passphrase="wrong"))
    assert wrong.type == "PrivateKeyInvalid"


@pytest.mark.parametrize("text", ["x", "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n", SECRET])
def test_a_text_that_is_no_key_is_not_shown(text: str) -> None:
    error = refuse(make_server(1, "SHA256:" + "A" * 43, private_key=text))
    assert error.type == "PrivateKeyInvalid"


def test_a_password_and_a_wrong_one() -> None:
    with start_password_server(SECRET) as server:
        ssh.connect(make_server(server.port, server.line, password=SECRET)).close()
        error = refuse(make_server(server.port, server.line, password=f"not {SECRET}"))
        assert error.type == "SftpAuthRefused"
        assert "with its password" in error.message
        assert server.tried == ["password acme"] * 2


def test_a_server_that_wants_key_and_password_gets_both() -> None:
    key = paramiko.RSAKey.generate(2048)
    text = io.StringIO()
    key.write_private_key(text)
    with start_password_server(SECRET, key, both=True) as server:
        both = {"private_key": text.getvalue(), "password": SECRET}
        ssh.connect(make_server(server.port, server.line, **both)).close()
        server.tried.clear()
        error = refuse(make_server(server.port, server.line, private_key=text.getvalue()))
        assert "it takes password" in error.message


def test_a_server_that_refuses_is_silent_or_speaks_something_else() -> None:
    trusted = "SHA256:" + "A" * 43
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = refuse(make_server(port, trusted, password=SECRET, connect_timeout=0.3))
        assert error.type == "SshHandshakeFailed"
    error = refuse(make_server(1, trusted, password=SECRET))
    assert error.type == "ConnectionRefused"
    unknown = SftpServer("no.such.host.invalid", 22, "u", TrustedKeys(()), password=SECRET)
    assert refuse(unknown).type in ("HostNotFound", "Unreachable")


def test_a_server_that_only_greets_is_no_ssh_server() -> None:
    def greet(connection: socket.socket, number: int) -> None:
        del number
        connection.sendall(b"SSH-2.0-silent\r\n")
        while connection.recv(4096):
            pass

    with serving_sockets(greet) as port:
        server = make_server(port, "SHA256:" + "A" * 43, password=SECRET, connect_timeout=0.3)
        assert refuse(server).type == "SshHandshakeFailed"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.timeout("timed out"), "ConnectTimeout"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "Unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "HostNotFound"),
    ],
)
def test_a_server_that_cannot_be_reached(
    error: OSError, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    failure = refuse(make_server(22, "SHA256:" + "A" * 43, password=SECRET))
    assert failure.type == kind
    assert "127.0.0.1" in failure.message


@pytest.mark.parametrize(
    ("error", "is_active", "kind"),
    [
        (paramiko.AuthenticationException("Authentication timeout."), True, "SshHandshakeFailed"),
        (paramiko.SSHException("No existing session"), True, "SshHandshakeFailed"),
        (EOFError(), False, "SftpAuthRefused"),
        (paramiko.SSHException("closed"), False, "SftpAuthRefused"),
    ],
)
def test_a_server_that_ends_the_authentication(
    error: Exception, is_active: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with start_password_server(SECRET) as server:
        monkeypatch.setattr(paramiko.Transport, "auth_password", fail)
        monkeypatch.setattr(paramiko.Transport, "is_active", lambda _: is_active)
        refused = refuse(make_server(server.port, server.line, password=SECRET))
    assert refused.type == kind


def test_without_paramiko_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paramiko", None)
    with pytest.raises(StepError) as caught:
        ssh.import_paramiko()
    assert "pip install 'rolerunner[sftp]'" in caught.value.hint


@needs_sshd
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("HostKeyAlgorithms ssh-rsa", "no host key of a type that is accepted"),
        ("KexAlgorithms diffie-hellman-group14-sha1", "Incompatible"),
    ],
)
def test_a_server_with_old_algorithms_alone_has_to_be_updated(more: str, message: str) -> None:
    with start_openssh(host_keys=("rsa",), more=more) as server:
        fields = {"user": server.user, "private_key": server.key}
        error = refuse(make_server(server.port, server.public_host_key("rsa"), **fields))
    assert message in error.message
    assert "has to be updated" in error.hint
