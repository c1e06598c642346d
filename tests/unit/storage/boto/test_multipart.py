"""The end of multipart uploads: responses without an ETag, and failures without a step's error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectionClosedError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import ServiceFailed, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage.boto.multipart import MultipartUploads
from rolerunner.storage.concurrency import PartExecutor
from tests import memory_aws as aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.storage.boto.engine import BotoEngine
    from rolerunner.storage.parts import PartUpload

URI = S3Uri("bucket", "key")
DATA = b"0123456789"


def upload(
    engine: BotoEngine, send: Callable[[PartUpload], dict[str, Any]] | None = None, **options: Any
) -> Mapping[str, Any]:
    """Uploads the data in parts of 4 bytes."""

    def send_part(part: PartUpload) -> dict[str, Any]:
        return engine.transport.upload_part(part, DATA[part.start : part.end], Cancel())

    uploads = MultipartUploads(engine.requests, engine.recovery)
    with PartExecutor(Cancel(), engine.tuning) as parts:
        return uploads.upload(
            URI, options, len(DATA), 4, send or send_part, parts, lambda _: 0, repeated=False
        )


def completion(store: aws.Store, change: Callable[[], None] = lambda: None) -> aws.Response:
    """Completes the only upload, lets the test change the object, and leaves the ETag out."""
    (name,) = store.uploads
    store.respond(aws.Request("s3", "POST", "bucket", "key", {"uploadId": name}, {}, b"", ""))
    change()
    return aws.xml(
        f"<CompleteMultipartUploadResult xmlns='{aws.NAMESPACE}'/>",
    )


def is_completion(request: aws.Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query


def test_parts_are_numbered_from_one(boto_engine: BotoEngine, memory_aws: aws.Store) -> None:
    response = upload(boto_engine, ContentType="text/csv", IfNoneMatch="*")
    assert response["ETag"].strip('"') == memory_aws.objects["bucket", "key"].etag
    assert memory_aws.bodies() == {"s3://bucket/key": DATA}
    sent = {
        each.query["partNumber"]: each.body
        for each in memory_aws.requests
        if "partNumber" in each.query
    }
    assert sent == {"1": b"0123", "2": b"4567", "3": b"89"}
    created, completed = memory_aws.requests_of("POST")
    assert "if-none-match" not in created.headers
    assert created.headers["content-type"] == "text/csv"
    assert completed.headers["if-none-match"] == "*"


def test_an_etag_that_is_left_out_is_found(boto_engine: BotoEngine, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda request: completion(memory_aws) if is_completion(request) else None
    assert upload(boto_engine)["ETag"].strip('"') == memory_aws.objects["bucket", "key"].etag


def test_the_etag_of_another_object_is_not_taken(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    def replace_object() -> None:
        memory_aws.put("bucket", "key", b"theirs")

    memory_aws.hook = lambda request: (
        completion(memory_aws, replace_object) if is_completion(request) else None
    )
    with pytest.raises(ServiceFailed, match="without an ETag"):
        upload(boto_engine)


def test_a_completion_whose_response_is_lost_is_recovered(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    def hook(request: aws.Request) -> aws.Outcome:
        if not is_completion(request):
            return None
        completion(memory_aws)
        return aws.error(404, "NoSuchUpload")

    memory_aws.hook = hook
    uploads = MultipartUploads(boto_engine.requests, boto_engine.recovery)

    def send(part: PartUpload) -> dict[str, Any]:
        return boto_engine.transport.upload_part(part, DATA[part.start : part.end], Cancel())

    with PartExecutor(Cancel(), boto_engine.tuning) as parts:
        response = uploads.upload(URI, {}, len(DATA), 4, send, parts, lambda _: 0, repeated=True)
    assert response["ETag"].strip('"') == memory_aws.objects["bucket", "key"].etag


def test_a_bug_aborts_the_upload_and_is_raised(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    def send(part: PartUpload) -> dict[str, Any]:
        raise ZeroDivisionError(part.number)

    with pytest.raises(ZeroDivisionError):
        upload(boto_engine, send)
    assert memory_aws.uploads == {}


def test_what_a_bug_leaves_behind_is_logged(
    boto_engine: BotoEngine, memory_aws: aws.Store, caplog: pytest.LogCaptureFixture
) -> None:
    def send(part: PartUpload) -> dict[str, Any]:
        raise ZeroDivisionError(part.number)

    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.method == "DELETE" else None
    )
    with pytest.raises(ZeroDivisionError), caplog.at_level(logging.WARNING, "rolerunner.storage"):
        upload(boto_engine, send)
    (message,) = caplog.messages
    assert message.startswith("the multipart upload upload-1 of s3://bucket/key could not be")


def test_an_upload_whose_answer_is_lost_is_told(
    boto_engine: BotoEngine, memory_aws: aws.Store, caplog: pytest.LogCaptureFixture
) -> None:
    memory_aws.hook = lambda request: aws.LOSE if "uploads" in request.query else None
    with (
        pytest.raises(ConnectionClosedError),
        caplog.at_level(logging.WARNING, "rolerunner.storage"),
    ):
        upload(boto_engine)
    assert len(memory_aws.uploads) == 1
    assert "/bucket/key: an upload without parts may be left" in caplog.text


def test_a_completion_that_nothing_came_of_is_no_missing_object(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda request: aws.Response(200, {}, b"") if is_completion(request) else None
    with pytest.raises(UnexpectedResponse, match="200 to the completed upload without an ETag"):
        upload(boto_engine)
    assert memory_aws.bodies() == {}
    assert memory_aws.uploads == {}
