"""Failures of connections and responses become botocore's errors."""

from __future__ import annotations

import errno
import ssl

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from rolerunner.errors import ServiceFailed
from rolerunner.storage.http import errors
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.response_heads import MalformedResponse

URL = "https://bucket.example"


def make_alert(reason: str) -> ssl.SSLError:
    """Returns the error of a server that refuses a client."""
    error = ssl.SSLError(f"[SSL: {reason}]")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "connected", "expected"),
    [
        (ssl.SSLCertVerificationError("no"), True, SSLError),
        (ssl.SSLError("no"), False, SSLError),
        (ssl.SSLError("no"), True, ConnectionClosedError),
        (make_alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, SSLError),
        (OSError(errno.EMFILE, "full"), False, HTTPClientError),
        (TimeoutError(), True, ReadTimeoutError),
        (TimeoutError(), False, ConnectTimeoutError),
        (MalformedResponse("the connection was closed"), True, ConnectionClosedError),
        (MalformedResponse("not HTTP"), True, HTTPClientError),
        (ConnectionResetError(), True, ConnectionClosedError),
        (ConnectionRefusedError(), False, EndpointConnectionError),
    ],
)
def test_a_lost_connection_has_its_error(
    error: BaseException, connected: bool, expected: type[Exception]
) -> None:
    assert type(errors.from_connection_error(URL, error, connected=connected)) is expected


def create_error(status: int, body: bytes = b"", *, operation: str = "GetObject") -> ClientError:
    response = Response(status, {"x-amz-request-id": "R1"}, keep=True)
    response.body = body
    return errors.from_response(response, operation, retried=2)


def test_a_response_is_described() -> None:
    body = b"<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>"
    found = create_error(404, body).response
    assert found["Error"]["Code"] == "NoSuchKey"
    assert found["Error"]["Message"] == "a & b"
    metadata = found["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RequestId"]) == (404, "R1")
    assert metadata["RetryAttempts"] == 2


def test_a_response_without_a_body_has_its_status_as_code() -> None:
    error = create_error(403).response["Error"]
    assert (error["Code"], error["Message"]) == ("403", "Forbidden")


@pytest.mark.parametrize(
    ("status", "code", "is_retryable", "is_throttled", "is_redirect"),
    [
        (503, "SlowDown", True, True, False),
        (429, "Anything", True, True, False),
        (500, "InternalError", True, False, False),
        (400, "RequestTimeout", True, False, False),
        (403, "AccessDenied", False, False, False),
        (301, "Anything", False, False, True),
        (400, "AuthorizationHeaderMalformed", False, False, True),
    ],
)
def test_errors_are_classified(
    status: int, code: str, is_retryable: bool, is_throttled: bool, is_redirect: bool
) -> None:
    error = create_error(status, f"<Error><Code>{code}</Code></Error>".encode())
    assert errors.is_retryable_error(error) is is_retryable
    assert errors.is_throttled(error) is is_throttled
    assert errors.is_redirect(error) is is_redirect


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectTimeoutError(endpoint_url=URL), True),
        (EndpointConnectionError(endpoint_url=URL), True),
        (ReadTimeoutError(endpoint_url=URL), True),
        (ConnectionClosedError(endpoint_url=URL), True),
        (HTTPClientError(error="no"), True),
        (SSLError(endpoint_url=URL, error=ssl.SSLError("no")), True),
        (SSLError(endpoint_url=URL, error=ssl.SSLCertVerificationError("no")), False),
        (ServiceFailed("slow", type="SlowDown"), True),
        (ServiceFailed("changed", type="PreconditionFailed"), False),
        (ServiceFailed("changed", type="412"), False),
        (ServiceFailed("denied", type="AccessDenied"), False),
        (ValueError("no"), False),
    ],
)
def test_only_some_failures_may_pass(error: Exception, expected: bool) -> None:
    assert errors.is_retryable_error(error) is expected
    assert not errors.is_throttled(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_response_without_a_code_is_judged_by_its_status(status: int) -> None:
    assert errors.is_retryable_error(create_error(status))
    assert errors.is_throttled(create_error(status)) is (status in {429, 503})
    assert not errors.is_redirect(create_error(status))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_known_by_their_status(status: int) -> None:
    assert errors.is_redirect(create_error(status))
    assert not errors.is_redirect(create_error(400))


def test_a_conflict_is_repeated_unless_it_is_of_a_multipart_upload() -> None:
    body = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    assert errors.is_retryable_error(create_error(409, body, operation="PutObject"))
    completion = create_error(409, body, operation="CompleteMultipartUpload")
    assert not errors.is_retryable_error(completion)


def test_the_first_of_repeated_fields_counts() -> None:
    body = b"<Error><Code>Outer</Code><Message>m</Message><Code>Inner</Code></Error>"
    error = create_error(400, body).response["Error"]
    assert (error["Code"], error["Message"], error["BucketName"]) == ("Outer", "m", "")


def test_a_code_without_a_message_has_none() -> None:
    body = b"<Error><Code>Odd</Code><RequestId>R2</RequestId><BucketName>b</BucketName></Error>"
    error = create_error(400, body)
    assert error.response["Error"]["Message"] == ""
    assert error.response["Error"]["BucketName"] == "b"
    assert error.operation_name == "GetObject"
    response = Response(400, {}, keep=True)
    response.body = body
    found = errors.from_response(response, "PutObject").response["ResponseMetadata"]
    assert (found["RequestId"], found["RetryAttempts"]) == ("R2", 0)
