"""Single requests: the step's options, and errors in the words of a step."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from rolerunner.errors import AccessDenied, NotFound, ServiceFailed, StepError, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.protocol import Access
from tests import memory_aws as aws
from tests.unit.storage.engines import open_boto_engine

if TYPE_CHECKING:
    from rolerunner.storage.boto.engine import BotoEngine

URI = S3Uri("bucket", "in/key")
CUSTOMER_KEY = base64.b64encode(bytes(range(32))).decode()


def fail(code: str, operation: str = "GetObject", status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "m"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation)


@pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        (fail("PreconditionFailed", "PutObject"), StepError, "AlreadyThere"),
        (fail("412", "CompleteMultipartUpload"), StepError, "AlreadyThere"),
        (fail("NoSuchKey", status=404), NotFound, "NoSuchKey"),
        (fail("AccessDenied", status=403), AccessDenied, "AccessDenied"),
        (EndpointConnectionError(endpoint_url="x"), ServiceFailed, "EndpointConnectionError"),
        (ResponseParserError("no XML\nmore"), UnexpectedResponse, "InternalError"),
    ],
)
def test_foreign_exceptions_are_translated(
    boto_engine: BotoEngine, error: Exception, kind: type[StepError], name: str
) -> None:
    requests = boto_engine.requests
    with pytest.raises(StepError) as caught, requests.translate_errors(URI):
        raise error
    assert (type(caught.value), caught.value.type) == (kind, name)
    assert caught.value.__cause__ is error
    found = requests.to_step_error(error, URI)
    assert (type(found), found.type, str(found)) == (kind, name, str(caught.value))


def test_a_refused_condition_of_a_read_is_not_that_of_a_write(boto_engine: BotoEngine) -> None:
    found = boto_engine.requests.to_step_error(fail("PreconditionFailed", "GetObject"), URI)
    assert found.type != "AlreadyThere"


def test_a_parsers_message_is_its_first_line(boto_engine: BotoEngine) -> None:
    found = boto_engine.requests.to_step_error(ResponseParserError("no XML\nmore"), URI)
    assert str(found) == "s3://bucket/in/key: cannot parse the response: no XML"


def test_other_exceptions_pass(boto_engine: BotoEngine) -> None:
    with pytest.raises(KeyError), boto_engine.requests.translate_errors(URI):
        raise KeyError("x")
    with pytest.raises(KeyError):
        boto_engine.requests.to_step_error(KeyError("x"), URI)


@pytest.mark.parametrize(
    ("access", "method", "options"),
    [
        (Access(), "get_object", {}),
        (Access(request_payer=True), "get_object", {"RequestPayer": "requester"}),
        (Access(request_payer=True), "get_bucket_location", {}),
        (
            Access(bucket_owner="111122223333"),
            "get_object",
            {"ExpectedBucketOwner": "111122223333"},
        ),
        (Access(source_bucket_owner="111122223333"), "get_object", {}),
        (
            Access(source_bucket_owner="111122223333"),
            "copy_object",
            {"ExpectedSourceBucketOwner": "111122223333"},
        ),
        (
            Access(customer_key=CUSTOMER_KEY),
            "get_object",
            {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))},
        ),
        (Access(customer_key=CUSTOMER_KEY), "list_objects_v2", {}),
        (
            Access(source_key=CUSTOMER_KEY),
            "copy_object",
            {
                "CopySourceSSECustomerAlgorithm": "AES256",
                "CopySourceSSECustomerKey": bytes(range(32)),
            },
        ),
    ],
)
def test_the_options_of_a_step_go_with_the_operations_that_take_them(
    memory_aws: aws.Store, access: Access, method: str, options: dict[str, Any]
) -> None:
    del memory_aws
    assert open_boto_engine(access).requests.access_options(method) == options


def test_parameters_win_over_the_options_of_the_step(memory_aws: aws.Store) -> None:
    memory_aws.put("bucket", "in/key", b"x")
    requests = open_boto_engine(Access(bucket_owner="111122223333")).requests
    requests.call("head_object", Bucket="bucket", Key="in/key")
    requests.call("head_object", Bucket="bucket", Key="in/key", ExpectedBucketOwner="444455556666")
    assert [each.headers["x-amz-expected-bucket-owner"] for each in memory_aws.requests] == [
        "111122223333",
        "444455556666",
    ]


def test_parameters_are_those_of_this_boto3(boto_engine: BotoEngine) -> None:
    requests = boto_engine.requests
    assert requests.has_parameter("put_object", "ContentType") is True
    assert requests.has_parameter("put_object", "ContentTypo") is False
    assert requests.read_options("") == {"ChecksumMode": "ENABLED"}
    assert requests.read_options("v1") == {"ChecksumMode": "ENABLED", "VersionId": "v1"}


@pytest.mark.parametrize(
    ("retries", "attempts"),
    [
        (None, 5),
        ({}, 5),
        ({"max_attempts": 3}, 3),
        ({"total_max_attempts": 1, "max_attempts": 3}, 1),
    ],
)
def test_the_number_of_attempts(
    boto_engine: BotoEngine, retries: dict[str, int] | None, attempts: int
) -> None:
    client = boto_engine.requests.client
    client.meta.config.retries = retries
    assert BotoRequests(client, boto_engine.requests.role, lambda: "").max_attempts == attempts
