"""The proxy in front of the sandbox: what it passes on, and the headers that it sets itself."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

import pytest

from rolerunner.sandbox.proxy import Proxy, ProxyHandler


class Upstream(ProxyHandler):
    """Answers with what it was sent."""

    def respond(self, body: bytes) -> None:
        headers = {"X-Method": self.command, "X-Path": self.path, "ETag": '"e"', "Date": "never"}
        if self.command == "HEAD":
            headers["Content-Length"] = "1234"
        self.answer(200, headers, body or b"nothing")


class Forwarding(ProxyHandler):
    """Passes each request on."""

    def respond(self, body: bytes) -> None:
        self.answer(*self.forward_request(body))


def request(
    method: str, path: str, body: bytes = b"", port: int | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    with (
        Proxy("http://127.0.0.1:1", Upstream).serve_in_background() as upstream,
        Proxy(upstream.url, Forwarding).serve_in_background() as proxy,
    ):
        client = http.client.HTTPConnection(
            "127.0.0.1", port or proxy.server_address[1], timeout=20
        )
        client.request(method, path, body)
        answer = client.getresponse()
        try:
            return answer.status, dict(answer.headers), answer.read()
        finally:
            client.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"x" * 100_000], ids=["empty", "large"])
def test_a_request_is_passed_on_as_it_is(method: str, body: bytes) -> None:
    status, headers, data = request(method, "/box/a%20b?list-type=2", body)
    assert status == 200
    assert (headers["X-Method"], headers["X-Path"]) == (method, "/box/a%20b?list-type=2")
    assert headers["ETag"] == '"e"'
    assert headers["Date"] != "never"
    assert data == (body or b"nothing")


def test_an_answer_to_head_has_the_length_of_the_object_and_no_body() -> None:
    status, headers, data = request("HEAD", "/box/a")
    assert (status, headers["Content-Length"], data) == (200, "1234", b"")


def test_a_handler_must_say_what_it_does() -> None:
    handler: Any = ProxyHandler.__new__(ProxyHandler)
    with pytest.raises(NotImplementedError):
        handler.respond(b"")
