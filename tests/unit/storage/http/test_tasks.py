"""When a request is repeated, and what its failure is at last."""

from __future__ import annotations

import random
import ssl
import threading
from typing import Any, Union

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    SSLError,
)

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import ServiceFailed
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, run_blocking
from rolerunner.storage.native.templates import Address, Request
from rolerunner.storage.pacing import Pacer

LOST = ConnectionClosedError(endpoint_url="http://s3", error="lost")
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>no</Message></Error>'
Event = Union[Response, Exception]


def ok(body: bytes = b"") -> Response:
    response = Response(200, {}, keep=True)
    response.body = body
    return response


def refuse(code: str, status: int = 400) -> Response:
    response = Response(status, {}, keep=True)
    response.body = XML % code.encode()
    return response


class Bench:
    """Sends one request, and responds to its tries in turn."""

    def __init__(self, *events: Event, tries: int = 3, resent: int = 0) -> None:
        self.events = list(events)
        self.resent = resent
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.redirects: list[bool] = []
        """The regions that are found for the bucket, in turn."""
        self.renewals: list[bool] = []
        self.pacer = Pacer()
        self.policy = RetryPolicy(tries, self.pacer, Cancel(), lambda: self.renewals.pop(0))

    def create(self) -> Request:
        request = Request(Address(False, "h", 1), "GET", "GetObject", b"", b"", None)
        self.requests.append(request)
        return request

    def send(self, *, may_be_error: bool = False) -> Response:
        task = self.policy.send(
            self.create, lambda: self.redirects.pop(0), may_be_error=may_be_error
        )
        value: Any = None
        try:
            while True:
                waited = task.throw(value) if isinstance(value, Exception) else task.send(value)
                if isinstance(waited, Request):
                    waited.resent = self.resent
                    value = self.events.pop(0)
                elif isinstance(waited, BlockingCall):
                    value = waited.call()
                else:
                    self.pauses.append(waited)
                    value = None
        except StopIteration as end:
            response: Response = end.value
            return response

    def fail(self, **options: Any) -> Any:
        with pytest.raises((ClientError, ConnectionClosedError, Exception)) as failed:
            self.send(**options)
        return failed.value


def code_of(error: Any) -> str:
    return str(error.response["Error"]["Code"])


def test_a_response_is_returned_at_once() -> None:
    response = ok(b"body")
    bench = Bench(response)
    assert bench.send() is response
    assert bench.pauses == []


@pytest.mark.parametrize(
    "event",
    [
        LOST,
        EndpointConnectionError(endpoint_url="http://s3", error="no route"),
        refuse("InternalError", 500),
        refuse("SlowDown", 503),
        refuse("anything", 502),
        ServiceFailed("the source is slow", type="SlowDown"),
    ],
)
def test_what_may_pass_is_tried_again_with_a_new_request(event: Event) -> None:
    bench = Bench(event, event, ok(b"at last"))
    assert bench.send().body == b"at last"
    assert len({id(each) for each in bench.requests}) == 3
    assert len(bench.pauses) >= 2


@pytest.mark.parametrize(
    "event",
    [
        refuse("AccessDenied", 403),
        refuse("NoSuchKey", 404),
        refuse("PreconditionFailed", 412),
        SSLError(endpoint_url="https://s3", error=ssl.SSLCertVerificationError("self-signed")),
        ServiceFailed("the source changed", type="PreconditionFailed"),
    ],
)
def test_what_will_not_pass_fails_at_once(event: Event) -> None:
    bench = Bench(event)
    error = bench.fail()
    assert error is event or isinstance(error, ClientError)
    assert (len(bench.requests), bench.pauses) == (1, [])


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_the_last_failure_is_raised(tries: int) -> None:
    bench = Bench(*[LOST] * (tries - 1), refuse("InternalError", 500), ok(), tries=tries)
    error = bench.fail()
    assert (code_of(error), len(bench.requests)) == ("InternalError", tries)
    assert error.response["ResponseMetadata"]["RetryAttempts"] == tries - 1
    assert len(bench.pauses) == tries - 1


def test_requests_that_were_sent_again_count_as_tries() -> None:
    bench = Bench(LOST, refuse("PreconditionFailed", 412), resent=1)
    error = bench.fail()
    assert error.response["ResponseMetadata"]["RetryAttempts"] == 1 + 2, "the second and two resent"


def test_pauses_double_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)
    bench = Bench(*[LOST] * 9, ok(), tries=10)
    bench.send()
    assert bench.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
    monkeypatch.setattr(random, "random", lambda: 0.5)
    bench = Bench(LOST, ok())
    bench.send()
    assert bench.pauses == [0.25]


def test_an_expired_session_is_renewed_once_without_a_pause() -> None:
    bench = Bench(refuse("ExpiredToken"), ok(), tries=1)
    bench.renewals = [True]
    bench.send()
    assert (len(bench.requests), bench.pauses) == (2, [])
    bench = Bench(refuse("ExpiredToken"), refuse("ExpiredToken"), tries=5)
    bench.renewals = [True]
    assert code_of(bench.fail()) == "ExpiredToken"
    bench = Bench(refuse("ExpiredToken"), tries=5)
    bench.renewals = [False]
    assert code_of(bench.fail()) == "ExpiredToken"


@pytest.mark.parametrize(
    "refusal", [refuse("PermanentRedirect", 301), refuse("AuthorizationHeaderMalformed")]
)
def test_a_bucket_elsewhere_is_looked_for_once(refusal: Response) -> None:
    bench = Bench(refusal, ok(), tries=1)
    bench.redirects = [True]
    bench.send()
    assert (len(bench.requests), bench.pauses) == (2, [])
    for found in ([False], [True]):
        bench = Bench(refusal, refusal, tries=5)
        bench.redirects = list(found)
        assert code_of(bench.fail()) in ("PermanentRedirect", "AuthorizationHeaderMalformed")
        assert len(bench.requests) == (2 if found == [True] else 1)
        assert bench.redirects == []


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        (XML % b"InternalError", True),
        (b"  \n<Error>", True),
        (b"<Error/>", True),
        (b"<?xml?>\n\n<Error code='x'>", True),
        (b"<ErrorDocument>", False),
        (b"<CopyObjectResult/>", False),
        (b"text <Error>", False),
        (b"", False),
    ],
)
def test_an_error_may_come_with_status_200(body: bytes, is_error: bool) -> None:
    bench = Bench(ok(body), tries=1)
    if not is_error:
        assert bench.send(may_be_error=True).body == body
        return
    error = bench.fail(may_be_error=True)
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert Bench(ok(body)).send().body == body, "what is no operation of that kind is content"


@pytest.mark.parametrize(
    ("status", "is_error"), [(199, True), (200, False), (299, False), (300, True)]
)
def test_only_a_status_of_200_to_299_is_a_success(status: int, is_error: bool) -> None:
    response = Response(status, {}, keep=True)
    bench = Bench(response, tries=1)
    assert (bench.fail() is not None if is_error else bench.send() is response) is True


def test_a_throttled_request_slows_the_step_down() -> None:
    bench = Bench(refuse("SlowDown", 503), ok())
    bench.send()
    assert bench.pacer.throttle.era == 1
    bench = Bench(refuse("InternalError", 500), ok())
    bench.send()
    assert bench.pacer.throttle.era == 0


def test_a_request_waits_while_the_step_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(ok())
    waits = iter([0.5, 0.25, 0.0])
    monkeypatch.setattr(bench.pacer.throttle, "wait", lambda: next(waits))
    bench.send()
    assert bench.pauses == [0.5, 0.25]
    assert len(bench.requests) == 1


def test_every_try_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(LOST, ok())
    paced: list[object] = []
    monkeypatch.setattr(bench.pacer, "pace_request", paced.append)
    bench.send()
    assert paced == [bench.policy.cancel] * 2


@pytest.mark.parametrize("large", [False, True])
def test_a_blocking_call_is_a_task(large: bool) -> None:
    task = run_blocking(threading.get_ident, large=large)
    waited = next(task)
    assert isinstance(waited, BlockingCall)
    assert (waited.call, waited.large) == (threading.get_ident, large)
    with pytest.raises(StopIteration) as end:
        task.send(7)
    assert end.value.value == 7
