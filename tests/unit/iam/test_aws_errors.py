from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import (
    AwsError,
    is_conflict,
    is_retryable,
    is_throttling_failure,
    is_throttling_response,
)


def test_the_fields_of_a_client_error_are_read() -> None:
    response = {
        "Error": {"Code": "NoSuchBucket", "Message": "gone", "BucketName": "b"},
        "ResponseMetadata": {
            "RequestId": "r-1",
            "HTTPStatusCode": 404,
            "HTTPHeaders": {"date": "today"},
            "RetryAttempts": 2,
        },
    }
    assert AwsError.from_client_error(ClientError(response, "ListObjectsV2")) == AwsError(
        "NoSuchBucket", "gone", "ListObjectsV2", "r-1", 404, "today", 2, "b"
    )


def test_a_code_outside_of_error_is_read() -> None:
    error = ClientError({"Code": "AccessDenied", "Message": "no"}, "AssumeRole")
    assert AwsError.from_client_error(error) == AwsError("AccessDenied", "no", "AssumeRole")


@pytest.mark.parametrize(
    ("code", "is_retried", "is_rate"),
    [
        ("SlowDown", True, True),
        ("503", True, False),
        ("IntegrityFailed", True, False),
        ("TrailerRefused", True, False),
        ("OperationAborted", True, False),
        ("AccessDenied", False, False),
        ("NoSuchKey", False, False),
    ],
)
def test_which_failures_may_pass(code: str, is_retried: bool, is_rate: bool) -> None:
    error = StepError("no", type=code)
    assert (is_retryable(error), is_throttling_failure(error)) == (is_retried, is_rate)
    assert not is_retryable(ValueError(code))


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("Throttling", 400, True), ("", 429, True), ("", 503, True), ("InternalError", 500, False)],
)
def test_throttling_is_a_code_or_a_status(code: str, status: int, expected: bool) -> None:
    assert is_throttling_response(AwsError(code, "", "AssumeRole", status=status)) is expected


@pytest.mark.parametrize(
    ("code", "operation", "expected"),
    [
        ("OperationAborted", "CompleteMultipartUpload", True),
        ("ConditionalRequestConflict", "PutObject", True),
        ("ConditionalRequestConflict", "CompleteMultipartUpload", False),
        ("BucketAlreadyExists", "CreateBucket", False),
    ],
)
def test_which_conflicts_pass(code: str, operation: str, expected: bool) -> None:
    assert is_conflict(code, operation) is expected


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("RequestTimeTooSkewed", "", True),
        ("SignatureDoesNotMatch", "Signature expired: now", True),
        ("SignatureDoesNotMatch", "Signature not yet current: now", True),
        ("SignatureDoesNotMatch", "", False),
    ],
)
def test_a_wrong_clock_is_recognized(code: str, message: str, expected: bool) -> None:
    assert AwsError(code, message, "PutObject").is_clock_skew is expected
