"""Error responses of AWS: their fields, and what their codes mean. Makes no calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "403",
        "Forbidden",
        "UnauthorizedOperation",
        "AllAccessDisabled",
    }
)
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
CONFLICT_CODES = frozenset({"OperationAborted", "ConditionalRequestConflict"})
"""Codes of status 409 that S3 asks to be retried; other conflicts are permanent."""
TRAILER_REFUSED = "TrailerRefused"
"""The type of a failure that is cured by sending the object in another form."""
TEMPORARY_FAILURE = "TemporaryFailure"
"""The type of failed work, such as a query, that its service calls worth another attempt."""
_SKEWED_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_THROTTLING_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "ProvisionedThroughputExceededException",
    }
)
_THROTTLING_STATUSES = frozenset({429, 503})
_SERVER_CODES = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "NoSuchUpload",
        "429",
        "500",
        "502",
        "503",
        "504",
    }
)
_CONNECTION_ERRORS = frozenset(
    {
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
        "IncompleteReadError",
        "ResponseStreamingError",
        "HTTPClientError",
        "ProxyConnectionError",
        "SSLError",
        "ConnectionError",
        "ConnectionResetError",
        "TimeoutError",
        "BrokenPipeError",
        "StsUnreachable",
        "Timeout",
    }
)
_CHANGED_OBJECT = frozenset({"IntegrityFailed", "ObjectChanged", "PreconditionFailed", "412"})
_SFTP_ERRORS = frozenset(
    {
        "ConnectionLost",
        "ConnectionRefused",
        "ConnectTimeout",
        "SourceChanged",
        "SshHandshakeFailed",
        "Unreachable",
    }
)
"""Failures of SFTP servers; one that refuses a user or whose key is wrong stays so."""
_RETRYABLE = (
    _THROTTLING_CODES
    | CONFLICT_CODES
    | _SERVER_CODES
    | _CONNECTION_ERRORS
    | _CHANGED_OBJECT
    | _SFTP_ERRORS
    | {TRAILER_REFUSED, TEMPORARY_FAILURE}
)


@dataclass(frozen=True)
class AwsError:
    """An error response of AWS.

    ``operation`` is the API's name of it, ``date`` the response's header, by the clock of AWS.
    """

    code: str
    message: str
    operation: str
    request_id: str = ""
    status: int = 0
    date: str = ""
    retried: int = 0
    """Number of times that the request was sent again."""
    bucket: str = ""
    """The bucket that the response names."""

    @classmethod
    def from_client_error(cls, error: Any) -> AwsError:
        """Reads the fields of botocore's ClientError."""
        response: Mapping[str, Any] = error.response
        # some servers send S3's form for STS, whose Code is not within an <Error>
        fields = response.get("Error") or response
        metadata = response.get("ResponseMetadata", {})
        return cls(
            code=str(fields.get("Code") or ""),
            message=str(fields.get("Message") or ""),
            operation=str(getattr(error, "operation_name", "")),
            request_id=str(metadata.get("RequestId") or ""),
            status=int(metadata.get("HTTPStatusCode") or 0),
            date=str(metadata.get("HTTPHeaders", {}).get("date", "")),
            retried=int(metadata.get("RetryAttempts") or 0),
            bucket=str(fields.get("BucketName") or ""),
        )

    @property
    def is_clock_skew(self) -> bool:
        """True if this machine's clock differs too much from that of AWS."""
        return (
            self.code in _SKEWED_CODES
            or "Signature expired" in self.message
            or "Signature not yet current" in self.message
        )


def is_conflict(code: str, operation: str) -> bool:
    """Returns True if S3 asks for the same request again.

    A multipart upload that conflicts has to be started again as a whole.
    """
    return code in CONFLICT_CODES and (code, operation) != (
        "ConditionalRequestConflict",
        "CompleteMultipartUpload",
    )


def is_retryable(error: BaseException) -> bool:
    """Returns True if another attempt may succeed.

    Throttling, status 5xx, lost connections and timeouts pass; refusals and mistakes do not.
    """
    return isinstance(error, StepError) and error.type in _RETRYABLE


def is_throttling_response(error: AwsError) -> bool:
    """Returns True if a service asks for fewer requests, so that a later one may succeed."""
    return error.code in _THROTTLING_CODES or error.status in _THROTTLING_STATUSES


def is_throttling_failure(error: BaseException) -> bool:
    """Returns True if AWS refused a request for its rate, so that it had no effect."""
    return isinstance(error, StepError) and error.type in _THROTTLING_CODES
