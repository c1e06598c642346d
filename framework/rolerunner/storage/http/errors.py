"""Converts failures of connections and responses to botocore's errors."""

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
from rolerunner.storage.http.response_heads import MalformedResponse
from rolerunner.storage.http.sockets import OUT_OF_FILES

if TYPE_CHECKING:
    from rolerunner.storage.http.framing import Response

_FIELD = re.compile(rb"<(Code|Message|RequestId|Region|BucketName)>([^<]*)</")
_THROTTLING_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "RequestLimitExceeded",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    }
)
"""Error codes that botocore treats as throttling."""
_RETRYABLE_CODES = _THROTTLING_CODES | {
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "ServiceUnavailable",
}
"""Error codes that botocore's standard mode retries."""
_CHANGED = frozenset({"PreconditionFailed", "412"})
"""The object has changed: the same request would fail again."""
_THROTTLING_STATUS = frozenset({429, 503})
_RETRYABLE_STATUS = _THROTTLING_STATUS | {500, 502, 504}
REDIRECT_STATUS = frozenset({301, 302, 307, 308})
REDIRECT_CODES = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    }
)


def from_connection_error(url: str, error: BaseException, *, connected: bool) -> BotoCoreError:
    """Returns the error for a connection that failed or was lost."""
    if isinstance(error, ssl.SSLError) and (
        isinstance(error, ssl.SSLCertVerificationError)
        or not connected
        or "ALERT"
        in (getattr(error, "reason", None) or "")  # TLS 1.3 refuses a client after the handshake
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
    """Returns the ClientError for an error response after ``retried`` earlier tries."""
    fields = {
        name.decode(): html.unescape(value.decode("utf-8", "replace"))
        for name, value in reversed(_FIELD.findall(answer.body))
    }
    # responses to HEAD, and those of proxies, have no XML: botocore then uses the status as the
    # code
    code = fields.get("Code") or str(answer.status)
    headers = answer.headers
    return ClientError(
        {
            "Error": {
                "Code": code,
                "Message": fields.get("Message") or ("" if "Code" in fields else answer.reason),
                "BucketName": fields.get("BucketName", ""),
            },
            "ResponseMetadata": {
                "RequestId": headers.get("x-amz-request-id") or fields.get("RequestId", ""),
                "HTTPStatusCode": answer.status,
                "HTTPHeaders": headers,
                "RetryAttempts": retried,
            },
        },
        operation,
    )


def is_retryable_error(error: BaseException) -> bool:
    """Returns True if the same request may succeed later.

    All requests of the native engine are idempotent.
    """
    if isinstance(error, ClientError):
        status, code = (
            error.response["ResponseMetadata"]["HTTPStatusCode"],
            error.response["Error"]["Code"],
        )
        return (
            code in _RETRYABLE_CODES
            or status in _RETRYABLE_STATUS
            or is_conflict(code, error.operation_name)
        )
    if isinstance(
        error, ServiceFailed
    ):  # of the source role, whose object is read while it is sent
        return is_retryable(error) and error.type not in _CHANGED
    if isinstance(error, SSLError):
        return not isinstance(error.kwargs.get("error"), ssl.SSLCertVerificationError)
    return isinstance(error, (HTTPClientError, EndpointConnectionError, ConnectTimeoutError))


def is_throttled(error: BaseException) -> bool:
    """Returns True if the server throttles requests. A response to HEAD has only the status."""
    if not isinstance(error, ClientError):
        return False
    return (
        error.response["Error"]["Code"] in _THROTTLING_CODES
        or error.response["ResponseMetadata"]["HTTPStatusCode"] in _THROTTLING_STATUS
    )


def is_redirect(error: ClientError) -> bool:
    """Returns True if the bucket is in another region or at another endpoint."""
    return (
        error.response["Error"]["Code"] in REDIRECT_CODES
        or error.response["ResponseMetadata"]["HTTPStatusCode"] in REDIRECT_STATUS
    )
