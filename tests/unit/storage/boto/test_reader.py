"""Single objects: HEAD, ranges and descriptions, and responses that are not as requested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import AccessDenied, IntegrityFailed, NotFound, ServiceFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from tests import memory_aws as aws

if TYPE_CHECKING:
    from rolerunner.storage.boto.engine import BotoEngine

URI = S3Uri("bucket", "key")


def test_a_head_refused_without_a_reason_is_explained_by_a_get(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda request: (
        aws.Response(403) if request.method == "HEAD" else aws.error(403, "AccessDenied", "no")
    )
    with pytest.raises(AccessDenied):
        boto_engine.head(URI)
    assert [each.method for each in memory_aws.requests] == ["HEAD", "GET"]
    assert memory_aws.requests[1].headers["range"] == "bytes=0-0"


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_head_is_repeated_if_the_get_succeeds(
    boto_engine: BotoEngine, memory_aws: aws.Store, body: bytes
) -> None:
    memory_aws.put("bucket", "key", body)
    refused: list[int] = []

    def hook(request: aws.Request) -> aws.Outcome:
        if request.method == "HEAD" and not refused:
            refused.append(1)
            return aws.Response(403)
        return None

    memory_aws.hook = hook
    assert boto_engine.head(URI).size == len(body)
    assert [each.method for each in memory_aws.requests] == ["HEAD", "GET", "HEAD"]


@pytest.mark.parametrize("status", [404, 500])
def test_other_refusals_of_a_head_are_errors_at_once(
    boto_engine: BotoEngine, memory_aws: aws.Store, status: int
) -> None:
    memory_aws.hook = lambda _: aws.Response(status)
    with pytest.raises(NotFound if status == 404 else ServiceFailed):
        boto_engine.head(URI)
    assert [each.method for each in memory_aws.requests] == ["HEAD"]


def test_a_head_names_the_version(boto_engine: BotoEngine, memory_aws: aws.Store) -> None:
    memory_aws.put("bucket", "key", b"x")
    boto_engine.head(URI, "v1")
    boto_engine.head(URI)
    assert [each.query for each in memory_aws.requests] == [{"versionId": "v1"}, {}]


@pytest.mark.parametrize("date", ["", "no date"])
def test_an_age_needs_the_servers_clock(
    boto_engine: BotoEngine, memory_aws: aws.Store, date: str
) -> None:
    memory_aws.hook = lambda _: aws.Response(
        200, {"ETag": '"e"', "Date": date, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    )
    assert boto_engine.get_age(URI) is None


def test_the_age_is_between_two_times_of_the_server(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda _: aws.Response(
        200,
        {
            "ETag": '"e"',
            "Date": "Thu, 01 Jan 2026 00:01:30 GMT",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        },
    )
    assert boto_engine.get_age(URI) == 90.0


@pytest.mark.parametrize(("head", "get", "size"), [(4, None, 4), (9, 4, 4), (9, 9, 9)])
def test_the_size_of_the_first_part(
    boto_engine: BotoEngine, memory_aws: aws.Store, head: int, get: int | None, size: int
) -> None:
    def hook(request: aws.Request) -> aws.Outcome:
        length = head if request.method == "HEAD" else get
        assert length is not None
        assert request.query["partNumber"] == "1"
        return aws.Response(206, {"ETag": '"e"', "Content-Length": str(length)}, b"x" * length)

    memory_aws.hook = hook
    assert boto_engine.get_part_size(URI, ObjectInfo("key", 9, "e")) == size


INFO = ObjectInfo("key", 4, "e1")


def ranged(content_range: str, body: bytes, etag: str = "e1", status: int = 206) -> aws.Response:
    headers = {"ETag": f'"{etag}"'}
    if content_range:
        headers["Content-Range"] = content_range
    return aws.Response(status, headers, body)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (ranged("bytes 1-2/4", b"12"), ""),
        (ranged("", b"12"), ""),
        (ranged("bytes 1-2/4", b"1"), "s3://bucket/key: received 1 of 2 bytes"),
        (ranged("bytes 0-1/4", b"01"), "requested bytes 1-2, received bytes 0-1/4 of 'e1'"),
        (ranged("bytes 1-2/4", b"12", "e2"), "requested bytes 1-2, received bytes 1-2/4 of 'e2'"),
        (ranged("", b"0123", status=200), "requested bytes 1-2, received the whole object of 'e1'"),
    ],
)
def test_a_range_is_what_was_requested(
    engine: Any, memory_aws: aws.Store, response: aws.Response, message: str
) -> None:
    memory_aws.hook = lambda _: response
    if not message:
        assert engine.read_range(ObjectRange(URI, INFO, 1, 2)) == b"12"
        return
    with pytest.raises(IntegrityFailed) as caught:
        engine.read_range(ObjectRange(URI, INFO, 1, 2))
    assert caught.value.type == "IntegrityFailed"


def test_an_if_match_that_is_refused_wrongly_is_explained(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    info = ObjectInfo("key", 4, memory_aws.put("bucket", "key", b"0123").etag)
    memory_aws.hook = lambda request: (
        aws.error(412, "PreconditionFailed") if "if-match" in request.headers else None
    )
    with pytest.raises(ServiceFailed) as caught:
        boto_engine.read_range(ObjectRange(URI, info, 0, 1))
    assert caught.value.type == "IfMatchRefused"


def test_an_object_that_changed_is_not_read(boto_engine: BotoEngine, memory_aws: aws.Store) -> None:
    memory_aws.put("bucket", "key", b"0123")
    with pytest.raises(StepError) as caught:
        boto_engine.read_range(ObjectRange(URI, INFO, 0, 1))
    assert caught.value.type != "IfMatchRefused"


@pytest.mark.parametrize(
    ("body", "limit", "length"), [(b"", 0, None), (b"x", 1, None), (b"xx", 1, "2 bytes")]
)
def test_the_limit_of_a_read(
    boto_engine: BotoEngine, memory_aws: aws.Store, body: bytes, limit: int, length: str | None
) -> None:
    memory_aws.put("bucket", "key", body)
    if length is None:
        assert boto_engine.read(URI, limit) == body
        return
    with pytest.raises(ServiceFailed) as caught:
        boto_engine.read(URI, limit)
    assert str(caught.value) == f"s3://bucket/key has {length}, more than {limit}"


def test_a_description_stores_the_object_again(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    entry = memory_aws.put(
        "bucket",
        "key",
        b"x",
        headers={"content-type": "text/csv", "cache-control": "no-store", "x-amz-meta-a": "b"},
        tags="k=v+w",
    )
    info, options = boto_engine.describe(URI, "", tags=True)
    assert (info.size, info.etag) == (1, entry.etag)
    assert options == {
        "ContentType": "text/csv",
        "CacheControl": "no-store",
        "Metadata": {"a": "b"},
        "Tagging": "k=v%20w",
    }
    _, options = boto_engine.describe(URI, "", tags=False, replaced={"ContentType", "Metadata"})
    assert options == {"CacheControl": "no-store"}


def test_a_server_that_serves_no_parts_tells_no_part_size(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda _: aws.Response(501)
    assert boto_engine.get_part_size(URI, ObjectInfo("key", 10, "e-2")) == 0


def test_a_server_without_tags_has_none_to_keep(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    memory_aws.put("bucket", "key", b"x")
    memory_aws.hook = lambda request: (
        aws.error(501, "NotImplemented") if "tagging" in request.query else None
    )
    _, kept = boto_engine.reader.describe(URI, "", tags=True)
    assert "Tagging" not in kept
