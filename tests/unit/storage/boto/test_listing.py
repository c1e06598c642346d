"""Listings: order, pages, prefixes, and responses that cannot be right, in both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, ServiceFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from tests import memory_aws as aws

if TYPE_CHECKING:
    from rolerunner.storage.boto.engine import BotoEngine

KEYS = ["a", "in/", "in/b", "in/c/d", "in/e", "inn", "z"]


@pytest.fixture(autouse=True)
def _fill(memory_aws: aws.Store) -> None:
    for key in KEYS:
        memory_aws.put("bucket", key, key)


@pytest.mark.parametrize(
    ("prefix", "more", "keys"),
    [
        ("", {}, KEYS),
        ("in/", {}, ["in/", "in/b", "in/c/d", "in/e"]),
        ("in/b", {}, ["in/b"]),
        ("none", {}, []),
        ("", {"after": "in/b"}, ["in/c/d", "in/e", "inn", "z"]),
        ("", {"after": "z"}, []),
        ("", {"page": 1}, KEYS),
        ("", {"page": 3, "parallel": False}, KEYS),
    ],
)
def test_keys_in_order_over_pages(
    engine: Any, prefix: str, more: dict[str, Any], keys: list[str]
) -> None:
    assert [info.key for info in engine.list(S3Uri("bucket", prefix), **more)] == keys


def test_what_a_listing_reports_of_an_object(engine: Any, memory_aws: aws.Store) -> None:
    entry = memory_aws.objects["bucket", "a"]
    (found,) = engine.list(S3Uri("bucket", "a"))
    assert found == ObjectInfo(
        "a", 1, entry.etag, entry.modified.strftime("%Y-%m-%dT%H:%M:%SZ"), storage_class="STANDARD"
    )


def test_a_folder_has_objects_and_prefixes(engine: Any) -> None:
    found = list(engine.list_folder(S3Uri("bucket", "in/")))
    assert [each if isinstance(each, str) else each.key for each in found] == [
        "in/",
        "in/b",
        "in/e",
        "in/c/",
    ]


def test_a_cancelled_listing_stops(engine: Any) -> None:
    cancel = Cancel()
    listed = engine.list(S3Uri("bucket"), page=1, cancel=cancel)
    assert next(listed).key == "a"
    cancel.set()
    with pytest.raises(StepError):
        list(listed)


@pytest.mark.parametrize(
    ("response", "kind", "name"),
    [
        (aws.error(404, "NoSuchBucket"), NotFound, "NoSuchBucket"),
        (aws.error(500, "InternalError"), ServiceFailed, "InternalError"),
    ],
)
def test_errors_of_listings(
    engine: Any, memory_aws: aws.Store, response: aws.Response, kind: type[StepError], name: str
) -> None:
    memory_aws.hook = lambda _: response
    with pytest.raises(kind) as caught:
        list(engine.list(S3Uri("bucket", "in/")))
    assert caught.value.type == name


def test_a_response_that_is_no_listing(boto_engine: BotoEngine, memory_aws: aws.Store) -> None:
    memory_aws.hook = lambda _: aws.xml("<html>no listing</html>")
    with pytest.raises(ServiceFailed) as caught:
        list(boto_engine.list(S3Uri("bucket", "in/")))
    assert caught.value.type == "InternalError"


def test_a_repeated_token_ends_the_listing_with_an_error(
    engine: Any, memory_aws: aws.Store
) -> None:
    contents = "<Contents><Key>in/b</Key><Size>4</Size><ETag>e</ETag></Contents>"
    memory_aws.hook = lambda _: aws.xml(
        f"<ListBucketResult xmlns='{aws.NAMESPACE}'><IsTruncated>true</IsTruncated>"
        f"<NextContinuationToken>t</NextContinuationToken>{contents}</ListBucketResult>"
    )
    with pytest.raises(ServiceFailed):
        list(engine.list(S3Uri("bucket", "in/"), parallel=False))


def test_versions_are_sorted_by_key_and_then_newest_first(
    boto_engine: BotoEngine, memory_aws: aws.Store
) -> None:
    def version(kind: str, key: str, name: str, day: int) -> str:
        return (
            f"<{kind}><Key>{key}</Key><VersionId>{name}</VersionId><Size>1</Size>"
            f"<LastModified>2026-01-0{day}T00:00:00.000Z</LastModified></{kind}>"
        )

    memory_aws.hook = lambda _: aws.xml(
        f"<ListVersionsResult xmlns='{aws.NAMESPACE}'><IsTruncated>false</IsTruncated>"
        + version("Version", "b", "v1", 1)
        + version("Version", "a", "v2", 1)
        + version("Version", "a", "v3", 3)
        + version("DeleteMarker", "a", "v4", 2)
        + "</ListVersionsResult>"
    )
    found = list(boto_engine.list(S3Uri("bucket"), versions=True, after="0", page=5))
    assert [(info.key, info.version, info.deleted) for info in found] == [
        ("a", "v3", False),
        ("a", "v4", True),
        ("a", "v2", False),
        ("b", "v1", False),
    ]
    query = memory_aws.requests[-1].query
    assert (query["key-marker"], query["max-keys"]) == ("0", "5")
