"""Posts over TLS and to nobody: no error shows the URL, and no wrong certificate is accepted."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import StepError
from rolerunner.notifications import webhook
from rolerunner.notifications.undelivered import Undelivered
from rolerunner.redaction.redact import redact_text
from tests.raw_server import read_head, serving_sockets
from tests.webhook_server import SECRET, serve_webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.webhook_server import Webhooks


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", path, "-out", path.with_name("cert.pem"), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_name("cert.pem").read_text())
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Webhooks]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serve_webhooks(context) as running:
        yield running


def test_a_trusted_certificate_is_accepted(secure: Webhooks, certificate: Path) -> None:
    webhook.post(secure.url("ok"), b"{}", str(certificate.with_name("cert.pem")))
    assert secure.posts("ok") == [{}]


def test_another_certificate_is_refused(secure: Webhooks) -> None:
    with pytest.raises(StepError, match="the certificate is not trusted") as raised:
        webhook.post(secure.url("ok"), b"{}")
    assert SECRET not in f"{raised.value}{raised.value.hint}"
    assert secure.received == []


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Undelivered) as raised:
        webhook.post(f"http://127.0.0.1:{port}/{SECRET}", b"{}")
    assert str(raised.value) == "Connection refused"


def test_a_host_without_an_address() -> None:
    with pytest.raises(StepError) as raised:
        webhook.post(f"https://hooks.invalid/{SECRET}", b"{}")
    assert SECRET not in str(raised.value)
    assert "hooks.invalid" not in str(raised.value)


def test_plain_http_is_refused_before_a_connection() -> None:
    with pytest.raises(StepError, match="plain text"):
        webhook.post(f"http://192.0.2.1/{SECRET}", b"{}")


def test_what_libraries_log_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serve_webhooks() as running:
        webhook.post(running.url("ok"), b"{}")
    assert SECRET not in redact_text(caplog.text)


def test_a_redirect_is_not_followed() -> None:
    with serve_webhooks() as running:
        with pytest.raises(StepError, match="a redirect, which is not followed") as raised:
            webhook.post(running.url("redirect"), b"{}")
        assert [name for name, _ in running.received] == ["redirect"]
    assert SECRET not in str(raised.value)


def test_the_answer_of_a_refusal_is_shown_without_the_url() -> None:
    with serve_webhooks() as running, pytest.raises(StepError) as raised:
        webhook.post(running.url("refuse"), b"{}")
    assert str(raised.value).startswith("it answered 403: invalid_token")
    assert SECRET not in str(raised.value)


def answering(answer: bytes) -> Callable[[socket.socket, int], None]:
    def handle(connection: socket.socket, number: int) -> None:
        del number
        read_head(connection)
        connection.sendall(answer)

    return handle


def test_a_busy_server_may_be_asked_again() -> None:
    busy = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater"
    with serving_sockets(answering(busy)) as port, pytest.raises(Undelivered) as raised:
        webhook.post(f"http://127.0.0.1:{port}/{SECRET}", b"{}")
    assert (str(raised.value), raised.value.type) == ("it answered 429: later", "429")


def test_an_answer_that_is_not_http_has_no_url_in_its_error() -> None:
    no_http = answering(b"SSH-2.0-x\r\n\r\n")
    with serving_sockets(no_http) as port, pytest.raises(StepError) as raised:
        webhook.post(f"http://127.0.0.1:{port}/{SECRET}", b"{}")
    assert not isinstance(raised.value, Undelivered)
    assert str(raised.value) == "it gave no valid answer"


def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(Undelivered, match="the proxy cannot be reached"):
        webhook.post(f"https://hooks.invalid/{SECRET}", b"{}")


def test_a_server_that_accepts_no_connection_may_be_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "CONNECT_SECONDS", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # Linux accepts one more than the backlog, and drops what comes then
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        with pytest.raises(Undelivered, match="accepted no connection within"):
            webhook.post(f"http://127.0.0.1:{port}/{SECRET}", b"{}")
        for each in waiting:
            each.close()
