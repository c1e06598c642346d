"""Faults: the requests that they strike, how often, and what a client gets."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.sandbox.faults import Fault, FaultyProxy


def message(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Fault.model_validate(fields)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "must have one of answer, drop, lose, cut and delay"),
        (
            {"answer": 503, "drop": True},
            "must have one of answer, drop, lose and cut, not both answer and drop",
        ),
        (
            {"lose": True, "cut": True},
            "must have one of answer, drop, lose and cut, not both lose and cut",
        ),
        ({"drop": True, "code": "X"}, "'code' requires 'answer'"),
        ({"drop": True, "operation": "GetObjekt"}, "'GetObjekt' is not an operation of S3 or STS"),
        ({"answer": 399}, "Input should be greater than or equal to 400"),
        ({"answer": 600}, "Input should be less than or equal to 599"),
        ({"drop": True, "times": 0}, "Input should be greater than or equal to 1"),
        ({"drop": True, "rate": 0}, "Input should be greater than 0"),
        ({"drop": True, "rate": 1.1}, "Input should be less than or equal to 1"),
    ],
)
def test_a_fault_does_one_thing_within_its_limits(fields: dict[str, Any], text: str) -> None:
    assert message(**fields).startswith(text)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"answer": 400}, "answer"),
        ({"answer": 599}, "answer"),
        ({"drop": True}, "drop"),
        ({"lose": True, "delay": 1}, "lose"),
        ({"cut": True}, "cut"),
        ({"delay": "2s"}, "delay"),
        ({"drop": True, "operation": "glue:StartJobRun"}, "drop"),
    ],
)
def test_the_kind_of_a_fault(fields: dict[str, Any], kind: str) -> None:
    assert Fault.model_validate(fields).kind == kind


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"operation": "GetObject"}, True),
        ({"operation": "s3:GetObject"}, True),
        ({"operation": "glue:GetObject"}, False),
        ({"operation": "PutObject"}, False),
        ({"bucket": "land*"}, True),
        ({"bucket": "land"}, False),
        ({"key": "in/*"}, True),
        ({"key": "*/b"}, True),
        ({"key": "in"}, False),
        ({"bucket": "landing", "key": "in/A/b"}, False),
    ],
)
def test_a_fault_fits_by_operation_bucket_and_key(fields: dict[str, Any], fits: bool) -> None:
    fault = Fault.model_validate({"drop": True, **fields})
    assert fault.applies_to("s3", "GetObject", {"Bucket": "landing", "Key": "in/a/b"}) is fits


def test_a_request_without_a_bucket_fits_any_bucket_alone() -> None:
    assert Fault(drop=True).applies_to("sts", "AssumeRole", {})
    assert not Fault(drop=True, bucket="landing").applies_to("sts", "AssumeRole", {})


def strikes(count: int, *faults: Fault, seed: int = 0) -> list[str]:
    """The kinds of the faults of so many requests; '-' for none."""
    with FaultyProxy("http://127.0.0.1:1", faults, seed) as proxy:
        found = [proxy.fault_for("s3", "GetObject", {"Key": "k"}) for _ in range(count)]
        assert len(proxy.injected) == sum(fault is not None for fault in found)
        return [fault.kind if fault is not None else "-" for fault in found]


def test_faults_strike_after_and_as_often_as_they_say() -> None:
    assert strikes(5, Fault(drop=True, after=1, times=2)) == ["-", "drop", "drop", "-", "-"]
    assert strikes(3, Fault(drop=True)) == ["drop"] * 3
    assert strikes(2) == ["-", "-"]


def test_the_first_fault_that_strikes_wins() -> None:
    assert strikes(3, Fault(drop=True, times=1), Fault(cut=True, times=1)) == ["drop", "cut", "-"]


def test_a_rate_strikes_its_share_and_the_same_for_a_seed() -> None:
    first = strikes(1000, Fault(drop=True, rate=0.1), seed=7)
    assert 60 < first.count("drop") < 140
    assert strikes(1000, Fault(drop=True, rate=0.1), seed=7) == first
    assert strikes(1000, Fault(drop=True, rate=0.1), seed=8) != first


class Upstream(BaseHTTPRequestHandler):
    """Answers ten bytes to each request, and counts them."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self) -> None:
        self.server.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789")

    do_GET = do_POST = _answer  # noqa: N815 - http.server's names


@pytest.fixture
def upstream() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.seen = []  # type: ignore[attr-defined]  # of the handler
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    upstream: Any, fault: Fault, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, str, bytes]:
    endpoint = f"http://127.0.0.1:{upstream.server_address[1]}"
    with FaultyProxy(endpoint, [fault]).serve_in_background() as proxy:
        client = http.client.HTTPConnection("127.0.0.1", proxy.server_address[1], timeout=20)
        client.request("POST" if body else "GET", "/landing/in/a", body, headers or {})
        answer = client.getresponse()
        try:
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        finally:
            client.close()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(answer=503), 503, "SlowDown"),
        (Fault(answer=404), 404, "NoSuchKey"),
        (Fault(answer=502), 502, "InternalError"),
        (Fault(answer=503, code="Mine"), 503, "Mine"),
    ],
)
def test_an_answer_is_s3s_error_and_nothing_is_passed_on(
    upstream: Any, fault: Fault, status: int, code: str
) -> None:
    assert ask(upstream, fault) == (
        status,
        "text/xml",
        f"<Error><Code>{code}</Code><Message>a fault of the test</Message></Error>".encode(),
    )
    assert upstream.seen == []


def test_an_answer_has_the_form_of_its_service(upstream: Any) -> None:
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/sts/aws4"}
    form = {**signed, "Content-Type": "application/x-www-form-urlencoded"}
    fault = Fault(operation="AssumeRole", answer=403)
    assert ask(upstream, fault, form, b"Action=AssumeRole")[2].startswith(b"<ErrorResponse><Error>")
    target = {"Authorization": signed["Authorization"].replace("sts", "glue")}
    target["X-Amz-Target"] = "AWSGlue.StartJobRun"
    status, kind, body = ask(upstream, Fault(operation="glue:StartJobRun", answer=429), target)
    assert (status, kind) == (429, "application/x-amz-json-1.1")
    assert body == b'{"__type": "TooManyRequests", "message": "a fault of the test"}'


@pytest.mark.parametrize(("fault", "passed"), [(Fault(drop=True), 0), (Fault(lose=True), 1)])
def test_a_dropped_request_has_no_answer_and_a_lost_one_was_passed_on(
    upstream: Any, fault: Fault, passed: int
) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(upstream, fault)
    assert len(upstream.seen) == passed


def test_a_cut_answer_ends_in_the_middle(upstream: Any) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(upstream, Fault(cut=True))
    assert caught.value.partial == b"01234"


def test_a_delayed_answer_and_others_are_whole(upstream: Any) -> None:
    began = time.monotonic()
    assert ask(upstream, Fault(delay=0.3))[2] == b"0123456789"
    assert time.monotonic() - began >= 0.3
    assert ask(upstream, Fault(drop=True, key="other"))[::2] == (200, b"0123456789")
    assert upstream.seen == ["/landing/in/a"] * 2
