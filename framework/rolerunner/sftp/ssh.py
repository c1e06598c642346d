"""Connects to an SSH server: its key is verified first, then the user is authenticated.

Imports paramiko, as ``client`` does. Neither an agent nor files of ``~/.ssh`` are used.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
from rolerunner.sftp.host_keys import KEY_FAMILIES, compute_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.sftp.server import SftpServer

PACKAGE = "paramiko"
_LOG = "rolerunner.sftp.ssh"
_ALL_KEYS = [each for family in KEY_FAMILIES.values() for each in family]


class ConnectionLost(StepError):
    """The connection broke or the server stopped responding; another attempt may succeed."""


class StatusError(OSError):
    """The server's answer that it failed; ``code`` is that of SFTP.

    ``errno`` is set where the code says as much.
    """

    def __init__(self, number: Optional[int], text: str, code: int) -> None:
        super().__init__(number, text)
        self.code = code

    def __str__(self) -> str:
        return str(self.strerror)


def import_paramiko() -> Any:
    """Returns paramiko. Raises StepError if it is not installed."""
    try:
        import paramiko  # noqa: PLC0415 - an extra, and 100 ms
    except ImportError:
        raise StepError(
            f"SFTP needs the package {PACKAGE}, which is not installed",
            hint="install it with: pip install 'rolerunner[sftp]'; a bundle for AWS Glue has it",
            type="MissingPackage",
        ) from None
    log = logging.getLogger(_LOG)
    log.propagate = False  # it logs failures with tracebacks; here they are errors of the step
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return paramiko


def connect(server: SftpServer) -> Any:
    """Returns an authenticated connection, a paramiko ``Transport``. Raises StepError."""
    paramiko = import_paramiko()
    key = _load_private_key(paramiko, server) if server.private_key else None
    transport = _connect_verified(paramiko, server)
    try:
        _authenticate(paramiko, transport, server, key)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(int(server.keepalive))
    return transport


def open_channel(transport: Any, server: SftpServer) -> Any:
    """Returns an SFTP session of a connection, a paramiko ``SFTPClient``."""
    paramiko = import_paramiko()
    from rolerunner.sftp.client import SftpClient  # noqa: PLC0415 - it imports paramiko

    silence = f"no answer within {server.response_timeout:g} s"
    try:
        channel = transport.open_session(timeout=server.response_timeout)
    except paramiko.SSHException as error:
        raise socket.timeout(silence) if "Timeout" in str(error) else error from None
    watchdog = threading.Timer(server.response_timeout, close_quietly, (channel,))
    watchdog.daemon = True
    watchdog.start()  # paramiko itself waits for the subsystem for ever
    try:
        channel.settimeout(server.response_timeout)
        channel.invoke_subsystem("sftp")
        return SftpClient(channel)
    except BaseException:
        if watchdog.finished.is_set():
            raise socket.timeout(silence) from None
        channel.close()
        raise
    finally:
        watchdog.cancel()


def is_channel_refused(error: BaseException) -> bool:
    """Returns True if the server opens no more sessions on this connection."""
    return isinstance(error, import_paramiko().ChannelException)


def list_remote_errors() -> tuple[type[Exception], ...]:
    """Returns the types of all errors that operations on a server raise."""
    paramiko = import_paramiko()
    sftp_error: type[Exception] = paramiko.SFTPError
    ssh_error: type[Exception] = paramiko.SSHException
    return (StepError, OSError, EOFError, UnicodeDecodeError, sftp_error, ssh_error)


def is_connection_error(error: BaseException) -> bool:
    """Returns True for an error of the connection, which is not the server's answer."""
    if isinstance(error, StatusError):
        return False
    if isinstance(error, (EOFError, socket.timeout, ConnectionError)):
        return True
    if isinstance(error, OSError):
        return "closed" in str(error) and error.errno is None
    return isinstance(error, import_paramiko().SSHException)


def _connect_verified(paramiko: Any, server: SftpServer) -> Any:
    """Returns a connection whose host key is trusted; nothing is authenticated yet.

    A server has keys of several types and shows one of them; the others are looked at if only a
    fingerprint is known.
    """
    shown: list[str] = []
    types = server.trusted.list_key_types()
    rest = list(KEY_FAMILIES)
    while rest:
        wanted = types if types is not None and not shown else rest
        transport = _negotiate(paramiko, server, wanted)
        if transport is None:
            if types is None or wanted is rest:
                break
            types = None  # it has no key of the trusted types: any of its keys is shown
            continue
        key = transport.get_remote_server_key()
        fingerprint = compute_fingerprint(key.asbytes())
        if server.trusted.has(fingerprint):
            return transport
        transport.close()
        shown.append(f"{fingerprint} ({key.get_name()})")
        if types is not None:
            break
        rest = [each for each in rest if each != key.get_name()]
    raise _mismatch_error(server, shown)


def _mismatch_error(server: SftpServer, shown: Sequence[str]) -> StepError:
    if not shown:
        return StepError(
            f"{server.address} has no host key of a type that is accepted: ed25519, ecdsa, or rsa"
            " with SHA-2; nothing was authenticated or sent",
            hint="an old server that signs with SHA-1 alone (ssh-rsa) has to be updated",
            type="HostKeyMismatch",
        )
    has = " and ".join(shown)
    return StepError(
        f"the host key of {server.address} is not the trusted one: the server has {has},"
        f" and the step trusts {server.trusted}; nothing was authenticated or sent",
        hint="ask the server's operator for its host key over another way, and change"
        " 'host_key' only if it was replaced; otherwise someone may be in between",
        type="HostKeyMismatch",
    )


def _negotiate(paramiko: Any, server: SftpServer, key_types: Sequence[str]) -> Optional[Any]:
    """Returns a connection with keys exchanged; None if the server has no key of the types."""
    connection = _open_socket(server)
    try:
        transport = paramiko.Transport(connection)
    except BaseException:
        connection.close()
        raise
    transport.set_log_channel(_LOG)
    transport.banner_timeout = transport.auth_timeout = server.connect_timeout
    transport.daemon = True
    options = transport.get_security_options()
    algorithms = [each for family in key_types for each in KEY_FAMILIES[family]]
    options.key_types = [each for each in algorithms if each in set(_ALL_KEYS)]
    try:
        transport.start_client(timeout=server.connect_timeout)
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        if isinstance(error, paramiko.SSHException) and "host key" in str(error):
            return None
        raise _handshake_error(server, error) from None
    if not transport.initial_kex_done:  # start_client returns as well when the time is over
        transport.close()
        silence = TimeoutError(f"no answer within {server.connect_timeout:g} s")
        raise _handshake_error(server, silence)
    return transport


def _handshake_error(server: SftpServer, error: Exception) -> StepError:
    text = str(error) or type(error).__name__
    hint = (
        "an old server, whose algorithms are no longer safe, has to be updated"
        if "Incompatible" in text
        else "check that 'host' and 'port' are those of an SSH server, and that it does not limit"
        " connections"
    )
    return ConnectionLost(
        f"{server.address} did not complete the SSH handshake: {text}",
        hint=hint,
        type="SshHandshakeFailed",
    )


def _open_socket(server: SftpServer) -> socket.socket:
    try:
        return socket.create_connection((server.host, server.port), server.connect_timeout)
    except socket.gaierror:
        raise StepError(
            f"there is no host '{server.host}'",
            hint="check 'host', and that this machine's DNS knows it",
            type="HostNotFound",
        ) from None
    except socket.timeout:
        raise ConnectionLost(
            f"{server.address} did not respond within {server.connect_timeout:g} s",
            hint="check 'host' and 'port', and the firewalls between this machine and the server;"
            " a Glue job in a VPC reaches the internet through a NAT gateway only",
            type="ConnectTimeout",
        ) from None
    except ConnectionRefusedError:
        raise ConnectionLost(
            f"{server.address} refused the connection",
            hint="check 'host' and 'port', and that the server runs",
            type="ConnectionRefused",
        ) from None
    except OSError as error:
        raise ConnectionLost(
            f"{server.address} cannot be reached: {error.strerror or error}",
            hint="check 'host' and 'port', and the network between this machine and the server",
            type="Unreachable",
        ) from None


def _load_private_key(paramiko: Any, server: SftpServer) -> Any:
    """Returns the private key. Raises StepError, whose message has nothing of the key."""
    text = server.private_key.replace("\r\n", "\n").strip() + "\n"
    password = server.passphrase or None
    needs_passphrase = False
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password=password)
        except paramiko.PasswordRequiredException:
            needs_passphrase = True
        except Exception:  # noqa: BLE001, S112 - each kind raises errors of its own for other kinds
            continue
    if needs_passphrase:
        raise StepError(
            "'private_key' is encrypted",
            hint="set 'passphrase' to a secret param",
            type="PassphraseMissing",
        )
    reason = "with this 'passphrase'" if password else ""
    raise StepError(
        f"'private_key' cannot be read {reason}".rstrip(),
        hint="it must be a private key of type ed25519, ecdsa or rsa, in OpenSSH's form or PEM,"
        " with its line breaks and without a passphrase or with the right one",
        type="PrivateKeyInvalid",
    )


def _authenticate(paramiko: Any, transport: Any, server: SftpServer, key: Any) -> None:
    ways = " and ".join(
        name for name, given in (("private key", key), ("password", server.password)) if given
    )
    try:
        missing: Sequence[str] = []
        if key is not None:
            missing = transport.auth_publickey(server.user, key)
        if server.password and (key is None or _takes_password(missing)):
            missing = _present_password(paramiko, transport, server)
    except paramiko.BadAuthenticationType as error:
        raise _auth_error(server, ways, error.allowed_types) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if "timeout" in str(error).lower():
            raise _handshake_error(server, error) from None
        if not transport.is_active():
            raise _auth_broken_error(server, ways) from None
        if isinstance(error, paramiko.AuthenticationException):
            raise _auth_error(server, ways, ()) from None
        raise _handshake_error(server, error) from None
    if missing:
        raise _auth_error(server, ways, missing)


def _takes_password(methods: Sequence[str]) -> bool:
    return not {"password", "keyboard-interactive"}.isdisjoint(methods)


def _present_password(paramiko: Any, transport: Any, server: SftpServer) -> Sequence[str]:
    """Presents the password; returns what the server requires besides.

    Servers with PAM often ask for it at a prompt, which is answered once and only if it hides what
    is typed.
    """
    try:
        still: Sequence[str] = transport.auth_password(server.user, server.password, fallback=False)
    except paramiko.BadAuthenticationType as error:
        if "keyboard-interactive" not in error.allowed_types:
            raise
    else:
        return still
    unused = [server.password]

    def answer(title: str, about: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        del title, about
        is_for_password = len(prompts) == 1 and not prompts[0][1] and unused
        return [unused.pop()] if is_for_password else [""] * len(prompts)

    asked: Sequence[str] = transport.auth_interactive(server.user, answer)
    return asked


def _auth_error(server: SftpServer, ways: str, allowed: Sequence[str]) -> StepError:
    wants = f"; it takes {', '.join(sorted(allowed))}" if allowed else ""
    return StepError(
        f"{server.address} refused the user '{server.user}' with its {ways}{wants}",
        hint="check 'user' and the secret param; the server's operator must know the public key,"
        " or the password that is current",
        type="SftpAuthRefused",
    )


def _auth_broken_error(server: SftpServer, ways: str) -> StepError:
    return ConnectionLost(
        f"{server.address} closed the connection when the user '{server.user}' presented its"
        f" {ways}",
        hint="servers do so to refuse a user, or an address that connects too often: check 'user'"
        " and the secret param, and ask the server's operator",
        type="SftpAuthRefused",
    )


def close_quietly(each: Any) -> None:
    """Closes a connection or session that may be broken."""
    with suppress(Exception):
        each.close()
