"""What goes wrong between us and S3, as the errors that botocore raises for it: one translation serves both engines."""

from __future__ import annotations

import html
import re
import ssl
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from rolerunner.errors import ServiceFailed
from rolerunner.iam.aws_errors import is_conflict, is_retryable
from rolerunner.storage.http.framing import MalformedResponse
from rolerunner.storage.http.sockets import OUT_OF_FILES

if TYPE_CHECKING:
    from rolerunner.storage.http.framing import Response

_FIELD = re.compile(rb"<(Code|Message|RequestId|Region|BucketName)>([^<]*)</")
_TOO_MUCH_CODES = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
        "TooManyRequestsException", "BandwidthLimitExceeded", "RequestLimitExceeded", "PriorRequestNotComplete", "EC2ThrottledException",
    }
)  # fmt: skip
"""Codes that botocore takes for throttling."""
_PASSING_CODES = _TOO_MUCH_CODES | {
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "ServiceUnavailable",
}
"""Codes that botocore's standard mode tries again."""
_CHANGED = frozenset({"PreconditionFailed", "412"})
"""The object is another one now, which the same request would not cure."""
_TOO_MUCH_STATUS = frozenset({429, 503})
_PASSING_STATUS = _TOO_MUCH_STATUS | {500, 502, 504}
REDIRECTS = frozenset({301, 302, 307, 308})
ELSEWHERE = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    }
)


def from_connection_error(url: str, error: BaseException, *, connected: bool) -> BotoCoreError:
    """A connection could not be made, or broke."""
    if isinstance(error, ssl.SSLError) and (
        isinstance(error, ssl.SSLCertVerificationError) or not connected
    ):
        return SSLError(endpoint_url=url, error=error)
    if isinstance(error, OSError) and error.errno in OUT_OF_FILES:
        return HTTPClientError(error=f"no more open files are allowed (ulimit -n): {error}")
    if isinstance(error, TimeoutError):
        return (
            ReadTimeoutError(endpoint_url=url, error=error)
            if connected
            else ConnectTimeoutError(endpoint_url=url, error=error)
        )
    if isinstance(error, MalformedResponse):
        return (
            ConnectionClosedError(endpoint_url=url, error=error)
            if "closed" in str(error)
            else HTTPClientError(error=error)
        )
    if connected:
        return ConnectionClosedError(endpoint_url=url, error=error)
    return EndpointConnectionError(endpoint_url=url, error=error)


def from_response(answer: Response, operation: str, *, retried: int = 0) -> ClientError:
    """An error response to a request that was sent ``retried`` times before, as botocore's ClientError."""
    told = {
        name.decode(): html.unescape(value.decode("utf-8", "replace"))
        for name, value in reversed(_FIELD.findall(answer.body))
    }
    # HEAD's answers, and those of what stands between, have no XML: botocore then takes the status for the code
    code = told.get("Code") or str(answer.status)
    headers = answer.headers
    return ClientError(
        {
            "Error": {
                "Code": code, "Message": told.get("Message") or ("" if "Code" in told else answer.reason), "BucketName": told.get("BucketName", ""),
            },
            "ResponseMetadata": {
                "RequestId": headers.get("x-amz-request-id") or told.get("RequestId", ""), "HTTPStatusCode": answer.status, "HTTPHeaders": headers,
                "RetryAttempts": retried,
            },
        },
        operation,
    )  # fmt: skip


def is_retryable_error(error: BaseException) -> bool:
    """May the same request succeed another time? Every request of the lane may be repeated: each says all that it does."""
    if isinstance(error, ClientError):
        status, code = (
            error.response["ResponseMetadata"]["HTTPStatusCode"],
            error.response["Error"]["Code"],
        )
        return (
            code in _PASSING_CODES
            or status in _PASSING_STATUS
            or is_conflict(code, error.operation_name)
        )
    if isinstance(error, ServiceFailed):  # of the other role, whose object is read while it is sent
        return is_retryable(error) and error.type not in _CHANGED
    if isinstance(error, SSLError):
        return not isinstance(error.kwargs.get("error"), ssl.SSLCertVerificationError)
    return isinstance(error, (HTTPClientError, EndpointConnectionError, ConnectTimeoutError))


def is_throttled(error: BaseException) -> bool:
    """Does the server ask for fewer requests? To HEAD it says so by its status alone."""
    if not isinstance(error, ClientError):
        return False
    return (
        error.response["Error"]["Code"] in _TOO_MUCH_CODES
        or error.response["ResponseMetadata"]["HTTPStatusCode"] in _TOO_MUCH_STATUS
    )


def is_redirect(error: ClientError) -> bool:
    """Is the bucket in another region, or at another endpoint?"""
    return (
        error.response["Error"]["Code"] in ELSEWHERE
        or error.response["ResponseMetadata"]["HTTPStatusCode"] in REDIRECTS
    )
