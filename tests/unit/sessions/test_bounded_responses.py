from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Union

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)
from urllib3.exceptions import SSLError

from rolerunner.sessions import bounded_responses
from rolerunner.sessions.bounded_responses import ResponseTooLarge, bound_responses
from tests.fake_s3 import RawResponse, Response, start_fake_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
BOUNDS = (
    bounded_responses.MAX_RESPONSE,
    bounded_responses.MAX_ERROR,
    bounded_responses.MAX_SECONDS,
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_responses, "MAX_RESPONSE", 1000)
    monkeypatch.setattr(bounded_responses, "MAX_ERROR", 500)


def list_objects(response: Union[Response, RawResponse], **settings: Any) -> Any:
    once = {"retries": {"mode": "standard", "max_attempts": 1}}
    with start_fake_s3(lambda _: response, **{**once, **settings}) as (client, _):
        bound_responses(client)
        return client.list_objects_v2(Bucket="bucket")


def test_a_response_up_to_the_bound_is_read() -> None:
    assert list_objects(Response(LIST.ljust(1000)))["IsTruncated"] is False


def test_a_response_beyond_the_bound_is_abandoned() -> None:
    with pytest.raises(ResponseTooLarge, match="more than 1,000 bytes"):
        list_objects(Response(LIST.ljust(1001)))


@pytest.mark.parametrize(("size", "kind"), [(500, ClientError), (501, ResponseTooLarge)])
def test_the_response_of_an_error_has_a_bound_of_its_own(size: int, kind: type[Exception]) -> None:
    body = b"<Error><Code>AccessDenied</Code></Error>".ljust(size)
    with pytest.raises(kind):
        list_objects(Response(body, 403))


def test_a_response_that_does_not_end_in_time_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_responses, "MAX_SECONDS", -1.0)
    with pytest.raises(ResponseTooLarge, match="did not end within"):
        list_objects(Response(LIST))


COMPARES_LENGTHS = pytest.mark.skipif(
    metadata.version("urllib3").startswith("1."),
    reason="urllib3 1 accepts short bodies",
)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        pytest.param(RawResponse([HEAD, LIST]), ConnectionClosedError, marks=COMPARES_LENGTHS),
        (RawResponse([HEAD, LIST, 5.0]), ReadTimeoutError),
    ],
    ids=["cut", "hangs"],
)
def test_a_body_that_fails_is_an_error_of_botocores(
    response: Union[Response, RawResponse], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as failed:
        list_objects(response, read_timeout=0.3)
    assert type(failed.value) is kind


def test_any_other_failure_of_a_body_is_one_of_http() -> None:
    def stream() -> Iterator[bytes]:
        yield b"<"
        raise SSLError("bad record mac")

    response = SimpleNamespace(status_code=200, raw=SimpleNamespace(stream=stream))
    with pytest.raises(HTTPClientError, match="bad record mac"):
        bounded_responses._read_all(response, SimpleNamespace(url="https://s3.example"))


def test_a_streamed_body_is_left_to_its_reader() -> None:
    with start_fake_s3(lambda _: Response(b"x" * 2000)) as (client, _):
        bound_responses(client)
        body = client.get_object(Bucket="bucket", Key="key")["Body"]
        assert body.read() == b"x" * 2000


def test_a_client_of_another_build_is_left_alone() -> None:
    client = SimpleNamespace(_endpoint=SimpleNamespace())
    bound_responses(client)
    assert vars(client) == {"_endpoint": SimpleNamespace()}


class RawBody:
    """A body of two blocks, which knows that it was closed."""

    is_closed = False

    def __init__(self, size: int = 300) -> None:
        self.size = size

    def stream(self) -> Iterator[bytes]:
        yield b"x" * self.size
        yield b"x" * self.size

    def close(self) -> None:
        self.is_closed = True


def read(status: int = 200, size: int = 300) -> tuple[RawBody, Any]:
    raw = RawBody(size)
    response = SimpleNamespace(status_code=status, raw=raw)
    return raw, lambda: bounded_responses._read_all(response, SimpleNamespace(url="https://s3"))


def test_a_response_is_one_of_an_error_from_300_on() -> None:
    assert len(read(299)[1]()) == 600
    raw, read_error = read(300)
    with pytest.raises(ResponseTooLarge):
        read_error()
    assert raw.is_closed


@pytest.mark.parametrize(("seconds", "is_read"), [(300.0, True), (300.5, False)])
def test_a_response_has_five_minutes(
    seconds: float, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 100.0])
    clock = SimpleNamespace(monotonic=lambda: next(moments, 100.0 + seconds))
    monkeypatch.setattr(bounded_responses, "time", clock)
    raw, read_all = read()
    if is_read:
        assert len(read_all()) == 600
    else:
        with pytest.raises(ResponseTooLarge, match="did not end within 300 s"):
            read_all()
    assert raw.is_closed is not is_read


@pytest.mark.parametrize(("status", "is_read"), [(299, False), (300, True)])
def test_a_streamed_response_is_read_if_it_is_one_of_an_error(status: int, is_read: bool) -> None:
    response = SimpleNamespace(status_code=status, raw=RawBody(10))
    http = SimpleNamespace(send=lambda _: response)
    bound_responses(SimpleNamespace(_endpoint=SimpleNamespace(http_session=http)))
    request = SimpleNamespace(url="https://s3", stream_output=True)
    assert http.send(request) is response
    assert hasattr(response, "_content") is is_read


def test_the_bounds_are_far_beyond_what_aws_sends() -> None:
    assert BOUNDS == (67_108_864, 1_048_576, 300.0)
