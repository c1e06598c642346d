"""Small writes: conditions, and refusals that an earlier attempt explains, in both engines."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.errors import ServiceFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.protocol import ObjectInfo
from tests import memory_aws as aws

URI = S3Uri("bucket", "key")


def put(memory_aws: aws.Store) -> list[str]:
    """Returns the conditions of each PUT."""
    return [
        each.headers.get("if-match") or each.headers.get("if-none-match") or ""
        for each in memory_aws.requests_of("PUT")
    ]


@pytest.mark.parametrize("data", [b"", b"x"])
def test_what_is_written(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    written = engine.write(URI, data, {"ContentType": "text/csv"})
    entry = memory_aws.objects["bucket", "key"]
    assert (entry.body, entry.headers["content-type"]) == (data, "text/csv")
    assert written == ObjectInfo("key", len(data), entry.etag)


@pytest.mark.parametrize("condition", [{"IfNoneMatch": "*"}, {"IfMatch": '"other"'}])
def test_another_object_in_the_way_is_an_error(
    engine: Any, memory_aws: aws.Store, condition: dict[str, str]
) -> None:
    memory_aws.put("bucket", "key", b"theirs")
    for repeated in (False, True):
        with pytest.raises(StepError) as caught:
            engine.write(URI, b"mine", condition, repeated=repeated)
        assert caught.value.type == "AlreadyThere"
    assert memory_aws.bodies() == {"s3://bucket/key": b"theirs"}


def test_the_own_object_of_an_earlier_attempt_is_a_success(
    engine: Any, memory_aws: aws.Store
) -> None:
    entry = memory_aws.put("bucket", "key", b"mine")
    written = engine.write(URI, b"mine", {"IfNoneMatch": "*"}, repeated=True)
    assert (written.size, written.etag) == (4, entry.etag)
    with pytest.raises(StepError) as caught:
        engine.write(URI, b"mine", {"IfNoneMatch": "*"})
    assert caught.value.type == "AlreadyThere"


def test_an_object_of_the_same_size_is_compared(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.put("bucket", "key", b"thei")
    with pytest.raises(StepError) as caught:
        engine.write(URI, b"mine", {"IfNoneMatch": "*"}, repeated=True)
    assert caught.value.type == "AlreadyThere"


def test_a_server_that_compares_etags_without_quotes(engine: Any, memory_aws: aws.Store) -> None:
    etag = memory_aws.put("bucket", "key", b"old").etag
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed")
        if request.headers.get("if-match") == f'"{etag}"' and request.method == "PUT"
        else None
    )
    engine.write(URI, b"new", {"IfMatch": f'"{etag}"'})
    assert put(memory_aws) == [f'"{etag}"', etag]
    assert memory_aws.bodies() == {"s3://bucket/key": b"new"}


def test_a_server_without_if_match(engine: Any, memory_aws: aws.Store) -> None:
    etag = memory_aws.put("bucket", "key", b"old").etag
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed") if request.method == "PUT" else None
    )
    with pytest.raises(ServiceFailed) as caught:
        engine.write(URI, b"new", {"IfMatch": f'"{etag}"'})
    assert caught.value.type == "IfMatchRefused"
    assert put(memory_aws) == [f'"{etag}"', etag]


def test_an_object_that_changes_between_two_tries_of_a_condition(
    engine: Any, memory_aws: aws.Store
) -> None:
    etag = memory_aws.put("bucket", "key", b"old").etag

    def hook(request: aws.Request) -> aws.Outcome:
        if request.method != "PUT":
            return None
        if request.headers.get("if-match") == etag:
            memory_aws.put("bucket", "key", b"theirs")
        return aws.error(412, "PreconditionFailed")

    memory_aws.hook = hook
    with pytest.raises(StepError) as caught:
        engine.write(URI, b"new", {"IfMatch": f'"{etag}"'})
    assert caught.value.type != "IfMatchRefused"
    assert memory_aws.bodies() == {"s3://bucket/key": b"theirs"}


@pytest.mark.parametrize(("data", "status"), [(b"mine", "written"), (b"thei", "refused")])
def test_the_checksum_of_an_object_says_whose_it_is(
    engine: Any, memory_aws: aws.Store, data: bytes, status: str
) -> None:
    checksum = {"x-amz-checksum-crc32": compute_digest("CRC32", data)}
    memory_aws.put("bucket", "key", data, headers=checksum)
    try:
        engine.write(URI, b"mine", {"IfNoneMatch": "*"}, repeated=True)
    except StepError as error:
        assert (status, error.type) == ("refused", "AlreadyThere")
    else:
        assert status == "written"
    assert memory_aws.requests_of("GET") == []


def test_an_upload_without_an_etag_is_not_believed(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda _: aws.Response(200)
    with pytest.raises(ServiceFailed) as caught:
        engine.write(URI, b"x", {})
    assert "s3://bucket/key" in str(caught.value)
    assert "without an ETag" in str(caught.value)
