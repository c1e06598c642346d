"""Names, addresses, TCP and TLS, by both transports: the event loop and the blocking client."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Optional, Union

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http import sockets
from rolerunner.storage.http.errors import is_retryable_error
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.templates import Address
from tests.raw_server import create_tls_context, respond, serving_sockets
from tests.unit.storage.http.exchanges import (
    BlockingTransport,
    LoopTransport,
    Transport,
    create_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Send = Callable[..., Union[Response, Exception]]

HERE, THERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture(params=[LoopTransport, BlockingTransport], ids=["event loop", "blocking"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends a GET; returns the response, or the error that was thrown into its task."""

    def send_one(
        net: SocketFactory, address: Address, cancel: Optional[Cancel] = None
    ) -> Union[Response, Exception]:
        transport: Transport = request.param(net)
        (result,) = transport.send(create_request(address), cancel=cancel)
        return result

    return send_one


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of every host, which a test may change; each look-up of them is noted."""
    found = [HERE]

    def get_address_info(host: str, port: int, **_: Any) -> list[Any]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", get_address_info)
    lookups.clear()
    return found


lookups: list[str] = []


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: the kernel drops what asks for another connection."""
    with socket.socket() as listening:
        listening.bind((HERE, 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex((HERE, port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


def close(connection: socket.socket, number: int) -> None:
    connection.recv(65536)


def reset(connection: socket.socket, number: int) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speak_plainly(connection: socket.socket, number: int) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    connection.recv(1000)


@pytest.mark.parametrize(
    ("handle", "kind"),
    [(close, SSLError), (reset, EndpointConnectionError), (speak_plainly, SSLError)],
)
def test_a_handshake_that_fails_is_an_error_of_the_connection(
    handle: Callable[[socket.socket, int], None], kind: type[Exception], send: Send
) -> None:
    with serving_sockets(handle) as port:
        error = send(SocketFactory(None, 2, 2), Address(True, HERE, port))
    assert type(error) is kind
    assert is_retryable_error(error)


def test_a_handshake_that_hangs_ends_with_the_connect_timeout(send: Send) -> None:
    with serving_sockets(lambda connection, _: keep_silent(connection)) as port:
        started = time.monotonic()
        error = send(SocketFactory(None, 0.3, 60), Address(True, HERE, port))
    assert type(error) is ConnectTimeoutError
    assert time.monotonic() - started < 5


def test_a_handshake_is_cancelled(send: Send) -> None:
    cancel = Cancel()
    threading.Timer(0.1, cancel.set).start()
    with serving_sockets(lambda connection, _: keep_silent(connection)) as port:
        error = send(SocketFactory(None, 60, 60), Address(True, HERE, port), cancel)
    assert isinstance(error, StepError)
    assert error.type == "Stopped"


def keep_silent(connection: socket.socket) -> None:
    """Reads until the client closes the connection."""
    while connection.recv(1000):
        pass


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return create_tls_context(tmp_path)


@contextmanager
def serving_tls(context: ssl.SSLContext) -> Iterator[tuple[int, list[bool]]]:
    """Yields the port, and whether each handshake resumed an earlier session."""
    resumed: list[bool] = []

    def handle(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            resumed.append(bool(secured.session_reused))
            respond(secured)

    with serving_sockets(handle) as port:
        yield port, resumed


def test_a_secured_connection_carries_requests_and_its_session_is_resumed(
    tls: ssl.SSLContext, send: Send, tmp_path: Path
) -> None:
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    net = SocketFactory(str(tmp_path / "cert.pem"), 5, 5)
    with serving_tls(tls) as (port, resumed):
        responses = [send(net, Address(True, HERE, port)) for _ in range(2)]
    assert [each.body for each in responses if isinstance(each, Response)] == [b"body"] * 2
    assert resumed == [False, True]


@pytest.mark.parametrize("wants", [ssl.SSLWantWriteError, ssl.SSLWantReadError])
def test_a_handshake_that_has_to_wait_goes_on(
    tls: ssl.SSLContext,
    send: Send,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wants: type[OSError],
) -> None:
    shake = ssl.SSLSocket.do_handshake
    waited: list[bool] = []

    def wait_first(self: ssl.SSLSocket, block: bool = False) -> None:
        if not waited and not self.server_side:
            # what the server needs is sent before, so that the wait for its bytes ends
            with suppress(ssl.SSLWantReadError):
                shake(self, block)
            waited.append(True)
            raise wants
        shake(self, block)

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", wait_first)
    with serving_tls(tls) as (port, _):
        response = send(SocketFactory(str(tmp_path / "cert.pem"), 5, 5), Address(True, HERE, port))
    assert isinstance(response, Response)
    assert response.body == b"body"
    assert waited == [True]


def test_certificates_may_be_a_folder(tls: ssl.SSLContext, send: Send, tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    with serving_tls(tls) as (port, _):
        address = Address(True, HERE, port)
        error = send(SocketFactory(str(tmp_path / "trusted"), 5, 5), address)
    assert type(error) is SSLError


def test_a_certificate_that_is_not_trusted_is_final(
    tls: ssl.SSLContext, send: Send, addresses: list[str]
) -> None:
    addresses[:] = [HERE, HERE, "127.0.0.1 "]
    with serving_tls(tls) as (port, resumed):
        error = send(SocketFactory(None, 5, 5), Address(True, HERE, port))
    assert isinstance(error, SSLError)
    assert not is_retryable_error(error)
    assert resumed == []


def test_the_next_address_is_used_and_the_failed_one_no_more(
    send: Send, addresses: list[str]
) -> None:
    net = SocketFactory(None, 5, 5)
    addresses[:] = [HERE, THERE]  # nothing listens there
    with serving_sockets(lambda connection, _: respond(connection)) as port:
        address = Address(False, "s3.example", port)
        responses = [send(net, address) for _ in range(2)]
        left = net.resolve(address, Cancel())
    assert [each.body for each in responses if isinstance(each, Response)] == [b"body"] * 2
    assert left == [(socket.AF_INET, (HERE, port))]
    assert len(lookups) == 1


def test_an_address_that_does_not_respond_takes_less_time_if_there_are_more(
    send: Send, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_FALLBACK_TIMEOUT", 0.1)
    with deaf_port() as deaf, serving_sockets(lambda connection, _: respond(connection)) as port:
        net = SocketFactory(None, 60, 60)
        address = Address(False, "s3.example", port)
        found = [(socket.AF_INET, (HERE, each)) for each in (port, deaf)]
        net._endpoints[address] = found  # two ports stand for two hosts; the second comes first
        started = time.monotonic()
        response = send(net, address)
    assert isinstance(response, Response)
    assert time.monotonic() - started < 5


def test_a_host_none_of_whose_addresses_responds_is_looked_up_again(
    send: Send, addresses: list[str]
) -> None:
    net = SocketFactory(None, 5, 5)
    with socket.create_server((HERE, 0)) as closed:
        port = closed.getsockname()[1]
    addresses[:] = [HERE, THERE]
    errors = [send(net, Address(False, "s3.example", port)) for _ in range(2)]
    assert [type(error) for error in errors] == [EndpointConnectionError] * 2
    assert len(lookups) == 2


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "'s3.example' is not a host name"),
        ([], "the host has no address"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(
    outcome: Any, text: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_address_info(*_: Any, **__: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(socket, "getaddrinfo", get_address_info)
    error = send(SocketFactory(None, 5, 5), Address(False, "s3.example", 80))
    assert isinstance(error, EndpointConnectionError)
    assert text in str(error.kwargs["error"])


def test_a_look_up_that_hangs_is_cancelled(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_POLL_SECONDS", 0.01)
    ended, cancel = threading.Event(), Cancel()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [ended.wait(60)])
    threading.Timer(0.05, cancel.set).start()
    error = send(SocketFactory(None, 5, 5), Address(False, "s3.example", 80), cancel)
    ended.set()
    assert isinstance(error, StepError)
    assert error.type == "Stopped"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_named(
    number: int, send: Send, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(number, "Too many open files")

    monkeypatch.setattr(SocketFactory, "create_socket", refuse)
    error = send(SocketFactory(None, 5, 5), Address(False, HERE, 80))
    assert type(error) is HTTPClientError
    assert "ulimit -n" in str(error)


def test_hosts_that_are_unreachable_fail_at_once(send: Send, addresses: list[str]) -> None:
    addresses[:] = ["255.255.255.255"]  # no TCP connection leads to a broadcast address
    error = send(SocketFactory(None, 60, 60), Address(False, "s3.example", 80))
    assert type(error) is EndpointConnectionError


def test_addresses_are_used_in_turn(addresses: list[str]) -> None:
    net = SocketFactory(None, 5, 5)
    addresses[:] = [HERE, THERE, HERE]
    address = Address(False, "s3.example", 80)
    first = [net.resolve(address, Cancel())[0][1][0] for _ in range(4)]
    assert first == [THERE, HERE, THERE, HERE]


def test_a_failure_of_an_address_that_is_gone_changes_nothing(addresses: list[str]) -> None:
    net = SocketFactory(None, 5, 5)
    address = Address(False, "s3.example", 80)
    net.report_failure(address, (socket.AF_INET, (HERE, 80)))  # nothing is known yet
    addresses[:] = [HERE, THERE]
    endpoints = net.resolve(address, Cancel())
    net.report_failure(address, endpoints[0])
    net.report_failure(address, endpoints[0])
    assert net.resolve(address, Cancel()) == [endpoints[1]]
